/* recent.h - the mails that were handed in last, in memory: composing one need not read it back from the store
 *
 * The store is what counts: a mail is kept here before its commit and asked for after its delivery was claimed, so what
 * was never committed is never asked for, and what is not here (older ones, large ones, those of other nodes, retries)
 * is read with message_find. Its bytes never change (submit/message.h), so nothing here can be out of date.
 *
 * Bounded: RECENT_PLACES of them, RECENT_OCTETS together; a mail's place follows from its id, and a later one with the
 * same place pushes it out. From any thread: a mail in its place belongs to nobody, and to whoever swaps it out. */
#ifndef TODOKE_SUBMIT_RECENT_H
#define TODOKE_SUBMIT_RECENT_H

#include "base/shared.h"
#include "submit/message.h"

enum { RECENT_PLACES = 4096, RECENT_OCTETS = 16 << 20, RECENT_LONGEST = 64 * 1024 };

/* What a composer wants to know of a stored mail. */
struct recent_mail {
    uint64_t id;
    struct shared *body;
    unsigned flags; /* enum message_flag */
    time_ms accepted;
    size_t recipients;
    struct slice from_domain; /* lies behind this */
};
void recent_mail_free(struct recent_mail *mail); /* NULL is fine */

struct recent_mails;
struct recent_mails *recent_mails_new(void);
void recent_mails_free(struct recent_mails *recent); /* NULL is fine */
/* Copies what it keeps. Not kept: a longer mail than RECENT_LONGEST, one that is due later, and any while there are
 * RECENT_OCTETS (then it only pushes out what has its place). NULL: nothing is. */
void recent_mails_keep(struct recent_mails *recent, const struct message *message);
/* The mail, which is the caller's then, and here no more; NULL: not here. */
struct recent_mail *recent_mails_take(struct recent_mails *recent, uint64_t id);

#endif
