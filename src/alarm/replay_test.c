/* X5: DMARC reports that say our signature comes from where we never send, on both stores */
#include "alarm/alarm.h"

#include "receive/kept_report.h"
#include "store/testing.h"
#include <stdio.h>

enum { SOURCES_MOST = 400 };

struct fixture {
    struct test_store test;
    struct world world;
    struct rules *rules;
    struct policies *policies;
    struct alarm_watch *watch;
    struct arena arena;
    unsigned reports;
};

static void watch_begin(struct fixture *f)
{
    const struct alarm_options options = {
        .store = f->test.store, .world = &f->world, .rules = f->rules, .ledger = {.policy = {.policies = f->policies}}};
    f->watch = alarm_watch_start(&options);
}

static bool begin(struct fixture *f, void **state)
{
    struct fault why = {0};
    if (!test_store_url(&f->test, state))
        return false;
    test_store_reopen(&f->test);
    world_init(&f->world, NETWORK_LOOPBACK);
    if (!rules_open(&f->rules, &why) || !policies_open("default", NULL, &f->policies, &why))
        fail_msg("%s", why.text);
    watch_begin(f);
    return true;
}

static void end(struct fixture *f)
{
    alarm_watch_stop(f->watch);
    rules_free(f->rules);
    policies_free(f->policies);
    arena_release(&f->arena);
    test_store_end(&f->test);
}

/* A report, as a receiver writes it. */
struct written {
    const char *domain;
    int days_ago;
    const char *prefix; /* of the addresses: "198.51.%d.9", "2001:db8:%x::1" */
    int from, addresses;
    int64_t each; /* mails from each */
    const char *dkim, *spf;
    const char *sender; /* what DMARC said of the mail that brought it */
};
struct keeping {
    struct fixture *f;
    const struct written *written;
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static struct slice address(struct fixture *f, const struct written *written, int number)
{
    char text[64];
    snprintf(text, sizeof(text), written->prefix, number);
    return arena_copy(&f->arena, slice_str(text));
}
#pragma GCC diagnostic pop

static bool keep(struct db *db, struct fault *why, void *context)
{
    const struct keeping *keeping = context;
    const struct written *written = keeping->written;
    struct fixture *f = keeping->f;
    time_ms at = world_wall(&f->world) - DAYS_MS(written->days_ago);
    struct report_source sources[SOURCES_MOST];
    uint64_t mail = id_make_anywhere(db_ids(db), at);
    for (int i = 0; i < written->addresses; i++)
        sources[i] = (struct report_source){.ip = address(f, written, written->from + i),
                                            .domain = slice_str(written->domain),
                                            .outcome = SLICE("none"),
                                            .dkim = slice_str(written->dkim),
                                            .spf = slice_str(written->spf),
                                            .detail = SLICE("dkim=pass d=shop.example s=todoke1"),
                                            .count = (uint64_t)written->each,
                                            .is_good = true};
    const struct report_record report = {.kind = FEEDBACK_DMARC,
                                         .org = SLICE("mail.example"),
                                         .report_id = arena_printf(&f->arena, "r%u", ++f->reports),
                                         .domain = slice_str(written->domain),
                                         .begin = at / 1000 - 86400,
                                         .end = at / 1000,
                                         .sources = sources,
                                         .source_count = (unsigned)written->addresses};
    return db_do(db, why,
                 "INSERT INTO inbound (bucket, id, at_ms, state, mail_from, rcpt_to, peer, raw, dmarc) VALUES ($1, $2, "
                 "$3, 1, 'r@mail.example', 'd@shop.example', '127.0.0.1', $4, $5)",
                 VALUES(V_INT(id_bucket(mail)), V_INT((int64_t)mail), V_INT(at), V_BYTES(SLICE("x")),
                        V_TEXT(slice_str(written->sender))),
                 NULL) &&
           kept_report_add(db, why, &report, mail, at);
}

static void write_reports(struct fixture *f, const struct written *written, size_t count)
{
    for (size_t i = 0; i < count && written[i].domain; i++) {
        struct keeping keeping = {f, &written[i]};
        test_write(f->test.store, keep, &keeping);
    }
}

static size_t alarms(struct fixture *f, struct alarm_row **rows)
{
    struct fault why = {0};
    size_t count = 0, kept = 0;
    if (!alarm_watch_catch_up(f->watch, &why) ||
        !alarm_list(f->test.reader, &why, true, world_wall(&f->world), 50, &f->arena, rows, &count))
        fail_msg("%s", why.text);
    for (size_t i = 0; i < count; i++)
        if ((*rows)[i].kind == ALARM_REPLAY)
            (*rows)[kept++] = (*rows)[i];
    return kept;
}

#define OURS                                                                                                           \
    {                                                                                                                  \
        "shop.example", 1, "203.0.113.%d", 1, 4, 500, "pass", "pass", "pass"                                           \
    }
#define PAST                                                                                                           \
    {                                                                                                                  \
        "shop.example", 12, "203.0.113.%d", 1, 4, 500, "pass", "pass", "pass"                                          \
    }

static void a_signature_from_everywhere(void **state)
{
    static const struct {
        const char *thought;
        struct written reports[5];
        int64_t networks; /* 0: no alarm */
    } rows[] = {
        {"we alone", {PAST, OURS}, 0},
        {"a replay", {PAST, OURS, {"shop.example", 1, "10.0.%d.9", 0, 30, 20, "pass", "fail", "pass"}}, 30},
        {"in two reports",
         {PAST,
          OURS,
          {"shop.example", 2, "10.0.%d.9", 0, 15, 40, "pass", "fail", "pass"},
          {"shop.example", 1, "10.0.%d.8", 10, 15, 40, "pass", "fail", ""}},
         25},
        {"over IPv6", {PAST, OURS, {"shop.example", 1, "2001:db8:%x::1", 1, 40, 20, "pass", "fail", "pass"}}, 40},
        {"from addresses of few networks: a large forwarder",
         {PAST, OURS, {"shop.example", 1, "10.0.0.%d", 1, 200, 20, "pass", "fail", "pass"}},
         0},
        {"of one IPv6 network",
         {PAST, OURS, {"shop.example", 1, "2001:db8:1:%x::1", 1, 40, 20, "pass", "fail", "pass"}},
         0},
        {"forwarders, who were there before",
         {PAST,
          OURS,
          {"shop.example", 9, "10.0.%d.9", 0, 30, 1, "pass", "fail", "pass"},
          {"shop.example", 1, "10.0.%d.7", 0, 30, 20, "pass", "fail", "pass"}},
         0},
        {"few networks", {PAST, OURS, {"shop.example", 1, "10.0.%d.9", 0, 20, 30, "pass", "fail", "pass"}}, 0},
        {"a small share", {PAST, OURS, {"shop.example", 1, "10.0.%d.9", 0, 30, 7, "pass", "fail", "pass"}}, 0},
        {"few mails",
         {{"shop.example", 12, "203.0.113.1", 1, 1, 5, "pass", "pass", "pass"},
          {"shop.example", 1, "10.0.%d.9", 0, 30, 3, "pass", "fail", "pass"}},
         0},
        {"forged, and not signed",
         {PAST, OURS, {"shop.example", 1, "10.0.%d.9", 0, 300, 20, "fail", "fail", "pass"}},
         0},
        {"sent by others for us, SPF says",
         {PAST, OURS, {"shop.example", 1, "10.0.%d.9", 0, 30, 20, "pass", "pass", "pass"}},
         0},
        {"in a report that is forged itself",
         {PAST, OURS, {"shop.example", 1, "10.0.%d.9", 0, 30, 20, "pass", "fail", "fail"}},
         0},
        {"of another domain", {PAST, OURS, {"other.example", 1, "10.0.%d.9", 0, 3, 20, "pass", "fail", "pass"}}, 0},
        {"long ago", {PAST, {"shop.example", 8, "10.0.%d.9", 0, 30, 20, "pass", "fail", "pass"}, OURS}, 0},
        {"a domain without a past, by forwarders",
         {OURS, {"shop.example", 1, "10.0.%d.9", 0, 30, 20, "pass", "fail", "pass"}},
         0},
        {"a domain without a past, mostly from elsewhere",
         {OURS, {"shop.example", 1, "10.0.%d.9", 0, 30, 90, "pass", "fail", "pass"}},
         30},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fixture f = {0};
        struct alarm_row *found;
        if (!begin(&f, state))
            skip();
        write_reports(&f, rows[i].reports, COUNT_OF(rows[i].reports));
        size_t count = alarms(&f, &found);
        assert_int_row(rows[i].thought, count, rows[i].networks != 0);
        if (count)
            assert_int_row(rows[i].thought, found->n, rows[i].networks);
        end(&f);
    }
}

static bool grow_old(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "UPDATE feedback_report SET received_ms = received_ms - $1", VALUES(V_INT(DAYS_MS(9))), NULL);
}

