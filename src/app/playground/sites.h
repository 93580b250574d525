/* sites.h - which receivers there are, which domains are theirs, what each fate is answered there: data
 *
 * Nothing here does anything. Hosts end in .example (RFC 6761): they exist in the playground's zone only. The texts are
 * those of the real receivers (RECEIVERS.md; the manuals and error mails they were seen in). */
#ifndef TODOKE_APP_PLAYGROUND_SITES_H
#define TODOKE_APP_PLAYGROUND_SITES_H

#include "app/playground.h"

/* How a site talks: picks its replies and the look of its error mail. */
enum voice {
    VOICE_POSTFIX,
    VOICE_SENDMAIL,
    VOICE_EXIM,
    VOICE_QMAIL,
    VOICE_GOOGLE,
    VOICE_OUTLOOK,
    VOICE_YAHOOJP,
    VOICE_YAHOOINC,
    VOICE_ICLOUD,
    VOICE_DOCOMO,
    VOICE_AU,
    VOICE_SOFTBANK,
};

enum site_trait {
    SITE_AUTH = 1, /* DKIM, SPF and DMARC are really checked: refuses when SPF and DKIM both fail, or DMARC says so */
    SITE_AUTH_STRICT = 2, /* ... and when SPF or DKIM is not exactly aligned with From */
    SITE_SENDER_DNS = 4,  /* MAIL FROM's domain must resolve */
    SITE_NO_TLS = 8,
    SITE_RESETS = 16,     /* every 30th connection is reset in the middle */
    SITE_HIDES_SIZE = 32, /* its size limit is not told in EHLO */
    SITE_NOT_PIPELINING = 64,
    SITE_SHORT_SESSIONS = 128, /* 421 to the 101st mail of a session (docomo: 100 recipients) */
};

struct site_mix {
    enum fate fate;
    unsigned per_10000; /* of addresses; what is left over is accepted */
};

enum { SITE_MIX_MOST = 12 };
struct site {
    const char *label, *host;
    uint8_t ip[2]; /* 127.25.ip[0].ip[1] */
    enum voice voice;
    unsigned traits;
    unsigned size_max;   /* octets; 0: 25 MB */
    unsigned line_max;   /* octets of a line without CRLF; 0: any */
    unsigned rate_per_s; /* messages, above it THROTTLE's answer; 0: any */
    struct site_mix mix[SITE_MIX_MOST];
};
extern const struct site site_table[];
extern const size_t site_count;

struct site_domain {
    struct slice name;
    const char *host; /* MX; NULL: null MX */
    const struct site *site;
};
/* The row of a domain (any case); site is NULL where no receiver listens. */
NODISCARD bool site_domain_find(struct slice domain, struct site_domain *row);
struct site_domain site_domain_at(size_t nth); /* name.ptr NULL: past the end */

/* One answer. */
struct site_reply {
    enum voice voice;
    enum fate fate;
    enum stage stage; /* MAIL, RCPT, DOT; CONNECT for BUSY */
    const char *text; /* {to} {ip} {from} (domain of MAIL FROM) {author} (domain of From) {domain} (of to) {host} {id}
                         {spf} {dkim} {dmarc} */
};
/* The answer of this voice to this fate, or of Postfix where the voice has none of its own. `pick` chooses among
 * several. NULL: this fate is not told by a reply. */
const struct site_reply *site_reply_find(enum voice voice, enum fate fate, uint64_t pick);
/* All of them, for tests; text NULL ends. */
extern const struct site_reply site_reply_table[];

#endif
