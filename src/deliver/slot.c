/* slot.c - one connection and the conversation on it
 *
 *     CONNECTING --open--> TALKING --ready--> OPEN --limit, idle, slowed--> CLOSING --> gone
 *         |                   |                 |
 *         +--next address-----+                 +--peer ends--> gone (what was under way: unsent, refused or in doubt)
 *
 * A recipient is handed to the client when the client has room, so that its commands travel with the dot before it; its
 * mark goes into the worker's batch together with the outcome of the one before it (at once, when there is none), and
 * the dot that ends its mail is released only when that mark is committed. */
#include "deliver/slot.h"
#include "deliver/engine_inside.h"
#include "deliver/several.h"
#include "deliver/site.h"

enum {
    OUT_ROOM_LEAST = 96 * 1024,  /* a client's turn may append a chunk of 64 KiB, stuffed */
    HELD_WHOLE_MOST = 32 * 1024, /* a longer body begins its way while the mark is being written */
    UNSENT_MOST = 3,
    TURN = 10, /* messages of a connection, when others wait for one */
    IDLE_MS = 5000,
};

time_ms slot_scaled(const struct slot *slot, time_ms wait)
{
    double factor = slot->worker->engine->options.timeouts.factor;
    return factor > 0 ? (time_ms)((double)wait * factor) + 1 : wait;
}

static void remove_under_way(struct slot *slot, struct recipient *recipient)
{
    recipient->slot = NULL;
    for (int i = 0; i < slot->under_way_count; i++) {
        if (slot->under_way[i] != recipient)
            continue;
        slot->under_way_count--;
        slot->worker->busy -= slot->under_way_count == 0;
        for (; i < slot->under_way_count; i++)
            slot->under_way[i] = slot->under_way[i + 1];
        return;
    }
}

/* ── what the conversation tells ── */

void recipient_goes_back(struct worker *worker, struct recipient *recipient)
{
    if (recipient->mark_is_pending)
        recipient->wants_back = true;
    else if (recipient->is_marked)
        worker_unmark(worker, recipient);
    else if (worker->is_stopping)
        worker_give_back(worker, recipient);
    else
        ready_push_front(recipient->destination, recipient);
}

void slot_unsent(struct slot *slot, struct recipient *recipient, const struct reply *reply, enum stage stage,
                 bool is_first)
{
    struct worker *worker = slot->worker;
    if (recipient->wants_drop)
        return worker_send_home(worker, recipient);
    if (is_first && stage != STAGE_STARTTLS && ++recipient->unsent >= UNSENT_MOST) {
        struct verdict verdict;
        struct ledger_move move;
        rules_verdict_of_reason(worker->engine->options.rules, REASON_NETWORK_ERROR, false, &verdict);
        outcome_of_reply(worker, recipient, slot->egress, reply, stage, buf_slice(&slot->remote), &verdict, &move);
        worker_outcome(worker, recipient, &move);
        return;
    }
    recipient_goes_back(worker, recipient);
}

/* The mail that is to go next is marked when the one before it has its outcome: both in one batch, so that whatever
 * crashes, each connection leaves one mail in doubt at most (R22, F1). */
static void mark_next(struct slot *slot)
{
    if (slot->under_way_count == 1 && !slot->under_way[0]->is_marked && !slot->under_way[0]->mark_is_pending)
        worker_mark(slot->worker, slot->under_way[0]);
}

bool slot_has_had_enough(struct slot *slot, const struct smtp_client_event *event)
{
    const struct reply *reply = &event->reply;
    bool is_early = event->stage == STAGE_MAIL || event->stage == STAGE_RCPT;
    bool is_enough = slot->any_delivered ? reply_is_of_session(reply) &&
                                               !site_rule_reacts(slot->destination->site->rule, reply, event->stage)
                                         : reply->code == 421 && smtp_client_misses_tls(slot->client);
    if (event->outcome != SMTP_REFUSED || !is_early || !is_enough)
        return false;
    slot->has_had_enough = true;
    return true;
}

