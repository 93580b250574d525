/* jail.c - the parent's side: two spawners, some readers, and mails dealt out to them
 *
 *     TODO --dealt, several to a reader--> with a reader --record--> read
 *                                            | its reader died
 *                                            v
 *                                          SUSPECT --dealt, alone--> with a reader --record--> read
 *                                            ^                        | died again
 *                                            +---- not too often -----+----> refused
 *
 * Always true: a mail is with at most one reader; a reader answers in the order it was asked, so the first of its mails
 * without an answer is the one it is at. */
#include "receive/jail_inside.h"

#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WINDOW = 16,             /* mails that a reader may have at the same time */
    WINDOW_OCTETS = 4 << 20, /* and no more than so much, unless it is one mail */
    SPAWNERS = 2,
    SPAWNER_PATIENCE_S = 10,
    DEATH_WEIGHT = 2,        /* of a death that the mail must have caused; killed from outside: 1 */
    STARTS_IN_VAIN_MAX = 30, /* readers that died before they did anything, one after another */
};

struct spawner {
    pid_t pid; /* 0: there is none */
    int control;
    bool is_our_child; /* else the other spawner's */
};
struct reader {
    pid_t pid; /* 0: there is none */
    int fd;
    unsigned spawner;
    size_t mine[WINDOW]; /* items, oldest first */
    unsigned count;
    unsigned sending; /* mine[sending] is on its way; those before are there */
    size_t sent;      /* octets of it, with its question */
    size_t octets;
    bool is_alone, has_begun;
    int64_t moved_at;
    struct buf in;
};
struct jail {
    struct jail_work work;
    struct spawner spawners[SPAWNERS];
    struct reader readers[JAIL_READERS_MAX];
    unsigned most;
    unsigned in_vain;
    struct jail_figures figures;
};

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ── spawners ── */

static void spawner_drop(struct jail *jail, unsigned which)
{
    struct spawner *spawner = &jail->spawners[which];
    if (!spawner->pid)
        return;
    close(spawner->control);
    if (spawner->is_our_child) {
        kill(spawner->pid, SIGKILL);
        waitpid(spawner->pid, NULL, 0);
    }
    *spawner = (struct spawner){0};
}

/* One question, one answer. False: it is gone, and dropped. */
static bool spawner_ask(struct jail *jail, unsigned which, enum spawner_op op, pid_t pid,
                        struct spawner_message *answer, int *fd)
{
    struct spawner *spawner = &jail->spawners[which];
    struct spawner_message question = {.op = op, .pid = pid};
    *fd = -1;
    if (!spawner->pid)
        return false;
    if (message_send(spawner->control, &question, -1) && message_take(spawner->control, answer, fd) && answer->op == op)
        return true;
    if (*fd >= 0)
        close(*fd);
    log_error("receive", "the spawner of readers (process %d) is gone", (int)spawner->pid);
    spawner_drop(jail, which);
    return false;
}

static void control_adopt(struct spawner *spawner, pid_t pid, int control, bool is_our_child)
{
    struct timeval patience = {.tv_sec = SPAWNER_PATIENCE_S};
    setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    *spawner = (struct spawner){pid, control, is_our_child};
}

/* Both spawners are there again, if one is left to make the other. */
static void spawners_mend(struct jail *jail)
{
    for (unsigned i = 0; i < SPAWNERS; i++) {
        struct spawner_message answer;
        int fd;
        if (jail->spawners[i].pid || !jail->spawners[1 - i].pid)
            continue;
        if (spawner_ask(jail, 1 - i, SPAWNER_SPAWNER, 0, &answer, &fd) && fd >= 0) {
            control_adopt(&jail->spawners[i], answer.pid, fd, false);
            log_warn("receive", "a new spawner of readers, process %d", (int)answer.pid);
        }
    }
}

