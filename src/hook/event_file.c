/* event_file.c - the thread that writes them, and its row
 *
 *   WAITING --events, or asked to open anew--> read a batch --> settle --> append --> WAITING
 *                                                 ^   the store, or the disk: say it once, wait, again
 *
 * Always true: what the row calls `place` is in the file, on the disk. */
#include "hook/event_file.h"

#include "base/log.h"
#include "base/memory.h"
#include "event/place.h"
#include "hook/rotating.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 1000,
    BATCH_OCTETS_MOST = 64 << 20,
    LOOK_MS = 1000,
    GATHER_MS = 50,
    WAIT_MS = 1000,
    WAIT_MOST_MS = 30000
};

struct event_file {
    struct event_file_options options;
    struct store_watch watch;
    struct db *reader;
    struct rotating file;
    struct event_place place, batch_end; /* equal: nothing is under way */
    uint64_t inode, octets;              /* where the batch begins */
    struct buf lines;
    _Atomic bool is_waiting; /* said so */
    bool is_told;            /* `waits` knows how it is now */
    bool is_open;            /* the row does not know yet that the batch is there */
    pthread_t thread;
    int wake_fd; /* what others tell the thread: */
    _Atomic bool has_news, is_stopping, is_moved;
};

/* ── the row ── */

struct row_job {
    struct write_job job;
    struct event_file *file;
    struct event_place place, batch_end;
    uint64_t inode, octets;
};

static bool row_write(struct write_job *job, struct db *db, struct fault *why)
{
    struct row_job *row = (struct row_job *)job;
    SCOPED(buf) place = BUF(EVENT_CURSOR_MAX);
    SCOPED(buf) batch_end = BUF(EVENT_CURSOR_MAX);
    event_place_print(&row->place, &place);
    event_place_print(&row->batch_end, &batch_end);
    return db_do(db, why,
                 "INSERT INTO event_file (node, place, batch_end, inode, octets) VALUES ($1, $2, $3, $4, $5) ON "
                 "CONFLICT (node) DO UPDATE SET place = excluded.place, batch_end = excluded.batch_end, inode = "
                 "excluded.inode, octets = excluded.octets",
                 VALUES(V_INT(store_node(row->file->options.store)), V_TEXT(buf_slice(&place)),
                        V_TEXT(buf_slice(&batch_end)), V_INT((int64_t)row->inode), V_INT((int64_t)row->octets)),
                 NULL);
}

static bool row_settle(struct event_file *file, const struct event_place *end, struct fault *why)
{
    struct row_job row = {.job = {.run = row_write, .fails_fast = true},
                          .file = file,
                          .place = file->place,
                          .batch_end = *end,
                          .inode = file->file.inode & INT64_MAX,
                          .octets = file->file.size};
    if (!store_write_wait(file->options.store, &row.job, why))
        return false;
    file->batch_end = *end;
    file->inode = row.inode;
    file->octets = row.octets;
    file->is_open = memcmp(&file->place, end, sizeof(*end)) != 0;
    return true;
}

/* Where we were; the first time: now. */
static bool row_read(struct event_file *file, bool *is_there, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(file->reader, why, &rows, "SELECT place, batch_end, inode, octets FROM event_file WHERE node = $1",
                  VALUES(V_INT(store_node(file->options.store)))))
        return false;
    *is_there = rows_next(&rows);
    bool is_good = !*is_there || (event_place_parse(rows_text(&rows, 0), &file->place) &&
                                  event_place_parse(rows_text(&rows, 1), &file->batch_end));
    file->inode = *is_there ? (uint64_t)rows_int(&rows, 2) : 0;
    file->octets = *is_there ? (uint64_t)rows_int(&rows, 3) : 0;
    if (!rows_end(&rows))
        return false;
    if (!is_good)
        return fault_set(why, FAULT_INPUT, "events.file: the store's row of it cannot be read");
    if (*is_there)
        return true;
    if (!event_place_now(file->reader, &file->place, why))
        return false;
    file->batch_end = file->place;
    return row_settle(file, &file->place, why);
}

/* ── waiting ── */

