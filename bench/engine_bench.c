/* engine_bench.c - how many mails a second the engine brings to a sink, and what one costs in processor time
 *
 *     todoke sink --listen 127.77.5.1:2525 --count N &
 *     engine_bench [MAILS [DOMAINS [STORE]]]     (100000 mails, 50 domains, a SQLite store in /tmp that is removed)
 *
 * The composer copies a mail of 3 KB that was made once: rendering and signing are measured by compose_bench. All
 * domains have one MX, and each is a destination of its own (its MX has its own name). */
#include "deliver/engine.h"
#include "dns/zone.h"
#include "mail/address.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 3000, STEP = 2000 };

static char body[BODY];

static bool compose(void *self, unsigned worker, const struct recipient *recipient, struct outgoing **out,
                    struct fault *why)
{
    char id[64];
    int len = snprintf(id, sizeof(id), "Message-ID: <%016llx@shop.example>\r\n", (unsigned long long)recipient->id);
    char mail[BODY + 64];
    memcpy(mail, id, (size_t)len);
    memcpy(mail + len, body, BODY);
    *out = outgoing_new(SLICE("b-token@bounce.shop.example"), recipient->written, slice_of(mail, (size_t)len + BODY));
    (*out)->version_id = 1;
    (*out)->date = recipient->accepted;
    return true;
}

struct submission {
    struct write_job job;
    struct arena arena;
    struct submit_order order;
    struct submit_row *rows;
    size_t count, news_count;
    struct submit_news *news;
};
static bool submission_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct submission *submission = (struct submission *)job;
    return submit_rows(db, why, &submission->order, submission->rows, submission->count, &submission->arena,
                       &submission->news, &submission->news_count);
}

static void die(const struct fault *why)
{
    fprintf(stderr, "engine_bench: %s\n", why->text);
    exit(1);
}
static double now(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void submit_all(struct store *store, struct engine *engine, size_t mails, size_t domains, time_ms at)
{
    struct arena texts = {0};
    struct submit_row **of = NEW_ARRAY(struct submit_row *, ID_BUCKETS);
    size_t *counts = NEW_ARRAY(size_t, ID_BUCKETS), *rooms = NEW_ARRAY(size_t, ID_BUCKETS);
    for (size_t i = 0; i < mails; i++) {
        struct slice address = arena_printf(&texts, "p%zu@d%zu.example", i, i % domains);
        unsigned bucket = address_bucket(address);
        if (counts[bucket] == rooms[bucket]) {
            rooms[bucket] = rooms[bucket] ? rooms[bucket] * 2 : 64;
            of[bucket] = memory_resize(of[bucket], rooms[bucket], sizeof(struct submit_row));
        }
        of[bucket][counts[bucket]++] = (struct submit_row){.address = address, .written = address};
    }
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        for (size_t from = 0; from < counts[bucket]; from += STEP) {
            struct submission submission = {
                .job = {.run = submission_run},
                .order = {.brand_id = 7, .campaign_id = 5, .priority = 1, .now = at, .due = at, .expires = at * 2},
                .rows = of[bucket] + from,
                .count = counts[bucket] - from < STEP ? counts[bucket] - from : STEP};
            struct fault why;
            if (!store_write_wait(store, &submission.job, &why))
                die(&why);
            engine_submitted(engine, submission.news, submission.news_count);
            arena_release(&submission.arena);
        }
        free(of[bucket]);
    }
    arena_release(&texts);
    free(of);
    free(counts);
    free(rooms);
}

static struct resolver *resolver_of(size_t domains)
{
    size_t room = domains * 120 + 10, len = 1;
    char *zone = memory_alloc(room);
    zone[0] = '{';
    for (size_t i = 0; i < domains; i++)
        len += (size_t)snprintf(zone + len, room - len,
                                "%s\"d%zu.example\":{\"MX\":[[10,\"mx%zu.example\"]]},\"mx%zu.example\":{\"A\":"
                                "[\"127.77.5.1\"]}",
                                i ? "," : "", i, i, i);
    zone[len++] = '}';
    struct fault why;
    struct resolver *resolver = zone_resolver_of_json(slice_of(zone, len), &why);
    if (!resolver)
        die(&why);
    free(zone);
    return resolver;
}

int main(int argc, char **argv)
{
    size_t mails = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000, domains = argc > 2 ? strtoul(argv[2], NULL, 10) : 50;
    char path[] = "/tmp/engine-bench-XXXXXX", url[128], command[160];
    if (!mkdtemp(path))
        return 1;
    snprintf(url, sizeof(url), "%s/store.db", path);
    struct fault why;
    for (int i = 0; i < BODY; i++)
        body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : i % 80 < 2 ? 'X' : 'a';
    memcpy(body, "From: news@shop.example\r\nSubject: hello\r\n\r\n", 43);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    world.resolver = resolver_of(domains);
    struct rules *rules;
    const struct store_options store_options = {.role = STORE_SERVE, .node = 1};
    struct store *store = store_open(argc > 3 ? argv[3] : url, &store_options, &why);
    if (!store || !rules_open(&rules, &why))
        die(&why);
    struct leases leases = {.node = 1};
    const struct engine_options options = {.store = store,
                                           .world = &world,
                                           .rules = rules,
                                           .composer = {.compose = compose},
                                           .ledger = {.leases = &leases, .node = 1},
                                           .roots = tls_roots_none(),
                                           .ehlo_name = SLICE("todoke.example"),
                                           .retry = {.scale = 1},
                                           .in_doubt_wait = MINUTES_MS(60)};
    struct engine *engine;
    if (!engine_start(&options, &engine, &why))
        die(&why);
    double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    submit_all(store, engine, mails, domains, world_wall(&world));
    double submitted = now(CLOCK_MONOTONIC);
    const struct timespec pause = {.tv_nsec = 1000000};
    while (engine_figures(engine).delivered < mails)
        nanosleep(&pause, NULL);
    double end = now(CLOCK_MONOTONIC);
    struct engine_figures figures = engine_figures(engine);
    struct store_figures written;
    store_figures(store, &written);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%zu mails to %zu domains in %.2f s: %.0f mails/s (all submitted after %.2f s), %.3f ms CPU each with "
           "submitting; %llu connections, %.1f mails a group of writes, %ld MB\n",
           mails, domains, end - start, (double)mails / (end - start), submitted - start,
           (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1000 / (double)mails, (unsigned long long)figures.connections,
           (double)mails / (double)written.groups, usage.ru_maxrss / 1024);
    engine_stop(engine, 2000);
    store_close(store);
    rules_free(rules);
    resolver_free(world.resolver);
    tls_roots_free(options.roots);
    if (argc <= 3) {
        static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm", "store.db.serve"};
        for (size_t i = 0; i < COUNT_OF(files); i++) {
            snprintf(command, sizeof(command), "%s/%s", path, files[i]);
            unlink(command);
        }
        rmdir(path);
    }
    return 0;
}
