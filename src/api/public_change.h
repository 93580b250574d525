/* public_change.h - what a page without sign-in writes: suspended until its commit, then answered (private to api/)
 *
 *     public_change_new --data filled in--> public_change_begin: run on the writer's thread --commit--> answer, on the
 *     api's thread; 503 and nothing written when the store cannot */
#ifndef TODOKE_API_PUBLIC_CHANGE_H
#define TODOKE_API_PUBLIC_CHANGE_H

#include "api/inside.h"
#include "api/public_page.h"
#include "submit/submit.h"

struct public_change {
    struct write_job job;
    struct http_later later;
    struct api *api;
    struct arena arena; /* data, and what was copied from the request */
    struct arena work;  /* of one run */
    time_ms now;
    void *data;
    struct slice ip, agent; /* who asks, for the proof */
    bool (*run)(struct public_change *change, struct db *db, struct fault *why);
    void (*answer)(struct public_change *change, struct http_request *request);
    struct submit_news *news; /* of run: told to the engine after the commit */
    size_t news_count;
    struct fault why; /* INPUT: answer sees it and nothing was written; anything else is a 503 */
};
#define public_change_new(api, request, type, run, answer)                                                             \
    public_change_make((api), (request), sizeof(type), (run), (answer))
struct public_change *public_change_make(struct api *api, struct http_request *request, size_t data_size,
                                         bool (*run)(struct public_change *change, struct db *db, struct fault *why),
                                         void (*answer)(struct public_change *change, struct http_request *request));
/* It was never begun. */
void public_change_free(struct public_change *change);
void public_change_begin(struct public_change *change, struct http_request *request);

/* unsubscribe.c, subscribe.c, preferences.c */
void unsubscribe_routes(struct api *api);
void subscribe_routes(struct api *api);
void preferences_routes(struct api *api);

#endif
