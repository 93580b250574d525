/* slot.c - one connection and the conversation on it
 *
 *     CONNECTING --open--> TALKING --ready--> OPEN --limit, idle, slowed--> CLOSING --> gone
 *         |                   |                 |
 *         +--next address-----+                 +--peer ends--> gone (what was under way: unsent, refused or in doubt)
 *
 * A recipient is handed to the client when the client has room, so that its commands travel with the dot before it; its
 * mark goes into the worker's batch together with the outcome of the one before it (at once, when there is none), and
 * the dot that ends its mail is released only when that mark is committed. */
#include "deliver/parts.h"

#include "base/log.h"
#include <assert.h>
#include <limits.h>

enum {
    CONNECT_TIMEOUT_MS = 30000,
    HANDSHAKE_TIMEOUT_MS = 60000,
    LEAVE_MS = 2000,
    CLEAR_MS = 600000,
    FAMILY_DEAD_MS = 600000,
    OUT_ROOM_LEAST = 96 * 1024,  /* a client's turn may append a chunk of 64 KiB, stuffed */
    HELD_WHOLE_MOST = 32 * 1024, /* a longer body begins its way while the mark is being written */
    UNSENT_MOST = 3,
    TURN = 10, /* messages of a connection, when others wait for one */
    IDLE_MS = 5000,
    FAILURES_BELIEVED = 2,
};

static void slot_step(struct slot *slot, struct slice *received);
static void slot_waited(struct slot *slot);

static time_ms scaled(const struct slot *slot, time_ms wait)
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

