/* writer.c - group commit
 *
 * The queue is the only thing two threads share; `lock` guards it and the figures, and nothing slow happens under it
 * (the watches have a lock of their own). Everything else belongs to the writer thread.
 *
 *   queue --take (up to GROUP_JOBS or GROUP_ROWS)--> group: BEGIN, run each, writer_mark, COMMIT --> done(NULL)
 *     fault of one job:   ROLLBACK, each job alone in its own transaction, the bad one gets done(fault)
 *     a conflict with another node's: ROLLBACK, the same again at once, in good order (store/counter.h)
 *     the connection broke: ROLLBACK, reconnect, and again, once: a server ends what stood still in a transaction for
 *                         seconds (we slept, not the store), and that is nobody's fault
 *     the store is lost:  ROLLBACK, wait (50 ms, doubling to 5 s), reconnect, again; jobs that fail fast
 *                         get done(fault)
 *
 * A COMMIT that failed may still have taken place (the connection broke after it; an fsync failed with the commit
 * record in the log). So each group writes a fresh token into its node's row of writer_mark, and after reconnecting
 * reads it: found, the group was committed and nothing runs twice; it is told when it is on the disk for sure. */
#include "store/writer.h"
#include "base/log.h"
#include "base/random.h"
#include "base/thread.h"
#include "store/backend.h"
#include "store/counter.h"
#include "store/watches.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum {
    GROUP_JOBS = 512,
    GROUP_ROWS = 4096,
    WAIT_FIRST_MS = 50,
    WAIT_MOST_MS = 5000,
    BESIDE_MS = 100, /* idle: so often it looks whether another process has written */
    CONFLICTS_MOST = 20
};

struct writer {
    struct db *db;
    unsigned node;
    bool is_stepped; /* no thread: writer_step */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct write_job *first, **last; /* the queue */
    bool is_closing;
    struct store_figures figures;
    unsigned nudged; /* marks of other nodes' commits */

    struct watches watches;
    struct random random; /* tokens */
};

struct group {
    struct write_job *first, **last;
    unsigned jobs, rows;
};

/* ── lists of jobs ── */

static void group_init(struct group *group)
{
    *group = (struct group){.last = &group->first};
}

static void group_add(struct group *group, struct write_job *job)
{
    job->next = NULL;
    *group->last = job;
    group->last = &job->next;
    group->jobs++;
    group->rows += job->rows ? job->rows : 1;
}

/* Jobs may free themselves in done. */
static void group_done(struct group *group, const struct fault *why)
{
    struct write_job *job = group->first;
    while (job) {
        struct write_job *next = job->next;
        job->done(job, why);
        job = next;
    }
    group_init(group);
}

/* ── the queue ── */

static time_ms monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct timespec at(time_ms monotonic)
{
    return (struct timespec){.tv_sec = monotonic / 1000, .tv_nsec = monotonic % 1000 * 1000000};
}

/* Under the lock. */
static struct write_job *queue_pop(struct writer *writer)
{
    struct write_job *job = writer->first;
    writer->first = job->next;
    if (!writer->first)
        writer->last = &writer->first;
    writer->figures.queued--;
    return job;
}

/* Wait for work; an empty group is a look at what others do, a poll, marks of others, or the end (then false). */
static bool take_group(struct writer *writer, struct group *group, unsigned *nudged)
{
    group_init(group);
    time_ms poll = writer->watches.due, look = writer->db->backend->has_news ? monotonic_ms() + BESIDE_MS : poll;
    struct timespec until = at(look < poll ? look : poll);
    int code = 0;
    pthread_mutex_lock(&writer->lock);
    while (!writer->first && !writer->nudged && !writer->is_closing && code != ETIMEDOUT)
        code = pthread_cond_timedwait(&writer->wake, &writer->lock, &until);
    *nudged = writer->nudged;
    writer->nudged = 0;
    while (writer->first && group->jobs < GROUP_JOBS && group->rows < GROUP_ROWS)
        group_add(group, queue_pop(writer));
    bool goes_on = group->first || !writer->is_closing;
    pthread_mutex_unlock(&writer->lock);
    return goes_on;
}

