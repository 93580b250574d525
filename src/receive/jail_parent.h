/* jail_parent.h - what the parent knows of its spawners, its readers and the mails of a round (private to
 * receive/jail*.c) */
#ifndef TODOKE_RECEIVE_JAIL_PARENT_H
#define TODOKE_RECEIVE_JAIL_PARENT_H

#include "base/buf.h"
#include "receive/jail_inside.h"

enum {
    WINDOW = 16, /* mails that a reader may have at the same time */
    SPAWNERS = 2,
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

int64_t jail_clock_ms(void); /* monotonic */

/* ── jail_control.c: the spawners, and readers made and ended by them ── */

/* A spawner of our own. WORLD: the jail cannot be made here, and why. */
NODISCARD bool spawner_start(struct jail *jail, unsigned which, struct fault *why);
void spawner_drop(struct jail *jail, unsigned which);
/* A spawner that nobody asked since it died is found out, while there is another to make a new one. */
void spawners_check(struct jail *jail);

NODISCARD bool reader_start(struct jail *jail, struct reader *reader, struct fault *why);
/* Why a reader is given up. */
enum loss { LOSS_GONE, LOSS_LATE, LOSS_NONSENSE };
/* Away with it; how it ended, in words. */
const char *reader_end(struct jail *jail, struct reader *reader, enum loss loss, bool *was_killed);

/* ── jail_talk.c: mails to a reader, records from it ── */

/* An empty buffer for what it will say. */
void reader_listen(struct reader *reader);
/* Send what it has not got, as much at once as it takes. False: it is gone. */
bool reader_feed(struct round *round, struct reader *reader);
/* Take what it says. False: it is lost. */
bool reader_hear(struct round *round, struct reader *reader, enum loss *loss);
/* This mail is not read, and why. */
void round_refuse(struct round *round, size_t index, const char *what);

#endif
