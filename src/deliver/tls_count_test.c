/* M45: sessions are added up by day and policy, and read back as RFC 8460 wants them. R30: what people decided about
 * TLS. */
#include "deliver/directions.h"
#include "deliver/tls_count.h"
#include "store/testing.h"

#include <jansson.h>

static const time_ms noon = 1795348800000; /* 2026-11-22T12:00:00Z */

static void note(struct tls_counts *counts, enum tls_policy policy, enum tls_result result, const char *domain,
                 const char *detail, int times)
{
    const struct tls_note one = {
        .policy = policy,
        .result = result,
        .domain = slice_str(domain),
        .mx = SLICE("mx.a.example"),
        .detail = slice_str(detail),
        .policy_text =
            policy == TLS_POLICY_STS ? SLICE("version: STSv1\nmode: enforce\nmx: mx.a.example\n") : SLICE(""),
        .to = {4, {192, 0, 2, 1}},
    };
    for (int i = 0; i < times; i++)
        tls_counts_take(counts, tls_note_copy(&one), noon);
}

static bool nothing(struct db *db, struct fault *why, void *context)
{
    return true;
}

struct taken {
    int count;
    json_t *first;
};
static bool take(void *context, struct slice domain, struct slice json, struct fault *why)
{
    struct taken *taken = context;
    json_t *report = json_loadb(json.ptr, json.len, 0, NULL);
    assert_non_null(report);
    if (taken->count++ == 0)
        taken->first = report;
    else
        json_decref(report);
    return true;
}

static void a_day_of_sessions(void **state)
{
    TEST_STORE(test, state);
    struct tls_counts counts = {0};
    struct fault why = {0};
    for (int round = 0; round < 2; round++) { /* two writings add up */
        note(&counts, TLS_POLICY_STS, TLS_RESULT_SUCCESS, "a.example", "", 3);
        note(&counts, TLS_POLICY_STS, TLS_RESULT_EXPIRED, "a.example", "it said \"\xff\" \\ and more", 2);
        note(&counts, TLS_POLICY_NOT_FOUND, TLS_RESULT_STARTTLS_NOT_SUPPORTED, "b.example", "", 1);
        tls_counts_write(&counts, test.store);
        assert_int_equal(counts.sums.count, 0);
        test_write(test.store, nothing, NULL); /* behind it the counts are written */
    }
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM tls_count"), 3);
    const struct tls_report_from from = {SLICE("Us"), SLICE("us@shop.example"), SLICE("2026-11-22")};
    struct taken taken = {0};
    assert_true(tls_report_json(test.reader, &why, &from, SLICE(""), take, &taken));
    assert_int_equal(taken.count, 2);
    json_t *policy = json_array_get(json_object_get(taken.first, "policies"), 0);
    json_t *summary = json_object_get(policy, "summary"),
           *detail = json_array_get(json_object_get(policy, "failure-details"), 0);
    assert_int_equal(json_integer_value(json_object_get(summary, "total-successful-session-count")), 6);
    assert_int_equal(json_integer_value(json_object_get(summary, "total-failure-session-count")), 4);
    assert_string_equal(json_string_value(json_object_get(detail, "result-type")), "certificate-expired");
    assert_string_equal(json_string_value(json_object_get(detail, "receiving-ip")), "192.0.2.1");
    assert_string_equal(json_string_value(json_object_get(detail, "failure-reason-code")),
                        "it said \"\xef\xbf\xbd\" \\ and more");
    assert_int_equal(json_array_size(json_object_get(json_object_get(policy, "policy"), "policy-string")), 3);
    json_decref(taken.first);
    taken = (struct taken){0};
    assert_true(tls_report_json(test.reader, &why, &from, SLICE("b.example"), take, &taken));
    assert_int_equal(taken.count, 1);
    json_decref(taken.first);
    const struct tls_report_from wrong = {SLICE("Us"), SLICE(""), SLICE("22-11-2026")};
    assert_false(tls_report_json(test.reader, &why, &wrong, SLICE(""), take, &taken));
    assert_int_equal(why.kind, FAULT_INPUT);
    test_store_end(&test);
}