/* A spawner that nobody asked since it died is found out, while there is another to make a new one. */
static void spawners_check(struct jail *jail)
{
    for (unsigned i = 0; i < SPAWNERS; i++) {
        struct pollfd control = {.fd = jail->spawners[i].control, .events = POLLIN};
        if (!jail->spawners[i].pid || poll(&control, 1, 0) <= 0)
            continue;
        log_error("receive", "the spawner of readers (process %d) is gone", (int)jail->spawners[i].pid);
        spawner_drop(jail, i);
    }
    spawners_mend(jail);
}

static bool spawner_start(struct jail *jail, unsigned which, struct fault *why)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fault_errno(why, "the jail's socket");
    fflush(NULL);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        if (!dies_with(self))
            _exit(0);
        spawner_main(&jail->work, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return fault_errno(why, "the jail's process");
    }
    control_adopt(&jail->spawners[which], pid, ends[0], true);
    struct spawner_message ready;
    int fd;
    bool is_ready = message_take(ends[0], &ready, &fd) && ready.op == SPAWNER_READY;
    if (is_ready && ready.value)
        return true;
    spawner_drop(jail, which);
    return fault_set(why, FAULT_WORLD, "the jail for strangers' mail cannot be made: %s",
                     is_ready ? ready.text : "its process ended");
}

struct jail *jail_start(const struct jail_work *work, unsigned readers, struct fault *why)
{
    struct jail *jail = NEW(struct jail);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    jail->work = *work;
    jail->most = readers ? readers : cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
    jail->most = jail->most < JAIL_READERS_MAX ? jail->most : JAIL_READERS_MAX;
    for (unsigned i = 0; i < JAIL_READERS_MAX; i++)
        buf_init(&jail->readers[i].in, (size_t)JAIL_RECORD_MAX + 65536);
    for (unsigned i = 0; i < SPAWNERS; i++) {
        if (!spawner_start(jail, i, why)) {
            jail_stop(jail);
            return NULL;
        }
    }
    return jail;
}

/* ── readers ── */

/* Why a reader is given up. */
enum loss { LOSS_GONE, LOSS_LATE, LOSS_NONSENSE };

static const char *end_text(int status, bool is_known, enum loss loss)
{
    if (loss == LOSS_LATE)
        return "took longer than it may";
    if (loss == LOSS_NONSENSE)
        return "answered nonsense";
    if (!is_known)
        return "ended";
    if (WIFEXITED(status))
        return "ended by itself";
    switch (WTERMSIG(status)) {
    case SIGSYS: return "tried what it may not";
    case SIGPROF:
    case SIGXCPU: return "used more CPU than it may";
    case SIGABRT: return "ran out of memory or failed a check of its own";
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE: return "crashed";
    case SIGKILL: return "was killed";
    default: return "ended by a signal";
    }
}

/* Away with it; how it ended. */
static const char *reader_end(struct jail *jail, struct reader *reader, enum loss loss, bool *was_killed)
{
    struct spawner_message answer = {0};
    int fd;
    close(reader->fd);
    bool is_known = spawner_ask(jail, reader->spawner, SPAWNER_END, reader->pid, &answer, &fd);
    if (fd >= 0)
        close(fd);
    *was_killed = loss == LOSS_GONE && (!is_known || (WIFSIGNALED(answer.value) && WTERMSIG(answer.value) == SIGKILL));
    buf_release(&reader->in);
    *reader = (struct reader){0};
    buf_init(&reader->in, (size_t)JAIL_RECORD_MAX + 65536);
    __atomic_fetch_sub(&jail->figures.readers, 1, __ATOMIC_RELAXED);
    spawners_mend(jail);
    return end_text(answer.value, is_known, loss);
}

