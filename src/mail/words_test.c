#include "base/test.h"
#include "mail/event.h"

/* Every enum value has a word, and the word leads back. */
static void words_and_back(void **state)
{
    for (int i = 0; i < REASON_COUNT; i++) {
        enum reason reason;
        assert_true(reason_of(reason_word((enum reason)i), &reason) && (int)reason == i);
    }
    for (int i = 0; i < ACTION_COUNT; i++) {
        enum action action;
        assert_true(action_of(action_word((enum action)i), &action) && (int)action == i);
    }
    for (int i = 0; i < DELIVERY_STATE_COUNT; i++) {
        enum delivery_state delivery;
        assert_true(delivery_of(delivery_word((enum delivery_state)i), &delivery) && (int)delivery == i);
        assert_int_equal(delivery_is_owed((enum delivery_state)i), i < 5);
    }
    static const int kinds[] = {
#define KIND_NUMBER(NAME, word, number) number,
        EVENT_KINDS(KIND_NUMBER)
#undef KIND_NUMBER
    };
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        enum event_kind kind;
        assert_true(event_of(event_word((enum event_kind)kinds[i]), &kind) && (int)kind == kinds[i]);
    }
    assert_int_equal(event_word((enum event_kind)20).len, 0); /* one of the past: stores may hold it, nobody makes it */
    enum reason reason;
    assert_false(reason_of(SLICE("userunknown"), &reason));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
