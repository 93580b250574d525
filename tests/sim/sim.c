/* sim.c - the engine's own code under a simulated clock, network, DNS and receivers (issue 4; RELIABILITY.md)
 *
 *     sim [SEED] [--recipients N] [--hours H] [--converge] [--clock] [--verbose]
 *
 * Dispatcher, workers, composers and the store's writer are the shipped code (src/deliver, queue, shape, store, smtp,
 * bounce); their loops are stepped by one thread (net/schedule.h) on virtual time, the writer commits in line to a
 * SQLite file, whose syncs do nothing here. Receivers are house.h. Looked at while it runs and at the end:
 *
 * - the books: accepted = the sum of all states, at every checkpoint; never more delivered than was really taken.
 * - nobody lost: each delivery ends; delivered only who was reached, bounced or expired only who was not (or in doubt).
 * - nobody twice: whoever was reached n times was in doubt n - 1 times before, by an event each.
 * - limits: never more than data/sites/default.yaml allows: connections, messages on one, new ones and messages in any
 *   window, as the receivers see it.
 * - no hot loop: virtual time goes on.
 * - with --converge all live at one site that takes a hidden rate, doubled after ten minutes: the pace finds it, stays
 *   under it, and follows.
 *
 * With --clock the wall clock is set wrong and right again while it runs, by a day and by ten years (F8): nobody may
 * expire by that.
 *
 * With --hostile four of twenty sites are, with --peaceful none of them is: the rate of the others is printed for both.
 *
 * One line at the end; status 1 when anything was not so. The same seed gives the same trace. */
#include "base/log.h"
#include "deliver/engine.h"
#include "mail/address.h"
#include "net/schedule.h"
#include "shape/site.h"
#include "sim/house.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    STEP = 2000,
    WORKERS = 3,
    COMPOSERS = 2,
    TURNS_MOST = 200000,
    NARROW_FOLLOWED = 16, /* minute: 6 after the doubling */

    COMMIT_MS = 40,
    CHECK_MS = 600000,
    FAULTS_SHOWN = 10
};
static const time_ms BEGIN = 1795305600000; /* 2026-11-22 in Japan */

/* ── nothing here is left to the machine: chance is the seed's, and syncing a file proves nothing ── */

static struct random machine;

ssize_t getrandom(void *to, size_t len, unsigned flags)
{
    for (size_t i = 0; i < len; i++)
        ((unsigned char *)to)[i] = (unsigned char)random_next(&machine);
    return (ssize_t)len;
}
int fsync(int fd)
{
    return 0;
}
int fdatasync(int fd)
{
    return 0;
}

/* ── the simulation ── */

struct sim {
    struct world world;
    struct schedule *schedule;
    struct house house;
    struct store *store;
    struct db *reader;
    struct rules *rules;
    struct sites *sites;
    struct loop *loop; /* the writer's */
    struct timer commit;
    struct random chance;
    struct leases leases;
    struct engine *engine;
    struct tls_roots *roots;
    char folder[64], url[128];
    size_t recipients;
    uint64_t doubts;
    unsigned faults, lost;
    size_t steps_done;
    unsigned together; /* recipients of a transaction, the same mail for all; 0: one by one */
    bool is_verbose, is_narrow, has_steps, is_hostile, is_peaceful;
    time_ms started; /* monotonic */
};

__attribute__((format(printf, 2, 3))) static void wrong(struct sim *sim, const char *format, ...)
{
    va_list more;
    sim->lost += strncmp(format, "lost:", 5) == 0;
    if (++sim->faults > FAULTS_SHOWN)
        return;
    fprintf(stderr, "sim: %.1f h: ", (double)(world_monotonic(&sim->world) - sim->started) / 3600000.0);
    va_start(more, format);
    vfprintf(stderr, format, more);
    va_end(more);
    fputc('\n', stderr);
}

static void die(const char *what, const struct fault *why)
{
    fprintf(stderr, "sim: %s: %s\n", what, why->text);
    exit(2);
}

