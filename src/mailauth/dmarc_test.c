/* M40: DMARC by the tree walk of RFC 9989, and beside it by the public suffix list */
#include "base/test.h"
#include "mailauth/dmarc.h"

struct zone {
    const char *name, *text; /* TXT; "@": an A record; NULL: try later */
};
static const struct zone zones[] = {
    {"_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine; np=none; rua=mailto:d@example.com"},
    {"sub.example.com", "@"},
    {"_dmarc.strict.example", "v=DMARC1; p=quarantine; adkim=s; aspf=s"},
    {"_dmarc.testing.example", "v=DMARC1; p=reject; t=y"},
    {"_dmarc.two.example", "v=DMARC1; p=reject"},
    {"_dmarc.two.example", "v=DMARC1; p=none"},
    {"_dmarc.lower.example", "v=dmarc1; p=reject"},
    {"_dmarc.nop.example", "v=DMARC1; rua=mailto:d@nop.example"},
    {"_dmarc.nopnorua.example", "v=DMARC1; sp=reject"},
    {"_dmarc.badp.example", "v=DMARC1; p=rejected; rua=mailto:d@badp.example"},
    {"_dmarc.late.example", NULL},
    {"_dmarc.bank", "v=DMARC1; p=reject; psd=y"},
    {"_dmarc.site.bank", "v=DMARC1; p=none"},
    {"_dmarc.mail.depart.example", "v=DMARC1; p=none; psd=n"},
    {"_dmarc.depart.example", "v=DMARC1; p=reject"},
    {"_dmarc.e.f.g.h.i.j.example", "v=DMARC1; p=reject"},
    {"_dmarc.odd.example", " v = DMARC1 ;p=reject;; x; =; sp=quarantine "},
    {"_dmarc.example.co.jp", "v=DMARC1; p=reject"},
};

static void check(struct arena *arena, const char *from, const char *spf, const char *dkim,
                  struct dmarc_outcome *outcome, size_t *questions)
{
    struct lookup lookup = {.arena = arena};
    struct slice spf_domain = slice_str(spf), dkim_domain = slice_str(dkim);
    const struct dmarc_input input = {slice_str(from), &spf_domain, *spf ? 1 : 0, &dkim_domain, *dkim ? 1 : 0};
    while (!dmarc_check(&lookup, &input, outcome)) {
        for (struct question *question; (question = lookup_next(&lookup));) {
            struct slice records[4];
            size_t count = 0;
            enum answer_state state = ANSWER_NO_NAME;
            for (size_t i = 0; i < COUNT_OF(zones); i++) {
                if (!slice_equal(slice_str(zones[i].name), question->name))
                    continue;
                bool is_address = zones[i].text && zones[i].text[0] == '@';
                state = !zones[i].text ? ANSWER_TRY_LATER : ANSWER_FOUND;
                if (zones[i].text && is_address == (question->type == QUESTION_A) &&
                    (is_address || question->type == QUESTION_TXT))
                    records[count++] = is_address ? SLICE("\x7f\0\0\1") : slice_str(zones[i].text);
            }
            lookup_answer(&lookup, question, state, records, count);
        }
    }
    *questions = lookup.count;
}

