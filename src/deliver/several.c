/* several.c - identical mail for several recipients in one transaction (R20, M12)
 *
 *     gathered --all marks are settled--> under way --each is told, then all--> over
 *        |  \                                             |
 *        |   \--excluded or gone meanwhile: goes home     +--"too many": under way again, in the next transaction
 *        +--the connection ends: back to the queue, the marks taken back
 *
 * Those who get the same octets (outgoing->alike) at the same domain leave the queue together, as far as brand, site,
 * host and pace allow: each of them takes a turn of the pace and counts among the connection's mails. Their marks are
 * written before the client hears of them, so who was excluded meanwhile stays at home, and the others go. So a batch
 * is alone on its connection, and behind a crash one transaction of each connection is in doubt (R22).
 *
 * Who is told that there are too many recipients (452 behind an accepted one, 552 5.5.3, LIMITS RCPTMAX) is marked
 * already and goes next, on the same connection; how many the host took is remembered for its destination.
 *
 * The bytes that they share are held here: a recipient that is refused goes home while the others' mail is on its way.
 */
#include "deliver/several.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"
#include "deliver/slot.h"

#include <assert.h>

enum { MOST_BELIEVED_MS = 3600000 };

struct several {
    struct recipient **members;
    struct slice *rcpt_to;
    size_t count, room;
    size_t unsettled; /* marks that were not heard of */
    size_t refused;   /* told a refusal of their own */
    bool is_handed_over;
    bool is_first;           /* nothing was sent on the connection before */
    struct recipients again; /* there was no room for them */
    struct shared *bytes;
    struct slice body;
    char *from;
    bool needs_8bit, needs_smtputf8;
    bool has_said; /* one reply has refused all who were left: this was made of it */
    struct verdict said;
};

unsigned several_most(const struct destination *destination, const struct recipient *first)
{
    const struct site_rule *rule = destination->site->rule;
    unsigned most = first->outgoing->recipients_most;
    if (most > rule->recipients_per_transaction)
        most = rule->recipients_per_transaction;
    if (most > rule->messages_per_connection)
        most = rule->messages_per_connection;
    if (most > SMTP_CLIENT_RECIPIENTS)
        most = SMTP_CLIENT_RECIPIENTS;
    if (most > destination->recipients_most &&
        loop_now(destination->site->worker->loop) < destination->recipients_most_until)
        most = destination->recipients_most;
    return most ? most : 1;
}

bool several_is_awaited(const struct slot *slot)
{
    const struct destination *destination = slot->destination;
    const struct recipient *first = destination->ready.first;
    unsigned most = first && first->outgoing->alike ? several_most(destination, first) : 1;
    if (most < 2)
        return false;
    size_t enough = most < COMPOSED_TOGETHER ? most : COMPOSED_TOGETHER;
    return slot->under_way_count || (destination->composing && destination->ready.count < enough);
}

size_t several_count(const struct slot *slot)
{
    const struct several *several = slot->several;
    return several ? several->count : 0;
}

/* ── who goes together ── */

/* As the slot stands now. */
static size_t most_now(const struct slot *slot, const struct recipient *first)
{
    size_t most = several_most(slot->destination, first), left = slot->destination->ready.count + 1;
    size_t of_connection = slot->destination->site->rule->messages_per_connection - (unsigned)slot->sent;
    uint32_t of_host = smtp_client_can(slot->client)->rcpt_max;
    if (of_host && most > of_host)
        most = of_host;
    if (most > of_connection)
        most = of_connection;
    return most < left ? most : left;
}

static bool is_alike(const struct recipient *a, const struct recipient *b)
{
    const struct outgoing *one = a->outgoing, *other = b->outgoing;
    return one->alike == other->alike && slice_equal(a->domain, b->domain) && one->needs_8bit == other->needs_8bit &&
           one->needs_smtputf8 == other->needs_smtputf8 && other->shared;
}

static bool fits(const struct slot *slot, const struct recipient *recipient)
{
    const struct outgoing *out = recipient->outgoing;
    const struct smtp_message message = {
        .mail_from = out->shared_from,
        .recipients = &out->rcpt_to,
        .recipient_count = 1,
        .body = &out->body,
        .body_count = 1,
        .needs_8bit = out->needs_8bit,
        .needs_smtputf8 = out->needs_smtputf8,
    };
    return smtp_client_fits(slot->client, &message) == SMTP_FITS;
}

