/* playground.c - the thread, its listeners, and questions from other threads
 *
 * made -> running -> stopping -> gone. Everything is made on the caller's thread before the thread runs, and let go on
 * the caller's thread after it has ended; in between only the loop touches it. A question from outside is a message;
 * the asker waits on a semaphore of its own until the loop has answered. */
#include "app/playground/inside.h"

#include "base/log.h"
#include "base/memory.h"
#include <semaphore.h>
#include <signal.h>

enum { LATE_MS = 3000, GREYLIST_MS = 4000, BUSY_MS = 5000, FLUSH_MS = 500 };

struct question_item {
    struct mail_item item; /* first */
    void (*answer)(struct playground *playground, struct question_item *question);
    sem_t done;
    struct slice q;
    uint64_t id, next, total;
    unsigned limit;
    struct arena *arena;
    struct inbox_row *rows;
    struct inbox_row row;
    struct slice mail;
    size_t count;
    bool is_found;
};

void playground_note(struct playground *playground, const char *what, enum fate fate, int code, const char *host,
                     struct slice address, struct slice message_id)
{
    if (playground->ledger)
        fprintf(playground->ledger, "%lld\t%s\t%.*s\t%d\t%s\t%.*s\t%.*s\n", (long long)world_wall(playground->world),
                what, SLICE_ARG(fate_table[fate].word), code, host, SLICE_ARG(address), SLICE_ARG(message_id));
}

/* ------------------------------------------------------------------ the loop's side */

static void on_accept(void *owner, int fd, const struct endpoint *peer)
{
    session_start(owner, fd, peer);
}

static void on_flush(struct timer *timer)
{
    struct playground *playground = timer->owner;
    if (playground->ledger)
        fflush(playground->ledger);
    if (playground->inbox.file)
        fflush(playground->inbox.file);
    timer_set(&playground->flush, FLUSH_MS);
}

static void on_asked(struct mailbox *mailbox, struct mail_item *batch)
{
    for (struct mail_item *next; batch; batch = next) {
        next = batch->next;
        struct question_item *question = (struct question_item *)batch;
        question->answer(mailbox->owner, question);
        sem_post(&question->done);
    }
}

static void *run(void *owner)
{
    struct playground *playground = owner;
    loop_run(playground->loop);
    return NULL;
}

/* ------------------------------------------------------------------ starting and stopping */

static bool listen_everywhere(struct playground *playground, struct fault *why)
{
    for (size_t i = 0; i < site_count; i++) {
        struct site_state *state = &playground->states[i];
        const struct site *site = &site_table[i];
        *state = (struct site_state){.playground = playground, .site = site, .tokens = site->rate_per_s};
        state->tokens_at = loop_now(playground->loop);
        if (site->mix[0].fate == FATE_REFUSED)
            continue;
        struct listener_options options = {
            .at = {.ip = ip_v4(127, 25, site->ip[0], site->ip[1]), .port = playground->world->network.smtp_port},
        };
        state->listener = listener_new(playground->loop, &options, on_accept, state, why);
        if (!state->listener)
            return fault_prefix(why, "playground, %s: ", site->host);
    }
    return true;
}

static void release(struct playground *playground)
{
    playground->is_stopping = true;
    for (size_t i = 0; i < site_count; i++)
        listener_free(playground->states[i].listener);
    sessions_end(playground);
    courier_free(playground->courier);
    timer_clear(&playground->flush);
    dns_client_free(playground->dns);
    mailbox_release(&playground->asked);
    loop_turn(playground->loop, 0); /* streams that were closed in a callback are freed by the loop */
    loop_free(playground->loop);
    tls_server_free(playground->tls);
    inbox_release(&playground->inbox);
    if (playground->ledger)
        fclose(playground->ledger);
    map_release(&playground->first_seen);
    arena_release(&playground->seen_memory);
    free(playground->states);
    free(playground);
}

static bool start_thread(struct playground *playground, struct fault *why)
{
    /* signals are for the main thread */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&playground->thread, NULL, run, playground);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return fault_set(why, FAULT_WORLD, "playground: no thread: %s", strerror(error));
    playground->is_running = true;
    return true;
}

