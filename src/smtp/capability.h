/* capability.h - what a server says it can do in its reply to EHLO (RFC 5321 4.1.1.1), each keyword once */
#ifndef TODOKE_SMTP_CAPABILITY_H
#define TODOKE_SMTP_CAPABILITY_H

#include "base/slice.h"

struct smtp_capabilities {
    bool is_esmtp;     /* EHLO was understood; false after the HELO fallback: nothing below then */
    bool pipelining;   /* RFC 2920 */
    bool has_size;     /* RFC 1870 */
    uint64_t size_max; /* octets; 0: no limit said */
    bool eight_bit;    /* 8BITMIME, RFC 6152 */
    bool smtputf8;     /* RFC 6531 */
    bool starttls;     /* RFC 3207 */
    bool chunking;     /* RFC 3030 (read, not used) */
    bool status_codes; /* ENHANCEDSTATUSCODES, RFC 2034 */
    bool dsn;          /* RFC 3461 */
    bool requiretls;   /* RFC 8689 */
    bool auth_plain, auth_login, auth_scram;      /* scram: SCRAM-SHA-256 */
    uint32_t mail_max, rcpt_max, rcpt_domain_max; /* LIMITS, RFC 9422; 0: none said */
};

/* Read one keyword line of the reply, without its code. Unknown keywords and broken values change nothing. */
void smtp_capability_read(struct slice line, struct smtp_capabilities *can);

#endif
