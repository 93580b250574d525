#include "report/engaged.h"

struct engaged {
    int64_t opens, clicks, opened_ms, clicked_ms, burst_ms, burst_links, burst_clicks;
};
enum { COLUMNS = sizeof(struct engaged) / sizeof(int64_t) };

static bool read_row(struct db *db, struct fault *why, const struct event *event, struct engaged *row)
{
    bool is_there;
    *row = (struct engaged){0};
    return db_query_ints(
        db, why,
        "SELECT opens, clicks, opened_ms, clicked_ms, burst_ms, burst_links, burst_clicks FROM engaged "
        "WHERE bucket = $1 AND delivery_id = $2",
        VALUES(V_INT(event->bucket), V_INT((int64_t)event->delivery_id)), (int64_t *)(void *)row, COLUMNS, &is_there);
}

static bool write_row(struct db *db, struct fault *why, const struct event *event, const struct engaged *row)
{
    return db_do(
        db, why,
        "INSERT INTO engaged (bucket, delivery_id, opens, clicks, opened_ms, clicked_ms, burst_ms, burst_links, "
        "burst_clicks) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (bucket, delivery_id) DO UPDATE "
        "SET opens = excluded.opens, clicks = excluded.clicks, opened_ms = excluded.opened_ms, clicked_ms = "
        "excluded.clicked_ms, burst_ms = excluded.burst_ms, burst_links = excluded.burst_links, burst_clicks = "
        "excluded.burst_clicks",
        VALUES(V_INT(event->bucket), V_INT((int64_t)event->delivery_id), V_INT(row->opens), V_INT(row->clicks),
               V_INT(row->opened_ms), V_INT(row->clicked_ms), V_INT(row->burst_ms), V_INT(row->burst_links),
               V_INT(row->burst_clicks)),
        NULL);
}

static void take_open(const struct event *event, struct engaged *row, int64_t n[ENGAGED_COUNT])
{
    if (event->origin != EVENT_ORIGIN_PERSON) {
        n[event->origin == EVENT_ORIGIN_PROXY ? ENGAGED_OPENS_PROXY : ENGAGED_OPENS_ROBOT]++;
        return;
    }
    n[ENGAGED_OPENS]++;
    n[ENGAGED_OPENED] += row->opens == 0;
    if (row->opens++ == 0)
        row->opened_ms = event->at;
}

static bool is_burst(int64_t links)
{
    return __builtin_popcountll((unsigned long long)links) >= ENGAGED_BURST_LINKS;
}

static void take_click(const struct event *event, struct engaged *row, int64_t n[ENGAGED_COUNT])
{
    if (event->origin != EVENT_ORIGIN_PERSON) {
        n[ENGAGED_CLICKS_ROBOT]++;
        return;
    }
    if (event->at - row->burst_ms > ENGAGED_BURST_MS) {
        row->burst_ms = event->at;
        row->burst_links = 0;
        row->burst_clicks = 0;
    }
    row->burst_links |= (int64_t)1 << (event->code % 63); /* code: the link's number */
    if (is_burst(row->burst_links)) { /* a machine's: what was counted of this burst is taken back */
        n[ENGAGED_CLICKS_ROBOT] += 1 + row->burst_clicks;
        n[ENGAGED_CLICKS] -= row->burst_clicks;
        n[ENGAGED_CLICKED] -= row->clicks && row->clicks == row->burst_clicks;
        row->clicks -= row->burst_clicks;
        row->burst_clicks = 0;
        if (row->clicks == 0)
            row->clicked_ms = 0;
        return;
    }
    n[ENGAGED_CLICKS]++;
    n[ENGAGED_CLICKED] += row->clicks == 0;
    if (row->clicks++ == 0)
        row->clicked_ms = event->at;
    row->burst_clicks++;
}

static bool count(struct db *db, struct fault *why, const struct event *event, const int64_t n[ENGAGED_COUNT])
{
    struct value values[ENGAGED_COUNT * 4];
    size_t rows = 0;
    for (int what = 0; what < ENGAGED_COUNT; what++) {
        if (!n[what])
            continue;
        struct value *row = &values[rows++ * 4];
        row[0] = V_INT(event->bucket);
        row[1] = V_INT((int64_t)event->campaign_id);
        row[2] = V_INT(what);
        row[3] = V_INT(n[what]);
    }
    return db_do_many(db, why,
                      "INSERT INTO count_engaged (bucket, campaign_id, what, n) VALUES ($1, $2, $3, $4) ON CONFLICT "
                      "(bucket, campaign_id, what) DO UPDATE SET n = count_engaged.n + excluded.n",
                      values, 4, rows, NULL);
}

bool engaged_take(struct db *db, struct fault *why, const struct event *events, size_t event_count)
{
    for (size_t i = 0; i < event_count; i++) {
        const struct event *event = &events[i];
        if ((event->kind != EVENT_OPENED && event->kind != EVENT_CLICKED) || !event->delivery_id)
            continue;
        struct engaged row;
        int64_t n[ENGAGED_COUNT] = {0};
        if (!read_row(db, why, event, &row))
            return false;
        if (event->kind == EVENT_OPENED)
            take_open(event, &row, n);
        else
            take_click(event, &row, n);
        if (!write_row(db, why, event, &row) || !count(db, why, event, n))
            return false;
    }
    return true;
}

bool engaged_read(struct db *db, struct fault *why, uint64_t campaign_id, int64_t n[ENGAGED_COUNT])
{
    SCOPED(rows) rows = {0};
    memset(n, 0, ENGAGED_COUNT * sizeof(*n));
    if (!db_query(
            db, why, &rows,
            "SELECT what, CAST(SUM(n) AS BIGINT) FROM count_engaged WHERE $1 = 0 OR campaign_id = $1 GROUP BY what",
            VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows))
        if (rows_int(&rows, 0) >= 0 && rows_int(&rows, 0) < ENGAGED_COUNT)
            n[rows_int(&rows, 0)] = rows_int(&rows, 1);
    return rows_end(&rows);
}
