/* egress.c - may this way send or open a connection now, what binds it, and how long it must be remembered
 *
 * A way is bound by its own pace (shape/pace.h), by the day (egress_day.c), and by limits that it shares (totals.c). */
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/paused.h"
#include "deliver/site.h"

#include "base/log.h"
#include "base/utf8.h"

enum {
    BAD_MS = 30000, /* an address that cannot be bound */
    SAY_AGAIN_MS = 300000,
};

time_ms egress_may_send(struct egress *egress, time_ms now)
{
    if (!egress->is_usable)
        return EGRESS_NOT_AT_ALL;
    if (now < egress->bad_until)
        return egress->bad_until - now;
    time_ms wait = pace_may_send(&egress->pace, now);
    if (!wait)
        wait = egress_day_wait(egress, now);
    if (!wait)
        wait = share_turn_wait(egress->share, now);
    return wait ? wait : share_turn_wait(egress->site->totals, now);
}

time_ms egress_may_open(struct egress *egress, time_ms now)
{
    time_ms wait = egress_may_send(egress, now);
    if (!wait)
        wait = pace_may_open(&egress->pace, egress->slots, now);
    if (!wait)
        wait = share_permit_wait(egress->share, now);
    if (!wait)
        wait = share_turn_wait(egress->opening, now);
    return wait ? wait : share_permit_wait(egress->site->totals, now);
}

time_ms egress_may_open_instead(struct egress *egress, time_ms now)
{
    time_ms wait = pace_may_open_instead(&egress->pace, now);
    return wait ? wait : share_turn_wait(egress->opening, now);
}

void egress_opened(struct egress *egress, time_ms now)
{
    pace_opened(&egress->pace, now);
    share_turn_use(egress->opening);
}

bool egress_has_too_many(struct egress *egress, time_ms now)
{
    return egress->slots > pace_connections(&egress->pace, now) || share_has_too_many(egress->share) ||
           share_has_too_many(egress->site->totals);
}

void egress_sent(struct egress *egress, time_ms now)
{
    pace_sent(&egress->pace, now);
    egress->sent++;
    share_turn_use(egress->share);
    share_turn_use(egress->site->totals);
    if (egress->allowance.have && --egress->allowance.have == 0)
        egress->allowance.is_used_up = egress->allowance.has_no_more;
}

static struct buf *lowered_anew(struct egress *egress)
{
    enum { LOWERED_MOST = 1000 };
    if (!egress->lowered_by.limit)
        buf_init(&egress->lowered_by, LOWERED_MOST);
    buf_reset(&egress->lowered_by);
    return &egress->lowered_by;
}

void egress_lowered_words(struct egress *egress, struct slice words)
{
    buf_append(lowered_anew(egress), words);
}

void egress_lowered(struct egress *egress, const struct reply *reply, enum stage stage, struct slice remote)
{
    enum { WORDS_MOST = 400 };
    if (egress->lowered == egress->pace.lowering.count)
        return;
    egress->lowered = egress->pace.lowering.count;
    struct buf *words = lowered_anew(egress);
    buf_printf(words, "%.*s: ", SLICE_ARG(stage_word(stage)));
    if (reply->code)
        buf_printf(words, "%d ", reply->code);
    if (reply->status[0])
        buf_printf(words, "%u.%u.%u ", reply->status[0], reply->status[1], reply->status[2]);
    buf_append(words, utf8_head(reply->text, WORDS_MOST));
    if (remote.len)
        buf_printf(words, " (%.*s)", SLICE_ARG(slice_head(remote, 300)));
    paused_look(egress);
}

void egress_is_bad(struct egress *egress, const char *why, time_ms now)
{
    double scale = egress->site->worker->engine->options.retry.scale;
    char ip[IP_TEXT_ROOM];
    if (!egress->bad_said_at || now >= egress->bad_said_at + SAY_AGAIN_MS) {
        egress->bad_said_at = now;
        log_warn("deliver", "source %s cannot be used now: %s", ip_text(&egress->from, ip), why);
    }
    egress->bad_until = now + (time_ms)(BAD_MS * scale) + 1;
}

/* ── what binds ── */

bool egress_is_shut(const struct egress *egress, time_ms now)
{
    return !egress->is_usable || now < egress->bad_until || egress_day_is_used_up(egress) ||
           pace_reopens(&egress->pace, now);
}