static bool reader_start(struct jail *jail, struct reader *reader, struct fault *why)
{
    struct spawner_message answer;
    int fd;
    fault_set(why, FAULT_WORLD, "both spawners of readers are gone; restart the server");
    for (unsigned i = 0; i < SPAWNERS; i++) {
        if (!spawner_ask(jail, i, SPAWNER_READER, 0, &answer, &fd))
            continue;
        if (fd < 0) {
            fault_set(why, FAULT_WORLD, "no reader can be made: %s", answer.text);
            continue;
        }
        reader->pid = answer.pid;
        reader->fd = fd;
        reader->spawner = i;
        __atomic_fetch_add(&jail->figures.started, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&jail->figures.readers, 1, __ATOMIC_RELAXED);
        spawners_mend(jail);
        return true;
    }
    return false;
}

void jail_stop(struct jail *jail)
{
    if (!jail)
        return;
    for (unsigned i = 0; i < JAIL_READERS_MAX; i++) {
        if (jail->readers[i].pid)
            close(jail->readers[i].fd); /* they end by that, and by the end of their spawner */
        buf_release(&jail->readers[i].in);
    }
    for (unsigned i = SPAWNERS; i-- > 0;)
        spawner_drop(jail, i);
    free(jail);
}

/* ── one round ── */

struct round {
    struct jail *jail;
    struct jail_item *items;
    size_t count, next, open; /* next: the first that was never dealt; open: without an answer */
    size_t *suspects;         /* to be dealt alone */
    size_t suspect_count;
    unsigned char *deaths;
    bool has_lost; /* a reader, since mails were dealt */
    int64_t now;
    struct arena *arena;
};

static void refuse(struct round *round, size_t index, const char *what)
{
    snprintf(round->items[index].why, sizeof(round->items[index].why), "%s", what);
    __atomic_fetch_add(&round->jail->figures.refused, 1, __ATOMIC_RELAXED);
    round->open--;
}

static void deal_one(struct round *round, struct reader *reader, size_t index, bool is_alone)
{
    reader->mine[reader->count++] = index;
    reader->octets += round->items[index].bytes.len;
    reader->is_alone = is_alone;
    reader->has_begun = false;
    if (reader->count == 1)
        reader->moved_at = monotonic_ms();
}

static void deal(struct round *round, struct reader *reader)
{
    if (reader->count == 0 && round->suspect_count) {
        deal_one(round, reader, round->suspects[--round->suspect_count], true);
        return;
    }
    while (round->next < round->count && reader->count < WINDOW && !(reader->count && reader->is_alone)) {
        struct jail_item *item = &round->items[round->next];
        if (reader->count && reader->octets + item->bytes.len > WINDOW_OCTETS)
            return;
        if (item->bytes.len > JAIL_INPUT_MAX) {
            char why[160];
            snprintf(why, sizeof(why), "it has %zu MB, more than the %d that are read", item->bytes.len >> 20,
                     JAIL_INPUT_MAX >> 20);
            refuse(round, round->next++, why);
            continue;
        }
        deal_one(round, reader, round->next++, false);
    }
}

/* The reader is gone: its mails go to others, or are refused. */
static void reader_lost(struct round *round, struct reader *reader, enum loss loss)
{
    size_t mine[WINDOW];
    unsigned count = reader->count;
    bool was_alone = reader->is_alone, had_begun = reader->has_begun, was_killed;
    memcpy(mine, reader->mine, sizeof(mine));
    pid_t pid = reader->pid;
    const char *how = reader_end(round->jail, reader, loss, &was_killed);
    __atomic_fetch_add(&round->jail->figures.deaths, 1, __ATOMIC_RELAXED);
    round->has_lost = true;
    log_warn("receive", "the reader of strangers' mail (process %d) %s; %u mails are read again", (int)pid, how, count);
    if (count && was_alone && (had_begun || loss != LOSS_GONE)) {
        unsigned char *deaths = &round->deaths[mine[0]];
        *deaths = (unsigned char)(*deaths + (was_killed ? 1 : DEATH_WEIGHT));
        if (*deaths >= JAIL_DEATHS_MAX * DEATH_WEIGHT) {
            char why[160];
            snprintf(why, sizeof(why), "the reader %s each time", how);
            refuse(round, mine[0], why);
            return;
        }
    } else {
        round->jail->in_vain++;
    }
    for (unsigned i = count; i-- > 0;) /* the oldest is the next */
        round->suspects[round->suspect_count++] = mine[i];
}

