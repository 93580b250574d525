/* S17, S21, S24, S30, S33, S37, S40, S44, S46, S49: what a refusal means; every rule of data/bounce meets its own
 * examples */
#include "base/buf.h"
#include "base/test.h"
#include "bounce/check.h"
#include "bounce/said.h"
#include "bounce/words.h"

static void tell(void *context, struct slice sentence)
{
    print_message("%.*s\n", SLICE_ARG(sentence));
}

static struct rules *rules_of_binary(void)
{
    struct rules *rules;
    struct fault why;
    if (!rules_open(&rules, &why))
        fail_msg("%s", why.text);
    return rules;
}

static void examples_meet_their_rules(void **state)
{
    struct rules *rules = rules_of_binary();
    struct rules_check check = rules_check(rules, tell, NULL);
    assert_int_equal(check.failures, 0);
    assert_true(check.rules > 50 && check.lines > check.rules);
    rules_free(rules);
}

/* The error texts quoted in the request, and the words that lie (RECEIVERS.md): what they mean. Several
 * reasons may be honest for a vague text: then they are all given. */
static void quoted_texts_mean(void **state)
{
    static const struct {
        const char *line, *said, *receiver, *reasons;
        bool is_permanent;
    } rows[] = {
        {"S17", "550 5.1.1 User unknown", "", "user_unknown", true},
        {"S21", "550 Host not found", "", "host_unknown", true},
        {"S21", "Host unknown", "", "host_unknown", true},
        {"S24", "552 5.3.4 Message size exceeds fixed limit", "", "message_too_big", false},
        {"S24", "552 5.3.4 Message too big", "", "message_too_big", false},
        {"S24", "Message size exceeds maximum allowed size", "", "message_too_big", false},
        {"S24", "Message exceeds maximum fixed size", "", "message_too_big", false},
        {"S24", "552 Message is too large", "", "message_too_big", false},
        {"S30", "552 5.2.2 Mailbox full", "", "mailbox_full", false},
        {"S30", "552 5.2.2 over quota", "", "mailbox_full", false},
        {"S30", "Message size exceeds remaining quota", "", "mailbox_full", false},
        {"S33", "550 5.7.1 Message rejected", "", "spam policy_violation", false},
        {"S33", "550 5.7.1 Message rejected as spam", "", "spam", false},
        {"S37", "421 4.7.0 Temporary server failure", "", "system_error rate_limited", false},
        {"S40", "Message could not be delivered to one or more recipients", "", "network_error", false},
        {"S40", "Delivery temporarily suspended: connect to mx.example.jp[192.0.2.1]:25: Connection timed out", "",
         "network_error expired", false},
        {"S44", "554 5.7.1 Message infected with the virus Eicar", "", "virus", false},
        {"S46", "500 Line Too Long", "", "line_too_long", false},
        {"S49", "550 5.7.26 This mail is unauthenticated, SPF and DKIM did not pass", "", "auth_failure", false},
        {"lies", "552 1 Requested mail action aborted, mailbox not found", "yahoo.com", "user_unknown", true},
        {"lies", "552 Too much mail data", "docomo.ne.jp", "mailbox_full", false},
        {"lies", "500 Line Too Long", "docomo.ne.jp", "line_too_long", false},
        {"lies", "550 5.4.1 Recipient address rejected: Access denied", "outlook.com", "user_unknown", true},
        {"lies", "550 <a@au.com>: User unknown", "au.com", "user_unknown", true},
        {"lies", "550 : User unknown", "au.com", "filtered", false},
        {"lies", "554 <a!b@ezweb.ne.jp>: Relay access denied", "ezweb.ne.jp", "user_unknown", true},
        {"lies", "553 example.jp does not exist", "softbank.ne.jp", "sender_domain_unresolvable", false},
        {"the domain that is said not to exist is ours", "553 example.jp does not exist", "",
         "sender_domain_unresolvable", false},
        {"a mark in the text proves the provider", "550 5.1.0 <x> sender rejected. AUP#In-1310", "", "rejected", false},
        {"words that say nothing", "An error occurred", "", "on_hold", false},
        {"words that say nothing give way to the status", "550 5.2.2 Unknown error", "", "mailbox_full", false},
        {"lies", "550 Domain frequency limited", "qq.com", "rate_limited", false},
        {"lies", "550 5.5.0 Service refuse. Veuillez essayer plus tard.", "laposte.net", "blocked", false},
        {"lies", "421 4.7.26 This mail has been rate limited because it is unauthenticated", "gmail.com",
         "auth_failure", false},
        {"lies", "554 5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org; Error: open resolver", "",
         "dnsbl_misconfigured", false},
        {"lies", "550 5.7.1 This message violates example.com email policy - gcdp - gsmtp", "example.com",
         "policy_violation", false},
        {"a 4xx condemns nobody", "450 4.1.1 User unknown", "", "system_error on_hold greylisted", false},
        {"5.7.1 condemns nobody", "550 5.7.1 something unheard of", "", "security_error policy_violation undefined",
         false},
        {"nothing", "", "", "undefined", false},
    };
    struct rules *rules = rules_of_binary();
    struct rules_scratch *scratch = rules_scratch_new(rules);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct said said;
        said_parse(slice_str(rows[i].said), &arena, &said);
        struct refusal refusal = {.code = said.code, .text = said.text, .receiver = slice_str(rows[i].receiver)};
        memcpy(refusal.status, said.status, sizeof(refusal.status));
        struct verdict verdict;
        rules_judge(rules, scratch, &refusal, &verdict);
        struct slice want = slice_str(rows[i].reasons), one;
        bool is_one_of = false;
        while (slice_split(&want, ' ', &one))
            is_one_of = is_one_of || slice_equal(one, reason_word(verdict.reason));
        if (!is_one_of)
            fail_msg("%s \"%s\": got %.*s by %.*s, want %s", rows[i].line, rows[i].said,
                     SLICE_ARG(reason_word(verdict.reason)), SLICE_ARG(verdict.rule), rows[i].reasons);
        assert_int_row(rows[i].said, verdict.is_permanent, rows[i].is_permanent);
        for (int lang = 0; lang < LANG_COUNT; lang++) { /* each has its cause and remedy */
            struct explanation words = words_for(rules, &verdict, (enum lang)lang);
            assert_row(rows[i].said, words.cause.len && words.remedy.len);
        }
        arena_release(&arena);
    }
    rules_scratch_free(scratch);
    rules_free(rules);
}

