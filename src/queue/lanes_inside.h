/* lanes_inside.h - (private to queue/lanes*.c) a lane in memory, and the moves that all of them make
 *
 *     lanes.c        which lanes there are, where they go, when they wake
 *     lanes_sleep.c  the heap of those that sleep, by the instant at which they wake
 *     lanes_load.c   what the store, or news of a commit, says is owed
 *     lanes_claim.c  rows out of active lanes, by turns; and how they come home
 *
 * Always true: a lane is in a ring of its group (turn), or in the heap, or in neither: then nothing of it is due that
 * we know of, or it waits for its domain's route, until it is held no more, or, ranked, until all lanes were read once.
 * A bucket's bit in `owed` is cleared only by who has seen the bucket empty of what is not in memory. */
#ifndef TODOKE_QUEUE_LANES_INSIDE_H
#define TODOKE_QUEUE_LANES_INSIDE_H

#include "mail/address.h"
#include "queue/lanes.h"
#include "queue/turns.h"

struct domain;

struct lane {
    struct lane_key key;
    struct domain *domain;
    struct lane *of_domain, *of_domain_before; /* lanes of the same domain */
    struct ring_link link;                     /* in its campaign's ring of active lanes */
    struct campaign_turn *turn;                /* NULL: not active */
    size_t heap_at;                            /* 1..: place in the heap of the sleeping; 0: not there */
    time_ms next_due;                          /* earliest instant at which a row is known to be due */
    time_ms upto;                              /* active: only what is due until then, as its campaign is ranked */
    time_ms look_again;                        /* active: not before this for what has become due meanwhile */
    uint64_t owed[BUCKETS / 64];               /* buckets that may have rows which are not in memory */
    uint64_t may_have[BUCKETS / 64];           /* active: of these, buckets not yet found drained of what is due */
    unsigned cursor;                           /* bucket to go on with */
    time_ms after_due;                         /* in that bucket, rows up to here (due, then id) have been seen */
    uint64_t after_id;
    size_t claimed; /* rows of this lane in memory */
    bool is_held;
};

struct domain {
    struct slice name; /* the map's key */
    struct lane *lanes;
    struct lane_group *group;
    struct destination *destination;
    bool is_asked, is_asked_urgently;
};

struct lanes {
    struct db *reader;
    lanes_want_route want_route;
    lanes_woken woken;
    void *owner;
    struct id_map by_id;   /* -> struct lane */
    struct map domains;    /* -> struct domain */
    struct id_map claimed; /* delivery id -> struct recipient */
    struct id_map weights; /* brand id -> its weight */
    struct id_map ranked;  /* campaign id -> the last of its ranks (an instant) */
    struct lane **heap;    /* sleeping lanes by next_due, from 1 */
    size_t heap_count, heap_room;
    bool (*is_held)(void *context, const struct lane_key *key);
    void *holds;
    lanes_namer namer;
    void *names;
    struct lanes_share share;
    unsigned load_at;               /* the bucket that is read next; BUCKETS: none */
    bool loads_again, has_read_all; /* when it is through; once at least */
    uint64_t queries, rows_read;
    size_t ended_at;       /* how far the walk of lanes_claim_ended has come, */
    uint64_t ended_lane;   /* in which lane it is (0: in none), */
    unsigned ended_bucket; /* and which bucket of it is next */
};

static inline void bit_set(uint64_t *bits, unsigned bucket)
{
    bits[bucket / 64] |= 1ull << bucket % 64;
}
static inline void bit_clear(uint64_t *bits, unsigned bucket)
{
    bits[bucket / 64] &= ~(1ull << bucket % 64);
}
static inline bool bit_is_set(const uint64_t *bits, unsigned bucket)
{
    return bits[bucket / 64] >> bucket % 64 & 1;
}
static inline bool bits_are_clear(const uint64_t *bits)
{
    for (size_t i = 0; i < BUCKETS / 64; i++)
        if (bits[i])
            return false;
    return true;
}

/* lanes_sleep.c: it wakes at next_due (INT64_MAX: not by itself); it does not, now. */
void lane_sleep(struct lanes *lanes, struct lane *lane);
void lane_stop_sleeping(struct lanes *lanes, struct lane *lane);

/* lanes.c */
struct lane *lane_get(struct lanes *lanes, const struct lane_key *key);
/* Nothing is owed and nothing is in memory: the lane need not be remembered. */
void lane_forget_if_empty(struct lanes *lanes, struct lane *lane);
/* Whatever was due is in memory: out of its ring, asleep or gone. */
void lane_rests(struct lanes *lanes, struct lane *lane);
/* Something of this lane is due at `due`. */
void lane_due(struct lanes *lanes, struct lane *lane, time_ms due);
/* This bucket has something that can be claimed now, perhaps in front of what was seen. */
void lane_has_now(struct lane *lane, unsigned bucket);
/* Every bucket that may have something is to be looked at; its bucket in turn, from the first row on. */
void lane_look_everywhere(struct lane *lane);
static inline void lane_look_from_the_start(struct lane *lane)
{
    lane->after_due = 0;
    lane->after_id = 0;
}
unsigned lanes_weight_of(void *lanes, uint64_t brand_id);

/* Lanes that woke for nothing while something kept them wake again. */
void lanes_sleep_again(struct lanes *lanes);

/* lanes_load.c: is this lane's mail in this bucket ours to claim? */
bool lanes_are_served(const struct lanes *lanes, const struct lane_key *key, unsigned bucket);

#endif
