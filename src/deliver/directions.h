/* directions.h - what people decided about the way of mail: TLS rules, smart hosts, pools of sources (tables tls_rule,
 * relay, brand.pool, lane.pool)
 *
 * A small snapshot, read again every few seconds by the dispatcher and replaced when anything in it has changed. It
 * gives each lane the name of its route: the domain; "brand 12 example.jp" where a brand has a TLS rule of its own;
 * "relay 12" for all mail of a brand with a smart host. In front of the first two "pool news " where the brand sends by
 * a pool, then "waived " where the lane's mails say TLS-Required: No and their brand may. */
#ifndef TODOKE_DELIVER_DIRECTIONS_H
#define TODOKE_DELIVER_DIRECTIONS_H

#include "base/map.h"
#include "deliver/security.h"
#include "queue/lanes.h"
#include "store/seal.h"

struct directions {
    struct arena arena;
    struct map rules;         /* "domain example.jp" -> enum tls_rule + 1, as a pointer */
    struct id_map relays;     /* brand -> struct relay */
    struct id_map pools;      /* brand -> the name of its pool, NUL-terminated */
    struct id_map moved;      /* lane -> the pool that a person sent it to, likewise */
    struct map stand_ins;     /* pool that has no way now -> the one that stands in for it (shape/stand_in.h) */
    const char *default_pool; /* of brands that name none; NULL: the system chooses their address */
    uint64_t digest;          /* of everything in it */
};

/* WORLD. A password that cannot be opened makes its relay unusable, never bypassed. */
struct directions *directions_read(struct db *reader, const struct seal_key *seal, struct fault *why);
void directions_free(struct directions *directions);

const struct relay *directions_relay(const struct directions *directions, uint64_t brand_id);
/* The greater one of (domain's, else site's) and brand's. `brand_id` 0, `site` empty: nobody's. */
enum tls_rule directions_rule(const struct directions *directions, struct slice domain, struct slice site,
                              uint64_t brand_id);

/* May mails of this brand waive receivers' TLS policies (RFC 8689)? Unless a person forbade it: tls_rule 'waiver'. */
bool directions_may_waive(const struct directions *directions, uint64_t brand_id);

/* The pool that a lane leaves by: where a person sent it, or its brand's, or who stands in for that one now; NULL:
 * none, the system chooses the address.
 */
const char *directions_lane_pool(const struct directions *directions, const struct lane_key *key);

/* The route's name for a lane, into `name`; its inverse. */
void directions_name(const struct directions *directions, const struct lane_key *key, struct buf *name);
struct route_name {
    uint64_t brand_id;
    struct slice pool; /* empty: none */
    bool is_relay, is_waived;
    struct slice domain; /* empty for a relay */
};
struct route_name route_name_read(struct slice name);

/* What a relay's password is sealed for. */
void relay_seal_context(uint64_t brand_id, struct buf *context);

#endif
