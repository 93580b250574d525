#include "deliver/tls_count.h"

#include "base/json.h"
#include "base/log.h"
#include <stdio.h>

/* One row to be. */
struct tls_sum {
    struct tls_note *note; /* the last one of its kind */
    struct day_text day;
    int64_t n;
};

struct day_text tls_day(time_ms at)
{
    struct day_text day = {""};
    SCOPED(buf) text = BUF(64);
    time_rfc3339(&text, at);
    snprintf(day.text, sizeof(day.text), "%.10s", buf_cstr(&text));
    return day;
}

struct tls_note *tls_note_copy(const struct tls_note *note)
{
    const struct slice texts[] = {note->domain, note->mx, slice_head(note->detail, 500), note->policy_text};
    size_t len = 0;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        len += texts[i].len;
    struct tls_note *copy = memory_alloc(sizeof(*copy) + len + 1);
    *copy = *note;
    struct slice *const places[] = {&copy->domain, &copy->mx, &copy->detail, &copy->policy_text};
    char *to = (char *)(copy + 1);
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (texts[i].len)
            memcpy(to, texts[i].ptr, texts[i].len);
        *places[i] = slice_of(to, texts[i].len);
        to += texts[i].len;
    }
    return copy;
}

void tls_counts_take(struct tls_counts *counts, struct tls_note *note, time_ms at)
{
    SCOPED(buf) key = BUF(2048);
    char from[IP_TEXT_ROOM], to[IP_TEXT_ROOM];
    struct day_text day = tls_day(at);
    buf_printf(&key, "%s %d %d %.*s %.*s %s %s", day.text, (int)note->policy, (int)note->result,
               SLICE_ARG(note->domain), SLICE_ARG(note->mx), ip_text(&note->from, from), ip_text(&note->to, to));
    struct tls_sum *sum = map_get(&counts->sums, buf_slice(&key));
    if (!sum) {
        if (counts->sums.count >= TLS_COUNTS_MOST) {
            free(note);
            return;
        }
        sum = NEW(struct tls_sum);
        sum->day = day;
        map_set(&counts->sums, buf_slice(&key), sum);
    }
    free(sum->note);
    sum->note = note;
    sum->n++;
}

/* ── writing ── */

struct counts_job {
    struct write_job job;
    struct tls_counts counts;
};

static struct value ip_value(const struct ip *ip, char text[IP_TEXT_ROOM])
{
    return V_STR(ip->family ? ip_text(ip, text) : "");
}

static bool counts_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct counts_job *counts = (struct counts_job *)job;
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&counts->counts.sums, &at));) {
        const struct tls_sum *sum = entry->value;
        const struct tls_note *note = sum->note;
        char from[IP_TEXT_ROOM], to[IP_TEXT_ROOM];
        SCOPED(buf) detail = BUF(4096);
        json_escape(&detail, note->detail); /* whatever the host said becomes text that a store takes */
        if (!db_do(db, why,
                   "INSERT INTO tls_count (day, domain, policy, result, mx, sending_ip, receiving_ip, detail, "
                   "policy_text, n) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (day, domain, policy, "
                   "result, mx, sending_ip, receiving_ip) DO UPDATE SET n = tls_count.n + excluded.n, detail = "
                   "excluded.detail, policy_text = excluded.policy_text",
                   VALUES(V_STR(sum->day.text), V_TEXT(note->domain), V_TEXT(tls_policy_word(note->policy)),
                          V_TEXT(tls_result_word(note->result)), V_TEXT(note->mx), ip_value(&note->from, from),
                          ip_value(&note->to, to), V_TEXT(buf_slice(&detail)), V_TEXT(note->policy_text),
                          V_INT(sum->n)),
                   NULL))
            return false;
    }
    return true;
}

static void counts_done(struct write_job *job, const struct fault *why)
{
    if (why)
        log_warn("deliver", "TLS sessions could not be counted: %s", why->text);
    tls_counts_release(&((struct counts_job *)job)->counts);
    free(job);
}

void tls_counts_write(struct tls_counts *counts, struct store *store)
{
    if (counts->sums.count == 0)
        return;
    struct counts_job *job = NEW(struct counts_job);
    job->job.run = counts_run;
    job->job.done = counts_done;
    job->job.fails_fast = true;
    job->job.rows = (unsigned)counts->sums.count;
    job->counts = *counts;
    *counts = (struct tls_counts){0};
    store_write(store, &job->job);
}

void tls_counts_release(struct tls_counts *counts)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&counts->sums, &at)); free(entry->value))
        free(((struct tls_sum *)entry->value)->note);
    map_release(&counts->sums);
}

/* ── reports ── */

struct tls_row {
    struct slice domain, policy, result, mx, from, to, detail, policy_text;
    int64_t n;
};

static void lines_put(struct json *json, struct slice text)
{
    struct slice line;
    while (slice_line(&text, &line))
        if (slice_trim(line).len)
            json_text(json, slice_trim(line));
}

/* It is kept escaped. */
static void detail_put(struct json *json, struct slice detail)
{
    SCOPED(buf) text = BUF(8192);
    buf_byte(&text, '"');
    buf_append(&text, detail);
    buf_byte(&text, '"');
    json_raw(json, buf_slice(&text));
}

