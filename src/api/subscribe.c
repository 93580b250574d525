/* subscribe.c - people ask to be on a list, and confirm that it was they (S53, S54, U11)
 *
 *     GET  /s/{list}   the form of a list that has one
 *     POST /s/{list}   asks: the same answer whatever is known of the address, after the commit; a mail may follow
 *     GET  /k/{token}  the link in that mail: a page with a button, and changes nothing, whoever opens it
 *     POST /k/{token}  the button: on the list, with the proof
 *
 * Asking is limited by network (the api's own count, an hour) and by address (audience/optin.h). A form field that no
 * person sees catches the simplest robots: they get the same answer, and nothing happens. */
#include "api/body.h"
#include "api/public_change.h"
#include "audience/optin.h"
#include "base/utf8.h"
#include "campaign/brand.h"
#include "campaign/optin_mail.h"
#include "mail/address.h"
#include <stdio.h>

enum { FORM_LIMIT = 8192 };

struct subscription {
    struct optin asked;
};

/* ── asking ── */

static bool form_list(struct api *api, struct http_request *request, struct list *list, struct brand *brand,
                      struct fault *why)
{
    uint64_t id;
    bool found = false;
    char number[24];
    if (!id_parse(http_param(request, "list"), &id))
        return false;
    if (!list_by_id(api->db, why, id, &request->arena, list, &found) || !found || !list->has_form)
        return false;
    snprintf(number, sizeof(number), "%llu", (unsigned long long)list->brand_id);
    return brand_find(api->db, why, slice_str(number), &request->arena, brand);
}

/* Where there is no list for it: 404, or 503 when the store cannot say. */
static void answer_no_form(struct http_request *request, const struct fault *why)
{
    bool is_world = why->kind != FAULT_NONE && why->kind != FAULT_INPUT;
    public_page(request, is_world ? 503 : 404, is_world ? PUBLIC_PAGE_LATER : PUBLIC_PAGE_LOST);
}

static void form_show(struct http_request *request, int status, const struct list *list, const struct brand *brand,
                      struct slice email, struct slice name, bool is_wrong)
{
    struct sheet sheet;
    bool is_en = sheet_wants_en(request, SLICE(""));
    struct slice title = list->title.len ? list->title : list->name;
    sheet_begin(&sheet, is_en, TEXT("配信のお申し込み", "Subscribe"));
    sheet_html(&sheet, "<p class=\"muted\">");
    sheet_text(&sheet, brand->name);
    sheet_html(&sheet, "</p><h1>");
    sheet_text(&sheet, title);
    sheet_html(&sheet, "</h1>");
    if (list->notice.len) {
        sheet_html(&sheet, "<p class=\"pre\">");
        sheet_text(&sheet, list->notice);
        sheet_html(&sheet, "</p>");
    }
    if (is_wrong) {
        sheet_html(&sheet, "<p class=\"wrong\" role=\"alert\" id=\"wrong\">");
        sheet_said(&sheet, TEXT("メールアドレスの書き方をお確かめください。", "Please check the mail address."));
        sheet_html(&sheet, "</p>");
    }
    sheet_html(&sheet, "<form method=\"post\"><label>");
    sheet_said(&sheet, TEXT("メールアドレス", "Mail address"));
    sheet_html(&sheet, " <input type=\"email\" name=\"email\" autocomplete=\"email\" required maxlength=\"320\"");
    sheet_html(&sheet, is_wrong ? " aria-invalid=\"true\" aria-describedby=\"wrong\" value=\"" : " value=\"");
    sheet_text(&sheet, email);
    sheet_html(&sheet, "\"></label><label>");
    sheet_said(&sheet, TEXT("お名前(なくてもかまいません)", "Name (if you like)"));
    sheet_html(&sheet, " <input type=\"text\" name=\"name\" autocomplete=\"name\" maxlength=\"100\" value=\"");
    sheet_text(&sheet, name);
    sheet_html(&sheet, "\"></label><div class=\"not\" aria-hidden=\"true\"><label>URL <input type=\"text\" "
                       "name=\"website\" tabindex=\"-1\" autocomplete=\"off\"></label></div>"
                       "<input type=\"hidden\" name=\"lang\" value=\"");
    sheet_html(&sheet, is_en ? "en" : "ja");
    sheet_html(&sheet, "\"><button class=\"go\">");
    sheet_said(&sheet, TEXT("申し込む", "Subscribe"));
    sheet_html(&sheet, "</button></form><p class=\"muted\">");
    sheet_said(&sheet, TEXT("確認のメールをお送りします。その中のページで確認していただくまで、登録はされません。",
                            "We will send you a mail. You are not subscribed before you confirm on the page it leads "
                            "to."));
    sheet_html(&sheet, "</p>");
    sheet_answer(&sheet, request, status);
}

static void form_ask(struct http_request *request, void *user)
{
    struct list list;
    struct brand brand;
    struct fault why = {0};
    if (form_list(user, request, &list, &brand, &why))
        form_show(request, 200, &list, &brand, SLICE(""), SLICE(""), false);
    else
        answer_no_form(request, &why);
}

