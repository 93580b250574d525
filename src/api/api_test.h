/* api_test.h - the whole API over a real socket, beside a store with something in it (for the tests of api/ only)
 *
 *     FIXTURE(f, state);                                                       - skips where there is no such store
 *     struct answer answer = ask(&f, "GET", "/api/v1/health", "", NULL);       - one request, one connection
 *     struct answer answer = fitting(&f, "GET", "/home", "/home", NULL);      - an answer that keeps to openapi.yaml */
#ifndef TODOKE_API_API_TEST_H
#define TODOKE_API_API_TEST_H

#include "access/key.h"
#include "api/api.h"
#include "api/contract_test.h"
#include "audience/contact.h"
#include "base/base64.h"
#include "campaign/campaign.h"
#include "event/event.h"
#include "store/testing.h"
#include "suppress/suppress.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

/* ── a store with something in it ── */

struct seed {
    struct slice secret_name;
    struct buf secret;
    struct brand brand;
    struct campaign draft, done;
    uint64_t list_id, mail_id;
    uint64_t bounced_id, mail_bounced_id;
    time_ms now;
};

static inline struct event seed_event(const struct seed *seed, const char *address, enum event_kind kind,
                                      enum reason reason)
{
    struct slice identity = slice_str(address);
    return (struct event){
        .bucket = address_bucket(identity),
        .at = seed->now,
        .kind = kind,
        .campaign_id = seed->done.id,
        .brand_id = seed->brand.id,
        .address = identity,
        .domain = slice_from(identity, (size_t)slice_find_byte(identity, '@') + 1),
        .origin = EVENT_ORIGIN_REPLY,
        .state_before = DELIVERY_STATE_COUNT,
        .state_after = DELIVERY_STATE_COUNT,
        .verdict = {.reason = reason},
        .attempt = 1,
    };
}

static inline bool seed_people(struct db *db, struct fault *why, struct seed *seed)
{
    struct contact contacts[] = {
        {.address = SLICE("hanako@gmail.example"),
         .written = SLICE("hanako@gmail.example"),
         .name = SLICE("山田 花子"),
         .fields = SLICE("{\"電話番号\":\"03-0000-0001\",\"会社名\":\"山田商店\"}")},
        {.address = SLICE("taro@docomo.example"), .written = SLICE("taro@docomo.example"), .name = SLICE("太郎")},
    };
    bool is_new;
    uint64_t ids[2];
    if (!contact_save(db, why, contacts, 2, seed->now, NULL) ||
        !list_create(db, why, seed->brand.id, SLICE("冬の名簿"), seed->now, &seed->list_id, &is_new))
        return false;
    for (int i = 0; i < 2; i++)
        ids[i] = contacts[i].id;
    return list_add(db, why, seed->list_id, ids, 2, seed->now);
}

