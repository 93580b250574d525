#include "base/log.h"

#include "base/json.h"
#include "base/time.h"
#include "base/utf8.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_LIMIT = 4096 };

static enum log_level least_level = LOG_INFO;
static bool is_json_lines;

void log_setup(enum log_level least, bool is_json)
{
    least_level = least;
    is_json_lines = is_json;
}

bool log_is_on(enum log_level level)
{
    return level >= least_level;
}

/* ── key=value ── */

enum { FIELDS_MOST = 12 };

struct fields {
    struct slice keys[FIELDS_MOST], values[FIELDS_MOST]; /* the last one first */
    size_t count;
};

/* "sentence, %s site=%s line=%u": the last word of the format, when it is a key and one value. */
static bool key_take(struct slice *format, struct slice *key)
{
    ptrdiff_t space = slice_find_last_byte(*format, ' ');
    struct slice word = slice_from(*format, (size_t)(space + 1));
    ptrdiff_t equals = slice_find_byte(word, '=');
    if (space <= 0 || equals <= 0 || slice_find_byte(word, '%') != equals + 1)
        return false;
    *key = slice_head(word, (size_t)equals);
    for (size_t i = 0; i < key->len; i++)
        if (!((key->ptr[i] >= 'a' && key->ptr[i] <= 'z') || key->ptr[i] == '_'))
            return false;
    *format = slice_head(*format, (size_t)space);
    return true;
}

/* Where " key=" begins last; what a value of ours holds behind it is a part of it. */
static ptrdiff_t key_find(struct slice text, struct slice key)
{
    for (size_t at = text.len; at > 0; at--) {
        struct slice rest = slice_from(text, at - 1);
        if (rest.ptr[0] == ' ' && rest.len > key.len + 1 &&
            slice_equal(slice_head(slice_from(rest, 1), key.len), key) && rest.ptr[key.len + 1] == '=')
            return (ptrdiff_t)(at - 1);
    }
    return SLICE_NPOS;
}

static void fields_read(const char *format, struct slice *text, struct fields *fields)
{
    struct slice rest = slice_str(format), key;
    while (fields->count < FIELDS_MOST && key_take(&rest, &key)) {
        ptrdiff_t at = key_find(*text, key);
        if (at == SLICE_NPOS) /* the line was too long, and is cut */
            continue;
        fields->keys[fields->count] = key;
        fields->values[fields->count++] = slice_from(*text, (size_t)at + key.len + 2);
        *text = slice_head(*text, (size_t)at);
    }
}

void log_compose(struct buf *line, bool is_json, struct slice at, enum log_level level, const char *folder,
                 const char *format, struct slice text)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (is_json) {
        struct fields fields = {.count = 0};
        struct json json = {line};
        fields_read(format, &text, &fields);
        json_object_begin(&json);
        json_put_string(&json, "at", at);
        json_put_string(&json, "level", slice_str(names[level]));
        json_put_string(&json, "from", slice_str(folder));
        json_put_string(&json, "text", text);
        for (size_t i = fields.count; i > 0; i--) {
            json_key_slice(&json, fields.keys[i - 1]);
            json_text(&json, fields.values[i - 1]);
        }
        json_end(&json);
        return;
    }
    buf_append(line, at);
    buf_printf(line, " %-5s %s: ", names[level], folder);
    for (int32_t c; (c = utf8_next(&text)) >= 0;) {
        if (utf8_is_inert(c))
            utf8_append(line, (uint32_t)c);
        else
            buf_printf(line, c < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)c);
    }
}

void log_line(enum log_level level, const char *folder, const char *format, ...)
{
    if (!log_is_on(level))
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    SCOPED(buf) line = BUF(LINE_LIMIT * 4);
    SCOPED(buf) at = BUF(64);
    time_rfc3339(&at, (time_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    log_compose(&line, is_json_lines, buf_slice(&at), level, folder, format, slice_str(text));
    buf_byte(&line, '\n');
    ssize_t written = write(STDERR_FILENO, line.ptr, line.len);
    (void)written;
}
