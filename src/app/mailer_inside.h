/* mailer_inside.h - what mailer.c (campaigns) and mailer_stored.c (stored mails) share; nobody else includes it */
#ifndef TODOKE_APP_MAILER_INSIDE_H
#define TODOKE_APP_MAILER_INSIDE_H

#include "app/mailer.h"
#include "base/map.h"
#include "campaign/campaign.h"
#include "content/compose.h"

/* A brand as one thread knows it. */
struct known_brand {
    time_ms read_at;
    struct arena arena;
    struct brand brand;
    struct dkim_signer *signer; /* NULL: no key */
    uint64_t key_id;
    struct map signers; /* From domain -> struct known_signer: stored mails may come from any domain of the brand */
};
struct known_signer {
    time_ms read_at;
    uint64_t key_id;
    struct dkim_signer *signer; /* NULL: no key of the brand is for this domain */
};
struct known_campaign {
    time_ms read_at;
    uint64_t version_id;
};
struct known_content {
    struct content *content; /* NULL: it does not compile, and why */
    struct fault why;
};

/* The last stored mails that have several recipients: read, and signed where it is the same mail for all. */
struct stored_mail {
    uint64_t id; /* 0: none */
    uint64_t used, key_id;
    struct arena arena;
    struct shared *bytes; /* holds unsigned_mail; NULL: the arena does */
    struct slice from_domain, unsigned_mail;
    struct shared *ready; /* signed; NULL: not yet, or signed for each recipient */
    unsigned flags;
    size_t recipients;
    time_ms date;
};
enum { STORED_MAILS = 8, STORED_BYTES_MAX = 4 << 20 /* of larger ones only the last */ };
struct stored_mails {
    struct stored_mail mails[STORED_MAILS];
    uint64_t clock;
};

/* The last letters, compiled. */
struct known_letter {
    struct content *content; /* NULL: free */
    struct arena arena;
    uint64_t hash, brand_id, used;
    struct slice text;
    bool wants_unsubscribe;
};
enum { LETTERS_KNOWN = 32 };
struct known_letters {
    struct known_letter list[LETTERS_KNOWN];
    uint64_t clock;
};

/* A brand's file for download as one thread knows it, by "brand/name". */
struct known_file {
    time_ms read_at;
    bool is_there;
    struct content_link link;
};
enum { FILES_KNOWN = 1000 };

struct mailer_thread {
    struct db *reader;
    struct composed composed;
    struct id_map brands, campaigns, contents;
    struct stored_mails stored;
    struct known_letters letters;
    struct map files; /* struct known_file */
    struct arena files_arena;
    struct buf return_path, shared_path, url, mailto, feedback;
};

struct mailer {
    struct mailer_options options;
    struct mailer_thread threads[MAILER_THREADS_MAX];
};

/* The brand as this thread knows it; read again when that is old. */
struct known_brand *mailer_brand(struct mailer *mailer, struct mailer_thread *thread, uint64_t id, time_ms now,
                                 struct fault *why);
/* A row (id, domain, selector, private_sealed) of dkim_key as a signer; keeps *signer while it is the same key. */
NODISCARD bool mailer_signer_open(const struct mailer *mailer, const struct rows *row, uint64_t *key_id,
                                  struct dkim_signer **signer, struct fault *why);
/* thread->return_path, url, mailto, feedback of this delivery. */
void mailer_addresses(const struct mailer *mailer, struct mailer_thread *thread, const struct recipient *recipient,
                      const struct brand *brand, time_ms date);

/* compose_job.find_file, of a brand; mailer_files.c */
struct mailer_files {
    struct mailer_thread *thread;
    uint64_t brand_id;
    time_ms now;
};
bool mailer_find_file(void *files, struct slice name, struct content_link *link, struct fault *why);
void known_files_release(struct mailer_thread *thread);

/* mailer_stored.c */
NODISCARD bool mailer_compose_stored(struct mailer *mailer, struct mailer_thread *thread,
                                     const struct recipient *recipient, time_ms now, struct outgoing **out,
                                     struct fault *why);
void stored_mails_release(struct stored_mails *mails);
void stored_signers_release(struct map *signers);

/* mailer_letter.c; mail: the stored letter as it was read */
NODISCARD bool mailer_compose_letter(struct mailer *mailer, struct mailer_thread *thread,
                                     const struct recipient *recipient, const struct brand *brand,
                                     const struct stored_mail *mail, struct dkim_signer *signer, time_ms now,
                                     struct outgoing **out, struct fault *why);
void letters_release(struct known_letters *letters);
/* {{ brand.name }} and so on. */
struct liquid_value mailer_brand_value(const struct brand *brand);

#endif
