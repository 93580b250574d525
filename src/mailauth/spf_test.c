/* M35: check_host() of RFC 7208: its appendix A, its limits, its macros (7.4), and records with mistakes */
#include "base/buf.h"
#include "base/test.h"
#include "mailauth/spf.h"

struct zone {
    enum question_type type;
    const char *name, *data; /* addresses and hosts: separated by spaces; NULL: try later. A TXT is one record */
};

/* RFC 7208 appendix A, and records of our own */
static const struct zone zones[] = {
    {QUESTION_TXT, "all.example.com", "v=spf1 +all"},
    {QUESTION_TXT, "a.example.com", "v=spf1 a -all"},
    {QUESTION_A, "a.example.com", "192.0.2.10 192.0.2.11"},
    {QUESTION_TXT, "aorg.example.com", "v=spf1 a:example.org -all"},
    {QUESTION_A, "example.org", "192.0.2.140"},
    {QUESTION_TXT, "mx.example.com", "v=spf1 mx -all"},
    {QUESTION_MX, "mx.example.com", "mail-a.example.com mail-b.example.com"},
    {QUESTION_A, "mail-a.example.com", "192.0.2.129"},
    {QUESTION_A, "mail-b.example.com", "192.0.2.130"},
    {QUESTION_AAAA, "mail-b.example.com", "2001:db8::130"},
    {QUESTION_TXT, "mxorg.example.com", "v=spf1 mx:example.org -all"},
    {QUESTION_MX, "example.org", "mail-c.example.org"},
    {QUESTION_A, "mail-c.example.org", "192.0.2.140"},
    {QUESTION_TXT, "mx30.example.com", "v=spf1 mx:mx.example.com/30 mx:example.org/30 -all"},
    {QUESTION_TXT, "ptr.example.com", "v=spf1 ptr:example.com -all"},
    {QUESTION_PTR, "129.2.0.192.in-addr.arpa", "mail-a.example.com"},
    {QUESTION_PTR, "65.2.0.192.in-addr.arpa", "amy.example.com"},
    {QUESTION_A, "amy.example.com", "192.0.2.65"},
    {QUESTION_PTR, "140.2.0.192.in-addr.arpa", "mail-c.example.org"},
    {QUESTION_PTR, "4.0.0.10.in-addr.arpa", "bob.example.com"},
    {QUESTION_A, "bob.example.com", "192.0.2.66"},
    {QUESTION_TXT, "ip4.example.com", "v=spf1 ip4:192.0.2.128/28 -all"},
    {QUESTION_TXT, "ip6.example.com", "v=spf1 ip6:2001:db8::/32 -all"},
    {QUESTION_TXT, "include.example.com", "v=spf1 include:ip4.example.com ~all"},
    {QUESTION_TXT, "includebad.example.com", "v=spf1 include:nothing.example.com -all"},
    {QUESTION_TXT, "redirect.example.com", "v=spf1 redirect=ip4.example.com"},
    {QUESTION_TXT, "redirectbad.example.com", "v=spf1 redirect=nothing.example.com"},
    {QUESTION_TXT, "redirectall.example.com", "v=spf1 redirect=nothing.example.com ?all"},
    {QUESTION_TXT, "neutral.example.com", "v=spf1"},
    {QUESTION_TXT, "two.example.com", "v=spf1 -all"},
    {QUESTION_TXT, "two.example.com", "v=spf1 +all"},
    {QUESTION_TXT, "other.example.com", "some text"},
    {QUESTION_TXT, "other.example.com", "v=spf10 -all"},
    {QUESTION_TXT, "later.example.com", NULL},
    {QUESTION_TXT, "alater.example.com", "v=spf1 a:lost.example.com -all"},
    {QUESTION_A, "lost.example.com", NULL},
    {QUESTION_TXT, "upper.example.com", "V=SPF1 IP4:192.0.2.129 -ALL"},
    {QUESTION_TXT, "exp.example.com", "v=spf1 -all exp=explain.%{d}"},
    {QUESTION_TXT, "explain.exp.example.com", "%{i} is not one of %{d}'s: see http://%{d}/why?s=%{S}&r=%{r}"},
    {QUESTION_TXT, "loop.example.com", "v=spf1 include:loop.example.com"},
    {QUESTION_TXT, "voids.example.com", "v=spf1 a:v1.example.com a:v2.example.com a:v3.example.com +all"},
    {QUESTION_TXT, "voids2.example.com", "v=spf1 a:v1.example.com a:v2.example.com +all"},
    {QUESTION_TXT, "ten.example.com",
     "v=spf1 a:example.org a:example.org a:example.org a:example.org a:example.org a:example.org"
     " a:example.org a:example.org a:example.org a:example.org +all"},
    {QUESTION_TXT, "eleven.example.com",
     "v=spf1 a:example.org a:example.org a:example.org a:example.org a:example.org a:example.org"
     " a:example.org a:example.org a:example.org a:example.org a:example.org +all"},
    {QUESTION_TXT, "mx11.example.com", "v=spf1 mx -all"},
    {QUESTION_MX, "mx11.example.com", "a.x b.x c.x d.x e.x f.x g.x h.x i.x j.x k.x"},
    {QUESTION_TXT, "exists.example.com", "v=spf1 exists:%{ir}.%{l1r-}.%{d2}.list.example.com -all"},
    {QUESTION_A, "129.2.0.192.strong.example.com.list.example.com", "127.0.0.2"},
    {QUESTION_TXT, "p.example.com", "v=spf1 exists:%{p}.ok.example.com -all"},
    {QUESTION_A, "mail-a.example.com.ok.example.com", "127.0.0.2"},
};

