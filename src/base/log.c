#include "base/log.h"

#include "base/json.h"
#include "base/time.h"
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

void log_line(enum log_level level, const char *folder, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
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
    if (is_json_lines) {
        struct json json = {&line};
        json_object_begin(&json);
        json_put_string(&json, "at", buf_slice(&at));
        json_put_string(&json, "level", slice_str(names[level]));
        json_put_string(&json, "from", slice_str(folder));
        json_put_string(&json, "text", slice_str(text));
        json_end(&json);
    } else {
        buf_append(&line, buf_slice(&at));
        buf_printf(&line, " %-5s %s: ", names[level], folder);
        for (const char *c = text; *c; c++) {
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                buf_printf(&line, "\\x%02x", (unsigned char)*c);
            else
                buf_byte(&line, *c);
        }
    }
    buf_byte(&line, '\n');
    ssize_t written = write(STDERR_FILENO, line.ptr, line.len);
    (void)written;
}
