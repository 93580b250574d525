/* composer.h - render this delivery: deliver/ asks upwards, app/ fills it in */
#ifndef TODOKE_DELIVER_COMPOSER_H
#define TODOKE_DELIVER_COMPOSER_H

#include "base/fault.h"
#include "queue/recipient.h"

/* A mail ready for the wire: one block of memory, made by outgoing_new. */
struct outgoing {
    uint64_t version_id;    /* what it was rendered from, to be pinned by the mark */
    time_ms date;           /* its Date, likewise */
    struct slice mail_from; /* the signed return path, bare */
    struct slice rcpt_to;   /* bare */
    struct slice body;      /* wire form: CRLF, not dot-stuffed */
    bool needs_8bit, needs_smtputf8;
    struct shared *shared; /* holds the body, when it is the same for several recipients; NULL: it lies behind this */
    /* Those of the same key and recipient's domain get the same mail and may go in one transaction, by the return path
     * that they share (empty: the null sender): the key is of the stored mail. 0: it goes alone, whatever happens. */
    uint64_t alike;
    struct slice shared_from;
    unsigned recipients_most; /* of one transaction, as the brand wants it */
};
/* Copies the three texts behind it. */
struct outgoing *outgoing_new(struct slice mail_from, struct slice rcpt_to, struct slice body);
/* The body is not copied but held. */
struct outgoing *outgoing_share(struct slice mail_from, struct slice rcpt_to, struct shared *body);
/* The same, with shared_from. */
struct outgoing *outgoing_share_from(struct slice mail_from, struct slice shared_from, struct slice rcpt_to,
                                     struct shared *body);
void outgoing_free(struct outgoing *out);

struct composer {
    void *self;
    /* Called on the threads of the composing pool; `worker` numbers them from 0 for whatever a thread keeps (signer,
     * buffers, a reader of the store). False: INPUT: this delivery cannot be rendered, and `why` says template, line
     * and column; WORLD: not now. */
    bool (*compose)(void *self, unsigned worker, const struct recipient *recipient, struct outgoing **out,
                    struct fault *why);
    /* Once for each worker, when its thread ends. May be NULL. */
    void (*release_worker)(void *self, unsigned worker);
};

#endif