static struct slice addresses(struct arena *arena, enum question_type type, struct slice text)
{
    struct slice ip = text;
    if (type == QUESTION_A || type == QUESTION_AAAA)
        assert_true(spf_ip_parse(text, arena, &ip));
    return ip;
}

static void answer(struct lookup *lookup, struct question *question, const struct zone *extra)
{
    struct slice records[32];
    size_t count = 0;
    enum answer_state state = ANSWER_NO_NAME;
    for (size_t i = 0; i <= COUNT_OF(zones); i++) {
        const struct zone *zone = i < COUNT_OF(zones) ? &zones[i] : extra;
        if (!zone || !slice_equal(question->name, slice_str(zone->name)))
            continue;
        if (state == ANSWER_NO_NAME)
            state = ANSWER_NO_RECORD;
        if (zone->type != question->type)
            continue;
        state = zone->data ? ANSWER_FOUND : ANSWER_TRY_LATER;
        struct slice rest = slice_str(zone->data), piece;
        if (question->type == QUESTION_TXT)
            records[count++] = rest;
        else
            while (slice_split(&rest, ' ', &piece))
                records[count++] = addresses(lookup->arena, question->type, piece);
    }
    lookup_answer(lookup, question, state, records, count);
}

static void check(struct arena *arena, const char *ip, const char *from, const char *helo, const struct zone *extra,
                  struct spf_outcome *outcome)
{
    struct lookup lookup = {.arena = arena};
    struct spf_input input = {.mail_from = slice_str(from), .helo = slice_str(helo), .now_seconds = 1};
    assert_true(spf_ip_parse(slice_str(ip), arena, &input.ip));
    for (int round = 0; !spf_check(&lookup, &input, outcome); round++) {
        assert_true(round < 100);
        for (struct question *question; (question = lookup_next(&lookup));)
            answer(&lookup, question, extra);
    }
    assert_true(lookup.count < 150);
}