static bool compose(void *self, unsigned worker, const struct recipient *recipient, struct outgoing **out,
                    struct fault *why)
{
    const struct sim *sim = self;
    char body[400];
    if (sim->together) {
        struct slice same = SLICE("Message-ID: <all@shop.example>\r\nFrom: news@shop.example\r\n\r\nthe same mail\r\n");
        struct shared *bytes = shared_new(same.len);
        memcpy(bytes->bytes, same.ptr, same.len);
        *out = outgoing_share_from(SLICE("b-token@bounce.shop.example"), SLICE("b-shared@bounce.shop.example"),
                                   recipient->written, bytes);
        shared_drop(bytes);
        (*out)->alike = 1;
        (*out)->recipients_most = sim->together;
        (*out)->version_id = 1;
        (*out)->date = recipient->accepted;
        return true;
    }
    snprintf(body, sizeof(body),
             "Message-ID: <%016llx@shop.example>\r\nFrom: news@shop.example\r\nSubject: simulated\r\n\r\n.a mail to "
             "%.*s\r\n",
             (unsigned long long)recipient->id, SLICE_ARG(recipient->address));
    *out = outgoing_new(SLICE("b-token@bounce.shop.example"), recipient->written, slice_str(body));
    (*out)->version_id = 1;
    (*out)->date = recipient->accepted;
    return true;
}

/* The writer: a commit takes a while, and takes all that has come meanwhile. */
static void commit(struct timer *timer)
{
    struct sim *sim = timer->owner;
    while (store_step(sim->store)) {
    }
}

static bool write_down(void *owner)
{
    struct sim *sim = owner;
    struct store_figures figures;
    store_figures(sim->store, &figures);
    if (!figures.queued || timer_is_set(&sim->commit))
        return false;
    timer_set(&sim->commit, 1 + (time_ms)random_below(&sim->chance, COMMIT_MS));
    return true;
}

/* ── accepting ── */

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
    arena_reset(&submission->arena);
    return submit_rows(db, why, &submission->order, submission->rows, submission->count, &submission->arena,
                       &submission->news, &submission->news_count);
}

static void submit_some(struct sim *sim, struct submit_row *rows, size_t count, time_ms expires)
{
    time_ms at = world_wall(&sim->world);
    struct submission submission = {
        .job = {.run = submission_run},
        .order = {.brand_id = 7, .campaign_id = 5, .priority = 1, .now = at, .due = at, .expires = at + expires},
        .rows = rows,
        .count = count};
    struct fault why;
    if (!store_write_wait(sim->store, &submission.job, &why))
        die("submit", &why);
    engine_submitted(sim->engine, submission.news, submission.news_count);
    arena_release(&submission.arena);
}

/* Bucket by bucket, as a campaign's expansion does; the engine works meanwhile. */
static void submit_all(struct sim *sim, time_ms expires)
{
    struct arena texts = {0};
    struct submit_row **of = NEW_ARRAY(struct submit_row *, ID_BUCKETS);
    size_t *counts = NEW_ARRAY(size_t, ID_BUCKETS), *rooms = NEW_ARRAY(size_t, ID_BUCKETS);
    for (size_t i = 0; i < sim->recipients; i++) {
        char text[40];
        house_address(&sim->house, i, text);
        struct slice address = arena_copy(&texts, slice_str(text));
        unsigned bucket = address_bucket(address);
        if (counts[bucket] == rooms[bucket]) {
            rooms[bucket] = rooms[bucket] ? rooms[bucket] * 2 : 64;
            of[bucket] = memory_resize(of[bucket], rooms[bucket], sizeof(struct submit_row));
        }
        of[bucket][counts[bucket]++] = (struct submit_row){.address = address, .written = address};
    }
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        for (size_t from = 0; from < counts[bucket]; from += STEP) {
            size_t left = counts[bucket] - from;
            submit_some(sim, of[bucket] + from, left < STEP ? left : STEP, expires);
            schedule_run(sim->schedule, 20);
        }
        free(of[bucket]);
    }
    arena_release(&texts);
    free(of);
    free(counts);
    free(rooms);
}

/* ── looking ── */

static void states_now(struct sim *sim, int64_t states[DELIVERY_STATE_COUNT])
{
    struct fault why;
    SCOPED(rows) rows = {0};
    memset(states, 0, DELIVERY_STATE_COUNT * sizeof(*states));
    if (!db_query(sim->reader, &why, &rows, "SELECT state, COUNT(*) FROM delivery GROUP BY state", NO_VALUES))
        die("states", &why);
    while (rows_next(&rows))
        states[rows_int(&rows, 0)] = rows_int(&rows, 1);
    if (!rows_end(&rows))
        die("states", &why);
}