static void recipient_told(struct slot *slot, const struct smtp_client_event *event)
{
    struct worker *worker = slot->worker;
    if (slot->several)
        return several_told(slot, event);
    struct recipient *recipient = event->message->owner;
    struct slice remote = buf_slice(&slot->remote);
    struct ledger_move move;
    remove_under_way(slot, recipient);
    if (slot_has_had_enough(slot, event)) {
        slot_unsent(slot, recipient, &event->reply, event->stage, false);
        return mark_next(slot);
    }
    switch (event->outcome) {
    case SMTP_DELIVERED:
        slot->any_delivered = true;
        outcome_delivered(worker, recipient, slot->egress, &event->reply, remote, &move);
        break;
    case SMTP_REFUSED:
    case SMTP_AGAIN: /* it is the only recipient: too many means "later" */
        outcome_of_reply(worker, recipient, slot->egress, &event->reply, event->stage, remote, NULL, &move);
        break;
    case SMTP_UNSENT: /* a connection that ends between two messages is a normal end (R25) */
        slot_unsent(slot, recipient, &event->reply, event->stage, slot->sent <= 1);
        return;
    case SMTP_IN_DOUBT: outcome_in_doubt(worker, recipient, &event->reply, remote, &move); break;
    }
    worker_outcome(worker, recipient, &move);
    if (event->outcome != SMTP_IN_DOUBT) /* then the conversation is over */
        mark_next(slot);
}

static void reply_keep(struct reply_kept *kept, const struct reply *reply, enum stage stage)
{
    kept->code = reply->code;
    memcpy(kept->status, reply->status, sizeof(reply->status));
    kept->stage = stage;
    buf_reset(&kept->text);
    buf_append(&kept->text, slice_head(reply->text, kept->text.limit));
}

void slot_keep_last_words(struct slot *slot, const struct reply *reply, enum stage stage)
{
    reply_keep(&slot->last_words, reply, stage);
}

struct reply reply_of_kept(const struct reply_kept *kept)
{
    return (struct reply){kept->code, {kept->status[0], kept->status[1], kept->status[2]}, buf_slice(&kept->text)};
}

void slot_keep_for_now(struct slot *slot)
{
    const struct reply reply = reply_of_kept(&slot->last_words);
    if (reply_is_permanent(&reply))
        return;
    reply_keep(&slot->for_now, &reply, slot->last_words.stage);
    buf_reset(&slot->for_now_at);
    buf_append(&slot->for_now_at, buf_slice(&slot->remote));
}

static void conversation_told(struct slot *slot, const struct smtp_client_event *event)
{
    switch (event->what) {
    case SMTP_CLIENT_GREETED:
    case SMTP_CLIENT_WANT_DOT: break; /* the mark is under way */
    case SMTP_CLIENT_MESSAGE:
        if (slot->several)
            several_over(slot);
        break;
    case SMTP_CLIENT_WANT_TLS: slot_start_tls(slot); break;
    case SMTP_CLIENT_READY:
        slot->state = SLOT_OPEN;
        slot->has_stood = true;
        slot->egress->standing++;
        pace_talked(&slot->egress->pace, loop_now(slot->worker->loop));
        slot->destination->failures = 0;
        slot->destination->has_doubts = false;
        slot_tls_settled(slot);
        break;
    case SMTP_CLIENT_RECIPIENT: recipient_told(slot, event); break;
    case SMTP_CLIENT_OVER:
        slot->is_over = true;
        slot->was_tls_failure = event->how == SMTP_OVER_TLS || event->stage == STAGE_STARTTLS;
        if (event->how != SMTP_OVER_QUIT && !slot->hangs_up && smtp_client_misses_tls(slot->client))
            slot_clear(slot);
        slot_keep_last_words(slot, &event->reply, event->stage);
        break;
    }
}

/* ── giving it work ── */

static bool hand_over(struct slot *slot, struct recipient *recipient)
{
    struct outgoing *out = recipient->outgoing;
    const struct smtp_message message = {
        .mail_from = out->mail_from,
        .recipients = &out->rcpt_to,
        .recipient_count = 1,
        .body = &out->body,
        .body_count = 1,
        .needs_8bit = out->needs_8bit,
        .needs_smtputf8 = out->needs_smtputf8,
        .is_held_whole = out->body.len <= HELD_WHOLE_MOST,
        .owner = recipient,
    };
    enum smtp_fit fit = smtp_client_send(slot->client, &message);
    if (fit != SMTP_FITS) {
        struct reply reply = smtp_fit_reply(fit);
        struct ledger_move move;
        outcome_of_reply(slot->worker, recipient, NULL, &reply, STAGE_MAIL, buf_slice(&slot->remote), NULL, &move);
        worker_outcome(slot->worker, recipient, &move);
        return false;
    }
    slot->worker->busy += slot->under_way_count == 0;
    slot->under_way[slot->under_way_count++] = recipient;
    recipient->slot = slot;
    slot->sent++;
    egress_sent(slot->egress, loop_now(slot->worker->loop));
    mark_next(slot);
    return true;
}

