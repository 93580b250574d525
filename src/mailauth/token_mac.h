/* token_mac.h - HMAC-SHA256 (RFC 2104) of a token's few octets: several for each mail that is made and each click */
#ifndef TODOKE_MAILAUTH_TOKEN_MAC_H
#define TODOKE_MAILAUTH_TOKEN_MAC_H

#include "mailauth/token.h"

enum { TOKEN_MAC_BYTES = 32 };

/* The key has TOKEN_KEY_BYTES octets. */
void token_mac(const unsigned char *key, struct slice bytes, unsigned char out[TOKEN_MAC_BYTES]);

#endif
