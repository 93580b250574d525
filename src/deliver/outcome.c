/* outcome.c - what a reply makes of a delivery: verdict, next state, event */
#include "deliver/destination.h"
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

enum { DELIVERED_TEXT_MAX = 120 /* octets kept of a 250: usually the receiver's queue id */ };

static void status_words(struct arena *arena, const struct reply *reply, struct slice *prefix)
{
    if (!reply->code)
        *prefix = SLICE("");
    else if (reply->status[0])
        *prefix =
            arena_printf(arena, "%d %u.%u.%u ", reply->code, reply->status[0], reply->status[1], reply->status[2]);
    else
        *prefix = arena_printf(arena, "%d ", reply->code);
}

/* has_left: by the source of its mark. */
static struct ledger_move move_begin(struct worker *worker, const struct recipient *recipient, struct slice remote,
                                     bool has_left)
{
    struct arena *arena = worker_batch_arena(worker);
    struct slice note = has_left ? pinned_note(worker, recipient, arena) : SLICE("");
    return (struct ledger_move){
        .event =
            {
                .at = world_wall(worker->engine->options.world),
                .delivery_id = recipient->id,
                .campaign_id = recipient->campaign_id,
                .contact_id = recipient->contact_id,
                .brand_id = recipient->brand_id,
                .address = arena_copy(arena, recipient->address),
                .domain = arena_copy(arena, recipient->domain),
                .site = arena_copy(arena, recipient->destination->site->name),
                .state_before = recipient->state,
                .origin = EVENT_ORIGIN_REPLY,
                .attempt = (int)recipient->attempts + 1,
                .remote_mta = arena_copy(arena, remote),
                .note = note,
            },
        .from = LEDGER_BIT(DELIVERY_WAITING) | LEDGER_BIT(DELIVERY_DEFERRED) | LEDGER_BIT(DELIVERY_ON_WIRE),
        .is_before_known = true,
        .is_attempt = true,
        .is_mine = true,
        .pinned_id = note.len ? 0 : recipient->source_id,
    };
}

void outcome_delivered(struct worker *worker, struct recipient *recipient, struct egress *egress,
                       const struct reply *reply, struct slice remote, struct ledger_move *move)
{
    *move = move_begin(worker, recipient, remote, true);
    move->event.kind = EVENT_DELIVERED;
    move->event.state_after = DELIVERY_DELIVERED;
    move->event.code = reply->code;
    move->event.stage = STAGE_DOT;
    move->event.diagnostic = arena_copy(worker_batch_arena(worker), slice_head(reply->text, DELIVERED_TEXT_MAX));
    pace_delivered(&egress->pace, loop_now(worker->loop));
    egress->allowance.delivered++;
    atomic_fetch_add(&worker->engine->delivered, 1);
    atomic_fetch_add(&egress->site->count->delivered, 1);
}

bool outcome_is_too_late(const struct worker *worker, const struct recipient *recipient)
{
    const struct engine_options *options = &worker->engine->options;
    return recipient->expires - recipient->accepted < options->expires_after &&
           world_wall(options->world) >= recipient->expires &&
           !engine_doubts_clock(worker->engine, loop_now(worker->loop));
}

void outcome_too_late(struct worker *worker, const struct recipient *recipient, struct ledger_move *move)
{
    *move = move_begin(worker, recipient, SLICE(""), false);
    struct event *event = &move->event;
    rules_verdict_of_reason(worker->engine->options.rules, REASON_EXPIRED, false, &event->verdict);
    event->kind = EVENT_EXPIRED;
    event->state_after = DELIVERY_EXPIRED;
    event->stage = STAGE_QUEUE;
    event->diagnostic = SLICE("its time was over before it could be sent");
    event->attempt = (int)recipient->attempts;
    move->is_attempt = false;
    atomic_fetch_add(&worker->engine->refused, 1);
}

void outcome_in_doubt(struct worker *worker, struct recipient *recipient, const struct reply *why, struct slice remote,
                      struct ledger_move *move)
{
    const struct engine_options *options = &worker->engine->options;
    struct arena *arena = worker_batch_arena(worker);
    struct slice prefix;
    *move = move_begin(worker, recipient, remote, true);
    move->event.kind = EVENT_IN_DOUBT;
    move->event.state_after = DELIVERY_IN_DOUBT;
    move->event.stage = STAGE_DOT;
    status_words(arena, why, &prefix);
    move->event.diagnostic = arena_printf(arena, "%.*s%.*s", SLICE_ARG(prefix), SLICE_ARG(why->text));
    move->due = move->event.at + (time_ms)((double)options->in_doubt_wait * options->retry.scale);
    move->event.next_attempt_at = move->due;
    atomic_fetch_add(&worker->engine->in_doubt, 1);
}