static bool should_close(const struct slot *slot)
{
    const struct site *site = slot->destination->site;
    const struct egress *only = destination_egress(slot->destination, loop_now(slot->worker->loop));
    bool others_wait = site->is_crowded || slot->worker->first_short;
    return slot->is_outdated || slot->has_had_enough || slot->sent >= (int)site->rule->messages_per_connection ||
           (others_wait && slot->sent >= (site->urgent_waits ? 1 : TURN)) ||
           egress_has_too_many(slot->egress, loop_now(slot->worker->loop)) || !slot->egress->is_usable ||
           slot->egress->site != site || (only && slot->egress != only) || slot->worker->is_stopping;
}

static bool waits_for_company(const struct slot *slot)
{
    const struct recipient *first = slot->destination->ready.first;
    return first && first->outgoing->alike && several_is_awaited(slot);
}

bool slot_has_room(const struct slot *slot)
{
    return slot->state == SLOT_OPEN && slot->stream && !slot->is_over && !slot->hangs_up &&
           slot->under_way_count < SLOT_UNDER_WAY && !slot->several && smtp_client_has_room(slot->client) &&
           !should_close(slot) && !waits_for_company(slot);
}

static void offer_work(struct slot *slot)
{
    if (slot->state != SLOT_OPEN || slot->is_over || slot->several)
        return;
    timer_clear(&slot->idle);
    struct recipients *ready = &slot->destination->ready;
    while (ready->count && slot_has_room(slot) && slot_may_send(slot)) {
        struct recipient *recipient = recipients_pop(ready);
        slot->has_turn = false;
        if (worker_is_held(slot->worker, recipient))
            worker_give_back(slot->worker, recipient);
        else if (outcome_is_too_late(slot->worker, recipient))
            worker_expire(slot->worker, recipient);
        else if (!recipient->outgoing->alike || !several_gather(slot, recipient))
            hand_over(slot, recipient);
    }
    slot->has_turn = false;
    worker_compose_ahead(slot->worker, slot->destination->site);
    if (slot->several)
        return;
    if (should_close(slot) || (smtp_client_is_idle(slot->client) && !smtp_client_has_room(slot->client))) {
        slot->state = SLOT_CLOSING;
        smtp_client_quit(slot->client);
    } else if (slot->under_way_count == 0) {
        time_ms idle = slot->worker->engine->options.idle_ms;
        bool is_wanted =
            (slot->worker->first_short || slot->destination->site->is_crowded) && !destination_waits(slot->destination);
        timer_set(&slot->idle, is_wanted ? 0 : idle ? idle : IDLE_MS);
    }
}

/* The next reply has its time, and no more than what is left for all of them (R26). */
static void keep_time(struct slot *slot)
{
    unsigned step = smtp_client_step(slot->client), span = smtp_client_span(slot->client);
    if (step == slot->step)
        return;
    slot->step = step;
    time_ms now = loop_now(slot->worker->loop), wait = smtp_client_timeout_ms(slot->client);
    if (span != slot->span) {
        time_ms whole = smtp_client_span_ms(slot->client);
        slot->span = span;
        slot->span_until = whole ? now + slot_scaled(slot, whole) : 0;
    }
    time_ms left = slot->span_until > now ? slot->span_until - now : 1;
    wait = wait ? slot_scaled(slot, wait) : 0;
    if (wait && slot->span_until && left < wait)
        stream_deadline(slot->stream, left, "SMTP reply, all of a mail's time being used up");
    else
        stream_deadline(slot->stream, wait, "SMTP reply");
}

static void write_out(struct slot *slot)
{
    bool has_more;
    do {
        if (stream_room(slot->stream) < OUT_ROOM_LEAST)
            break;
        has_more = smtp_client_write(slot->client, stream_out(slot->stream));
    } while (has_more);
    stream_written(slot->stream);
    keep_time(slot);
}

