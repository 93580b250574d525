/* relay_bench.c - what the store costs a relayed mail: accepted, marked, settled, and counted by the report's reader
 *
 *     relay_bench [MAILS [GROUP [URL]]]     default 16000, 32, and a fresh SQLite database in the current directory
 *
 * Without threads, sockets and chance: one transaction takes the next GROUP mails of 10 KB, puts the GROUP before them
 * on the wire, and settles the GROUP before those, as a relay under load does. Prints milliseconds of CPU a mail, in
 * the program and in the kernel; run it under `strace -c` for system calls and under callgrind for instructions. */
#include "mail/address.h"
#include "queue/ledger.h"
#include "report/report.h"
#include "submit/message.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum {
    BODY = 10 * 1024,
    DOMAINS = 8,
    GROUP_MOST = 1000,
    COUNTED_EACH = 500 /* mails between two runs of the reader */
};
static const time_ms START = 1795000000000;

struct mail {
    char address[32];
    uint64_t id;
};
struct bench {
    struct write_job job;
    struct store *store;
    struct ledger ledger;
    struct mail *mails;
    size_t total, group, round, counted;
    char body[BODY];
    struct arena arena;
};

/* The mails that are in their `step`th group. */
static size_t group_of(const struct bench *bench, size_t step, struct mail **mails)
{
    if (bench->round < step || (bench->round - step) * bench->group >= bench->total)
        return 0;
    *mails = bench->mails + (bench->round - step) * bench->group;
    return bench->group;
}

static bool accept_group(struct bench *bench, struct db *db, struct fault *why, time_ms now)
{
    struct mail *mails;
    size_t count = group_of(bench, 0, &mails);
    for (size_t i = 0; i < count; i++) {
        struct submit_row row = {.address = slice_str(mails[i].address), .written = slice_str(mails[i].address)};
        struct message message = {.id = id_make_anywhere(store_ids(bench->store), now),
                                  .brand_id = 1,
                                  .mail_from = SLICE("news@shop.example"),
                                  .from_domain = SLICE("shop.example"),
                                  .message_id = SLICE("<17.23@shop.example>"),
                                  .subject = SLICE("a subject"),
                                  .body = slice_of(bench->body, BODY),
                                  .now = now,
                                  .due = now,
                                  .expires = now + DAYS_MS(5),
                                  .keep_until = now + DAYS_MS(3)};
        struct submit_news *news;
        size_t news_count;
        if (!message_submit(db, why, &message, &row, 1, &bench->arena, &news, &news_count))
            return false;
        mails[i].id = row.delivery_id;
    }
    return true;
}

static bool mark_group(struct bench *bench, struct db *db, struct fault *why, time_ms now)
{
    struct mail *mails;
    size_t count = group_of(bench, 1, &mails);
    struct ledger_mark *marks = ARENA_ARRAY(&bench->arena, struct ledger_mark, count + 1);
    for (size_t i = 0; i < count; i++)
        marks[i] = (struct ledger_mark){.id = mails[i].id, .date = now};
    return count == 0 || ledger_mark(&bench->ledger, db, why, marks, count, now);
}

static bool settle_group(struct bench *bench, struct db *db, struct fault *why, time_ms now)
{
    struct mail *mails;
    size_t count = group_of(bench, 2, &mails);
    struct ledger_move *moves = ARENA_ARRAY(&bench->arena, struct ledger_move, count + 1);
    for (size_t i = 0; i < count; i++)
        moves[i] = (struct ledger_move){.event = {.kind = EVENT_DELIVERED,
                                                  .at = now,
                                                  .origin = EVENT_ORIGIN_REPLY,
                                                  .delivery_id = mails[i].id,
                                                  .brand_id = 1,
                                                  .address = slice_str(mails[i].address),
                                                  .domain = slice_from(slice_str(mails[i].address), 10),
                                                  .site = SLICE("mx0.example"),
                                                  .remote_mta = SLICE("mx0.example[127.77.7.1]"),
                                                  .diagnostic = SLICE("2.0.0 Ok"),
                                                  .state_before = DELIVERY_WAITING,
                                                  .state_after = DELIVERY_DELIVERED,
                                                  .code = 250,
                                                  .attempt = 1},
                                        .from = LEDGER_BIT(DELIVERY_ON_WIRE),
                                        .is_before_known = true,
                                        .is_attempt = true};
    return count == 0 || ledger_settle(&bench->ledger, db, why, moves, count);
}

static bool run(struct write_job *job, struct db *db, struct fault *why)
{
    struct bench *bench = (struct bench *)job;
    time_ms now = START + (time_ms)bench->round * 10;
    arena_reset(&bench->arena);
    size_t seen;
    if ((bench->counted += bench->group) >= COUNTED_EACH) {
        bench->counted = 0;
        if (!event_reader_next_batch(db, why, REPORT_READER, NULL, 0, 2000, report_take, NULL, &seen, NULL))
            return false;
    }
    return accept_group(bench, db, why, now) && mark_group(bench, db, why, now) && settle_group(bench, db, why, now);
}

static double ms_of(const struct timeval *time)
{
    return (double)time->tv_sec * 1000 + (double)time->tv_usec / 1000;
}

static bool all(struct bench *bench, struct fault *why)
{
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (bench->round = 0; bench->round < bench->total / bench->group + 2; bench->round++)
        if (!store_write_wait(bench->store, &bench->job, why))
            return false;
    getrusage(RUSAGE_SELF, &after);
    double user = (ms_of(&after.ru_utime) - ms_of(&before.ru_utime)) / (double)bench->total;
    double kernel = (ms_of(&after.ru_stime) - ms_of(&before.ru_stime)) / (double)bench->total;
    printf("%zu mails in groups of %zu: %.4f ms CPU a mail: %.4f here, %.4f in the kernel\n", bench->total,
           bench->group, user + kernel, user, kernel);
    return true;
}

int main(int argc, char **argv)
{
    uint64_t total = 16000, group = 32;
    struct fault why = {0};
    if ((argc > 1 && !slice_to_u64(slice_str(argv[1]), &total)) ||
        (argc > 2 && !slice_to_u64(slice_str(argv[2]), &group)) || group == 0 || group > GROUP_MOST || total < group) {
        fprintf(stderr, "usage: relay_bench [MAILS [GROUP [URL]]]\n");
        return 2;
    }
    struct store_options options = {.role = STORE_SERVE};
    struct bench *bench = NEW(struct bench);
    bench->store = store_open(argc > 3 ? argv[3] : "relay_bench.db", &options, &why);
    if (!bench->store) {
        fprintf(stderr, "relay_bench: %s\n", why.text);
        return 3;
    }
    bench->job = (struct write_job){.run = run, .rows = 1};
    bench->total = total / group * group;
    bench->group = group;
    bench->mails = NEW_ARRAY(struct mail, bench->total);
    memset(bench->body, 'X', sizeof(bench->body));
    for (size_t i = 0; i < bench->total; i++)
        snprintf(bench->mails[i].address, sizeof(bench->mails[i].address), "u%08u@d%u.example",
                 (unsigned)(i * 7919u) % 100000000u, (unsigned)(i % DOMAINS));
    bool ok = all(bench, &why);
    if (!ok)
        fprintf(stderr, "relay_bench: %s\n", why.text);
    store_close(bench->store);
    arena_release(&bench->arena);
    free(bench->mails);
    free(bench);
    return ok ? 0 : 1;
}
