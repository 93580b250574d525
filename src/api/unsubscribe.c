/* unsubscribe.c - the link in every promotional mail: GET asks, POST does (M46, RFC 8058, U11, L4)
 *
 * No sign-in, no cookie, no redirect: the signed token says which delivery it was sent with. A link scanner's GET
 * changes nothing; the mail program's one-click POST, or the button's, excludes the address from that brand before it
 * is answered. Asking twice is fine. */
#include "api/inside.h"
#include "receive/join.h"

enum { BODY_LIMIT = 4096 };

#define PAGE(title, text, form)                                                                                        \
    "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\"><meta name=\"viewport\" "                                \
    "content=\"width=device-width\"><meta name=\"robots\" "                                                            \
    "content=\"noindex\"><title>" title "</title><main>" text form "</main></html>\n"

static const char ask_page[] = PAGE(
    "配信の解除 / Unsubscribe",
    "<h1>配信を解除しますか</h1><p>下のボタンを押すと、この差出人からのご案内は届かなくなります。</p>"
    "<h2 lang=\"en\">Unsubscribe?</h2><p lang=\"en\">Press the button and this sender will write to you no more.</p>",
    "<form method=\"post\"><button name=\"List-Unsubscribe\" value=\"One-Click\">解除する / "
    "Unsubscribe</button></form>");
static const char done_page[] =
    PAGE("配信を解除しました / Unsubscribed",
         "<h1>配信を解除しました</h1><p>この差出人からのご案内は、もう届きません。</p><p lang=\"en\">You are "
         "unsubscribed. This sender will write to you no more.</p>",
         "");
static const char lost_page[] = PAGE(
    "リンクが正しくありません / Not a valid link",
    "<h1>このリンクは使えません</"
    "h1><p>"
    "途中で切れているか、書きかえられています。メールのリンクをもう一度押すか、メールに返信してお知らせください。</p>"
    "<p lang=\"en\">This link is cut or was changed. Press the link in the mail again, or reply to the mail.</p>",
    "");
static const char later_page[] =
    PAGE("しばらくしてからお試しください / Try again later",
         "<h1>ただいま受け付けられません</h1><p>数分たってから、もう一度お試しください。</p><p lang=\"en\">Please "
         "try again in a few minutes.</p>",
         "");

static void page_answer(struct http_request *request, int status, const char *page)
{
    http_set(request, "Content-Security-Policy",
             SLICE("default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"));
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    http_set(request, "Referrer-Policy", SLICE("no-referrer"));
    http_set(request, "Cache-Control", SLICE("no-store"));
    http_respond(request, status, "text/html; charset=utf-8", slice_str(page));
}

/* An old token still unsubscribes: a refusal is never too late. */
static bool token_of(struct api *api, struct http_request *request, uint64_t *delivery_id)
{
    if (!api->options.link_keys)
        return false;
    enum token_result result =
        token_check(api->options.link_keys, TOKEN_UNSUBSCRIBE, http_param(request, "token"), api_now(api), delivery_id);
    return result == TOKEN_GOOD || result == TOKEN_EXPIRED;
}

static void unsubscribe_ask(struct http_request *request, void *user)
{
    uint64_t delivery_id;
    bool is_ours = token_of(user, request, &delivery_id);
    page_answer(request, is_ours ? 200 : 404, is_ours ? ask_page : lost_page);
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
        page_answer(request, 503, later_page);
    else if (request) /* a delivery that is gone was to somebody we no longer write to */
        page_answer(request, 200, done_page);
    free(unsubscribe);
}

static void unsubscribe_act(struct http_request *request, void *user)
{
    struct api *api = user;
    uint64_t delivery_id;
    if (!token_of(api, request, &delivery_id))
        return page_answer(request, 404, lost_page);
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
}