/* The books at this moment; how many are owed. */
static int64_t check_books(struct sim *sim)
{
    int64_t states[DELIVERY_STATE_COUNT], sum = 0, owed = 0;
    states_now(sim, states);
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
        sum += states[state];
        owed += delivery_is_owed(state) ? states[state] : 0;
        house_trace(&sim->house, 100 + (uint64_t)state, (uint64_t)states[state]);
    }
    if (sum != (int64_t)sim->recipients)
        wrong(sim, "%zu accepted, but the states sum up to %lld", sim->recipients, (long long)sum);
    int64_t reached = (int64_t)(sim->house.taken - sim->house.twice);
    if (states[DELIVERY_DELIVERED] > reached)
        wrong(sim, "%lld are called delivered, %lld were reached", (long long)states[DELIVERY_DELIVERED],
              (long long)reached);
    return owed;
}

/* Counted at the receiver. What is handed over in time may arrive a little later, behind the answer to the one before
 * it: two messages of each connection. */
static void check_limits(struct sim *sim)
{
    const struct site_rule *rule = sites_default(sim->sites);
    for (unsigned i = 0; i < SITES; i++) {
        const struct site_host *site = &sim->house.sites[i];
        if (site->open_most > rule->connections)
            wrong(sim, "site %u: %u connections at once, the rule allows %u", i, site->open_most, rule->connections);
        if (site->session_most > rule->messages_per_connection)
            wrong(sim, "site %u: %u messages on one connection, the rule allows %u", i, site->session_most,
                  rule->messages_per_connection);
        if (site->shortest_opened && site->shortest_opened < rule->opening.per)
            wrong(sim, "site %u: %u connections in %lld ms, the rule allows %u in %lld", i, rule->opening.count + 1,
                  (long long)site->shortest_opened, rule->opening.count, (long long)rule->opening.per);
        if (site->shortest_mailed && site->shortest_mailed < rule->rate.per)
            wrong(sim, "site %u: %u messages in %lld ms, the rule allows %u in %lld", i, sim->house.window_mailed + 1,
                  (long long)site->shortest_mailed, rule->rate.count, (long long)rule->rate.per);
    }
}

/* How often each was in doubt. */
static unsigned char *doubts_read(struct sim *sim)
{
    struct fault why;
    SCOPED(rows) rows = {0};
    unsigned char *doubts = NEW_ARRAY(unsigned char, sim->recipients);
    if (!db_query(sim->reader, &why, &rows, "SELECT address FROM event WHERE kind = $1", VALUES(V_INT(EVENT_IN_DOUBT))))
        die("events", &why);
    while (rows_next(&rows)) {
        size_t person = house_person(&sim->house, rows_text(&rows, 0));
        sim->doubts++;
        if (person != SIZE_MAX && doubts[person] < 255)
            doubts[person]++;
    }
    if (!rows_end(&rows))
        die("events", &why);
    return doubts;
}

/* One delivery beside what really happened. */
static void check_person(struct sim *sim, size_t number, enum delivery_state state, unsigned doubts)
{
    const struct person *person = &sim->house.people[number];
    switch (state) {
    case DELIVERY_DELIVERED:
        if (!person->taken)
            wrong(sim, "lost: person %zu is called delivered and was never reached", number);
        break;
    case DELIVERY_BOUNCED:
    case DELIVERY_EXPIRED:
        if (person->taken && !doubts)
            wrong(sim, "person %zu is called %s and was reached", number,
                  state == DELIVERY_BOUNCED ? "bounced" : "expired");
        if (state == DELIVERY_EXPIRED && sim->has_steps)
            wrong(sim, "person %zu expired, by a clock that was wrong", number);
        if (state == DELIVERY_BOUNCED && !person->is_unknown)
            wrong(sim, "lost: person %zu is called bounced, and nobody refused it for good", number);
        break;
    default: wrong(sim, "lost: person %zu is still in state %d", number, state); break;
    }
    if (person->taken > 1 && person->taken - 1u > doubts)
        wrong(sim, "twice: person %zu was reached %u times, and in doubt %u times", number, person->taken, doubts);
}

