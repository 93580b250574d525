#include "app/config.h"

#include <stddef.h>
#include <stdio.h>
#include <yaml.h>

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

/* Levenshtein distance of short words: for "did you mean". */
static size_t distance(struct slice a, struct slice b)
{
    enum { MOST = 64 };
    size_t row[MOST + 1];
    if (a.len > MOST || b.len > MOST)
        return MOST;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t above = row[j], cost = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            size_t step = (above < row[j - 1] ? above : row[j - 1]) + 1;
            row[j] = cost < step ? cost : step;
            diagonal = above;
        }
    }
    return row[b.len];
}

bool config_set(struct config *config, struct slice key, struct slice value, struct fault *why)
{
    const struct setting *nearest = NULL;
    size_t least = 4;
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (slice_equal(slice_str(settings[i].key), key))
            return setting_parse(config, &settings[i], value, why);
        size_t far = distance(slice_str(settings[i].key), key);
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

struct reader {
    yaml_parser_t parser;
    struct config *config;
    const char *path;
    struct fault *why;
};

static bool at_line(const struct reader *reader, size_t line)
{
    return fault_prefix(reader->why, "%s line %zu: ", reader->path, line + 1);
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return true;
    fault_set(reader->why, FAULT_INPUT, "%s", reader->parser.problem ? reader->parser.problem : "this is not YAML");
    return at_line(reader, reader->parser.problem_mark.line);
}

static struct slice scalar_text(const yaml_event_t *event)
{
    return slice_of(event->data.scalar.value, event->data.scalar.length);
}

/* The keys of one map, with `prefix` in front. */
static bool read_map(struct reader *reader, struct slice prefix, int depth)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return false;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        size_t line = event.start_mark.line;
        if (event.type != YAML_SCALAR_EVENT) {
            yaml_event_delete(&event);
            fault_set(reader->why, FAULT_INPUT, "a key must be a plain word");
            return at_line(reader, line);
        }
        struct slice key = arena_printf(&reader->config->arena, "%.*s%s%.*s", SLICE_ARG(prefix), prefix.len ? "." : "",
                                        SLICE_ARG(scalar_text(&event)));
        yaml_event_delete(&event);
        if (!next_event(reader, &event))
            return false;
        bool ok = false;
        if (event.type == YAML_SCALAR_EVENT) {
            ok = config_set(reader->config, key, scalar_text(&event), reader->why) || at_line(reader, line);
        } else if (event.type == YAML_MAPPING_START_EVENT && depth < 4) {
            ok = read_map(reader, key, depth + 1);
        } else {
            fault_set(reader->why, FAULT_INPUT, "%.*s: one value is wanted here", SLICE_ARG(key));
            at_line(reader, line);
        }
        yaml_event_delete(&event);
        if (!ok)
            return false;
    }
}

static bool read_document(struct reader *reader)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return false;
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line;
        yaml_event_delete(&event);
        switch ((int)type) {
        case YAML_STREAM_END_EVENT: return true;
        case YAML_MAPPING_START_EVENT:
            if (!read_map(reader, SLICE(""), 0))
                return false;
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_START_EVENT:
        case YAML_DOCUMENT_END_EVENT: break;
        default:
            fault_set(reader->why, FAULT_INPUT, "settings are written as \"key: value\"");
            return at_line(reader, line);
        }
    }
}

bool config_load(struct config *config, const char *path, struct fault *why)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fault_errno(why, "%s", path);
        why->kind = FAULT_INPUT;
        return false;
    }
    struct reader reader = {.config = config, .path = path, .why = why};
    yaml_parser_initialize(&reader.parser);
    yaml_parser_set_input_file(&reader.parser, file);
    bool ok = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    fclose(file);
    return ok;
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
