#include "report/engaged.h"

#include "base/map.h"

/* The row of a delivery, and the counts of a (bucket, campaign): read and changed once for a whole batch of events. */
struct engaged {
    int64_t opens, clicks, opened_ms, clicked_ms, burst_ms, burst_links, burst_clicks;
    struct slice events; /* "bucket.seq" of the newest, by a space each */
    int64_t downloads, downloaded_ms, burst_downloads;
};
enum { COLUMNS = 11 };
struct delivery_row {
    unsigned bucket;
    uint64_t delivery_id, contact_id;
    time_ms by_person; /* of this batch: the last; 0: none */
    struct engaged engaged;
};
struct campaign_counts {
    unsigned bucket;
    uint64_t campaign_id;
    int64_t n[ENGAGED_COUNT];
};
struct batch {
    struct arena arena;
    struct id_map rows; /* by delivery */
    struct map counts;  /* by bucket and campaign */
    struct delivery_row **in_order;
    size_t row_count;
};

static bool is_ours(const struct event *event)
{
    return (event->kind == EVENT_OPENED || event->kind == EVENT_CLICKED || event->kind == EVENT_DOWNLOADED) &&
           event->delivery_id;
}

static bool row_read(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct batch *batch = context;
    batch->in_order[index]->engaged = (struct engaged){
        rows_int(row, 0), rows_int(row, 1), rows_int(row, 2), rows_int(row, 3),
        rows_int(row, 4), rows_int(row, 5), rows_int(row, 6), arena_copy(&batch->arena, rows_text(row, 7)),
        rows_int(row, 8), rows_int(row, 9), rows_int(row, 10)};
    return true;
}

static bool read_rows(struct db *db, struct fault *why, const struct event *events, size_t count, struct batch *batch)
{
    batch->in_order = ARENA_ARRAY(&batch->arena, struct delivery_row *, count);
    struct value *keys = ARENA_ARRAY(&batch->arena, struct value, count * 2);
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(&events[i]) || id_map_get(&batch->rows, events[i].delivery_id))
            continue;
        struct delivery_row *row = ARENA_NEW(&batch->arena, struct delivery_row);
        *row = (struct delivery_row){.bucket = id_bucket(events[i].delivery_id), .delivery_id = events[i].delivery_id};
        id_map_set(&batch->rows, row->delivery_id, row);
        keys[batch->row_count * 2] = V_INT(row->bucket);
        keys[batch->row_count * 2 + 1] = V_INT((int64_t)row->delivery_id);
        batch->in_order[batch->row_count++] = row;
    }
    return db_query_many(
        db, why,
        "SELECT opens, clicks, opened_ms, clicked_ms, burst_ms, burst_links, burst_clicks, events, downloads, "
        "downloaded_ms, burst_downloads FROM engaged WHERE bucket = $1 AND delivery_id = $2",
        keys, 2, batch->row_count, row_read, batch);
}

static bool write_rows(struct db *db, struct fault *why, struct batch *batch)
{
    struct value *values = ARENA_ARRAY(&batch->arena, struct value, batch->row_count * (COLUMNS + 2));
    for (size_t i = 0; i < batch->row_count; i++) {
        const struct engaged *row = &batch->in_order[i]->engaged;
        const struct value of[COLUMNS + 2] = {V_INT(batch->in_order[i]->bucket),
                                              V_INT((int64_t)batch->in_order[i]->delivery_id),
                                              V_INT(row->opens),
                                              V_INT(row->clicks),
                                              V_INT(row->opened_ms),
                                              V_INT(row->clicked_ms),
                                              V_INT(row->burst_ms),
                                              V_INT(row->burst_links),
                                              V_INT(row->burst_clicks),
                                              V_TEXT(row->events),
                                              V_INT(row->downloads),
                                              V_INT(row->downloaded_ms),
                                              V_INT(row->burst_downloads)};
        memcpy(&values[i * (COLUMNS + 2)], of, sizeof(of));
    }
    return db_do_many(
        db, why,
        "INSERT INTO engaged (bucket, delivery_id, opens, clicks, opened_ms, clicked_ms, burst_ms, "
        "burst_links, burst_clicks, events, downloads, downloaded_ms, burst_downloads) VALUES ($1, $2, $3, $4, $5, "
        "$6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (bucket, "
        "delivery_id) DO UPDATE SET opens = excluded.opens, clicks = excluded.clicks, opened_ms = "
        "excluded.opened_ms, clicked_ms = excluded.clicked_ms, burst_ms = excluded.burst_ms, burst_links "
        "= excluded.burst_links, burst_clicks = excluded.burst_clicks, events = excluded.events, downloads = "
        "excluded.downloads, downloaded_ms = excluded.downloaded_ms, burst_downloads = excluded.burst_downloads",
        values, COLUMNS + 2, batch->row_count, NULL);
}

