/* unsubscribe.c - the link in every promotional mail: GET asks, POST does (M46, RFC 8058, U11, L4)
 *
 * No sign-in, no cookie, no redirect: the signed token says which delivery it was sent with. A link scanner's GET
 * changes nothing; the mail program's one-click POST, or the button's, excludes the address from that brand before it
 * is answered. Asking twice is fine. */
#include "api/clicks.h"
#include "api/public_page.h"
#include "receive/join.h"

enum { BODY_LIMIT = 4096 };

/* An old token still unsubscribes: a refusal is never too late. */
static bool token_of(struct api *api, struct http_request *request, uint64_t *delivery_id)
{
    struct token token = {0};
    enum token_result result =
        token_check(api->options.ring, TOKEN_UNSUBSCRIBE, http_param(request, "token"), api_now(api), &token);
    *delivery_id = token.id;
    return result == TOKEN_GOOD || result == TOKEN_EXPIRED;
}

static void unsubscribe_ask(struct http_request *request, void *user)
{
    uint64_t delivery_id;
    bool is_ours = token_of(user, request, &delivery_id);
    public_page(request, is_ours ? 200 : 404, is_ours ? PUBLIC_PAGE_UNSUBSCRIBE : PUBLIC_PAGE_LOST);
}

struct unsubscribe {
    struct write_job job;
    struct http_later later;
    struct api *api;
    uint64_t delivery_id;
    bool is_found, has_failed;
};
#define UNSUBSCRIBE_OF(ptr, member) ((struct unsubscribe *)(void *)((char *)(ptr)-offsetof(struct unsubscribe, member)))

static bool unsubscribe_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct unsubscribe *unsubscribe = UNSUBSCRIBE_OF(job, job);
    const struct ledger ledger = {0};
    return join_unsubscribe(&ledger, db, why, unsubscribe->delivery_id, api_now(unsubscribe->api),
                            &unsubscribe->is_found);
}

static void unsubscribe_done(struct write_job *job, const struct fault *why)
{
    struct unsubscribe *unsubscribe = UNSUBSCRIBE_OF(job, job);
    unsubscribe->has_failed = why != NULL;
    http_resume(&unsubscribe->later);
}

static void unsubscribe_resumed(struct http_later *later, struct http_request *request)
{
    struct unsubscribe *unsubscribe = UNSUBSCRIBE_OF(later, later);
    unsubscribe->api->writes--;
    if (request && unsubscribe->has_failed)
        public_page(request, 503, PUBLIC_PAGE_LATER);
    else if (request) /* a delivery that is gone was to somebody we no longer write to */
        public_page(request, 200, PUBLIC_PAGE_UNSUBSCRIBED);
    free(unsubscribe);
}

static void unsubscribe_act(struct http_request *request, void *user)
{
    struct api *api = user;
    uint64_t delivery_id;
    if (!token_of(api, request, &delivery_id))
        return public_page(request, 404, PUBLIC_PAGE_LOST);
    struct unsubscribe *unsubscribe = NEW(struct unsubscribe);
    unsubscribe->job.run = unsubscribe_run;
    unsubscribe->job.done = unsubscribe_done;
    unsubscribe->job.fails_fast = true;
    unsubscribe->api = api;
    unsubscribe->delivery_id = delivery_id;
    api->writes++;
    http_suspend(request, &unsubscribe->later, unsubscribe_resumed);
    store_write(api->options.store, &unsubscribe->job);
}

void public_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/u/{token}", unsubscribe_ask, api, 0});
    http_router_add(api->router, &(struct http_route){"POST", "/u/{token}", unsubscribe_act, api, BODY_LIMIT});
    clicks_routes(api);
}
