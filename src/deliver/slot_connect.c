/* slot_connect.c - a slot from nothing to a conversation, and what its stream tells
 *
 *     open --> connect --> the stream stands, in TLS where it begins so --> slot.c
 *                ^   |
 *                |   +--no answer, no TLS, no greeting--> failed --no address left--> gave up --> gone
 *                +---another family, another address, in clear: as fast as the pace lets connections be opened
 *
 * and its end: slot.c --has quit--> leaving --the peer ends it, or 2 s--> gone */
#include "deliver/engine_inside.h"
#include "deliver/site.h"
#include "deliver/slot.h"

#include <assert.h>
#include <limits.h>

enum { CONNECT_TIMEOUT_MS = 30000, FAILURES_BELIEVED = 2 };

static void link_slot(struct slot **first, struct slot *slot)
{
    slot->next = *first;
    if (slot->next)
        slot->next->place = &slot->next;
    slot->place = first;
    *first = slot;
}

static void unlink_slot(struct slot *slot)
{
    *slot->place = slot->next;
    if (slot->next)
        slot->next->place = slot->place;
    if (slot->destination)
        slot->destination->slot_count--;
    slot->destination = NULL;
}

void slot_free(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct site *moved_to = slot->egress->site; /* its source has changed its pool, and waits there for this end */
    assert(slot->under_way_count == 0);
    unlink_slot(slot);
    slot->site->slots--;
    slot->egress->slots--;
    if (moved_to != slot->site && !worker->is_stopping)
        timer_set(&moved_to->wake, 0);
    slot->egress->standing -= slot->has_stood;
    timer_clear(&slot->idle);
    smtp_client_free(slot->client);
    route_kept_drop(slot->kept);
    buf_release(&slot->remote);
    buf_release(&slot->last_words.text);
    buf_release(&slot->for_now.text);
    buf_release(&slot->for_now_at);
    free(slot->tls_info);
    free(slot->opened_for);
    free(slot->policy_domain);
    free(slot);
    worker_slot_gone(worker);
}

void slot_leave(struct slot *slot)
{
    assert(slot->under_way_count == 0 && !slot->several);
    unlink_slot(slot);
    link_slot(&slot->worker->leaving, slot);
    timer_clear(&slot->idle);
    smtp_client_free(slot->client);
    slot->client = NULL;
    slot->state = SLOT_LEAVING;
    stream_resume(slot->stream);
    stream_end_writing(slot->stream);
    stream_deadline(slot->stream, SLOT_LEAVE_MS, "goodbye");
}

static void slot_has_left(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct site *site = slot->site;
    slot_free(slot);
    worker_pump(worker, site);
}

/* ── what the stream tells ── */

static void on_open(void *owner, struct stream *stream)
{
    struct slot *slot = owner;
    slot->is_in_clear = slot->security.level == TLS_LEVEL_MAY &&
                        loop_now(slot->worker->loop) < route_clear_until(slot->kept, slot->host);
    if (slot_begins_with_tls(slot))
        slot_start_tls(slot);
    else
        slot_begin(slot);
}

static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct slot *slot = owner;
    struct slice received = bytes;
    if (slot->state == SLOT_LEAVING)
        return bytes.len; /* its goodbye, which nobody waits for (R23) */
    slot_hear(slot, &received);
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
        return slot_begin(slot);
    smtp_client_tls_done(slot->client, true, info->is_verified);
    slot_run(slot);
}

/* au blocks so. But behind a mail that went, where the next one has heard nothing yet, it is an end like others (R25);
 * and who has refused STARTTLS is met in clear. */
static void connection_was_reset(struct slot *slot, const char *why)
{
    enum stage stage = smtp_client_stage(slot->client);
    bool is_between = slot->any_delivered && (stage == STAGE_MAIL || stage == STAGE_UNKNOWN);
    if (is_between || smtp_client_misses_tls(slot->client))
        return;
    const struct reply none = {.text = slice_str(why)};
    pace_reset(&slot->egress->pace, loop_random(slot->worker->loop), loop_now(slot->worker->loop));
    egress_lowered(slot->egress, &none, stage, buf_slice(&slot->remote));
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct slot *slot = owner;
    slot->stream = NULL;
    if (slot->state == SLOT_LEAVING)
        return slot_has_left(slot);
    if (end->why == STREAM_LOCAL && slot->egress->source_id) {
        egress_is_bad(slot->egress, end->text, loop_now(slot->worker->loop));
        slot->is_source_fault = true;
    }
    slot->was_tls_failure = end->why == STREAM_TLS;
    slot->tls_fault = end->tls;
    if (end->why == STREAM_RESET && slot->state == SLOT_OPEN && slot->under_way_count)
        connection_was_reset(slot, end->text);
    if (slot->client)
        return slot_stream_ended(slot, end->text);
    if (slot->tls_fault == TLS_FAULT_NONE && (end->why == STREAM_TIMEOUT || end->why == STREAM_UNREACHABLE))
        slot_family_is_dead(slot);
    const struct reply silence = {.text = slice_str(end->text)};
    slot_keep_last_words(slot, &silence, STAGE_CONNECT);
    slot_end(slot);
}

