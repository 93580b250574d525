/* saying.c - what happens to a way to a receiver, in the log: one line where it ends, one where it goes on
 *
 * A breaker, a suspension by the receiver's words, by the guard or by a person: each is told when it begins and when it
 * is over, and not while it lasts. A breaker that opens and closes many times a minute is told once a minute. What has
 * begun and is not over is counted, too, for the engine's figures. */
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

#include "base/log.h"

enum { BREAKER_SAID_MS = 60000, STAMP_ROOM = 40 };

/* "192.0.2.1", "any" */
static const char *source_of(const struct egress *egress, char ip[IP_TEXT_ROOM])
{
    return egress->source_id ? ip_text(&egress->from, ip) : "any";
}

/* A monotonic instant as RFC 3339. */
static const char *stamp(const struct egress *egress, time_ms at, time_ms now, char text[STAMP_ROOM])
{
    struct buf out = {text, 0, STAMP_ROOM - 1, STAMP_ROOM - 1, false};
    time_rfc3339(&out, world_wall(egress->site->worker->engine->options.world) + at - now);
    text[out.len] = '\0';
    return text;
}

/* What the receiver said, as far as that was the reason. */
static struct slice words_of(const struct egress *egress)
{
    return egress->lowered_by.len ? buf_slice(&egress->lowered_by) : SLICE("-");
}

static const char *const reasons[EGRESS_PAUSES] = {"reaction", "unknown_users", "order"};

static void begins(const struct egress *egress, enum egress_pause pause, time_ms until, time_ms now)
{
    const struct site_reaction *reaction = egress->pace.suspended_by;
    const struct site_place *guard = &egress->site->rule->guard.at;
    char ip[IP_TEXT_ROOM], at[STAMP_ROOM];
    const char *source = source_of(egress, ip), *end = stamp(egress, until, now, at);
    struct slice site = egress->site->name;
    switch (pause) {
    case PAUSE_REACTION:
        log_warn("deliver", "suspended by its words (%.*s) site=%.*s source=%s reason=%.*s until=%s rule=%s:%u",
                 SLICE_ARG(words_of(egress)), SLICE_ARG(site), source, SLICE_ARG(reaction ? reaction->id : SLICE("-")),
                 end, reaction ? reaction->at.file : "-", reaction ? reaction->at.line : 0);
        break;
    case PAUSE_GUARD:
        log_warn("deliver",
                 "suspended, too many unknown users to be believed site=%.*s source=%s "
                 "reason=%s until=%s rule=%s:%u",
                 SLICE_ARG(site), source, reasons[pause], end, guard->file ? guard->file : "-", guard->line);
        break;
    case PAUSE_ORDER:
        log_info("deliver", "suspended by a person's order site=%.*s source=%s reason=%s until=%s", SLICE_ARG(site),
                 source, reasons[pause], end);
        break;
    case EGRESS_PAUSES: break;
    }
}

static void pauses_say(struct egress *egress, time_ms now)
{
    const time_ms until[EGRESS_PAUSES] = {egress->pace.suspended_by ? egress->pace.suspended_until : 0,
                                          egress->pace.guarded_until, egress->pace.ordered_until};
    struct engine *engine = egress->site->worker->engine;
    char ip[IP_TEXT_ROOM];
    for (int pause = 0; pause < EGRESS_PAUSES; pause++) {
        bool is_on = until[pause] > now;
        if (is_on == egress->said.pauses[pause])
            continue;
        egress->said.pauses[pause] = is_on;
        atomic_fetch_add_explicit(&engine->paused_ways[pause], is_on ? 1 : -1, memory_order_relaxed);
        if (is_on)
            begins(egress, (enum egress_pause)pause, until[pause], now);
        else
            log_info("deliver", "the suspension is over site=%.*s source=%s reason=%s", SLICE_ARG(egress->site->name),
                     source_of(egress, ip), reasons[pause]);
    }
}

static void breaker_says(struct egress *egress, time_ms now)
{
    struct egress_said *said = &egress->said;
    bool is_open = egress->pace.breaker != BREAKER_CLOSED;
    char ip[IP_TEXT_ROOM], at[STAMP_ROOM];
    if (is_open == said->breaker)
        return;
    said->breaker = is_open;
    atomic_fetch_add_explicit(&egress->site->worker->engine->open_breakers, is_open ? 1 : -1, memory_order_relaxed);
    if (is_open && (!said->breaker_at || now >= said->breaker_at + BREAKER_SAID_MS)) {
        said->breaker_at = now;
        said->is_breaker_told = true;
        log_warn("deliver", "the breaker opened (%.*s) site=%.*s source=%s reason=%s until=%s",
                 SLICE_ARG(words_of(egress)), SLICE_ARG(egress->site->name), source_of(egress, ip), "breaker",
                 stamp(egress, egress->pace.breaker_until, now, at));
    } else if (!is_open && said->is_breaker_told) {
        said->is_breaker_told = false;
        log_info("deliver", "the breaker closed site=%.*s source=%s reason=%s after=%llds",
                 SLICE_ARG(egress->site->name), source_of(egress, ip), "breaker",
                 (long long)(now - said->breaker_at) / 1000);
    }
}

time_ms egress_says(struct egress *egress, time_ms now)
{
    pauses_say(egress, now);
    breaker_says(egress, now);
    time_ms reopens = pace_reopens(&egress->pace, now);
    return reopens ? reopens - now : 0;
}

void egress_says_no_more(const struct egress *egress)
{
    struct engine *engine = egress->site->worker->engine;
    for (int pause = 0; pause < EGRESS_PAUSES; pause++)
        atomic_fetch_sub_explicit(&engine->paused_ways[pause], egress->said.pauses[pause], memory_order_relaxed);
    atomic_fetch_sub_explicit(&engine->open_breakers, egress->said.breaker, memory_order_relaxed);
}
