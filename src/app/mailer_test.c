/* Stored mails on their way to the wire: our return path, the right key's signature, the same octets each time (R22,
 * M24, M33, M46, R13). */
#include "app/mailer.h"
#include "campaign/brand.h"
#include "mailauth/dkim_key.h"
#include "mailauth/testing.h"
#include "net/world.h"
#include "store/testing.h"
#include "submit/message.h"

#define NOW ((time_ms)1795321800000)

struct fixture {
    struct test_store test;
    struct world world;
    struct seal_key seal;
    struct token_ring ring;
    struct brand brand;
    struct dkim_key *dkim[2];
    struct recent_mails *recent;
    struct mailer *mailer;
    struct composer composer;
    /* of the mail to be stored */
    struct message message;
    const char *to[2];
    uint64_t deliveries[2];
};

static bool fixture_write(struct db *db, struct fault *why, void *context)
{
    struct fixture *fixture = context;
    SCOPED(buf) record = BUF(4096);
    return brand_create(db, why, &fixture->brand, NOW) &&
           mailer_key_store(db, why, &fixture->seal, fixture->brand.id, SLICE("shop.example"), SLICE("s1"),
                            fixture->dkim[0], NOW, &record) &&
           mailer_key_store(db, why, &fixture->seal, fixture->brand.id, SLICE("app.shop.example"), SLICE("s2"),
                            fixture->dkim[1], NOW, &record);
}

static bool mail_write(struct db *db, struct fault *why, void *context)
{
    struct fixture *fixture = context;
    SCOPED(arena) arena = {0};
    struct submit_row rows[2] = {0};
    struct submit_news *news;
    size_t count = fixture->to[1] ? 2 : 1, news_count;
    for (size_t i = 0; i < count; i++)
        rows[i].address = rows[i].written = slice_str(fixture->to[i]);
    fixture->message.id = id_make_anywhere(db_ids(db), NOW);
    if (!message_submit(db, why, &fixture->message, rows, count, &arena, &news, &news_count))
        return false;
    for (size_t i = 0; i < count; i++)
        fixture->deliveries[slice_equal(rows[i].written, slice_str(fixture->to[0])) ? 0 : 1] = rows[i].delivery_id;
    return true;
}

static void fixture_begin(struct fixture *fixture, void **state)
{
    *fixture = (struct fixture){
        .seal = {.id = 7, .key = "thirty-two octets of a seal key"},
        .brand = {.name = SLICE("Shop"),
                  .from_name = SLICE("Shop"),
                  .from_address = SLICE("news@shop.example"),
                  .return_path_domain = SLICE("bounce.shop.example"),
                  .link_base = SLICE("https://mail.shop.example")},
        .to = {"a@one.example", "b@two.example"},
    };
    test_ring(&fixture->ring, 1);
    assert_true(test_store_url(&fixture->test, state));
    test_store_reopen(&fixture->test);
    world_init_manual(&fixture->world, NOW, 1);
    for (size_t i = 0; i < COUNT_OF(fixture->dkim); i++)
        fixture->dkim[i] = dkim_key_generate(DKIM_RSA_SHA256);
    test_write(fixture->test.store, fixture_write, fixture);
    for (size_t i = 0; i < COUNT_OF(fixture->dkim); i++)
        dkim_key_free(fixture->dkim[i]);
    fixture->recent = recent_mails_new();
    const struct mailer_options options = {.store = fixture->test.store,
                                           .world = &fixture->world,
                                           .seal = &fixture->seal,
                                           .ring = &fixture->ring,
                                           .recent = fixture->recent};
    fixture->mailer = mailer_new(&options);
    fixture->composer = mailer_composer(fixture->mailer);
    fixture->message = (struct message){
        .brand_id = fixture->brand.id,
        .mail_from = SLICE("app@shop.example"),
        .from_domain = SLICE("shop.example"),
        .body = SLICE("From: app@shop.example\r\nSubject: hello\r\nMessage-ID: <1@shop.example>\r\n\r\nhello\r\n"),
        .now = NOW,
        .due = NOW,
        .expires = NOW + DAYS_MS(5),
    };
}
static void fixture_end(struct fixture *fixture)
{
    mailer_free(fixture->mailer);
    recent_mails_free(fixture->recent);
    token_ring_release(&fixture->ring);
    test_store_end(&fixture->test);
}

static struct outgoing *compose(struct fixture *fixture, int which)
{
    struct outgoing *out = NULL;
    struct fault why = {0};
    const struct recipient recipient = {
        .id = fixture->deliveries[which],
        .brand_id = fixture->brand.id,
        .message_id = fixture->message.id,
        .written = slice_str(fixture->to[which]),
        .domain = slice_str(strchr(fixture->to[which], '@') + 1),
    };
    if (!fixture->composer.compose(fixture->composer.self, 0, &recipient, &out, &why))
        fail_msg("%s", why.text);
    return out;
}
static bool has(const struct outgoing *out, const char *text)
{
    return slice_find(out->body, slice_str(text)) != SLICE_NPOS;
}