static time_ms monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False: we are asked to stop. */
static bool pause_for(struct event_file *file, time_ms wait, bool ends_with_news)
{
    time_ms until = monotonic_ms() + wait, left;
    while (!file->is_stopping && !(ends_with_news && (file->has_news || file->is_moved)) &&
           (left = until - monotonic_ms()) > 0) {
        struct pollfd told = {.fd = file->wake_fd, .events = POLLIN};
        uint64_t times;
        if (poll(&told, 1, (int)left) > 0 && read(file->wake_fd, &times, sizeof(times)) < 0)
            break;
    }
    if (ends_with_news)
        file->has_news = false;
    return !file->is_stopping;
}

static void tell(struct event_file *file)
{
    uint64_t once = 1;
    ssize_t written = write(file->wake_fd, &once, sizeof(once));
    (void)written; /* fails only when the counter is full: then it is readable anyway */
}

static void tell_waits(struct event_file *file, const char *why)
{
    if (!file->is_told)
        file->is_told = !file->options.waits || file->options.waits(file->options.owner, why);
}

/* Something stands in the way: say so the first time, and wait. False: we are asked to stop. */
static bool hold(struct event_file *file, const struct fault *why, time_ms *wait)
{
    if (!file->is_waiting)
        log_error("events", "%s; events wait in the store, nothing is lost", why->text);
    if (!file->is_waiting)
        file->is_told = false;
    file->is_waiting = true;
    tell_waits(file, why->text);
    time_ms now = *wait;
    *wait = *wait * 2 < WAIT_MOST_MS ? *wait * 2 : WAIT_MOST_MS;
    return pause_for(file, now, false);
}

static time_ms first_wait(const struct event_file *file)
{
    return file->options.wait_ms ? file->options.wait_ms : WAIT_MS;
}

static void goes_on(struct event_file *file)
{
    if (file->is_waiting)
        log_info("events", "events.file %s is written again", file->options.path);
    if (file->is_waiting)
        file->is_told = false;
    file->is_waiting = false;
    tell_waits(file, NULL);
}

/* ── a batch ── */

static void line_take(void *context, const struct event *event)
{
    struct json json = {context};
    event_write(&json, event);
    buf_byte(context, '\n');
}

static const struct brands everybody = {0};

/* The lines from `place` to `batch_end`: the same whenever they are asked for. */
static bool batch_again(struct event_file *file, struct fault *why)
{
    struct event_wish wish = {.place = file->place};
    size_t count;
    bool has_more = true;
    buf_reset(&file->lines);
    while (has_more)
        if (!event_page_next(file->reader, &wish, &everybody, &file->batch_end, BATCH, line_take, &file->lines, &count,
                             &has_more, why))
            return false;
    return true;
}

/* What comes next; *end: the place behind it. */
static bool batch_next(struct event_file *file, struct event_place *end, bool *has_more, struct fault *why)
{
    struct event_wish wish = {.place = file->place};
    size_t count, most = file->options.batch ? file->options.batch : BATCH;
    buf_reset(&file->lines);
    if (!event_page_next(file->reader, &wish, &everybody, NULL, most, line_take, &file->lines, &count, has_more, why))
        return false;
    *end = wish.place;
    return true;
}

/* Until it is there, from `done` on. False: we are asked to stop. */
static bool batch_append(struct event_file *file, size_t done)
{
    struct fault why;
    time_ms wait = first_wait(file);
    while (!rotating_append(&file->file, buf_slice(&file->lines), &done, &why))
        if (!hold(file, &why, &wait))
            return false;
    goes_on(file);
    file->place = file->batch_end;
    return true;
}

/* What was under way when we ended. */
static bool batch_complete(struct event_file *file, struct fault *why)
{
    size_t done = 0;
    if (memcmp(&file->place, &file->batch_end, sizeof(file->place)) == 0)
        return true;
    if (!batch_again(file, why))
        return false;
    if (!rotating_find(&file->file, file->inode))
        log_warn("events",
                 "events.file %s: the file that was written last is not there any more; its last lines may "
                 "come again",
                 file->options.path);
    else if (!rotating_resume(&file->file, file->octets, buf_slice(&file->lines), &done, why))
        return false;
    if (!batch_append(file, done))
        return false;
    return rotating_open(&file->file, why); /* it may have been one that others have moved */
}

/* Nothing more comes for now: let the row know that all of it is there. */
static void batch_close(struct event_file *file)
{
    struct fault ignored;
    if (!row_settle(file, &file->place, &ignored))
        log_debug("events", "events.file: %s", ignored.text);
}

