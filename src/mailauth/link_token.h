/* link_token.h - what proves that a public link stood in a mail of ours: https://links.example.jp/c/<token>
 *
 * A token is base32 (any case, no padding) of: version 1, key id, expiry in days since 2024 (2 octets), delivery id
 * (8), number (2), and the first 128 bits of HMAC-SHA256 over all of that (RELIABILITY X6, X7). Each kind of link has
 * keys of its own, so that a token of one kind is worth nothing as another. The number says which link of the mail.
 * Checking takes the same time whatever is wrong. */
#ifndef TODOKE_MAILAUTH_LINK_TOKEN_H
#define TODOKE_MAILAUTH_LINK_TOKEN_H

#include "mailauth/return_path.h"

enum { LINK_TOKEN_LEN = 48 /* characters */ };

void link_token_make(const struct token_keys *keys, uint64_t delivery_id, unsigned number, time_ms expires,
                     struct buf *out);
/* TOKEN_GOOD and TOKEN_EXPIRED fill in delivery_id and number. */
enum token_result link_token_check(const struct token_keys *keys, struct slice text, time_ms now,
                                   uint64_t *delivery_id, unsigned *number);

#endif
