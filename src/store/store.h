/* store.h - what is owed, what happened, what people decided: one database, one writer thread, as many readers as you
 * like
 *
 * "sqlite:/path" or a bare path is an embedded SQLite database (WAL, synchronous=FULL: a commit is on disk);
 * "postgres://..." or "postgresql://..." is a server. Opening creates or migrates the schema (data/schema/, embedded)
 * in one transaction and refuses a schema newer than this program.
 *
 * Everything is written by one thread, which commits many jobs at once (group commit: one fsync for all that had
 * queued). `done` of each job is called on the writer thread after the commit: post to your own mailbox there, and be
 * quick.
 *
 *     queued --group--> ran --COMMIT--> done(NULL)
 *                        | a fault: ROLLBACK; each job of the group runs again in a transaction of its own
 *                        |          --> done(NULL), or done(fault) for the one that is bad
 *                        | the store is lost: ROLLBACK; all wait and run again when it is back (fails_fast:
 * done(fault))
 *
 * So `run` must be repeatable: it may run several times, only the last one counts; keep results in the job and set them
 * anew in each run. It must not block on anything but the store, and must not open transactions. */
#ifndef TODOKE_STORE_STORE_H
#define TODOKE_STORE_STORE_H

#include "store/db.h"

struct store;

enum store_role {
    STORE_COMMAND, /* a command that looks, or writes a little, beside a server */
    STORE_SERVE,   /* the server: on SQLite only one process may be it (fault INPUT names the other) */
};
struct store_options {
    enum store_role role;
    unsigned node;   /* 0..STORE_NODE_MAX for servers; commands get one of their own above that */
    bool is_stepped; /* no writer thread: store_step writes what is queued (a simulation) */
    /* Of a command that somebody waits for: so long it waits for others who write, says on stderr after
     * STORE_PATIENCE_SAID_MS (or half of it) what it waits for, and then fails (WORLD); a store that is lost is no
     * longer waited for at all. 0: it waits as a server does. */
    unsigned patience_ms;
};
enum { STORE_PATIENCE_MS = 30000, STORE_PATIENCE_SAID_MS = 2000 };
enum { STORE_NODE_MAX = 511 };

/* options NULL: a command. Faults: INPUT a bad url, a newer schema, another server; WORLD cannot be reached or opened.
 */
struct store *store_open(const char *url, const struct store_options *options, struct fault *why);
/* Runs what is queued once more, ends the writer, closes. Jobs that cannot be written get done(fault WORLD). Readers
 * must be closed first. */
void store_close(struct store *store);

bool store_is_postgres(const struct store *store);
unsigned store_node(const struct store *store);
/* A server in another process writes to this SQLite file too: whoever writes much does it in small pieces with pauses,
 * because only one of them can at a time. False for the server itself, and on PostgreSQL. */
bool store_is_beside_server(const struct store *store);
struct id_maker *store_ids(struct store *store);

struct write_job {
    bool (*run)(struct write_job *job, struct db *db, struct fault *why);
    void (*done)(struct write_job *job, const struct fault *why); /* why NULL: committed. May free the job. */
    unsigned rows;          /* about how many rows it writes, for the size of groups; 0 counts as 1 */
    bool fails_fast;        /* do not wait for a lost store: tell me */
    struct write_job *next; /* the store's */
};
/* Queue a job, from any thread. First in, first written. */
void store_write(struct store *store, struct write_job *job);
/* Queue it and wait until it is written (`done` is not called). For commands and tests, never on a loop. */
NODISCARD bool store_write_wait(struct store *store, struct write_job *job, struct fault *why);
/* Come back when every job that was queued before is done; while the store is away, every one of them that fails fast.
 * For whoever ends, and has a job of its own on the way. */
void store_write_settle(struct store *store);

/* Of a stepped store: write one group of what is queued, on the caller's thread. False: there was nothing. */
bool store_step(struct store *store);

/* The same in two halves, to do something else meanwhile. finish must follow, once; the job must live until then. */
struct store_waited;
struct store_waited *store_write_start(struct store *store, struct write_job *job);
NODISCARD bool store_write_finish(struct store_waited *waited, struct fault *why);

/* A connection for one reading thread. Close with db_free. */
struct db *store_reader_open(struct store *store, struct fault *why);

/* Watchers are called on the writer thread after a commit with the marks its jobs left (db_mark), and about once a
 * second with STORE_MARK_POLL when nothing happens (the net under lost wake-ups and other nodes' commits); on SQLite
 * also within 100 ms of what a command beside the server has written, unless the writer is busy. They may call
 * store_write. again_ms is a poll of one's own, before that second is over. Add before the first write, remove
 * before store_close: once that returns the watch is called no more, and may be freed. */
enum store_mark {
    STORE_MARK_EVENTS = 1,
    STORE_MARK_DELIVERIES = 2,
    STORE_MARK_HOLDS = 4,
    STORE_MARK_INBOUND = 8,
    STORE_MARK_NOTICES = 16,
    STORE_MARK_CAMPAIGNS = 32,      /* one has something to expand */
    STORE_MARK_ELSEWHERE = 1 << 29, /* with others: another node's commit left them */
    STORE_MARK_POLL = 1 << 30
};
struct store_watch {
    void (*wake)(struct store_watch *watch, unsigned marks);
    unsigned again_ms; /* set by wake: poll me after at most so long; 0: no hurry */
    struct store_watch *next;
};
void store_watch_add(struct store *store, struct store_watch *watch);
void store_watch_remove(struct store *store, struct store_watch *watch);

/* Several servers on one PostgreSQL store hear each other (LISTEN, NOTIFY), in some milliseconds: the marks of other
 * nodes' commits, all but those of events, and words of one module to its like. Words may be lost with a connection or
 * a process: then `missed` is called, on those who might have heard them or at the next chance, and whoever hears it
 * looks everywhere. Both are called on a thread of the store's: post to your own mailbox, and do not tell from there.
 * On SQLite nobody is there to hear: nothing happens. */
enum { STORE_WORDS_MAX = 7000 };
struct store_listener {
    void (*heard)(struct store_listener *listener, unsigned node, struct slice words);
    void (*missed)(struct store_listener *listener);
    struct store_listener *next;
};
void store_listen(struct store *store, struct store_listener *listener);
void store_unlisten(struct store *store, struct store_listener *listener);
/* To all other nodes, from any thread. At most STORE_WORDS_MAX bytes of UTF-8 without NUL. */
void store_tell(struct store *store, struct slice words);
/* Somebody might hear. */
bool store_has_others(const struct store *store);

/* Figures since the start, for the metrics page. */
struct store_figures {
    uint64_t groups, jobs, rows, failed, retried;
    size_t queued; /* jobs that wait now */
    bool is_lost;  /* the store cannot be written now */
};
void store_figures(struct store *store, struct store_figures *figures);

/* "host:/path" for people: the url without a password. */
void store_print_url(const char *url, struct buf *out);

#endif