/* Send what it has not got, as much at once as it takes. False: it is gone. */
static bool reader_feed(struct round *round, struct reader *reader)
{
    while (reader->sending < reader->count) {
        struct reader_question questions[WINDOW];
        struct iovec parts[2 * WINDOW];
        size_t count = 0, skip = reader->sent;
        for (unsigned i = reader->sending; i < reader->count; i++) {
            struct slice bytes = round->items[reader->mine[i]].bytes;
            questions[i] = (struct reader_question){(uint32_t)bytes.len, reader->is_alone, round->now};
            size_t head = skip < sizeof(*questions) ? sizeof(*questions) - skip : 0;
            struct slice rest = slice_from(bytes, head ? 0 : skip - sizeof(*questions));
            if (head)
                parts[count++] = (struct iovec){(char *)&questions[i] + sizeof(*questions) - head, head};
            if (rest.len)
                parts[count++] = (struct iovec){(void *)(uintptr_t)rest.ptr, rest.len};
            skip = 0;
        }
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = count ? sendmsg(reader->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        reader->sent += (size_t)sent;
        while (reader->sending < reader->count) {
            size_t whole = sizeof(*questions) + round->items[reader->mine[reader->sending]].bytes.len;
            if (reader->sent < whole)
                break;
            reader->sent -= whole;
            reader->sending++;
        }
    }
    return true;
}

/* The answers that have come whole. False: nonsense. */
static bool reader_answers(struct round *round, struct reader *reader)
{
    struct reader_answer answer;
    size_t at = 0;
    for (; reader->in.len - at >= sizeof(answer); at += sizeof(answer) + answer.size) {
        memcpy(&answer, reader->in.ptr + at, sizeof(answer));
        if (answer.size > JAIL_RECORD_MAX || reader->sending == 0 || (answer.what != READER_RECORD && answer.size))
            return false;
        if (reader->in.len - at - sizeof(answer) < answer.size)
            break;
        if (answer.what == READER_BEGUN && (!reader->is_alone || reader->has_begun))
            return false; /* again and again it would put off the hour at which it is late */
        reader->moved_at = monotonic_ms();
        round->jail->in_vain = 0;
        if (answer.what == READER_BEGUN) {
            reader->has_begun = true;
            continue;
        }
        if (answer.what != READER_RECORD && answer.what != READER_NO_RECORD)
            return false;
        size_t index = reader->mine[0];
        struct jail_item *item = &round->items[index];
        if (answer.what == READER_RECORD) {
            item->record = arena_copy(round->arena, slice_of(reader->in.ptr + at + sizeof(answer), answer.size));
            item->is_read = true;
            __atomic_fetch_add(&round->jail->figures.read, 1, __ATOMIC_RELAXED);
            round->open--;
        } else {
            refuse(round, index, "there is more in it than a record may hold");
        }
        reader->octets -= item->bytes.len;
        memmove(reader->mine, reader->mine + 1, --reader->count * sizeof(*reader->mine));
        reader->sending--;
    }
    buf_consume(&reader->in, at);
    if (reader->in.room > 4 << 20 && !reader->in.len) {
        buf_release(&reader->in);
        buf_init(&reader->in, (size_t)JAIL_RECORD_MAX + 65536);
    }
    return true;
}

/* Take what it says. False: it is lost. */
static bool reader_hear(struct round *round, struct reader *reader, enum loss *loss)
{
    for (;;) {
        char *room = buf_reserve(&reader->in, 65536);
        *loss = room ? LOSS_GONE : LOSS_NONSENSE;
        if (!room)
            return false;
        ssize_t got = recv(reader->fd, room, 65536, MSG_DONTWAIT);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0)
            return false;
        buf_advance(&reader->in, (size_t)got);
        *loss = LOSS_NONSENSE;
        if (!reader_answers(round, reader))
            return false;
        if (got < 65536)
            return true;
    }
}