static void the_same_mail_for_all_and_again(void **state)
{
    struct fixture fixture;
    fixture_begin(&fixture, state);
    test_write(fixture.test.store, mail_write, &fixture);
    struct outgoing *one = compose(&fixture, 0), *other = compose(&fixture, 1);
    assert_true(slice_equal(one->body, other->body));
    assert_ptr_equal(one->body.ptr, other->body.ptr); /* not a copy for each */
    assert_false(slice_equal(one->mail_from, other->mail_from));
    assert_true(slice_starts(one->mail_from, SLICE("b-")));
    assert_true(slice_ends(one->mail_from, SLICE("@bounce.shop.example")));
    struct return_path path;
    assert_int_equal(return_path_check(&fixture.ring, one->mail_from, NOW, &path), TOKEN_GOOD);
    assert_int_equal(path.delivery_id, fixture.deliveries[0]);
    assert_int_equal(one->alike, 0); /* each alone, as long as the brand says nothing else (R20) */
    assert_true(slice_equal(other->rcpt_to, SLICE("b@two.example")));
    assert_true(has(one, "d=shop.example;"));
    assert_true(slice_ends(one->body, fixture.message.body));
    assert_int_equal(one->date, NOW);
    assert_false(one->needs_8bit || one->needs_smtputf8);
    fixture.composer.release_worker(fixture.composer.self, 0); /* another thread, a minute later: the same octets */
    world_advance(&fixture.world, MINUTES_MS(1));
    struct outgoing *again = compose(&fixture, 0);
    assert_true(slice_equal(one->body, again->body));
    assert_true(slice_equal(one->mail_from, again->mail_from));
    outgoing_free(one);
    outgoing_free(other);
    outgoing_free(again);
    fixture_end(&fixture);
}

static bool together_run(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "UPDATE brand SET recipients_per_transaction = 50", NO_VALUES, NULL);
}

/* R20, M24: where the brand wants it, the same mail has a key, and a return path for those of one domain. What is each
 * one's own has neither; nor has a mail with one recipient. */
static void the_same_mail_may_go_together(void **state)
{
    struct fixture fixture;
    struct return_path path, other_path;
    fixture_begin(&fixture, state);
    test_write(fixture.test.store, together_run, NULL);
    test_write(fixture.test.store, mail_write, &fixture);
    struct outgoing *one = compose(&fixture, 0), *other = compose(&fixture, 1);
    assert_true(one->alike == fixture.message.id && other->alike == one->alike);
    assert_int_equal(one->recipients_most, 50);
    assert_int_equal(return_path_check(&fixture.ring, one->mail_from, NOW, &path), TOKEN_GOOD);
    assert_true(path.delivery_id == fixture.deliveries[0] && !path.message_id);
    assert_int_equal(return_path_check(&fixture.ring, one->shared_from, NOW, &path), TOKEN_GOOD);
    assert_int_equal(return_path_check(&fixture.ring, other->shared_from, NOW, &other_path), TOKEN_GOOD);
    assert_true(path.message_id == fixture.message.id && !path.delivery_id);
    assert_true(return_path_is_of(&path, SLICE("one.example")) && !return_path_is_of(&path, SLICE("two.example")));
    assert_true(return_path_is_of(&other_path, SLICE("two.example")));
    outgoing_free(one);
    outgoing_free(other);
    fixture.message.flags = MESSAGE_NULL_SENDER;
    test_write(fixture.test.store, mail_write, &fixture);
    one = compose(&fixture, 0);
    assert_true(one->alike && !one->mail_from.len && !one->shared_from.len);
    outgoing_free(one);
    fixture.message.flags = MESSAGE_UNSUBSCRIBE;
    test_write(fixture.test.store, mail_write, &fixture);
    one = compose(&fixture, 0);
    assert_int_equal(one->alike, 0);
    outgoing_free(one);
    fixture.message.flags = 0;
    fixture.to[1] = NULL;
    test_write(fixture.test.store, mail_write, &fixture);
    one = compose(&fixture, 0);
    assert_int_equal(one->alike, 0);
    outgoing_free(one);
    fixture_end(&fixture);
}

static void the_nearest_key_signs(void **state)
{
    static const struct {
        const char *from_domain, *signature; /* NULL: none */
    } rows[] = {
        {"shop.example", "d=shop.example;"},
        {"app.shop.example", "d=app.shop.example;"},
        {"x.app.shop.example", "d=app.shop.example;"},
        {"mail.shop.example", "d=shop.example;"},
        {"notshop.example", NULL},
        {"example", NULL},
    };
    struct fixture fixture;
    fixture_begin(&fixture, state);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        fixture.message.from_domain = slice_str(rows[i].from_domain);
        test_write(fixture.test.store, mail_write, &fixture);
        struct outgoing *out = compose(&fixture, 0);
        if (has(out, "DKIM-Signature") != (rows[i].signature != NULL) ||
            (rows[i].signature && !has(out, rows[i].signature)))
            fail_msg("%s: %.*s", rows[i].from_domain, SLICE_ARG(out->body));
        outgoing_free(out);
    }
    fixture_end(&fixture);
}

