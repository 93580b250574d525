/* worker.c - one delivery thread: its sites' recipients, composed ahead and given to slots, and the batches of marks
 * and outcomes */
#include "deliver/parts.h"

#include "base/log.h"
#include <stdio.h>

/* ── queues of recipients ── */

void recipients_init(struct recipients *queue)
{
    *queue = (struct recipients){.last = &queue->first};
}

void recipients_push(struct recipients *queue, struct recipient *recipient)
{
    recipient->next = NULL;
    *queue->last = recipient;
    queue->last = &recipient->next;
    queue->count++;
}

void recipients_push_front(struct recipients *queue, struct recipient *recipient)
{
    recipient->next = queue->first;
    if (!queue->first)
        queue->last = &recipient->next;
    queue->first = recipient;
    queue->count++;
}

struct recipient *recipients_pop(struct recipients *queue)
{
    struct recipient *recipient = queue->first;
    if (!recipient)
        return NULL;
    queue->first = recipient->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->count--;
    recipient->next = NULL;
    return recipient;
}

/* ── batches: what one turn of the loop has to write ── */

static bool batch_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct batch *batch = (struct batch *)job;
    const struct ledger *ledger = &batch->worker->engine->options.ledger;
    time_ms now = world_wall(batch->worker->engine->options.world);
    return (!batch->unmark_count || ledger_unmark(ledger, db, why, batch->unmarks, batch->unmark_count, now)) &&
           (!batch->mark_count || ledger_mark(ledger, db, why, batch->marks, batch->mark_count, now)) &&
           (!batch->move_count || ledger_settle(ledger, db, why, batch->moves, batch->move_count));
}

/* On the writer's thread, after the commit. */
static void batch_done(struct write_job *job, const struct fault *why)
{
    struct batch *batch = (struct batch *)job;
    batch->has_failed = why != NULL;
    if (why)
        log_error("deliver", "outcomes could not be written: %s", why->text);
    mailbox_post(&batch->worker->settled, &batch->item);
}

static struct batch *batch_of(struct worker *worker)
{
    if (!worker->batch) {
        struct batch *batch = NEW(struct batch);
        batch->job.run = batch_run;
        batch->job.done = batch_done;
        batch->worker = worker;
        worker->batch = batch;
        deferred_ask(&worker->flush);
    }
    return worker->batch;
}

static void batch_free(struct batch *batch)
{
    arena_release(&batch->arena);
    free(batch->marks);
    free(batch->unmarks);
    free(batch->moves);
    free(batch->mark_of);
    free(batch->unmark_of);
    free(batch->move_of);
    free(batch);
}

static void flush(struct deferred *deferred)
{
    struct worker *worker = deferred->owner;
    struct batch *batch = worker->batch;
    worker->batch = NULL;
    if (!batch)
        return;
    batch->job.rows = (unsigned)(batch->mark_count + batch->move_count + batch->unmark_count);
    store_write(worker->engine->options.store, &batch->job);
}

struct arena *worker_batch_arena(struct worker *worker)
{
    return &batch_of(worker)->arena;
}

/* Room for one more in two arrays that grow together. */
static void grow(void **rows, size_t row_size, struct recipient ***of, size_t count, size_t *room)
{
    if (count < *room)
        return;
    *room = *room ? *room * 2 : 16;
    *rows = memory_resize(*rows, *room, row_size);
    *of = memory_resize(*of, *room, sizeof(**of));
}

void worker_outcome(struct worker *worker, struct recipient *recipient, struct ledger_move *move)
{
    struct batch *batch = batch_of(worker);
    grow((void **)&batch->moves, sizeof(*batch->moves), &batch->move_of, batch->move_count, &batch->move_room);
    batch->moves[batch->move_count] = *move;
    batch->move_of[batch->move_count++] = recipient;
}

static struct ledger_mark mark_of(const struct recipient *recipient)
{
    return (struct ledger_mark){
        .id = recipient->id,
        .attempts = recipient->attempts,
        .state = recipient->state,
        .version_id = recipient->outgoing->version_id,
        .date = recipient->outgoing->date,
    };
}

void worker_mark(struct worker *worker, struct recipient *recipient)
{
    struct batch *batch = batch_of(worker);
    grow((void **)&batch->marks, sizeof(*batch->marks), &batch->mark_of, batch->mark_count, &batch->mark_room);
    batch->marks[batch->mark_count] = mark_of(recipient);
    batch->mark_of[batch->mark_count++] = recipient;
    recipient->mark_is_pending = true;
}