struct playground *playground_start(const struct playground_options *options, struct fault *why)
{
    if (options->world->network.mode != NETWORK_LOOPBACK) {
        fault_set(why, FAULT_INPUT, "the playground needs a network that is loopback only");
        return NULL;
    }
    struct playground *playground = NEW(struct playground);
    playground->options = *options;
    if (!playground->options.late_ms)
        playground->options.late_ms = LATE_MS;
    if (!playground->options.greylist_ms)
        playground->options.greylist_ms = GREYLIST_MS;
    if (!playground->options.busy_ms)
        playground->options.busy_ms = BUSY_MS;
    playground->world = options->world;
    playground->states = NEW_ARRAY(struct site_state, site_count);
    playground->loop = loop_new(options->world);
    playground->dns = dns_client_new(playground->loop);
    playground->courier = courier_new(playground);
    playground->next_id = (uint64_t)world_wall(options->world) << 16;
    mailbox_init(&playground->asked, playground->loop, on_asked, playground);
    timer_init(&playground->flush, playground->loop, on_flush, playground);
    timer_set(&playground->flush, FLUSH_MS);

    const char **names = NEW_ARRAY(const char *, site_count);
    for (size_t i = 0; i < site_count; i++)
        names[i] = site_table[i].host;
    playground->tls = tls_server_self_signed(names, site_count, why);
    free(names);
    bool is_up = playground->tls && inbox_open(&playground->inbox, options->inbox_path, why);
    if (is_up && options->ledger_path && !(playground->ledger = fopen(options->ledger_path, "we")))
        is_up = fault_errno(why, "%s", options->ledger_path);
    is_up = is_up && listen_everywhere(playground, why) && start_thread(playground, why);
    if (!is_up) {
        release(playground);
        return NULL;
    }
    return playground;
}

void playground_stop(struct playground *playground)
{
    if (!playground)
        return;
    loop_stop(playground->loop);
    pthread_join(playground->thread, NULL);
    release(playground);
}

/* ------------------------------------------------------------------ questions */

static void ask(struct playground *playground, struct question_item *question)
{
    sem_init(&question->done, 0, 0);
    mailbox_post(&playground->asked, &question->item);
    while (sem_wait(&question->done) != 0)
        ; /* a signal */
    sem_destroy(&question->done);
}

static void answer_list(struct playground *playground, struct question_item *question)
{
    inbox_list(&playground->inbox, question->q, question->id, question->limit, question->arena, &question->rows,
               &question->count, &question->next, &question->total);
}

void playground_inbox_list(struct playground *playground, struct slice q, uint64_t before, unsigned limit,
                           struct arena *arena, struct inbox_row **rows, size_t *count, uint64_t *next, uint64_t *total)
{
    struct question_item question = {.answer = answer_list, .q = q, .id = before, .limit = limit, .arena = arena};
    ask(playground, &question);
    *rows = question.rows;
    *count = question.count;
    *next = question.next;
    *total = question.total;
}

static void answer_get(struct playground *playground, struct question_item *question)
{
    question->is_found = inbox_get(&playground->inbox, question->id, question->arena, &question->row, &question->mail);
}

bool playground_inbox_get(struct playground *playground, uint64_t id, struct arena *arena, struct inbox_row *row,
                          struct slice *mail)
{
    struct question_item question = {.answer = answer_get, .id = id, .arena = arena};
    ask(playground, &question);
    *row = question.row;
    *mail = question.mail;
    return question.is_found;
}

void playground_counts(struct playground *playground, struct playground_counts *counts)
{
    struct playground_tally *tally = &playground->tally;
    *counts = (struct playground_counts){
        .connections = tally->connections,
        .in_tls = tally->in_tls,
        .accepted = tally->accepted,
        .refused_forever = tally->refused_forever,
        .refused_for_now = tally->refused_for_now,
        .lost = tally->lost,
        .notices_failed = tally->notices_failed,
        .notices_waiting = tally->notices_waiting,
        .dkim_pass = tally->dkim_pass,
        .spf_pass = tally->spf_pass,
        .dmarc_pass = tally->dmarc_pass,
        .auth_checked = tally->auth_checked,
    };
    for (size_t i = 0; i < FATE_COUNT; i++) {
        counts->fate[i] = tally->fate[i];
        counts->notices_sent[i] = tally->notices_sent[i];
    }
}