static void check_people(struct sim *sim)
{
    struct fault why;
    SCOPED(rows) rows = {0};
    unsigned char *doubts = doubts_read(sim);
    size_t seen = 0;
    if (!db_query(sim->reader, &why, &rows, "SELECT address, state FROM delivery", NO_VALUES))
        die("deliveries", &why);
    for (; rows_next(&rows); seen++) {
        size_t person = house_person(&sim->house, rows_text(&rows, 0));
        if (person == SIZE_MAX)
            wrong(sim, "a delivery to nobody: %.*s", SLICE_ARG(rows_text(&rows, 0)));
        else
            check_person(sim, person, (enum delivery_state)rows_int(&rows, 1), doubts[person]);
    }
    if (!rows_end(&rows))
        die("deliveries", &why);
    if (seen != sim->recipients)
        wrong(sim, "%zu deliveries of %zu people", seen, sim->recipients);
    free(doubts);
}

/* ── running ── */

/* At these minutes somebody sets the clock by so many days. */
static void set_clock(struct sim *sim)
{
    static const struct {
        int minute, days;
    } steps[] = {{2, 1}, {20, -1}, {30, 3652}, {50, -3652}, {70, -1}, {80, 1}};
    time_ms minute = (world_monotonic(&sim->world) - sim->started) / MINUTES_MS(1);
    while (sim->steps_done < COUNT_OF(steps) && steps[sim->steps_done].minute <= minute)
        sim->world.manual_wall += DAYS_MS((time_ms)steps[sim->steps_done++].days);
}

static void run(struct sim *sim, time_ms most)
{
    time_ms until = sim->started + most, check_at = world_monotonic(&sim->world);
    for (int64_t owed = 1; owed && world_monotonic(&sim->world) < until;) {
        check_at += check_at - sim->started < HOURS_MS(2) ? CHECK_MS : 6 * CHECK_MS;
        time_ms at = 0;
        unsigned turns = 0;
        while (schedule_step(sim->schedule, check_at)) {
            turns = world_monotonic(&sim->world) == at ? turns + 1 : 0;
            at = world_monotonic(&sim->world);
            if (sim->has_steps)
                set_clock(sim);
            if (turns > TURNS_MOST) {
                wrong(sim, "a hot loop: %u rounds of turns, and the clock stands still", turns);
                return;
            }
        }
        owed = check_books(sim);
    }
}

static void open_sim(struct sim *sim, uint64_t seed)
{
    struct fault why;
    bool has_memory = access("/dev/shm", W_OK) == 0;
    random_seed(&machine, seed);
    log_setup(LOG_ERROR, false);
    world_init_manual(&sim->world, BEGIN, seed);
    sim->schedule = schedule_new(&sim->world);
    house_open(&sim->house, &sim->world, seed, sim->recipients);
    if (sim->is_narrow)
        house_narrow(&sim->house);
    if (sim->together)
        house_together(&sim->house);
    if (sim->is_hostile || sim->is_peaceful)
        house_hostile(&sim->house, sim->is_hostile);
    snprintf(sim->folder, sizeof(sim->folder), "%s/todoke-sim-XXXXXX", has_memory ? "/dev/shm" : "/tmp");
    if (!mkdtemp(sim->folder)) {
        perror("sim: mkdtemp");
        exit(2);
    }
    snprintf(sim->url, sizeof(sim->url), "%s/store.db", sim->folder);
    const struct store_options store_options = {.role = STORE_SERVE, .node = 1, .is_stepped = true};
    sim->store = store_open(sim->url, &store_options, &why);
    if (!sim->store || !rules_open(&sim->rules, &why) || !(sim->reader = store_reader_open(sim->store, &why)))
        die("store", &why);
    if (!sites_open(NULL, &sim->sites, &why))
        die("sites", &why);
    const struct site_rule *rule = sites_default(sim->sites);
    sim->house.window_opened = rule->opening.count < WINDOW ? rule->opening.count : WINDOW;
    sim->house.window_mailed = rule->rate.count + 2 * rule->connections * (sim->together ? sim->together : 1);
    if (!rule->opening.count || !rule->rate.count || sim->house.window_mailed > WINDOW) {
        fprintf(stderr, "sim: data/sites/default.yaml: the limits do not fit in WINDOW\n");
        exit(2);
    }
    sim->loop = loop_new(&sim->world);
    random_seed(&sim->chance, seed);
    timer_init(&sim->commit, sim->loop, commit, sim);
    schedule_also(sim->schedule, write_down, sim);
    sim->leases = (struct leases){.node = 1};
    sim->roots = tls_roots_none();
    const struct engine_options options = {
        .store = sim->store,
        .world = &sim->world,
        .rules = sim->rules,
        .sites = sim->sites,
        .composer = {.self = sim, .compose = compose},
        .ledger = {.leases = &sim->leases, .node = 1},
        .roots = sim->roots,
        .ehlo_name = SLICE("todoke.example"),
        .retry = {.scale = 1},
        .in_doubt_wait = MINUTES_MS(60),
        .workers = WORKERS,
        .composers = COMPOSERS,
    };
    if (!engine_start(&options, &sim->engine, &why))
        die("engine", &why);
    sim->started = world_monotonic(&sim->world);
}

