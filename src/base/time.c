#include "base/time.h"

struct civil {
    int64_t year;
    int month, day, hour, minute, second, ms, weekday; /* weekday 0 = Sunday */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970-01-01 and back: Howard Hinnant's civil calendar algorithms. */
static struct civil civil_of(time_ms at)
{
    int64_t days = floor_div(at, DAYS_MS(1)), in_day = at - days * DAYS_MS(1);
    int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (struct civil){
        .year = yoe + era * 400 + (month <= 2),
        .month = month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .hour = (int)(in_day / 3600000),
        .minute = (int)(in_day / 60000 % 60),
        .second = (int)(in_day / 1000 % 60),
        .ms = (int)(in_day % 1000),
        .weekday = (int)((days % 7 + 11) % 7),
    };
}

static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400), yoe = year - era * 400;
    int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void time_rfc3339(struct buf *out, time_ms at)
{
    struct civil t = civil_of(at);
    buf_printf(out, "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", (long long)t.year, t.month, t.day, t.hour, t.minute,
               t.second, t.ms);
}

static bool digits(struct slice *text, size_t count, int *number)
{
    *number = 0;
    if (text->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!ascii_is_digit(text->ptr[i]))
            return false;
        *number = *number * 10 + (text->ptr[i] - '0');
    }
    *text = slice_from(*text, count);
    return true;
}

static bool one_of(struct slice *text, const char *set)
{
    if (text->len == 0 || !strchr(set, text->ptr[0]) || !text->ptr[0])
        return false;
    *text = slice_from(*text, 1);
    return true;
}

bool time_parse_rfc3339(struct slice text, time_ms *at)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second, ms = 0, offset = 0;
    if (!digits(&text, 4, &year) || !one_of(&text, "-") || !digits(&text, 2, &month) || !one_of(&text, "-") ||
        !digits(&text, 2, &day) || !one_of(&text, "Tt ") || !digits(&text, 2, &hour) || !one_of(&text, ":") ||
        !digits(&text, 2, &minute) || !one_of(&text, ":") || !digits(&text, 2, &second))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1] || hour > 23 || minute > 59 || second > 60)
        return false;
    if (one_of(&text, ".")) {
        int digit, scale = 100, count = 0;
        for (; digits(&text, 1, &digit); scale /= 10, count++)
            ms += digit * scale;
        if (count == 0)
            return false;
    }
    if (!one_of(&text, "Zz")) {
        int oh, om, sign = text.len && text.ptr[0] == '-' ? -1 : 1;
        if (!one_of(&text, "+-") || !digits(&text, 2, &oh) || !one_of(&text, ":") || !digits(&text, 2, &om))
            return false;
        offset = sign * (oh * 60 + om);
    }
    if (text.len)
        return false;
    *at = DAYS_MS(days_of(year, month, day)) + HOURS_MS(hour) + MINUTES_MS(minute - offset) + SECONDS_MS(second) + ms;
    return true;
}

void time_rfc5322(struct buf *out, time_ms at, int offset_minutes)
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil t = civil_of(at + MINUTES_MS(offset_minutes));
    int offset = offset_minutes < 0 ? -offset_minutes : offset_minutes;
    buf_printf(out, "%s, %d %s %04lld %02d:%02d:%02d %c%02d%02d", weekdays[t.weekday], t.day, months[t.month - 1],
               (long long)t.year, t.hour, t.minute, t.second, offset_minutes < 0 ? '-' : '+', offset / 60, offset % 60);
}
