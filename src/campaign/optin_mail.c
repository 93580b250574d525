#include "campaign/optin_mail.h"

#include "base/json.h"
#include "campaign/brand.h"
#include "content/letter.h"
#include "submit/message.h"

enum { KEPT_DAYS = 3 };

#define TEXT_JA                                                                                                                               \
    "{{ brand.name }} の「{{ list }}」へのお申し込みを受け付けました。\n"                                                  \
    "下のページを開いて「登録する」を押すと、登録が完了します。期限は {{ until }} です。\n\n{{ url }}\n\n" \
    "お心あたりがないときは、何もしないでください。登録されず、ご案内が届くこともありません。\n"
#define TEXT_EN                                                                                                        \
    "Somebody, hopefully you, asked to get \"{{ list }}\" from {{ brand.name }}.\n"                                    \
    "Open this page and press \"Subscribe\" by {{ until }}:\n\n{{ url }}\n\n"                                          \
    "If it was not you, do nothing: you are not subscribed and will not hear from us.\n"
#define TEXT_RULE   "\n----------------------------------------\n\n"
#define TEXT_FOOTER "\n-- \n{{ brand.footer }}\n"

#define BUTTON(words)                                                                                                  \
    "<p><a href=\"{{ url }}\" style=\"display:inline-block;background:#2a4b9b;color:#ffffff;padding:10px 24px;"        \
    "border-radius:6px;text-decoration:none;font-weight:600\">" words "</a></p>"
#define HTML_JA                                                                                                                                                   \
    "<div lang=\"ja\"><p>{{ brand.name }} の「{{ list }}」へのお申し込みを受け付けました。</p><p>下のボタンでページを"               \
    "開き、「登録する」を押すと、登録が完了します。期限は {{ until }} です。</p>" BUTTON(                                                                         \
        "確認のページを開く") "<p>"                                                                                                                               \
                              "お心あたりがないときは、何もしないでください。登録されず、ご案内が届くこともありません" \
                              "。</p></div>"
#define HTML_EN                                                                                                        \
    "<div lang=\"en\"><p>Somebody, hopefully you, asked to get &ldquo;{{ list }}&rdquo; from {{ brand.name }}.</p>"    \
    "<p>Open the page and press &ldquo;Subscribe&rdquo; by {{ until }}.</p>" BUTTON(                                   \
        "Open the page") "<p>If it was not you, do nothing: you are not subscribed and will not hear from "            \
                         "us.</p></div>"
#define HTML_FOOTER "<hr><p>{{ brand.footer }}</p>"

static const struct {
    struct slice subject, text, html;
} words[2] = {
    {SLICE_INIT("【{{ brand.name }}】ご登録の確認をお願いします"), SLICE_INIT(TEXT_JA TEXT_RULE TEXT_EN TEXT_FOOTER),
     SLICE_INIT(HTML_JA "<hr>" HTML_EN HTML_FOOTER)},
    {SLICE_INIT("Please confirm: {{ list }} from {{ brand.name }}"), SLICE_INIT(TEXT_EN TEXT_RULE TEXT_JA TEXT_FOOTER),
     SLICE_INIT(HTML_EN "<hr>" HTML_JA HTML_FOOTER)},
};

/* What the templates see. */
static void data_write(const struct optin *asked, const struct brand *brand, const struct token_ring *ring,
                       struct buf *out)
{
    struct json json = {out};
    SCOPED(buf) url = BUF(2048);
    SCOPED(buf) until = BUF(64);
    buf_append(&url, brand->link_base);
    buf_text(&url, "/k/");
    token_make(ring, TOKEN_CONFIRM, &(struct token){.id = asked->id}, asked->expires, &url);
    time_rfc3339(&until, asked->expires);
    json_object_begin(&json);
    json_put_string(&json, "url", buf_slice(&url));
    json_put_string(&json, "list", asked->title);
    json_put_string(&json, "until", slice_head(buf_slice(&until), 10));
    json_end(&json);
}

static void letter_make(const struct optin *asked, const struct brand *brand, struct buf *out)
{
    static const struct content_header headers[] = {{SLICE_INIT("Auto-Submitted"), SLICE_INIT("auto-generated")}};
    int lang = slice_equal(asked->lang, SLICE("en"));
    const struct letter letter = {.source = {.subject = words[lang].subject,
                                             .text = words[lang].text,
                                             .html = words[lang].html,
                                             .from_name = brand->from_name,
                                             .from_address = brand->from_address,
                                             .reply_to = brand->reply_to,
                                             .headers = headers,
                                             .header_count = COUNT_OF(headers)}};
    letter_write(&letter, out);
}

bool optin_mail_send(struct db *db, struct fault *why, const struct optin *asked, const struct token_ring *ring,
                     time_ms now, struct arena *arena, struct submit_news **news, size_t *news_count)
{
    struct brand brand;
    SCOPED(buf) body = BUF(65536);
    SCOPED(buf) data = BUF(16384);
    if (!brand_find(db, why, arena_printf(arena, "%llu", (unsigned long long)asked->brand_id), arena, &brand))
        return false;
    letter_make(asked, &brand, &body);
    data_write(asked, &brand, ring, &data);
    const struct message message = {
        .id = id_make_anywhere(db_ids(db), now),
        .brand_id = brand.id,
        .mail_from = brand.from_address,
        .from_domain = brand_domain(&brand),
        .subject = words[slice_equal(asked->lang, SLICE("en"))].subject,
        .tags = SLICE("optin"),
        .flags = MESSAGE_LETTER,
        .body = buf_slice(&body),
        .now = now,
        .due = now,
        .expires = asked->expires,
        .keep_until = now + DAYS_MS(KEPT_DAYS),
    };
    struct submit_row row = {.address = asked->address, .written = asked->written};
    if (!optin_mailed(db, why, asked, message.id, now) ||
        !message_submit(db, why, &message, &row, 1, arena, news, news_count))
        return false;
    const struct message_data given = {row.delivery_id, asked->name, buf_slice(&data)};
    return message_data_keep(db, why, &given, 1);
}
