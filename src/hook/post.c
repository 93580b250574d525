/* post.c - one POST by libcurl: signed, guarded, bounded */
#include "hook/inside.h"

#include "base/base64.h"
#include "base/memory.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

/* ── the signature ── */

bool hook_sign(struct slice secret, struct slice id, time_ms at, struct slice body, struct buf *signature,
               struct fault *why)
{
    SCOPED(buf) key = BUF(HOOK_SECRET_MAX);
    SCOPED(buf) text = BUF(HOOK_BODY_MOST + 200);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    if (!slice_starts(secret, SLICE("whsec_")) || !base64_decode(&key, slice_from(secret, 6)) || !key.len)
        return fault_set(why, FAULT_INPUT, "the secret of this webhook is none");
    buf_printf(&text, "%.*s.%lld.", SLICE_ARG(id), (long long)(at / 1000));
    buf_append(&text, body);
    if (!buf_ok(&text))
        return fault_set(why, FAULT_INPUT, "a batch of more than %d octets", HOOK_BODY_MOST);
    if (!HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)text.ptr, text.len, mac, &mac_len))
        memory_gone("OpenSSL");
    explicit_bzero(key.ptr, key.len);
    buf_text(signature, "v1,");
    base64_encode(signature, slice_of(mac, mac_len));
    return true;
}

/* ── the URL ── */

static bool url_part(CURLU *url, CURLUPart part, char *to, size_t room)
{
    char *text = NULL;
    bool ok = curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK && strlen(text) < room;
    if (ok)
        snprintf(to, room, "%s", text);
    curl_free(text);
    return ok;
}

bool hook_url_host(const char *text, char host[256], unsigned *port, bool *is_https)
{
    CURLU *url = curl_url();
    char scheme[8] = "", number[8] = "", bracketed[258] = "";
    int64_t value = 0;
    bool ok = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
              url_part(url, CURLUPART_SCHEME, scheme, sizeof(scheme)) &&
              url_part(url, CURLUPART_HOST, bracketed, sizeof(bracketed)) &&
              url_part(url, CURLUPART_PORT, number, sizeof(number)) && slice_to_i64(slice_str(number), &value) &&
              value > 0 && value < 65536;
    curl_url_cleanup(url);
    struct slice inner = slice_str(bracketed);
    if (inner.len > 2 && inner.ptr[0] == '[')
        inner = slice_of(inner.ptr + 1, inner.len - 2);
    *is_https = strcmp(scheme, "https") == 0;
    *port = (unsigned)value;
    snprintf(host, 256, "%.*s", SLICE_ARG(inner));
    return ok && inner.len && inner.len < 256 && (*is_https || strcmp(scheme, "http") == 0);
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK && text;
    curl_free(text);
    return has;
}

bool hook_url_check(struct slice text, struct fault *why)
{
    char host[256], copy[HOOK_URL_MAX + 1];
    unsigned port;
    bool is_https;
    if (!text.len || text.len > HOOK_URL_MAX)
        return fault_set(why, FAULT_INPUT, "a webhook's url has 1 to %d octets", HOOK_URL_MAX);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
            return fault_set(why, FAULT_INPUT, "a webhook's url is of ASCII, without spaces");
    snprintf(copy, sizeof(copy), "%.*s", SLICE_ARG(text));
    if (!hook_url_host(copy, host, &port, &is_https))
        return fault_set(why, FAULT_INPUT, "a webhook's url is https://host/..., or http:// within your own network");
    CURLU *url = curl_url();
    bool ok = url && curl_url_set(url, CURLUPART_URL, copy, 0) == CURLUE_OK && !has_part(url, CURLUPART_USER) &&
              !has_part(url, CURLUPART_PASSWORD) && !has_part(url, CURLUPART_FRAGMENT);
    curl_url_cleanup(url);
    return ok || fault_set(why, FAULT_INPUT, "a webhook's url has no user, no password and no #fragment");
}

/* ── what libcurl asks ── */

