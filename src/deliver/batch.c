/* batch.c - what one turn of a worker has to write: marks, marks taken back, outcomes: one job for the writer
 *
 *     being filled --end of the turn--> with the writer --committed--> settled: each recipient hears what became of it
 *                                                       \--refused--> each alone, see below
 *
 * An outcome that the store refuses alone, too, is on the wire in the store and nowhere else: nobody would ever move it
 * while this node lives. So it is written as it is twice, then without the receiver's words (what was refused is a
 * text, most likely), then as in doubt, and that again every half minute until the store takes it or the server ends:
 * then it is in doubt at the next start.
 *
 * A mark that the store will not take back is as much alone: it is tried again after 5 s, then after twice as long each
 * time, up to 5 minutes, for as long as the server runs. The mail goes when the store gives in.
 *
 * A recipient may have its mark and its outcome in one batch (the peer hung up at once): the mark is heard first,
 * because with its outcome a recipient goes home. */
#include "deliver/engine_inside.h"
#include "deliver/slot.h"

#include "base/log.h"

enum {
    TRIES_AS_IT_IS = 2,
    AGAIN_MS = 5000,
    REFUSED_AGAIN_MS = 30000,
    UNMARK_MOST_MS = 300000,
    OUTCOMES_WAIT_MS =
        25, /* longer than composers put mails aside: then they share the commit of the next ones' marks */
    URGENT_OUTCOMES_WAIT_MS = 5,
    MARKS_WAIT_MS = 1,
};

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
        log_error("deliver", "%zu outcomes and %zu marks to take back could not be written: %s", batch->move_count,
                  batch->unmark_count, why->text);
    mailbox_post(&batch->worker->settled, &batch->item);
}

static struct batch *batch_new(struct worker *worker)
{
    struct batch *batch = NEW(struct batch);
    batch->job.run = batch_run;
    batch->job.done = batch_done;
    batch->worker = worker;
    return batch;
}

