#include "api/public_page.h"

#define PAGE(title, text, form)                                                                                        \
    "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\"><meta name=\"viewport\" "                                \
    "content=\"width=device-width\"><meta name=\"robots\" "                                                            \
    "content=\"noindex\"><title>" title "</title><main>" text form "</main></html>\n"

static const char *const pages[] = {
    [PUBLIC_PAGE_UNSUBSCRIBE] =
        PAGE("配信の解除 / Unsubscribe",
             "<h1>配信を解除しますか</h1><p>下のボタンを押すと、この差出人からのご案内は届かなくなります。</p>"
             "<h2 lang=\"en\">Unsubscribe?</h2><p lang=\"en\">Press the button and this sender will write to you no "
             "more.</p>",
             "<form method=\"post\"><button name=\"List-Unsubscribe\" value=\"One-Click\">解除する / "
             "Unsubscribe</button></form>"),
    [PUBLIC_PAGE_UNSUBSCRIBED] =
        PAGE("配信を解除しました / Unsubscribed",
             "<h1>配信を解除しました</h1><p>この差出人からのご案内は、もう届きません。</p><p lang=\"en\">You are "
             "unsubscribed. This sender will write to you no more.</p>",
             ""),
    [PUBLIC_PAGE_LOST] = PAGE(
        "リンクが正しくありません / Not a valid link",
        "<h1>このリンクは使えません</"
        "h1><p>"
        "途中で切れているか、書きかえられています。メールのリンクをもう一度押すか、メールに返信してお知らせください。</"
        "p>"
        "<p lang=\"en\">This link is cut or was changed. Press the link in the mail again, or reply to the mail.</p>",
        ""),
    [PUBLIC_PAGE_LATER] =
        PAGE("しばらくしてからお試しください / Try again later",
             "<h1>ただいま受け付けられません</h1><p>数分たってから、もう一度お試しください。</p><p lang=\"en\">Please "
             "try again in a few minutes.</p>",
             ""),
};

void public_page(struct http_request *request, int status, enum public_page page)
{
    http_set(request, "Content-Security-Policy",
             SLICE("default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"));
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    http_set(request, "Referrer-Policy", SLICE("no-referrer"));
    http_set(request, "Cache-Control", SLICE("no-store"));
    http_respond(request, status, "text/html; charset=utf-8", slice_str(pages[page]));
}
