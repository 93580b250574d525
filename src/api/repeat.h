/* repeat.h - an Idempotency-Key: the same request gets the answer it got before (U24)
 *
 * The answer is kept for 24 hours, by key and token, written in the transaction of what it answers. */
#ifndef TODOKE_API_REPEAT_H
#define TODOKE_API_REPEAT_H

#include "api/answer.h"
#include "store/db.h"

enum { REPEAT_TOKEN_MAX = 255, REPEAT_MS = 24 * 3600 * 1000 };

struct repeat {
    struct slice token; /* empty: none was given */
    uint64_t key_id;
    unsigned char request[32]; /* SHA-256 of method, path and body */
};
/* From the request's header; the token is copied into the arena. False: it is no token; answered. */
NODISCARD bool repeat_read(struct http_request *request, uint64_t key_id, struct arena *arena, struct repeat *repeat);

enum repeat_state { REPEAT_NEW, REPEAT_KNOWN, REPEAT_OTHER /* the token was used for another request */ };
/* Inside a write job. KNOWN: *status, and the answer behind `answer`. Without a token NEW. */
NODISCARD bool repeat_find(const struct repeat *repeat, struct db *db, time_ms now, enum repeat_state *state,
                           int *status, struct buf *answer, struct fault *why);
/* Inside the same job. */
NODISCARD bool repeat_keep(const struct repeat *repeat, struct db *db, time_ms now, int status, struct slice answer,
                           struct fault *why);

#endif
