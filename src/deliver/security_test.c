/* R30, R31, R33, M43, M44: which policy decides, and what it demands */
#include "base/test.h"
#include "deliver/security.h"

static struct slice allowed[] = {SLICE_INIT("mx.a.example"), SLICE_INIT("*.b.example")};

static void decisions(void **state)
{
    enum { NO_STS = -1 };
    static const struct {
        const char *thought;
        enum route_dane dane;
        int sts;
        const char *mx;
        enum tls_rule rule;
        enum tls_level level;
        enum tls_policy policy;
        bool was_seen;
    } rows[] = {
        {"nobody says anything", ROUTE_DANE_NONE, NO_STS, "mx.a.example", TLS_RULE_OPPORTUNISTIC, TLS_LEVEL_MAY,
         TLS_POLICY_NOT_FOUND},
        {"a rule", ROUTE_DANE_NONE, NO_STS, "mx.a.example", TLS_RULE_REQUIRED, TLS_LEVEL_ENCRYPT, TLS_POLICY_NOT_FOUND},
        {"R32: a rule for who had TLS", ROUTE_DANE_NONE, NO_STS, "mx.a.example", TLS_RULE_SEEN, TLS_LEVEL_MAY,
         TLS_POLICY_NOT_FOUND},
        {"R32: ... and it had", ROUTE_DANE_NONE, NO_STS, "mx.a.example", TLS_RULE_SEEN, TLS_LEVEL_ENCRYPT,
         TLS_POLICY_NOT_FOUND, true},
        {"R32: it had, and nobody wants to know", ROUTE_DANE_NONE, NO_STS, "mx.a.example", TLS_RULE_OPPORTUNISTIC,
         TLS_LEVEL_MAY, TLS_POLICY_NOT_FOUND, true},
        {"R32: it had, and STS wants more", ROUTE_DANE_NONE, STS_ENFORCE, "mx.a.example", TLS_RULE_SEEN, TLS_LEVEL_NAME,
         TLS_POLICY_STS, true},
        {"R32: it had, and STS is testing", ROUTE_DANE_NONE, STS_TESTING, "mx.a.example", TLS_RULE_SEEN,
         TLS_LEVEL_ENCRYPT, TLS_POLICY_STS, true},
        {"R32: it had, and DANE wants more", ROUTE_DANE_USABLE, NO_STS, "mx.a.example", TLS_RULE_SEEN, TLS_LEVEL_DANE,
         TLS_POLICY_TLSA, true},
        {"a strict rule", ROUTE_DANE_NONE, NO_STS, "mx.a.example", TLS_RULE_VERIFIED, TLS_LEVEL_NAME,
         TLS_POLICY_NOT_FOUND},
        {"DANE", ROUTE_DANE_USABLE, NO_STS, "mx.a.example", TLS_RULE_OPPORTUNISTIC, TLS_LEVEL_DANE, TLS_POLICY_TLSA},
        {"DANE before STS", ROUTE_DANE_USABLE, STS_ENFORCE, "mx.c.example", TLS_RULE_VERIFIED, TLS_LEVEL_DANE,
         TLS_POLICY_TLSA},
        {"DANE that nobody can use", ROUTE_DANE_ENCRYPT, NO_STS, "mx.a.example", TLS_RULE_OPPORTUNISTIC,
         TLS_LEVEL_ENCRYPT, TLS_POLICY_TLSA},
        {"... and STS", ROUTE_DANE_ENCRYPT, STS_ENFORCE, "mx.a.example", TLS_RULE_OPPORTUNISTIC, TLS_LEVEL_NAME,
         TLS_POLICY_STS},
        {"... and STS in testing", ROUTE_DANE_ENCRYPT, STS_TESTING, "mx.a.example", TLS_RULE_OPPORTUNISTIC,
         TLS_LEVEL_ENCRYPT, TLS_POLICY_STS},
        {"a TLSA lookup that failed", ROUTE_DANE_BROKEN, NO_STS, "mx.a.example", TLS_RULE_OPPORTUNISTIC,
         TLS_LEVEL_REFUSED, TLS_POLICY_TLSA},
        {"... is not saved by STS", ROUTE_DANE_BROKEN, STS_ENFORCE, "mx.a.example", TLS_RULE_OPPORTUNISTIC,
         TLS_LEVEL_REFUSED, TLS_POLICY_TLSA},
        {"STS", ROUTE_DANE_NONE, STS_ENFORCE, "mx.a.example", TLS_RULE_OPPORTUNISTIC, TLS_LEVEL_NAME, TLS_POLICY_STS},
        {"STS by its wildcard", ROUTE_DANE_NONE, STS_ENFORCE, "mx.b.example", TLS_RULE_OPPORTUNISTIC, TLS_LEVEL_NAME,
         TLS_POLICY_STS},
        {"the wildcard is one label", ROUTE_DANE_NONE, STS_ENFORCE, "mx.x.b.example", TLS_RULE_OPPORTUNISTIC,
         TLS_LEVEL_REFUSED, TLS_POLICY_STS},
        {"an MX that the policy does not name", ROUTE_DANE_NONE, STS_ENFORCE, "mx.c.example", TLS_RULE_OPPORTUNISTIC,
         TLS_LEVEL_REFUSED, TLS_POLICY_STS},
        {"testing refuses nothing", ROUTE_DANE_NONE, STS_TESTING, "mx.c.example", TLS_RULE_OPPORTUNISTIC, TLS_LEVEL_MAY,
         TLS_POLICY_STS},
        {"testing does not weaken a rule", ROUTE_DANE_NONE, STS_TESTING, "mx.a.example", TLS_RULE_VERIFIED,
         TLS_LEVEL_NAME, TLS_POLICY_STS},
        {"mode none is nothing", ROUTE_DANE_NONE, STS_NONE, "mx.c.example", TLS_RULE_OPPORTUNISTIC, TLS_LEVEL_MAY,
         TLS_POLICY_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct security_policy policy = {.has_sts = rows[i].sts != NO_STS,
                                         .sts = {.mx = allowed, .mx_count = COUNT_OF(allowed)},
                                         .rule = rows[i].rule};
        if (policy.has_sts)
            policy.sts.mode = (enum sts_mode)rows[i].sts;
        struct route_host host = {.name = slice_str(rows[i].mx), .dane = rows[i].dane};
        struct security got = security_of(&policy, &host, rows[i].was_seen);
        assert_int_row(rows[i].thought, got.level, rows[i].level);
        assert_int_row(rows[i].thought, got.policy, rows[i].policy);
        assert_row(rows[i].thought, got.why && (got.level == TLS_LEVEL_MAY || got.why[0]));
        assert_int_row(rows[i].thought, got.is_tested, rows[i].sts == STS_TESTING);
    }
}

/* RFC 8689 4.2.2: what the receiver's domain demands is left out; what the operator demands is not */
static void waived(void **state)
{
    static const struct {
        const char *thought;
        enum route_dane dane;
        const char *mx;
        enum tls_rule rule;
        bool is_relayed;
        enum tls_level level;
    } rows[] = {
        {"DANE", ROUTE_DANE_USABLE, "mx.a.example", TLS_RULE_OPPORTUNISTIC, false, TLS_LEVEL_MAY},
        {"DANE that nobody can use", ROUTE_DANE_ENCRYPT, "mx.a.example", TLS_RULE_OPPORTUNISTIC, false, TLS_LEVEL_MAY},
        {"a TLSA lookup that failed", ROUTE_DANE_BROKEN, "mx.a.example", TLS_RULE_OPPORTUNISTIC, false, TLS_LEVEL_MAY},
        {"STS", ROUTE_DANE_NONE, "mx.a.example", TLS_RULE_OPPORTUNISTIC, false, TLS_LEVEL_MAY},
        {"an MX that STS does not name", ROUTE_DANE_NONE, "mx.c.example", TLS_RULE_OPPORTUNISTIC, false, TLS_LEVEL_MAY},
        {"a rule stands", ROUTE_DANE_USABLE, "mx.c.example", TLS_RULE_REQUIRED, false, TLS_LEVEL_ENCRYPT},
        {"a strict rule stands", ROUTE_DANE_BROKEN, "mx.c.example", TLS_RULE_VERIFIED, false, TLS_LEVEL_NAME},
        {"a smart host is met as ever", ROUTE_DANE_NONE, "mx.a.example", TLS_RULE_OPPORTUNISTIC, true, TLS_LEVEL_NAME},
    };
    static const struct relay relay = {.brand_id = 1};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct security_policy policy = {
            .has_sts = true,
            .sts = {.mode = STS_ENFORCE, .mx = allowed, .mx_count = COUNT_OF(allowed)},
            .rule = rows[i].rule,
            .is_waived = true,
            .relay = rows[i].is_relayed ? &relay : NULL,
        };
        const struct route_host host = {.name = slice_str(rows[i].mx), .dane = rows[i].dane};
        struct security got = security_of(&policy, &host, false);
        assert_int_row(rows[i].thought, got.level, rows[i].level);
        assert_row(rows[i].thought, (got.why[0] != '\0') == (got.level != TLS_LEVEL_MAY));
    }
}

