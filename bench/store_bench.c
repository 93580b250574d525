/* store_bench.c - what the store costs: rows of a campaign expanded, marked, settled, counted
 *
 *     store_bench [DELIVERIES [URL]]     default 200000 and a fresh SQLite database in the current directory
 *
 * Each step runs as write jobs in groups as the engine's do. Prints milliseconds of wall and CPU time for each
 * delivery; the goals stand in PERFORMANCE.md (expand 0.014, mark 0.013, outcome with event 0.007). */
#include "base/random.h"
#include "event/event.h"
#include "mail/address.h"
#include "report/report.h"
#include "suppress/suppress.h"

#include <stdio.h>
#include <time.h>

enum { GROUP = 1000 };
static const time_ms NOW = 1795000000000;

struct bench {
    struct write_job job;
    uint64_t *ids;
    char (*addresses)[48];
    size_t from, count;
    bool (*step)(struct bench *bench, struct db *db, struct fault *why);
    struct arena arena;
};

static bool run(struct write_job *job, struct db *db, struct fault *why)
{
    struct bench *bench = (struct bench *)job;
    arena_reset(&bench->arena);
    return bench->step(bench, db, why);
}

static struct slice address_at(const struct bench *bench, size_t i)
{
    return slice_str(bench->addresses[bench->from + i]);
}

static bool expand(struct bench *bench, struct db *db, struct fault *why)
{
    struct value *values = ARENA_ARRAY(&bench->arena, struct value, GROUP * 5);
    for (size_t i = 0; i < GROUP; i++) {
        unsigned bucket = address_bucket(address_at(bench, i));
        uint64_t *id = &bench->ids[bench->from + i];
        *id = id_make(db_ids(db), NOW, bucket);
        values[i * 5] = V_INT(bucket);
        values[i * 5 + 1] = V_INT((int64_t)*id);
        values[i * 5 + 2] = V_INT((int64_t)(bench->from + i) % 8);
        values[i * 5 + 3] = V_TEXT(address_at(bench, i));
        values[i * 5 + 4] = V_INT(NOW);
    }
    return db_do_many(
        db, why,
        "INSERT INTO delivery (bucket, id, lane_id, brand_id, campaign_id, contact_id, address, written, "
        "due_ms, accepted_ms, changed_ms, expires_ms, state) VALUES ($1, $2, $3, 1, 1, 1, $4, $4, $5, $5, "
        "$5, $5, 0) ON CONFLICT DO NOTHING",
        values, 5, GROUP, NULL);
}

static bool mark(struct bench *bench, struct db *db, struct fault *why)
{
    struct value *values = ARENA_ARRAY(&bench->arena, struct value, GROUP * 3);
    for (size_t i = 0; i < GROUP; i++) {
        values[i * 3] = V_INT(id_bucket(bench->ids[bench->from + i]));
        values[i * 3 + 1] = V_INT((int64_t)bench->ids[bench->from + i]);
        values[i * 3 + 2] = V_INT(NOW);
    }
    return db_do_many(
        db, why,
        "UPDATE delivery SET state = 3, node = 1, changed_ms = $3 WHERE bucket = $1 AND id = $2 AND state "
        "<= 1 AND NOT EXISTS (SELECT 1 FROM suppression s WHERE s.bucket = delivery.bucket AND s.address = "
        "delivery.address AND s.brand_id IN (0, delivery.brand_id) AND s.topic = '')",
        values, 3, GROUP, NULL);
}

static bool settle(struct bench *bench, struct db *db, struct fault *why)
{
    struct value *values = ARENA_ARRAY(&bench->arena, struct value, GROUP * 3);
    struct event *events = ARENA_ARRAY(&bench->arena, struct event, GROUP * 2);
    size_t extra;
    for (size_t i = 0; i < GROUP; i++) {
        uint64_t id = bench->ids[bench->from + i];
        values[i * 3] = V_INT(id_bucket(id));
        values[i * 3 + 1] = V_INT((int64_t)id);
        values[i * 3 + 2] = V_INT(NOW);
        events[i] = (struct event){.bucket = id_bucket(id),
                                   .at = NOW,
                                   .kind = EVENT_DELIVERED,
                                   .origin = EVENT_ORIGIN_REPLY,
                                   .delivery_id = id,
                                   .campaign_id = 1,
                                   .contact_id = 1,
                                   .brand_id = 1,
                                   .address = address_at(bench, i),
                                   .domain = SLICE("docomo.example"),
                                   .site = SLICE("mx.docomo.example"),
                                   .remote_mta = SLICE("mx1.docomo.example[127.25.0.1]"),
                                   .diagnostic = SLICE("2.0.0 Ok: queued as 4cXyZ12345"),
                                   .state_before = DELIVERY_WAITING,
                                   .state_after = DELIVERY_DELIVERED,
                                   .code = 250,
                                   .attempt = 1};
    }
    return db_do_many(
               db, why,
               "UPDATE delivery SET state = 5, attempts = attempts + 1, changed_ms = $3 WHERE bucket = $1 AND id "
               "= $2 AND state = 3",
               values, 3, GROUP, NULL) &&
           suppress_apply(db, why, events, GROUP, NULL, events + GROUP, &extra) &&
           event_append(db, why, events, GROUP + extra);
}

