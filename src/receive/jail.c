/* jail.c - the parent's side: some readers, and mails dealt out to them
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
#include "receive/jail_parent.h"

#include "base/log.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WINDOW_OCTETS = 4 << 20, /* of the mails that a reader has, unless it is one mail */
    MAILS_OF_A_START = 4,    /* so many must wait for another process to be worth it */
    DEATH_WEIGHT = 2,        /* of a death that the mail must have caused; killed from outside: 1 */
    STARTS_IN_VAIN_MAX = 30, /* readers that died before they did anything, one after another */
    LOOK_MS = 1000,          /* for readers that are late */
};

int64_t jail_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct jail *jail_start(const struct jail_work *work, unsigned readers, struct fault *why)
{
    struct jail *jail = NEW(struct jail);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    jail->work = *work;
    jail->most = readers ? readers : cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
    jail->most = jail->most < JAIL_READERS_MAX ? jail->most : JAIL_READERS_MAX;
    for (unsigned i = 0; i < JAIL_READERS_MAX; i++)
        reader_listen(&jail->readers[i]);
    for (unsigned i = 0; i < SPAWNERS; i++) {
        if (!spawner_start(jail, i, why)) {
            jail_stop(jail);
            return NULL;
        }
    }
    return jail;
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

static void deal_one(struct round *round, struct reader *reader, size_t index, bool is_alone)
{
    reader->mine[reader->count++] = index;
    reader->octets += round->items[index].bytes.len;
    reader->is_alone = is_alone;
    reader->has_begun = false;
    if (reader->count == 1)
        reader->moved_at = jail_clock_ms();
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
            round_refuse(round, round->next++, why);
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
            round_refuse(round, mine[0], why);
            return;
        }
    } else {
        round->jail->in_vain++;
    }
    for (unsigned i = count; i-- > 0;) /* the oldest is the next */
        round->suspects[round->suspect_count++] = mine[i];
}

static bool wants_reader(const struct round *round, unsigned alive)
{
    size_t fresh = round->count - round->next;
    size_t waiting = round->suspect_count + (fresh + MAILS_OF_A_START - 1) / MAILS_OF_A_START;
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
    poll(polled, count, round->has_lost ? 0 : LOOK_MS); /* what it had waits to be dealt */
    int64_t now = jail_clock_ms();
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
