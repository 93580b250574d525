/* curl.h - what every libcurl handle of ours obeys: each address is asked of a guard directly before the connect (R15,
 * X8)
 *
 * TLS 1.2 or newer with a certificate for the host; no proxy of the environment, no signals. For HTTP also: no
 * redirects, no connection used twice, roots of ours, addresses that we resolved. */
#ifndef TODOKE_NET_CURL_H
#define TODOKE_NET_CURL_H

#include "base/buf.h"
#include "net/ip.h"
#include "net/tls.h"
#include <curl/curl.h>

struct curl_guard {
    const struct tls_roots *roots; /* NULL: libcurl's own */
    bool (*permits)(const void *owner, const struct ip *address,
                    struct fault *why); /* any thread that runs the handle */
    const void *owner;
    bool was_refused; /* out, with the reason */
    struct fault why;
};

/* An easy handle that obeys; the guard must live as long as it. Out of memory ends the program. */
CURL *curl_guarded(struct curl_guard *guard);
/* The same for HTTP; `protocols` as libcurl has them. resolved: host:port is at these addresses, see curl_resolved. */
CURL *curl_guarded_http(struct curl_guard *guard, const char *protocols, struct curl_slist *resolved);
/* curl_slist_append, but a line is never missing from the list: out of memory ends the program. */
struct curl_slist *curl_list_add(struct curl_slist *list, const char *line);
/* For CURLOPT_RESOLVE; free with curl_slist_free_all. */
struct curl_slist *curl_resolved(const char *host, unsigned port, const struct ip *addresses, size_t count);

#endif