static void close_sim(struct sim *sim)
{
    static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm", "store.db.serve"};
    char path[160];
    engine_stop(sim->engine, 2000);
    db_free(sim->reader);
    store_close(sim->store);
    rules_free(sim->rules);
    sites_free(sim->sites);
    tls_roots_free(sim->roots);
    timer_clear(&sim->commit);
    loop_free(sim->loop);
    house_close(&sim->house);
    schedule_free(sim->schedule);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", sim->folder, files[i]);
        unlink(path);
    }
    rmdir(sim->folder);
}

/* The pace beside what the receiver would take: between 0.7 of it and it after two minutes, and again some minutes
 * after it doubled (issue 4); what came in the minute is compared, so a fifth more is the receiver's own burst. */
static void check_convergence(struct sim *sim)
{
    const struct house *house = &sim->house;
    double rate = house->sites[0].rate / 2 * 60;
    uint64_t sum = 0;
    unsigned last = (unsigned)(house->sites[0].last_taken / MINUTES_MS(1));
    for (unsigned minute = 0; minute < last && minute < NARROW_MINUTES; minute++) {
        bool is_doubled = minute >= NARROW_DOUBLES_MIN, counts = is_doubled ? minute >= NARROW_FOLLOWED : minute >= 2;
        double taken = (double)house->taken_in_minute[minute], cap = is_doubled ? rate * 2 : rate;
        bool is_backlog = (sum += house->taken_in_minute[minute]) < sim->recipients * 95 / 100;
        if (sim->is_verbose)
            printf("# minute %2u: cap %4.0f, took %4.0f (%3.0f %%)\n", minute, cap, taken, 100 * taken / cap);
        if (counts && is_backlog && (taken < 0.7 * cap || taken > 1.2 * cap))
            wrong(sim, "minute %u: took %.0f, the receiver would take %.0f", minute, taken, cap);
    }
    if (last < NARROW_FOLLOWED + 3)
        wrong(sim, "too few recipients to see the pace: all was over in minute %u", last);
}

/* F5: those whose receivers are good, while a fifth of the sites is hostile, or is not. */
static void print_others(const struct sim *sim)
{
    const struct house *house = &sim->house;
    double seconds = (double)(house->others_until - house->others_from) / 1000.0;
    printf("# others: %.1f/s (8 of 10 in %.1f s)\n", 0.8 * (double)house->others / seconds, seconds);
}

/* What was said for good, and how often. */
static void print_endings(struct sim *sim)
{
    struct fault why;
    SCOPED(rows) rows = {0};
    if (!db_query(sim->reader, &why, &rows,
                  "SELECT kind, stage, reason, substr(diagnostic, 1, 80), COUNT(*) FROM event WHERE kind IN (4, 5, 6, "
                  "9) GROUP BY 1, "
                  "2, 3, 4 ORDER BY 5 DESC LIMIT 40",
                  NO_VALUES))
        die("events", &why);
    while (rows_next(&rows))
        printf("# %6lld %.*s stage %lld reason %lld: %.*s\n", (long long)rows_int(&rows, 4),
               SLICE_ARG(event_word((enum event_kind)rows_int(&rows, 0))), (long long)rows_int(&rows, 1),
               (long long)rows_int(&rows, 2), SLICE_ARG(rows_text(&rows, 3)));
    if (!rows_end(&rows))
        die("events", &why);
}

