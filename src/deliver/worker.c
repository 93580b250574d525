/* worker.c - one delivery thread: its sites' recipients, composed ahead and given to slots */
#include "deliver/engine_inside.h"
#include "deliver/holds.h"
#include "deliver/ordered.h"
#include "deliver/paused.h"
#include "deliver/site.h"
#include "deliver/slot.h"

enum { COMPOSE_AGAIN_MS = 1000, COMPOSED_LIGHT = 32 * 1024 };

/* ── recipients come and go ── */

/* While stopping: nothing left in memory means that this worker has ended. */
static void stop_check(struct worker *worker)
{
    if (worker->is_stopping && worker->in_memory == 0 && worker->connections == 0 && !worker->has_ended) {
        if (!worker->has_returned) {
            worker->has_returned = true;
            bool is_awaited = allowances_return(worker);
            if (paused_tell(worker) || is_awaited)
                return; /* their answers end it */
        }
        worker->has_ended = true;
        atomic_fetch_sub(&worker->engine->busy_workers, 1);
    }
}

void worker_check_stop(struct worker *worker)
{
    stop_check(worker);
}

static void tell_home(struct worker *worker)
{
    *worker->last_home = NULL;
    dispatcher_home(worker->engine, worker->home);
    worker->last_home = &worker->home;
}

static void turn_ends(struct deferred *deferred)
{
    tell_home(deferred->owner);
}

/* All of a turn together: the dispatcher would take our core for the first, and sleep again before the second. */
void worker_send_home(struct worker *worker, struct recipient *recipient)
{
    worker->in_memory--;
    if (recipient->destination->of) /* as it was claimed */
        recipient->destination = recipient->destination->of;
    *worker->last_home = &recipient->item;
    worker->last_home = &recipient->item.next;
    if (worker->is_stopping)
        tell_home(worker);
    else
        deferred_ask(&worker->tell_home);
    stop_check(worker);
}

void worker_give_back(struct worker *worker, struct recipient *recipient)
{
    recipient->next_due = recipient->due;
    worker_send_home(worker, recipient);
}

bool worker_is_held(const struct worker *worker, const struct recipient *recipient)
{
    const struct lane_key key = {
        .brand_id = recipient->brand_id, .campaign_id = recipient->campaign_id, .domain = recipient->domain};
    return holds_has(worker->holds, &key);
}

/* The answer that a failure to find a route is. */
static void route_failed(struct worker *worker, struct recipient *recipient)
{
    const struct route *route = &recipient->destination->kept->route;
    static const struct {
        enum reason reason;
        int code;
    } answers[] = {
        [ROUTE_NO_DOMAIN] = {REASON_HOST_UNKNOWN, 550},  [ROUTE_NULL_MX] = {REASON_NOT_ACCEPT, 556},
        [ROUTE_LOOP] = {REASON_NETWORK_ERROR, 554},      [ROUTE_PROHIBITED] = {REASON_NETWORK_ERROR, 554},
        [ROUTE_TRY_LATER] = {REASON_NETWORK_ERROR, 451}, [ROUTE_NO_ADDRESS] = {REASON_NETWORK_ERROR, 451},
    };
    struct verdict verdict;
    struct reply reply = {.code = answers[route->status].code, .text = route->text};
    for (int i = 0; i < 3; i++)
        reply.status[i] = route->enhanced[i];
    rules_verdict_of_reason(worker->engine->options.rules, answers[route->status].reason, reply.code >= 500, &verdict);
    struct ledger_move move;
    outcome_of_reply(worker, recipient, NULL, &reply, STAGE_DNS, SLICE(""), &verdict, &move);
    worker_outcome(worker, recipient, &move);
}

void worker_expire(struct worker *worker, struct recipient *recipient)
{
    struct ledger_move move;
    outcome_too_late(worker, recipient, &move);
    worker_outcome(worker, recipient, &move);
}

/* Something has come for this site: it is looked after once in this turn, when all of it is here. */
static void site_told(struct site **told, struct site *site)
{
    if (site->is_told)
        return;
    site->is_told = true;
    site->next_told = *told;
    *told = site;
}

static void pump_told(struct worker *worker, struct site *told)
{
    for (struct site *site = told, *next; site; site = next) {
        next = site->next_told;
        site->is_told = false;
        worker_pump(worker, site);
    }
}

