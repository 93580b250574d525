/* mailer.h - the composer that deliver/ asks: content, contact and brand become a signed mail
 *
 * Each composing thread keeps its own reader of the store, compiled contents, signers and buffers; nothing is shared
 * but this struct, which does not change while threads run. Brands, campaigns and keys are read again after
 * MAILER_CACHE_MS at most. */
#ifndef TODOKE_APP_MAILER_H
#define TODOKE_APP_MAILER_H

#include "deliver/composer.h"
#include "mailauth/return_path.h"
#include "store/seal.h"
#include "submit/recent.h"

enum {
    MAILER_CACHE_MS = 1000,
    MAILER_THREADS_MAX = 64,
    MAILER_TOKEN_DAYS = 30, /* how long an answer may take */
    MAILER_LINK_DAYS = 400  /* how long opens and clicks are counted */
};

struct mailer;
struct mailer_options {
    struct store *store;
    struct world *world;
    const struct seal_key *seal;
    const struct token_ring *ring;
    int date_offset_minutes;     /* of Date headers */
    struct recent_mails *recent; /* looked at before the store is; NULL: there are none */
};
struct mailer *mailer_new(const struct mailer_options *options);
void mailer_free(struct mailer *mailer);
struct composer mailer_composer(struct mailer *mailer);

/* Store a brand's DKIM key sealed, inside a write job. It is made before (dkim_key_generate): that takes its time, and
 * everybody else waits for who writes. `record` gets the TXT record's value. */
struct dkim_key;
NODISCARD bool mailer_key_store(struct db *db, struct fault *why, const struct seal_key *seal, uint64_t brand_id,
                                struct slice domain, struct slice selector, const struct dkim_key *key, time_ms now,
                                struct buf *record);

/* A row (id, domain, selector, private_sealed) of dkim_key as a key. */
struct rows;
NODISCARD bool mailer_key_open(const struct seal_key *seal, const struct rows *row, struct dkim_key **key,
                               struct fault *why);

#endif