static bool report(struct bench *bench, struct db *db, struct fault *why)
{
    return event_reader_next_batch(db, why, REPORT_READER, NULL, 0, GROUP, report_take, NULL, &bench->count, NULL);
}

/* A campaign expands bucket by bucket. */
static int by_bucket(const void *a, const void *b)
{
    return (int)address_bucket(slice_str(a)) - (int)address_bucket(slice_str(b));
}

/* In claims of neighbours, as lanes are claimed; the claims in any order. */
static void shuffle(struct bench *bench, size_t total)
{
    enum { CLAIM = 50 };
    size_t claims = total / CLAIM;
    size_t bytes = sizeof(*bench->addresses) * CLAIM;
    struct random random;
    random_seed(&random, 1);
    char *kept = memory_alloc(bytes);
    for (size_t i = claims - 1; i > 0; i--) {
        size_t a = i * CLAIM, b = random_below(&random, i + 1) * CLAIM;
        uint64_t ids[CLAIM];
        memcpy(ids, bench->ids + a, sizeof(ids));
        memmove(bench->ids + a, bench->ids + b, sizeof(ids));
        memcpy(bench->ids + b, ids, sizeof(ids));
        memcpy(kept, bench->addresses + a, bytes);
        memmove(bench->addresses + a, bench->addresses + b, bytes);
        memcpy(bench->addresses + b, kept, bytes);
    }
    free(kept);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool measure(struct store *store, struct bench *bench, const char *name,
                    bool (*step)(struct bench *bench, struct db *db, struct fault *why), size_t total,
                    struct fault *why)
{
    double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    bench->step = step;
    for (bench->from = 0; bench->from < total; bench->from += GROUP)
        if (!store_write_wait(store, &bench->job, why))
            return false;
    wall = seconds_of(CLOCK_MONOTONIC) - wall;
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%-8s %7.4f ms wall  %7.4f ms CPU  %9.0f a second\n", name, wall * 1000 / (double)total,
           cpu * 1000 / (double)total, (double)total / wall);
    return true;
}

int main(int argc, char **argv)
{
    uint64_t wanted = 200000;
    struct fault why = {0};
    if (argc > 1 && (!slice_to_u64(slice_str(argv[1]), &wanted) || wanted < GROUP)) {
        fprintf(stderr, "usage: store_bench [DELIVERIES (from %d) [URL]]\n", GROUP);
        return 2;
    }
    size_t total = wanted / GROUP * GROUP;
    struct store *store = store_open(argc > 2 ? argv[2] : "store_bench.db", NULL, &why);
    if (!store) {
        fprintf(stderr, "store_bench: %s\n", why.text);
        return 3;
    }
    struct bench bench = {.job = {.run = run, .rows = GROUP}};
    bench.ids = NEW_ARRAY(uint64_t, total);
    bench.addresses = memory_zero(total, sizeof(*bench.addresses));
    for (size_t i = 0; i < total; i++)
        snprintf(bench.addresses[i], sizeof(*bench.addresses), "person%u@docomo%u.example",
                 (unsigned)(i * 7919 % total), (unsigned)i % 8);
    qsort(bench.addresses, total, sizeof(*bench.addresses), by_bucket);
    bool ok = measure(store, &bench, "expand", expand, total, &why);
    shuffle(&bench, total);
    ok = ok && measure(store, &bench, "mark", mark, total, &why) &&
         measure(store, &bench, "settle", settle, total, &why) && measure(store, &bench, "report", report, total, &why);
    if (!ok)
        fprintf(stderr, "store_bench: %s\n", why.text);
    store_close(store);
    arena_release(&bench.arena);
    free(bench.addresses);
    free(bench.ids);
    return ok ? 0 : 3;
}