void slot_begin(struct slot *slot)
{
    slot->client = slot_client_new(slot);
    slot->state = SLOT_TALKING;
    atomic_fetch_add(&slot->worker->engine->connections, 1);
    write_out(slot);
}

/* ── the end ── */

void slot_end(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct site *site = slot->destination->site;
    if (slot->several)
        several_dissolve(slot);
    bool came_about = slot->state == SLOT_OPEN || slot->state == SLOT_CLOSING;
    if (slot->stream)
        stream_flush(slot->stream); /* our goodbye */
    if (slot->stream && came_about && !worker->is_stopping) {
        slot_leave(slot);
        return worker_pump(worker, site);
    }
    if (worker->is_stopping)
        stream_close(slot->stream);
    else
        stream_leave(slot->stream, SLOT_LEAVE_MS);
    slot->stream = NULL;
    if (worker->is_stopping || came_about || slot->is_source_fault)
        slot_free(slot);
    else
        slot_failed(slot);
    worker_pump(worker, site);
}

void slot_stream_ended(struct slot *slot, const char *why)
{
    bool is_tls = slot->was_tls_failure;
    struct smtp_client_event event;
    struct slice nothing = SLICE("");
    smtp_client_closed(slot->client, slice_str(why));
    while (smtp_client_next(slot->client, &nothing, &event))
        conversation_told(slot, &event);
    slot->was_tls_failure |= is_tls;
    slot->is_over = true;
    slot_end(slot);
}

static void hang_up(struct slot *slot)
{
    stream_close(slot->stream);
    slot->stream = NULL;
    smtp_client_closed(slot->client, SLICE("we hung up"));
}

/* The dot has been written: the commands of the next mail can travel with it. */
static bool takes_another(struct slot *slot)
{
    return slot->destination->ready.count && slot_has_room(slot) && slot_may_send(slot);
}

/* 354 may come long after the mark was committed: no dot goes out that our leases do not cover any more. */
static bool dot_is_late(const struct slot *slot)
{
    return loop_now(slot->worker->loop) >= atomic_load(&slot->worker->engine->safe_until) && !slot->is_over &&
           smtp_client_withhold_dot(slot->client);
}

/* Understand, hand over, write, until nothing changes. */
void slot_hear(struct slot *slot, struct slice *received)
{
    struct smtp_client_event event;
    do {
        while (smtp_client_next(slot->client, received, &event))
            conversation_told(slot, &event);
        slot->hangs_up |= dot_is_late(slot);
        if (slot->hangs_up && !slot->is_over && slot->under_way_count <= 1)
            hang_up(slot);
        offer_work(slot);
        if (slot->state == SLOT_CLOSING || !slot->stream) /* quitting an idle client is over at once */
            while (smtp_client_next(slot->client, received, &event))
                conversation_told(slot, &event);
        if (slot->stream)
            write_out(slot);
    } while (takes_another(slot));
    if (slot->is_over)
        slot_end(slot);
}

void slot_run(struct slot *slot)
{
    struct slice nothing = SLICE("");
    slot_hear(slot, &nothing);
}

/* A mail that must not go after all can only be stopped by hanging up. It is the last one handed over: the one before
 * it, whose dot is out, gets its answer first. */
void slot_marked(struct slot *slot, struct recipient *recipient, enum ledger_marked result)
{
    struct engine *engine = slot->worker->engine;
    if (slot->several)
        return several_marked(slot, recipient, result);
    if (result == LEDGER_MARKED && loop_now(slot->worker->loop) < atomic_load(&engine->safe_until))
        smtp_client_release_dot(slot->client);
    else
        slot->hangs_up = true;
    recipient->wants_drop = result != LEDGER_MARKED;
    slot_run(slot);
}

void slot_leave_if_idle(struct slot *slot)
{
    if (slot->state == SLOT_OPEN && slot->under_way_count == 0)
        timer_set(&slot->idle, 0);
}

void slot_abort(struct slot *slot)
{
    if (slot->client) {
        hang_up(slot);
        return slot_run(slot);
    }
    stream_close(slot->stream);
    slot->stream = NULL;
    slot->worker->is_stopping ? slot_free(slot) : slot_failed(slot);
}