/* False: nothing was done; why, or there is nothing new (kind NONE). */
static bool turn(struct event_file *file, bool *has_more, struct fault *why)
{
    struct event_place end;
    *why = (struct fault){0};
    *has_more = false;
    if (!batch_next(file, &end, has_more, why))
        return false;
    if (!file->lines.len) {
        file->place = file->batch_end = end; /* perhaps past what is not kept any more */
        return false;
    }
    if (!buf_ok(&file->lines))
        return fault_set(why, FAULT_INPUT, "events.file: a batch of more than %d octets", BATCH_OCTETS_MOST);
    if (!rotating_turn(&file->file, why) || !row_settle(file, &end, why))
        return false;
    return batch_append(file, 0) || ((*why = (struct fault){0}), false);
}

/* ── the thread ── */

static void *file_main(void *arg)
{
    struct event_file *file = arg;
    struct fault why = {0};
    time_ms wait = first_wait(file);
    pthread_setname_np(pthread_self(), "events");
    while (!batch_complete(file, &why))
        if (!hold(file, &why, &wait))
            return NULL;
    goes_on(file);
    wait = first_wait(file);
    for (bool has_more = true; has_more || pause_for(file, LOOK_MS, true);) {
        if (file->is_stopping)
            break;
        bool is_moved = atomic_exchange(&file->is_moved, false);
        bool is_written = (!is_moved || rotating_open(&file->file, &why)) && turn(file, &has_more, &why);
        if (!is_written && why.kind) {
            if (is_moved)
                file->is_moved = true;
            has_more = hold(file, &why, &wait);
            continue;
        }
        wait = first_wait(file);
        if (!file->is_stopping) /* nothing new, and nothing in the way, is as good */
            goes_on(file);
        if (!has_more && !pause_for(file, GATHER_MS, false)) /* what comes together is written together */
            break;
        if (!has_more && file->is_open && !file->has_news)
            batch_close(file);
    }
    if (file->is_open && memcmp(&file->place, &file->batch_end, sizeof(file->place)) == 0)
        batch_close(file);
    return NULL;
}

/* On the writer thread. */
static void wake(struct store_watch *watch, unsigned marks)
{
    struct event_file *file = (struct event_file *)((char *)watch - offsetof(struct event_file, watch));
    if (marks & STORE_MARK_EVENTS && !atomic_exchange(&file->has_news, true))
        tell(file);
}

static void file_free(struct event_file *file)
{
    rotating_close(&file->file);
    db_free(file->reader);
    buf_release(&file->lines);
    close(file->wake_fd);
    free(file);
}

struct event_file *event_file_start(const struct event_file_options *options, struct fault *why)
{
    struct event_file *file = NEW(struct event_file);
    bool is_there;
    file->options = *options;
    file->file = (struct rotating){.path = file->options.path,
                                   .size_most = options->size_most,
                                   .keep = options->keep,
                                   .write = options->write,
                                   .fd = -1};
    buf_init(&file->lines, BATCH_OCTETS_MOST);
    file->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (file->wake_fd < 0)
        abort(); /* out of descriptors at the start */
    if (strlen(options->path) > ROTATING_PATH_MAX || options->keep > ROTATING_KEEP_MOST) {
        fault_set(why, FAULT_INPUT, "events.file: a path of at most %d octets, and at most %d old files",
                  ROTATING_PATH_MAX, ROTATING_KEEP_MOST);
        file_free(file);
        return NULL;
    }
    file->reader = store_reader_open(options->store, why);
    if (!file->reader || !rotating_open(&file->file, why) || !row_read(file, &is_there, why)) {
        file_free(file);
        return NULL;
    }
    file->watch.wake = wake;
    store_watch_add(options->store, &file->watch);
    if (pthread_create(&file->thread, NULL, file_main, file) != 0)
        memory_gone("a thread");
    return file;
}

bool event_file_is_waiting(const struct event_file *file)
{
    return file && file->is_waiting;
}

void event_file_reopen(struct event_file *file)
{
    if (!file)
        return;
    file->is_moved = true;
    tell(file);
}

void event_file_stop(struct event_file *file)
{
    if (!file)
        return;
    store_watch_remove(file->options.store, &file->watch);
    file->is_stopping = true;
    tell(file);
    pthread_join(file->thread, NULL);
    file_free(file);
}