static inline bool seed_errors(struct db *db, struct fault *why, struct seed *seed)
{
    seed->mail_id = id_make_anywhere(db_ids(db), seed->now);
    if (!db_do(db, why,
               "INSERT INTO inbound (bucket, id, at_ms, state, mail_from, rcpt_to, peer, raw) VALUES ($1, $2, $3, 1, "
               "'', 'b-x@bounce.shop.example', '127.0.0.1', $4)",
               VALUES(V_INT(id_bucket(seed->mail_id)), V_INT((int64_t)seed->mail_id), V_INT(seed->now),
                      V_BYTES(SLICE("Subject: failure\r\n\r\n<script>alert(1)</script> \xff end\r\n"))),
               NULL))
        return false;
    struct event accepted = seed_event(seed, "hanako@gmail.example", EVENT_ACCEPTED, REASON_UNDEFINED);
    accepted.n = 3;
    accepted.state_after = DELIVERY_WAITING;
    accepted.state_before = DELIVERY_STATE_COUNT;
    struct event bounced = seed_event(seed, "hanako@gmail.example", EVENT_BOUNCED, REASON_USER_UNKNOWN);
    bounced.state_before = DELIVERY_WAITING;
    bounced.state_after = DELIVERY_BOUNCED;
    bounced.verdict = (struct verdict){.reason = REASON_USER_UNKNOWN,
                                       .action = ACTION_SUPPRESS_NOW,
                                       .whose = WHOSE_ADDRESS,
                                       .is_permanent = true,
                                       .mark_from = 19,
                                       .mark_to = 25};
    bounced.code = 550;
    bounced.status[0] = 5, bounced.status[1] = 1, bounced.status[2] = 1;
    bounced.stage = STAGE_RCPT;
    bounced.diagnostic = SLICE("550 5.1.1 宛先は不明です");
    bounced.delivery_id = 7 << 8 | bounced.bucket; /* the counters move for deliveries only */
    struct event deferred = seed_event(seed, "taro@docomo.example", EVENT_DEFERRED, REASON_SYSTEM_ERROR);
    deferred.state_before = DELIVERY_WAITING;
    deferred.state_after = DELIVERY_DEFERRED;
    deferred.delivery_id = 8 << 8 | deferred.bucket;
    deferred.verdict.whose = WHOSE_RECEIVER;
    deferred.verdict.action = ACTION_RETRY_LATER;
    deferred.verdict.scope = SCOPE_SITE;
    deferred.code = 421;
    deferred.diagnostic = SLICE("421 busy");
    deferred.next_attempt_at = seed->now + 600000;
    struct event refused = seed_event(seed, "rie@gmail.example", EVENT_BOUNCED, REASON_AUTH_FAILURE);
    refused.state_before = DELIVERY_WAITING;
    refused.state_after = DELIVERY_BOUNCED;
    refused.delivery_id = 9 << 8 | refused.bucket;
    refused.verdict.whose = WHOSE_SENDER;
    refused.verdict.action = ACTION_FIX_AUTH;
    refused.verdict.scope = SCOPE_SENDER;
    refused.diagnostic = SLICE("550-5.7.26 unauthenticated");
    struct event unverified = seed_event(seed, "nobody@else.example", EVENT_UNVERIFIED, REASON_USER_UNKNOWN);
    unverified.origin = EVENT_ORIGIN_MAIL;
    unverified.campaign_id = 0;
    unverified.verdict.whose = WHOSE_ADDRESS;
    unverified.mail_id = seed->mail_id;
    struct event left_out = seed_event(seed, "gone@gmail.example", EVENT_LEFT_OUT, REASON_USER_UNKNOWN);
    left_out.note = SLICE("error");
    struct event events[] = {accepted, bounced, deferred, refused, unverified, left_out};
    if (!event_append(db, why, events, COUNT_OF(events)))
        return false;
    seed->bounced_id = events[1].id;
    seed->mail_bounced_id = events[4].id;
    for (int i = 0; i < 3; i++) {
        struct suppression row = {.address = i == 0   ? SLICE("hanako@gmail.example")
                                             : i == 1 ? SLICE("stop@au.example")
                                                      : SLICE("zzz@au.example"),
                                  .why = i == 0 ? SUPPRESS_ERROR : SUPPRESS_UNSUBSCRIBED,
                                  .reason = i == 0 ? REASON_USER_UNKNOWN : REASON_UNDEFINED,
                                  .brand_id = i == 0 ? 0 : seed->brand.id,
                                  .since = seed->now + (i ? 1 : 0),
                                  .count = 1,
                                  .event_id = i == 0 ? seed->bounced_id : 0,
                                  .campaign_id = i == 0 ? seed->done.id : 0};
        if (!suppress_add(db, why, &row, NULL))
            return false;
    }
    return true;
}

static inline bool seed_run(struct db *db, struct fault *why, void *context)
{
    struct seed *seed = context;
    seed->brand = (struct brand){.name = SLICE("花丸商店"),
                                 .from_name = SLICE("花丸商店"),
                                 .from_address = SLICE("news@shop.example"),
                                 .return_path_domain = SLICE("bounce.shop.example"),
                                 .link_base = SLICE("https://mail.shop.example")};
    struct content_version version = {
        .name = SLICE("冬"), .subject = SLICE("冬の感謝祭"), .html = SLICE("<p>こんにちは"), .text = SLICE("こ")};
    if (!key_create(db, why, SLICE("test"), seed->now, 0, NULL, &seed->secret, NULL) ||
        !brand_create(db, why, &seed->brand, seed->now))
        return false;
    version.brand_id = seed->brand.id;
    if (!content_version_create(db, why, &version, seed->now) || !seed_people(db, why, seed))
        return false;
    seed->done = (struct campaign){.brand_id = seed->brand.id,
                                   .content_version_id = version.id,
                                   .list_id = seed->list_id,
                                   .name = SLICE("冬の感謝祭"),
                                   .expires_after = DAYS_MS(5)};
    seed->draft = seed->done;
    seed->draft.name = SLICE("春のお知らせ");
    return campaign_create(db, why, &seed->done, seed->now) && campaign_create(db, why, &seed->draft, seed->now + 1) &&
           db_do(db, why, "UPDATE campaign SET state = 'sending', started_ms = $2, expanded_ms = $2 WHERE id = $1",
                 VALUES(V_INT((int64_t)seed->done.id), V_INT(seed->now)), NULL) &&
           seed_errors(db, why, seed);
}

