/* bell.c - LISTEN and NOTIFY
 *
 * The lock guards the queue of words, the marks and the listeners; the connection is the thread's alone.
 *
 *     connecting --LISTEN, the number is ours--> listening --connection lost--> connecting (each second)
 *                                                    '--- once it stands again: missed --'
 *
 * A payload is "<node> <words>"; our own are not heard. Marks of commits go together, at most every MARKS_MS. */
#include "store/bell.h"

#include "base/log.h"
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_QUEUED_MOST = 4096, AGAIN_MS = 1000, MARKS_MS = 50, NUMBER_TRIES = 50, NUMBER_PAUSE_MS = 200 };
#define CHANNEL "todoke"

struct words {
    struct words *next;
    char text[]; /* the payload */
};

struct bell {
    char *url;
    unsigned node;
    void (*marks)(void *context, unsigned marks);
    void *context;
    PGconn *handle;
    pthread_t thread;
    int wake; /* eventfd */

    pthread_mutex_t lock;
    struct words *first, **last;
    unsigned queued, told; /* marks to be told */
    bool has_dropped, is_stopping;
    struct store_listener *listeners;
    bool was_lost; /* the thread's */
    time_ms marks_at;
};

static time_ms monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nudge(struct bell *bell)
{
    uint64_t one = 1;
    if (write(bell->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_warn("store", "the bell's thread cannot be woken: errno %d", errno);
}

/* ── the connection ── */

static struct slice first_line(const char *text)
{
    struct slice rest = slice_str(text), line = {0};
    return slice_line(&rest, &line) ? line : SLICE("no answer");
}

static bool say(struct bell *bell, const char *sql, struct fault *why)
{
    PGresult *result = PQexec(bell->handle, sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!ok)
        fault_set(why, FAULT_WORLD, "store: %.*s", SLICE_ARG(first_line(PQerrorMessage(bell->handle))));
    PQclear(result);
    return ok;
}

/* The number is held as long as the connection stands. */
static bool number_take(struct bell *bell, struct fault *why)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "SELECT pg_try_advisory_lock(8412111, %u)", bell->node);
    PGresult *result = PQexec(bell->handle, sql);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    bool is_ours = ok && PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (!ok)
        return fault_set(why, FAULT_WORLD, "store: %.*s", SLICE_ARG(first_line(PQerrorMessage(bell->handle))));
    return is_ours || fault_set(why, FAULT_INPUT,
                                "another todoke serves this store as node %u: each needs a number of its own (setting "
                                "node)",
                                bell->node);
}

static void disconnect(struct bell *bell)
{
    PQfinish(bell->handle);
    bell->handle = NULL;
}

static void notice(void *context, const char *message)
{
    log_debug("store", "PostgreSQL: %.*s", SLICE_ARG(first_line(message)));
}

static bool connect_bell(struct bell *bell, struct fault *why)
{
    const char *names[] = {"connect_timeout",  "application_name", "keepalives_idle",
                           "tcp_user_timeout", "dbname",           NULL};
    const char *values[] = {"5", "todoke bell", "10", "10000", bell->url, NULL};
    bell->handle = PQconnectdbParams(names, values, 1);
    if (PQstatus(bell->handle) != CONNECTION_OK) {
        fault_set(why, FAULT_WORLD, "store: %.*s", SLICE_ARG(first_line(PQerrorMessage(bell->handle))));
        disconnect(bell);
        return false;
    }
    PQsetNoticeProcessor(bell->handle, notice, NULL);
    /* a machine that lost its power must not hold its number for hours */
    if (say(bell,
            "SET synchronous_commit = off; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET "
            "tcp_keepalives_count = 3",
            why) &&
        number_take(bell, why) && say(bell, "LISTEN " CHANNEL, why))
        return true;
    disconnect(bell);
    return false;
}

/* ── ringing ── */

static struct words *words_new(struct bell *bell, struct slice text)
{
    char head[16];
    int len = snprintf(head, sizeof(head), "%u ", bell->node);
    struct words *words = memory_zero(1, sizeof(*words) + (size_t)len + text.len + 1);
    memcpy(words->text, head, (size_t)len);
    if (text.len)
        memcpy(words->text + len, text.ptr, text.len);
    return words;
}