/* S48: before RCPT no recipient has been named, whatever the words. */
static void nobody_is_blamed_before_rcpt(void **state)
{
    static const enum stage early[] = {STAGE_CONNECT, STAGE_EHLO, STAGE_STARTTLS, STAGE_AUTH, STAGE_MAIL};
    static const char *const texts[] = {"User unknown", "ein Benutzer existiert nicht", "Mailbox disabled", "zork"};
    struct rules *rules;
    struct fault why;
    assert_true(rules_open(&rules, &why));
    struct rules_scratch *scratch = rules_scratch_new(rules);
    for (size_t i = 0; i < COUNT_OF(early); i++) {
        for (size_t k = 0; k < COUNT_OF(texts); k++) {
            struct refusal refusal = {
                .code = 550, .status = {5, 1, 1}, .stage = early[i], .text = slice_str(texts[k]), .is_final = true};
            struct verdict verdict;
            rules_judge(rules, scratch, &refusal, &verdict);
            assert_false(verdict.is_permanent);
            assert_int_not_equal(verdict.whose, WHOSE_ADDRESS);
        }
    }
    rules_scratch_free(scratch);
    rules_free(rules);
    (void)state;
}

/* A host's bad day is not a domain without mail, and what is over is not still being decided (S6, R36). */
static void code_and_status_where_no_words_are_known(void **state)
{
    static const struct {
        const char *said;
        enum stage stage;
        enum reason reason;
    } rows[] = {
        {"554 5.3.2 STOREDRV.Deliver; Missing or bad mailbox Database properties", STAGE_DOT, REASON_SYSTEM_ERROR},
        {"521 5.3.2 blocked", STAGE_CONNECT, REASON_SYSTEM_ERROR},
        {"451 4.3.2 not now", STAGE_RCPT, REASON_SYSTEM_ERROR},
        {"521 5.3.2 <a@example.jp>: Recipient address rejected: System not accepting network messages.", STAGE_RCPT,
         REASON_NOT_ACCEPT},
        {"521 host says no", STAGE_RCPT, REASON_NOT_ACCEPT},
        {"556 host says no", STAGE_RCPT, REASON_NOT_ACCEPT},
        {"550 5.1.10 host says no", STAGE_RCPT, REASON_NOT_ACCEPT},
        {"550 4.2.1 it contradicts itself", STAGE_RCPT, REASON_FILTERED},
        {"550 4.2.1 it contradicts itself", STAGE_DOT, REASON_POLICY_VIOLATION},
        {"550 4.1.1 it contradicts itself", STAGE_RCPT, REASON_FILTERED},
        {"599 4.2.1 it contradicts itself", STAGE_RCPT, REASON_UNDEFINED},
        {"450 4.2.1 it says so", STAGE_RCPT, REASON_ON_HOLD},
    };
    struct rules *rules = rules_of_binary();
    struct rules_scratch *scratch = rules_scratch_new(rules);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct said said;
        struct verdict verdict;
        said_parse(slice_str(rows[i].said), &arena, &said);
        struct refusal refusal = {.code = said.code, .text = said.text, .stage = rows[i].stage};
        memcpy(refusal.status, said.status, sizeof(refusal.status));
        rules_judge(rules, scratch, &refusal, &verdict);
        assert_slice(rows[i].said, reason_word(verdict.reason), reason_word(rows[i].reason));
    }
    rules_scratch_free(scratch);
    rules_free(rules);
    (void)state;
}

