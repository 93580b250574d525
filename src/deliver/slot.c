/* slot.c - one connection and the conversation on it
 *
 *     CONNECTING --open--> TALKING --ready--> OPEN --limit, idle, slowed--> CLOSING --> gone
 *         |                   |                 |
 *         +--next address-----+                 +--peer ends--> gone (what was under way: unsent, refused or in doubt)
 *
 * A recipient is handed to the client when the client has room; its mark goes into the worker's batch at the same
 * moment, and the dot that ends its mail is released only when that mark is committed. */
#include "deliver/parts.h"

#include "base/log.h"
#include <limits.h>

enum {
    CONNECT_TIMEOUT_MS = 30000,
    HANDSHAKE_TIMEOUT_MS = 60000,
    LEAVE_MS = 2000,
    AVOID_TLS_MS = 600000,
    OUT_ROOM_LEAST = 96 * 1024, /* a client's turn may append a chunk of 64 KiB, stuffed */
    UNSENT_MOST = 3,
    FAILURES_BELIEVED = 2,
};

static void slot_step(struct slot *slot, struct slice *received);

static const struct route_host *host_of(const struct slot *slot)
{
    return &slot->destination->route.hosts[slot->host];
}

static time_ms scaled(const struct slot *slot, time_ms wait)
{
    double factor = slot->worker->engine->options.timeouts.factor;
    return factor > 0 ? (time_ms)((double)wait * factor) + 1 : wait;
}

static void remove_under_way(struct slot *slot, const struct recipient *recipient)
{
    for (int i = 0; i < slot->under_way_count; i++) {
        if (slot->under_way[i] != recipient)
            continue;
        slot->under_way[i] = slot->under_way[slot->under_way_count - 1];
        slot->under_way_count--;
        return;
    }
}

static void slot_free(struct slot *slot)
{
    struct destination *destination = slot->destination;
    struct worker *worker = slot->worker;
    if (slot->before)
        slot->before->next = slot->next;
    else
        destination->slots = slot->next;
    if (slot->next)
        slot->next->before = slot->before;
    destination->slot_count--;
    destination->site->slots--;
    timer_clear(&slot->idle);
    smtp_client_free(slot->client);
    buf_release(&slot->remote);
    buf_release(&slot->last_words.text);
    free(slot);
    worker_slot_gone(worker);
}

/* ── what the conversation tells ── */

/* The conversation ended before this recipient's dot: another connection takes it, unless that goes on and on. */
static void recipient_unsent(struct slot *slot, struct recipient *recipient, const struct reply *reply,
                             enum stage stage)
{
    struct worker *worker = slot->worker;
    if (recipient->wants_drop) {
        recipient->next_due = 0;
        worker_send_home(worker, recipient);
        return;
    }
    bool is_first = slot->sent <= 1; /* a connection that ends between two messages is a normal end (R25) */
    if (is_first && ++recipient->unsent >= UNSENT_MOST) {
        struct verdict verdict;
        struct ledger_move move;
        rules_verdict_of_reason(worker->engine->options.rules, REASON_NETWORK_ERROR, false, &verdict);
        outcome_of_reply(worker, recipient, reply, stage, buf_slice(&slot->remote), &verdict, &move);
        worker_outcome(worker, recipient, &move);
        return;
    }
    if (recipient->mark_is_pending)
        recipient->wants_back = true;
    else if (recipient->is_marked)
        worker_unmark(worker, recipient);
    else if (worker->is_stopping)
        worker_give_back(worker, recipient);
    else
        recipients_push_front(&slot->destination->ready, recipient);
}

static void recipient_told(struct slot *slot, const struct smtp_client_event *event)
{
    struct worker *worker = slot->worker;
    struct recipient *recipient = event->message->owner;
    struct slice remote = buf_slice(&slot->remote);
    struct ledger_move move;
    remove_under_way(slot, recipient);
    switch (event->outcome) {
    case SMTP_DELIVERED:
        slot->any_delivered = true;
        outcome_delivered(worker, recipient, &event->reply, remote, &move);
        break;
    case SMTP_REFUSED:
    case SMTP_AGAIN: /* one recipient a message: too many recipients means "later" */
        outcome_of_reply(worker, recipient, &event->reply, event->stage, remote, NULL, &move);
        break;
    case SMTP_UNSENT: recipient_unsent(slot, recipient, &event->reply, event->stage); return;
    case SMTP_IN_DOUBT: outcome_in_doubt(worker, recipient, event->reply.text, remote, &move); break;
    }
    worker_outcome(worker, recipient, &move);
}

static void start_tls(struct slot *slot)
{
    char *name = slice_dup(host_of(slot)->name);
    const struct tls_want want = {.client = slot->worker->tls, .name = name, .verify = TLS_VERIFY_NONE};
    stream_deadline(slot->stream, scaled(slot, HANDSHAKE_TIMEOUT_MS), "TLS handshake");
    stream_start_tls_client(slot->stream, &want);
    free(name);
}

