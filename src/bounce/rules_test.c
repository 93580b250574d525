/* S17-S49: what a refusal means; every rule of data/bounce meets its own examples */
#include "base/test.h"
#include "bounce/check.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(examples_meet_their_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