static struct several *several_new(const struct slot *slot, const struct recipient *first, size_t room)
{
    const struct outgoing *out = first->outgoing;
    struct several *several = NEW(struct several);
    several->members = NEW_ARRAY(struct recipient *, room);
    several->rcpt_to = NEW_ARRAY(struct slice, room);
    several->room = room;
    several->is_first = slot->sent == 0;
    several->bytes = shared_hold(out->shared);
    several->body = out->body;
    several->from = slice_dup(out->shared_from);
    several->needs_8bit = out->needs_8bit;
    several->needs_smtputf8 = out->needs_smtputf8;
    recipients_init(&several->again);
    return several;
}

static void several_free(struct slot *slot)
{
    struct several *several = slot->several;
    shared_drop(several->bytes);
    free(several->from);
    free(several->members);
    free(several->rcpt_to);
    free(several);
    slot->several = NULL;
    slot->under_way_count = 0;
    slot->worker->busy--;
}

static void member_add(struct slot *slot, struct several *several, struct recipient *recipient)
{
    several->members[several->count++] = recipient;
    recipient->slot = slot;
    slot->sent++;
    egress_sent(slot->egress, loop_now(slot->worker->loop));
}

bool several_gather(struct slot *slot, struct recipient *first)
{
    struct recipients *ready = &slot->destination->ready;
    struct several *several = NULL;
    size_t most = slot->under_way_count ? 1 : most_now(slot, first);
    if (most < 2 || !first->outgoing->shared || !fits(slot, first))
        return false;
    for (struct recipient **at = &ready->first; *at && (!several || several->count < most);) {
        struct recipient *other = *at;
        if (!is_alike(first, other) || !fits(slot, other) || worker_is_held(slot->worker, other)) {
            at = &other->next;
            continue;
        }
        if (!several) {
            several = several_new(slot, first, most);
            member_add(slot, several, first);
        }
        if (!slot_may_send_also(slot, other))
            break;
        member_add(slot, several, recipients_take(ready, at));
    }
    if (!several)
        return false;
    slot->several = several;
    slot->under_way_count = 1;
    slot->worker->busy++;
    several->unsettled = several->count;
    for (size_t i = 0; i < several->count; i++)
        worker_mark(slot->worker, several->members[i]);
    return true;
}

/* ── to the client ── */

/* The lease may be over, somebody may have said "hold", or the host wants no more mails on this connection. */
static bool may_go(const struct slot *slot)
{
    const struct several *several = slot->several;
    struct worker *worker = slot->worker;
    if (slot->state != SLOT_OPEN || slot->is_over || !slot->stream || worker->is_stopping ||
        !smtp_client_has_room(slot->client) || loop_now(worker->loop) >= atomic_load(&worker->engine->safe_until))
        return false;
    for (size_t i = 0; i < several->count; i++)
        if (worker_is_held(worker, several->members[i]))
            return false;
    return true;
}

static void hand_over(struct slot *slot)
{
    enum { HELD_WHOLE_MOST = 32 * 1024 };
    struct several *several = slot->several;
    for (size_t i = 0; i < several->count; i++)
        several->rcpt_to[i] = several->members[i]->outgoing->rcpt_to;
    if (several->count == 1) { /* nobody else is left: his own return path tells more */
        free(several->from);
        several->from = slice_dup(several->members[0]->outgoing->mail_from);
    }
    const struct smtp_message message = {
        .mail_from = slice_str(several->from),
        .recipients = several->rcpt_to,
        .recipient_count = several->count,
        .body = &several->body,
        .body_count = 1,
        .needs_8bit = several->needs_8bit,
        .needs_smtputf8 = several->needs_smtputf8,
        .is_held_whole = several->body.len <= HELD_WHOLE_MOST,
        .owner = several,
    };
    several->is_handed_over = true;
    several->refused = 0;
    several->has_said = false;
    enum smtp_fit fit = smtp_client_send(slot->client, &message);
    assert(fit == SMTP_FITS); /* each of them was asked about */
    smtp_client_release_dot(slot->client);
}

