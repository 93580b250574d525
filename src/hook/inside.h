/* inside.h - what the files of hook/ share (private to hook/) */
#ifndef TODOKE_HOOK_INSIDE_H
#define TODOKE_HOOK_INSIDE_H

#include "hook/hook.h"
#include "net/curl.h"

/* ── row.c ── */

NODISCARD bool hook_secret(struct db *db, struct fault *why, const struct seal_key *seal, uint64_t id,
                           struct buf *secret);

/* Take the hook for this node, and settle the batch when it has none: (from, until] as `batch_id`. *taken false: it
 * was changed meanwhile, or another node has it. */
struct hook_beginning {
    uint64_t id, node, batch_id, test_id; /* test_id: this instead of a batch */
    bool is_new;
    struct event_place place, from, until; /* is_new: where the row stands, and what the batch shall be */
    time_ms now, hold_until;
    bool taken;
};
NODISCARD bool hook_begin(struct db *db, struct fault *why, struct hook_beginning *beginning);

/* Write down how an attempt ended. */
struct hook_ending {
    uint64_t id, batch_id;
    bool is_test, is_told, is_gone; /* gone: 410 */
    struct hook_attempt attempt;
    time_ms now, next, patience;
    bool is_given_up; /* out: state is failed from now on */
};
NODISCARD bool hook_end(struct db *db, struct fault *why, struct hook_ending *ending);

/* ── post.c ── */

enum {
    HOOK_CONNECT_MS = 10000,
    HOOK_TIMEOUT_MS = 20000,
    HOOK_ANSWER_MOST = 64 << 10,
    HOOK_ADDRESSES_MOST = 8,
    HOOK_BODY_MOST = 4 << 20,
};

/* webhook-signature: "v1," and base64(HMAC-SHA256(secret, id.timestamp.body)). INPUT: no "whsec_" secret. */
NODISCARD bool hook_sign(struct slice secret, struct slice id, time_ms at, struct slice body, struct buf *signature,
                         struct fault *why);

/* Host and port of a URL that was checked; the host without brackets. */
NODISCARD bool hook_url_host(const char *url, char host[256], unsigned *port, bool *is_https);

struct hook_post {
    /* given */
    const struct network *network;
    const struct tls_roots *roots;
    const char *url;
    char host[256];
    unsigned port;
    bool is_https;
    struct ip addresses[HOOK_ADDRESSES_MOST];
    size_t address_count;
    struct buf body;
    struct slice secret, id;
    time_ms at, timeout;
    void *owner;
    /* came out: status, and a fault's text unless told */
    int status;
    time_ms retry_after; /* ms; 0: not said */
    char fault[HOOK_FAULT_MAX + 1];
    struct buf answer;
    bool is_too_long;
    /* its own */
    CURL *curl;
    struct curl_slist *headers, *resolve;
    struct curl_guard guard;
};
/* An easy handle, ready for a multi. INPUT: it cannot be signed. */
NODISCARD bool hook_post_begin(struct hook_post *post, struct fault *why);
/* Status and fault out of how the transfer ended. True: told. */
bool hook_post_judge(struct hook_post *post, CURLcode code);
/* After it was taken out of its multi; forgets the body. */
void hook_post_release(struct hook_post *post);

#endif
