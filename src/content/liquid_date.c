/* Dates for {{ | date }}: no locale, no time zone database: the offset is given by the rendering. */
#include "content/liquid_private.h"

#include <time.h>

struct when {
    time_ms at; /* instant */
    int offset_minutes;
};

static bool digits_at(struct slice text, size_t at, size_t count, int *number)
{
    *number = 0;
    for (size_t i = at; i < at + count; i++) {
        if (i >= text.len || !ascii_is_digit(text.ptr[i]))
            return false;
        *number = *number * 10 + (text.ptr[i] - '0');
    }
    return true;
}

/* "2026-11-22", "2026/11/22", with " 13:30" or " 13:30:00": a local time, shown as it stands. */
static bool parse_local(struct slice text, const struct liquid_context *context, struct when *when)
{
    struct tm tm = {0};
    int year, month;
    bool has_date = digits_at(text, 0, 4, &year) && digits_at(text, 5, 2, &month) &&
                    digits_at(text, 8, 2, &tm.tm_mday) && (text.ptr[4] == '-' || text.ptr[4] == '/') &&
                    text.ptr[7] == text.ptr[4];
    if (!has_date || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    if (text.len > 10) {
        bool has_time = (text.len == 16 || text.len == 19) && (text.ptr[10] == ' ' || text.ptr[10] == 'T') &&
                        text.ptr[13] == ':' && digits_at(text, 11, 2, &tm.tm_hour) &&
                        digits_at(text, 14, 2, &tm.tm_min) &&
                        (text.len == 16 || (text.ptr[16] == ':' && digits_at(text, 17, 2, &tm.tm_sec)));
        if (!has_time || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
            return false;
    }
    when->at = SECONDS_MS(timegm(&tm)) - MINUTES_MS(when->offset_minutes);
    return true;
}

static bool parse_when(const struct liquid_context *context, const struct liquid_value *value, struct when *when)
{
    struct liquid_value number;
    when->offset_minutes = context->offset_minutes;
    when->at = context->now;
    if (value->kind == LIQUID_STRING) {
        struct slice text = slice_trim(value->string);
        if (slice_equal(text, SLICE("now")) || slice_equal(text, SLICE("today")))
            return true;
        if (time_parse_rfc3339(text, &when->at) || parse_local(text, context, when))
            return true;
    }
    if (!liquid_number_of(value, &number))
        return false;
    double seconds = liquid_real(&number);
    if (!(seconds > -1e11 && seconds < 1e11))
        return false;
    when->at = (time_ms)(seconds * 1000);
    return true;
}

static void padded(struct buf *out, int number, int width, char pad, char flag)
{
    if (flag == '-')
        width = 0;
    if (flag == '0' || flag == '_')
        pad = flag == '_' ? ' ' : '0';
    for (int most = 1000; width > 1 && most >= 10; most /= 10)
        if (most < (width == 4 ? 10000 : width == 3 ? 1000 : 100) && number < most)
            buf_byte(out, pad);
    buf_i64(out, number);
}

static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const days_ja[] = {"日", "月", "火", "水", "木", "金", "土"};
static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};

static void format_text(struct buf *out, const struct tm *tm, const struct when *when, struct slice format);

static void format_zone(struct buf *out, int offset_minutes)
{
    int away = offset_minutes < 0 ? -offset_minutes : offset_minutes;
    buf_byte(out, offset_minutes < 0 ? '-' : '+');
    padded(out, away / 60, 2, '0', 0);
    padded(out, away % 60, 2, '0', 0);
}

/* One letter of strftime; what it does not know it prints as it stands. */
static void format_letter(struct buf *out, const struct tm *tm, const struct when *when, char letter, char flag)
{
    int hour12 = tm->tm_hour % 12 ? tm->tm_hour % 12 : 12;
    switch (letter) {
    case 'Y': buf_i64(out, tm->tm_year + 1900); break;
    case 'C': padded(out, (tm->tm_year + 1900) / 100, 2, '0', flag); break;
    case 'y': padded(out, (tm->tm_year + 1900) % 100, 2, '0', flag); break;
    case 'm': padded(out, tm->tm_mon + 1, 2, '0', flag); break;
    case 'd': padded(out, tm->tm_mday, 2, '0', flag); break;
    case 'e': padded(out, tm->tm_mday, 2, ' ', flag); break;
    case 'j': padded(out, tm->tm_yday + 1, 3, '0', flag); break;
    case 'H': padded(out, tm->tm_hour, 2, '0', flag); break;
    case 'k': padded(out, tm->tm_hour, 2, ' ', flag); break;
    case 'I': padded(out, hour12, 2, '0', flag); break;
    case 'l': padded(out, hour12, 2, ' ', flag); break;
    case 'M': padded(out, tm->tm_min, 2, '0', flag); break;
    case 'S': padded(out, tm->tm_sec, 2, '0', flag); break;
    case 'L': padded(out, (int)(((when->at % 1000) + 1000) % 1000), 3, '0', flag); break;
    case 'p': buf_append(out, tm->tm_hour < 12 ? SLICE("AM") : SLICE("PM")); break;
    case 'P': buf_append(out, tm->tm_hour < 12 ? SLICE("am") : SLICE("pm")); break;
    case 'A': buf_str(out, days[tm->tm_wday]); break;
    case 'a': buf_append(out, slice_head(slice_str(days[tm->tm_wday]), 3)); break;
    case 'B': buf_str(out, months[tm->tm_mon]); break;
    case 'b':
    case 'h': buf_append(out, slice_head(slice_str(months[tm->tm_mon]), 3)); break;
    case 'u': buf_i64(out, tm->tm_wday ? tm->tm_wday : 7); break;
    case 'w': buf_i64(out, tm->tm_wday); break;
    case 's': buf_i64(out, when->at / 1000); break;
    case 'z': format_zone(out, when->offset_minutes); break;
    case 'F': format_text(out, tm, when, SLICE("%Y-%m-%d")); break;
    case 'T': format_text(out, tm, when, SLICE("%H:%M:%S")); break;
    case 'R': format_text(out, tm, when, SLICE("%H:%M")); break;
    case 'D': format_text(out, tm, when, SLICE("%m/%d/%y")); break;
    case '%': buf_byte(out, '%'); break;
    default: buf_byte(out, '%'); buf_byte(out, letter);
    }
}

static void format_text(struct buf *out, const struct tm *tm, const struct when *when, struct slice format)
{
    for (size_t i = 0; i < format.len; i++) {
        if (format.ptr[i] != '%' || i + 1 == format.len) {
            buf_byte(out, format.ptr[i]);
            continue;
        }
        char letter = format.ptr[++i], flag = 0;
        if ((letter == '-' || letter == '_' || letter == '0') && i + 1 < format.len) {
            flag = letter;
            letter = format.ptr[++i];
        }
        if (letter == 'E' && i + 1 < format.len && (format.ptr[i + 1] == 'a' || format.ptr[i + 1] == 'A')) {
            buf_str(out, days_ja[tm->tm_wday]);
            buf_append(out, format.ptr[++i] == 'A' ? SLICE("曜日") : SLICE(""));
            continue;
        }
        format_letter(out, tm, when, letter, flag);
    }
}

bool liquid_date(struct liquid_run *run, const struct liquid_value *value, struct slice format, struct buf *out)
{
    struct when when;
    struct tm tm;
    if (!parse_when(run->context, value, &when))
        return false;
    time_ms local = when.at + MINUTES_MS(when.offset_minutes);
    time_t seconds = (time_t)(local / 1000 - (local % 1000 < 0));
    if (!gmtime_r(&seconds, &tm))
        return false;
    format_text(out, &tm, &when, format);
    return true;
}
