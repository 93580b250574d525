#include "receive/kept_report.h"

bool kept_report_add(struct db *db, struct fault *why, const struct report_record *report, uint64_t mail_id,
                     time_ms now)
{
    uint64_t good = 0, bad = 0, most = INT64_MAX / 2;
    for (unsigned i = 0; i < report->source_count; i++) {
        uint64_t *to = report->sources[i].is_good ? &good : &bad;
        *to = report->sources[i].count > most - *to ? most : *to + report->sources[i].count;
    }
    uint64_t id = id_make_anywhere(db_ids(db), now);
    int64_t is_new = 0;
    if (!db_do(db, why,
               "INSERT INTO feedback_report (id, kind, org, report_id, domain, policy, email, begin_ms, end_ms, "
               "received_ms, mail_id, good, bad, is_cut) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
               "$13, $14) ON CONFLICT (kind, org, report_id, domain) DO NOTHING",
               VALUES(V_INT((int64_t)id), V_INT(report->kind), V_TEXT(report->org), V_TEXT(report->report_id),
                      V_TEXT(report->domain), V_TEXT(report->policy), V_TEXT(report->email),
                      V_INT(SECONDS_MS(report->begin)), V_INT(SECONDS_MS(report->end)), V_INT(now),
                      V_INT((int64_t)mail_id), V_INT((int64_t)good), V_INT((int64_t)bad), V_INT(report->is_cut)),
               &is_new))
        return false;
    for (unsigned i = 0; is_new && i < report->source_count; i++) {
        const struct report_source *source = &report->sources[i];
        if (!db_do(db, why,
                   "INSERT INTO feedback_source (report_id, nth, ip, domain, outcome, dkim, spf, detail, n, is_good) "
                   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                   VALUES(V_INT((int64_t)id), V_INT(i), V_TEXT(source->ip), V_TEXT(source->domain),
                          V_TEXT(source->outcome), V_TEXT(source->dkim), V_TEXT(source->spf), V_TEXT(source->detail),
                          V_INT((int64_t)(source->count > most ? most : source->count)), V_INT(source->is_good)),
                   NULL))
            return false;
    }
    return true;
}

#define REPORT_COLUMNS                                                                                                 \
    "SELECT r.id, r.kind, r.org, r.report_id, r.domain, r.policy, r.email, r.begin_ms, r.end_ms, r.received_ms, "      \
    "r.mail_id, r.good, r.bad, r.is_cut, i.from_domain, i.dkim, i.dmarc FROM feedback_report r LEFT JOIN inbound i "   \
    "ON i.id = r.mail_id AND i.bucket = (r.mail_id & 255) "

static struct kept_report report_of(const struct rows *rows)
{
    return (struct kept_report){
        .id = (uint64_t)rows_int(rows, 0),
        .kind = (enum feedback_kind)rows_int(rows, 1),
        .org = rows_text(rows, 2),
        .report_id = rows_text(rows, 3),
        .domain = rows_text(rows, 4),
        .policy = rows_text(rows, 5),
        .email = rows_text(rows, 6),
        .begin = rows_int(rows, 7),
        .end = rows_int(rows, 8),
        .received = rows_int(rows, 9),
        .mail_id = (uint64_t)rows_int(rows, 10),
        .good = (uint64_t)rows_int(rows, 11),
        .bad = (uint64_t)rows_int(rows, 12),
        .is_cut = rows_int(rows, 13) != 0,
        .sender = rows_text(rows, 14),
        .dkim = rows_text(rows, 15),
        .dmarc = rows_text(rows, 16),
    };
}

bool kept_report_list(struct db *db, struct fault *why, const struct report_filter *filter, kept_report_take *take,
                      void *context)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  REPORT_COLUMNS "WHERE ($1 = 0 OR r.kind = $1) AND ($2 = '' OR r.domain = $2) AND ($3 = 0 OR r.id < "
                                 "$3) ORDER BY r.id DESC LIMIT $4",
                  VALUES(V_INT(filter->kind), V_TEXT(filter->domain), V_INT((int64_t)filter->before_id),
                         V_INT((int64_t)filter->limit))))
        return false;
    while (rows_next(&rows)) {
        struct kept_report report = report_of(&rows);
        if (!take(context, &report))
            break;
    }
    return rows_end(&rows);
}

bool kept_report_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct kept_report *report,
                      bool *found)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, REPORT_COLUMNS "WHERE r.id = $1", VALUES(V_INT((int64_t)id))))
        return false;
    *found = rows_next(&rows);
    if (*found) {
        *report = report_of(&rows);
        struct slice *texts[] = {&report->org,   &report->report_id, &report->domain, &report->policy,
                                 &report->email, &report->sender,    &report->dkim,   &report->dmarc};
        for (size_t i = 0; i < COUNT_OF(texts); i++)
            *texts[i] = arena_copy(arena, *texts[i]);
    }
    return rows_end(&rows);
}

bool kept_report_sources(struct db *db, struct fault *why, const struct source_filter *filter, kept_source_take *take,
                         void *context)
{
    static const char of_one[] =
        "SELECT ip, domain, outcome, dkim, spf, detail, n, is_good FROM feedback_source WHERE report_id = $1 AND $2 = "
        "$2 AND $3 = $3 AND $4 = $4 ORDER BY n DESC, nth LIMIT $5";
    static const char of_all[] =
        "SELECT s.ip, s.domain, s.outcome, s.dkim, s.spf, MIN(s.detail), CAST(SUM(s.n) AS BIGINT), s.is_good FROM "
        "feedback_report r JOIN feedback_source s ON s.report_id = r.id WHERE $1 = 0 AND r.kind = $2 AND ($3 = '' OR "
        "r.domain = $3) AND r.received_ms >= $4 GROUP BY s.ip, s.domain, s.outcome, s.dkim, s.spf, s.is_good ORDER BY "
        "7 DESC, 1, 2, 3 LIMIT $5";
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, filter->report ? of_one : of_all,
                  VALUES(V_INT((int64_t)filter->report), V_INT(filter->kind), V_TEXT(filter->domain),
                         V_INT(filter->since), V_INT((int64_t)filter->limit))))
        return false;
    while (rows_next(&rows)) {
        const struct report_source source = {
            .ip = rows_text(&rows, 0),
            .domain = rows_text(&rows, 1),
            .outcome = rows_text(&rows, 2),
            .dkim = rows_text(&rows, 3),
            .spf = rows_text(&rows, 4),
            .detail = rows_text(&rows, 5),
            .count = (uint64_t)rows_int(&rows, 6),
            .is_good = rows_int(&rows, 7) != 0,
        };
        if (!take(context, &source))
            break;
    }
    return rows_end(&rows);
}