/* The contact is one who reads what comes: to the day, so that few rows are written. A gateway's burst is none. */
static bool write_contacts(struct db *db, struct fault *why, struct batch *batch)
{
    struct value *values = ARENA_ARRAY(&batch->arena, struct value, batch->row_count * 4 + 1);
    size_t rows = 0;
    for (size_t i = 0; i < batch->row_count; i++) {
        const struct delivery_row *row = batch->in_order[i];
        if (!row->by_person || !row->contact_id ||
            (!row->engaged.opens && !row->engaged.clicks && !row->engaged.downloads))
            continue;
        values[rows * 4] = V_INT(row->bucket);
        values[rows * 4 + 1] = V_INT((int64_t)row->contact_id);
        values[rows * 4 + 2] = V_INT(row->by_person);
        values[rows++ * 4 + 3] = V_INT(row->by_person - DAYS_MS(1));
    }
    return db_do_many(db, why, "UPDATE contact SET engaged_ms = $3 WHERE bucket = $1 AND id = $2 AND engaged_ms <= $4",
                      values, 4, rows, NULL);
}

/* Remember where it stands, for the delivery's timeline; the oldest give way. */
static void remember(const struct event *event, struct engaged *row, struct arena *arena)
{
    size_t count = row->events.len ? 1 : 0;
    for (size_t i = 0; i < row->events.len; i++)
        count += row->events.ptr[i] == ' ';
    struct slice kept = row->events;
    for (; count >= ENGAGED_EVENTS_KEPT; count--)
        kept = slice_from(kept, (size_t)slice_find_byte(kept, ' ') + 1);
    SCOPED(buf) places = BUF(4096);
    buf_append(&places, kept);
    if (kept.len)
        buf_byte(&places, ' ');
    buf_u64(&places, event->bucket);
    buf_byte(&places, '.');
    buf_u64(&places, event->seq);
    row->events = arena_copy(arena, buf_slice(&places));
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

/* Clicks or downloads of a delivery, and how they are counted. */
struct use {
    int64_t *times, *first_ms, *burst;
    int64_t *n, *n_deliveries, *n_robot;
};

static struct use use_of(bool is_download, struct engaged *row, int64_t n[ENGAGED_COUNT])
{
    return is_download ? (struct use){&row->downloads,       &row->downloaded_ms,    &row->burst_downloads,
                                      &n[ENGAGED_DOWNLOADS], &n[ENGAGED_DOWNLOADED], &n[ENGAGED_DOWNLOADS_ROBOT]}
                       : (struct use){&row->clicks,       &row->clicked_ms,    &row->burst_clicks,
                                      &n[ENGAGED_CLICKS], &n[ENGAGED_CLICKED], &n[ENGAGED_CLICKS_ROBOT]};
}

/* What was counted of this burst was a machine's. */
static void take_back(const struct use *use)
{
    *use->n_robot += *use->burst;
    *use->n -= *use->burst;
    *use->n_deliveries -= *use->times && *use->times == *use->burst;
    *use->times -= *use->burst;
    *use->burst = 0;
    if (*use->times == 0)
        *use->first_ms = 0;
}

/* A click, or a download: code is the link's number, note the file's name. */
static void take_use(const struct event *event, struct engaged *row, int64_t n[ENGAGED_COUNT])
{
    bool is_download = event->kind == EVENT_DOWNLOADED;
    struct use use = use_of(is_download, row, n), other = use_of(!is_download, row, n);
    if (event->origin != EVENT_ORIGIN_PERSON) {
        ++*use.n_robot;
        return;
    }
    if (event->at - row->burst_ms > ENGAGED_BURST_MS) {
        row->burst_ms = event->at;
        row->burst_links = 0;
        row->burst_clicks = 0;
        row->burst_downloads = 0;
    }
    row->burst_links |= (int64_t)1 << (is_download ? 62 - hash_bytes(event->note, 0) % 31 : (uint64_t)event->code % 63);
    if (is_burst(row->burst_links)) {
        ++*use.n_robot;
        take_back(&use);
        take_back(&other);
        return;
    }
    ++*use.n;
    *use.n_deliveries += *use.times == 0;
    if ((*use.times)++ == 0)
        *use.first_ms = event->at;
    ++*use.burst;
}

static int64_t *counts_of(struct batch *batch, const struct event *event)
{
    uint64_t key[2] = {event->bucket, event->campaign_id};
    struct slice whole = slice_of(key, sizeof(key));
    struct campaign_counts *counts = map_get(&batch->counts, whole);
    if (!counts) {
        counts = ARENA_NEW(&batch->arena, struct campaign_counts);
        *counts = (struct campaign_counts){.bucket = event->bucket, .campaign_id = event->campaign_id};
        map_set(&batch->counts, whole, counts);
    }
    return counts->n;
}

static bool write_counts(struct db *db, struct fault *why, struct batch *batch)
{
    struct value *values = ARENA_ARRAY(&batch->arena, struct value, batch->counts.count * ENGAGED_COUNT * 4 + 1);
    size_t rows = 0, at = 0;
    for (struct map_entry *entry; (entry = map_walk(&batch->counts, &at));) {
        const struct campaign_counts *counts = entry->value;
        for (int what = 0; what < ENGAGED_COUNT; what++) {
            if (!counts->n[what])
                continue;
            struct value *row = &values[rows++ * 4];
            row[0] = V_INT(counts->bucket);
            row[1] = V_INT((int64_t)counts->campaign_id);
            row[2] = V_INT(what);
            row[3] = V_INT(counts->n[what]);
        }
    }
    return db_do_many(db, why,
                      "INSERT INTO count_engaged (bucket, campaign_id, what, n) VALUES ($1, $2, $3, $4) ON CONFLICT "
                      "(bucket, campaign_id, what) DO UPDATE SET n = count_engaged.n + excluded.n",
                      values, 4, rows, NULL);
}

bool engaged_take(struct db *db, struct fault *why, const struct event *events, size_t count)
{
    struct batch batch = {0};
    bool ok = read_rows(db, why, events, count, &batch);
    for (size_t i = 0; ok && batch.row_count && i < count; i++) {
        if (!is_ours(&events[i]))
            continue;
        struct delivery_row *row = id_map_get(&batch.rows, events[i].delivery_id);
        remember(&events[i], &row->engaged, &batch.arena);
        if (events[i].origin == EVENT_ORIGIN_PERSON) {
            row->contact_id = events[i].contact_id;
            row->by_person = events[i].at;
        }
        (events[i].kind == EVENT_OPENED ? take_open : take_use)(&events[i], &row->engaged,
                                                                counts_of(&batch, &events[i]));
    }
    ok = ok && (!batch.row_count ||
                (write_rows(db, why, &batch) && write_counts(db, why, &batch) && write_contacts(db, why, &batch)));
    map_release(&batch.counts);
    id_map_release(&batch.rows);
    arena_release(&batch.arena);
    return ok;
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
