/* pool.c - composing and signing on all cores: an RSA-2048 signature takes a quarter of a millisecond and more, and one
 * big site must not be bound to one core
 *
 * What is composed is put aside and told to the workers together, of all composers at once, while more is being
 * composed: each telling wakes a thread, and mails that begin together share the commits of their marks and outcomes.
 * Transactional mail goes first, and is told sooner; the last of a queue is told at once. */
#include "deliver/destination.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

#include <limits.h>

enum { UNTOLD_MS = 20, URGENT_MANY_UNTOLD_MS = 10, URGENT_UNTOLD_MS = 2 };

static struct outgoing *outgoing_make(const struct slice texts[4])
{
    struct outgoing *out = memory_alloc(sizeof(*out) + texts[0].len + texts[1].len + texts[2].len + texts[3].len);
    *out = (struct outgoing){0};
    char *to = (char *)(out + 1);
    struct slice *const places[] = {&out->mail_from, &out->shared_from, &out->rcpt_to, &out->body};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (texts[i].len)
            memcpy(to, texts[i].ptr, texts[i].len);
        *places[i] = slice_of(to, texts[i].len);
        to += texts[i].len;
    }
    return out;
}

struct outgoing *outgoing_new(struct slice mail_from, struct slice rcpt_to, struct slice body)
{
    return outgoing_make((const struct slice[]){mail_from, SLICE(""), rcpt_to, body});
}

struct outgoing *outgoing_share(struct slice mail_from, struct slice rcpt_to, struct shared *body)
{
    return outgoing_share_from(mail_from, SLICE(""), rcpt_to, body);
}

struct outgoing *outgoing_share_from(struct slice mail_from, struct slice shared_from, struct slice rcpt_to,
                                     struct shared *body)
{
    struct outgoing *out = outgoing_make((const struct slice[]){mail_from, shared_from, rcpt_to, SLICE("")});
    out->shared = shared_hold(body);
    out->body = shared_slice(body);
    return out;
}

void outgoing_free(struct outgoing *out)
{
    if (out)
        shared_drop(out->shared);
    free(out);
}

/* Whatever all composers have put aside, each worker's in one wake-up. Another composer may do so at the same time, or
 * put something aside that is told a little sooner than it would have to be. */
static void tell(struct engine *engine)
{
    atomic_store(&engine->untold_until, INT64_MAX);
    atomic_store(&engine->untold, 0);
    for (unsigned i = 0; i < engine->worker_count; i++)
        mailbox_post_all(&engine->workers[i].composed, mail_pile_take(&engine->workers[i].untold));
}

/* At times that all composers agree on; the last transactional mail of those that came together soon. */
static time_ms tell_until(const struct composer_thread *thread, const struct recipient *recipient, time_ms now)
{
    const struct recipient *next = thread->queue.first;
    if (recipient->priority == 0 && (!next || next->priority != 0))
        return now + URGENT_UNTOLD_MS;
    time_ms every = recipient->priority == 0 ? URGENT_MANY_UNTOLD_MS : UNTOLD_MS;
    return now / every * every + every;
}

/* To be told to its worker. */
static void keep(struct composer_thread *thread, struct recipient *recipient)
{
    struct engine *engine = thread->engine;
    time_ms until = tell_until(thread, recipient, world_monotonic(engine->options.world));
    mail_pile_put(&recipient->destination->site->worker->untold, &recipient->item);
    atomic_fetch_add(&engine->untold, 1);
    time_ms before = atomic_load(&engine->untold_until); /* behind the putting: who tells sets it before the taking */
    while (until < before && !atomic_compare_exchange_weak(&engine->untold_until, &before, until)) {
    }
}

static bool is_time_to_tell(struct composer_thread *thread)
{
    struct engine *engine = thread->engine;
    return !thread->queue.count || atomic_load(&engine->untold) >= COMPOSED_TOGETHER ||
           world_monotonic(engine->options.world) >= atomic_load(&engine->untold_until);
}

/* A delivery that cannot be rendered ends here: content_error, a fault of the message; a store that cannot be read
 * leaves it uncomposed. */
static void compose_one(struct composer_thread *thread, struct recipient *recipient)
{
    const struct composer *composer = &thread->engine->options.composer;
    struct fault why = {0};
    if (!composer->compose(composer->self, thread->index, recipient, &recipient->outgoing, &why)) {
        recipient->outgoing = NULL;
        recipient->compose_fault = NEW(struct fault);
        *recipient->compose_fault = why;
    } else {
        recipient->body = recipient->outgoing->shared;
    }
    atomic_fetch_sub_explicit(&thread->jobs_left, 1, memory_order_relaxed);
    keep(thread, recipient);
}

static void queue_jobs(struct composer_thread *thread, struct mail_item *batch)
{
    while (batch) {
        struct recipient *recipient = (struct recipient *)batch;
        batch = batch->next;
        recipients_push(&thread->queue, recipient);
    }
}

static void jobs_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct composer_thread *thread = mailbox->owner;
    struct recipient *recipient;
    queue_jobs(thread, batch);
    while ((recipient = recipients_pop(&thread->queue))) {
        compose_one(thread, recipient);
        if (mailbox_has_post(mailbox))
            queue_jobs(thread, mailbox_take(mailbox));
        if (is_time_to_tell(thread))
            tell(thread->engine);
    }
}

/* Signing fills whatever core is free; conversations and commits, which everybody waits for, go first. */
static void composer_begin(void *owner)
{
    struct composer_thread *thread = owner;
    loop_thread_give_way(&thread->thread);
}

static void composer_end(void *owner)
{
    struct composer_thread *thread = owner;
    const struct composer *composer = &thread->engine->options.composer;
    if (composer->release_worker)
        composer->release_worker(composer->self, thread->index);
}

void pool_start(struct engine *engine)
{
    atomic_store(&engine->untold_until, INT64_MAX);
    engine->composers = NEW_ARRAY(struct composer_thread, engine->composer_count);
    for (unsigned i = 0; i < engine->composer_count; i++) {
        struct composer_thread *thread = &engine->composers[i];
        thread->engine = engine;
        thread->index = i;
        thread->loop = loop_new(engine->options.world);
        recipients_init(&thread->queue);
        mailbox_init(&thread->jobs, thread->loop, jobs_arrived, thread);
        loop_thread_start(&thread->thread, thread->loop, composer_begin, composer_end, thread);
        loop_thread_name(&thread->thread, "compose");
    }
}

void pool_compose(struct engine *engine, struct recipient *recipient)
{
    unsigned turn = atomic_fetch_add(&engine->composer_turn, 1), least = UINT_MAX;
    struct composer_thread *chosen =
        &engine->composers[turn % engine->composer_count]; /* who has least to do; by turns among equals */
    for (unsigned i = 0; i < engine->composer_count && least; i++) {
        struct composer_thread *thread = &engine->composers[(turn + i) % engine->composer_count];
        unsigned left = atomic_load_explicit(&thread->jobs_left, memory_order_relaxed);
        if (left < least) {
            least = left;
            chosen = thread;
        }
    }
    atomic_fetch_add_explicit(&chosen->jobs_left, 1, memory_order_relaxed);
    mailbox_post(&chosen->jobs, &recipient->item);
}

void pool_stop(struct engine *engine)
{
    for (unsigned i = 0; i < engine->composer_count; i++) {
        loop_thread_join(&engine->composers[i].thread);
        mailbox_release(&engine->composers[i].jobs);
        loop_free(engine->composers[i].loop);
    }
    free(engine->composers);
}
