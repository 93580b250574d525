/* What the API shows and does; every JSON answer is held to data/api/openapi.yaml. */
#include "api/api_test.h"

#include "mail/address.h"

static void home_says_what_matters(void **state)
{
    FIXTURE(f, state);
    struct answer answer = fitting(&f, "GET", "/home", "/home", "");
    assert_text(answer, "todos.0.fault", "sender");
    assert_text(answer, "todos.0.title.ja", "gmail.example が 1 通を断りました(送信ドメイン認証の失敗)");
    assert_text(answer, "todos.1.fault", "address");
    assert_text(answer, "todos.1.title.ja", "「冬の感謝祭」で 1 件の宛先が存在しませんでした");
    assert_text(answer, "todos.1.title.en", "1 address of “冬の感謝祭” does not exist");
    assert_text(answer, "todos.2.fault", "receiver");
    assert_text(answer, "todos.2.title.ja", "docomo.example が混み合っています");
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
        ssize_t more = hear(fd, got + len, sizeof(got) - 1 - len);
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

/* Whole addresses and whole rows: a step of the export ends between two rows of one address. */
enum { EXPORTED_SINGLE = 499 };
static bool crowd_run(struct db *db, struct fault *why, void *context)
{
    struct fixture *f = context;
    unsigned count = 0;
    for (unsigned i = 0; count <= EXPORTED_SINGLE; i++) {
        char address[40];
        snprintf(address, sizeof(address), "p%07u@x.example", i);
        if (address_bucket(slice_str(address)) != 77)
            continue;
        struct suppression row = {.address = slice_str(address), .since = f->seed.now, .count = 1};
        if (!suppress_add(db, why, &row, NULL))
            return false;
        row.brand_id = f->seed.brand.id;
        if (count++ == EXPORTED_SINGLE && !suppress_add(db, why, &row, NULL))
            return false;
    }
    return true;
}

static void an_export_leaves_nobody_out(void **state)
{
    FIXTURE(f, state);
    test_write(f.test.store, crowd_run, &f);
    int64_t want = test_number(f.test.reader, "SELECT COUNT(*) FROM suppression"), got = 0;
    assert_int_equal(want, EXPORTED_SINGLE + 2 + 3);
    struct answer answer = ask(&f, "GET", "/api/v1/suppressions/export", signed_in(&f), "");
    assert_int_equal(answer.status, 200);
    for (size_t i = 0; i < answer.len; i++)
        got += answer.body[i] == '@';
    assert_int_equal(got, want);
    answer_release(&answer);
    fixture_end(&f);
}

static void a_long_subject_is_kept_in_whole_characters(void **state)
{
    FIXTURE(f, state);
    SCOPED(buf) body = BUF(4096);
    buf_text(&body, "{\"to\":\"taro@docomo.example\",\"text\":\"x\",\"subject\":\"");
    for (int i = 0; i < 200; i++)
        buf_text(&body, "あ");
    buf_text(&body, "\"}");
    struct answer answer = fitting(&f, "POST", "/messages", "/messages", buf_cstr(&body));
    assert_int_equal(answer.status, 202);
    answer_release(&answer);
    assert_int_equal(test_number(f.test.reader, "SELECT length(subject) FROM message"), 166);
    fixture_end(&f);
}

static void a_hold_has_the_name_that_is_looked_for(void **state)
{
    FIXTURE(f, state);
    char id[24], body[80];
    snprintf(id, sizeof(id), "%llu", (unsigned long long)f.seed.brand.id);
    snprintf(body, sizeof(body), "{\"kind\":\"brand\",\"name\":\"00%s\"}", id);
    struct answer answer = fitting(&f, "POST", "/queue/holds", "/queue/holds", body);
    assert_int_equal(answer.status, 201);
    assert_text(answer, "name", id);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(home_says_what_matters),
        ON_BOTH(campaigns_and_their_report),
        ON_BOTH(a_campaign_starts_once_pauses_and_goes_on),
        ON_BOTH(a_live_page_hears_progress_and_the_end),
        ON_BOTH(errors_with_what_they_mean),
        ON_BOTH(one_error_and_its_mail),
        ON_BOTH(suppressions_page_by_page),
        ON_BOTH(an_export_leaves_nobody_out),
        ON_BOTH(a_long_subject_is_kept_in_whole_characters),
        ON_BOTH(a_hold_has_the_name_that_is_looked_for),
        ON_BOTH(error_mail_in_the_inbox_is_text),
        ON_BOTH(a_pasted_answer_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