/* One matter, told in both languages, and over when a week has passed. */
static void one_matter_from_beginning_to_end(void **state)
{
    static const struct written reports[] = {
        PAST, OURS, {"shop.example", 1, "10.0.%d.9", 0, 30, 20, "pass", "fail", "pass"}};
    static const struct written more[] = {{"shop.example", 0, "10.1.%d.9", 0, 30, 20, "pass", "fail", "pass"}};
    struct fixture f = {0};
    struct alarm_row *found;
    if (!begin(&f, state))
        skip();
    write_reports(&f, reports, COUNT_OF(reports));
    assert_int_equal(alarms(&f, &found), 1);
    uint64_t id = found->id;
    write_reports(&f, more, COUNT_OF(more));
    assert_int_equal(alarms(&f, &found), 1);
    assert_true(found->id == id && found->n == 60 && found->normal == 20 && !found->ended);
    assert_slice("about", found->about, SLICE("shop.example"));
    assert_true(slice_find(found->detail, SLICE("\"mails\":1200")) > 0);
    assert_true(slice_find(found->detail, SLICE("s=todoke1")) > 0);
    struct alarm_words ja = alarm_words_ja(found, &f.arena), en = alarm_words_en(found, &f.arena);
    assert_true(slice_find(ja.title, SLICE("60 か所")) > 0 && slice_find(ja.text, SLICE("1200 通")) > 0);
    assert_true(slice_find(en.title, SLICE("60 networks")) > 0 && slice_find(en.text, SLICE("1200 mails")) > 0);
    assert_true(slice_find(ja.text, SLICE("todoke dkim rotate")) > 0 && slice_find(en.text, SLICE("dkim rotate")) > 0);
    alarm_watch_stop(f.watch);
    test_write(f.test.store, grow_old, NULL);
    watch_begin(&f); /* an hour later, or after a start */
    assert_int_equal(alarms(&f, &found), 1);
    assert_true(found->id == id && found->ended);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(a_signature_from_everywhere), ON_BOTH(one_matter_from_beginning_to_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
