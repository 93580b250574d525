/* message_json.h - the `message` and `delivery` objects of the contract */
#ifndef TODOKE_API_MESSAGE_JSON_H
#define TODOKE_API_MESSAGE_JSON_H

#include "api/inside.h"
#include "submit/message.h"

enum { MESSAGE_RECIPIENTS_SHOWN = 1000 };

/* By the id in a route, of a brand that the caller sees. False: answered. */
NODISCARD bool message_of_request(struct api *api, struct http_request *request, struct message *message);
/* One object: what it is, its deliveries, and with a single recipient the timeline. */
NODISCARD bool message_write(struct api *api, struct json *json, const struct message *message, struct arena *arena,
                             struct fault *why);

/* Deliveries by id, an object each, in the order given; those that are not there are left out. */
NODISCARD bool deliveries_write(struct api *api, struct json *json, const uint64_t *ids, size_t count,
                                struct arena *arena, struct fault *why);
/* "timeline": [...] */
NODISCARD bool delivery_timeline_write(struct api *api, struct json *json, uint64_t id, struct arena *arena,
                                       struct fault *why);
/* Whose it is; 0: there is none. */
NODISCARD bool delivery_brand(struct api *api, uint64_t id, uint64_t *brand_id, struct fault *why);

#endif