static void thanks_show(struct http_request *request, bool is_en)
{
    struct sheet sheet;
    sheet_begin(&sheet, is_en, TEXT("確認のメールをお送りします", "We are sending you a mail"));
    sheet_html(&sheet, "<h1>");
    sheet_said(&sheet, TEXT("あと一歩です", "One more step"));
    sheet_html(&sheet, "</h1><p>");
    sheet_said(&sheet,
               TEXT("お申し込みを受け付けました。確認のメールが届いたら、その中のページで登録を完了してください。",
                    "Thank you. When our mail arrives, open the page it leads to and confirm there."));
    sheet_html(&sheet, "</p><p class=\"muted\">");
    sheet_said(&sheet,
               TEXT("すでにご登録いただいているときや、続けてお申し込みいただいたときは、新しいメールは届きません。"
                    "届かないときは、迷惑メールのフォルダーと、受信拒否の設定をお確かめください。",
                    "No mail is sent when you are subscribed already or have just asked. If nothing arrives, look "
                    "into the folder for spam."));
    sheet_html(&sheet, "</p>");
    sheet_answer(&sheet, request, 200);
}

static bool subscribe_run(struct public_change *change, struct db *db, struct fault *why)
{
    struct optin asked = ((const struct subscription *)change->data)->asked;
    bool wants_mail;
    return optin_ask(db, why, &asked, change->now, &change->work, &wants_mail) &&
           (!wants_mail || optin_mail_send(db, why, &asked, change->api->options.ring, change->now, &change->work,
                                           &change->news, &change->news_count));
}

static void subscribe_answer(struct public_change *change, struct http_request *request)
{
    const struct subscription *subscription = change->data;
    if (change->why.kind == FAULT_INPUT)
        public_page(request, 404, PUBLIC_PAGE_LOST);
    else
        thanks_show(request, slice_equal(subscription->asked.lang, SLICE("en")));
}

/* IPv4 by /24, IPv6 by the limiter's /64. */
static bool network_may(struct api *api, struct http_request *request)
{
    struct ip network = request->peer.ip;
    unsigned retry_after;
    time_ms now = world_monotonic(api->options.world);
    if (!api->options.optins_of_network)
        return true;
    if (network.family == 4)
        network.bytes[3] = 0;
    api->askers.burst = api->options.optins_of_network;
    api->askers.refill_ms = HOURS_MS(1) / api->askers.burst;
    if (limiter_permits(&api->askers, &network, now, &retry_after)) {
        limiter_was_wrong(&api->askers, &network, now);
        return true;
    }
    char seconds[16];
    snprintf(seconds, sizeof(seconds), "%u", retry_after);
    http_set(request, "Retry-After", slice_str(seconds));
    public_page(request, 429, PUBLIC_PAGE_BUSY);
    return false;
}

static void form_act(struct http_request *request, void *user)
{
    struct api *api = user;
    struct list list;
    struct brand brand;
    struct fault why = {0};
    struct address address;
    struct slice email = SLICE(""), name = SLICE(""), trap = SLICE(""), lang = SLICE("");
    if (!api->options.ring || !form_list(api, request, &list, &brand, &why)) {
        answer_no_form(request, &why);
        return;
    }
    http_form(request, "email", &email);
    http_form(request, "name", &name);
    http_form(request, "website", &trap);
    http_form(request, "lang", &lang);
    email = slice_trim(email);
    name = slice_head(slice_trim(name), CONTACT_NAME_MAX);
    if (!utf8_is_line(name) || !text_is_storable(name))
        name = SLICE("");
    if (!network_may(api, request))
        return;
    if (!utf8_is_line(email) || !address_of_person(email, &request->arena, &address, &why)) {
        form_show(request, 400, &list, &brand, utf8_is_line(email) ? email : SLICE(""), name, true);
        return;
    }
    if (trap.len) { /* what no person sees was filled in */
        thanks_show(request, slice_equal(lang, SLICE("en")));
        return;
    }
    struct public_change *change =
        public_change_new(api, request, struct subscription, subscribe_run, subscribe_answer);
    struct subscription *subscription = change->data;
    subscription->asked = (struct optin){
        .list_id = list.id,
        .address = arena_copy(&change->arena, address.identity),
        .written = arena_copy(&change->arena, address.written),
        .name = arena_copy(&change->arena, name),
        .lang = slice_equal(lang, SLICE("en")) ? SLICE("en") : SLICE("ja"),
        .source = SLICE("form"),
        .asked_from = {change->ip, change->agent},
    };
    public_change_begin(change, request);
}

/* ── confirming ── */

static bool token_of(struct api *api, struct http_request *request, struct token *token)
{
    *token = (struct token){0};
    enum token_result result =
        token_check(api->options.ring, TOKEN_CONFIRM, http_param(request, "token"), api_now(api), token);
    if (result == TOKEN_EXPIRED)
        public_page(request, 410, PUBLIC_PAGE_OLD);
    else if (result != TOKEN_GOOD)
        public_page(request, 404, PUBLIC_PAGE_LOST);
    return result == TOKEN_GOOD;
}

