/* token.h - what proves that an answer or a public link belongs to a mail of ours
 *
 * A token is base32 (any case, no padding) of: version, letter of the kind, key id, expiry in days since 2024 (2
 * octets), id (8), number (2), and the first 128 bits of HMAC-SHA256 over all of that (RELIABILITY X6, X7). Each kind
 * has keys of its own, and its letter is signed too: a token of one kind is worth nothing as another. Only version 2 is
 * that; a file's link is version 3, whose number is 8 octets, an id; a return path stays at version 1, which has no
 * number and 96 bits, since receivers must carry it back in 64 octets (RFC 5321 4.5.3.1.1; return_path.h). Links of
 * version 1 are still read: they stand in mails that were sent.
 *
 * The id is that of a delivery, mostly; it tells its bucket (base/id.h), so its row is found without guessing. Checking
 * takes the same time whatever is wrong with a token of the right length. */
#ifndef TODOKE_MAILAUTH_TOKEN_H
#define TODOKE_MAILAUTH_TOKEN_H

#include "base/buf.h"
#include "base/time.h"
#include <stdatomic.h>

/* name, letter, name of its keys in the store, what id and number are */
#define TOKEN_KINDS(X)                                                                                                 \
    X(RETURN_PATH, 'b', "return_path") /* delivery */                                                                  \
    X(UNSUBSCRIBE, 'u', "link")        /* delivery */                                                                  \
    X(CLICK, 'c', "click")             /* delivery, number of the link */                                              \
    X(OPEN, 'o', "open")               /* delivery */                                                                  \
    X(PREFERENCES, 'p', "preferences") /* delivery */                                                                  \
    X(CONFIRM, 'k', "confirm")         /* request to subscribe */                                                      \
    X(FILE, 'f', "file")               /* delivery (0: nobody's, a preview), id of the file */                         \
    X(SHARED_PATH, 's', "shared_path") /* stored mail, hash of the recipients' domain (return_path.h) */
#define TOKEN_ENUM(NAME, letter, name) TOKEN_##NAME,
enum token_kind { TOKEN_KINDS(TOKEN_ENUM) TOKEN_KIND_COUNT };

enum {
    TOKEN_KEY_BYTES = 32,
    TOKEN_KEYS_MAX = 8,
    TOKEN_LEN = 50,      /* characters of a link's */
    TOKEN_FILE_LEN = 60, /* of a file's */
    TOKEN_V1_LEN = 40,   /* of a return path's */
    TOKEN_NUMBER_MAX = UINT16_MAX,
};

struct token_keys { /* newest first; all verify */
    unsigned count;
    unsigned signing; /* which of them signs */
    struct {
        unsigned char id;
        unsigned char bytes[TOKEN_KEY_BYTES];
    } keys[TOKEN_KEYS_MAX];
};

/* The keys of all kinds. Threads read it while one changes it; keys that were replaced stay until the ring goes. */
struct token_ring {
    struct token_keys_kept *kept; /* first: clang 14 takes no {0} for a pointer that is atomic */
    _Atomic(const struct token_keys *) of[TOKEN_KIND_COUNT];
};
/* From one thread at a time. Nothing happens when they are those already. */
void token_ring_set(struct token_ring *ring, enum token_kind kind, const struct token_keys *keys);
void token_ring_release(struct token_ring *ring);
bool token_ring_has(const struct token_ring *ring, enum token_kind kind); /* ring may be NULL */
/* "click": what its keys are called in the store. */
const char *token_kind_name(enum token_kind kind);

enum token_result {
    TOKEN_GOOD,
    TOKEN_EXPIRED, /* ours, but too old */
    TOKEN_FORGED,  /* has the shape of one, and is not ours */
    TOKEN_NONE,    /* not of that shape at all, or there are no keys */
};
struct token {
    uint64_t id, number;
};

/* The kind must have keys. number <= TOKEN_NUMBER_MAX but for a file; 0 in a return path. */
void token_make(const struct token_ring *ring, enum token_kind kind, const struct token *token, time_ms expires,
                struct buf *out);
/* TOKEN_GOOD and TOKEN_EXPIRED fill in the token. ring may be NULL. */
enum token_result token_check(const struct token_ring *ring, enum token_kind kind, struct slice text, time_ms now,
                              struct token *token);

#endif
