#include "app/sink.h"

#include "app/playground/conversation.h"
#include "base/arena.h"
#include "base/map.h"
#include "base/memory.h"
#include "net/listener.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { HEAD_KEPT = 4096, TAKEN_MOST = 50000000 };

struct taken {
    uint64_t *hashes; /* of Message-ID and recipient: how duplicates are counted */
    size_t count, room;
};

struct worker {
    const struct sink_options *options;
    struct sink_tally *tally;
    struct loop *loop;
    struct listener *listener;
    struct tls_server *tls;
    struct random chance;
    struct buf record; /* lines of the mail just taken */
    int record_fd;
    struct taken taken;
    double tokens;
    time_ms tokens_at;
    struct visit *visits;
    pthread_t thread;
    bool is_running;
};

/* One connection. */
struct visit {
    struct worker *worker;
    struct conversation *conversation;
    struct visit *next, **at;
    struct timer delay;
    struct arena arena; /* of the transaction */
    struct slice mail_from;
    struct slice recipients[100];
    size_t recipient_count;
    char head[HEAD_KEPT]; /* the first bytes of the message */
    size_t head_len;
    uint64_t size;
};

struct sink {
    struct sink_options options;
    struct sink_tally tally;
    struct worker workers[SINK_THREADS_MOST];
    struct tls_server *tls;
    int record_fd;
};

/* ------------------------------------------------------------------ keeping */

/* Before the answer goes out: who has heard a 250 finds its mail in the record. */
static void record_write(struct worker *worker)
{
    size_t at = 0;
    while (at < worker->record.len) {
        ssize_t n = write(worker->record_fd, worker->record.ptr + at, worker->record.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fprintf(stderr, "todoke sink: --record: %s\n", strerror(errno));
            break;
        }
        at += (size_t)n;
    }
    buf_reset(&worker->record);
}

static void take(struct taken *taken, uint64_t hash)
{
    if (taken->count == TAKEN_MOST)
        return;
    if (taken->count == taken->room) {
        taken->room = taken->room ? taken->room * 2 : 1024;
        taken->hashes = memory_resize(taken->hashes, taken->room, sizeof(*taken->hashes));
    }
    taken->hashes[taken->count++] = hash;
}

static struct slice message_id_of(const struct visit *visit)
{
    struct slice head = slice_of(visit->head, visit->head_len), line;
    while (slice_line(&head, &line) && line.len > 0)
        if (slice_starts_caseless(line, SLICE("Message-ID:")))
            return slice_trim(slice_from(line, 11));
    return SLICE("");
}

static void keep(struct visit *visit)
{
    struct worker *worker = visit->worker;
    struct slice id = message_id_of(visit);
    for (size_t i = 0; i < visit->recipient_count; i++) {
        take(&worker->taken, hash_bytes(visit->recipients[i], hash_bytes(id, 1)));
        if (worker->record_fd >= 0) {
            buf_append(&worker->record, id);
            buf_byte(&worker->record, '\t');
            buf_append(&worker->record, visit->recipients[i]);
            buf_byte(&worker->record, '\t');
            buf_append(&worker->record, visit->mail_from);
            buf_byte(&worker->record, '\t');
            buf_u64(&worker->record, visit->size);
            buf_byte(&worker->record, '\n');
        }
    }
    record_write(worker);
    atomic_fetch_add_explicit(&worker->tally->messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->tally->recipients, visit->recipient_count, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->tally->bytes, visit->size, memory_order_relaxed);
}

/* ------------------------------------------------------------------ the conversation */

static bool falls(struct worker *worker, uint64_t percent)
{
    return percent && random_below(&worker->chance, 100) < percent;
}

static void forget(struct visit *visit)
{
    timer_clear(&visit->delay);
    visit->recipient_count = 0;
    visit->head_len = 0;
    visit->size = 0;
    arena_reset(&visit->arena);
}

static bool is_too_fast(struct worker *worker)
{
    double rate = (double)worker->options->rate / (double)worker->options->threads;
    time_ms now = loop_now(worker->loop);
    if (rate <= 0)
        return false;
    worker->tokens += rate * (double)(now - worker->tokens_at) / 1000.0;
    if (worker->tokens > rate)
        worker->tokens = rate;
    worker->tokens_at = now;
    if (worker->tokens < 1.0)
        return true;
    worker->tokens -= 1.0;
    return false;
}

