/* config.h - the settings of a server: a YAML file, every key of it listed in config.def
 *
 * A wrong key, a wrong value or broken YAML is one line that names file, line, key and cure; nothing is started then.
 */
#ifndef TODOKE_APP_CONFIG_H
#define TODOKE_APP_CONFIG_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/time.h"
#include "net/ip.h"

enum config_kind { CONFIG_TEXT, CONFIG_NUMBER, CONFIG_ENDPOINT, CONFIG_DURATION, CONFIG_CHOICE };

struct config_value { /* only the member of its kind is set; text always is, NUL-terminated */
    const char *text;
    int64_t number;
    struct endpoint endpoint;
    time_ms duration;
};

struct config {
    struct arena arena;
#define SETTING(field, key, kind, fallback, doc) struct config_value field;
#include "app/config.def"
#undef SETTING
};

/* Every setting at its default. */
void config_init(struct config *config);
void config_release(struct config *config);
/* Read a file over the defaults. INPUT: "todoke.yaml line 3: there is no setting \"htp.listen\"; did you mean
 * \"http.listen\"?" */
NODISCARD bool config_load(struct config *config, const char *path, struct fault *why);
/* Set one by its key, as if a file had said so. INPUT. */
NODISCARD bool config_set(struct config *config, struct slice key, struct slice value, struct fault *why);
/* "90m": a number and ms, s, m, h or d. */
NODISCARD bool config_duration(struct slice text, time_ms *duration);
/* The reference page: every key, default and meaning, as Markdown. */
void config_reference(struct buf *out);

#endif
