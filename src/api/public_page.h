/* public_page.h - the pages that people meet behind links in mails, in both languages, without scripts */
#ifndef TODOKE_API_PUBLIC_PAGE_H
#define TODOKE_API_PUBLIC_PAGE_H

#include "http/server.h"

enum public_page {
    PUBLIC_PAGE_UNSUBSCRIBE,  /* asks */
    PUBLIC_PAGE_UNSUBSCRIBED, /* done */
    PUBLIC_PAGE_LOST,         /* not a link of ours */
    PUBLIC_PAGE_LATER,        /* not now */
};
void public_page(struct http_request *request, int status, enum public_page page);

#endif
