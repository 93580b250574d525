/* https.h - fetch a small text over HTTPS, on a thread of its own (libcurl)
 *
 * For a few strangers' documents (MTA-STS policies), not for traffic. No redirects, no proxy, no cookies, no user; TLS
 * 1.2 or newer with a certificate for the host from our roots; only status 200 and text/plain count. The asker has
 * resolved the name; each address is put to world.network again directly before connect (R15, X8). At most
 * HTTPS_AT_ONCE run at the same time, the others wait, all of them HTTPS_TIMEOUT_MS at most. */
#ifndef TODOKE_NET_HTTPS_H
#define TODOKE_NET_HTTPS_H

#include "net/curl.h"
#include "net/mailbox.h"

enum { HTTPS_AT_ONCE = 64, HTTPS_TIMEOUT_MS = 60000, HTTPS_ADDRESSES_MOST = 8 };

enum https_end {
    HTTPS_FETCHED,
    HTTPS_CERTIFICATE, /* the certificate is not for this host, expired, or from nobody we trust */
    HTTPS_UNSUITABLE,  /* a redirect, another status than 200, another type than text/plain, too large */
    HTTPS_FAILED,      /* no connection, no answer in time */
};

struct https;
struct https_get {
    struct mail_item item;
    /* asked, by the owner */
    struct mailbox *home;
    void *owner;
    char host[256];
    const char *path; /* a literal */
    struct ip addresses[HTTPS_ADDRESSES_MOST];
    size_t address_count;
    size_t most_bytes;
    /* answered */
    enum https_end end;
    char why[448]; /* in words, unless FETCHED */
    struct buf body;
    /* its own */
    struct https *https;
    struct https_get *next;
    CURL *curl;
    struct curl_slist *resolve;
    struct curl_guard guard; /* world.network */
};

/* Starts the thread. `roots` must live longer. */
struct https *https_new(struct world *world, const struct tls_roots *roots);
/* What is under way comes home as FAILED; then the thread is gone. */
void https_free(struct https *https);
/* From any thread; the answer comes to get->home. */
void https_ask(struct https *https, struct https_get *get);
void https_get_free(struct https_get *get);

#endif