static void call_watches(struct writer *writer, unsigned marks)
{
    watches_call(&writer->watches, marks, monotonic_ms());
}

/* ── one transaction ── */

enum outcome { COMMITTED, BAD_JOB, STORE_LOST, COMMIT_UNKNOWN, CONFLICT };

static bool mark_token(struct writer *writer, uint64_t token, struct fault *why)
{
    return db_do(writer->db, why,
                 "INSERT INTO writer_mark (node, token) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET token = "
                 "excluded.token",
                 VALUES(V_INT(writer->node), V_INT((int64_t)(token >> 1))), NULL);
}

static bool token_is_there(struct writer *writer, uint64_t token, struct fault *why, bool *is_there)
{
    int64_t found = 0;
    if (!db_query_ints(writer->db, why, "SELECT token FROM writer_mark WHERE node = $1", VALUES(V_INT(writer->node)),
                       &found, 1, is_there))
        return false;
    *is_there = *is_there && found == (int64_t)(token >> 1);
    return true;
}

/* Give it up, and tell what that means. */
static enum outcome give_up(struct db *db)
{
    bool is_lost = db_is_lost(db), is_conflict = db->is_conflict;
    db_rollback(db);
    return is_lost && is_conflict ? CONFLICT : is_lost ? STORE_LOST : BAD_JOB;
}

/* On PostgreSQL the server ends what waits for a lock for too long: of a command first when it is time to say so, and
 * then at its limit. On SQLite whoever waits for the lock counts (store_sqlite.c). */
static bool be_patient(struct db *db, struct fault *why)
{
    char sql[80];
    if (!db->patience_ms || !db_is_postgres(db))
        return true;
    snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = %u",
             db->has_said ? db->patience_ms - db->said_ms : db->said_ms);
    return db->backend->script(db, why, sql);
}

/* Is it to be tried again, having waited for a lock? */
static bool waits_on(struct db *db, struct fault *why)
{
    if (!db->patience_ms || !db->is_lock_timeout)
        return true;
    if (!db->has_said) {
        db->has_said = true;
        log_warn("store", "another program holds what this has to change; waiting for it, for %u s at most",
                 db->patience_ms / 1000);
        return true;
    }
    db->has_said = false;
    return fault_set(why, FAULT_WORLD,
                     "store: another program has held what this has to change for %u s; nothing was changed, try again",
                     db->patience_ms / 1000);
}

/* conflicts: so many times this group was given up for another node's sake. */
static enum outcome run_group(struct writer *writer, const struct group *group, uint64_t token, unsigned conflicts,
                              struct fault *why)
{
    struct db *db = writer->db;
    *why = (struct fault){0};
    if (!db_begin(db, why))
        return STORE_LOST;
    if (!be_patient(db, why) || (conflicts && !counters_take(db, why, conflicts)))
        return give_up(db);
    for (struct write_job *job = group->first; job; job = job->next) {
        if (job->run(job, db, why))
            continue;
        assert(why->kind != FAULT_NONE);
        return give_up(db);
    }
    if (!mark_token(writer, token, why))
        return give_up(db);
    if (db_commit(db, why))
        return COMMITTED;
    db_rollback(db);
    return COMMIT_UNKNOWN;
}

/* ── waiting for a lost store ── */

/* Those that do not want to wait leave the group, and the queue. */
static void fail_fast(struct writer *writer, struct group *group, const struct fault *why)
{
    struct group stay, go;
    group_init(&stay);
    group_init(&go);
    pthread_mutex_lock(&writer->lock);
    struct write_job *job = group->first, *next;
    for (; job; job = next) {
        next = job->next;
        group_add(job->fails_fast ? &go : &stay, job);
    }
    job = writer->first;
    writer->first = NULL;
    writer->last = &writer->first;
    for (; job; job = next) {
        next = job->next;
        if (job->fails_fast) {
            writer->figures.queued--;
            group_add(&go, job);
            continue;
        }
        job->next = NULL;
        *writer->last = job;
        writer->last = &job->next;
    }
    writer->figures.failed += go.jobs;
    pthread_mutex_unlock(&writer->lock);
    *group = stay;
    if (!stay.first)
        group->last = &group->first;
    group_done(&go, why);
}

