/* change.h - a request that writes: suspended, run in the writer's transaction, answered after the commit
 *
 *     struct change *change = change_new(api, request, thing_run);
 *     ... read the request into change->arena and change->data ...
 *     change_begin(change, request);
 *
 * `run` may run several times (store/store.h): it sets everything anew. It writes its answer into change->json and says
 * true; or refuses: return change_refuse(change, 404, "", "there is no such list"), which writes nothing and answers
 * the problem. A fault is answered 400 (INPUT) or 503. */
#ifndef TODOKE_API_CHANGE_H
#define TODOKE_API_CHANGE_H

#include "api/inside.h"
#include "api/repeat.h"
#include <jansson.h>

struct change {
    struct write_job job;
    struct http_later later;
    struct api *api;
    struct arena arena; /* what was read */
    struct arena work;  /* of the last run */
    struct key_rights rights;
    uint64_t key_id;
    time_ms now;
    bool (*run)(struct change *change, struct db *db, struct fault *why);
    void *data;
    bool has_secret;    /* its answer is never kept: no Idempotency-Key */
    bool changes_holds; /* the engine must hear of it */
    uint64_t forget_key;
    struct submit_news *news; /* of the last run: deliveries that it made */
    size_t news_count;
    struct repeat repeat; /* of the request's Idempotency-Key */
    json_t *free_json;    /* let go with the change; may be NULL */
    /* of the last run */
    struct buf answer;
    struct json json;
    enum repeat_state repeated;
    int status; /* 200; 204: nothing is answered; 4xx: refused */
    char field[60], problem[240];
    struct fault why;
};
/* type: of change->data, zeroed. */
#define change_new(api, request, type, run) change_make((api), (request), sizeof(type), (run))
struct change *change_make(struct api *api, struct http_request *request, size_t data_size,
                           bool (*run)(struct change *change, struct db *db, struct fault *why));
void change_begin(struct change *change, struct http_request *request);
/* It was never begun. */
void change_free(struct change *change);
/* For the record: by which key, as in "key console". In the arena; or of a change, in change->work. */
NODISCARD bool key_who(struct db *db, uint64_t key_id, struct arena *arena, struct slice *who, struct fault *why);
static inline bool change_who(struct change *change, struct db *db, struct slice *who, struct fault *why)
{
    return key_who(db, change->key_id, &change->work, who, why);
}
/* Always false. */
bool change_refuse(struct change *change, int status, const char *field, const char *format, ...) PRINTF_LIKE(4, 5);

static inline struct brands change_brands(const struct change *change)
{
    return (struct brands){change->rights.brands, change->rights.brand_count};
}

#endif
