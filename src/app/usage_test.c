#include "app/usage.h"
#include "base/test.h"

static const char queue[] = "usage: todoke queue list [--json]\n"
                            "       todoke queue hold|release FILTER... [--json]\n"
                            "       todoke queue show DELIVERY [--json]   as todoke explain message\n"
                            "\n"
                            "       todoke queue burn\n";
static const char tls[] = "usage: todoke tls rule set domain|site NAME required\n"
                          "       todoke tls rule remove domain|site NAME\n"
                          "       todoke tls rules\n\nmore\n";
static const char backup[] = "usage: todoke backup FILE [--store URL]\n\nThe whole store.\n";
static const char unread[] = "usage: todoke bounce unread [--limit N]\n";

static const struct {
    const char *what, *command, *page;
    struct arguments words;
    const char *line;
} rows[] = {
    {"a word that is none",
     "queue",
     queue,
     {.words = {"burn"}, .word_count = 1},
     "todoke queue: there is no \"burn\"; it has list, hold, release, show (todoke queue --help)"},
    {"no word",
     "queue",
     queue,
     {.word_count = 0},
     "todoke queue: say what to do: list, hold, release, show (todoke queue --help)"},
    {"the object is missing; a remark is none of the form",
     "queue",
     queue,
     {.words = {"show"}, .word_count = 1},
     "todoke queue: it goes: todoke queue show DELIVERY [--json] (todoke queue --help)"},
    {"one of several words in a form",
     "queue",
     queue,
     {.words = {"release", "x"}, .word_count = 2},
     "todoke queue: it goes: todoke queue hold|release FILTER... [--json] (todoke queue --help)"},
    {"the form that is nearest",
     "tls",
     tls,
     {.words = {"rule", "remove", "site"}, .word_count = 3},
     "todoke tls: it goes: todoke tls rule remove domain|site NAME (todoke tls --help)"},
    {"a verb of several forms is told once",
     "tls",
     tls,
     {.words = {"rul"}, .word_count = 1},
     "todoke tls: there is no \"rul\"; it has rule, rules (todoke tls --help)"},
    {"a command without verbs",
     "backup",
     backup,
     {.word_count = 0},
     "todoke backup: it goes: todoke backup FILE [--store URL] (todoke backup --help)"},
    {"a command of two words",
     "bounce unread",
     unread,
     {.words = {"x"}, .word_count = 1},
     "todoke bounce unread: it goes: todoke bounce unread [--limit N] (todoke bounce unread --help)"},
};

static void wrong_use_is_one_line(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4096);
        usage_line(rows[i].command, rows[i].page, &rows[i].words, &out);
        assert_slice(rows[i].what, buf_slice(&out), slice_str(rows[i].line));
    }
}

static void options_belong_to_verbs(void **unused)
{
    (void)unused;
    const char *state = NULL, *brand = "Shop";
    bool is_json = true;
    struct fault why = {0};
    const struct argument table[] = {
        {"--state", &state, NULL}, {"--brand", &brand, NULL}, {"--json", NULL, &is_json}, {NULL, NULL, NULL}};
    assert_true(arguments_only(table, "queue hold", "--brand --json", &why));
    assert_false(arguments_only(table, "queue audit", "--brandy --json", &why));
    assert_string_equal(why.text, "queue audit has no option --brand; it has --brandy --json");
    state = "held";
    assert_false(arguments_only(table, "queue hold", "--brand --json", &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(wrong_use_is_one_line),
                                       cmocka_unit_test(options_belong_to_verbs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