static bool decide(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why,
                 "INSERT INTO tls_rule (kind, name, rule, since_ms) VALUES ('domain', 'a.example', 'required', 1), "
                 "('domain', 'soft.example', 'opportunistic', 1), ('site', 'google', 'verified', 1), ('brand', '7', "
                 "'required', 1), ('domain', 'new.example', 'a word of tomorrow', 1), ('waiver', '6', 'forbidden', 1)",
                 NO_VALUES, NULL) &&
           db_do(db, why, "INSERT INTO relay (brand_id, host, port, changed_ms) VALUES (8, 'smtp.example', 465, 1)",
                 NO_VALUES, NULL) &&
           db_do(db, why,
                 "INSERT INTO relay (brand_id, host, port, user_name, password_sealed, changed_ms) VALUES (9, "
                 "'smtp.example', 587, 'me', $1, 1)",
                 VALUES(V_BYTES(SLICE("not sealed by us"))), NULL);
}

static void what_people_decided(void **state)
{
    TEST_STORE(test, state);
    static const struct {
        const char *thought, *domain, *site;
        uint64_t brand;
        enum tls_rule rule;
        const char *name;
        bool waives_tls;
    } rows[] = {
        {"nobody", "x.example", "", 1, TLS_RULE_OPPORTUNISTIC, "x.example"},
        {"a domain", "a.example", "", 1, TLS_RULE_REQUIRED, "a.example"},
        {"a site", "x.example", "google", 1, TLS_RULE_VERIFIED, "x.example"},
        {"the domain before its site", "soft.example", "google", 1, TLS_RULE_OPPORTUNISTIC, "soft.example"},
        {"a brand", "x.example", "", 7, TLS_RULE_REQUIRED, "brand 7 x.example"},
        {"the brand's is the stricter one", "soft.example", "", 7, TLS_RULE_REQUIRED, "brand 7 soft.example"},
        {"the site's is the stricter one", "x.example", "google", 7, TLS_RULE_VERIFIED, "brand 7 x.example"},
        {"an unknown word is the strictest", "new.example", "", 1, TLS_RULE_VERIFIED, "new.example"},
        {"a smart host", "x.example", "", 8, TLS_RULE_OPPORTUNISTIC, "relay 8"},
        {"TLS-Required: No", "x.example", "", 1, TLS_RULE_OPPORTUNISTIC, "waived x.example", true},
        {"... keeps a domain's rule", "a.example", "", 1, TLS_RULE_REQUIRED, "waived a.example", true},
        {"... and a brand's", "x.example", "", 7, TLS_RULE_REQUIRED, "waived brand 7 x.example", true},
        {"... and its smart host", "x.example", "", 8, TLS_RULE_OPPORTUNISTIC, "relay 8", true},
        {"... of a brand that may not", "x.example", "", 6, TLS_RULE_OPPORTUNISTIC, "x.example", true},
    };
    struct fault why = {0};
    struct directions *none = directions_read(test.reader, NULL, &why);
    test_write(test.store, decide, NULL);
    struct directions *some = directions_read(test.reader, NULL, &why);
    assert_non_null(none);
    assert_non_null(some);
    assert_true(none->digest != some->digest);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) name = BUF(500);
        const struct lane_key key = {
            .brand_id = rows[i].brand, .waives_tls = rows[i].waives_tls, .domain = slice_str(rows[i].domain)};
        assert_int_row(rows[i].thought, directions_rule(some, key.domain, slice_str(rows[i].site), rows[i].brand),
                       rows[i].rule);
        directions_name(some, &key, &name);
        assert_slice(rows[i].thought, buf_slice(&name), slice_str(rows[i].name));
        struct route_name read = route_name_read(buf_slice(&name));
        assert_slice(rows[i].thought, read.domain, rows[i].brand == 8 ? SLICE("") : key.domain);
        assert_int_row(rows[i].thought, read.brand_id, rows[i].brand >= 7 ? rows[i].brand : 0);
        assert_int_row(rows[i].thought, read.is_waived, slice_starts(buf_slice(&name), SLICE("waived ")));
    }
    const struct relay *open = directions_relay(some, 8), *locked = directions_relay(some, 9);
    assert_true(open && open->port == 465 && !open->is_locked);
    assert_true(locked && locked->is_locked && !locked->password.len); /* never without its password, never directly */
    directions_free(none);
    directions_free(some);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(a_day_of_sessions), ON_BOTH(what_people_decided)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
