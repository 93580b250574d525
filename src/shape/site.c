#include "shape/site.h"

#define SITE(name, label, connections, messages, ...) {name, label, connections, messages, {__VA_ARGS__}},
static const struct site_rule rules[] = {
#include "shape/site.def"
};
#undef SITE
static const struct site_rule default_rule = {"", "", SITE_CONNECTIONS_DEFAULT, SITE_MESSAGES_DEFAULT, {NULL}};

static bool host_matches(struct slice host, const struct site_rule *rule)
{
    for (size_t i = 0; i < COUNT_OF(rule->suffixes) && rule->suffixes[i]; i++) {
        struct slice suffix = slice_str(rule->suffixes[i]);
        if (slice_ends_caseless(host, suffix) || slice_equal_caseless(host, slice_from(suffix, 1)))
            return true;
    }
    return false;
}

const struct site_rule *site_rule_for(const struct slice *hosts, size_t count)
{
    for (size_t r = 0; r < COUNT_OF(rules) && count; r++) {
        size_t matching = 0;
        while (matching < count && host_matches(hosts[matching], &rules[r]))
            matching++;
        if (matching == count)
            return &rules[r];
    }
    return &default_rule;
}

const struct site_rule *site_rule_named(struct slice name)
{
    for (size_t r = 0; r < COUNT_OF(rules); r++)
        if (slice_equal(slice_str(rules[r].name), name))
            return &rules[r];
    return NULL;
}

void pace_init(struct pace *pace, const struct site_rule *rule)
{
    *pace = (struct pace){.rule = rule, .connections = rule->connections};
}

int pace_connections(const struct pace *pace, time_ms now)
{
    return now < pace->suspended_until ? 0 : (int)pace->connections;
}

void pace_delivered(struct pace *pace)
{
    pace->failures = 0;
    if (pace->connections < pace->rule->connections)
        pace->connections += 0.02;
    if (pace->connections > pace->rule->connections)
        pace->connections = pace->rule->connections;
}

static void slow(struct pace *pace, time_ms now, time_ms calm)
{
    if (now < pace->calm_until)
        return;
    pace->connections = pace->connections / 2 < 1.0 ? 1.0 : pace->connections / 2;
    pace->calm_until = now + calm;
}

void pace_refused(struct pace *pace, const struct verdict *verdict, int code, time_ms now, double scale)
{
    bool speaks_of_pace = verdict->action == ACTION_SLOW_DOWN || verdict->scope == SCOPE_SITE ||
                          verdict->reason == REASON_RATE_LIMITED || code == 421;
    if (speaks_of_pace && verdict->reason != REASON_GREYLISTED)
        slow(pace, now, (time_ms)((double)SECONDS_MS(60) * scale) + 1);
}

void pace_connection_failed(struct pace *pace, time_ms now, double scale)
{
    if (now < pace->suspended_until)
        return;
    pace->failures++;
    int doubling = pace->failures < 6 ? pace->failures : 6;
    pace->connections = 1.0;
    pace->suspended_until = now + (time_ms)((double)SECONDS_MS(15 << doubling) * scale) + 1;
}
