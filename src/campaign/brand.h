/* brand.h - who sends: a name, an address, a domain for error mail, a base for links */
#ifndef TODOKE_CAMPAIGN_BRAND_H
#define TODOKE_CAMPAIGN_BRAND_H

#include "base/arena.h"
#include "store/store.h"

struct brand {
    uint64_t id;
    struct slice name;
    struct slice from_name, from_address, reply_to; /* address: local@a-label */
    struct slice return_path_domain;                /* error mail comes back to b-<token>@this */
    struct slice link_base;                         /* "https://mail.shop.example", without the last slash */
    struct slice footer;                 /* who sends, postal address; shown by templates as {{ brand.footer }} */
    unsigned recipients_per_transaction; /* most of identical mail, 1 to 1000; below what sites and hosts take */
    bool holds_doubtful;                 /* what is in doubt waits for a person instead of being tried again */
    time_ms created;
};

/* Is each field what it must be? INPUT: an address, domain or base that is none. The last slashes of link_base go. */
NODISCARD bool brand_check(struct brand *brand, struct fault *why);
/* Inside a write job. Fills id. INPUT: an address, domain or base that is none, a name already taken. */
NODISCARD bool brand_create(struct db *db, struct fault *why, struct brand *brand, time_ms now);
/* By name or decimal id; texts in the arena. INPUT: there is none. */
NODISCARD bool brand_find(struct db *db, struct fault *why, struct slice name_or_id, struct arena *arena,
                          struct brand *brand);

/* The domain of From. */
struct slice brand_domain(const struct brand *brand);

/* ── what a content is, version by version; a version never changes ── */
struct content_version {
    uint64_t id, brand_id;
    struct slice name, subject, preheader, html, text;
    bool counts_clicks, counts_opens; /* its links lead through us, a pixel tells of opens (content/links.h) */
    time_ms created;
};
/* INPUT: a template with an error ("html, line 3, column 5: ..."), and nothing is written. */
NODISCARD bool content_version_create(struct db *db, struct fault *why, struct content_version *version, time_ms now);
/* INPUT: there is none. */
NODISCARD bool content_version_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena,
                                    struct content_version *version);

#endif
