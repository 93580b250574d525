/* D11-D16, M22: what the receivers' own codes mean, by code and status alone and with their words (RECEIVERS.md) */
#include "base/test.h"
#include "bounce/said.h"
#include "bounce/words.h"

static void codes_of_receivers(void **state)
{
    static const struct {
        const char *line, *said, *receiver;
        enum reason reason;
        enum action action;
        const char *names; /* stands in the explanation, in both languages */
    } rows[] = {
        {"D12: SPF, slowed", "421 4.7.27 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, "SPF"},
        {"D12: SPF", "550 5.7.27 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, "SPF"},
        {"D12: DKIM, slowed", "421 4.7.30 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, "DKIM"},
        {"D12: DKIM", "550 5.7.30 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, "DKIM"},
        {"D12: no DMARC record, slowed", "421 4.7.31 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH,
         "DMARC"},
        {"D12: no DMARC record, slowed, new code", "421 4.7.40 - gsmtp", "gmail.com", REASON_AUTH_FAILURE,
         ACTION_FIX_AUTH, "DMARC"},
        {"D12: no DMARC record", "550 5.7.40 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, "DMARC"},
        {"D12: not aligned, slowed", "421 4.7.32 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, ""},
        {"D12: not aligned", "550 5.7.32 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, ""},
        {"D12: unauthenticated", "550 5.7.26 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH, "DKIM"},
        {"D12: unauthenticated, slowed", "421 4.7.26 - gsmtp", "gmail.com", REASON_AUTH_FAILURE, ACTION_FIX_AUTH,
         "SPF"},
        {"D12: no PTR", "550 5.7.25 - gsmtp", "gmail.com", REASON_PTR_REQUIRED, ACTION_FIX_CONFIG, ""},
        {"D12: no PTR, slowed", "421 4.7.25 - gsmtp", "gmail.com", REASON_PTR_REQUIRED, ACTION_FIX_CONFIG, ""},
        {"D12: no TLS", "550 5.7.29 - gsmtp", "gmail.com", REASON_TLS_REQUIRED, ACTION_FIX_CONFIG, "TLS"},
        {"D12: no TLS, slowed", "421 4.7.29 - gsmtp", "gmail.com", REASON_TLS_REQUIRED, ACTION_FIX_CONFIG, "TLS"},
        {"D12: too fast", "421 4.7.28 - gsmtp", "gmail.com", REASON_RATE_LIMITED, ACTION_SLOW_DOWN, ""},
        {"D12: too fast, refused", "550 5.7.28 - gsmtp", "gmail.com", REASON_RATE_LIMITED, ACTION_SLOW_DOWN, ""},
        {"D11: Microsoft's bar for bulk senders", "550 5.7.515 Access denied", "outlook.com", REASON_AUTH_FAILURE,
         ACTION_FIX_AUTH, "SPF"},
        {"D13: docomo, an unknown user", "550 Unknown user taro@docomo.ne.jp", "docomo.ne.jp", REASON_USER_UNKNOWN,
         ACTION_SUPPRESS_NOW, ""},
        {"D14: au, an unknown user", "550 <taro@au.com>: User unknown", "au.com", REASON_USER_UNKNOWN,
         ACTION_SUPPRESS_NOW, ""},
        {"D14: au, his own filter", "550 : User unknown", "ezweb.ne.jp", REASON_FILTERED, ACTION_SUPPRESS_AFTER_N, ""},
        {"D15: SoftBank does not find our domain", "553 example.jp does not exist", "softbank.ne.jp",
         REASON_SENDER_DOMAIN_UNRESOLVABLE, ACTION_FIX_CONFIG, ""},
        {"D16: Yahoo Inc: complaints", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", "yahoo.com",
         REASON_RATE_LIMITED, ACTION_SLOW_DOWN, ""},
    };
    struct rules *rules;
    struct fault why;
    if (!rules_open(&rules, &why))
        fail_msg("%s", why.text);
    struct rules_scratch *scratch = rules_scratch_new(rules);
    int wrong = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct said said;
        said_parse(slice_str(rows[i].said), &arena, &said);
        struct refusal refusal = {.code = said.code, .text = said.text, .receiver = slice_str(rows[i].receiver)};
        memcpy(refusal.status, said.status, sizeof(refusal.status));
        struct verdict verdict;
        rules_judge(rules, scratch, &refusal, &verdict);
        bool is_named = true;
        for (int lang = 0; lang < LANG_COUNT; lang++) {
            struct explanation words = words_for(rules, &verdict, (enum lang)lang);
            is_named = is_named && (!rows[i].names[0] || slice_find(words.cause, slice_str(rows[i].names)) >= 0 ||
                                    slice_find(words.remedy, slice_str(rows[i].names)) >= 0 ||
                                    slice_find(words.operator, slice_str(rows[i].names)) >= 0);
        }
        if (verdict.reason != rows[i].reason || verdict.action != rows[i].action || !is_named) {
            print_message("%s: %.*s, %.*s by %.*s%s\n", rows[i].line, SLICE_ARG(reason_word(verdict.reason)),
                          SLICE_ARG(action_word(verdict.action)), SLICE_ARG(verdict.rule),
                          is_named ? "" : "; it is not named");
            wrong++;
        }
        arena_release(&arena);
    }
    assert_int_equal(wrong, 0);
    rules_scratch_free(scratch);
    rules_free(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(codes_of_receivers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
