/* campaign_json.h - the `campaign` and `report` objects of the contract */
#ifndef TODOKE_API_CAMPAIGN_JSON_H
#define TODOKE_API_CAMPAIGN_JSON_H

#include "api/counted.h"
#include "api/inside.h"
#include "campaign/campaign.h"

/* By the id in a route. False: answered (404, 503). */
NODISCARD bool campaign_of_request(struct api *api, struct http_request *request, struct campaign *campaign);
/* By id. False with kind NONE: there is none. */
NODISCARD bool campaign_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena,
                              struct campaign *campaign);

bool campaign_is_over(const struct campaign *campaign);
bool campaign_is_under_way(const struct campaign *campaign);

/* One object each. */
NODISCARD bool campaign_write(struct api *api, struct json *json, const struct campaign *campaign,
                              const struct counted *counted, struct arena *arena, struct fault *why);
/* Several, as an array. */
NODISCARD bool campaigns_write(struct api *api, struct json *json, const struct campaign *campaigns, size_t count,
                               struct arena *arena, struct fault *why);
/* In one view of the store. *counted (may be NULL): what it was made from. */
NODISCARD bool report_write(struct api *api, struct json *json, const struct campaign *campaign, struct arena *arena,
                            struct counted *counted, struct fault *why);

/* "campaign": {id, name} or null. Campaigns named on one page are read once. Zeroed: none yet. */
struct campaign_names {
    struct campaign_name {
        uint64_t id;
        struct slice name;
        bool is_there;
    } list[64];
    size_t count;
};
NODISCARD bool campaign_ref_write(struct api *api, struct json *json, struct campaign_names *names, uint64_t id,
                                  struct arena *arena, struct fault *why);

/* A receiver's name for people. */
struct slice receiver_label(const struct api *api, struct slice domain);

#endif
