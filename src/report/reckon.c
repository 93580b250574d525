#include "report/reckon.h"

#include "shape/allowance.h"

static int64_t cap_of(const struct reckon_source *source, int64_t days)
{
    if (!source->is_capped)
        return -1;
    if (days == 0)
        return source->left_today > 0 ? source->left_today : 0;
    return source->a_day ? source->a_day : warm_up_cap(source->caps, source->step + days);
}

int64_t reckon_cap(const struct reckon_source *sources, size_t count, int64_t days)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t cap = cap_of(&sources[i], days);
        if (cap < 0)
            return -1;
        sum += cap;
    }
    return sum;
}

/* How much one source gets through between two instants; *last: when, if it is all that is left. */
static double taken(const struct reckon_source *source, int64_t days, time_ms from, time_ms until)
{
    time_ms begin = source->opens > from ? source->opens : from;
    int64_t cap = cap_of(source, days);
    double by_rate = begin >= until ? 0 : source->rate > 0 ? source->rate * (double)(until - begin) / 1000 : 1e18;
    return cap >= 0 && (double)cap < by_rate ? (double)cap : by_rate;
}

static double all_taken(const struct reckon_source *sources, size_t count, int64_t days, time_ms from, time_ms until)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += taken(&sources[i], days, from, until);
    return sum;
}

/* The first instant of the day by which so many are through: it is known to be in there. */
static time_ms instant_of(const struct reckon_source *sources, size_t count, int64_t days, time_ms from, time_ms until,
                          double owed)
{
    time_ms low = from, high = until;
    while (high - low > 1) {
        time_ms middle = low + (high - low) / 2;
        if (all_taken(sources, count, days, from, middle) >= owed)
            high = middle;
        else
            low = middle;
    }
    return high;
}

time_ms reckon_done(const struct reckon_source *sources, size_t count, int64_t owed, time_ms now)
{
    double left = (double)owed;
    if (!count)
        return 0;
    for (int64_t days = 0; days < RECKON_DAYS_MOST; days++) {
        time_ms midnight = (allowance_day(now) + days) * DAYS_MS(1);
        time_ms from = days ? midnight : now, until = midnight + DAYS_MS(1);
        double day = all_taken(sources, count, days, from, until);
        if (day >= left)
            return instant_of(sources, count, days, from, until, left);
        left -= day;
    }
    return 0;
}
