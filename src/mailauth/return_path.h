/* return_path.h - the signed return path: b-<token>@bounce.example.jp
 *
 * 42 octets of the 64 that a local part may have (RFC 5321 4.5.3.1.1), in any case. It allows changes to that one
 * delivery's address only (M24, S12).
 *
 * Recipients of one transaction share one, of 52 octets: it is signed for the stored mail and for the domain of its
 * recipients, and allows changes to an address of that domain that the mail really went to, once the error mail names
 * it. So a receiver speaks for addresses of its own, as it could in its replies to RCPT. */
#ifndef TODOKE_MAILAUTH_RETURN_PATH_H
#define TODOKE_MAILAUTH_RETURN_PATH_H

#include "mailauth/token.h"

/* "b-<token>@domain". */
void return_path_make(const struct token_ring *ring, uint64_t delivery_id, time_ms expires, struct slice domain,
                      struct buf *out);
/* The same for those of `recipients` (a domain, lower-case A-label) who get this stored mail together. */
void shared_path_make(const struct token_ring *ring, uint64_t message_id, struct slice recipients, time_ms expires,
                      struct slice domain, struct buf *out);

/* What a return path is for: one delivery, or those of a mail at one domain. */
struct return_path {
    uint64_t delivery_id; /* 0: shared */
    uint64_t message_id;  /* of a shared one */
    uint16_t domain_hash;
};
/* Of an envelope recipient (bare address). Good and expired ones fill in *path. */
enum token_result return_path_check(const struct token_ring *ring, struct slice address, time_ms now,
                                    struct return_path *path);
/* Is it shared by recipients of this domain (lower-case A-label)? */
bool return_path_is_of(const struct return_path *path, struct slice domain);

#endif
