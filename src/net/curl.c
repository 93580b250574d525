#include "net/curl.h"

#include "base/memory.h"
#include <string.h>
#include <sys/socket.h>

static curl_socket_t on_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_guard *guard = owner;
    struct endpoint to;
    struct sockaddr_storage bytes = {0}; /* sockaddr grows past its struct there */
    (void)purpose;
    memcpy(&bytes, &address->addr, address->addrlen < sizeof(bytes) ? address->addrlen : sizeof(bytes));
    endpoint_of_sockaddr(&bytes, &to);
    guard->was_refused = !guard->permits(guard->owner, &to.ip, &guard->why);
    return guard->was_refused ? CURL_SOCKET_BAD
                              : socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static CURLcode on_ssl(CURL *curl, void *ssl_context, void *owner)
{
    (void)curl;
    tls_roots_trust(((struct curl_guard *)owner)->roots, ssl_context);
    return CURLE_OK;
}

/* Options that libcurl copies: without them it would go where it may not. */
static void set_text(CURL *curl, CURLoption option, const char *text)
{
    if (curl_easy_setopt(curl, option, text) == CURLE_OUT_OF_MEMORY)
        memory_gone("libcurl");
}

struct curl_slist *curl_list_add(struct curl_slist *list, const char *line)
{
    list = curl_slist_append(list, line); /* mistake: allowed, because it is checked here */
    if (!list)
        memory_gone("libcurl");
    return list;
}

CURL *curl_guarded(struct curl_guard *guard)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        memory_gone("libcurl");
    guard->was_refused = false;
    set_text(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, guard);
    if (guard->roots) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl);
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, guard);
    }
    return curl;
}

CURL *curl_guarded_http(struct curl_guard *guard, const char *protocols, struct curl_slist *resolved)
{
    CURL *curl = curl_guarded(guard);
    set_text(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, resolved);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "Todoke");
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    return curl;
}

struct curl_slist *curl_resolved(const char *host, unsigned port, const struct ip *addresses, size_t count)
{
    SCOPED(buf) line = BUF(1024);
    char text[IP_TEXT_ROOM];
    buf_printf(&line, "%s:%u:", host, port);
    for (size_t i = 0; i < count; i++)
        buf_printf(&line, addresses[i].family == 6 ? "%s[%s]" : "%s%s", i ? "," : "", ip_text(&addresses[i], text));
    return curl_list_add(NULL, buf_cstr(&line));
}