static void words_free(struct words *list)
{
    while (list) {
        struct words *next = list->next;
        free(list);
        list = next;
    }
}

static bool notify(struct bell *bell, const char *payload, struct fault *why)
{
    const char *values[] = {payload};
    PGresult *result =
        PQexecParams(bell->handle, "SELECT pg_notify('" CHANNEL "', $1)", 1, NULL, values, NULL, NULL, 0);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!ok)
        fault_set(why, FAULT_WORLD, "store: %.*s", SLICE_ARG(first_line(PQerrorMessage(bell->handle))));
    PQclear(result);
    return ok;
}

/* What has queued, the marks in front. NULL: nothing. */
static struct words *queue_take(struct bell *bell, time_ms *wait)
{
    time_ms now = monotonic_ms();
    pthread_mutex_lock(&bell->lock);
    struct words *list = bell->first;
    bell->first = NULL;
    bell->last = &bell->first;
    bell->queued = 0;
    unsigned marks = 0;
    if (bell->told && now >= bell->marks_at) {
        marks = bell->told;
        bell->told = 0;
        bell->marks_at = now + MARKS_MS;
    } else if (bell->told) {
        *wait = bell->marks_at - now;
    }
    bool has_dropped = bell->has_dropped;
    bell->has_dropped = false;
    pthread_mutex_unlock(&bell->lock);
    if (marks) {
        char text[32];
        int len = snprintf(text, sizeof(text), "marks %u", marks);
        struct words *words = words_new(bell, slice_of(text, (size_t)len));
        words->next = list;
        list = words;
    }
    if (has_dropped) {
        struct words *words = words_new(bell, SLICE("missed"));
        words->next = list;
        list = words;
    }
    return list;
}

/* False: the connection is lost, and with it what was to be said: everybody is told to look when it stands again. */
static bool ring_all(struct bell *bell, time_ms *wait, struct fault *why)
{
    struct words *list = queue_take(bell, wait);
    bool is_many = list && list->next, ok = !is_many || say(bell, "BEGIN", why);
    for (struct words *words = list; ok && words; words = words->next)
        ok = notify(bell, words->text, why);
    ok = ok && (!is_many || say(bell, "COMMIT", why));
    words_free(list);
    if (!ok) {
        pthread_mutex_lock(&bell->lock);
        bell->has_dropped = true;
        pthread_mutex_unlock(&bell->lock);
    }
    return ok;
}

/* ── hearing ── */

static void tell_missed(struct bell *bell)
{
    pthread_mutex_lock(&bell->lock);
    for (struct store_listener *listener = bell->listeners; listener; listener = listener->next)
        listener->missed(listener);
    pthread_mutex_unlock(&bell->lock);
    bell->marks(bell->context, STORE_MARK_POLL);
}

static void hear(struct bell *bell, const char *payload)
{
    struct slice rest = slice_str(payload), number, word;
    uint64_t from, marks;
    if (!slice_split(&rest, ' ', &number) || !slice_to_u64(number, &from) || from == bell->node)
        return;
    if (slice_equal(rest, SLICE("missed"))) {
        tell_missed(bell);
    } else if (slice_starts(rest, SLICE("marks "))) {
        slice_split(&rest, ' ', &word);
        if (slice_to_u64(rest, &marks))
            bell->marks(bell->context, (unsigned)marks);
    } else {
        pthread_mutex_lock(&bell->lock);
        for (struct store_listener *listener = bell->listeners; listener; listener = listener->next)
            listener->heard(listener, (unsigned)from, rest);
        pthread_mutex_unlock(&bell->lock);
    }
}

static bool hear_all(struct bell *bell, struct fault *why)
{
    if (!PQconsumeInput(bell->handle))
        return fault_set(why, FAULT_WORLD, "store: %.*s", SLICE_ARG(first_line(PQerrorMessage(bell->handle))));
    for (PGnotify *heard; (heard = PQnotifies(bell->handle)) != NULL; PQfreemem(heard))
        hear(bell, heard->extra);
    return true;
}

/* ── the thread ── */

static bool stops(struct bell *bell)
{
    pthread_mutex_lock(&bell->lock);
    bool is_stopping = bell->is_stopping && !bell->first;
    pthread_mutex_unlock(&bell->lock);
    return is_stopping;
}

