#include "app/config.h"

#include "base/file.h"
#include "base/tree.h"
#include <stddef.h>

enum { CONFIG_FILE_MOST = 1 << 20, DEPTH_MOST = 4 };

struct setting {
    const char *key;
    enum config_kind kind;
    const char *fallback, *doc;
    size_t place;
};
#define SETTING(field, key, kind, fallback, doc) {key, CONFIG_##kind, fallback, doc, offsetof(struct config, field)},
static const struct setting settings[] = {
#include "app/config.def"
};
#undef SETTING

bool config_duration(struct slice text, time_ms *duration)
{
    static const struct {
        const char *unit;
        time_ms ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = 0;
    while (digits < text.len && ascii_is_digit(text.ptr[digits]))
        digits++;
    uint64_t number;
    if (!slice_to_u64(slice_head(text, digits), &number) || number > 1000000)
        return false;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (slice_equal(slice_from(text, digits), slice_str(units[i].unit))) {
            *duration = (time_ms)number * units[i].ms;
            return true;
        }
    }
    return false;
}

/* Is `word` one of the choices in the doc's brackets? */
static bool is_choice(const char *doc, struct slice word)
{
    struct slice choices = slice_str(strrchr(doc, '[') + 1), choice;
    choices.len--;
    while (slice_split(&choices, '|', &choice))
        if (slice_equal(choice, word))
            return true;
    return false;
}

static bool setting_parse(struct config *config, const struct setting *setting, struct slice text, struct fault *why)
{
    struct config_value *value = (struct config_value *)((char *)config + setting->place);
    value->text = arena_str(&config->arena, text);
    switch (setting->kind) {
    case CONFIG_TEXT: return true;
    case CONFIG_NUMBER:
        return (slice_to_i64(text, &value->number) && value->number >= 0) ||
               fault_set(why, FAULT_INPUT, "%s: \"%s\" is no number", setting->key, value->text);
    case CONFIG_ENDPOINT:
        value->endpoint = (struct endpoint){0};
        return slice_equal(text, SLICE("none")) || endpoint_parse(text, &value->endpoint, why) ||
               fault_prefix(why, "%s: ", setting->key);
    case CONFIG_DURATION:
        return config_duration(text, &value->duration) ||
               fault_set(why, FAULT_INPUT, "%s: \"%s\" is no duration; write a number and ms, s, m, h or d, as in 90m",
                         setting->key, value->text);
    case CONFIG_CHOICE:
        return is_choice(setting->doc, text) || fault_set(why, FAULT_INPUT, "%s: \"%s\" is none of %s", setting->key,
                                                          value->text, strrchr(setting->doc, '['));
    }
    return false;
}

void config_init(struct config *config)
{
    *config = (struct config){0};
    struct fault why;
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        if (!setting_parse(config, &settings[i], slice_str(settings[i].fallback), &why))
            abort(); /* config.def itself is wrong */
}

void config_release(struct config *config)
{
    arena_release(&config->arena);
}

bool config_set(struct config *config, struct slice key, struct slice value, struct fault *why)
{
    const struct setting *nearest = NULL;
    size_t least = key.len / 2 < 4 ? key.len / 2 : 4; /* half another word is no slip of the finger */
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (slice_equal(slice_str(settings[i].key), key))
            return setting_parse(config, &settings[i], value, why);
        size_t far = slice_distance(slice_str(settings[i].key), key);
        if (far < least) {
            least = far;
            nearest = &settings[i];
        }
    }
    if (nearest)
        return fault_set(why, FAULT_INPUT, "there is no setting \"%.*s\"; did you mean \"%s\"?", SLICE_ARG(key),
                         nearest->key);
    return fault_set(why, FAULT_INPUT, "there is no setting \"%.*s\"; docs/settings.md lists them", SLICE_ARG(key));
}

/* ── YAML ── */

/* The keys of one map, with `prefix` in front. */
static bool read_map(struct config *config, const struct tree *tree, const yaml_node_t *map, struct slice prefix,
                     int depth)
{
    const yaml_node_t *name, *value;
    for (size_t i = 0; tree_pair(tree, map, i, &name, &value); i++) {
        if (!tree_is_scalar(name))
            return tree_complain(tree, name, "a key must be a plain word");
        struct slice key = arena_printf(&config->arena, "%.*s%s%.*s", SLICE_ARG(prefix), prefix.len ? "." : "",
                                        SLICE_ARG(tree_text(name)));
        if (tree_is_map(value) && depth < DEPTH_MOST) {
            if (!read_map(config, tree, value, key, depth + 1))
                return false;
        } else if (!tree_is_scalar(value)) {
            return tree_complain(tree, name, "%.*s: one value is wanted here", SLICE_ARG(key));
        } else if (!config_set(config, key, tree_text(value), tree->why)) {
            return fault_prefix(tree->why, "%s line %u: ", tree->path, tree_line(name));
        }
    }
    return true;
}

bool config_load(struct config *config, const char *path, struct fault *why)
{
    SCOPED(buf) text = {0};
    SCOPED(tree) tree = {0};
    if (!file_read(path, CONFIG_FILE_MOST, &text, why) || !tree_read(&tree, path, buf_slice(&text), why))
        return false;
    if (tree_root(&tree) && !tree_is_map(tree_root(&tree)))
        return tree_complain(&tree, NULL, "settings are written as \"key: value\"");
    return read_map(config, &tree, tree_root(&tree), SLICE(""), 0);
}

static void cell_write(struct buf *out, struct slice text)
{
    struct slice part;
    for (bool is_first = true; slice_split(&text, '|', &part); is_first = false) {
        buf_str(out, is_first ? "" : "\\|");
        buf_append(out, part);
    }
}

void config_reference(struct buf *out)
{
    buf_text(out, "# Settings\n\nOf `todoke serve --config FILE`: YAML, where a key with dots is nested maps. Written "
                  "by `todoke serve --settings`; a "
                  "test holds\nthis page and the program together.\n\n");
    buf_text(out, "| key | default | what it is |\n|---|---|---|\n");
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const char *quote = *settings[i].fallback ? "`" : "";
        buf_printf(out, "| `%s` | %s%s%s | ", settings[i].key, quote, settings[i].fallback, quote);
        cell_write(out, slice_str(settings[i].doc));
        buf_text(out, " |\n");
    }
}