/* What the receiver made us do is worth a line. */
static void say_binding(const struct egress *egress, const struct pace_binding *binding, time_ms now)
{
    struct slice site = egress->site->name, word = pace_limit_word(binding->limit);
    long long seconds = binding->until > now ? (long long)(binding->until - now) / 1000 : 0;
    char ip[IP_TEXT_ROOM];
    const char *source = egress->source_id ? ip_text(&egress->from, ip) : "any";
    if (binding->limit == PACE_REACTION_RATE || binding->limit == PACE_REACTION_CONNECTIONS)
        log_info("deliver", "a reaction to its words site=%.*s source=%s limit=%.*s reaction=%.*s for=%llds rule=%s:%u",
                 SLICE_ARG(site), source, SLICE_ARG(word), SLICE_ARG(binding->reaction->id), seconds, binding->at.file,
                 binding->at.line);
    else if (binding->limit == PACE_WARM_UP || binding->limit == PACE_DAILY)
        log_info("deliver", "what may go today is used up site=%.*s source=%s limit=%.*s cap=%.0f for=%llds",
                 SLICE_ARG(site), source, SLICE_ARG(word), binding->value, seconds);
}

const struct pace_binding *egress_binding(struct egress *egress, time_ms now)
{
    struct pace_binding before = egress->pace.binding, fresh = *pace_binding(&egress->pace, egress->slots, now);
    const struct egress_allowance *allowance = &egress->allowance;
    const struct site_rule *rule = egress->site->rule;
    if (!egress->is_usable || now < egress->bad_until)
        fresh = (struct pace_binding){.limit = PACE_NO_SOURCE, .until = egress->is_usable ? egress->bad_until : 0};
    else if (egress_day_is_used_up(egress) && allowance->bound == ALLOWANCE_WARM_UP)
        fresh = (struct pace_binding){
            .limit = PACE_WARM_UP, .value = (double)allowance->cap, .until = egress_day_ends(egress, now)};
    else if (egress_day_is_used_up(egress))
        fresh = (struct pace_binding){.limit = PACE_DAILY,
                                      .value = (double)allowance->cap,
                                      .until = egress_day_ends(egress, now),
                                      .at = rule->at[SITE_LIMIT_DAILY]};
    else if (fresh.limit == PACE_NOTHING && allowance->is_asked && !allowance->have && allowance->bound)
        fresh = (struct pace_binding){.limit = PACE_RESERVING, .value = (double)allowance->cap};
    else if (fresh.limit == PACE_NOTHING && egress->site->totals && egress->site->totals->waits_for_turn)
        fresh = (struct pace_binding){.limit = PACE_TOTAL_RATE,
                                      .value = rule->total_rate.count * 1000.0 / (double)rule->total_rate.per,
                                      .at = rule->at[SITE_LIMIT_TOTAL_RATE]};
    else if (fresh.limit == PACE_NOTHING && egress->site->totals && egress->site->totals->waits_for_permit)
        fresh = (struct pace_binding){.limit = PACE_TOTAL_CONNECTIONS,
                                      .value = rule->total_connections,
                                      .at = rule->at[SITE_LIMIT_TOTAL_CONNECTIONS]};
    else if (fresh.limit == PACE_NOTHING && egress->share && egress->share->waits_for_turn)
        fresh = (struct pace_binding){.limit = PACE_RULE_RATE,
                                      .value = rule->rate.count * 1000.0 / (double)rule->rate.per,
                                      .at = rule->at[SITE_LIMIT_RATE]};
    else if (fresh.limit == PACE_NOTHING && egress->share && egress->share->waits_for_permit)
        fresh = (struct pace_binding){
            .limit = PACE_RULE_CONNECTIONS, .value = rule->connections, .at = rule->at[SITE_LIMIT_CONNECTIONS]};
    if (fresh.limit != before.limit || fresh.reaction != before.reaction)
        say_binding(egress, &fresh, now);
    fresh.since = fresh.limit == before.limit && fresh.reaction == before.reaction ? before.since : now;
    egress->pace.binding = fresh;
    return &egress->pace.binding;
}

/* ── how long it is kept ── */

/* Until when it must stay, with all that it has learnt; 0: another one in its place would be the same. */
static time_ms egress_kept_until(const struct egress *egress, time_ms now)
{
    enum { LOOK_MS = 60000 };
    const struct egress_allowance *allowance = &egress->allowance;
    const struct share *const shares[] = {egress->share, egress->opening};
    time_ms until = pace_kept_until(&egress->pace, true, now);
    until = egress->bad_until > until ? egress->bad_until : until;
    until = allowance->ask_at > until ? allowance->ask_at : until; /* then the store is asked anyway */
    bool is_open = egress->slots || allowance->is_asked || allowance->bound || allowance->have || egress->is_paused_new;
    for (size_t i = 0; i < COUNT_OF(shares) && !is_open; i++)
        is_open = shares[i] && (shares[i]->is_asked || shares[i]->permits);
    return is_open ? now + LOOK_MS : until > now ? until : 0;
}

time_ms egresses_shed(struct site *site, time_ms now)
{
    time_ms until = 0;
    if (atomic_load_explicit(&site->has_no_way, memory_order_relaxed))
        return 0; /* they say when there is one again */
    for (const struct egress *egress = site->egresses; egress; egress = egress->next) {
        time_ms kept = egress_kept_until(egress, now);
        until = kept > until ? kept : until;
    }
    if (!until)
        site_release_egresses(site);
    return until;
}