static void set_lost(struct writer *writer, bool is_lost, const struct fault *why)
{
    pthread_mutex_lock(&writer->lock);
    bool was_lost = writer->figures.is_lost;
    writer->figures.is_lost = is_lost;
    writer->figures.retried += is_lost;
    pthread_mutex_unlock(&writer->lock);
    if (writer->db->patience_ms) /* a command says it itself, once */
        return;
    if (is_lost && !was_lost)
        log_error("store", "cannot write, waiting for the store: %s", why->text);
    if (!is_lost && was_lost)
        log_info("store", "the store is back");
}

/* False: the store closes. */
static bool wait_a_while(struct writer *writer, time_ms *wait)
{
    pthread_mutex_lock(&writer->lock);
    struct timespec until = at(monotonic_ms() + *wait);
    int code = 0;
    struct write_job *seen = writer->first;
    while (!writer->is_closing && code != ETIMEDOUT && writer->first == seen) /* a new job may want to fail fast */
        code = pthread_cond_timedwait(&writer->wake, &writer->lock, &until);
    bool goes_on = !writer->is_closing;
    pthread_mutex_unlock(&writer->lock);
    if (code == ETIMEDOUT)
        *wait = *wait * 2 < WAIT_MOST_MS ? *wait * 2 : WAIT_MOST_MS;
    return goes_on;
}

/* ── the thread ── */

static void committed(struct writer *writer, struct group *group)
{
    pthread_mutex_lock(&writer->lock);
    writer->figures.groups++;
    writer->figures.jobs += group->jobs;
    writer->figures.rows += group->rows;
    pthread_mutex_unlock(&writer->lock);
    unsigned marks = writer->db->marks;
    group_done(group, NULL);
    if (marks)
        call_watches(writer, marks);
}

static void failed(struct writer *writer, struct group *group, const struct fault *why)
{
    pthread_mutex_lock(&writer->lock);
    writer->figures.failed += group->jobs;
    pthread_mutex_unlock(&writer->lock);
    group_done(group, why);
}

/* A connection that has broken is made anew, and what ran is begun again: is the store there? Once for each group. */
static bool is_mended(struct writer *writer, bool *was_broken, struct fault *why)
{
    if (!writer->db->is_broken || *was_broken)
        return false;
    *was_broken = true;
    return writer->db->backend->reconnect(writer->db, why);
}

/* Bring one group to its end. BAD_JOB is left to the caller when there are several jobs. */
static enum outcome settle_group(struct writer *writer, struct group *group)
{
    struct fault why;
    time_ms wait = WAIT_FIRST_MS;
    uint64_t token = random_next(&writer->random);
    bool must_ask = false; /* a COMMIT may have taken place */
    bool was_broken = false;
    const struct backend *backend = writer->db->backend;
    unsigned conflicts = 0;
    memset(writer->db->counters.wanted, 0, sizeof(writer->db->counters.wanted));
    while (group->first) {
        enum outcome outcome = STORE_LOST;
        bool is_there = false;
        if (must_ask && !token_is_there(writer, token, &why, &is_there))
            outcome = STORE_LOST;
        else if (is_there) /* and on the disk? */
            outcome = !backend->secure || backend->secure(writer->db, &why) ? COMMITTED : STORE_LOST;
        else {
            if (must_ask && writer->figures.is_lost) /* it did not take place: now those in a hurry may know */
                fail_fast(writer, group, &why);
            must_ask = false;
            if (!group->first)
                break;
            outcome = run_group(writer, group, token, conflicts, &why);
        }
        switch (outcome) {
        case COMMITTED:
            writer->db->has_said = false;
            set_lost(writer, false, NULL);
            committed(writer, group);
            return COMMITTED;
        case BAD_JOB:
            if (group->jobs > 1)
                return BAD_JOB;
            failed(writer, group, &why);
            return COMMITTED;
        case CONFLICT:
            if (waits_on(writer->db, &why) &&
                ++conflicts <= CONFLICTS_MOST) /* at once: nothing is wrong with the store */
                continue;
            break;
        case COMMIT_UNKNOWN: must_ask = true; break;
        case STORE_LOST: break;
        }
        if (is_mended(writer, &was_broken, &why))
            continue;
        set_lost(writer, true, &why);
        if (!must_ask)
            fail_fast(writer, group, &why);
        if (group->first && !wait_a_while(writer, &wait)) {
            failed(writer, group, &why);
            return STORE_LOST;
        }
        struct fault ignored;
        if (!backend->reconnect(writer->db, &ignored))
            why = ignored;
    }
    return STORE_LOST;
}

