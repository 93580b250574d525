/* return_path.h - tokens that prove an answer is about a mail we really sent: the signed return path, and signed links
 *
 * A token is base32 (any case, no padding) of: version 1, purpose, key id, expiry in days since 2024 (2 octets),
 * delivery id (8), and the first 96 bits of HMAC-SHA256 over all of that. The purpose is signed too, so tokens of one
 * kind are worth nothing as another. In a return path it stands as b-<token>@bounce.example.jp: 42 octets of the 64
 * that a local part may have (RFC 5321 4.5.3.1.1).
 *
 * The delivery id tells its bucket (base/id.h), so the delivery is found without guessing; a token allows changes to
 * that one delivery's address only. Verifying takes the same time whatever is wrong. */
#ifndef TODOKE_MAILAUTH_RETURN_PATH_H
#define TODOKE_MAILAUTH_RETURN_PATH_H

#include "base/buf.h"
#include "base/time.h"

enum { TOKEN_KEY_BYTES = 32, TOKEN_KEYS_MAX = 8, TOKEN_TEXT_LEN = 40 };

enum token_purpose {
    TOKEN_RETURN_PATH = 'b',
    TOKEN_UNSUBSCRIBE = 'u',
};

struct token_keys { /* newest first: it signs, all verify */
    unsigned count;
    struct {
        unsigned char id;
        unsigned char bytes[TOKEN_KEY_BYTES];
    } keys[TOKEN_KEYS_MAX];
};

enum token_result {
    TOKEN_GOOD,
    TOKEN_EXPIRED, /* ours, but too old to act upon */
    TOKEN_FORGED,  /* has the shape of one, and is not ours */
    TOKEN_NONE,    /* not of that shape at all */
};

void token_make(const struct token_keys *keys, enum token_purpose purpose, uint64_t delivery_id, time_ms expires,
                struct buf *out);
enum token_result token_check(const struct token_keys *keys, enum token_purpose purpose, struct slice text, time_ms now,
                              uint64_t *delivery_id);

/* "b-<token>@domain". */
void return_path_make(const struct token_keys *keys, uint64_t delivery_id, time_ms expires, struct slice domain,
                      struct buf *out);
/* Of an envelope recipient (bare address). */
enum token_result return_path_check(const struct token_keys *keys, struct slice address, time_ms now,
                                    uint64_t *delivery_id);

#endif