static void recipients_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct worker *worker = mailbox->owner;
    struct site *told = NULL;
    while (batch) {
        struct recipient *recipient = (struct recipient *)batch;
        batch = batch->next;
        struct destination *destination = recipient->destination;
        worker->in_memory++;
        recipient->turn = ++worker->turns;
        if (!destination->raw.last)
            destination_meet(worker, destination);
        recipient->destination = destination = destination_for(worker, destination, recipient->source_id);
        if (worker->is_stopping)
            worker_give_back(worker, recipient);
        else if (outcome_is_too_late(worker, recipient))
            worker_expire(worker, recipient);
        else if (destination->kept->route.status != ROUTE_FOUND)
            route_failed(worker, recipient);
        else
            raw_push(destination, recipient);
        site_told(&told, destination->site);
    }
    pump_told(worker, told);
}

static void composing_failed(struct worker *worker, struct recipient *recipient)
{
    struct fault why = *recipient->compose_fault;
    free(recipient->compose_fault);
    recipient->compose_fault = NULL;
    if (why.kind == FAULT_WORLD) { /* the store cannot be read: nobody's turn is lost, all wait a little */
        struct site *site = recipient->destination->site;
        if (worker->is_stopping)
            return worker_give_back(worker, recipient);
        raw_push(recipient->destination, recipient);
        site->compose_after = loop_now(worker->loop) + COMPOSE_AGAIN_MS;
        if (!timer_is_set(&site->wake))
            timer_set(&site->wake, COMPOSE_AGAIN_MS);
        return;
    }
    struct verdict verdict;
    rules_verdict_of_reason(worker->engine->options.rules, REASON_CONTENT_ERROR, true, &verdict);
    verdict.retry = RETRY_NONE;
    struct reply reply = {.code = 554, .status = {5, 6, 0}, .text = slice_str(why.text)};
    struct ledger_move move;
    outcome_of_reply(worker, recipient, NULL, &reply, STAGE_QUEUE, SLICE(""), &verdict, &move);
    worker_outcome(worker, recipient, &move);
    if (worker->engine->options.rendering_failed)
        worker->engine->options.rendering_failed(worker->engine->options.owner, recipient->campaign_id, &why);
}

static void composed_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct worker *worker = mailbox->owner;
    struct site *told = NULL;
    while (batch) {
        struct recipient *recipient = (struct recipient *)batch;
        batch = batch->next;
        struct site *site = recipient->destination->site;
        worker->composing--;
        site->composing--;
        recipient->destination->composing--;
        if (recipient->outgoing)
            site->is_heavy = recipient->outgoing->body.len > COMPOSED_LIGHT;
        if (recipient->compose_fault)
            composing_failed(worker, recipient);
        else if (worker->is_stopping)
            worker_give_back(worker, recipient);
        else
            ready_push(recipient->destination, recipient);
        site_told(&told, site);
    }
    pump_told(worker, told);
}

/* Our own words may have a rule that says more than the reason does. */
static void verdict_of_silence(struct worker *worker, const struct reply *reply, enum stage stage, enum reason reason,
                               struct slice remote, struct verdict *verdict)
{
    const struct rules *rules = worker->engine->options.rules;
    const struct refusal refusal = refusal_of_reply(reply, stage, SLICE(""), remote);
    if (reason == REASON_STARTTLS_FAILED)
        rules_judge(rules, worker->scratch, &refusal, verdict);
    if (reason != REASON_STARTTLS_FAILED || verdict->reason != reason)
        rules_verdict_of_reason(rules, reason, false, verdict);
}

void destination_failed(struct worker *worker, struct destination *destination, const struct reply *reply,
                        enum stage stage, enum reason reason, struct slice remote)
{
    struct verdict known;
    if (!reply->code)
        verdict_of_silence(worker, reply, stage, reason, remote, &known);
    for (struct recipient *recipient;
         (recipient = recipients_pop(&destination->ready)) || (recipient = raw_pop(destination));) {
        struct ledger_move move;
        outcome_of_reply(worker, recipient, NULL, reply, stage, remote, reply->code ? NULL : &known, &move);
        worker_outcome(worker, recipient, &move);
    }
}

void worker_slot_gone(struct worker *worker)
{
    worker->connections--;
    atomic_fetch_sub(&worker->engine->open_connections, 1);
    if (worker->batch) /* its last outcome waits for nobody: what a crash leaves in doubt is one for each open one */
        deferred_ask(&worker->flush);
    if (worker->first_short)
        deferred_ask(&worker->serve_short);
    stop_check(worker);
}

