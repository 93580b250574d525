/* scram.h - SCRAM-SHA-256, the server's side of one exchange (RFC 5802, RFC 7677), without sockets or base64
 *
 *     client-first --scram_client_first--> who? --scram_server_first--> ours --client--> scram_client_final --> proven?
 *
 * The client proves that it knows the password without saying it, and hears that we know its keys. No channel binding.
 * For a name that is not there go on with keys of chance: the exchange then looks and takes the same, and ends
 * unproven. */
#ifndef TODOKE_SMTP_SCRAM_H
#define TODOKE_SMTP_SCRAM_H

#include "base/buf.h"

enum { SCRAM_KEY_BYTES = 32, SCRAM_SALT_MAX = 32, SCRAM_ITERATIONS = 4096, SCRAM_NAME_MAX = 256 };

/* What a server keeps instead of a password. */
struct scram_keys {
    unsigned iterations;
    size_t salt_len;
    unsigned char salt[SCRAM_SALT_MAX];
    unsigned char stored[SCRAM_KEY_BYTES], server[SCRAM_KEY_BYTES];
};
/* Of a password in the form SASLprep gives it (printable ASCII is). */
void scram_keys_make(struct slice password, struct slice salt, unsigned iterations, struct scram_keys *keys);

struct scram {
    struct scram_keys keys;
    struct buf name, identity;                /* decoded */
    struct buf gs2, first_bare;               /* of the client */
    struct buf server_first;                  /* what we said */
    size_t nonce_at, nonce_len;               /* in server_first */
    unsigned char signature[SCRAM_KEY_BYTES]; /* the server's */
    bool is_known;
};
void scram_init(struct scram *scram);
void scram_release(struct scram *scram); /* forgets the bytes */

/* "n,,n=user,r=nonce". False: not that, or it wants channel binding. Then scram->name is whom the keys are wanted of.
 */
NODISCARD bool scram_client_first(struct scram *scram, struct slice message);
/* Our nonce: printable ASCII without a comma. is_known false: whatever comes is not proven. */
void scram_server_first(struct scram *scram, const struct scram_keys *keys, bool is_known, struct slice nonce,
                        struct buf *out);
/* "c=biws,r=nonces,p=proof". False: not that. */
NODISCARD bool scram_client_final(struct scram *scram, struct slice message, bool *is_proven);
/* "v=...": only when proven. */
void scram_server_final(const struct scram *scram, struct buf *out);

#endif