/* Those that are left go, or back into the queue. */
static void go(struct slot *slot)
{
    if (slot->several->count == 0)
        several_free(slot);
    else if (may_go(slot))
        hand_over(slot);
    else
        several_dissolve(slot);
}

/* Not in flight: the client does not know of them. */
void several_dissolve(struct slot *slot)
{
    struct several *several = slot->several;
    for (size_t i = several->count; i-- > 0;) {
        struct recipient *recipient = several->members[i];
        recipient->slot = NULL;
        if (recipient->wants_drop)
            worker_send_home(slot->worker, recipient);
        else
            recipient_goes_back(slot->worker, recipient);
    }
    several_free(slot);
}

void several_marked(struct slot *slot, struct recipient *recipient, enum ledger_marked result)
{
    struct several *several = slot->several;
    recipient->wants_drop = result != LEDGER_MARKED;
    if (--several->unsettled)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < several->count; i++) {
        struct recipient *member = several->members[i];
        if (!member->wants_drop) {
            several->members[kept++] = member;
            continue;
        }
        member->slot = NULL;
        worker_send_home(slot->worker, member);
    }
    several->count = kept;
    go(slot);
    slot_run(slot);
}

/* ── what the conversation tells ── */

/* The host takes no more in one transaction: it has taken those before this one that it did not refuse. */
static void remember_most(struct slot *slot, size_t index)
{
    struct several *several = slot->several;
    struct destination *destination = slot->destination;
    if (several->again.count || index <= several->refused)
        return;
    destination->recipients_most = (unsigned)(index - several->refused);
    destination->recipients_most_until = loop_now(slot->worker->loop) + MOST_BELIEVED_MS;
}

/* What refuses the whole transaction is one reply, and the pace hears it once. */
static void refused(struct slot *slot, struct recipient *recipient, const struct smtp_client_event *event,
                    struct ledger_move *move)
{
    struct several *several = slot->several;
    struct worker *worker = slot->worker;
    struct slice remote = buf_slice(&slot->remote);
    bool is_own = event->stage == STAGE_RCPT;
    if (!is_own && several->has_said) {
        outcome_of_same_reply(worker, recipient, slot->egress, &event->reply, event->stage, remote, &several->said,
                              move);
        return;
    }
    outcome_of_reply(worker, recipient, slot->egress, &event->reply, event->stage, remote, NULL, move);
    several->refused += is_own;
    if (is_own)
        return;
    several->has_said = true;
    several->said = move->event.verdict;
}

void several_told(struct slot *slot, const struct smtp_client_event *event)
{
    struct several *several = slot->several;
    struct worker *worker = slot->worker;
    struct recipient *recipient = several->members[event->index];
    struct slice remote = buf_slice(&slot->remote);
    struct ledger_move move;
    if (event->outcome == SMTP_AGAIN) {
        remember_most(slot, event->index);
        recipients_push(&several->again, recipient);
        return;
    }
    recipient->slot = NULL;
    if (slot_has_had_enough(slot, event))
        return slot_unsent(slot, recipient, &event->reply, event->stage, false);
    switch (event->outcome) {
    case SMTP_DELIVERED:
        slot->any_delivered = true;
        outcome_delivered(worker, recipient, slot->egress, &event->reply, remote, &move);
        break;
    case SMTP_AGAIN:
    case SMTP_REFUSED: refused(slot, recipient, event, &move); break;
    case SMTP_UNSENT: slot_unsent(slot, recipient, &event->reply, event->stage, several->is_first); return;
    case SMTP_IN_DOUBT: outcome_in_doubt(worker, recipient, &event->reply, remote, &move); break;
    }
    worker_outcome(worker, recipient, &move);
}

void several_over(struct slot *slot)
{
    struct several *several = slot->several;
    several->count = 0;
    several->is_handed_over = several->is_first = false;
    while (several->again.count)
        several->members[several->count++] = recipients_pop(&several->again);
    deferred_ask(&slot->worker->flush); /* so many outcomes need not wait for company */
    go(slot);
}