void worker_unmark(struct worker *worker, struct recipient *recipient)
{
    struct batch *batch = batch_of(worker);
    grow((void **)&batch->unmarks, sizeof(*batch->unmarks), &batch->unmark_of, batch->unmark_count,
         &batch->unmark_room);
    batch->unmarks[batch->unmark_count] = mark_of(recipient);
    batch->unmark_of[batch->unmark_count++] = recipient;
}

/* ── recipients come and go ── */

/* While stopping: nothing left in memory means that this worker has ended. */
static void stop_check(struct worker *worker)
{
    if (worker->is_stopping && worker->in_memory == 0 && worker->connections == 0 && !worker->has_ended) {
        worker->has_ended = true;
        atomic_fetch_sub(&worker->engine->busy_workers, 1);
    }
}

void worker_send_home(struct worker *worker, struct recipient *recipient)
{
    worker->in_memory--;
    dispatcher_home(worker->engine, recipient);
    stop_check(worker);
}

void worker_give_back(struct worker *worker, struct recipient *recipient)
{
    recipient->next_due = recipient->due;
    worker_send_home(worker, recipient);
}

bool holds_has(const struct holds *holds, const struct lane_key *key)
{
    if (!holds || holds->names.count == 0)
        return false;
    char name[320];
    snprintf(name, sizeof(name), "campaign %llu", (unsigned long long)key->campaign_id);
    if (key->campaign_id && map_get(&holds->names, slice_str(name)))
        return true;
    snprintf(name, sizeof(name), "brand %llu", (unsigned long long)key->brand_id);
    if (map_get(&holds->names, slice_str(name)))
        return true;
    snprintf(name, sizeof(name), "domain %.*s", SLICE_ARG(key->domain));
    return map_get(&holds->names, slice_str(name)) != NULL;
}

bool worker_is_held(const struct worker *worker, const struct recipient *recipient)
{
    const struct lane_key key = {
        .brand_id = recipient->brand_id, .campaign_id = recipient->campaign_id, .domain = recipient->domain};
    return holds_has(worker->holds, &key);
}

static void site_wake(struct timer *timer)
{
    struct site *site = timer->owner;
    worker_pump(site->worker, site);
}

static void destination_meet(struct worker *worker, struct destination *destination)
{
    struct site *site = destination->site;
    if (!site->is_known_to_worker) {
        site->is_known_to_worker = true;
        pace_init(&site->pace, site->rule);
        timer_init(&site->wake, worker->loop, site_wake, site);
        site->next_of_worker = worker->sites;
        worker->sites = site;
    }
    destination->of_site = site->destinations;
    site->destinations = destination;
    recipients_init(&destination->raw);
    recipients_init(&destination->ready);
}

/* The answer that a failure to find a route is. */
static void route_failed(struct worker *worker, struct recipient *recipient)
{
    const struct route *route = &recipient->destination->route;
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
    outcome_of_reply(worker, recipient, &reply, STAGE_DNS, SLICE(""), &verdict, &move);
    worker_outcome(worker, recipient, &move);
}

static void recipients_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct worker *worker = mailbox->owner;
    struct site *last = NULL;
    while (batch) {
        struct recipient *recipient = (struct recipient *)batch;
        batch = batch->next;
        struct destination *destination = recipient->destination;
        worker->in_memory++;
        if (!destination->raw.last)
            destination_meet(worker, destination);
        if (worker->is_stopping)
            worker_give_back(worker, recipient);
        else if (destination->route.status != ROUTE_FOUND)
            route_failed(worker, recipient);
        else
            recipients_push(&destination->raw, recipient);
        if (last && last != destination->site)
            worker_pump(worker, last);
        last = destination->site;
    }
    if (last)
        worker_pump(worker, last);
}