static void slot_free(struct slot *slot)
{
    struct destination *destination = slot->destination;
    struct worker *worker = slot->worker;
    assert(slot->under_way_count == 0);
    if (slot->before)
        slot->before->next = slot->next;
    else
        destination->slots = slot->next;
    if (slot->next)
        slot->next->before = slot->before;
    destination->slot_count--;
    destination->site->slots--;
    slot->egress->slots--;
    slot->egress->standing -= slot->has_stood;
    timer_clear(&slot->idle);
    smtp_client_free(slot->client);
    route_kept_drop(slot->kept);
    buf_release(&slot->remote);
    buf_release(&slot->last_words.text);
    free(slot->tls_info);
    free(slot->opened_for);
    free(slot->policy_domain);
    free(slot);
    worker_slot_gone(worker);
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
    if (is_first && ++recipient->unsent >= UNSENT_MOST) {
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

static void recipient_told(struct slot *slot, const struct smtp_client_event *event)
{
    struct worker *worker = slot->worker;
    if (slot->several)
        return several_told(slot, event);
    struct recipient *recipient = event->message->owner;
    struct slice remote = buf_slice(&slot->remote);
    struct ledger_move move;
    remove_under_way(slot, recipient);
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
    case SMTP_IN_DOUBT: outcome_in_doubt(worker, recipient, event->reply.text, remote, &move); break;
    }
    worker_outcome(worker, recipient, &move);
    if (event->outcome != SMTP_IN_DOUBT) /* then the conversation is over */
        mark_next(slot);
}

void slot_keep_last_words(struct slot *slot, const struct reply *reply, enum stage stage)
{
    slot->last_words.code = reply->code;
    memcpy(slot->last_words.status, reply->status, sizeof(reply->status));
    slot->last_words.stage = stage;
    buf_reset(&slot->last_words.text);
    buf_append(&slot->last_words.text, slice_head(reply->text, slot->last_words.text.limit));
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
    case SMTP_CLIENT_WANT_TLS: slot_start_tls(slot, scaled(slot, HANDSHAKE_TIMEOUT_MS)); break;
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
    return slot->sent >= (int)site->rule->messages_per_connection ||
           (others_wait && slot->sent >= (site->urgent_waits ? 1 : TURN)) ||
           egress_has_too_many(slot->egress, loop_now(slot->worker->loop)) || !slot->egress->is_usable ||
           (only && slot->egress != only) || slot->worker->is_stopping;
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

static void idle_over(struct timer *timer)
{
    struct slot *slot = timer->owner;
    if (slot->state == SLOT_CONNECTING)
        return slot_waited(slot);
    slot->state = SLOT_CLOSING;
    smtp_client_quit(slot->client);
    slot_run(slot);
}

static void write_out(struct slot *slot)
{
    bool has_more;
    do {
        if (stream_room(slot->stream) < OUT_ROOM_LEAST)
            break;
        has_more = smtp_client_write(slot->client, stream_out(slot->stream));
    } while (has_more);
    stream_flush_soon(slot->stream);
    unsigned step = smtp_client_step(slot->client);
    if (step != slot->step) {
        slot->step = step;
        time_ms wait = smtp_client_timeout_ms(slot->client);
        stream_deadline(slot->stream, wait ? scaled(slot, wait) : 0, "SMTP reply");
    }
}

/* ── the end ── */

static bool connect_to(struct slot *slot);

/* R17: while a family does not connect at this destination, its addresses are left out where the host has others that
 * our source can reach. */
static bool is_dead_family(const struct slot *slot, const struct route_host *host, size_t address)
{
    if (slot->egress->from.family)
        return false;
    const time_ms *dead = slot->destination->dead_until, now = loop_now(slot->worker->loop);
    uint8_t family = slot_address(slot, host, address)->family;
    if (now >= dead[family == 6])
        return false;
    for (size_t i = 0; i < host->address_count; i++)
        if (host->addresses[i].family != family && now >= dead[family != 6])
            return true;
    return false;
}

/* R17: who refuses us in its first words may know nothing against our address of the other family. From now on that one
 * is used for a while. False: there is no other. */
static bool blocked_by_family(struct slot *slot)
{
    const struct route_host *host = &slot->kept->route.hosts[slot->host];
    bool is_early = slot->last_words.stage == STAGE_CONNECT || slot->last_words.stage == STAGE_EHLO;
    if (slot->last_words.code < 500 || !is_early || slot->egress->from.family || slot->address >= host->address_count)
        return false;
    time_ms now = loop_now(slot->worker->loop), *dead = slot->destination->dead_until;
    uint8_t family = slot_address(slot, host, slot->address)->family;
    bool has_other = false;
    for (size_t i = 0; i < host->address_count; i++)
        has_other |= host->addresses[i].family != family;
    if (!has_other || now < dead[family != 6])
        return false;
    dead[family == 6] = now + FAMILY_DEAD_MS;
    slot->address = 0; /* the first that is left */
    return true;
}

static bool next_address(struct slot *slot, bool is_host_wide)
{
    const struct route *route = &slot->kept->route;
    const struct route_host *host = &route->hosts[slot->host];
    do
        slot->address++;
    while (slot->address < host->address_count && is_dead_family(slot, host, slot->address));
    if (is_host_wide || slot->address >= route->hosts[slot->host].address_count) {
        slot->address = 0;
        slot->host++;
    }
    return slot->host < route->host_count;
}

bool slot_place(struct slot *slot)
{
    const struct route *route = &slot->kept->route;
    while (slot->host < route->host_count) {
        bool was_seen = tls_was_seen(slot->kept, slot->host, world_wall(slot->worker->engine->options.world));
        slot->security = security_of(&slot->kept->policy, &route->hosts[slot->host], was_seen);
        if (slot->security.level == TLS_LEVEL_REFUSED) {
            slot_tls_refused(slot);
            slot->address = 0;
            slot->host++;
            continue;
        }
        const struct route_host *host = &route->hosts[slot->host];
        while (slot->address < host->address_count && is_dead_family(slot, host, slot->address))
            slot->address++;
        if (slot->address < host->address_count)
            return true;
        slot->address = 0;
        slot->host++;
    }
    return false;
}

/* Is another connection of this destination in a state of at least this? */
static bool others_stand(const struct slot *slot, enum slot_state least)
{
    for (const struct slot *other = slot->destination->slots; other; other = other->next)
        if (other != slot && other->state >= least)
            return true;
    return false;
}

/* No address of the route would talk to us. While other connections stand, it was only one too many of them; while
 * others are on their way, they decide; the last one speaks for the host, and everybody waiting hears why. */
static void slot_gave_up(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct destination *destination = slot->destination;
    struct egress *egress = slot->egress;
    time_ms now = loop_now(worker->loop);
    bool is_policy = slot_relay_failed(slot) || (slot->was_tls_failure && slot->security.level != TLS_LEVEL_MAY);
    const struct reply reply = {
        .code = slot->last_words.code,
        .status = {slot->last_words.status[0], slot->last_words.status[1], slot->last_words.status[2]},
        .text = buf_slice(&slot->last_words.text),
    };
    enum stage stage = slot->last_words.stage ? slot->last_words.stage : STAGE_CONNECT;
    if (reply.code)
        pace_hears_reply(&egress->pace, &reply, stage, now);
    if (others_stand(slot, SLOT_CONNECTING)) {
        pace_crowded(&egress->pace, egress->standing, now);
        egress_lowered(egress, &reply, stage, buf_slice(&slot->remote));
        destination->has_doubts = !others_stand(slot, SLOT_OPEN);
        return;
    }
    destination->has_doubts = false;
    if (egress->standing && !is_policy) /* others of the site talk with us: it is these hosts */
        destination_closed(destination, now);
    else if (!is_policy) /* what one domain demands is no reason to be slower with the whole site */
        pace_failed(&egress->pace, 0, loop_random(worker->loop), now);
    egress_lowered(egress, &reply, stage, buf_slice(&slot->remote));
    if (!reply.code)
        destination->failures++; /* one lost connection says little; a second one, after the pause, does */
    if (reply.code || is_policy || destination->failures >= FAILURES_BELIEVED)
        destination_failed(worker, destination, &reply, stage,
                           slot->was_tls_failure ? REASON_STARTTLS_FAILED : REASON_NETWORK_ERROR,
                           buf_slice(&slot->remote));
}

/* The same connection's next try: one more that is opened, as the site counts them. */
static bool connect_again(struct slot *slot)
{
    time_ms now = loop_now(slot->worker->loop), wait = egress_may_open_instead(slot->egress, now);
    if (wait) { /* idle_over goes on */
        smtp_client_free(slot->client);
        slot->client = NULL;
        slot->state = SLOT_CONNECTING;
        timer_set(&slot->idle, wait);
        return true;
    }
    egress_opened(slot->egress, now);
    return connect_to(slot);
}

/* It never came to a conversation. Another address of the route may do better. */
static void slot_failed(struct slot *slot)
{
    bool is_tls = slot->was_tls_failure && !slot->is_in_clear;
    if (is_tls && slot_tls_failed(slot)) { /* R31: the same host again, in clear, remembered for a while */
        destination_clear(slot->destination, slot->host, loop_now(slot->worker->loop) + CLEAR_MS);
        if (connect_again(slot))
            return;
    } else if (!is_tls && blocked_by_family(slot)) {
        if (connect_again(slot))
            return;
    } else if (next_address(slot, is_tls || slot->last_words.code != 0) && connect_again(slot)) {
        return;
    }
    slot_gave_up(slot);
    slot_free(slot);
}

/* The limit on new connections lets it go on with its next address. */
static void slot_waited(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct site *site = slot->destination->site;
    if (connect_again(slot))
        return;
    slot_gave_up(slot);
    slot_free(slot);
    worker_pump(worker, site);
}

static void slot_end(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct site *site = slot->destination->site;
    if (slot->several)
        several_dissolve(slot);
    if (slot->stream && worker->is_stopping) {
        stream_flush(slot->stream);
        stream_close(slot->stream);
    } else if (slot->stream) {
        stream_flush(slot->stream); /* our goodbye is out before the connection that takes its place is asked for */
        stream_leave(slot->stream, LEAVE_MS);
    }
    slot->stream = NULL;
    bool came_about = slot->state == SLOT_OPEN || slot->state == SLOT_CLOSING;
    if (worker->is_stopping || came_about || slot->is_source_fault)
        slot_free(slot);
    else
        slot_failed(slot);
    worker_pump(worker, site);
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

/* Understand, hand over, write, until nothing changes. The slot may be gone afterwards. */
static void slot_step(struct slot *slot, struct slice *received)
{
    struct smtp_client_event event;
    do {
        while (smtp_client_next(slot->client, received, &event))
            conversation_told(slot, &event);
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
    slot_step(slot, &nothing);
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

/* ── the stream ── */

static void begin_talking(struct slot *slot)
{
    slot->client = slot_client_new(slot);
    slot->state = SLOT_TALKING;
    atomic_fetch_add(&slot->worker->engine->connections, 1);
    write_out(slot);
}

static void on_open(void *owner, struct stream *stream)
{
    struct slot *slot = owner;
    slot->is_in_clear = slot->security.level == TLS_LEVEL_MAY &&
                        loop_now(slot->worker->loop) < destination_clear_until(slot->destination, slot->host);
    if (slot_begins_with_tls(slot))
        slot_start_tls(slot, scaled(slot, HANDSHAKE_TIMEOUT_MS));
    else
        begin_talking(slot);
}

static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct slice received = bytes;
    slot_step(owner, &received);
    return bytes.len - received.len;
}

static void on_drained(void *owner, struct stream *stream)
{
    struct slot *slot = owner;
    if (slot->client)
        slot_run(slot);
}

static void on_tls(void *owner, struct stream *stream, const struct tls_info *info)
{
    struct slot *slot = owner;
    slot_has_tls(slot, info);
    if (!slot->client)
        return begin_talking(slot);
    smtp_client_tls_done(slot->client, true, info->is_verified);
    slot_run(slot);
}

/* au blocks so. */
static void connection_was_reset(struct slot *slot, const char *why)
{
    const struct reply none = {.text = slice_str(why)};
    pace_reset(&slot->egress->pace, loop_random(slot->worker->loop), loop_now(slot->worker->loop));
    egress_lowered(slot->egress, &none, STAGE_DATA, buf_slice(&slot->remote));
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct slot *slot = owner;
    slot->stream = NULL;
    if (end->why == STREAM_LOCAL && slot->egress->source_id) {
        egress_is_bad(slot->egress, end->text, loop_now(slot->worker->loop));
        slot->is_source_fault = true;
    }
    slot->was_tls_failure = end->why == STREAM_TLS;
    slot->tls_fault = end->tls;
    if (end->why == STREAM_RESET && slot->state == SLOT_OPEN && slot->under_way_count)
        connection_was_reset(slot, end->text);
    if (slot->client) {
        bool is_tls = slot->was_tls_failure;
        smtp_client_closed(slot->client, slice_str(end->text));
        struct smtp_client_event event;
        struct slice nothing = SLICE("");
        while (smtp_client_next(slot->client, &nothing, &event))
            conversation_told(slot, &event);
        slot->was_tls_failure |= is_tls;
        slot->is_over = true;
        slot_end(slot);
        return;
    }
    if (slot->tls_fault == TLS_FAULT_NONE && (end->why == STREAM_TIMEOUT || end->why == STREAM_UNREACHABLE)) {
        const struct route_host *host = &slot->kept->route.hosts[slot->host];
        slot->destination->dead_until[slot_address(slot, host, slot->address)->family == 6] =
            loop_now(slot->worker->loop) + FAMILY_DEAD_MS;
    }
    const struct reply silence = {.text = slice_str(end->text)};
    slot_keep_last_words(slot, &silence, STAGE_CONNECT);
    slot_end(slot);
}

static const struct stream_events events = {on_open, on_bytes, on_drained, on_tls, on_closed};

/* A source can only reach addresses of its own kind; and where the system chooses one, no IPv6 leaves without a name
 * that leads both ways (R17, health.c). */
static bool is_other_kind(struct slot *slot)
{
    static const struct reply none = {.text = SLICE_INIT("no address of the kind that our source has (IPv4, IPv6)")},
                              nameless = {.text = SLICE_INIT("our IPv6 address has no name that leads both ways")};
    uint8_t from = slot->egress->from.family,
            to = slot_address(slot, &slot->kept->route.hosts[slot->host], slot->address)->family;
    bool is_nameless = !from && to == 6 && atomic_load(&slot->worker->engine->ipv6_is_nameless);
    if (!is_nameless && (!from || to == from))
        return false;
    slot_keep_last_words(slot, is_nameless ? &nameless : &none, STAGE_CONNECT);
    return true;
}

static bool connect_to(struct slot *slot)
{
    bool is_placed;
    while ((is_placed = slot_place(slot)) && is_other_kind(slot))
        next_address(slot, false);
    if (!is_placed)
        return false;
    const struct route_host *host = &slot->kept->route.hosts[slot->host];
    struct stream_target target = {
        .to = {*slot_address(slot, host, slot->address), slot_port(slot)},
        .from = slot->egress->from,
        .deadline_ms = scaled(slot, CONNECT_TIMEOUT_MS),
    };
    char ip[IP_TEXT_ROOM];
    buf_reset(&slot->remote);
    buf_printf(&slot->remote, "%.*s[%s]", SLICE_ARG(host->name), ip_text(&target.to.ip, ip));
    smtp_client_free(slot->client);
    slot->client = NULL;
    slot->state = SLOT_CONNECTING;
    slot->is_over = slot->was_tls_failure = false;
    slot->tls_fault = TLS_FAULT_NONE;
    free(slot->tls_info);
    slot->tls_info = NULL;
    slot->step = UINT_MAX; /* no wait has begun */
    slot->stream = stream_connect(slot->worker->loop, &target, &events, slot);
    return true;
}

void slot_open(struct worker *worker, struct destination *destination, struct egress *egress)
{
    struct slot *slot = NEW(struct slot);
    slot->worker = worker;
    slot->destination = destination;
    slot->egress = egress;
    slot->begins_other = destination->turn;
    destination->turn = !destination->turn;
    slot->kept = destination->kept;
    slot->kept->held++;
    const struct recipient *waits = destination->ready.first ? destination->ready.first : destination->raw.first;
    slot->opened_for = slice_dup(waits ? waits->domain : SLICE(""));
    buf_init(&slot->remote, 512);
    buf_init(&slot->last_words.text, 4096);
    timer_init(&slot->idle, worker->loop, idle_over, slot);
    slot->next = destination->slots;
    if (slot->next)
        slot->next->before = slot;
    destination->slots = slot;
    destination->slot_count++;
    destination->site->slots++;
    egress->slots++;
    egress_opened(egress, loop_now(worker->loop));
    worker->connections++;
    atomic_fetch_add(&worker->engine->open_connections, 1);
    if (!connect_to(slot)) {
        slot_gave_up(slot);
        slot_free(slot);
    }
}