static struct batch *batch_of(struct worker *worker)
{
    if (!worker->batch)
        worker->batch = batch_new(worker);
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

static void batch_send(struct batch *batch)
{
    batch->job.rows = (unsigned)(batch->mark_count + batch->move_count + batch->unmark_count);
    store_write(batch->worker->engine->options.store, &batch->job);
}

static void flush(struct worker *worker)
{
    struct batch *batch = worker->batch;
    worker->batch = NULL;
    timer_clear(&worker->flush_late);
    if (batch)
        batch_send(batch);
}

void batch_flush(struct deferred *deferred)
{
    flush(deferred->owner);
}

void batch_flush_late(struct timer *timer)
{
    flush(timer->owner);
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

static void batch_add_move(struct batch *batch, struct recipient *recipient, const struct ledger_move *move)
{
    grow((void **)&batch->moves, sizeof(*batch->moves), &batch->move_of, batch->move_count, &batch->move_room);
    batch->moves[batch->move_count] = *move;
    batch->move_of[batch->move_count++] = recipient;
}

/* Write the batch after so long, when nothing comes to write it sooner. */
static void wait_for_company(struct worker *worker, time_ms most)
{
    if (!timer_is_set(&worker->flush_late) || loop_now(worker->loop) + most < worker->flush_late.due)
        timer_set(&worker->flush_late, most);
}

/* A mark is waited for; an outcome alone is not, so it waits a moment for others when there are others: a commit and a
 * wake-up are shared. With it its connection's next mail is marked, so the bound on duplicates stays. */
void worker_outcome(struct worker *worker, struct recipient *recipient, struct ledger_move *move)
{
    struct batch *batch = batch_of(worker);
    batch_add_move(batch, recipient, move);
    if (worker->is_stopping || worker->in_memory <= batch->move_count)
        deferred_ask(&worker->flush);
    else
        wait_for_company(worker, recipient->priority == 0 ? URGENT_OUTCOMES_WAIT_MS : OUTCOMES_WAIT_MS);
}

static struct ledger_mark mark_of(const struct recipient *recipient)
{
    return (struct ledger_mark){
        .id = recipient->id,
        .attempts = recipient->attempts,
        .state = recipient->state,
        .version_id = recipient->outgoing->version_id,
        .date = recipient->outgoing->date,
        .source_id = recipient->slot ? recipient->slot->egress->source_id : 0,
        .pinned_id = recipient->source_id,
    };
}

/* A connection waits for its mark; three of four that are busy wait for it together, or a moment at most: with half of
 * them the connections of a site fall apart into two groups that take turns, each with commits of its own. One alone
 * never waits for others. */
void worker_mark(struct worker *worker, struct recipient *recipient)
{
    struct batch *batch = batch_of(worker);
    if ((batch->mark_count + 1) * 4 + 2 >= worker->busy * 3 || worker->is_stopping)
        deferred_ask(&worker->flush);
    else
        wait_for_company(worker, MARKS_WAIT_MS);
    grow((void **)&batch->marks, sizeof(*batch->marks), &batch->mark_of, batch->mark_count, &batch->mark_room);
    batch->marks[batch->mark_count] = mark_of(recipient);
    recipient->marked_id = batch->marks[batch->mark_count].source_id;
    batch->mark_of[batch->mark_count++] = recipient;
    recipient->mark_is_pending = true;
}

static void batch_add_unmark(struct batch *batch, struct recipient *recipient)
{
    grow((void **)&batch->unmarks, sizeof(*batch->unmarks), &batch->unmark_of, batch->unmark_count,
         &batch->unmark_room);
    batch->unmarks[batch->unmark_count] = mark_of(recipient);
    batch->unmark_of[batch->unmark_count++] = recipient;
}

void worker_unmark(struct worker *worker, struct recipient *recipient)
{
    batch_add_unmark(batch_of(worker), recipient);
    deferred_ask(&worker->flush);
}

static void mark_settled(struct worker *worker, struct recipient *recipient, enum ledger_marked result)
{
    recipient->mark_is_pending = false;
    recipient->is_marked = result == LEDGER_MARKED;
    if (recipient->slot)
        return slot_marked(recipient->slot, recipient, result);
    if (!recipient->wants_back) /* its slot has given it an outcome: that one is in this batch, or queued behind */
        return;
    recipient->wants_back = false;
    if (recipient->is_marked)
        worker_unmark(worker, recipient);
    else
        worker_send_home(worker, recipient);
}

/* A mark was taken back: the same mail goes again, by another connection. */
static void unmark_settled(struct worker *worker, struct recipient *recipient)
{
    recipient->is_marked = false;
    if (worker->is_stopping)
        return worker_give_back(worker, recipient);
    ready_push_front(recipient->destination, recipient);
    worker_pump(worker, recipient->destination->site);
}

static void moved(struct worker *worker, struct recipient *recipient, const struct ledger_move *move)
{
    enum delivery_state after = move->event.state_after;
    if (!move->is_moved || (after != DELIVERY_WAITING && after != DELIVERY_DEFERRED))
        recipient->next_due = 0;
    worker_send_home(worker, recipient);
}

/* ── what the store refuses ── */

/* Without the words that came from outside. */
static void move_bare(struct ledger_move *move)
{
    struct event *event = &move->event;
    event->diagnostic = SLICE("(the words could not be written)");
    event->remote_mta = event->note = SLICE("");
    event->verdict.mark_from = event->verdict.mark_to = 0;
    if (move->is_doubted)
        move->as_said.mark_from = move->as_said.mark_to = 0;
}

/* What came of it cannot be written: then at least that nobody knows. */
static void move_in_doubt(const struct engine_options *options, struct ledger_move *move)
{
    struct event *event = &move->event;
    move_bare(move);
    event->kind = EVENT_IN_DOUBT;
    event->state_after = DELIVERY_IN_DOUBT;
    event->verdict = (struct verdict){0};
    event->diagnostic = SLICE("the store refused to keep what came of it");
    event->at = world_wall(options->world);
    event->next_attempt_at = move->due = event->at + (time_ms)((double)options->in_doubt_wait * options->retry.scale);
    move->is_doubted = false;
}

static struct batch *batch_of_one(struct worker *worker, struct recipient *recipient, const struct ledger_move *move)
{
    struct batch *alone = batch_new(worker);
    batch_add_move(alone, recipient, move);
    struct event *event = &alone->moves[0].event;
    struct slice *const texts[] = {&event->address,    &event->domain, &event->site,
                                   &event->diagnostic, &event->note,   &event->remote_mta};
    for (size_t t = 0; t < COUNT_OF(texts); t++)
        *texts[t] = arena_copy(&alone->arena, *texts[t]);
    return alone;
}

static time_ms again_ms(const struct worker *worker)
{
    return (time_ms)(REFUSED_AGAIN_MS * worker->engine->options.retry.scale) + 1;
}

/* Written again after this pause. */
static void try_later(struct worker *worker, struct batch *alone, time_ms pause)
{
    alone->again_at = loop_now(worker->loop) + pause;
    alone->next_refused = worker->refused;
    worker->refused = alone;
    if (timer_is_set(&worker->refused_again) && worker->refused_at <= alone->again_at)
        return;
    worker->refused_at = alone->again_at;
    timer_set(&worker->refused_again, pause);
}

/* The next try of one that was refused alone. It never reached the wire: nothing is lost, it is still waiting in the
 * store and goes another time. */
static void refused_alone(struct worker *worker, struct recipient *recipient, const struct ledger_move *move, int tries)
{
    uint64_t id = move->event.delivery_id;
    if (tries > TRIES_AS_IT_IS && (!recipient->is_marked || worker->is_stopping)) {
        log_error("deliver", "the outcome of delivery %llu could not be written: %s", (unsigned long long)id,
                  recipient->is_marked ? "it is in doubt at the next start" : "it is tried again");
        if (!recipient->is_marked)
            recipient->next_due = world_wall(worker->engine->options.world) + again_ms(worker);
        return worker_send_home(worker, recipient);
    }
    struct batch *alone = batch_of_one(worker, recipient, move);
    alone->tries = tries;
    if (tries == TRIES_AS_IT_IS)
        move_bare(&alone->moves[0]);
    if (tries > TRIES_AS_IT_IS)
        move_in_doubt(&worker->engine->options, &alone->moves[0]);
    if (tries <= TRIES_AS_IT_IS + 1)
        return batch_send(alone);
    try_later(worker, alone, again_ms(worker));
}

/* The next try of a mark to take back. `tries`: how often it was refused alone. */
static void unmark_refused(struct worker *worker, struct recipient *recipient, int tries)
{
    unsigned long long id = recipient->id;
    if (worker->is_stopping && tries) {
        log_error("deliver", "the mark of delivery %llu could not be taken back: it is in doubt at the next start", id);
        recipient->next_due = 0;
        return worker_send_home(worker, recipient);
    }
    struct batch *alone = batch_new(worker);
    batch_add_unmark(alone, recipient);
    alone->tries = tries;
    if (!tries)
        return batch_send(alone);
    double pause = AGAIN_MS;
    for (int i = 1; i < tries && pause < UNMARK_MOST_MS; i++)
        pause *= 2;
    if (pause > UNMARK_MOST_MS)
        pause = UNMARK_MOST_MS;
    log_error("deliver", "the mark of delivery %llu could not be taken back: try %d, the next one in %.0f s", id, tries,
              pause / 1000);
    try_later(worker, alone, (time_ms)(pause * worker->engine->options.retry.scale) + 1);
}

void batches_refused_again(struct timer *timer)
{
    struct worker *worker = timer->owner;
    struct batch *batch = worker->refused, *next;
    time_ms now = loop_now(worker->loop);
    worker->refused = NULL;
    timer_clear(timer);
    for (; batch; batch = next) {
        next = batch->next_refused;
        if (worker->is_stopping || batch->again_at <= now)
            batch_send(batch);
        else
            try_later(worker, batch, batch->again_at - now);
    }
}

/* The store would not have it: something in one of them is wrong, and the others must not suffer. */
static void each_alone(struct worker *worker, struct batch *batch)
{
    bool is_alone = batch->move_count + batch->unmark_count + batch->mark_count == 1;
    for (size_t i = 0; i < batch->move_count; i++)
        refused_alone(worker, batch->move_of[i], &batch->moves[i], batch->move_count == 1 ? batch->tries + 1 : 0);
    for (size_t i = 0; i < batch->unmark_count; i++) /* alone: nothing but it was in the batch */
        unmark_refused(worker, batch->unmark_of[i], is_alone ? batch->tries + 1 : 0);
}

void batches_settled(struct mailbox *mailbox, struct mail_item *items)
{
    struct worker *worker = mailbox->owner;
    while (items) {
        struct batch *batch = (struct batch *)((char *)items - offsetof(struct batch, item));
        items = items->next;
        for (size_t i = 0; i < batch->mark_count; i++) {
            struct recipient *recipient = batch->mark_of[i];
            bool is_refused = batch->has_failed || batch->marks[i].result != LEDGER_MARKED;
            if (is_refused && (recipient->slot || recipient->wants_back)) /* gone; or the store would not: later */
                recipient->next_due = batch->has_failed ? world_wall(worker->engine->options.world) + AGAIN_MS : 0;
            mark_settled(worker, recipient, batch->has_failed ? LEDGER_GONE : batch->marks[i].result);
        }
        if (batch->has_failed) {
            each_alone(worker, batch);
        } else {
            for (size_t i = 0; i < batch->unmark_count; i++)
                unmark_settled(worker, batch->unmark_of[i]);
            for (size_t i = 0; i < batch->move_count; i++)
                moved(worker, batch->move_of[i], &batch->moves[i]);
        }
        batch_free(batch);
    }
}
