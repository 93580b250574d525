/* return_path.h - the signed return path: b-<token>@bounce.example.jp
 *
 * 42 octets of the 64 that a local part may have (RFC 5321 4.5.3.1.1), in any case. It allows changes to that one
 * delivery's address only (M24, S12). */
#ifndef TODOKE_MAILAUTH_RETURN_PATH_H
#define TODOKE_MAILAUTH_RETURN_PATH_H

#include "mailauth/token.h"

/* "b-<token>@domain". */
void return_path_make(const struct token_ring *ring, uint64_t delivery_id, time_ms expires, struct slice domain,
                      struct buf *out);
/* Of an envelope recipient (bare address). */
enum token_result return_path_check(const struct token_ring *ring, struct slice address, time_ms now,
                                    uint64_t *delivery_id);

#endif