/* A mail that came back is tried again by nobody, and a notice of delay asks for nothing: what we say must not promise
 * the one, nor have the mail sent twice for the other (S6, S91; tools/check-words finds promises without a row). */
static void a_remedy_fits_what_is_still_to_come(void **state)
{
    static const struct {
        const char *said, *receiver;
        bool promises; /* the usual remedy: it is tried again by itself */
    } rows[] = {
        {"452 4.3.2 Connection rate limit exceeded.", "", true},
        {"450 4.2.0 Greylisted, please try again later", "", true},
        {"421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred due to unexpected volume or user complaints",
         "yahoo.com", true},
        {"550 Domain frequency limited", "qq.com", true},
        {"550 5.5.0 Service refuse. Veuillez essayer plus tard.", "laposte.net", true},
        {"550 5.1.1 User unknown", "", false},
        {"554 4.4.7 Message expired: unable to deliver in 840 minutes", "", false},
    };
    struct rules *rules = rules_of_binary();
    struct rules_scratch *scratch = rules_scratch_new(rules);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct said said;
        said_parse(slice_str(rows[i].said), &arena, &said);
        struct refusal refusal = {.code = said.code, .text = said.text, .receiver = slice_str(rows[i].receiver)};
        memcpy(refusal.status, said.status, sizeof(refusal.status));
        struct verdict verdict;
        rules_judge(rules, scratch, &refusal, &verdict);
        for (int lang = 0; lang < LANG_COUNT; lang++) {
            struct explanation owed = words_standing(rules, &verdict, STANDING_OPEN, (enum lang)lang),
                               ours = words_standing(rules, &verdict, STANDING_RETRYING, (enum lang)lang),
                               over = words_standing(rules, &verdict, STANDING_RETURNED, (enum lang)lang),
                               late = words_standing(rules, &verdict, STANDING_UNDERWAY, (enum lang)lang);
            assert_row(rows[i].said, over.remedy.len && rows[i].promises != slice_equal(owed.remedy, over.remedy));
            assert_row(rows[i].said, slice_equal(owed.cause, over.cause) && slice_equal(owed.label, over.label));
            /* what is written for mails that are over would have them sent twice */
            assert_row(rows[i].said, (verdict.reason == REASON_EXPIRED) != slice_equal(owed.remedy, ours.remedy));
            bool is_waiting = verdict.action == ACTION_RETRY_LATER || verdict.action == ACTION_SLOW_DOWN;
            assert_row(rows[i].said, is_waiting != slice_equal(owed.remedy, late.remedy));
            assert_row(rows[i].said, (verdict.reason == REASON_EXPIRED) != slice_equal(owed.cause, late.cause));
        }
        arena_release(&arena);
    }
    rules_scratch_free(scratch);
    rules_free(rules);
}

