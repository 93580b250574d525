/* pool.c - composing and signing on all cores: an RSA-2048 signature takes a quarter of a millisecond and more, and one
 * big site must not be bound to one core
 *
 * What is composed is told to the workers a few at a time: each telling wakes a thread, and mails that begin together
 * share the commits of their marks and outcomes. Transactional mail goes first, and is told sooner; the last of a queue
 * is told at once. */
#include "deliver/parts.h"

#include <limits.h>

enum { UNTOLD_MS = 8, URGENT_UNTOLD_MS = 2 };

struct outgoing *outgoing_new(struct slice mail_from, struct slice rcpt_to, struct slice body)
{
    struct outgoing *out = memory_alloc(sizeof(*out) + mail_from.len + rcpt_to.len + body.len);
    *out = (struct outgoing){0};
    char *to = (char *)(out + 1);
    struct slice *const places[] = {&out->mail_from, &out->rcpt_to, &out->body};
    const struct slice texts[] = {mail_from, rcpt_to, body};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (texts[i].len)
            memcpy(to, texts[i].ptr, texts[i].len);
        *places[i] = slice_of(to, texts[i].len);
        to += texts[i].len;
    }
    return out;
}

struct outgoing *outgoing_share(struct slice mail_from, struct slice rcpt_to, struct shared *body)
{
    struct outgoing *out = outgoing_new(mail_from, rcpt_to, SLICE(""));
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

static void tell(struct composer_thread *thread)
{
    struct engine *engine = thread->engine;
    for (unsigned i = 0; i < engine->worker_count && thread->untold; i++) {
        struct composed_list *list = &thread->composed[i];
        *list->last = NULL;
        mailbox_post_all(&engine->workers[i].composed, list->first);
        list->last = &list->first;
    }
    thread->untold = 0;
}

/* To be told to its worker. */
static void keep(struct composer_thread *thread, struct recipient *recipient)
{
    struct composed_list *list = &thread->composed[recipient->destination->site->worker->index];
    time_ms until =
        world_monotonic(thread->engine->options.world) + (recipient->priority == 0 ? URGENT_UNTOLD_MS : UNTOLD_MS);
    *list->last = &recipient->item;
    list->last = &recipient->item.next;
    if (thread->untold++ == 0 || until < thread->untold_until)
        thread->untold_until = until;
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
        if (!thread->queue.count || thread->untold >= COMPOSED_TOGETHER ||
            world_monotonic(thread->engine->options.world) >= thread->untold_until)
            tell(thread);
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
    engine->composers = NEW_ARRAY(struct composer_thread, engine->composer_count);
    for (unsigned i = 0; i < engine->composer_count; i++) {
        struct composer_thread *thread = &engine->composers[i];
        thread->engine = engine;
        thread->index = i;
        thread->loop = loop_new(engine->options.world);
        recipients_init(&thread->queue);
        thread->composed = NEW_ARRAY(struct composed_list, engine->worker_count);
        for (unsigned worker = 0; worker < engine->worker_count; worker++)
            thread->composed[worker].last = &thread->composed[worker].first;
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
        free(engine->composers[i].composed);
    }
    free(engine->composers);
}