/* ── a server ── */

struct fixture {
    struct test_store test;
    struct seed seed;
    struct world world;
    struct rules *rules;
    struct report *report;
    struct api *api;
    json_t *contract;
    char cookie[160];
};

static const struct slice error_mail =
    SLICE_INIT("Subject: =?utf-8?B?6YWN5L+h44Gn44GN44G+44Gb44KT?=\r\nFrom: MAILER-DAEMON@mx.example\r\nContent-Type: "
               "multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n"
               "--b\r\nContent-Type: application/zip; name=x.zip\r\n\r\nPK\r\n--b--\r\n");

static inline void inbox_list(void *owner, struct slice q, uint64_t before, unsigned limit, struct arena *arena,
                              struct api_inbox_row **rows, size_t *count, uint64_t *next, uint64_t *total)
{
    *rows = ARENA_ARRAY(arena, struct api_inbox_row, 1);
    (*rows)[0] = (struct api_inbox_row){.id = 1,
                                        .at = 1795000000000,
                                        .from = SLICE("a@b"),
                                        .to = SLICE("c@d"),
                                        .subject = SLICE("件名"),
                                        .is_error = true,
                                        .size_bytes = error_mail.len};
    *count = 1;
    *next = 0;
    *total = 1;
}

static inline bool inbox_get(void *owner, uint64_t id, struct arena *arena, struct api_inbox_row *row,
                             struct slice *mail)
{
    struct api_inbox_row *rows;
    size_t count;
    uint64_t next, total;
    inbox_list(owner, SLICE(""), 0, 1, arena, &rows, &count, &next, &total);
    *row = rows[0];
    row->is_error = id != 2;
    *mail = error_mail;
    return id <= 2;
}

static inline bool fixture_start(struct fixture *f, void **state)
{
    *f = (struct fixture){.seed = {.secret = BUF(128)}};
    if (!test_store_url(&f->test, state))
        return false;
    test_store_reopen(&f->test);
    world_init(&f->world, NETWORK_LOOPBACK);
    f->seed.now = world_wall(&f->world);
    test_write(f->test.store, seed_run, &f->seed);
    struct fault why = {0};
    if (!rules_open(&f->rules, &why))
        fail_msg("%s", why.text);
    f->report = report_start(f->test.store, NULL, NULL, NULL);
    assert_true(report_catch_up(f->report, &why));
    f->contract = contract_load();
    struct api_options options = {.store = f->test.store,
                                  .world = &f->world,
                                  .rules = f->rules,
                                  .report = f->report,
                                  .is_playground = true,
                                  .inbox = {inbox_list, inbox_get, NULL},
                                  .listen = {.ip = ip_v4(127, 0, 0, 1)}};
    f->api = api_start(&options, &why);
    if (!f->api)
        fail_msg("%s", why.text);
    return true;
}

static inline void fixture_end(struct fixture *f)
{
    api_stop(f->api);
    report_stop(f->report);
    api_free(f->api);
    rules_free(f->rules);
    json_decref(f->contract);
    buf_release(&f->seed.secret);
    test_store_end(&f->test);
}

#define FIXTURE(f, state)                                                                                              \
    struct fixture f;                                                                                                  \
    if (!fixture_start(&f, state))                                                                                     \
        skip();

/* ── asking ── */

struct answer {
    int status;
    char head[4000], type[100];
    char *body;
    size_t len;
    json_t *json;
};

static inline void answer_release(struct answer *answer)
{
    free(answer->body);
    json_decref(answer->json);
}

