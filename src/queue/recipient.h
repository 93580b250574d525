/* recipient.h - one delivery, claimed: in memory from the claim until its outcome is committed
 *
 * One block of memory with its texts behind it. It travels by mailbox from the claimer to the delivery thread that owns
 * the site, to the composing pool and back, and at last home to the claimer, who frees it. Only its holder touches it.
 */
#ifndef TODOKE_QUEUE_RECIPIENT_H
#define TODOKE_QUEUE_RECIPIENT_H

#include "base/fault.h"
#include "base/shared.h"
#include "base/time.h"
#include "mail/delivery.h"
#include "net/mailbox.h"

struct lane;
struct outgoing;    /* deliver/composer.h */
struct destination; /* deliver/destination.h */
struct slot;

struct recipient {
    struct mail_item item;  /* for whoever passes it on */
    struct recipient *next; /* for whoever holds a list of them */
    struct lane *lane;      /* the claimer's */
    uint64_t id;            /* its low 8 bits are the bucket */
    int priority;           /* 0: transactional, goes before all others */
    uint64_t turn;          /* deliver's: those claimed earlier go earlier */
    uint64_t lane_id, brand_id, campaign_id, message_id, contact_id;
    uint64_t version_id; /* content version, 0: not pinned yet */
    time_ms date;        /* its Date header, 0: not pinned yet */
    time_ms accepted, expires, due;
    unsigned attempts;                     /* ended ones */
    uint64_t source_id;                    /* by which it was in doubt, and goes again; 0: any */
    uint64_t marked_id;                    /* the source by which it was marked last */
    enum delivery_state state;             /* as claimed: waiting or deferred */
    struct slice address, written, domain; /* identity, RCPT TO, A-label */
    struct slice name, fields;             /* of the contact: fields is a JSON object */
    struct destination *destination;       /* where it goes, set by the claimer before it hands it over */
    struct outgoing *outgoing;             /* composed; NULL: not yet. Freed with the recipient */
    struct shared *body;                   /* the bytes behind it, when others look at them too. Likewise */
    struct fault *compose_fault;           /* why it could not be composed; NULL: it could */
    struct slot *slot;                     /* deliver's: the conversation it was handed to; NULL: none */
    bool is_marked;                        /* the store has it on the wire */
    bool mark_is_pending;                  /* a job that marks it is under way */
    bool wants_drop;                       /* the mark was refused: it goes home, due again at next_due */
    unsigned char unsent;                  /* conversations in a row that ended before anything was decided */
    bool wants_back;                       /* the conversation ended meanwhile: take the mark back when it is there */
    /* the outcome, set by deliver: for the claimer's memory */
    time_ms next_due; /* due again then; 0: it is no longer owed by a lane */
};

static inline unsigned recipient_bucket(const struct recipient *recipient)
{
    return (unsigned)(recipient->id & 255);
}
void recipient_free(struct recipient *recipient);

#endif