static void keep_last_words(struct slot *slot, const struct reply *reply, enum stage stage)
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
    case SMTP_CLIENT_WANT_DOT: /* the mark is under way */
    case SMTP_CLIENT_MESSAGE: break;
    case SMTP_CLIENT_WANT_TLS: start_tls(slot); break;
    case SMTP_CLIENT_READY:
        slot->state = SLOT_OPEN;
        slot->destination->failures = 0;
        break;
    case SMTP_CLIENT_RECIPIENT: recipient_told(slot, event); break;
    case SMTP_CLIENT_OVER:
        slot->is_over = true;
        slot->was_tls_failure = event->how == SMTP_OVER_TLS;
        keep_last_words(slot, &event->reply, event->stage);
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
        .owner = recipient,
    };
    enum smtp_fit fit = smtp_client_send(slot->client, &message);
    if (fit != SMTP_FITS) {
        struct reply reply = smtp_fit_reply(fit);
        struct ledger_move move;
        outcome_of_reply(slot->worker, recipient, &reply, STAGE_MAIL, buf_slice(&slot->remote), NULL, &move);
        worker_outcome(slot->worker, recipient, &move);
        return false;
    }
    slot->under_way[slot->under_way_count++] = recipient;
    slot->sent++;
    if (recipient->is_marked)
        smtp_client_release_dot(slot->client);
    else
        worker_mark(slot->worker, recipient);
    return true;
}

/* Idle, while the site's connections are all taken and another of its destinations waits for one. */
static bool is_wanted_elsewhere(const struct slot *slot)
{
    const struct site *site = slot->destination->site;
    if (slot->under_way_count || slot->destination->ready.count ||
        site->slots < pace_connections(&site->pace, loop_now(slot->worker->loop)))
        return false;
    for (const struct destination *other = site->destinations; other; other = other->of_site)
        if (other->ready.count)
            return true;
    return false;
}

static bool should_close(const struct slot *slot)
{
    const struct site *site = slot->destination->site;
    return is_wanted_elsewhere(slot) || slot->sent >= site->rule->messages_per_connection ||
           site->slots > pace_connections(&site->pace, loop_now(slot->worker->loop)) || slot->worker->is_stopping;
}

static void offer_work(struct slot *slot)
{
    if (slot->state != SLOT_OPEN || slot->is_over)
        return;
    timer_clear(&slot->idle);
    struct recipients *ready = &slot->destination->ready;
    while (!should_close(slot) && ready->count && slot->under_way_count < SLOT_UNDER_WAY &&
           smtp_client_has_room(slot->client)) {
        struct recipient *recipient = recipients_pop(ready);
        if (worker_is_held(slot->worker, recipient))
            worker_give_back(slot->worker, recipient);
        else
            hand_over(slot, recipient);
    }
    worker_compose_ahead(slot->worker, slot->destination->site);
    if (should_close(slot) || (smtp_client_is_idle(slot->client) && !smtp_client_has_room(slot->client))) {
        slot->state = SLOT_CLOSING;
        smtp_client_quit(slot->client);
    } else if (slot->under_way_count == 0) {
        time_ms idle = slot->worker->engine->options.idle_ms;
        timer_set(&slot->idle, idle ? idle : 5000);
    }
}