static void what_is_each_ones_own(void **state)
{
    struct fixture fixture;
    fixture_begin(&fixture, state);
    fixture.message.flags = MESSAGE_UNSUBSCRIBE;
    test_write(fixture.test.store, mail_write, &fixture);
    struct outgoing *one = compose(&fixture, 0), *other = compose(&fixture, 1), *again = compose(&fixture, 0);
    assert_true(has(one, "List-Unsubscribe: <https://mail.shop.example/u/") && has(one, "List-Unsubscribe-Post:"));
    assert_false(slice_equal(one->body, other->body));
    assert_true(slice_equal(one->body, again->body));
    outgoing_free(one);
    outgoing_free(other);
    outgoing_free(again);
    fixture.message.flags = MESSAGE_NEEDS_SMTPUTF8 | MESSAGE_NULL_SENDER; /* R13: the null sender stays it */
    test_write(fixture.test.store, mail_write, &fixture);
    one = compose(&fixture, 0);
    assert_int_equal(one->mail_from.len, 0);
    assert_true(one->needs_smtputf8 && one->needs_8bit);
    outgoing_free(one);
    fixture_end(&fixture);
}

static bool bodies_go(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "UPDATE message SET body = ''", NO_VALUES, NULL);
}

static bool bodies_come_back(struct db *db, struct fault *why, void *context)
{
    const struct fixture *fixture = context;
    return db_do(db, why, "UPDATE message SET body = $1", VALUES(V_BYTES(fixture->message.body)), NULL);
}

static void a_body_that_is_gone_is_a_fault(void **state)
{
    struct fixture fixture;
    fixture_begin(&fixture, state);
    test_write(fixture.test.store, mail_write, &fixture);
    test_write(fixture.test.store, bodies_go, NULL);
    struct outgoing *out = NULL;
    struct fault why = {0};
    const struct recipient recipient = {
        .id = fixture.deliveries[0], .brand_id = fixture.brand.id, .message_id = fixture.message.id};
    assert_false(fixture.composer.compose(fixture.composer.self, 0, &recipient, &out, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    fixture_end(&fixture);
}

/* From memory as from the store, octet for octet: signed by a key, or by none. */
static void what_was_handed_in_last_is_not_read_back(void **state)
{
    static const struct {
        const char *from_domain;
        unsigned flags;
    } rows[] = {
        {"shop.example", 0},
        {"shop.example", MESSAGE_UNSUBSCRIBE},
        {"example", 0},
        {"example", MESSAGE_UNSUBSCRIBE | MESSAGE_NEEDS_8BIT},
    };
    struct fixture fixture;
    fixture_begin(&fixture, state);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        fixture.message.from_domain = slice_str(rows[i].from_domain);
        fixture.message.flags = rows[i].flags;
        test_write(fixture.test.store, mail_write, &fixture);
        recent_mails_keep(fixture.recent, &fixture.message);
        test_write(fixture.test.store, bodies_go, NULL); /* so it cannot come from there */
        struct outgoing *one = compose(&fixture, 0), *other = compose(&fixture, 1);
        assert_null(recent_mails_take(fixture.recent, fixture.message.id));
        fixture.composer.release_worker(fixture.composer.self, 0);
        test_write(fixture.test.store, bodies_come_back, &fixture);
        struct outgoing *stored = compose(&fixture, 0);
        assert_true(slice_equal(one->body, stored->body) && slice_ends(one->body, fixture.message.body));
        assert_true(slice_equal(one->mail_from, stored->mail_from));
        assert_true(one->date == stored->date && one->needs_8bit == stored->needs_8bit);
        assert_int_equal(slice_equal(one->body, other->body), !(rows[i].flags & MESSAGE_UNSUBSCRIBE));
        outgoing_free(one);
        outgoing_free(other);
        outgoing_free(stored);
    }
    fixture_end(&fixture);
}

int main(void)
{
#define ON_SQLITE(test)                                                                                                \
    {                                                                                                                  \
#test, test, NULL, NULL, (void *)(uintptr_t) "sqlite"                                                          \
    }
    const struct CMUnitTest tests[] = {
        ON_SQLITE(the_same_mail_for_all_and_again), ON_SQLITE(the_same_mail_may_go_together),
        ON_SQLITE(the_nearest_key_signs),           ON_SQLITE(what_is_each_ones_own),
        ON_SQLITE(a_body_that_is_gone_is_a_fault),  ON_SQLITE(what_was_handed_in_last_is_not_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
