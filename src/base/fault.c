#include "base/fault.h"

#include <errno.h>
#include <stdio.h>

static void one_line(char *text)
{
    for (; *text; text++)
        if (*text == '\n' || *text == '\r')
            *text = ' ';
}

bool fault_set(struct fault *why, enum fault_kind kind, const char *format, ...)
{
    va_list args;
    why->kind = kind;
    va_start(args, format);
    vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    one_line(why->text);
    return false;
}

bool fault_prefix(struct fault *why, const char *format, ...)
{
    char said[sizeof(why->text)];
    memcpy(said, why->text, sizeof(said));
    va_list args;
    va_start(args, format);
    int len = vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof(why->text))
        snprintf(why->text + len, sizeof(why->text) - (size_t)len, "%s", said);
    one_line(why->text);
    return false;
}

bool fault_errno(struct fault *why, const char *format, ...)
{
    const char *reason = strerrordesc_np(errno);
    char place[256];
    va_list args;
    va_start(args, format);
    vsnprintf(place, sizeof(place), format, args);
    va_end(args);
    return fault_set(why, FAULT_WORLD, "%s: %s", place, reason ? reason : "unknown error");
}

int fault_exit_status(const struct fault *why)
{
    switch (why->kind) {
    case FAULT_NONE: return 0;
    case FAULT_INPUT: return 2;
    case FAULT_WORLD:
    case FAULT_LIMIT: return 3;
    }
    return 3;
}
