/* sign_in.h - sessions of browsers, and a brake for those who try secrets (X16)
 *
 * Sessions live in memory: a restart signs everybody out. An id is 256 random bits; only its SHA-256 is kept here, and
 * that is what is compared, so how long a comparison takes tells nothing about an id. */
#ifndef TODOKE_API_SIGN_IN_H
#define TODOKE_API_SIGN_IN_H

#include "base/buf.h"
#include "base/map.h"
#include "net/ip.h"
#include "net/world.h"

enum { SESSIONS_MOST = 1000, SESSION_ID_TEXT = 43 /* base64url of 32 bytes */, SESSION_DIGEST = 32 };
#define SESSION_LIFE HOURS_MS(12)

struct session {
    unsigned char digest[SESSION_DIGEST];
    time_ms until; /* monotonic */
    time_ms began; /* wall */
    uint64_t key_id;
};
struct sessions {
    struct session list[SESSIONS_MOST];
    unsigned count;
};

/* A new session of whoever showed this key; its id goes into id. With SESSIONS_MOST open the oldest ends. */
void session_begin(struct sessions *sessions, const struct world *world, uint64_t key_id, char id[SESSION_ID_TEXT]);
/* Is it open? digest (may be NULL) names it from here on. */
bool session_is_open(struct sessions *sessions, struct slice id, time_ms now, unsigned char *digest);
/* Whose? 0: it has ended. */
uint64_t session_key(struct sessions *sessions, const unsigned char *digest);
bool session_lasts(struct sessions *sessions, const unsigned char *digest, time_ms now);
/* When it began, by the wall clock; 0: it has ended. */
time_ms session_began(struct sessions *sessions, const unsigned char *digest);
void session_end(struct sessions *sessions, struct slice id);

/* Wrong secrets by address: a bucket of LIMITER_BURST that fills by one every LIMITER_REFILL_MS. IPv6 by /64. The table
 * is small; when it is full the address that has been quiet longest is forgotten. */
enum { LIMITER_ROOM = 256, LIMITER_BURST = 10, LIMITER_REFILL_MS = 6000 };
struct limiter {
    unsigned burst;    /* 0: LIMITER_BURST */
    time_ms refill_ms; /* 0: LIMITER_REFILL_MS */
    struct limiter_row {
        struct ip ip;
        unsigned wrong; /* 0: the row is free */
        time_ms since;  /* when `wrong` was counted down last */
    } rows[LIMITER_ROOM];
};
/* *retry_after_s is set when it may not. */
bool limiter_permits(struct limiter *limiter, const struct ip *ip, time_ms now, unsigned *retry_after_s);
void limiter_was_wrong(struct limiter *limiter, const struct ip *ip, time_ms now);

#endif
