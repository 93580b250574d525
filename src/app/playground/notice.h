/* notice.h - the mails that come back: error mail (RFC 3464, and qmail's own), complaints (ARF, RFC 5965), vacation
 * replies (RFC 3834), and forgeries
 *
 * Written as the programs write them whose voice the site has: "Mail Delivery System", "Mail Delivery Subsystem",
 * "Postmaster", MAILER-DAEMON (S1-S3). Pure: a mail comes out, nothing is sent. */
#ifndef TODOKE_APP_PLAYGROUND_NOTICE_H
#define TODOKE_APP_PLAYGROUND_NOTICE_H

#include "app/playground/sites.h"

struct notice_input {
    const struct site *site;
    enum fate fate;
    bool is_first;          /* DELAYED: "Action: delayed" first, the failure later */
    struct slice mail_from; /* of the mail it speaks of */
    struct slice to;
    struct slice mail; /* with the header lines that the receiver put on top */
    struct ip peer;
    const char *feedback_address;
    time_ms now;
    uint64_t id; /* makes queue ids, boundaries, Message-IDs */
};
/* Does this fate send something after the 250, and how often (DELAYED: 2)? */
unsigned notice_count(enum fate fate);
/* The mail, CRLF; *mail_to is where it goes: an address in `out`'s or the input's memory that lives as long as both;
 * *kind is a word for the ledger. The null sender sends it, but for complaints: then *mail_from is not empty. False:
 * nothing to write (no return path; no feedback address). */
NODISCARD bool notice_write(const struct notice_input *input, struct arena *arena, struct buf *out,
                            struct slice *mail_from, struct slice *mail_to);

#endif