/* One policy of one domain: rows [from, to). */
static void policy_put(struct json *json, const struct tls_row *rows, size_t count)
{
    int64_t good = 0, bad = 0;
    for (size_t i = 0; i < count; i++)
        *(slice_equal(rows[i].result, SLICE("success")) ? &good : &bad) += rows[i].n;
    json_object_begin(json);
    json_put_object(json, "policy");
    json_put_string(json, "policy-type", rows[0].policy);
    if (rows[0].policy_text.len) {
        json_put_array(json, "policy-string");
        lines_put(json, rows[0].policy_text);
        json_end(json);
    }
    json_put_string(json, "policy-domain", rows[0].domain);
    if (slice_equal(rows[0].policy, SLICE("sts"))) {
        struct slice text = rows[0].policy_text, line;
        json_put_array(json, "mx-host");
        while (slice_line(&text, &line))
            if (slice_starts(line, SLICE("mx:")))
                json_text(json, slice_trim(slice_from(line, 3)));
        json_end(json);
    }
    json_end(json);
    json_put_object(json, "summary");
    json_put_int(json, "total-successful-session-count", good);
    json_put_int(json, "total-failure-session-count", bad);
    json_end(json);
    if (bad) {
        json_put_array(json, "failure-details");
        for (size_t i = 0; i < count; i++) {
            if (slice_equal(rows[i].result, SLICE("success")))
                continue;
            json_object_begin(json);
            json_put_string(json, "result-type", rows[i].result);
            if (rows[i].from.len)
                json_put_string(json, "sending-mta-ip", rows[i].from);
            if (rows[i].mx.len)
                json_put_string(json, "receiving-mx-hostname", rows[i].mx);
            if (rows[i].to.len)
                json_put_string(json, "receiving-ip", rows[i].to);
            json_put_int(json, "failed-session-count", rows[i].n);
            if (rows[i].detail.len) {
                json_key(json, "failure-reason-code");
                detail_put(json, rows[i].detail);
            }
            json_end(json);
        }
        json_end(json);
    }
    json_end(json);
}

static void report_put(struct buf *out, const struct tls_report_from *from, const struct tls_row *rows, size_t count)
{
    struct json json = {out};
    struct arena arena = {0};
    json_object_begin(&json);
    json_put_string(&json, "organization-name", from->organization);
    json_put_object(&json, "date-range");
    json_put_string(&json, "start-datetime", arena_printf(&arena, "%.*sT00:00:00Z", SLICE_ARG(from->day)));
    json_put_string(&json, "end-datetime", arena_printf(&arena, "%.*sT23:59:59Z", SLICE_ARG(from->day)));
    json_end(&json);
    json_put_string(&json, "contact-info", from->contact);
    json_put_string(&json, "report-id",
                    arena_printf(&arena, "%.*sT00:00:00Z_%.*s", SLICE_ARG(from->day), SLICE_ARG(rows[0].domain)));
    json_put_array(&json, "policies");
    for (size_t at = 0, end; at < count; at = end) {
        for (end = at + 1; end < count && slice_equal(rows[end].policy, rows[at].policy); end++)
            ;
        policy_put(&json, rows + at, end - at);
    }
    json_end(&json);
    json_end(&json);
    arena_release(&arena);
}

bool tls_report_json(struct db *db, struct fault *why, const struct tls_report_from *from, struct slice domain,
                     tls_report_take *take, void *context)
{
    enum { REPORT_MOST = 16 << 20 };
    SCOPED(arena) arena = {0};
    SCOPED(rows) rows = {0};
    SCOPED(buf) json = BUF(REPORT_MOST);
    struct tls_row *table = NULL;
    size_t count = 0, room = 0;
    time_ms midnight;
    SCOPED(buf) instant = BUF(64);
    buf_printf(&instant, "%.*sT00:00:00Z", SLICE_ARG(slice_head(from->day, 20)));
    if (from->day.len != 10 || !time_parse_rfc3339(buf_slice(&instant), &midnight))
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is no day; write it as 2026-11-22",
                         SLICE_ARG(slice_head(from->day, 40)));
    if (!db_query(db, why, &rows,
                  "SELECT domain, policy, result, mx, sending_ip, receiving_ip, detail, policy_text, n FROM tls_count "
                  "WHERE day = $1 AND ($2 = '' OR domain = $2) ORDER BY domain, policy, result, mx, receiving_ip",
                  VALUES(V_TEXT(from->day), V_TEXT(domain))))
        return false;
    while (rows_next(&rows)) {
        if (count == room) {
            room = room ? room * 2 : 64;
            table = memory_resize(table, room, sizeof(*table));
        }
        struct slice texts[8];
        for (int i = 0; i < 8; i++)
            texts[i] = arena_copy(&arena, rows_text(&rows, i));
        table[count++] = (struct tls_row){texts[0], texts[1], texts[2], texts[3],          texts[4],
                                          texts[5], texts[6], texts[7], rows_int(&rows, 8)};
    }
    bool ok = rows_end(&rows);
    for (size_t at = 0, end; ok && at < count; at = end) {
        for (end = at + 1; end < count && slice_equal(table[end].domain, table[at].domain); end++)
            ;
        buf_reset(&json);
        report_put(&json, from, table + at, end - at);
        ok = take(context, table[at].domain, buf_slice(&json), why);
    }
    free(table);
    return ok;
}
