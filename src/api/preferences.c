/* preferences.c - what a person wants of a brand, by the link in its mails: GET /p/{token} shows, POST changes (L4,
 * S74)
 *
 * The signed token names the delivery, that its address and brand; no sign-in, no cookie, no script. Which lists the
 * page showed comes back with it (seen-<id>), so that a list made meanwhile is not left unasked. What is refused is
 * refused when this is answered: what waits for this address already is looked at once more before it is sent. */
#include "api/public_change.h"
#include "audience/optin.h"
#include "campaign/brand.h"
#include <stdio.h>

enum { FORM_LIMIT = 16384 };
static const unsigned pauses[] = {0, 30, 90}; /* days */

struct asker { /* whose link it is */
    struct event cause;
    struct slice address, written;
    struct brand brand;
};

static bool asker_read(struct api *api, uint64_t id, struct arena *arena, struct asker *asker, bool *found,
                       struct fault *why)
{
    char number[24];
    *found = false;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(api->db, why, &rows,
                      "SELECT campaign_id, brand_id, address, written FROM delivery WHERE bucket = $1 AND id = $2",
                      VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
            return false;
        if (rows_next(&rows)) {
            *found = true;
            asker->cause = (struct event){.delivery_id = id, .campaign_id = (uint64_t)rows_int(&rows, 0)};
            snprintf(number, sizeof(number), "%llu", (unsigned long long)rows_int(&rows, 1));
            asker->address = arena_copy(arena, rows_text(&rows, 2));
            asker->written = arena_copy(arena, rows_text(&rows, 3));
        }
        if (!rows_end(&rows))
            return false;
    }
    return !*found || brand_find(api->db, why, slice_str(number), arena, &asker->brand);
}

/* False: answered. */
static bool asker_of(struct api *api, struct http_request *request, struct arena *arena, struct asker *asker)
{
    struct token token = {0};
    struct fault why = {0};
    bool found;
    enum token_result result =
        token_check(api->options.ring, TOKEN_PREFERENCES, http_param(request, "token"), api_now(api), &token);
    if (result == TOKEN_EXPIRED) {
        public_page(request, 410, PUBLIC_PAGE_OLD);
        return false;
    }
    if (result != TOKEN_GOOD) {
        public_page(request, 404, PUBLIC_PAGE_LOST);
        return false;
    }
    if (asker_read(api, token.id, arena, asker, &found, &why) && found)
        return true;
    bool is_world = why.kind != FAULT_NONE && why.kind != FAULT_INPUT;
    public_page(request, is_world ? 503 : 404, is_world ? PUBLIC_PAGE_LATER : PUBLIC_PAGE_LOST);
    return false;
}

/* ── the page ── */

static void list_show(struct sheet *sheet, const struct preference *one)
{
    char id[24];
    snprintf(id, sizeof(id), "%llu", (unsigned long long)one->list.id);
    sheet_html(sheet, "<label><input type=\"checkbox\" name=\"list-");
    sheet_html(sheet, id);
    sheet_html(sheet, one->is_wanted ? "\" value=\"1\" checked> " : "\" value=\"1\"> ");
    sheet_text(sheet, one->list.title);
    if (one->list.notice.len) {
        sheet_html(sheet, "<small>");
        sheet_text(sheet, one->list.notice);
        sheet_html(sheet, "</small>");
    }
    sheet_html(sheet, "</label><input type=\"hidden\" name=\"seen-");
    sheet_html(sheet, id);
    sheet_html(sheet, "\" value=\"1\">");
}

static void choice_show(struct sheet *sheet, const char *name, const char *value, bool is_chosen, struct text words)
{
    sheet_html(sheet, "<label><input type=\"radio\" name=\"");
    sheet_html(sheet, name);
    sheet_html(sheet, "\" value=\"");
    sheet_html(sheet, value);
    sheet_html(sheet, is_chosen ? "\" checked> " : "\"> ");
    sheet_said(sheet, words);
    sheet_html(sheet, "</label>");
}