static size_t on_answer(char *bytes, size_t size, size_t count, void *owner)
{
    struct hook_post *post = owner;
    buf_append(&post->answer, slice_of(bytes, size * count));
    post->is_too_long |= !buf_ok(&post->answer);
    return post->is_too_long ? 0 : size * count;
}

/* Clear text is for one's own network. */
static bool may_connect(const void *owner, const struct ip *ip, struct fault *why)
{
    const struct hook_post *post = owner;
    struct network strangers;
    struct fault ignored;
    char text[IP_TEXT_ROOM];
    if (!network_permits(post->network, ip, why))
        return false;
    network_init(&strangers, NETWORK_PUBLIC);
    if (!post->is_https && network_permits(&strangers, ip, &ignored))
        return fault_set(why, FAULT_INPUT, "%s: http:// only to what setting hooks.permitted names; use https://",
                         ip_text(ip, text));
    return true;
}

/* ── one POST ── */

static bool headers_make(struct hook_post *post, struct fault *why)
{
    SCOPED(buf) signature = BUF(128);
    SCOPED(buf) line = BUF(512);
    if (!hook_sign(post->secret, post->id, post->at, buf_slice(&post->body), &signature, why))
        return false;
    static const char *const fixed[] = {"Content-Type: application/json", "Expect:", "Accept:"};
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        post->headers = curl_list_add(post->headers, fixed[i]);
    buf_printf(&line, "webhook-id: %.*s", SLICE_ARG(post->id));
    post->headers = curl_list_add(post->headers, buf_cstr(&line));
    buf_reset(&line);
    buf_printf(&line, "webhook-timestamp: %lld", (long long)(post->at / 1000));
    post->headers = curl_list_add(post->headers, buf_cstr(&line));
    buf_reset(&line);
    buf_printf(&line, "webhook-signature: %.*s", SLICE_ARG(buf_slice(&signature)));
    post->headers = curl_list_add(post->headers, buf_cstr(&line));
    return true;
}

static void options_set(struct hook_post *post)
{
    CURL *curl = post->curl;
    curl_easy_setopt(curl, CURLOPT_URL, post->url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)post->timeout);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(post->timeout * HOOK_CONNECT_MS / HOOK_TIMEOUT_MS));
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, post);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, post->body.ptr);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body.len);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, post->headers);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, post->owner);
}

bool hook_post_begin(struct hook_post *post, struct fault *why)
{
    if (!headers_make(post, why))
        return false;
    post->guard = (struct curl_guard){.roots = post->roots, .permits = may_connect, .owner = post};
    post->resolve = curl_resolved(post->host, post->port, post->addresses, post->address_count);
    post->curl = curl_guarded_http(&post->guard, "http,https", post->resolve);
    post->status = 0;
    post->retry_after = 0;
    post->fault[0] = 0;
    post->is_too_long = false;
    buf_init(&post->answer, HOOK_ANSWER_MOST);
    options_set(post);
    return true;
}

bool hook_post_judge(struct hook_post *post, CURLcode code)
{
    long status = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(post->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(post->curl, CURLINFO_RETRY_AFTER, &retry_after);
    post->retry_after = retry_after > 0 && retry_after < 86400 ? SECONDS_MS(retry_after) : 0;
    /* who answers at length has answered: its status counts, the rest stays unread */
    if (code != CURLE_OK && !post->is_too_long) {
        snprintf(post->fault, sizeof(post->fault), "%.240s",
                 post->guard.was_refused ? post->guard.why.text : curl_easy_strerror(code));
        return false;
    }
    post->status = (int)status;
    if (status >= 200 && status < 300)
        return true;
    if (status >= 300 && status < 400)
        snprintf(post->fault, sizeof(post->fault), "HTTP status %ld: redirects are not followed", status);
    else
        snprintf(post->fault, sizeof(post->fault), "HTTP status %ld", status);
    return false;
}

void hook_post_release(struct hook_post *post)
{
    if (post->curl)
        curl_easy_cleanup(post->curl);
    curl_slist_free_all(post->headers);
    curl_slist_free_all(post->resolve);
    post->curl = NULL;
    post->headers = post->resolve = NULL;
    buf_release(&post->body);
    buf_release(&post->answer);
}