static void counted_as(void **state)
{
    static const struct tls_info good = {.is_verified = true}, expired = {.fault = TLS_FAULT_EXPIRED},
                                 other = {.fault = TLS_FAULT_NAME};
    static const struct {
        const char *thought;
        struct security security;
        const struct tls_info *info;
        enum tls_result result;
    } rows[] = {
        {"good", {.level = TLS_LEVEL_MAY}, &good, TLS_RESULT_SUCCESS},
        {"in clear", {.level = TLS_LEVEL_MAY}, NULL, TLS_RESULT_STARTTLS_NOT_SUPPORTED},
        {"any certificate is good enough", {.level = TLS_LEVEL_MAY}, &expired, TLS_RESULT_SUCCESS},
        {"testing: it would have failed", {.level = TLS_LEVEL_MAY, .is_tested = true}, &expired, TLS_RESULT_EXPIRED},
        {"testing: another name", {.level = TLS_LEVEL_MAY, .is_tested = true}, &other, TLS_RESULT_HOST_MISMATCH},
        {"testing: another MX",
         {.level = TLS_LEVEL_MAY, .is_tested = true, .result = TLS_RESULT_VALIDATION_FAILURE},
         &good,
         TLS_RESULT_VALIDATION_FAILURE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_row(rows[i].thought, security_result(&rows[i].security, rows[i].info), rows[i].result);
    assert_slice("word", tls_result_word(TLS_RESULT_STS_WEBPKI_INVALID), SLICE("sts-webpki-invalid"));
}

static void words(void **state)
{
    enum tls_rule rule;
    assert_true(tls_rule_of(SLICE("verified"), &rule) && rule == TLS_RULE_VERIFIED);
    assert_false(tls_rule_of(SLICE("Verified"), &rule));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decisions), cmocka_unit_test(waived),
                                       cmocka_unit_test(counted_as), cmocka_unit_test(words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