/* The mark is what decided, in the text as it was given: runs of white space and capitals included. */
static void marks_point_at_the_words(void **state)
{
    static const struct {
        const char *text, *mark;
    } rows[] = {
        {"User unknown", "User unknown"},
        {"sorry, USER   Unknown here", "USER   Unknown"},
        {"x\n  user\n  unknown\n", "user\n  unknown"},
    };
    struct rules *rules = rules_of_binary();
    struct rules_scratch *scratch = rules_scratch_new(rules);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct refusal refusal = {.code = 550, .status = {5, 1, 1}, .text = slice_str(rows[i].text)};
        struct verdict verdict;
        rules_judge(rules, scratch, &refusal, &verdict);
        assert_slice(rows[i].text, slice_of(rows[i].text + verdict.mark_from, verdict.mark_to - verdict.mark_from),
                     slice_str(rows[i].mark));
    }
    rules_scratch_free(scratch);
    rules_free(rules);
}

/* An operator's own file is asked first; what is wrong in it is told with its line. */
static void own_rules(void **state)
{
    static const struct {
        const char *yaml, *complaint; /* NULL: none */
    } rows[] = {
        {"provider: mine\nmarks: [\"xyzzy\"]\nrules:\n  - {id: mine.a, text: [\"user unknown xyzzy\"], reason: "
         "filtered, examples: []}\n",
         NULL},
        {"provider: mine\nrules:\n  - {id: mine.a, text: [\"*\"], reason: filtered}\n",
         "mine.yaml line 3: the text \"*\" has no two fixed letters in a row"},
        {"provider: mine\nrules:\n  - {id: mine.a, text: [\"abc\"], reason: nonsense}\n",
         "mine.yaml line 3: rule mine.a: unknown reason"},
        {"provider: mine\nrules:\n  - {id: mine.a, texts: [\"abc\"], reason: filtered}\n",
         "mine.yaml line 3: unknown key \"texts\""},
        {"provider: mine\nrules:\n  - {id: mine.a, code: [\"999\"], reason: filtered}\n",
         "mine.yaml line 3: bad code \"999\""},
        {"provider: [mine\n", "mine.yaml line 2: did not find expected ',' or ']'"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rules *rules = rules_of_binary();
        struct fault why = {0};
        bool ok = rules_add(rules, "mine.yaml", slice_str(rows[i].yaml), &why);
        assert_int_row(rows[i].yaml, ok, rows[i].complaint == NULL);
        if (rows[i].complaint)
            assert_slice(rows[i].yaml, slice_str(why.text), slice_str(rows[i].complaint));
        if (ok) {
            struct rules_scratch *scratch = rules_scratch_new(rules);
            struct refusal refusal = {.code = 550, .text = SLICE("User unknown XYZZY")};
            struct verdict verdict;
            rules_judge(rules, scratch, &refusal, &verdict);
            assert_slice("own rule", verdict.rule, SLICE("mine.a"));
            assert_int_equal(verdict.action, ACTION_SUPPRESS_AFTER_N);
            rules_scratch_free(scratch);
        }
        rules_free(rules);
    }
}

/* Hostile texts: long, and made to meet as many rules as can be. */
static void long_texts_are_bounded(void **state)
{
    static const char *const pieces[] = {"user unknown ", "550 5.1.1 ", "blocked using ", "@", "1.", ":",
                                         "<a@b>",         " ",          "aaaaaaaa"};
    struct rules *rules = rules_of_binary();
    struct rules_scratch *scratch = rules_scratch_new(rules);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        SCOPED(buf) text = BUF(1 << 20);
        while (text.len < 100000)
            buf_str(&text, pieces[i]);
        struct refusal refusal = {.code = 550, .text = buf_slice(&text)};
        struct verdict verdict;
        rules_judge(rules, scratch, &refusal, &verdict);
        assert_true(verdict.mark_to <= RULES_TEXT_MAX && verdict.mark_from <= verdict.mark_to);
    }
    rules_scratch_free(scratch);
    rules_free(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(examples_meet_their_rules),
                                       cmocka_unit_test(quoted_texts_mean),
                                       cmocka_unit_test(marks_point_at_the_words),
                                       cmocka_unit_test(nobody_is_blamed_before_rcpt),
                                       cmocka_unit_test(code_and_status_where_no_words_are_known),
                                       cmocka_unit_test(a_remedy_fits_what_is_still_to_come),
                                       cmocka_unit_test(own_rules),
                                       cmocka_unit_test(long_texts_are_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