static void settle(struct writer *writer, struct group *group)
{
    if (settle_group(writer, group) != BAD_JOB)
        return;
    struct write_job *job = group->first, *next;
    for (; job; job = next) {
        next = job->next;
        struct group alone;
        group_init(&alone);
        group_add(&alone, job);
        settle_group(writer, &alone);
    }
}

/* Nothing to write. What another process has committed (a command, beside a server) is heard soon; all are polled then,
 * as nobody knows what it was. */
static void idle(struct writer *writer)
{
    const struct backend *backend = writer->db->backend;
    if (backend->has_news && backend->has_news(writer->db))
        watches_hurry(&writer->watches);
    if (monotonic_ms() >= writer->watches.due)
        call_watches(writer, STORE_MARK_POLL);
}

static void *writer_main(void *context)
{
    struct writer *writer = context;
    struct group group;
    unsigned nudged;
    pthread_setname_np(pthread_self(), "writer");
    thread_takes_short_turns();
    while (take_group(writer, &group, &nudged)) {
        bool is_idle = !group.first && !nudged;
        if (group.first)
            settle(writer, &group);
        if (nudged)
            call_watches(writer, nudged);
        if (is_idle)
            idle(writer);
    }
    return NULL;
}

bool writer_step(struct writer *writer)
{
    struct group group;
    if (!writer->is_stepped)
        return false;
    group_init(&group);
    while (writer->first && group.jobs < GROUP_JOBS && group.rows < GROUP_ROWS)
        group_add(&group, queue_pop(writer));
    bool has_work = group.first != NULL;
    if (has_work)
        settle(writer, &group);
    return has_work;
}

struct writer *writer_start(struct db *db, unsigned node, bool is_stepped)
{
    struct writer *writer = NEW(struct writer);
    writer->db = db;
    writer->node = node;
    writer->is_stepped = is_stepped;
    watches_init(&writer->watches, monotonic_ms());
    writer->last = &writer->first;
    uint64_t seed;
    random_bytes(&seed, sizeof(seed));
    random_seed(&writer->random, seed);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (is_stepped)
        return writer;
    int code = pthread_create(&writer->thread, NULL, writer_main, writer);
    assert(code == 0);
    return writer;
}

void writer_stop(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->is_closing = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    if (writer->is_stepped)
        while (writer_step(writer)) {
        }
    else
        pthread_join(writer->thread, NULL);
    assert(!writer->first);
    pthread_cond_destroy(&writer->wake);
    watches_release(&writer->watches);
    pthread_mutex_destroy(&writer->lock);
    db_free(writer->db);
    free(writer);
}

void writer_post(struct writer *writer, struct write_job *job)
{
    if (writer->db->patience_ms)
        job->fails_fast = true;
    job->next = NULL;
    pthread_mutex_lock(&writer->lock);
    bool was_empty = !writer->first;
    *writer->last = job;
    writer->last = &job->next;
    writer->figures.queued++;
    pthread_mutex_unlock(&writer->lock);
    if (was_empty)
        pthread_cond_signal(&writer->wake);
}

void writer_nudge(struct writer *writer, unsigned marks)
{
    pthread_mutex_lock(&writer->lock);
    writer->nudged |= marks;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
}

void writer_watch(struct writer *writer, struct store_watch *watch)
{
    watches_add(&writer->watches, watch);
}

void writer_unwatch(struct writer *writer, const struct store_watch *watch)
{
    watches_remove(&writer->watches, watch, writer->is_stepped || pthread_equal(pthread_self(), writer->thread));
}

void writer_figures(struct writer *writer, struct store_figures *figures)
{
    pthread_mutex_lock(&writer->lock);
    *figures = writer->figures;
    pthread_mutex_unlock(&writer->lock);
}