static void pause_show(struct sheet *sheet, time_ms until)
{
    sheet_html(sheet, "<fieldset><legend>");
    sheet_said(sheet, TEXT("しばらく休む", "Take a break"));
    sheet_html(sheet, "</legend>");
    if (until) {
        SCOPED(buf) day = BUF(64);
        time_rfc3339(&day, until);
        const struct slice date = slice_head(buf_slice(&day), 10);
        sheet_html(sheet, "<label><input type=\"radio\" name=\"pause\" value=\"keep\" checked> ");
        sheet_said(sheet, TEXT("お休み中: ", "Paused until "));
        sheet_text(sheet, date);
        sheet_said(sheet, TEXT(" まで", ""));
        sheet_html(sheet, "</label>");
    }
    choice_show(sheet, "pause", "0", !until, TEXT("休まない", "No break"));
    choice_show(sheet, "pause", "30", false, TEXT("30 日休む", "For 30 days"));
    choice_show(sheet, "pause", "90", false, TEXT("90 日休む", "For 90 days"));
    sheet_html(sheet, "</fieldset>");
}

static void page_show(struct http_request *request, const struct preferences *are, const struct brand *brand,
                      bool is_saved)
{
    struct sheet sheet;
    bool is_en = sheet_wants_en(request, are->lang);
    sheet_begin(&sheet, is_en, TEXT("配信の設定", "Your subscriptions"));
    sheet_html(&sheet, "<p class=\"muted\">");
    sheet_text(&sheet, brand->name);
    sheet_html(&sheet, "</p><h1>");
    sheet_said(&sheet, TEXT("配信の設定", "Your subscriptions"));
    sheet_html(&sheet, "</h1><p>");
    sheet_text(&sheet, are->written);
    sheet_html(&sheet, "</p>");
    if (is_saved || are->is_refused) {
        sheet_html(&sheet, "<p class=\"done\" role=\"status\">");
        if (is_saved)
            sheet_said(&sheet, TEXT("保存しました。", "Saved. "));
        if (are->is_refused)
            sheet_said(&sheet, TEXT("いま、この差出人からは何も届きません。", "This sender writes to you no more."));
        sheet_html(&sheet, "</p>");
    }
    sheet_html(&sheet, "<form method=\"post\">");
    if (are->count) {
        sheet_html(&sheet, "<fieldset><legend>");
        sheet_said(&sheet, TEXT("受け取るもの", "What you receive"));
        sheet_html(&sheet, "</legend>");
        for (size_t i = 0; i < are->count; i++)
            list_show(&sheet, &are->lists[i]);
        sheet_html(&sheet, "</fieldset>");
    }
    if (!are->is_refused)
        pause_show(&sheet, are->paused_until);
    sheet_html(&sheet, "<fieldset><legend>");
    sheet_said(&sheet, TEXT("ことば / Language", "Language / ことば"));
    sheet_html(&sheet, "</legend>");
    choice_show(&sheet, "lang", "ja", !is_en, TEXT("日本語", "日本語"));
    choice_show(&sheet, "lang", "en", is_en, TEXT("English", "English"));
    sheet_html(&sheet, "</fieldset><button class=\"go\" name=\"save\" value=\"1\">");
    sheet_said(&sheet, TEXT("保存する", "Save"));
    sheet_html(&sheet, "</button>");
    if (!are->is_refused) {
        sheet_html(&sheet, "<fieldset><legend>");
        sheet_said(&sheet, TEXT("すべて解除する", "Unsubscribe from all"));
        sheet_html(&sheet, "</legend><p>");
        sheet_said(&sheet,
                   TEXT("この差出人からのメールは、何も届かなくなります。", "This sender will write to you no more."));
        sheet_html(&sheet, "</p><button name=\"all\" value=\"1\">");
        sheet_said(&sheet, TEXT("すべて解除する", "Unsubscribe from all"));
        sheet_html(&sheet, "</button></fieldset>");
    }
    sheet_html(&sheet, "</form>");
    sheet_answer(&sheet, request, 200);
}

