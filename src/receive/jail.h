/* jail.h - processes that read strangers' bytes and can do nothing else (X13)
 *
 *     main --forks, before keys and threads--> spawner --forks on request, no exec--> reader   (seccomp, no files,
 *       |                                                                               |        no network, bounded
 *       +-------- a socket pair for each reader: bytes in, one record out --------------+        memory and CPU)
 *
 * A reader has what the spawner had when it was made: the program, and what `prepare` built (rules, charsets). It holds
 * one socket; it may compute, read from it and write to it; open and its kind are refused (EACCES), everything else
 * that a program could harm with, exec, fork, sockets, signals to others, ends it at once. It never saw a key: the
 * spawner was forked before any was read.
 *
 * What a reader says is strangers' bytes again: the caller checks it. A reader that dies or thinks for too long is
 * replaced at once. The mail it was at is tried again, alone, in a fresh one, and refused after JAIL_DEATHS_MAX deaths;
 * the others that it had are read again as if nothing had been. There are two spawners: when one dies, the other makes
 * a new one.
 *
 * One thread at a time. Order of records is the order of inputs. */
#ifndef TODOKE_RECEIVE_JAIL_H
#define TODOKE_RECEIVE_JAIL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

enum {
    JAIL_INPUT_MAX = 80 << 20,  /* bytes of one mail; more is refused without asking a reader */
    JAIL_RECORD_MAX = 64 << 20, /* bytes of one record */
    JAIL_MEMORY_MAX = 1 << 30,  /* of one reader's address space */
    JAIL_CPU_S = 10,            /* for one mail */
    JAIL_PATIENCE_MS = 30000,   /* for one mail, by the wall */
    JAIL_DEATHS_MAX = 3,        /* with a mail alone in the reader; killed from outside: twice as many */
    JAIL_READERS_MAX = 8,
};

/* What runs inside. */
struct jail_work {
    /* In the spawner, before it locks itself in: build what readers need, touch everything that is loaded lazily.
     * Gives what `read` gets as `prepared`. */
    void *(*prepare)(struct fault *why);
    /* In a reader: any bytes in, a record out (buf_ok or it is dropped). `now`: Unix seconds. */
    void (*read)(void *prepared, struct slice bytes, int64_t now, struct buf *record);
};

struct jail;
/* Fork the spawners: as the first thing in the program. WORLD: fork, seccomp, or `prepare` failed. readers 0: one for
 * each core, at most 4. */
struct jail *jail_start(const struct jail_work *work, unsigned readers, struct fault *why);
/* NULL is fine. */
void jail_stop(struct jail *jail);

/* No program is ever started from here on, by no thread: execve and execveat fail with EPERM, and no set-uid helps (no
 * new privileges). For the server itself, before its threads. WORLD. */
NODISCARD bool jail_no_exec(struct fault *why);

struct jail_item {
    struct slice bytes;
    /* the answer */
    bool is_read; /* `record` is what the reader made of it, in the arena */
    struct slice record;
    char why[160]; /* not read: one line */
};
/* Read them all. WORLD: readers cannot be had now; nothing was decided, ask again later. */
NODISCARD bool jail_read(struct jail *jail, struct jail_item *items, size_t count, int64_t now, struct arena *arena,
                         struct fault *why);

/* For the metrics page and tests. From any thread. */
struct jail_figures {
    uint64_t read, refused, deaths, started;
    unsigned readers; /* alive, as far as is known */
};
struct jail_figures jail_figures(const struct jail *jail);

#endif