static const struct stream_events events = {on_open, on_bytes, on_drained, on_tls, on_closed};

/* ── opening one ── */

static bool connect_to(struct slot *slot)
{
    if (!slot_place(slot))
        return false;
    const struct route_host *host = &slot->kept->route.hosts[slot->host];
    struct stream_target target = {
        .to = {*slot_address(slot, host, slot->address), slot_port(slot)},
        .from = slot->egress->from,
        .deadline_ms = slot_scaled(slot, CONNECT_TIMEOUT_MS),
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
    slot->step = slot->span = UINT_MAX; /* no wait has begun */
    slot->stream = stream_connect(slot->worker->loop, &target, &events, slot);
    return true;
}

/* ── no conversation came of it ── */

/* Is another connection of this destination in a state of at least this? */
static bool others_stand(const struct slot *slot, enum slot_state least)
{
    for (const struct slot *other = slot->destination->slots; other; other = other->next)
        if (other != slot && other->state >= least)
            return true;
    return false;
}

/* A host that refuses everybody (5xx) decides nothing while another one of them is only away for now: a backup that is
 * no mail server may stand behind a primary that is busy. */
static void speak_for_all(struct slot *slot)
{
    if (slot->last_words.code < 500 || !slot->for_now_at.len)
        return;
    const struct reply reply = reply_of_kept(&slot->for_now);
    slot_keep_last_words(slot, &reply, slot->for_now.stage);
    slot->was_tls_failure = slot->for_now.stage == STAGE_STARTTLS;
    buf_reset(&slot->remote);
    buf_append(&slot->remote, buf_slice(&slot->for_now_at));
}

/* No address of the route would talk to us. While other connections stand, it was only one too many of them; while
 * others are on their way, they decide; the last one speaks for the host, and everybody waiting hears why. */
static void slot_gave_up(struct slot *slot)
{
    struct worker *worker = slot->worker;
    struct destination *destination = slot->destination;
    struct egress *egress = slot->egress;
    time_ms now = loop_now(worker->loop);
    speak_for_all(slot);
    bool is_policy = slot_relay_failed(slot) || (slot->was_tls_failure && slot->security.level != TLS_LEVEL_MAY);
    const struct reply reply = reply_of_kept(&slot->last_words);
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

/* R16: the next address, or the next host's when this one has said something or had its share of tries. */
static bool connect_elsewhere(struct slot *slot, bool is_host_wide)
{
    size_t host = slot->host;
    slot_keep_for_now(slot);
    if (++slot->tried >= SLOT_ADDRESSES_MOST)
        return false;
    if (!slot_next_address(slot, is_host_wide || ++slot->tried_of_host >= SLOT_ADDRESSES_OF_HOST))
        return false;
    if (slot->host != host)
        slot->tried_of_host = 0;
    return connect_again(slot);
}

void slot_failed(struct slot *slot)
{
    bool is_tls = slot->was_tls_failure && !slot->is_in_clear;
    if (is_tls && slot_tls_failed(slot)) { /* R31: the same host again, in clear, remembered for a while */
        slot_clear(slot);
        if (connect_again(slot))
            return;
    } else if (!is_tls && slot_other_family(slot)) {
        if (connect_again(slot))
            return;
    } else if (connect_elsewhere(slot, is_tls || slot->last_words.code != 0)) {
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

/* ── the beginning, and the clock ── */

static void idle_over(struct timer *timer)
{
    struct slot *slot = timer->owner;
    if (slot->state == SLOT_CONNECTING)
        return slot_waited(slot);
    slot->state = SLOT_CLOSING;
    smtp_client_quit(slot->client);
    slot_run(slot);
}

void slot_open(struct worker *worker, struct destination *destination, struct egress *egress)
{
    struct slot *slot = NEW(struct slot);
    slot->worker = worker;
    slot->destination = destination;
    slot->egress = egress;
    slot->kept = destination->kept;
    slot->kept->held++;
    slot_place_begin(slot);
    const struct recipient *waits = destination->ready.first ? destination->ready.first : destination->raw.first;
    slot->opened_for = slice_dup(waits ? waits->domain : SLICE(""));
    buf_init(&slot->remote, 512);
    buf_init(&slot->last_words.text, 4096);
    buf_init(&slot->for_now.text, 4096);
    buf_init(&slot->for_now_at, 512);
    timer_init(&slot->idle, worker->loop, idle_over, slot);
    slot->site = destination->site;
    link_slot(&destination->slots, slot);
    destination->slot_count++;
    slot->site->slots++;
    egress->slots++;
    egress_opened(egress, loop_now(worker->loop));
    worker->connections++;
    atomic_fetch_add(&worker->engine->open_connections, 1);
    if (!connect_to(slot)) {
        slot_gave_up(slot);
        slot_free(slot);
    }
}
