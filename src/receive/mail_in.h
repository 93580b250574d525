/* mail_in.h - the listener for mail to us: error mail to signed return paths, complaints, one-click-by-mail, postmaster
 *
 * Recipients are accepted only in domains that struct inbound calls ours, and only b-<token>, u-<token> and the named
 * mailboxes; everything else is 550 (no relaying: M20). A token that is forged or expired is accepted all the same and
 * said to be so: counting forgeries is what raises the alarm (S13, M24). Any sender is
 * accepted, <> or not, but one whose domain publishes a null MX (M9). Mail waits
 * in memory, bounded, for inbound_done; 250 comes after it. */
#ifndef TODOKE_RECEIVE_MAIL_IN_H
#define TODOKE_RECEIVE_MAIL_IN_H

#include "receive/inbound.h"
#include "receive/session.h"

struct mail_in_options {
    struct session_options session; /* host_name needed; is_lenient and bare_eol are set by mail_in */
    const struct token_ring *ring;  /* NULL: nothing verifies */
    const struct slice *mailboxes;  /* local parts that are accepted besides tokens */
    size_t mailbox_count;           /* 0: postmaster, abuse, fbl */
    bool takes_null_mx;             /* from domains that take no mail, too (RFC 7505 4.2); otherwise 550 5.7.27 */
};

struct mail_in_counts {
    uint64_t sessions, mails, senders_refused, recipients_refused, tokens_forged, tokens_expired, octets;
};

struct mail_in;
/* WORLD: the listener's reasons. */
struct mail_in *mail_in_new(struct loop *loop, const struct mail_in_options *options, const struct inbound *inbound,
                            struct fault *why);
/* Take no more connections and end those there are, with 421: after the answer, where a mail was handed over. Mails
 * handed to inbound stay until inbound_done.
 * Run the loop until then and SESSION_LAST_WORDS_MS longer, unless false is given: nobody was there. */
bool mail_in_stop(struct mail_in *in);
/* Mails that inbound has not given back. mail_in_free only when 0. */
unsigned mail_in_pending(const struct mail_in *in);
void mail_in_free(struct mail_in *in);

struct endpoint mail_in_endpoint(const struct mail_in *in);
/* From any thread. */
struct mail_in_counts mail_in_counts(const struct mail_in *in);

#endif