static void composing_failed(struct worker *worker, struct recipient *recipient)
{
    struct fault why = *recipient->compose_fault;
    free(recipient->compose_fault);
    recipient->compose_fault = NULL;
    if (why.kind == FAULT_WORLD) {
        recipient->due += SECONDS_MS(5);
        return worker_give_back(worker, recipient);
    }
    struct verdict verdict;
    rules_verdict_of_reason(worker->engine->options.rules, REASON_CONTENT_ERROR, true, &verdict);
    verdict.retry = RETRY_NONE;
    struct reply reply = {.code = 554, .status = {5, 6, 0}, .text = slice_str(why.text)};
    struct ledger_move move;
    outcome_of_reply(worker, recipient, &reply, STAGE_QUEUE, SLICE(""), &verdict, &move);
    worker_outcome(worker, recipient, &move);
    if (worker->engine->options.rendering_failed)
        worker->engine->options.rendering_failed(worker->engine->options.owner, recipient->campaign_id, &why);
}

static void composed_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct worker *worker = mailbox->owner;
    struct site *last = NULL;
    while (batch) {
        struct recipient *recipient = (struct recipient *)batch;
        batch = batch->next;
        struct site *site = recipient->destination->site;
        site->composing--;
        if (recipient->compose_fault)
            composing_failed(worker, recipient);
        else if (worker->is_stopping)
            worker_give_back(worker, recipient);
        else
            recipients_push(&recipient->destination->ready, recipient);
        if (last && last != site)
            worker_pump(worker, last);
        last = site;
    }
    if (last)
        worker_pump(worker, last);
}

static struct slot *slot_of(const struct recipient *recipient)
{
    for (struct slot *slot = recipient->destination->slots; slot; slot = slot->next)
        for (int i = 0; i < slot->under_way_count; i++)
            if (slot->under_way[i] == recipient)
                return slot;
    return NULL;
}

static void mark_settled(struct worker *worker, struct recipient *recipient, enum ledger_marked result)
{
    recipient->mark_is_pending = false;
    recipient->is_marked = result == LEDGER_MARKED;
    struct slot *slot = slot_of(recipient);
    if (slot)
        return slot_marked(slot, recipient, result);
    if (!recipient->wants_back) /* its slot has given it an outcome: that one is queued behind */
        return;
    recipient->wants_back = false;
    if (recipient->is_marked) {
        worker_unmark(worker, recipient);
    } else {
        recipient->next_due = 0;
        worker_send_home(worker, recipient);
    }
}

/* A mark was taken back: the same mail goes again, by another connection. */
static void unmark_settled(struct worker *worker, struct recipient *recipient)
{
    recipient->is_marked = false;
    if (worker->is_stopping)
        return worker_give_back(worker, recipient);
    recipients_push_front(&recipient->destination->ready, recipient);
    worker_pump(worker, recipient->destination->site);
}

static void batches_settled(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct batch *batch = (struct batch *)((char *)items - offsetof(struct batch, item));
        items = items->next;
        for (size_t i = 0; i < batch->move_count; i++) {
            struct recipient *recipient = batch->move_of[i];
            if (batch->has_failed || !delivery_is_owed(batch->moves[i].event.state_after) ||
                batch->moves[i].event.state_after == DELIVERY_IN_DOUBT)
                recipient->next_due = 0;
            worker_send_home(worker, recipient);
        }
        for (size_t i = 0; i < batch->unmark_count; i++)
            unmark_settled(worker, batch->unmark_of[i]);
        for (size_t i = 0; i < batch->mark_count; i++)
            mark_settled(worker, batch->mark_of[i], batch->has_failed ? LEDGER_GONE : batch->marks[i].result);
        batch_free(batch);
    }
}

/* ── giving work to slots ── */

static struct destination *destination_with_work(const struct site *site)
{
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site)
        if (destination->ready.count > (size_t)destination->slot_count)
            return destination;
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site)
        if (destination->ready.count && !destination->slot_count)
            return destination;
    return NULL;
}

void worker_compose_ahead(struct worker *worker, struct site *site)
{
    size_t window = (size_t)site->rule->connections * 2 + 2;
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
        while (destination->raw.count && site->composing + destination->ready.count < window) {
            struct recipient *recipient = recipients_pop(&destination->raw);
            if (worker_is_held(worker, recipient)) {
                worker_give_back(worker, recipient);
                continue;
            }
            site->composing++;
            pool_compose(worker->engine, recipient);
        }
    }
}

/* Make room at a site whose connections are all taken: an idle one of another destination ends. */
static bool end_idle_slot(struct site *site)
{
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
        for (struct slot *slot = destination->slots; slot && !destination->ready.count; slot = slot->next) {
            if (slot->state == SLOT_OPEN && slot->under_way_count == 0) {
                int before = site->slots;
                slot_run(slot); /* it sees for itself that it is wanted elsewhere */
                return site->slots < before;
            }
        }
    }
    return false;
}

