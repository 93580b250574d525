#include "net/https.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdio.h>

enum { CONNECT_TIMEOUT_MS = 20000, POLL_MS = 1000 };

struct https {
    struct world *world;
    const struct tls_roots *roots;
    CURLM *multi;
    pthread_t thread;
    _Atomic(struct https_get *) newest; /* asked, not yet taken; newest first */
    struct https_get *waiting, *running;
    unsigned running_count;
    _Atomic bool is_stopping;
};

void https_get_free(struct https_get *get)
{
    if (!get)
        return;
    buf_release(&get->body);
    free(get);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *owner)
{
    struct https_get *get = owner;
    buf_append(&get->body, slice_of(bytes, size * count));
    return buf_ok(&get->body) ? size * count : 0;
}

/* ── one request ── */

static bool may_connect(const void *owner, const struct ip *address, struct fault *why)
{
    return network_permits(&((const struct https_get *)owner)->https->world->network, address, why);
}

static void begin(struct https *https, struct https_get *get)
{
    SCOPED(buf) url = BUF(1024);
    get->guard = (struct curl_guard){.roots = https->roots, .permits = may_connect, .owner = get};
    get->resolve = curl_resolved(get->host, 443, get->addresses, get->address_count);
    CURL *curl = get->curl = curl_guarded_http(&get->guard, "https", get->resolve);
    buf_init(&get->body, get->most_bytes);
    buf_printf(&url, "https://%s%s", get->host, get->path);
    curl_easy_setopt(curl, CURLOPT_URL, buf_cstr(&url));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)HTTPS_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, get);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, get);
    get->next = https->running;
    https->running = get;
    https->running_count++;
    curl_multi_add_handle(https->multi, curl);
}

/* Home with it; its memory is the asker's again. */
static void finish(struct https *https, struct https_get *get)
{
    struct https_get **place = &https->running;
    while (*place != get)
        place = &(*place)->next;
    *place = get->next;
    https->running_count--;
    curl_multi_remove_handle(https->multi, get->curl);
    curl_easy_cleanup(get->curl);
    curl_slist_free_all(get->resolve);
    get->curl = NULL;
    get->resolve = NULL;
    mailbox_post(get->home, &get->item);
}

static bool is_text_plain(const char *type)
{
    struct slice rest = slice_str(type), word;
    return slice_split(&rest, ';', &word) && slice_equal_caseless(slice_trim(word), SLICE("text/plain"));
}

static void judge(struct https_get *get, CURLcode code)
{
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(get->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(get->curl, CURLINFO_CONTENT_TYPE, &type);
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        get->end = HTTPS_CERTIFICATE;
        snprintf(get->why, sizeof(get->why), "%s: certificate not accepted", get->host);
    } else if (code == CURLE_WRITE_ERROR) {
        get->end = HTTPS_UNSUITABLE;
        snprintf(get->why, sizeof(get->why), "%s: more than %zu octets", get->host, get->most_bytes);
    } else if (code != CURLE_OK) {
        get->end = HTTPS_FAILED;
        if (get->guard.was_refused)
            snprintf(get->why, sizeof(get->why), "%.250s", get->guard.why.text);
        else
            snprintf(get->why, sizeof(get->why), "%s: %.150s", get->host, curl_easy_strerror(code));
    } else if (status != 200) {
        get->end = HTTPS_UNSUITABLE;
        snprintf(get->why, sizeof(get->why), "%s: HTTP status %ld", get->host, status);
    } else if (!type || !is_text_plain(type)) {
        get->end = HTTPS_UNSUITABLE;
        snprintf(get->why, sizeof(get->why), "%s: not text/plain but %.100s", get->host, type ? type : "nothing said");
    } else {
        get->end = HTTPS_FETCHED;
    }
}

/* ── the thread ── */

/* Oldest first behind those that wait already. */
static void take_asked(struct https *https)
{
    struct https_get *newest = atomic_exchange(&https->newest, NULL), *oldest = NULL;
    while (newest) {
        struct https_get *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    struct https_get **end = &https->waiting;
    while (*end)
        end = &(*end)->next;
    *end = oldest;
}

static void begin_waiting(struct https *https)
{
    while (https->waiting && https->running_count < HTTPS_AT_ONCE) {
        struct https_get *get = https->waiting;
        https->waiting = get->next;
        begin(https, get);
    }
}

static void finish_all(struct https *https)
{
    take_asked(https);
    for (struct https_get *get; (get = https->waiting);) {
        https->waiting = get->next;
        get->end = HTTPS_FAILED;
        mailbox_post(get->home, &get->item);
    }
    while (https->running) {
        https->running->end = HTTPS_FAILED;
        finish(https, https->running);
    }
}

static void *https_main(void *arg)
{
    struct https *https = arg;
    pthread_setname_np(pthread_self(), "https");
    while (!atomic_load(&https->is_stopping)) {
        int running, left;
        take_asked(https);
        begin_waiting(https);
        curl_multi_perform(https->multi, &running);
        for (CURLMsg *message; (message = curl_multi_info_read(https->multi, &left));) {
            struct https_get *get = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &get);
            judge(get, code);
            finish(https, get);
        }
        if (!https->waiting || https->running_count == HTTPS_AT_ONCE)
            curl_multi_poll(https->multi, NULL, 0, POLL_MS, NULL);
    }
    finish_all(https);
    return NULL;
}

struct https *https_new(struct world *world, const struct tls_roots *roots)
{
    struct https *https = NEW(struct https);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    https->world = world;
    https->roots = roots;
    https->multi = curl_multi_init();
    if (!https->multi || pthread_create(&https->thread, NULL, https_main, https) != 0)
        memory_gone("a thread");
    return https;
}

void https_free(struct https *https)
{
    if (!https)
        return;
    atomic_store(&https->is_stopping, true);
    curl_multi_wakeup(https->multi);
    pthread_join(https->thread, NULL);
    curl_multi_cleanup(https->multi);
    curl_global_cleanup();
    free(https);
}

void https_ask(struct https *https, struct https_get *get)
{
    get->https = https;
    get->next = atomic_load(&https->newest);
    while (!atomic_compare_exchange_weak(&https->newest, &get->next, get))
        ;
    curl_multi_wakeup(https->multi);
}