/* ── the thread ── */

enum control_what {
    CONTROL_HOLDS,
    CONTROL_ROUTE,
    CONTROL_LEAVE,
    CONTROL_SOURCES,
    CONTROL_ORDERED,
    CONTROL_RECALL,
    CONTROL_TELL,
    CONTROL_FORGET,
    CONTROL_STOP
};
struct control {
    struct mail_item item;
    enum control_what what;
    struct holds *holds;
    struct source_set *sources;
    struct destination *destination;
    struct route_kept *kept;
    struct lane_key whose; /* its domain is behind it */
    struct ordered *ordered;
    struct telling *telling;
    struct leaving *leaving;
};

static void stop_overdue(struct timer *timer)
{
    struct worker *worker = timer->owner;
    for (struct site *site = worker->sites; site; site = site->next_of_worker)
        for (struct destination *destination = site->destinations; destination; destination = destination->of_site)
            while (destination->slots)
                slot_abort(destination->slots);
}

/* What waits goes home as it was; what is under way may end, within the deadline. */
static void stop_begin(struct worker *worker)
{
    worker->is_stopping = true;
    tell_home(worker);
    for (struct site *site = worker->sites; site; site = site->next_of_worker) {
        timer_clear(&site->wake);
        for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
            for (struct recipient *recipient; (recipient = raw_pop(destination));)
                worker_give_back(worker, recipient);
            for (struct recipient *recipient; (recipient = recipients_pop(&destination->ready));)
                worker_give_back(worker, recipient);
            struct slot *next;
            for (struct slot *slot = destination->slots; slot; slot = next) {
                next = slot->next;
                if (slot->under_way_count == 0)
                    slot_abort(slot);
            }
        }
    }
    while (worker->leaving)
        slot_abort(worker->leaving);
    timer_set(&worker->stop_deadline, worker->engine->drain_ms);
    batches_refused_again(&worker->refused_again);
    stop_check(worker);
}

static void recall(struct worker *worker, const struct lane_key *whose)
{
    for (struct site *site = worker->sites; site; site = site->next_of_worker)
        for (struct destination *destination = site->destinations; destination; destination = destination->of_site)
            if (!destination->of && (destination_waits(destination) || destination->slot_count || destination->pinned))
                destination_is_left(worker, destination, whose);
}

static void control_arrived(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct control *control = (struct control *)items;
        items = items->next;
        switch (control->what) {
        case CONTROL_HOLDS:
            holds_free(worker->holds);
            worker->holds = control->holds;
            break;
        case CONTROL_ROUTE: destination_routed(control->destination, control->kept); break;
        case CONTROL_LEAVE: /* those who were claimed before that have arrived */
            recipients_arrived(&worker->recipients, mailbox_take(&worker->recipients));
            if (!worker->is_stopping)
                destination_is_left(worker, control->destination, &control->whose);
            break;
        case CONTROL_RECALL:
            recipients_arrived(&worker->recipients, mailbox_take(&worker->recipients));
            if (!worker->is_stopping)
                recall(worker, &control->whose);
            break;
        case CONTROL_SOURCES: sources_arrived(worker, control->sources); break;
        case CONTROL_ORDERED: ordered_arrived(worker, control->ordered); break;
        case CONTROL_TELL: telling_worker(worker, control->telling); break;
        case CONTROL_FORGET: forget_asked(worker, control->leaving); break;
        case CONTROL_STOP: stop_begin(worker); break;
        }
        free(control);
    }
}

static void control_post(struct worker *worker, const struct control *what)
{
    struct slice domain = what->whose.domain;
    struct control *control = memory_zero(1, sizeof(*control) + domain.len);
    *control = *what;
    control->whose.domain = slice_of(control + 1, domain.len);
    if (domain.len)
        memcpy(control + 1, domain.ptr, domain.len);
    mailbox_post(&worker->control, &control->item);
}

void worker_control_holds(struct worker *worker, struct holds *holds)
{
    control_post(worker, &(struct control){.what = CONTROL_HOLDS, .holds = holds});
}

void worker_control_route(struct worker *worker, struct destination *destination, struct route_kept *kept)
{
    control_post(worker, &(struct control){.what = CONTROL_ROUTE, .destination = destination, .kept = kept});
}