/* Sites that told us that we are too fast: what they took afterwards beside what they would have taken. */
static void print_pace(const struct sim *sim)
{
    for (unsigned i = 0; i < SITES; i++) {
        const struct site_host *site = &sim->house.sites[i];
        time_ms from = site->first_slowed + CONVERGED_MS;
        double seconds = (double)(site->last_taken - from) / 1000.0;
        if (site->first_slowed && seconds > 60)
            printf("# site %3u: cap %5.2f/s, took %5.2f/s (%3.0f %%) over %.0f s, said 421 %llu times for %llu taken\n",
                   i, site->rate, (double)site->taken_when_capped / seconds,
                   100 * (double)site->taken_when_capped / seconds / site->rate, seconds,
                   (unsigned long long)site->slowed, (unsigned long long)site->taken);
    }
}

static double seconds_now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"recipients", required_argument, NULL, 'r'},
                                          {"hours", required_argument, NULL, 'H'},
                                          {"hostile", no_argument, NULL, 'x'},
                                          {"peaceful", no_argument, NULL, 'f'},
                                          {"clock", no_argument, NULL, 'k'},
                                          {"converge", no_argument, NULL, 'c'},
                                          {"together", required_argument, NULL, 't'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    struct sim sim = {.recipients = 20000};
    uint64_t seed = 1, recipients = 20000, hours = 72, together = 0;
    bool is_wrong = false;
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case 'r': is_wrong |= !slice_to_u64(slice_str(optarg), &recipients) || !recipients; break;
        case 'H': is_wrong |= !slice_to_u64(slice_str(optarg), &hours) || !hours; break;
        case 'v': sim.is_verbose = true; break;
        case 'x': sim.is_hostile = true; break;
        case 'f': sim.is_peaceful = true; break;
        case 'k': sim.has_steps = true; break;
        case 'c': sim.is_narrow = true; break;
        case 't': is_wrong |= !slice_to_u64(slice_str(optarg), &together) || together > TOGETHER_MOST; break;
        default: is_wrong = true;
        }
    }
    if (optind < argc)
        is_wrong |= !slice_to_u64(slice_str(argv[optind++]), &seed);
    if (is_wrong || optind < argc) {
        fprintf(stderr, "usage: sim [SEED] [--recipients N] [--hours H] [--converge] [--together 2..10] [--clock] "
                        "[--hostile | --peaceful] [--verbose]\n");
        return 2;
    }
    double start = seconds_now();
    sim.recipients = recipients;
    sim.together = (unsigned)together;
    open_sim(&sim, seed);
    submit_all(&sim, HOURS_MS((time_ms)hours) / 2);
    run(&sim, HOURS_MS((time_ms)hours));
    if (sim.is_hostile || sim.is_peaceful)
        print_others(&sim);
    if (!sim.is_hostile) /* those who live there get nothing, ever */
        check_people(&sim);
    check_limits(&sim);
    if (sim.is_narrow)
        check_convergence(&sim);
    if (sim.is_verbose) {
        print_endings(&sim);
        print_pace(&sim);
    }
    int64_t states[DELIVERY_STATE_COUNT];
    states_now(&sim, states);
    double simulated = (double)(world_monotonic(&sim.world) - sim.started) / 3600000.0;
    uint64_t turns = schedule_turns(sim.schedule);
    close_sim(&sim);
    printf("sim: seed %llu, %zu recipients, %d sites, %.1f h in %.1f s: delivered %lld, bounced %lld, expired %lld; "
           "lost %u, twice %llu of %llu "
           "named in doubt; %llu connections, %llu refusals, %llu turns; %s; trace %016llx\n",
           (unsigned long long)seed, sim.recipients, SITES, simulated, seconds_now() - start,
           (long long)states[DELIVERY_DELIVERED], (long long)states[DELIVERY_BOUNCED],
           (long long)states[DELIVERY_EXPIRED], sim.lost, (unsigned long long)sim.house.twice,
           (unsigned long long)sim.doubts, (unsigned long long)sim.house.visits, (unsigned long long)sim.house.refused,
           (unsigned long long)turns, sim.faults ? "NOT all held" : "all invariants held",
           (unsigned long long)sim.house.trace);
    return sim.faults ? 1 : 0;
}
