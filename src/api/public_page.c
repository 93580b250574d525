#include "api/public_page.h"

#include "base/base64.h"
#include <openssl/sha.h>

static const char style[] =
    ":root{color-scheme:light dark;--paper:#f7f5f1;--sheet:#fff;--line:#d3cdc2;--ink:#22242a;--ink-2:#5b5f69;"
    "--accent:#2a4b9b;--accent-ink:#fff;--ok:#2f8f6d;--ok-soft:#dff2ea;--no:#c23a4c}"
    "@media(prefers-color-scheme:dark){:root{--paper:#17181c;--sheet:#1f2126;--line:#444853;--ink:#eceae4;"
    "--ink-2:#b3b5bd;--accent:#8aa8f0;--accent-ink:#14182a;--ok:#5cc39c;--ok-soft:#1d3a31;--no:#f0808f}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.65 \"Hiragino Sans\","
    "\"Yu Gothic UI\",\"Noto Sans JP\",\"Noto Sans CJK JP\",system-ui,sans-serif}"
    "main{max-width:38rem;margin:32px auto;padding:24px;background:var(--sheet);border:1px solid "
    "var(--line);border-radius:10px;overflow-wrap:anywhere}"
    "@media(max-width:40rem){main{margin:0;border:0;border-radius:0;min-height:100vh}}"
    "h1{font-size:22px;line-height:1.35;margin:0 0 12px}h2{font-size:17px;margin:24px 0 8px}p{margin:0 0 12px}"
    "fieldset{border:0;border-top:1px solid var(--line);margin:24px 0 0;padding:16px 0 0}legend{float:left;width:100%;"
    "font-weight:650;padding:0 0 8px}legend+*{clear:both}label{display:block;padding:6px 0}label small{display:block;"
    "color:var(--ink-2)}input[type=text],input[type=email]{display:block;width:100%;font:inherit;padding:8px 12px;"
    "color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:6px}"
    "button{font:inherit;font-weight:600;padding:8px 24px;margin:16px 8px 0 0;border:1px solid "
    "var(--line);border-radius:6px;background:var(--sheet);color:var(--ink);cursor:pointer}"
    "button.go{background:var(--accent);border-color:var(--accent);color:var(--accent-ink)}"
    "a{color:var(--accent)}:focus-visible{outline:2px solid var(--accent);outline-offset:2px}"
    ".muted{color:var(--ink-2);font-size:14.5px}.pre{white-space:pre-wrap}.done{background:var(--ok-soft);border-left:"
    "4px "
    "solid var(--ok);padding:8px 16px}.wrong{border-left:4px solid var(--no);padding:8px 16px}.not{position:absolute;"
    "left:-99rem}";

#define PAGE(title, ja, en, form)                                                                                      \
    {                                                                                                                  \
        title, ja, en, form                                                                                            \
    }
static const struct {
    const char *title, *ja, *en, *form;
} pages[] = {
    [PUBLIC_PAGE_UNSUBSCRIBE] =
        PAGE("配信の解除 / Unsubscribe",
             "<h1>配信を解除しますか</h1><p>下のボタンを押すと、この差出人からのご案内は届かなくなります。</p>",
             "<h2>Unsubscribe?</h2><p>Press the button and this sender will write to you no more.</p>",
             "<form method=\"post\"><button class=\"go\" name=\"List-Unsubscribe\" value=\"One-Click\">解除する / "
             "Unsubscribe</button></form>"),
    [PUBLIC_PAGE_UNSUBSCRIBED] = PAGE("配信を解除しました / Unsubscribed",
                                      "<h1>配信を解除しました</h1><p>この差出人からのご案内は、もう届きません。</p>",
                                      "<p>You are unsubscribed. This sender will write to you no more.</p>", ""),
    [PUBLIC_PAGE_LOST] = PAGE("リンクが正しくありません / Not a valid link",
                              "<h1>このリンクは使えません</h1><p>途中で切れているか、書きかえられています。"
                              "メールのリンクをもう一度押すか、メールに返信してお知らせください。</p>",
                              "<p>This link is cut or was changed. Press the link in the mail again, or reply to the "
                              "mail.</p>",
                              ""),
    [PUBLIC_PAGE_OLD] = PAGE("リンクの期限が切れました / This link is too old",
                             "<h1>このリンクの期限は切れました</h1><p>もう一度お申し込みいただくか、新しいメールの"
                             "リンクをお使いください。</p>",
                             "<p>This link is too old. Please ask again, or use the link of a newer mail.</p>", ""),
    [PUBLIC_PAGE_FILE_OLD] = PAGE(
        "ダウンロードの期限が過ぎました / This download has expired",
        "<h1>ダウンロードの期限が過ぎました</"
        "h1><p>このファイルは、もうお渡しできません。必要なときは、お受け取りになった"
        "メールに返信して、もう一度送るよう頼んでください。</p>",
        "<p>This file can no longer be downloaded: its time is over. If you need it, reply to the mail that brought "
        "you here and ask for it again.</p>",
        ""),
    [PUBLIC_PAGE_FILE_REMOVED] = PAGE(
        "ファイルは取り下げられました / This file was withdrawn",
        "<h1>ファイルは取り下げられました</h1><p>差出人が、このファイルの公開をやめました。必要なときは、お受け取りに"
        "なったメールに返信して、お問い合わせください。</p>",
        "<p>The sender has withdrawn this file. If you need it, reply to the mail that brought you here.</p>", ""),
    [PUBLIC_PAGE_LATER] = PAGE("しばらくしてからお試しください / Try again later",
                               "<h1>ただいま受け付けられません</h1><p>数分たってから、もう一度お試しください。</p>",
                               "<p>Please try again in a few minutes.</p>", ""),
    [PUBLIC_PAGE_BUSY] = PAGE("お申し込みが続いています / Too many requests",
                              "<h1>いまは受け付けられません</h1><p>お使いのネットワークからのお申し込みが続いています。"
                              "しばらくしてから、もう一度お試しください。</p>",
                              "<p>There were many requests from your network. Please try again later.</p>", ""),
};