static void idle_over(struct timer *timer)
{
    struct slot *slot = timer->owner;
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

static bool next_address(struct slot *slot, bool is_host_wide)
{
    const struct route *route = &slot->destination->route;
    slot->address++;
    if (is_host_wide || slot->address >= route->hosts[slot->host].address_count) {
        slot->address = 0;
        slot->host++;
    }
    return slot->host < route->host_count;
}

/* It never came to a conversation. Another address of the route may do better; otherwise everybody waiting for it hears
 * why. */
static void slot_failed(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct destination *destination = slot->destination;
    if (slot->was_tls_failure &&
        !destination->avoids_tls) { /* R31: the same host again, in clear, remembered for a while */
        destination->avoids_tls = true;
        destination->avoid_until = loop_now(worker->loop) + AVOID_TLS_MS;
        slot_free(slot);
        return;
    }
    if (next_address(slot, slot->last_words.code != 0) && connect_to(slot))
        return;
    const struct reply reply = {
        .code = slot->last_words.code,
        .status = {slot->last_words.status[0], slot->last_words.status[1], slot->last_words.status[2]},
        .text = buf_slice(&slot->last_words.text),
    };
    bool others_stand = false;
    for (struct slot *other = destination->slots; other; other = other->next)
        others_stand |= other != slot && other->state == SLOT_OPEN;
    pace_connection_failed(&destination->site->pace, loop_now(worker->loop), worker->engine->options.retry.scale);
    if (!slot->last_words.code)
        destination->failures++; /* one lost connection says little; a second one, after the pause, does */
    if (!others_stand && (slot->last_words.code || destination->failures >= FAILURES_BELIEVED))
        destination_failed(worker, destination, &reply, slot->last_words.stage ? slot->last_words.stage : STAGE_CONNECT,
                           slot->was_tls_failure ? REASON_STARTTLS_FAILED : REASON_NETWORK_ERROR,
                           buf_slice(&slot->remote));
    slot_free(slot);
}

static void slot_end(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct site *site = slot->destination->site;
    if (slot->stream && worker->is_stopping) {
        stream_flush(slot->stream);
        stream_close(slot->stream);
    } else if (slot->stream) {
        stream_leave(slot->stream, LEAVE_MS);
    }
    slot->stream = NULL;
    bool came_about = slot->state == SLOT_OPEN || slot->state == SLOT_CLOSING;
    if (worker->is_stopping || came_about)
        slot_free(slot);
    else
        slot_failed(slot);
    worker_pump(worker, site);
}

/* Understand, hand over, write, until nothing changes. The slot may be gone afterwards. */
static void slot_step(struct slot *slot, struct slice *received)
{
    struct smtp_client_event event;
    while (smtp_client_next(slot->client, received, &event))
        conversation_told(slot, &event);
    offer_work(slot);
    if (slot->state == SLOT_CLOSING) /* quitting an idle client is over at once */
        while (smtp_client_next(slot->client, received, &event))
            conversation_told(slot, &event);
    if (slot->stream)
        write_out(slot);
    if (slot->is_over)
        slot_end(slot);
}

void slot_run(struct slot *slot)
{
    struct slice nothing = SLICE("");
    slot_step(slot, &nothing);
}

void slot_marked(struct slot *slot, struct recipient *recipient, enum ledger_marked result)
{
    if (result == LEDGER_MARKED) {
        smtp_client_release_dot(slot->client);
        return slot_run(slot);
    }
    recipient->wants_drop = true; /* the mail must not go: there is no other way to stop it than to hang up */
    slot_abort(slot);
}

void slot_abort(struct slot *slot)
{
    stream_close(slot->stream);
    slot->stream = NULL;
    if (slot->client) {
        smtp_client_closed(slot->client, SLICE("we hung up"));
        return slot_run(slot);
    }
    slot->worker->is_stopping ? slot_free(slot) : slot_failed(slot);
}

/* ── the stream ── */

static void on_open(void *owner, struct stream *stream)
{
    struct slot *slot = owner;
    const struct engine_options *options = &slot->worker->engine->options;
    if (slot->destination->avoids_tls && loop_now(slot->worker->loop) > slot->destination->avoid_until)
        slot->destination->avoids_tls = false;
    const struct smtp_client_settings settings = {
        .ehlo_name = options->ehlo_name,
        .tls = slot->destination->avoids_tls ? SMTP_TLS_NEVER : SMTP_TLS_MAY,
    };
    slot->client = smtp_client_new(&settings);
    slot->state = SLOT_TALKING;
    atomic_fetch_add(&slot->worker->engine->connections, 1);
    write_out(slot);
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
    smtp_client_tls_done(slot->client, true, info->is_verified);
    slot_run(slot);
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct slot *slot = owner;
    slot->stream = NULL;
    slot->was_tls_failure = end->why == STREAM_TLS;
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
    const struct reply silence = {.text = slice_str(end->text)};
    keep_last_words(slot, &silence, STAGE_CONNECT);
    slot_end(slot);
}

static const struct stream_events events = {on_open, on_bytes, on_drained, on_tls, on_closed};

static bool connect_to(struct slot *slot)
{
    const struct route_host *host = host_of(slot);
    struct stream_target target = {
        .to = {host->addresses[slot->address], 25},
        .deadline_ms = scaled(slot, CONNECT_TIMEOUT_MS),
    };
    char ip[IP_TEXT_ROOM];
    buf_reset(&slot->remote);
    buf_printf(&slot->remote, "%.*s[%s]", SLICE_ARG(host->name), ip_text(&target.to.ip, ip));
    smtp_client_free(slot->client);
    slot->client = NULL;
    slot->state = SLOT_CONNECTING;
    slot->is_over = slot->was_tls_failure = false;
    slot->step = UINT_MAX; /* no wait has begun */
    slot->stream = stream_connect(slot->worker->loop, &target, &events, slot);
    return slot->stream != NULL;
}

void slot_open(struct worker *worker, struct destination *destination)
{
    struct slot *slot = NEW(struct slot);
    slot->worker = worker;
    slot->destination = destination;
    buf_init(&slot->remote, 512);
    buf_init(&slot->last_words.text, 4096);
    timer_init(&slot->idle, worker->loop, idle_over, slot);
    slot->next = destination->slots;
    if (slot->next)
        slot->next->before = slot;
    destination->slots = slot;
    destination->slot_count++;
    destination->site->slots++;
    worker->connections++;
    atomic_fetch_add(&worker->engine->open_connections, 1);
    connect_to(slot);
}
