/* sender.h - for which brand a request speaks, and from which addresses that brand may write */
#ifndef TODOKE_API_SENDER_H
#define TODOKE_API_SENDER_H

#include "api/caller.h"
#include "campaign/brand.h"

enum { SENDER_MS = 1000, SENDER_DOMAINS_MAX = 64, SENDERS_MOST = 1000 };

struct sender {
    struct arena arena;
    struct brand brand;
    struct slice domains[SENDER_DOMAINS_MAX]; /* of its From and of its DKIM keys; A-labels */
    size_t domain_count;
    time_ms read_at; /* monotonic */
};
struct senders {
    struct id_map by_id;
    uint64_t only; /* the one brand there is, as read at only_at; 0: none or several */
    time_ms only_at;
};
void senders_release(struct senders *senders);

/* By name or id; "": the one brand of the key, or the only one there is. *sender NULL with kind NONE: there is none
 * that this key may speak for, and `missing` says how to say it. */
NODISCARD bool sender_find(struct senders *senders, struct db *db, const struct caller *caller, struct slice name_or_id,
                           time_ms now, struct sender **sender, const char **missing, struct fault *why);
/* May it write from this domain? */
bool sender_has_domain(const struct sender *sender, struct slice domain);

#endif