static void records_say(void **state)
{
    static const struct {
        const char *ip, *from;
        enum spf_result want;
    } rows[] = {
        {"192.0.2.99", "x@all.example.com", SPF_PASS},
        {"192.0.2.10", "x@a.example.com", SPF_PASS},
        {"192.0.2.12", "x@a.example.com", SPF_FAIL},
        {"192.0.2.140", "x@aorg.example.com", SPF_PASS},
        {"192.0.2.10", "x@aorg.example.com", SPF_FAIL},
        {"192.0.2.129", "x@mx.example.com", SPF_PASS},
        {"2001:db8::130", "x@mx.example.com", SPF_PASS},
        {"192.0.2.10", "x@mx.example.com", SPF_FAIL},
        {"192.0.2.140", "x@mxorg.example.com", SPF_PASS},
        {"192.0.2.131", "x@mx30.example.com", SPF_PASS},
        {"192.0.2.143", "x@mx30.example.com", SPF_PASS},
        {"192.0.2.132", "x@mx30.example.com", SPF_FAIL},
        {"192.0.2.65", "x@ptr.example.com", SPF_PASS},
        {"192.0.2.140", "x@ptr.example.com", SPF_FAIL},
        {"10.0.0.4", "x@ptr.example.com", SPF_FAIL},
        {"192.0.2.65", "x@ip4.example.com", SPF_FAIL},
        {"192.0.2.129", "x@ip4.example.com", SPF_PASS},
        {"::ffff:192.0.2.129", "x@ip4.example.com", SPF_PASS},
        {"2001:db8:1::1", "x@ip6.example.com", SPF_PASS},
        {"192.0.2.129", "x@ip6.example.com", SPF_FAIL},
        {"192.0.2.129", "x@include.example.com", SPF_PASS},
        {"192.0.2.1", "x@include.example.com", SPF_SOFTFAIL},
        {"192.0.2.1", "x@includebad.example.com", SPF_PERMERROR},
        {"192.0.2.129", "x@redirect.example.com", SPF_PASS},
        {"192.0.2.1", "x@redirect.example.com", SPF_FAIL},
        {"192.0.2.1", "x@redirectbad.example.com", SPF_PERMERROR},
        {"192.0.2.1", "x@redirectall.example.com", SPF_NEUTRAL},
        {"192.0.2.1", "x@neutral.example.com", SPF_NEUTRAL},
        {"192.0.2.1", "x@two.example.com", SPF_PERMERROR},
        {"192.0.2.1", "x@other.example.com", SPF_NONE},
        {"192.0.2.1", "x@nowhere.example.com", SPF_NONE},
        {"192.0.2.1", "x@localhost", SPF_NONE},
        {"192.0.2.1", "x@a..example.com", SPF_NONE},
        {"192.0.2.1", "x@later.example.com", SPF_TEMPERROR},
        {"192.0.2.1", "x@alater.example.com", SPF_TEMPERROR},
        {"192.0.2.129", "x@upper.example.com", SPF_PASS},
        {"192.0.2.1", "x@loop.example.com", SPF_PERMERROR},
        {"192.0.2.1", "x@voids.example.com", SPF_PERMERROR},
        {"192.0.2.1", "x@voids2.example.com", SPF_PASS},
        {"192.0.2.1", "x@ten.example.com", SPF_PASS},
        {"192.0.2.1", "x@eleven.example.com", SPF_PERMERROR},
        {"192.0.2.1", "x@mx11.example.com", SPF_PERMERROR},
        {"192.0.2.129", "strong-bad@exists.example.com", SPF_PASS},
        {"192.0.2.129", "weak-good@exists.example.com", SPF_FAIL},
        {"192.0.2.129", "x@p.example.com", SPF_PASS},
        {"192.0.2.1", "x@p.example.com", SPF_FAIL},
        {"192.0.2.10", "", SPF_PASS}, /* the null sender: HELO a.example.com */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct spf_outcome outcome;
        check(&arena, rows[i].ip, rows[i].from, "a.example.com", NULL, &outcome);
        if (outcome.result != rows[i].want)
            fail_msg("%s from %s: %.*s (%.*s)", rows[i].from, rows[i].ip, SLICE_ARG(spf_result_word(outcome.result)),
                     SLICE_ARG(outcome.reason));
        assert_row(rows[i].from, outcome.reason.len > 0);
    }
}

