/* delivery.h - the life of a delivery: one vocabulary in code, API, reports and tests (ARCHITECTURE.md)
 *
 * One mail to one recipient. Owed: waiting, deferred, held, on_wire, in_doubt. Ended: delivered, bounced, expired,
 * suppressed, cancelled. accepted = the sum of all ten, at any moment. The store keeps the numbers below: they never
 * change. */
#ifndef TODOKE_MAIL_DELIVERY_H
#define TODOKE_MAIL_DELIVERY_H

#include "base/slice.h"

#define DELIVERY_STATES(X)                                                                                             \
    X(WAITING, waiting, 0)       /* not tried yet, or due again at once */                                             \
    X(DEFERRED, deferred, 1)     /* tried, refused for now; due later */                                               \
    X(HELD, held, 2)             /* due only when a person or a rule releases it */                                    \
    X(ON_WIRE, on_wire, 3)       /* a connection slot has marked it; the final dot may be out */                       \
    X(IN_DOUBT, in_doubt, 4)     /* was on the wire when a node died or a connection broke after the dot */            \
    X(DELIVERED, delivered, 5)   /* the receiver said 250 */                                                           \
    X(BOUNCED, bounced, 6)       /* refused for good, at once or later by error mail */                                \
    X(EXPIRED, expired, 7)       /* given up after the last retry */                                                   \
    X(SUPPRESSED, suppressed, 8) /* never tried: we may not write to this address */                                   \
    X(CANCELLED, cancelled, 9)   /* the campaign or message was stopped first */

#define DELIVERY_ENUM(NAME, word, number) DELIVERY_##NAME = number,
enum delivery_state { DELIVERY_STATES(DELIVERY_ENUM) DELIVERY_STATE_COUNT };

struct slice delivery_word(enum delivery_state state);
NODISCARD bool delivery_of(struct slice word, enum delivery_state *state);
static inline bool delivery_is_owed(enum delivery_state state)
{
    return state <= DELIVERY_IN_DOUBT;
}

#endif