void worker_control_leave(struct worker *worker, struct destination *destination, struct slice domain)
{
    control_post(worker,
                 &(struct control){.what = CONTROL_LEAVE, .destination = destination, .whose = {.domain = domain}});
}

void worker_control_recall(struct worker *worker, const struct lane_key *whose)
{
    control_post(worker, &(struct control){.what = CONTROL_RECALL, .whose = *whose});
}

void worker_control_sources(struct worker *worker, struct source_set *set)
{
    control_post(worker, &(struct control){.what = CONTROL_SOURCES, .sources = set});
}

void worker_control_ordered(struct worker *worker, struct ordered *ordered)
{
    control_post(worker, &(struct control){.what = CONTROL_ORDERED, .ordered = ordered});
}

void worker_control_tell(struct worker *worker, struct telling *telling)
{
    control_post(worker, &(struct control){.what = CONTROL_TELL, .telling = telling});
}

void worker_control_forget(struct worker *worker, struct leaving *leaving)
{
    control_post(worker, &(struct control){.what = CONTROL_FORGET, .leaving = leaving});
}

void worker_control_stop(struct worker *worker)
{
    control_post(worker, &(struct control){.what = CONTROL_STOP});
}

void worker_join(struct worker *worker)
{
    loop_thread_join(&worker->thread);
    timer_clear(&worker->stop_deadline);
    for (struct site *site = worker->sites; site; site = site->next_of_worker)
        site_release(site);
    for (struct mail_item *item = mailbox_take(&worker->control), *next; item; item = next) {
        struct control *control = (struct control *)item;
        next = item->next;
        holds_free(control->holds);
        source_set_free(control->sources);
        ordered_drop(control->ordered);
        if (control->kept)
            route_kept_drop(control->kept);
        forget_free(control->leaving);
        free(control);
    }
    mailbox_release(&worker->recipients);
    mailbox_release(&worker->composed);
    mailbox_release(&worker->settled);
    mailbox_release(&worker->control);
    mailbox_release(&worker->allowances);
    mailbox_release(&worker->totals);
    mailbox_release(&worker->paused_kept);
    source_set_free(worker->sources);
    suspended_set_free(worker->suspended);
    map_release(&worker->names);
    deferred_clear(&worker->flush);
    timer_clear(&worker->flush_late);
    timer_clear(&worker->tell_paused);
    deferred_clear(&worker->serve_short);
    deferred_clear(&worker->tell_home);
    holds_free(worker->holds);
    rules_scratch_free(worker->scratch);
    tls_client_free(worker->tls);
    loop_free(worker->loop);
}

static void worker_begin(void *owner)
{
    struct worker *worker = owner;
    loop_thread_short_turns(&worker->thread);
}

void worker_start(struct engine *engine, unsigned index)
{
    struct worker *worker = &engine->workers[index];
    worker->engine = engine;
    worker->index = index;
    worker->loop = loop_new(engine->options.world);
    worker->scratch = rules_scratch_new(engine->options.rules);
    worker->tls = tls_client_new(engine->options.roots);
    mailbox_init(&worker->recipients, worker->loop, recipients_arrived, worker);
    mailbox_init(&worker->composed, worker->loop, composed_arrived, worker);
    mailbox_init(&worker->settled, worker->loop, batches_settled, worker);
    mailbox_init(&worker->control, worker->loop, control_arrived, worker);
    mailbox_init(&worker->allowances, worker->loop, allowances_arrived, worker);
    mailbox_init(&worker->totals, worker->loop, totals_arrived, worker);
    paused_worker_begin(worker);
    deferred_init(&worker->flush, worker->loop, batch_flush, worker);
    timer_init(&worker->flush_late, worker->loop, batch_flush_late, worker);
    deferred_init(&worker->serve_short, worker->loop, worker_serve_short, worker);
    deferred_init(&worker->tell_home, worker->loop, turn_ends, worker);
    worker->last_home = &worker->home;
    worker->last_short = &worker->first_short;
    timer_init(&worker->stop_deadline, worker->loop, stop_overdue, worker);
    timer_init(&worker->refused_again, worker->loop, batches_refused_again, worker);
    loop_thread_start(&worker->thread, worker->loop, worker_begin, NULL, worker);
    loop_thread_name(&worker->thread, "deliver");
}