static void confirm_ask(struct http_request *request, void *user)
{
    struct api *api = user;
    struct token token;
    struct optin optin;
    struct fault why = {0};
    bool found;
    struct sheet sheet;
    if (!token_of(api, request, &token))
        return;
    if (!optin_find(api->db, &why, token.id, &request->arena, &optin, &found) || !found) {
        answer_no_form(request, &why);
        return;
    }
    if (!optin.confirmed && optin.expires < api_now(api)) {
        public_page(request, 410, PUBLIC_PAGE_OLD);
        return;
    }
    sheet_begin(&sheet, sheet_wants_en(request, optin.lang), TEXT("登録の確認", "Confirm your subscription"));
    sheet_html(&sheet, "<h1>");
    sheet_text(&sheet, optin.title);
    sheet_html(&sheet, "</h1>");
    if (optin.notice.len) {
        sheet_html(&sheet, "<p class=\"pre\">");
        sheet_text(&sheet, optin.notice);
        sheet_html(&sheet, "</p>");
    }
    sheet_html(&sheet, "<p>");
    sheet_text(&sheet, optin.written);
    sheet_html(&sheet, "</p><p>");
    sheet_said(&sheet, TEXT("下のボタンを押すと、登録が完了します。", "Press the button and you are subscribed."));
    sheet_html(&sheet, "</p><form method=\"post\"><button class=\"go\" name=\"confirm\" value=\"1\">");
    sheet_said(&sheet, TEXT("登録する", "Subscribe"));
    sheet_html(&sheet, "</button></form><p class=\"muted\">");
    sheet_said(&sheet, TEXT("お申し込みのお心あたりがないときは、このページを閉じてください。",
                            "If you did not ask for this, close this page."));
    sheet_html(&sheet, "</p>");
    sheet_answer(&sheet, request, 200);
}

struct confirmation {
    uint64_t id;
    enum optin_end end;
    struct optin optin;
    struct brand brand;
    bool found;
};

static bool confirm_run(struct public_change *change, struct db *db, struct fault *why)
{
    struct confirmation *confirmation = change->data;
    const struct optin_from from = {change->ip, change->agent};
    char number[24];
    if (!optin_confirm(db, why, confirmation->id, &from, change->now, &change->work, &confirmation->end) ||
        !optin_find(db, why, confirmation->id, &change->work, &confirmation->optin, &confirmation->found))
        return false;
    snprintf(number, sizeof(number), "%llu", (unsigned long long)confirmation->optin.brand_id);
    return !confirmation->found || brand_find(db, why, slice_str(number), &change->work, &confirmation->brand);
}

static void confirm_answer(struct public_change *change, struct http_request *request)
{
    const struct confirmation *confirmation = change->data;
    struct sheet sheet;
    if (change->why.kind != FAULT_NONE || !confirmation->found || confirmation->end == OPTIN_NONE) {
        public_page(request, 404, PUBLIC_PAGE_LOST);
        return;
    }
    if (confirmation->end == OPTIN_EXPIRED) {
        public_page(request, 410, PUBLIC_PAGE_OLD);
        return;
    }
    sheet_begin(&sheet, sheet_wants_en(request, confirmation->optin.lang),
                TEXT("登録が完了しました", "You are subscribed"));
    sheet_html(&sheet, "<h1>");
    sheet_said(&sheet, TEXT("登録が完了しました", "You are subscribed"));
    sheet_html(&sheet, "</h1><p>");
    sheet_text(&sheet, confirmation->optin.title);
    sheet_html(&sheet, "</p><p>");
    sheet_said(&sheet, TEXT("受信するメールを限っているときは、次のドメインからのメールを受け取れるようにしてください:",
                            "If you filter your mail, please let mail from this domain through:"));
    sheet_html(&sheet, " <b>");
    sheet_text(&sheet, brand_domain(&confirmation->brand));
    sheet_html(&sheet, "</b></p><p class=\"muted\">");
    sheet_said(&sheet,
               TEXT("配信の解除は、お送りするどのメールからもできます。", "You can unsubscribe in each mail we send."));
    sheet_html(&sheet, "</p>");
    sheet_answer(&sheet, request, 200);
}

static void confirm_act(struct http_request *request, void *user)
{
    struct token token;
    if (!token_of(user, request, &token))
        return;
    struct public_change *change = public_change_new(user, request, struct confirmation, confirm_run, confirm_answer);
    ((struct confirmation *)change->data)->id = token.id;
    public_change_begin(change, request);
}

void subscribe_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/s/{list}", form_ask, api, 0});
    http_router_add(api->router, &(struct http_route){"POST", "/s/{list}", form_act, api, FORM_LIMIT});
    http_router_add(api->router, &(struct http_route){"GET", "/k/{token}", confirm_ask, api, 0});
    http_router_add(api->router, &(struct http_route){"POST", "/k/{token}", confirm_act, api, FORM_LIMIT});
}