/* What the refusal says about the pace, to the pace. Afterwards: when its way is open again, as a wall time (0: now).
 */
static time_ms pace_hears(struct worker *worker, struct egress *egress, const struct reply *reply, enum stage stage,
                          struct slice remote, struct event *event)
{
    time_ms now = loop_now(worker->loop);
    if (pace_refused(&egress->pace, &event->verdict, reply, stage, egress->standing, now)) {
        /* the receiver blocks us in words that condemn an address: nobody is excluded for them */
        rules_verdict_of_reason(worker->engine->options.rules, REASON_RATE_LIMITED, false, &event->verdict);
        event->verdict.retry = RETRY_LANE;
    }
    egress_lowered(egress, reply, stage, remote);
    time_ms reopens = pace_reopens(&egress->pace, now);
    return reopens ? event->at + reopens - now : 0;
}

static void refused(struct worker *worker, struct recipient *recipient, struct egress *egress,
                    const struct reply *reply, enum stage stage, struct slice remote, const struct verdict *known,
                    bool is_heard_before, struct ledger_move *move)
{
    const struct engine_options *options = &worker->engine->options;
    struct arena *arena = worker_batch_arena(worker);
    *move = move_begin(worker, recipient, remote, egress != NULL);
    struct event *event = &move->event;
    struct slice prefix;
    status_words(arena, reply, &prefix);
    event->stage = stage;
    event->code = reply->code;
    memcpy(event->status, reply->status, sizeof(event->status));
    event->diagnostic = arena_printf(arena, "%.*s%.*s", SLICE_ARG(prefix), SLICE_ARG(reply->text));
    if (known) {
        event->verdict = *known;
    } else {
        struct refusal refusal = refusal_of_reply(reply, stage, recipient->domain, remote);
        rules_judge(options->rules, worker->scratch, &refusal, &event->verdict);
        if (event->verdict.mark_to >
            event->verdict.mark_from) { /* offsets in the text become offsets in the diagnostic */
            event->verdict.mark_from += prefix.len;
            event->verdict.mark_to += prefix.len;
        }
    }
    const struct policy *policy = policies_chosen(options->ledger.policy.policies);
    policy_adjust(policy, &event->verdict);
    bool is_heard = egress && reply->code && policy_slows(policy, event->verdict.reason);
    time_ms due = 0, now = loop_now(worker->loop), opens = 0;
    if (is_heard && !is_heard_before)
        opens = pace_hears(worker, egress, reply, stage, remote, event);
    else if (is_heard && (opens = pace_reopens(&egress->pace, now)))
        opens += event->at - now;
    bool is_doubted = engine_doubts_clock(worker->engine, now);
    event->state_after = retry_decide(&event->verdict, reply, recipient->attempts + 1, event->at,
                                      is_doubted ? INT64_MAX : recipient->expires, opens, &options->retry,
                                      loop_random(worker->loop), &due);
    move->due = due;
    recipient->next_due = due;
    event->next_attempt_at = due;
    event->kind = event->state_after == DELIVERY_DEFERRED  ? EVENT_DEFERRED
                  : event->state_after == DELIVERY_EXPIRED ? EVENT_EXPIRED
                                                           : EVENT_BOUNCED;
    if (egress && event->kind == EVENT_DEFERRED)
        egress->allowance.deferred++;
    atomic_fetch_add(event->kind == EVENT_DEFERRED ? &worker->engine->deferred : &worker->engine->refused, 1);
    if (egress) {
        struct site_count *count = egress->site->count;
        atomic_fetch_add(event->kind == EVENT_DEFERRED ? &count->deferred : &count->refused, 1);
    }
}

void outcome_of_reply(struct worker *worker, struct recipient *recipient, struct egress *egress,
                      const struct reply *reply, enum stage stage, struct slice remote, const struct verdict *known,
                      struct ledger_move *move)
{
    refused(worker, recipient, egress, reply, stage, remote, known, false, move);
}

void outcome_of_same_reply(struct worker *worker, struct recipient *recipient, struct egress *egress,
                           const struct reply *reply, enum stage stage, struct slice remote,
                           const struct verdict *known, struct ledger_move *move)
{
    refused(worker, recipient, egress, reply, stage, remote, known, true, move);
}