static void results_and_policies(void **state)
{
    static const struct {
        const char *row, *from, *spf, *dkim;
        enum dmarc_result want;
        enum dmarc_policy policy;
        const char *record, *org;
    } rows[] = {
        {"DKIM aligned", "example.com", "", "example.com", DMARC_PASS, DMARC_POLICY_REJECT, "example.com",
         "example.com"},
        {"SPF aligned, relaxed", "example.com", "bounce.example.com", "", DMARC_PASS, DMARC_POLICY_REJECT,
         "example.com", "example.com"},
        {"neither", "example.com", "", "", DMARC_FAIL, DMARC_POLICY_REJECT, "example.com", "example.com"},
        {"others' domains", "example.com", "example.org", "notexample.com", DMARC_FAIL, DMARC_POLICY_REJECT,
         "example.com", "example.com"},
        {"a subdomain that exists: sp", "sub.example.com", "", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE, "example.com",
         "example.com"},
        {"a subdomain that does not: np", "none.example.com", "", "", DMARC_FAIL, DMARC_POLICY_NONE, "example.com",
         "example.com"},
        {"capitals", "EXAMPLE.com.", "", "Sub.Example.COM", DMARC_PASS, DMARC_POLICY_REJECT, "example.com",
         "example.com"},
        {"strict, not the same", "strict.example", "b.strict.example", "b.strict.example", DMARC_FAIL,
         DMARC_POLICY_QUARANTINE, "strict.example", "strict.example"},
        {"strict, the same", "strict.example", "", "strict.example", DMARC_PASS, DMARC_POLICY_QUARANTINE,
         "strict.example", "strict.example"},
        {"testing is one step milder", "testing.example", "", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE,
         "testing.example", "testing.example"},
        {"two records are none", "two.example", "", "two.example", DMARC_NONE, DMARC_POLICY_NONE, "", "two.example"},
        {"v= is case-sensitive", "lower.example", "", "", DMARC_NONE, DMARC_POLICY_NONE, "", "lower.example"},
        {"no p, but rua: none", "nop.example", "", "", DMARC_FAIL, DMARC_POLICY_NONE, "nop.example", "nop.example"},
        {"no p, no rua: no record", "nopnorua.example", "", "", DMARC_NONE, DMARC_POLICY_NONE, "", "nopnorua.example"},
        {"bad p with rua", "badp.example", "", "", DMARC_FAIL, DMARC_POLICY_NONE, "badp.example", "badp.example"},
        {"no answer", "late.example", "", "late.example", DMARC_TEMPERROR, DMARC_POLICY_NONE, "", ""},
        {"a record above which is no PSD's", "a.late2.example", "", "", DMARC_NONE, DMARC_POLICY_NONE, "",
         "a.late2.example"},
        {"a PSD's record covers those without", "shop.bank", "", "", DMARC_FAIL, DMARC_POLICY_REJECT, "bank",
         "shop.bank"},
        {"and does not align neighbours", "shop.bank", "", "other.bank", DMARC_FAIL, DMARC_POLICY_REJECT, "bank",
         "shop.bank"},
        {"below a PSD", "mail.site.bank", "", "site.bank", DMARC_PASS, DMARC_POLICY_NONE, "site.bank", "site.bank"},
        {"psd=n cuts a department off", "mail.depart.example", "", "depart.example", DMARC_FAIL, DMARC_POLICY_NONE,
         "mail.depart.example", "mail.depart.example"},
        {"nine labels: seven are asked", "a.b.c.d.e.f.g.h.i.j.example", "", "e.f.g.h.i.j.example", DMARC_PASS,
         DMARC_POLICY_REJECT, "e.f.g.h.i.j.example", "e.f.g.h.i.j.example"},
        {"odd spacing and rubbish tags", "odd.example", "", "", DMARC_FAIL, DMARC_POLICY_REJECT, "odd.example",
         "odd.example"},
        {"no domain", "a..b", "", "", DMARC_PERMERROR, DMARC_POLICY_NONE, "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct dmarc_outcome outcome;
        size_t questions;
        check(&arena, rows[i].from, rows[i].spf, rows[i].dkim, &outcome, &questions);
        if (outcome.result != rows[i].want)
            fail_msg("%s: %.*s (%.*s)", rows[i].row, SLICE_ARG(dmarc_result_word(outcome.result)),
                     SLICE_ARG(outcome.reason));
        assert_int_row(rows[i].row, outcome.policy, rows[i].policy);
        assert_slice(rows[i].row, outcome.record_domain, slice_str(rows[i].record));
        assert_slice(rows[i].row, outcome.org_domain, slice_str(rows[i].org));
        assert_row(rows[i].row, outcome.reason.len && questions <= 8 + 8 + 3 + 1);
    }
}

static void the_older_way_is_told(void **state)
{
    SCOPED(arena) arena = {0};
    struct dmarc_outcome outcome;
    size_t questions;
    check(&arena, "mail.example.co.jp", "", "example.co.jp", &outcome, &questions);
    assert_int_equal(outcome.result, DMARC_PASS);
    assert_int_equal(outcome.classic_result, DMARC_PASS);
    assert_slice("co.jp is a public suffix", outcome.classic_org_domain, SLICE("example.co.jp"));
    check(&arena, "mail.depart.example", "", "depart.example", &outcome, &questions);
    assert_int_equal(outcome.result, DMARC_FAIL); /* psd=n */
    assert_int_equal(outcome.classic_result, DMARC_PASS);
    assert_slice("a suffix itself has none", org_domain_classic(SLICE("co.jp"), &arena), SLICE(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_and_policies),
        cmocka_unit_test(the_older_way_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