static inline int dial(struct fixture *f)
{
    struct sockaddr_storage to;
    struct endpoint at = api_endpoint(f->api);
    struct timeval wait = {90, 0};
    socklen_t len = endpoint_to_sockaddr(&at, &to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

/* A socket whose waits have an end is woken when its process was stopped and goes on. */
static inline ssize_t hear(int fd, void *to, size_t room)
{
    ssize_t len;
    do
        len = recv(fd, to, room, 0);
    while (len < 0 && errno == EINTR);
    return len;
}

static inline struct answer ask(struct fixture *f, const char *method, const char *path, const char *headers,
                                const char *body)
{
    struct answer answer = {0};
    SCOPED(buf) request = BUF(8 << 20);
    if (body)
        buf_printf(&request, "%s %s HTTP/1.1\r\nHost: here:1\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
                   method, path, strlen(body), headers, body);
    else /* the head alone; the length stands in `headers` */
        buf_printf(&request, "%s %s HTTP/1.1\r\nHost: here:1\r\n%s\r\n", method, path, headers);
    int fd = dial(f);
    for (size_t done = 0; done < request.len;) {
        ssize_t wrote = send(fd, request.ptr + done, request.len - done, MSG_NOSIGNAL);
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    SCOPED(buf) got = BUF(16 << 20);
    char piece[65536];
    ssize_t len;
    while ((len = hear(fd, piece, sizeof(piece))) > 0)
        buf_append(&got, slice_of(piece, (size_t)len));
    close(fd);
    ptrdiff_t end = slice_find(buf_slice(&got), SLICE("\r\n\r\n"));
    if (end < 0)
        fail_msg("%s %s: no answer: %.*s", method, path, (int)got.len, got.ptr);
    snprintf(answer.head, sizeof(answer.head), "%.*s\r\n", (int)end, got.ptr);
    answer.status = (int)strtol(answer.head + 9, NULL, 10);
    const char *type = strcasestr(answer.head, "\r\nContent-Type: ");
    if (type)
        snprintf(answer.type, sizeof(answer.type), "%.*s", (int)strcspn(type + 16, ";\r"), type + 16);
    struct slice rest = slice_from(buf_slice(&got), (size_t)end + 4);
    answer.len = rest.len;
    answer.body = slice_dup(rest);
    if (strstr(answer.type, "json")) {
        json_error_t wrong;
        answer.json = json_loadb(rest.ptr, rest.len, 0, &wrong);
        if (!answer.json)
            fail_msg("%s %s: %s in %.*s", method, path, wrong.text, (int)rest.len, rest.ptr);
    }
    return answer;
}

/* As the console's page asks. */
#define OWN_ORIGIN "Origin: http://here:1\r\n"
static inline const char *signed_in(struct fixture *f)
{
    if (!f->cookie[0]) {
        char body[200];
        snprintf(body, sizeof(body), "{\"token\":\"%.*s\"}", (int)f->seed.secret.len, f->seed.secret.ptr);
        struct answer answer = ask(f, "POST", "/api/v1/session", "", body);
        assert_int_equal(answer.status, 204);
        const char *cookie = strcasestr(answer.head, "Set-Cookie: ");
        assert_non_null(cookie);
        snprintf(f->cookie, sizeof(f->cookie), "Cookie: %.*s\r\n" OWN_ORIGIN, (int)strcspn(cookie + 12, ";\r"),
                 cookie + 12);
        answer_release(&answer);
    }
    return f->cookie;
}

/* Ask signed in, and hold the answer to the contract. `shape` is the path as the contract writes it. */
static inline struct answer fitting(struct fixture *f, const char *method, const char *shape, const char *path,
                                    const char *body)
{
    char whole[600], lower[10];
    snprintf(whole, sizeof(whole), "/api/v1%s", path);
    struct answer answer = ask(f, method, whole, signed_in(f), body);
    snprintf(lower, sizeof(lower), "%s",
             strcmp(method, "GET") == 0    ? "get"
             : strcmp(method, "POST") == 0 ? "post"
                                           : "delete");
    assert_contract(f->contract, lower, shape, answer.status, answer.type, answer.json);
    assert_non_null(strcasestr(answer.head, "\r\nCache-Control: no-store\r\n"));
    return answer;
}

static inline json_t *at(json_t *json, const char *path)
{
    struct slice rest = slice_str(path), piece;
    while (json && slice_split(&rest, '.', &piece)) {
        char key[60];
        uint64_t index;
        snprintf(key, sizeof(key), "%.*s", SLICE_ARG(piece));
        json = slice_to_u64(piece, &index) ? json_array_get(json, index) : json_object_get(json, key);
    }
    return json;
}
#define assert_text(answer, path, want) assert_string_equal(json_string_value(at((answer).json, path)), want)
#define assert_number(answer, path, want)                                                                              \
    assert_int_row(path, json_is_integer(at((answer).json, path)) ? json_integer_value(at((answer).json, path)) : -99, \
                   want)

#endif
