/* unsubscribe.c - the link in every promotional mail: GET asks, POST does (M46, RFC 8058, U11, L4)
 *
 * No sign-in, no cookie, no redirect: the signed token says which delivery it was sent with. A link scanner's GET
 * changes nothing; the mail program's one-click POST, or the button's, excludes the address from that brand before it
 * is answered. Asking twice is fine. */
#include "api/clicks.h"
#include "api/downloads.h"
#include "api/public_change.h"
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

static bool unsubscribe_run(struct public_change *change, struct db *db, struct fault *why)
{
    const struct ledger ledger = {0};
    bool found;
    return join_unsubscribe(&ledger, db, why, *(uint64_t *)change->data, change->now, &found);
}

static void unsubscribe_answer(struct public_change *change, struct http_request *request)
{
    public_page(request, 200, PUBLIC_PAGE_UNSUBSCRIBED); /* a delivery that is gone: we no longer write to him */
}

static void unsubscribe_act(struct http_request *request, void *user)
{
    uint64_t delivery_id;
    if (!token_of(user, request, &delivery_id)) {
        public_page(request, 404, PUBLIC_PAGE_LOST);
        return;
    }
    struct public_change *change = public_change_new(user, request, uint64_t, unsubscribe_run, unsubscribe_answer);
    *(uint64_t *)change->data = delivery_id;
    public_change_begin(change, request);
}

void unsubscribe_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/u/{token}", unsubscribe_ask, api, 0});
    http_router_add(api->router, &(struct http_route){"POST", "/u/{token}", unsubscribe_act, api, BODY_LIMIT});
}

void public_routes(struct api *api)
{
    unsubscribe_routes(api);
    subscribe_routes(api);
    preferences_routes(api);
    clicks_routes(api);
    downloads_routes(api);
}