/* Each record is asked of m.example.com from 192.0.2.3 */
static void records_with_mistakes(void **state)
{
    static const struct {
        const char *record;
        enum spf_result want;
    } rows[] = {
        {"v=spf1 +all", SPF_PASS},
        {"v=spf1  +all ", SPF_PASS},
        {"v=spf1 moo.cow-far_out=man:dog/cat ip4:192.0.2.0/24 -all", SPF_PASS},
        {"v=spf1 ip4:192.0.2.3 bogus -all", SPF_PERMERROR},
        {"v=spf1 -all ip4:1.2.3", SPF_PERMERROR},
        {"v=spf1 ip4:192.0.2.3/33", SPF_PERMERROR},
        {"v=spf1 ip4:192.0.2.3/032", SPF_PERMERROR},
        {"v=spf1 ip4:192.0.2.3/", SPF_PERMERROR},
        {"v=spf1 ip4:192.0.2.3//32", SPF_PERMERROR},
        {"v=spf1 ip4", SPF_PERMERROR},
        {"v=spf1 ip6:::1/129", SPF_PERMERROR},
        {"v=spf1 ip4:0.0.0.0/0", SPF_PASS},
        {"v=spf1 all:x", SPF_PERMERROR},
        {"v=spf1 all.", SPF_PERMERROR},
        {"v=spf1 include", SPF_PERMERROR},
        {"v=spf1 include:", SPF_PERMERROR},
        {"v=spf1 a:", SPF_PERMERROR},
        {"v=spf1 a:museum", SPF_PERMERROR},
        {"v=spf1 a:example.com:8080", SPF_PERMERROR},
        {"v=spf1 a:111.222.33.44", SPF_PERMERROR},
        {"v=spf1 a:example.-com", SPF_PERMERROR},
        {"v=spf1 a:x.example.com/24//129", SPF_PERMERROR},
        {"v=spf1 a:example.org//128/32 +all", SPF_PERMERROR},
        {"v=spf1 a:example.org/32//128 +all", SPF_PASS},
        {"v=spf1 a//0 -all", SPF_FAIL},
        {"v=spf1 exists:%{x}.example.com", SPF_PERMERROR},
        {"v=spf1 exists:%{d0}.example.com", SPF_PERMERROR},
        {"v=spf1 exists:%{d", SPF_PERMERROR},
        {"v=spf1 exists:%abc.example.com", SPF_PERMERROR},
        {"v=spf1 exists:%{c}.example.com", SPF_PERMERROR},
        {"v=spf1 exists:%{d}", SPF_FAIL},
        {"v=spf1 redirect=ip4.example.com redirect=ip4.example.com", SPF_PERMERROR},
        {"v=spf1 exp=a.example.com exp=a.example.com +all", SPF_PERMERROR},
        {"v=spf1 redirect=", SPF_PERMERROR},
        {"v=spf1 exp=", SPF_PERMERROR},
        {"v=spf1 =x", SPF_PERMERROR},
        {"v=spf1 a=b=c +all", SPF_PASS},
        {"v=spf1 x=%(oops)", SPF_PERMERROR},
        {"v=spf1 \x80", SPF_PERMERROR},
        {"v=spf1 ++all", SPF_PERMERROR},
        {"v=spf1 -", SPF_PERMERROR},
        {"v=spf1 ?all", SPF_NEUTRAL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct spf_outcome outcome;
        const struct zone zone = {QUESTION_TXT, "m.example.com", rows[i].record};
        check(&arena, "192.0.2.3", "x@m.example.com", "", &zone, &outcome);
        enum spf_result want = rows[i].want == SPF_FAIL ? SPF_NEUTRAL : rows[i].want;
        if (slice_ends(slice_str(rows[i].record), SLICE("-all")) && rows[i].want == SPF_FAIL)
            want = SPF_FAIL;
        if (outcome.result != want)
            fail_msg("%s: %.*s (%.*s)", rows[i].record, SLICE_ARG(spf_result_word(outcome.result)),
                     SLICE_ARG(outcome.reason));
    }
}

/* RFC 7208 7.4: the names that these specs ask for */
static void macros_expand(void **state)
{
    static const struct {
        const char *ip, *spec, *want;
    } rows[] = {
        {"192.0.2.3", "%{s}.x.y", "strong-bad@email.example.com.x.y"},
        {"192.0.2.3", "%{o}", "email.example.com"},
        {"192.0.2.3", "%{d4}", "email.example.com"},
        {"192.0.2.3", "%{d2}", "example.com"},
        {"192.0.2.3", "%{d1}.x.y", "com.x.y"},
        {"192.0.2.3", "%{dr}", "com.example.email"},
        {"192.0.2.3", "%{d2r}", "example.email"},
        {"192.0.2.3", "%{l}.x.y", "strong-bad.x.y"},
        {"192.0.2.3", "%{l-}.x.y", "strong.bad.x.y"},
        {"192.0.2.3", "%{lr}.x.y", "strong-bad.x.y"},
        {"192.0.2.3", "%{lr-}.x.y", "bad.strong.x.y"},
        {"192.0.2.3", "%{l1r-}.x.y", "strong.x.y"},
        {"192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
        {"192.0.2.3", "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
        {"2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}",
         "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"},
        {"192.0.2.3", "%{L}%-.x.y", "strong-bad%20.x.y"},
        {"192.0.2.3", "%{S}%%.x.y", "strong-bad%40email.example.com%.x.y"},
        {"192.0.2.3", "%{p}.x.y", "unknown.x.y"},
        {"192.0.2.3", "%{h}", "mail.example.net"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        SCOPED(buf) record = BUF(512);
        buf_printf(&record, "v=spf1 exists:%s -all", rows[i].spec);
        const struct zone zone = {QUESTION_TXT, "email.example.com", buf_cstr(&record)};
        struct lookup lookup = {.arena = &arena};
        struct spf_input input = {.mail_from = SLICE("strong-bad@email.example.com"),
                                  .helo = SLICE("mail.example.net")};
        struct spf_outcome outcome;
        assert_true(spf_ip_parse(slice_str(rows[i].ip), &arena, &input.ip));
        bool is_asked = false;
        while (!spf_check(&lookup, &input, &outcome)) {
            for (struct question *question; (question = lookup_next(&lookup));) {
                struct slice want = slice_str(rows[i].want);
                char lower[256];
                for (size_t at = 0; at < want.len; at++)
                    lower[at] = ascii_lower(want.ptr[at]);
                is_asked |= question->type == QUESTION_A && slice_equal(question->name, slice_of(lower, want.len));
                answer(&lookup, question, &zone);
            }
        }
        if (!is_asked)
            fail_msg("%s: asked %.*s", rows[i].spec, SLICE_ARG(lookup.first->name));
    }
}

static void a_failure_is_explained(void **state)
{
    SCOPED(arena) arena = {0};
    struct spf_outcome outcome;
    check(&arena, "192.0.2.1", "a b@exp.example.com", "", NULL, &outcome);
    assert_int_equal(outcome.result, SPF_FAIL);
    assert_slice("exp", outcome.explanation,
                 SLICE("192.0.2.1 is not one of exp.example.com's: see "
                       "http://exp.example.com/why?s=a%20b%40exp.example.com&r=unknown"));
    assert_slice("term", outcome.mechanism, SLICE("-all"));
    assert_slice("reason", outcome.reason, SLICE("the address matches \"-all\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_say),
        cmocka_unit_test(records_with_mistakes),
        cmocka_unit_test(macros_expand),
        cmocka_unit_test(a_failure_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