void worker_pump(struct worker *worker, struct site *site)
{
    if (worker->is_stopping || site->is_pumping)
        return;
    site->is_pumping = true;
    worker_compose_ahead(worker, site);
    for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
        struct slot *next;
        for (struct slot *slot = destination->slots; slot && destination->ready.count; slot = next) {
            next = slot->next;
            if (slot->state == SLOT_OPEN && slot->under_way_count == 0)
                slot_run(slot);
        }
    }
    time_ms now = loop_now(worker->loop);
    struct destination *destination;
    while ((destination = destination_with_work(site)) &&
           worker->connections < worker->engine->options.connections_most) {
        if (site->slots < pace_connections(&site->pace, now))
            slot_open(worker, destination);
        else if (!end_idle_slot(site))
            break;
    }
    if (destination && now < site->pace.suspended_until && !timer_is_set(&site->wake))
        timer_set(&site->wake, site->pace.suspended_until - now);
    worker_compose_ahead(worker, site);
    site->is_pumping = false;
}

void destination_failed(struct worker *worker, struct destination *destination, const struct reply *reply,
                        enum stage stage, enum reason reason, struct slice remote)
{
    struct verdict known;
    if (!reply->code)
        rules_verdict_of_reason(worker->engine->options.rules, reason, false, &known);
    struct recipients *const queues[] = {&destination->ready, &destination->raw};
    for (size_t q = 0; q < COUNT_OF(queues); q++) {
        for (struct recipient *recipient; (recipient = recipients_pop(queues[q]));) {
            struct ledger_move move;
            outcome_of_reply(worker, recipient, reply, stage, remote, reply->code ? NULL : &known, &move);
            worker_outcome(worker, recipient, &move);
        }
    }
}

void worker_slot_gone(struct worker *worker)
{
    worker->connections--;
    atomic_fetch_sub(&worker->engine->open_connections, 1);
    stop_check(worker);
}

/* ── the thread ── */

enum control_what { CONTROL_HOLDS, CONTROL_STOP };
struct control {
    struct mail_item item;
    enum control_what what;
    struct holds *holds;
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
    for (struct site *site = worker->sites; site; site = site->next_of_worker) {
        timer_clear(&site->wake);
        for (struct destination *destination = site->destinations; destination; destination = destination->of_site) {
            for (struct recipient *recipient; (recipient = recipients_pop(&destination->raw));)
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
    timer_set(&worker->stop_deadline, worker->engine->drain_ms);
    stop_check(worker);
}

static void control_arrived(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct control *control = (struct control *)items;
        items = items->next;
        switch (control->what) {
        case CONTROL_HOLDS:
            if (worker->holds)
                map_release(&worker->holds->names);
            free(worker->holds);
            worker->holds = control->holds;
            break;
        case CONTROL_STOP: stop_begin(worker); break;
        }
        free(control);
    }
}

static void control_post(struct worker *worker, enum control_what what, struct holds *holds)
{
    struct control *control = NEW(struct control);
    control->what = what;
    control->holds = holds;
    mailbox_post(&worker->control, &control->item);
}

void worker_control_holds(struct worker *worker, struct holds *holds)
{
    control_post(worker, CONTROL_HOLDS, holds);
}

void worker_control_stop(struct worker *worker)
{
    control_post(worker, CONTROL_STOP, NULL);
}

void worker_join(struct worker *worker)
{
    loop_stop(worker->loop);
    pthread_join(worker->thread, NULL);
    timer_clear(&worker->stop_deadline);
    mailbox_release(&worker->recipients);
    mailbox_release(&worker->composed);
    mailbox_release(&worker->settled);
    mailbox_release(&worker->control);
    deferred_clear(&worker->flush);
    if (worker->holds)
        map_release(&worker->holds->names);
    free(worker->holds);
    rules_scratch_free(worker->scratch);
    tls_client_free(worker->tls);
    loop_free(worker->loop);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    loop_run(worker->loop);
    return NULL;
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
    deferred_init(&worker->flush, worker->loop, flush, worker);
    timer_init(&worker->stop_deadline, worker->loop, stop_overdue, worker);
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
        abort();
}
