/* The whole API over a real socket, on both stores; every JSON answer is held to data/api/openapi.yaml. */
#include "access/key.h"
#include "api/api.h"
#include "api/contract_test.h"
#include "audience/contact.h"
#include "base/base64.h"
#include "campaign/campaign.h"
#include "event/event.h"
#include "store/testing.h"
#include "suppress/suppress.h"

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

static struct event seed_event(const struct seed *seed, const char *address, enum event_kind kind, enum reason reason)
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

static bool seed_people(struct db *db, struct fault *why, struct seed *seed)
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

static bool seed_errors(struct db *db, struct fault *why, struct seed *seed)
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

static bool seed_run(struct db *db, struct fault *why, void *context)
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
    char cookie[100];
};

static const struct slice error_mail =
    SLICE_INIT("Subject: =?utf-8?B?6YWN5L+h44Gn44GN44G+44Gb44KT?=\r\nFrom: MAILER-DAEMON@mx.example\r\nContent-Type: "
               "multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n"
               "--b\r\nContent-Type: application/zip; name=x.zip\r\n\r\nPK\r\n--b--\r\n");

static void inbox_list(void *owner, struct slice q, uint64_t before, unsigned limit, struct arena *arena,
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

static bool inbox_get(void *owner, uint64_t id, struct arena *arena, struct api_inbox_row *row, struct slice *mail)
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

static bool fixture_start(struct fixture *f, void **state)
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
    f->report = report_start(f->test.store, NULL, NULL);
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

static void fixture_end(struct fixture *f)
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

static void answer_release(struct answer *answer)
{
    free(answer->body);
    json_decref(answer->json);
}

static int dial(struct fixture *f)
{
    struct sockaddr_storage to;
    struct endpoint at = api_endpoint(f->api);
    struct timeval wait = {20, 0};
    socklen_t len = endpoint_to_sockaddr(&at, &to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

static struct answer ask(struct fixture *f, const char *method, const char *path, const char *headers, const char *body)
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
    while ((len = recv(fd, piece, sizeof(piece), 0)) > 0)
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

static const char *signed_in(struct fixture *f)
{
    if (!f->cookie[0]) {
        char body[200];
        snprintf(body, sizeof(body), "{\"token\":\"%.*s\"}", (int)f->seed.secret.len, f->seed.secret.ptr);
        struct answer answer = ask(f, "POST", "/api/v1/session", "", body);
        assert_int_equal(answer.status, 204);
        const char *cookie = strcasestr(answer.head, "Set-Cookie: ");
        assert_non_null(cookie);
        snprintf(f->cookie, sizeof(f->cookie), "Cookie: %.*s\r\n", (int)strcspn(cookie + 12, ";\r"), cookie + 12);
        answer_release(&answer);
    }
    return f->cookie;
}

/* Ask signed in, and hold the answer to the contract. `shape` is the path as the contract writes it. */
static struct answer fitting(struct fixture *f, const char *method, const char *shape, const char *path,
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

static json_t *at(json_t *json, const char *path)
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

/* ── who may come in ── */

static void nobody_comes_in_without_a_key(void **state)
{
    FIXTURE(f, state);
#define ROUTE(method, path, handler, who, body_limit) {method, "/api/v1" path, strcmp(#who, "ANYBODY") == 0},
    const struct {
        const char *method, *path;
        bool is_open;
    } routes[] = {
#include "api/routes.def"
    };
#undef ROUTE
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (routes[i].is_open)
            continue;
        char path[200]; /* braces are no part of a path */
        snprintf(path, sizeof(path), "%s", routes[i].path);
        for (char *c = path; *c; c++)
            *c = *c == '{' || *c == '}' ? '1' : *c;
        static const char *const nothing_good[] = {"", "Cookie: todoke_session=AAAA\r\n",
                                                   "Authorization: Basic eDp5\r\n"};
        for (size_t k = 0; k < COUNT_OF(nothing_good); k++) {
            struct answer answer = ask(&f, routes[i].method, path, nothing_good[k], "");
            assert_int_row(path, answer.status, 401);
            assert_string_equal(answer.type, "application/problem+json");
            answer_release(&answer);
        }
    }
    struct answer unknown = ask(&f, "GET", "/api/v1/nothing", "", "");
    assert_int_equal(unknown.status, 401);
    answer_release(&unknown);
    unknown = ask(&f, "GET", "/api/v1/nothing", signed_in(&f), "");
    assert_int_equal(unknown.status, 404);
    assert_string_equal(unknown.type, "application/problem+json");
    answer_release(&unknown);
    fixture_end(&f);
}

/* A large body is not even read from somebody without a key (X12). */
static void strangers_bodies_are_not_read(void **state)
{
    FIXTURE(f, state);
    char bearer[200];
    struct answer answer = ask(&f, "POST", "/api/v1/contacts/import?list=x", "Content-Length: 134217728\r\n", NULL);
    assert_int_equal(answer.status, 401);
    assert_non_null(strcasestr(answer.head, "\r\nConnection: close"));
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/contacts/import?list=x", "Content-Length: 134217729\r\n", NULL);
    assert_int_equal(answer.status, 413);
    answer_release(&answer);
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s\r\n", (int)f.seed.secret.len, f.seed.secret.ptr);
    answer = ask(&f, "POST", "/api/v1/suppressions/check", bearer, "{\"emails\":[\"stop@au.example\"]}");
    assert_int_equal(answer.status, 200);
    answer_release(&answer);
    fixture_end(&f);
}

static void signing_in_and_out(void **state)
{
    FIXTURE(f, state);
    char bearer[200];
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s\r\n", (int)f.seed.secret.len, f.seed.secret.ptr);
    struct answer answer = ask(&f, "GET", "/api/v1/session", bearer, "");
    assert_int_equal(answer.status, 200);
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/session", "", "{\"token\":\"wrong\"}");
    assert_int_equal(answer.status, 401);
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/session", "", "{\"token\":7}");
    assert_int_equal(answer.status, 400);
    answer_release(&answer);
    char body[200];
    snprintf(body, sizeof(body), "{\"token\":\"%.*s\"}", (int)f.seed.secret.len, f.seed.secret.ptr);
    answer = ask(&f, "POST", "/api/v1/session", "Origin: http://evil.example\r\n", body);
    assert_int_equal(answer.status, 403);
    answer_release(&answer);
    answer = ask(&f, "POST", "/api/v1/session", "Origin: http://here:1\r\n", body);
    assert_int_equal(answer.status, 204);
    assert_non_null(strstr(answer.head, "; HttpOnly; SameSite=Strict; Path=/"));
    answer_release(&answer);
    answer = fitting(&f, "GET", "/session", "/session", "");
    assert_text(answer, "brand.name", "花丸商店");
    assert_text(answer, "brand.from", "news@shop.example");
    assert_true(json_is_true(at(answer.json, "playground")));
    answer_release(&answer);
    answer = ask(&f, "DELETE", "/api/v1/session", signed_in(&f), "");
    assert_int_equal(answer.status, 204);
    answer_release(&answer);
    answer = fitting(&f, "GET", "/session", "/session", "");
    assert_int_equal(answer.status, 401);
    answer_release(&answer);
    fixture_end(&f);
}

/* X16 */
static void trying_keys_is_slow(void **state)
{
    FIXTURE(f, state);
    char bearer[200];
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %.*s\r\n", (int)f.seed.secret.len, f.seed.secret.ptr);
    for (int i = 0; i < 12; i++) {
        struct answer answer = ask(&f, "POST", "/api/v1/session", "", "{\"token\":\"guess\"}");
        assert_int_equal(answer.status, i < 10 ? 401 : 429);
        assert_true(i < 10 || strcasestr(answer.head, "\r\nRetry-After: "));
        answer_release(&answer);
    }
    struct answer answer = ask(&f, "GET", "/api/v1/session", bearer, ""); /* a program goes on with its good key */
    assert_int_equal(answer.status, 200);
    answer_release(&answer);
    fixture_end(&f);
}

/* ── what is shown ── */

static void home_says_what_matters(void **state)
{
    FIXTURE(f, state);
    struct answer answer = fitting(&f, "GET", "/home", "/home", "");
    assert_text(answer, "todos.0.fault", "sender");
    assert_text(answer, "todos.0.title.ja", "gmail.exampleが 1 通を断りました(送信ドメイン認証の失敗)");
    assert_text(answer, "todos.1.fault", "address");
    assert_text(answer, "todos.1.title.ja", "「冬の感謝祭」で 1 件の宛先が存在しませんでした");
    assert_text(answer, "todos.1.title.en", "1 address of “冬の感謝祭” does not exist");
    assert_text(answer, "todos.2.fault", "receiver");
    assert_text(answer, "todos.2.title.ja", "docomo.exampleが混み合っています");
    assert_text(answer, "todos.2.title.en", "docomo.example is busy");
    assert_text(answer, "todos.2.link", "");
    assert_text(answer, "todos.3.fault", "none");
    assert_int_equal(json_array_size(at(answer.json, "running")), 1);
    assert_number(answer, "totals.sent", 3);
    assert_number(answer, "totals.errors", 2);
    assert_number(answer, "totals.excluded", 3);
    answer_release(&answer);
    fixture_end(&f);
}

static void campaigns_and_their_report(void **state)
{
    FIXTURE(f, state);
    char path[100];
    struct answer answer = fitting(&f, "GET", "/campaigns", "/campaigns?limit=1", "");
    assert_text(answer, "items.0.name", "春のお知らせ");
    assert_text(answer, "items.0.state", "draft");
    assert_number(answer, "items.0.total", 2);
    snprintf(path, sizeof(path), "/campaigns?limit=1&cursor=%s", json_string_value(at(answer.json, "next_cursor")));
    answer_release(&answer);
    answer = fitting(&f, "GET", "/campaigns", path, "");
    assert_text(answer, "items.0.from", "花丸商店 <news@shop.example>");
    assert_true(json_is_null(at(answer.json, "next_cursor")));
    answer_release(&answer);
    snprintf(path, sizeof(path), "/campaigns/%llu/report", (unsigned long long)f.seed.done.id);
    answer = fitting(&f, "GET", "/campaigns/{id}/report", path, "");
    assert_number(answer, "campaign.accepted", 3);
    assert_number(answer, "campaign.total", 4);
    assert_number(answer, "campaign.counts.bounced", 2);
    assert_number(answer, "campaign.counts.deferred", 1);
    assert_number(answer, "campaign.faults.address", 1);
    assert_number(answer, "campaign.faults.sender", 1);
    assert_number(answer, "campaign.faults.receiver", 1);
    assert_text(answer, "campaign.left_out.0.why", "suppressed:error");
    assert_number(answer, "campaign.left_out.0.count", 1);
    assert_int_equal(json_array_size(at(answer.json, "reasons")), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *row = json_array_get(at(answer.json, "reasons"), i);
        assert_int_equal(json_integer_value(json_object_get(row, "count")), 1);
        assert_true(json_string_length(at(row, "cause.ja")) > 10 && json_string_length(at(row, "remedy.en")) > 10);
    }
    answer_release(&answer);
    static const struct {
        const char *path;
        int status;
        const char *field;
    } table[] = {
        {"/campaigns?limit=0", 400, "limit"},   {"/campaigns?limit=501", 400, "limit"},
        {"/campaigns?limit=x", 400, "limit"},   {"/campaigns?limit=500", 200, NULL},
        {"/campaigns?cursor=x", 400, "cursor"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        answer = fitting(&f, "GET", "/campaigns", table[i].path, "");
        assert_int_row(table[i].path, answer.status, table[i].status);
        if (table[i].field)
            assert_text(answer, "field", table[i].field);
        answer_release(&answer);
    }
    static const char *const absent[] = {"/campaigns/1", "/campaigns/x", "/campaigns/-1",
                                         "/campaigns/99999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(absent); i++) {
        answer = fitting(&f, "GET", "/campaigns/{id}", absent[i], "");
        assert_int_row(absent[i], answer.status, 404);
        answer_release(&answer);
    }
    fixture_end(&f);
}

static void act(struct fixture *f, const char *verb, int status, const char *state)
{
    char path[100], shape[100];
    snprintf(path, sizeof(path), "/campaigns/%llu/%s", (unsigned long long)f->seed.draft.id, verb);
    snprintf(shape, sizeof(shape), "/campaigns/{id}/%s", verb);
    struct answer answer = fitting(f, "POST", shape, path, "");
    assert_int_row(verb, answer.status, status);
    if (state)
        assert_text(answer, "state", state);
    answer_release(&answer);
}

static void a_campaign_starts_once_pauses_and_goes_on(void **state)
{
    FIXTURE(f, state);
    act(&f, "pause", 409, NULL);
    act(&f, "send", 200, "expanding");
    act(&f, "send", 409, NULL);
    act(&f, "pause", 200, "paused");
    act(&f, "resume", 200, "expanding");
    act(&f, "resume", 409, NULL);
    assert_int_equal(test_number(f.test.reader, "SELECT COUNT(*) FROM hold"), 0);
    struct answer answer = ask(&f, "POST", "/api/v1/campaigns/1/send", signed_in(&f), "");
    assert_int_equal(answer.status, 404);
    answer_release(&answer);
    fixture_end(&f);
}

static bool finish(struct db *db, struct fault *why, void *context)
{
    struct seed *seed = context;
    struct event delivered = seed_event(seed, "taro@docomo.example", EVENT_DELIVERED, REASON_DELIVERED);
    delivered.delivery_id = 8 << 8 | delivered.bucket;
    delivered.state_before = DELIVERY_DEFERRED;
    delivered.state_after = DELIVERY_DELIVERED;
    return campaign_finish(db, why, seed->done.id, seed->now + 1000) && event_append(db, why, &delivered, 1);
}

static void a_live_page_hears_progress_and_the_end(void **state)
{
    FIXTURE(f, state);
    char request[400], got[65536] = "";
    size_t len = 0;
    snprintf(request, sizeof(request), "GET /api/v1/campaigns/%llu/stream HTTP/1.1\r\nHost: here\r\n%s\r\n",
             (unsigned long long)f.seed.done.id, signed_in(&f));
    int fd = dial(&f);
    assert_true(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0);
    bool is_finished = false;
    while (!strstr(got, "event: end")) {
        ssize_t more = recv(fd, got + len, sizeof(got) - 1 - len, 0);
        if (more <= 0)
            fail_msg("the stream ended early: %s", got);
        len += (size_t)more;
        got[len] = '\0';
        if (!is_finished && strstr(got, "\n\n")) {
            assert_non_null(strstr(got, "event: progress\ndata: {\"campaign\":{"));
            is_finished = true;
            test_write(f.test.store, finish, &f.seed);
            api_changed(f.api);
        }
    }
    assert_non_null(strcasestr(got, "Content-Type: text/event-stream"));
    assert_non_null(strstr(got, "\"state\":\"finished\""));
    assert_non_null(strstr(got, "event: end\ndata: {}\n\n"));
    close(fd);
    char path[100];
    snprintf(path, sizeof(path), "/api/v1/campaigns/%llu/stream", (unsigned long long)f.seed.done.id);
    struct answer answer = ask(&f, "GET", path, signed_in(&f), ""); /* a finished one answers with both at once */
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "event: progress"));
    assert_non_null(strstr(answer.body, "event: end"));
    answer_release(&answer);
    fixture_end(&f);
}

static void errors_with_what_they_mean(void **state)
{
    FIXTURE(f, state);
    char path[200];
    struct answer answer = fitting(&f, "GET", "/errors", "/errors", "");
    assert_int_equal(json_array_size(at(answer.json, "items")), 4);
    assert_number(answer, "faults.address", 2);
    assert_number(answer, "faults.sender", 1);
    assert_number(answer, "faults.receiver", 1);
    answer_release(&answer);
    snprintf(path, sizeof(path), "/errors?campaign=%llu&fault=address", (unsigned long long)f.seed.done.id);
    answer = fitting(&f, "GET", "/errors", path, "");
    assert_int_equal(json_array_size(at(answer.json, "items")), 1);
    assert_number(answer, "faults.sender", 1); /* whatever fault is asked for */
    assert_text(answer, "items.0.recipient", "hanako@gmail.example");
    assert_text(answer, "items.0.kind", "bounce");
    assert_text(answer, "items.0.origin", "reply");
    assert_text(answer, "items.0.authenticity", "genuine");
    assert_text(answer, "items.0.reply_code", "550");
    assert_text(answer, "items.0.status", "5.1.1");
    assert_text(answer, "items.0.command", "RCPT");
    assert_text(answer, "items.0.contact.name", "山田 花子");
    assert_text(answer, "items.0.contact.phone", "03-0000-0001");
    assert_text(answer, "items.0.campaign.name", "冬の感謝祭");
    assert_number(answer, "items.0.marks.0.0", 13); /* bytes 19 to 25: ten of ASCII and three characters before */
    assert_number(answer, "items.0.marks.0.1", 15);
    assert_true(json_is_true(at(answer.json, "items.0.permanent")));
    answer_release(&answer);
    static const struct {
        const char *query;
        size_t count;
    } table[] = {
        {"?q=HANAKO", 1},
        {"?q=busy", 1},
        {"?reason=auth_failure", 1},
        {"?fault=none", 0},
        {"?limit=2", 2},
        {"?q=%E5%AE%9B", 1},
        {"?q=%25", 0},
        {"?fault=receiver&q=gmail", 0},
        {"?campaign=1", 0},
        {"?reason=user_unknown", 2},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        snprintf(path, sizeof(path), "/errors%s", table[i].query);
        answer = fitting(&f, "GET", "/errors", path, "");
        assert_int_row(path, json_array_size(at(answer.json, "items")), table[i].count);
        answer_release(&answer);
    }
    static const char *const wrong[] = {"?fault=weather", "?reason=rain", "?campaign=x", "?cursor=x", "?q=%ff"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        snprintf(path, sizeof(path), "/errors%s", wrong[i]);
        answer = fitting(&f, "GET", "/errors", path, "");
        assert_int_row(path, answer.status, 400);
        answer_release(&answer);
    }
    fixture_end(&f);
}

static void one_error_and_its_mail(void **state)
{
    FIXTURE(f, state);
    char path[200];
    snprintf(path, sizeof(path), "/errors/%llu", (unsigned long long)f.seed.bounced_id);
    struct answer answer = fitting(&f, "GET", "/errors/{id}", path, "");
    assert_int_equal(answer.status, 200);
    assert_true(json_array_size(at(answer.json, "timeline")) >= 1);
    assert_true(json_is_null(at(answer.json, "mail_id")));
    answer_release(&answer);
    snprintf(path, sizeof(path), "/errors/%llu", (unsigned long long)f.seed.mail_bounced_id);
    answer = fitting(&f, "GET", "/errors/{id}", path, "");
    assert_text(answer, "origin", "mail");
    assert_text(answer, "authenticity", "unverified");
    snprintf(path, sizeof(path), "/mails/%s/raw", json_string_value(at(answer.json, "mail_id")));
    answer_release(&answer);
    answer = fitting(&f, "GET", "/mails/{id}/raw", path, "");
    assert_non_null(strcasestr(answer.head, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strcasestr(answer.head, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(answer.body, "<script>alert(1)</script> \xef\xbf\xbd end")); /* S16: text, repaired */
    answer_release(&answer);
    answer = fitting(&f, "GET", "/mails/{id}/raw", "/mails/12/raw", "");
    assert_int_equal(answer.status, 404);
    answer_release(&answer);
    answer = fitting(&f, "GET", "/errors/{id}", "/errors/12", "");
    assert_int_equal(answer.status, 404);
    answer_release(&answer);
    fixture_end(&f);
}

static void suppressions_page_by_page(void **state)
{
    FIXTURE(f, state);
    struct answer answer = fitting(&f, "GET", "/suppressions", "/suppressions?limit=1", "");
    assert_number(answer, "total", 3);
    assert_text(answer, "items.0.address", "stop@au.example");
    assert_text(answer, "items.0.reason", "unsubscribed");
    assert_text(answer, "items.0.scope", "brand");
    size_t seen = 1;
    while (!json_is_null(at(answer.json, "next_cursor"))) {
        char path[300];
        snprintf(path, sizeof(path), "/suppressions?limit=1&cursor=%s",
                 json_string_value(at(answer.json, "next_cursor")));
        answer_release(&answer);
        answer = fitting(&f, "GET", "/suppressions", path, "");
        assert_number(answer, "total", 3);
        seen += json_array_size(at(answer.json, "items"));
    }
    assert_int_equal(seen, 3);
    assert_text(answer, "items.0.address", "hanako@gmail.example");
    assert_text(answer, "items.0.reason", "user_unknown");
    assert_text(answer, "items.0.fault", "address");
    assert_text(answer, "items.0.campaign.name", "冬の感謝祭");
    assert_string_equal(json_string_value(at(answer.json, "items.0.scope")), "all");
    answer_release(&answer);
    answer = fitting(&f, "GET", "/suppressions", "/suppressions?q=AU.example", "");
    assert_number(answer, "total", 2);
    answer_release(&answer);
    answer = fitting(&f, "GET", "/suppressions", "/suppressions?cursor=!!", "");
    assert_int_equal(answer.status, 400);
    answer_release(&answer);
    fixture_end(&f);
}

/* S16 */
static void error_mail_in_the_inbox_is_text(void **state)
{
    FIXTURE(f, state);
    struct answer answer = fitting(&f, "GET", "/inbox", "/inbox", "");
    assert_number(answer, "total", 1);
    answer_release(&answer);
    answer = fitting(&f, "GET", "/inbox/{id}", "/inbox/1", "");
    assert_true(json_is_null(at(answer.json, "html")));
    assert_text(answer, "headers.0.value", "配信できません");
    assert_non_null(strstr(json_string_value(at(answer.json, "text")), "<script>"));
    assert_text(answer, "attachments.0.name", "x.zip");
    assert_text(answer, "attachments.0.type", "application/zip");
    assert_number(answer, "attachments.0.size_bytes", 2);
    answer_release(&answer);
    answer = fitting(&f, "GET", "/inbox/{id}", "/inbox/2", ""); /* ordinary mail: the page shows it in a sandbox */
    assert_true(json_is_string(at(answer.json, "html")));
    answer_release(&answer);
    answer = fitting(&f, "GET", "/inbox/{id}", "/inbox/3", "");
    assert_int_equal(answer.status, 404);
    answer_release(&answer);
    fixture_end(&f);
}

static void a_pasted_answer_is_explained(void **state)
{
    FIXTURE(f, state);
    static const struct {
        const char *row, *body;
        int status;
        const char *kind, *reason;
    } table[] = {
        {"a refusal", "{\"text\":\"550 5.1.1 <x@y.example>: User unknown\"}", 200, "bounce", "user_unknown"},
        {"for now", "{\"text\":\"452 4.2.2 Mailbox full\"}", 200, "delay", "mailbox_full"},
        {"no error", "{\"text\":\"good morning\"}", 200, "none", "undefined"},
        {"a mail that is none", "{\"text\":\"Subject: hi\\nFrom: a@b.example\\n\\nHello\"}", 200, "none", "undefined"},
        {"both members", "{\"text\":\"x\",\"message_b64\":\"eA==\"}", 400, NULL, NULL},
        {"neither", "{}", 400, NULL, NULL},
        {"a number", "{\"text\":5}", 400, NULL, NULL},
        {"empty", "{\"text\":\"  \"}", 400, NULL, NULL},
        {"no base64", "{\"message_b64\":\"*\"}", 400, NULL, NULL},
        {"no JSON", "{", 400, NULL, NULL},
        {"no object", "[]", 400, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct answer answer = fitting(&f, "POST", "/bounces/explain", "/bounces/explain", table[i].body);
        assert_int_row(table[i].row, answer.status, table[i].status);
        if (table[i].kind) {
            assert_text(answer, "items.0.kind", table[i].kind);
            assert_text(answer, "items.0.reason", table[i].reason);
            assert_text(answer, "items.0.did.ja", "");
        }
        answer_release(&answer);
    }
    SCOPED(buf) big = BUF(4 << 20);
    buf_text(&big, "{\"text\":\"");
    for (int i = 0; i < (1 << 20) + 1; i++)
        buf_byte(&big, 'a');
    buf_text(&big, "\"}");
    struct answer answer = fitting(&f, "POST", "/bounces/explain", "/bounces/explain", buf_cstr(&big));
    assert_int_equal(answer.status, 413);
    answer_release(&answer);
    fixture_end(&f);
}

static void the_page_and_its_policy(void **state)
{
    FIXTURE(f, state);
    struct answer answer = ask(&f, "GET", "/", "", "");
    assert_true(answer.status == 200 || answer.status == 404); /* a build without node has no console */
    assert_non_null(strcasestr(
        answer.head, "\r\nContent-Security-Policy: default-src 'self'; style-src-attr 'unsafe-inline'; img-src "
                     "'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors "
                     "'none'\r\n"));
    assert_non_null(strcasestr(answer.head, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strcasestr(answer.head, "\r\nReferrer-Policy: no-referrer\r\n"));
    answer_release(&answer);
    const struct embedded_file *asset = embedded_first(SLICE("console/assets/"));
    if (asset && slice_starts(asset->path, SLICE("console/assets/"))) {
        char path[300];
        snprintf(path, sizeof(path), "%.*s", SLICE_ARG(slice_from(asset->path, 7)));
        answer = ask(&f, "GET", path, "", "");
        assert_int_row(path, answer.status, 200);
        assert_non_null(strcasestr(answer.head, "immutable"));
        answer_release(&answer);
    }
    static const char *const nowhere[] = {"/assets/none.js", "/assets/../index.html",  "/assets/..%2findex.html",
                                          "/assets/",        "/data/api/openapi.yaml", "/index.php"};
    for (size_t i = 0; i < COUNT_OF(nowhere); i++) {
        answer = ask(&f, "GET", nowhere[i], "", "");
        assert_true(answer.status == 404 || answer.status == 400);
        answer_release(&answer);
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(nobody_comes_in_without_a_key),
        ON_BOTH(strangers_bodies_are_not_read),
        ON_BOTH(signing_in_and_out),
        ON_BOTH(trying_keys_is_slow),
        ON_BOTH(home_says_what_matters),
        ON_BOTH(campaigns_and_their_report),
        ON_BOTH(a_campaign_starts_once_pauses_and_goes_on),
        ON_BOTH(a_live_page_hears_progress_and_the_end),
        ON_BOTH(errors_with_what_they_mean),
        ON_BOTH(one_error_and_its_mail),
        ON_BOTH(suppressions_page_by_page),
        ON_BOTH(error_mail_in_the_inbox_is_text),
        ON_BOTH(a_pasted_answer_is_explained),
        ON_BOTH(the_page_and_its_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
