/* key.h - access keys: what a program or a browser shows to be let in, and what it may do then
 *
 * A key is 256 random bits; the store keeps only its SHA-256, so the secret can be shown once, when it is made. There
 * is nothing to guess and no password hash to be slow about: whoever has the secret has the key.
 *
 * Rights are resources, each to be read or changed: the word "contacts" is both, "contacts:read" only the first; "all"
 * is everything, "all:read" everything to be read. `submit` is sending through SMTP. A key may be bound to brands: it
 * never sees what belongs to others. */
#ifndef TODOKE_ACCESS_KEY_H
#define TODOKE_ACCESS_KEY_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

enum {
    KEY_SECRET_MAX = 256,   /* octets */
    KEY_NAME_MAX = 200,     /* octets */
    KEY_BRANDS_MAX = 32,    /* a key for more is a key for all */
    KEY_RATE_MAX = 1000000, /* requests a minute */
    KEY_SCOPES_TEXT_MAX = 400,
};

#define KEY_RESOURCES(X)                                                                                               \
    X(MESSAGES, messages)                                                                                              \
    X(CONTACTS, contacts)                                                                                              \
    X(CONTENTS, contents)                                                                                              \
    X(CAMPAIGNS, campaigns)                                                                                            \
    X(EVENTS, events)                                                                                                  \
    X(SUPPRESSIONS, suppressions)                                                                                      \
    X(BOUNCES, bounces)                                                                                                \
    X(QUEUE, queue)                                                                                                    \
    X(KEYS, keys)                                                                                                      \
    X(SETTINGS, settings)                                                                                              \
    X(WEBHOOKS, webhooks)                                                                                              \
    X(SUBMIT, submit)
#define KEY_RESOURCE_ENUM(NAME, word) KEY_RESOURCE_##NAME,
enum key_resource { KEY_RESOURCES(KEY_RESOURCE_ENUM) KEY_RESOURCE_COUNT };
/* KEY_CONTACTS_READ, KEY_CONTACTS_WRITE ...: bits of key_rights.scopes. */
#define KEY_RIGHT_ENUM(NAME, word)                                                                                     \
    KEY_##NAME##_READ = 1 << (2 * KEY_RESOURCE_##NAME), KEY_##NAME##_WRITE = 1 << (2 * KEY_RESOURCE_##NAME + 1),
enum key_right { KEY_RESOURCES(KEY_RIGHT_ENUM) KEY_ALL = (1 << (2 * KEY_RESOURCE_COUNT)) - 1 };

struct key_rights {
    unsigned scopes; /* bits of enum key_right */
    unsigned rate;   /* requests a minute; 0: no limit */
    size_t brand_count;
    uint64_t brands[KEY_BRANDS_MAX]; /* none: every brand */
};
/* Everything, for every brand. */
#define KEY_RIGHTS_ALL                                                                                                 \
    (struct key_rights)                                                                                                \
    {                                                                                                                  \
        .scopes = KEY_ALL                                                                                              \
    }
static inline bool key_may(const struct key_rights *rights, unsigned needs)
{
    return (rights->scopes & needs) == needs;
}
/* brand_id 0 (what belongs to no brand): only a key for every brand. */
bool key_may_brand(const struct key_rights *rights, uint64_t brand_id);
/* Never more than `giver` has: scopes, brands, and requests a minute. */
bool key_rights_within(const struct key_rights *rights, const struct key_rights *giver);
/* "messages,contacts:read". INPUT: names the word that is none, and those there are. */
NODISCARD bool key_scopes_parse(struct slice text, unsigned *scopes, struct fault *why);
void key_scopes_print(unsigned scopes, struct buf *out);
/* "read" of "contacts" needs this word at least, e.g. "contacts:read"; for telling what is missing. */
void key_right_print(unsigned right, struct buf *out);

/* Inside a write job: make a key and put its secret ("todoke_" and 43 characters of base64url) into the empty buf.
 * expires 0: never; rights NULL: KEY_RIGHTS_ALL; id may be NULL. INPUT: the name is empty, too long or no clean text,
 * no scope, or a brand that is not there. */
NODISCARD bool key_create(struct db *db, struct fault *why, struct slice name, time_ms now, time_ms expires,
                          const struct key_rights *rights, struct buf *secret, uint64_t *id);

struct key {
    uint64_t id;
    struct slice name;
    time_ms created, expires, revoked; /* expires 0: never; revoked 0: not */
    time_ms last_used;                 /* to the minute; 0: never */
    time_ms paused;                    /* since; 0: not */
    uint64_t maker;                    /* the key that made it, 0: the command line; what it asks counts there too */
    time_ms sessions_ended;            /* a browser's session begun until then is over; 0: none */
    struct key_rights rights;
};
/* Whose secret is this? *found: there is such a key, it has not expired, was not revoked and is not
 * paused. Compared in constant time.
 * The name lives in the arena. */
NODISCARD bool key_find(struct db *db, struct fault *why, struct slice secret, time_ms now, struct arena *arena,
                        struct key *key, bool *found);
/* The same by id. */
NODISCARD bool key_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct key *key,
                         bool *found);
/* Still good at that moment? */
static inline bool key_is_good(const struct key *key, time_ms now)
{
    return !key->revoked && !key->paused && (!key->expires || key->expires > now);
}
/* Inside a write job: from now on they let nobody in. All keys of that name. *was_there: how a wrong name is told. */
NODISCARD bool key_remove(struct db *db, struct fault *why, struct slice name, time_ms now, bool *was_there);
NODISCARD bool key_revoke(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there);
/* Inside a write job: a paused key lets nobody in until it is released; what it handed in before goes on. *was_there:
 * there is such a key, paused or not. */
NODISCARD bool key_pause(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there);
NODISCARD bool key_release(struct db *db, struct fault *why, uint64_t id, bool *was_there);
/* Inside a write job: sessions that browsers opened with it until now are over, on every node; its secret stays good.
 * *was_there as above. */
NODISCARD bool key_sessions_end(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there);
/* Inside the write job that made `id`: `maker` made it. It may send by SMTP no more than that one (domains, recipients
 * an hour). */
NODISCARD bool key_made_by(struct db *db, struct fault *why, uint64_t id, uint64_t maker);
/* Have written down when it was used last. Nobody waits for it, and it may be lost. */
void key_use(struct store *store, uint64_t id, time_ms at);

/* All keys that were not revoked, oldest first; names live in the arena. */
NODISCARD bool key_list(struct db *db, struct fault *why, struct arena *arena, struct key **keys, size_t *count);

#endif
