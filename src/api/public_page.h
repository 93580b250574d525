/* public_page.h - the pages that people meet behind links in mails and at forms: without scripts, in both languages
 *
 * Paper and ink of the console's design, in one small style that the Content-Security-Policy names by its hash; nothing
 * is loaded, nothing may be framed, forms lead back to us alone. What people and programs wrote is escaped
 * (sheet_text). */
#ifndef TODOKE_API_PUBLIC_PAGE_H
#define TODOKE_API_PUBLIC_PAGE_H

#include "api/answer.h"
#include "http/server.h"

enum public_page {
    PUBLIC_PAGE_UNSUBSCRIBE,  /* asks */
    PUBLIC_PAGE_UNSUBSCRIBED, /* done */
    PUBLIC_PAGE_LOST,         /* not a link of ours */
    PUBLIC_PAGE_OLD,          /* ours, and too old */
    PUBLIC_PAGE_FILE_OLD,     /* a file that has expired */
    PUBLIC_PAGE_FILE_REMOVED, /* a file that its sender took back */
    PUBLIC_PAGE_LATER,        /* not now */
    PUBLIC_PAGE_BUSY,         /* too often from there */
};
/* In both languages at once. */
void public_page(struct http_request *request, int status, enum public_page page);

/* A page in the reader's language. */
struct sheet {
    struct buf html;
    bool is_en;
};
/* ?lang=, else what the person has said ("ja", "en", or ""), else the browser's first of the two; else Japanese. */
bool sheet_wants_en(struct http_request *request, struct slice said);
void sheet_begin(struct sheet *sheet, bool is_en, struct text title);
void sheet_html(struct sheet *sheet, const char *html);  /* as it is: our own */
void sheet_text(struct sheet *sheet, struct slice text); /* escaped */
void sheet_said(struct sheet *sheet, struct text text);  /* escaped, in the sheet's language */
/* Answers and lets go of the sheet. */
void sheet_answer(struct sheet *sheet, struct http_request *request, int status);

#endif
