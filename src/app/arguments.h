/* arguments.h - long options of a command from a table; what is left are its words */
#ifndef TODOKE_APP_ARGUMENTS_H
#define TODOKE_APP_ARGUMENTS_H

#include "base/fault.h"
#include "bounce/words.h"

struct argument {
    const char *name;   /* "--list"; the table ends with NULL */
    const char **value; /* gets what follows it; or */
    bool *flag;         /* set when it is there */
};
enum { ARGUMENT_WORDS_MAX = 16 };
struct arguments {
    const char *words[ARGUMENT_WORDS_MAX];
    int word_count;
    bool wants_help;
};
/* INPUT: an option that is not in the table, lacks its value, or too many words. */
NODISCARD bool arguments_read(int argc, char **argv, const struct argument *table, struct arguments *arguments,
                              struct fault *why);

/* Was only given what the verb has? An option that is read over in silence looks as if it had been heeded. `permitted`:
 * "--brand --json". INPUT names the option, and those that there are. */
NODISCARD bool arguments_only(const struct argument *table, const char *verb, const char *permitted, struct fault *why);

/* --lang, else the locale's, else English. INPUT: neither ja nor en. */
NODISCARD bool arguments_lang(const char *given, enum lang *lang, struct fault *why);
/* Where the environment says nothing, the settings file of this machine's server does (arguments_config): its store and
 * key_file become $TODOKE_STORE and $TODOKE_KEY_FILE. Before there are threads. A file that cannot be read says
 * nothing. */
void arguments_from_settings(void);
/* --store, else $TODOKE_STORE, else ./todoke.db. */
const char *arguments_store(const char *given);
/* --key-file, else $TODOKE_KEY_FILE, else ./todoke.key. */
const char *arguments_key_file(const char *given);
/* --config, else $TODOKE_CONFIG, else /etc/todoke/todoke.yaml when it is there; NULL: none, every setting at its
 * default. */
const char *arguments_config(const char *given);

#endif