static void preferences_show(struct http_request *request, void *user)
{
    struct api *api = user;
    struct asker asker;
    struct fault why = {0};
    if (!asker_of(api, request, &request->arena, &asker))
        return;
    struct preferences are = {.brand_id = asker.brand.id, .address = asker.address, .written = asker.written};
    if (preferences_read(api->db, &why, api_now(api), &request->arena, &are))
        page_show(request, &are, &asker.brand, false);
    else
        public_page(request, 503, PUBLIC_PAGE_LATER);
}

/* ── changing ── */

struct choosing {
    struct asker asker;
    struct preferences wanted, are; /* are: as they are afterwards */
    bool keeps_pause;
};

static bool choose_run(struct public_change *change, struct db *db, struct fault *why)
{
    struct choosing *choosing = change->data;
    const struct optin_from from = {change->ip, change->agent};
    struct preferences wanted = choosing->wanted;
    struct preferences *are = &choosing->are;
    *are = (struct preferences){.brand_id = wanted.brand_id, .address = wanted.address, .written = wanted.written};
    if (!preferences_read(db, why, change->now, &change->work, are))
        return false;
    wanted.name = are->name;
    if (choosing->keeps_pause)
        wanted.paused_until = are->paused_until;
    return preferences_write(db, why, &wanted, &choosing->asker.cause, &from, change->now, &change->work) &&
           preferences_read(db, why, change->now, &change->work, are);
}

static void choose_answer(struct public_change *change, struct http_request *request)
{
    const struct choosing *choosing = change->data;
    if (change->why.kind != FAULT_NONE)
        public_page(request, 404, PUBLIC_PAGE_LOST);
    else
        page_show(request, &choosing->are, &choosing->asker.brand, true);
}

static bool is_ticked(struct http_request *request, const char *what, uint64_t list_id)
{
    char name[40];
    struct slice value;
    snprintf(name, sizeof(name), "%s-%llu", what, (unsigned long long)list_id);
    return http_form(request, name, &value);
}

static void pause_take(struct http_request *request, struct choosing *choosing, time_ms now)
{
    struct slice word;
    uint64_t days;
    choosing->keeps_pause = true;
    if (!http_form(request, "pause", &word) || !slice_to_u64(word, &days))
        return;
    for (size_t i = 0; i < COUNT_OF(pauses); i++) {
        if (pauses[i] == days) {
            choosing->keeps_pause = false;
            choosing->wanted.paused_until = days ? now + DAYS_MS((time_ms)days) : 0;
        }
    }
}

static void preferences_change(struct http_request *request, void *user)
{
    struct api *api = user;
    struct public_change *change = public_change_new(api, request, struct choosing, choose_run, choose_answer);
    struct choosing *choosing = change->data;
    struct preferences *wanted = &choosing->wanted;
    struct slice word;
    struct fault why = {0};
    if (!asker_of(api, request, &change->arena, &choosing->asker)) {
        public_change_free(change);
        return;
    }
    *wanted = (struct preferences){
        .brand_id = choosing->asker.brand.id, .address = choosing->asker.address, .written = choosing->asker.written};
    if (!preferences_read(api->db, &why, change->now, &change->arena, wanted)) {
        public_change_free(change);
        public_page(request, 503, PUBLIC_PAGE_LATER);
        return;
    }
    size_t seen = 0;
    for (size_t i = 0; i < wanted->count; i++) {
        if (!is_ticked(request, "seen", wanted->lists[i].list.id))
            continue;
        wanted->lists[seen] = wanted->lists[i];
        wanted->lists[seen].is_wanted = is_ticked(request, "list", wanted->lists[i].list.id);
        seen++;
    }
    wanted->count = seen;
    wanted->is_refused = http_form(request, "all", &word);
    wanted->lang = !http_form(request, "lang", &word) ? SLICE("")
                   : slice_equal(word, SLICE("en"))   ? SLICE("en")
                   : slice_equal(word, SLICE("ja"))   ? SLICE("ja")
                                                      : SLICE("");
    pause_take(request, choosing, change->now);
    public_change_begin(change, request);
}

void preferences_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/p/{token}", preferences_show, api, 0});
    http_router_add(api->router, &(struct http_route){"POST", "/p/{token}", preferences_change, api, FORM_LIMIT});
}