static void answer_text(struct visit *visit, const char *text, _Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    smtp_server_answer(conversation_server(visit->conversation), slice_str(text));
}

static void accept_message(struct visit *visit)
{
    keep(visit);
    smtp_server_accept(conversation_server(visit->conversation));
    forget(visit);
}

static void on_delay(struct timer *timer)
{
    struct visit *visit = timer->owner;
    accept_message(visit);
    conversation_go_on(visit->conversation);
}

static void on_message(struct visit *visit)
{
    struct worker *worker = visit->worker;
    if (falls(worker, worker->options->drop_percent)) {
        /* taken, and the sender is never told: what a crash of the receiver after the final dot looks like */
        keep(visit);
        atomic_fetch_add_explicit(&worker->tally->dropped, 1, memory_order_relaxed);
        conversation_reset(visit->conversation);
    } else if (worker->options->delay_ms) {
        timer_set(&visit->delay, (time_ms)worker->options->delay_ms);
    } else {
        accept_message(visit);
    }
}

static void on_recipient(struct visit *visit, struct slice address)
{
    struct worker *worker = visit->worker;
    if (falls(worker, worker->options->refuse_percent)) {
        answer_text(visit, worker->options->refuse_text, &worker->tally->refused);
    } else if (falls(worker, worker->options->defer_percent)) {
        answer_text(visit, worker->options->defer_text, &worker->tally->deferred);
    } else {
        if (visit->recipient_count < COUNT_OF(visit->recipients))
            visit->recipients[visit->recipient_count++] = arena_copy(&visit->arena, address);
        smtp_server_accept(conversation_server(visit->conversation));
    }
}

static void on_mail(struct visit *visit, struct slice address)
{
    struct worker *worker = visit->worker;
    forget(visit);
    visit->mail_from = arena_copy(&visit->arena, address);
    if (falls(worker, worker->options->reset_percent)) {
        atomic_fetch_add_explicit(&worker->tally->reset, 1, memory_order_relaxed);
        conversation_reset(visit->conversation);
    } else if (is_too_fast(worker)) {
        answer_text(visit, "421 4.7.0 rate limit exceeded, try again later", &worker->tally->deferred);
    } else {
        smtp_server_accept(conversation_server(visit->conversation));
    }
}

static void on_event(void *owner, struct conversation *conversation, const struct smtp_server_event *event)
{
    struct visit *visit = owner;
    struct smtp_server *server = conversation_server(conversation);
    visit->conversation = conversation;
    switch (event->what) {
    case SMTP_SERVER_CONNECT:
        atomic_fetch_add_explicit(&visit->worker->tally->connections, 1, memory_order_relaxed);
        if (visit->worker->options->is_silent)
            conversation_freeze(conversation);
        else
            smtp_server_accept(server);
        break;
    case SMTP_SERVER_EHLO:
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_SCRAM:
    case SMTP_SERVER_AUTH:
    case SMTP_SERVER_DATA: smtp_server_accept(server); break;
    case SMTP_SERVER_MAIL: on_mail(visit, event->path->address); break;
    case SMTP_SERVER_RCPT: on_recipient(visit, event->path->address); break;
    case SMTP_SERVER_BODY: {
        size_t len = event->bytes.len, room = HEAD_KEPT - visit->head_len;
        size_t kept = len < room ? len : room;
        memcpy(visit->head + visit->head_len, event->bytes.ptr, kept);
        visit->head_len += kept;
        visit->size += len;
        break;
    }
    case SMTP_SERVER_MESSAGE: on_message(visit); break;
    case SMTP_SERVER_RESET: forget(visit); break;
    case SMTP_SERVER_TLS_BEGIN:
    case SMTP_SERVER_CLOSE: break;
    }
}

static void on_end(void *owner, struct conversation *conversation)
{
    struct visit *visit = owner;
    timer_clear(&visit->delay);
    arena_release(&visit->arena);
    *visit->at = visit->next;
    if (visit->next)
        visit->next->at = visit->at;
    free(visit);
}

static const struct conversation_events events = {on_event, on_end};