static void wait_for(struct bell *bell, time_ms wait)
{
    struct pollfd fds[2] = {{.fd = bell->wake, .events = POLLIN},
                            {.fd = bell->handle ? PQsocket(bell->handle) : -1, .events = POLLIN}};
    uint64_t ignored;
    if (poll(fds, 2, (int)wait) > 0 && fds[0].revents && read(bell->wake, &ignored, sizeof(ignored)) < 0)
        return;
}

static void *bell_main(void *context)
{
    struct bell *bell = context;
    pthread_setname_np(pthread_self(), "bell");
    while (!stops(bell)) {
        struct fault why;
        time_ms wait = AGAIN_MS * 10;
        if (!bell->handle && connect_bell(bell, &why)) {
            log_info("store", "the other nodes can be heard again");
            bell->was_lost = false;
            tell_missed(bell);
        }
        if (bell->handle && (!ring_all(bell, &wait, &why) || !hear_all(bell, &why)))
            disconnect(bell);
        if (!bell->handle) {
            if (!bell->was_lost)
                log_warn("store", "the other nodes cannot be heard now: %s", why.text);
            bell->was_lost = true;
            pthread_mutex_lock(&bell->lock);
            bool is_stopping = bell->is_stopping;
            bell->has_dropped = true; /* what was said meanwhile */
            pthread_mutex_unlock(&bell->lock);
            if (is_stopping)
                break;
            wait = AGAIN_MS;
        }
        wait_for(bell, wait);
    }
    return NULL;
}

struct bell *bell_start(const char *url, unsigned node, void (*marks)(void *context, unsigned marks), void *context,
                        struct fault *why)
{
    struct bell *bell = NEW(struct bell);
    bell->url = slice_dup(slice_str(url));
    bell->node = node;
    bell->marks = marks;
    bell->context = context;
    bell->last = &bell->first;
    bell->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&bell->lock, NULL);
    bool ok = false;
    for (int tries = 0; !ok && tries < NUMBER_TRIES; tries++) { /* our own earlier life may not be buried yet */
        const struct timespec pause = {.tv_nsec = NUMBER_PAUSE_MS * 1000000};
        if (tries)
            nanosleep(&pause, NULL);
        ok = connect_bell(bell, why);
        if (!ok && why->kind != FAULT_INPUT)
            break;
    }
    if (!ok || pthread_create(&bell->thread, NULL, bell_main, bell) != 0) {
        disconnect(bell);
        close(bell->wake);
        pthread_mutex_destroy(&bell->lock);
        free(bell->url);
        free(bell);
        return NULL;
    }
    return bell;
}

void bell_stop(struct bell *bell)
{
    if (!bell)
        return;
    pthread_mutex_lock(&bell->lock);
    bell->is_stopping = true;
    pthread_mutex_unlock(&bell->lock);
    nudge(bell);
    pthread_join(bell->thread, NULL);
    disconnect(bell);
}

void bell_free(struct bell *bell)
{
    if (!bell)
        return;
    words_free(bell->first);
    close(bell->wake);
    pthread_mutex_destroy(&bell->lock);
    free(bell->url);
    free(bell);
}

void bell_ring(struct bell *bell, struct slice words)
{
    struct words *item = words_new(bell, words);
    pthread_mutex_lock(&bell->lock);
    bool is_full = bell->queued >= WORDS_QUEUED_MOST;
    if (!is_full) {
        *bell->last = item;
        bell->last = &item->next;
        bell->queued++;
    }
    bell->has_dropped |= is_full;
    pthread_mutex_unlock(&bell->lock);
    if (is_full)
        free(item);
    nudge(bell);
}

void bell_marks(struct bell *bell, unsigned marks)
{
    pthread_mutex_lock(&bell->lock);
    bool is_new = (bell->told & marks) != marks;
    bell->told |= marks;
    pthread_mutex_unlock(&bell->lock);
    if (is_new)
        nudge(bell);
}

void bell_listen(struct bell *bell, struct store_listener *listener, bool is_added)
{
    pthread_mutex_lock(&bell->lock);
    if (is_added) {
        listener->next = bell->listeners;
        bell->listeners = listener;
    } else {
        struct store_listener **at = &bell->listeners;
        while (*at && *at != listener)
            at = &(*at)->next;
        if (*at)
            *at = listener->next;
    }
    pthread_mutex_unlock(&bell->lock);
}
