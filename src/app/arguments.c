#include "app/arguments.h"

#include "app/config.h"
#include <stdlib.h>
#include <unistd.h>

static const struct argument *argument_named(const struct argument *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

bool arguments_read(int argc, char **argv, const struct argument *table, struct arguments *arguments, struct fault *why)
{
    *arguments = (struct arguments){0};
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || strcmp(argv[i], "-") == 0) {
            if (arguments->word_count == ARGUMENT_WORDS_MAX)
                return fault_set(why, FAULT_INPUT, "too many words, from \"%s\" on", argv[i]);
            arguments->words[arguments->word_count++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            arguments->wants_help = true;
            continue;
        }
        const struct argument *argument = argument_named(table, argv[i]);
        if (!argument)
            return fault_set(why, FAULT_INPUT, "there is no option \"%s\"; --help lists them", argv[i]);
        if (argument->flag)
            *argument->flag = true;
        else if (i + 1 < argc)
            *argument->value = argv[++i];
        else
            return fault_set(why, FAULT_INPUT, "%s lacks its value", argv[i]);
    }
    return true;
}

bool arguments_only(const struct argument *table, const char *verb, const char *permitted, struct fault *why)
{
    for (; table->name; table++) {
        struct slice rest = slice_str(permitted), one;
        bool is_permitted = table->flag ? !*table->flag : !*table->value;
        while (!is_permitted && slice_split(&rest, ' ', &one))
            is_permitted = slice_equal(one, slice_str(table->name));
        if (!is_permitted)
            return fault_set(why, FAULT_INPUT, "%s has no option %s; it has %s", verb, table->name, permitted);
    }
    return true;
}

bool arguments_lang(const char *given, enum lang *lang, struct fault *why)
{
    const char *text = given;
    if (!text) {
        text = getenv("LC_ALL");
        if (!text || !*text)
            text = getenv("LANG");
        *lang = text && slice_starts(slice_str(text), SLICE("ja")) ? LANG_JA : LANG_EN;
        return true;
    }
    *lang = strcmp(text, "ja") == 0 ? LANG_JA : LANG_EN;
    return strcmp(text, "ja") == 0 || strcmp(text, "en") == 0 ||
           fault_set(why, FAULT_INPUT, "--lang %s: ja or en", text);
}

static const char *first_of(const char *given, const char *variable, const char *fallback)
{
    const char *set = getenv(variable);
    return given ? given : set && *set ? set : fallback;
}

static void settle(const char *variable, const char *value, const char *fallback)
{
    if (strcmp(value, fallback) != 0)
        setenv(variable, value, 0);
}

void arguments_from_settings(void)
{
    const char *store = getenv("TODOKE_STORE"), *key = getenv("TODOKE_KEY_FILE");
    const char *file = store && *store && key && *key ? NULL : arguments_config(NULL);
    SCOPED(config) config = {0};
    struct fault ignored;
    if (!file)
        return;
    config_init(&config);
    if (!config_load(&config, file, &ignored))
        return;
    settle("TODOKE_STORE", config.store.text, "todoke.db");
    settle("TODOKE_KEY_FILE", config.key_file.text, "todoke.key");
}

const char *arguments_store(const char *given)
{
    return first_of(given, "TODOKE_STORE", "todoke.db");
}

const char *arguments_config(const char *given)
{
    static const char usual[] = "/etc/todoke/todoke.yaml";
    return first_of(given, "TODOKE_CONFIG", access(usual, F_OK) == 0 ? usual : NULL);
}

const char *arguments_key_file(const char *given)
{
    return first_of(given, "TODOKE_KEY_FILE", "todoke.key");
}