static void on_accept(void *owner, int fd, const struct endpoint *peer)
{
    struct worker *worker = owner;
    struct visit *visit = NEW(struct visit);
    visit->worker = worker;
    visit->next = worker->visits;
    visit->at = &worker->visits;
    if (visit->next)
        visit->next->at = &visit->next;
    worker->visits = visit;
    timer_init(&visit->delay, worker->loop, on_delay, visit);
    struct smtp_server_settings settings = {
        .host_name = SLICE("sink.example"),
        .recipients_max = COUNT_OF(visit->recipients),
        .errors_max = 100000,
        .messages_max = (unsigned)worker->options->session_messages,
        .has_tls = worker->tls != NULL,
        .no_pipelining = worker->options->no_pipelining,
        .bare_eol = SMTP_BARE_NORMALISE,
        .is_lenient = true,
    };
    conversation_start(worker->loop, fd, peer, &settings, worker->tls, &events, visit);
}

/* ------------------------------------------------------------------ threads */

static void *run(void *owner)
{
    struct worker *worker = owner;
    loop_run(worker->loop);
    return NULL;
}

static bool worker_start(struct worker *worker, struct world *world, struct fault *why)
{
    const struct sink_options *options = worker->options;
    struct listener_options listen = {.at = options->at, .is_shared = options->threads > 1};
    buf_init(&worker->record, 1 << 20);
    worker->loop = loop_new(world);
    worker->tokens = (double)options->rate / (double)options->threads;
    worker->tokens_at = loop_now(worker->loop);
    worker->listener = listener_new(worker->loop, &listen, on_accept, worker, why);
    if (!worker->listener)
        return false;
    int error = pthread_create(&worker->thread, NULL, run, worker);
    if (error)
        return fault_set(why, FAULT_WORLD, "no thread: %s", strerror(error));
    worker->is_running = true;
    return true;
}

static void worker_stop(struct worker *worker)
{
    if (worker->is_running) {
        loop_stop(worker->loop);
        pthread_join(worker->thread, NULL);
    }
    if (!worker->loop)
        return;
    listener_free(worker->listener);
    while (worker->visits)
        conversation_reset(worker->visits->conversation);
    loop_turn(worker->loop, 0);
    loop_free(worker->loop);
    worker->loop = NULL;
    buf_release(&worker->record);
}

/* ------------------------------------------------------------------ all of it */

struct sink *sink_start(const struct sink_options *options, struct world *world, struct fault *why)
{
    static const char *const names[] = {"sink.example", "localhost"};
    struct sink *sink = NEW(struct sink);
    bool is_up = true;
    sink->options = *options;
    sink->record_fd = -1;
    if (options->has_tls)
        is_up = (sink->tls = tls_server_self_signed(names, COUNT_OF(names), why)) != NULL;
    if (is_up && options->record) {
        sink->record_fd = open(options->record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        is_up = sink->record_fd >= 0 || fault_errno(why, "--record %s", options->record);
    }
    for (size_t i = 0; is_up && i < options->threads; i++) {
        struct worker *worker = &sink->workers[i];
        *worker = (struct worker){.options = &sink->options, .tally = &sink->tally};
        worker->tls = sink->tls;
        worker->record_fd = sink->record_fd;
        random_seed(&worker->chance, options->seed + i);
        is_up = worker_start(worker, world, why);
    }
    if (is_up)
        return sink;
    sink_stop(sink);
    sink_free(sink);
    return NULL;
}

struct endpoint sink_endpoint(const struct sink *sink)
{
    return listener_endpoint(sink->workers[0].listener);
}

const struct sink_tally *sink_tally(const struct sink *sink)
{
    return &sink->tally;
}

void sink_stop(struct sink *sink)
{
    for (size_t i = 0; i < sink->options.threads; i++)
        worker_stop(&sink->workers[i]);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

uint64_t sink_duplicates(const struct sink *sink)
{
    const struct worker *workers = sink->workers;
    size_t count = sink->options.threads;
    struct taken all = {NULL};
    uint64_t duplicates = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t h = 0; h < workers[i].taken.count; h++)
            take(&all, workers[i].taken.hashes[h]);
    if (all.count)
        qsort(all.hashes, all.count, sizeof(*all.hashes), compare_hashes);
    for (size_t i = 1; i < all.count; i++)
        duplicates += all.hashes[i] == all.hashes[i - 1];
    free(all.hashes);
    return duplicates;
}

void sink_free(struct sink *sink)
{
    if (!sink)
        return;
    for (size_t i = 0; i < sink->options.threads; i++)
        free(sink->workers[i].taken.hashes);
    if (sink->record_fd >= 0)
        close(sink->record_fd);
    tls_server_free(sink->tls);
    free(sink);
}