static bool wants_reader(const struct round *round, unsigned alive)
{
    size_t waiting = round->suspect_count + (round->count - round->next + 3) / 4; /* not a process for a mail or two */
    return waiting > 0 && (alive == 0 || waiting > alive);
}

/* Readers where there is work, and work for the readers. */
static bool round_deal(struct round *round, struct fault *why)
{
    struct jail *jail = round->jail;
    unsigned alive = 0;
    round->has_lost = false;
    for (unsigned i = 0; i < jail->most; i++)
        alive += jail->readers[i].pid != 0;
    for (unsigned i = 0; i < jail->most; i++) {
        struct reader *reader = &jail->readers[i];
        if (!reader->pid && wants_reader(round, alive)) {
            if (!reader_start(jail, reader, why))
                return alive > 0;
            alive++;
        }
        if (reader->pid)
            deal(round, reader);
        if (reader->pid && !reader_feed(round, reader))
            reader_lost(round, reader, LOSS_GONE);
    }
    return true;
}

static void round_wait(struct round *round)
{
    struct jail *jail = round->jail;
    struct pollfd polled[JAIL_READERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < jail->most; i++) {
        const struct reader *reader = &jail->readers[i];
        short events = reader->sending < reader->count ? POLLIN | POLLOUT : POLLIN;
        polled[count++] = (struct pollfd){.fd = reader->pid ? reader->fd : -1, .events = events};
    }
    poll(polled, count, round->has_lost ? 0 : 1000); /* what it had waits to be dealt */
    int64_t now = monotonic_ms();
    for (unsigned i = 0; i < count; i++) {
        struct reader *reader = &jail->readers[i];
        enum loss loss;
        if (!reader->pid)
            continue;
        if (polled[i].revents & (POLLIN | POLLHUP | POLLERR) && !reader_hear(round, reader, &loss))
            reader_lost(round, reader, loss);
        else if (reader->count && now - reader->moved_at > JAIL_PATIENCE_MS)
            reader_lost(round, reader, LOSS_LATE);
    }
}

bool jail_read(struct jail *jail, struct jail_item *items, size_t count, int64_t now, struct arena *arena,
               struct fault *why)
{
    struct round round = {.jail = jail, .items = items, .count = count, .open = count, .now = now, .arena = arena};
    round.suspects = ARENA_ARRAY(arena, size_t, count + 1);
    round.deaths = ARENA_ARRAY(arena, unsigned char, count + 1);
    for (size_t i = 0; i < count; i++)
        items[i] = (struct jail_item){.bytes = items[i].bytes};
    bool ok = true;
    jail->in_vain = 0;
    spawners_check(jail);
    while (ok && round.open) {
        ok = round_deal(&round, why);
        if (ok && jail->in_vain > STARTS_IN_VAIN_MAX)
            ok = fault_set(why, FAULT_WORLD, "readers die before they have done anything");
        if (ok && round.open)
            round_wait(&round);
    }
    for (unsigned i = 0; !ok && i < jail->most; i++) { /* what they still owe is nobody's any more */
        bool ignored;
        if (jail->readers[i].pid)
            reader_end(jail, &jail->readers[i], LOSS_LATE, &ignored);
    }
    return ok;
}

struct jail_figures jail_figures(const struct jail *jail)
{
    const struct jail_figures *figures = &jail->figures;
    return (struct jail_figures){
        .read = __atomic_load_n(&figures->read, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&figures->refused, __ATOMIC_RELAXED),
        .deaths = __atomic_load_n(&figures->deaths, __ATOMIC_RELAXED),
        .started = __atomic_load_n(&figures->started, __ATOMIC_RELAXED),
        .readers = __atomic_load_n(&figures->readers, __ATOMIC_RELAXED),
    };
}