/* ── sheets ── */

enum { SHEET_MAX = 1 << 20 };

static void policy_set(struct http_request *request)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SCOPED(buf) policy = BUF(400);
    SHA256((const unsigned char *)style, sizeof(style) - 1, digest);
    buf_text(&policy, "default-src 'none'; style-src 'sha256-");
    base64_encode(&policy, slice_of(digest, sizeof(digest)));
    buf_text(&policy, "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    http_set(request, "Content-Security-Policy", buf_slice(&policy));
}

bool sheet_wants_en(struct http_request *request, struct slice said)
{
    struct slice asked, rest = http_header(request, "Accept-Language"), range;
    if (http_query(request, "lang", &asked) && (slice_equal(asked, SLICE("en")) || slice_equal(asked, SLICE("ja"))))
        return slice_equal(asked, SLICE("en"));
    if (said.len)
        return slice_equal(said, SLICE("en"));
    while (rest.len && slice_split(&rest, ',', &range)) { /* browsers write them in the order of their wish */
        range = slice_trim(range);
        if (slice_starts_caseless(range, SLICE("ja")) || slice_starts_caseless(range, SLICE("en")))
            return ascii_lower(range.ptr[0]) == 'e';
    }
    return false;
}

void sheet_html(struct sheet *sheet, const char *html)
{
    buf_append(&sheet->html, slice_str(html));
}

void sheet_text(struct sheet *sheet, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '&': buf_text(&sheet->html, "&amp;"); break;
        case '<': buf_text(&sheet->html, "&lt;"); break;
        case '>': buf_text(&sheet->html, "&gt;"); break;
        case '"': buf_text(&sheet->html, "&quot;"); break;
        case '\'': buf_text(&sheet->html, "&#39;"); break;
        default: buf_byte(&sheet->html, text.ptr[i]);
        }
    }
}

void sheet_said(struct sheet *sheet, struct text text)
{
    sheet_text(sheet, sheet->is_en ? text.en : text.ja);
}

static void sheet_open(struct sheet *sheet, bool is_en, struct slice title)
{
    *sheet = (struct sheet){.is_en = is_en};
    buf_init(&sheet->html, SHEET_MAX);
    sheet_html(sheet, is_en ? "<!doctype html><html lang=\"en\">" : "<!doctype html><html lang=\"ja\">");
    sheet_html(sheet, "<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><meta "
                      "name=\"robots\" content=\"noindex\"><title>");
    sheet_text(sheet, title);
    sheet_html(sheet, "</title><style>");
    sheet_html(sheet, style);
    sheet_html(sheet, "</style></head><body><main>");
}

void sheet_begin(struct sheet *sheet, bool is_en, struct text title)
{
    sheet_open(sheet, is_en, is_en ? title.en : title.ja);
}

void sheet_answer(struct sheet *sheet, struct http_request *request, int status)
{
    sheet_html(sheet, "</main></body></html>\n");
    policy_set(request);
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    http_set(request, "Referrer-Policy", SLICE("no-referrer"));
    http_set(request, "Cache-Control", SLICE("no-store"));
    http_respond(request, buf_ok(&sheet->html) ? status : 500, "text/html; charset=utf-8", buf_slice(&sheet->html));
    buf_release(&sheet->html);
}

void public_page(struct http_request *request, int status, enum public_page page)
{
    struct sheet sheet;
    sheet_open(&sheet, false, slice_str(pages[page].title));
    sheet_html(&sheet, pages[page].ja);
    sheet_html(&sheet, "<div lang=\"en\">");
    sheet_html(&sheet, pages[page].en);
    sheet_html(&sheet, "</div>");
    sheet_html(&sheet, pages[page].form);
    sheet_answer(&sheet, request, status);
}
