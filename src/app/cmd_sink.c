/* cmd_sink.c - `todoke sink`: a fast receiving end alone, for tests and bench: counts, records, misbehaves on request
 *
 * Each thread has its own loop, its own listener on the shared port (SO_REUSEPORT), its own record buffer and its own
 * list of what it took; totals are read by the main thread, which waits for signals, --count or --seconds. */
#include "app/command.h"
#include "app/playground/conversation.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/memory.h"
#include "net/listener.h"
#include "net/mailbox.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MOST = 16, HEAD_KEPT = 4096, TAKEN_MOST = 50000000, RECORD_FLUSH = 65536, TICK_MS = 20 };

struct sink_options {
    struct endpoint at;
    const char *record;
    uint64_t count, seconds, threads, delay_ms, rate, session_messages, seed;
    uint64_t refuse_percent, defer_percent, drop_percent, reset_percent;
    const char *refuse_text, *defer_text;
    bool has_tls, is_silent, no_pipelining, is_json;
};

struct sink_tally {
    _Atomic uint64_t connections, messages, recipients, bytes, refused, deferred, dropped, reset;
};

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
    struct buf record; /* lines not written yet */
    int record_fd;
    struct taken taken;
    struct timer flush;
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

/* ------------------------------------------------------------------ keeping */

static void record_flush(struct worker *worker)
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
    if (worker->record.len > RECORD_FLUSH)
        record_flush(worker);
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

static void on_flush(struct timer *timer)
{
    struct worker *worker = timer->owner;
    if (worker->record.len)
        record_flush(worker);
    timer_set(&worker->flush, 200);
}

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
    worker->tokens_at = loop_now(worker->loop);
    timer_init(&worker->flush, worker->loop, on_flush, worker);
    timer_set(&worker->flush, 200);
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
    if (worker->record_fd >= 0)
        record_flush(worker);
    timer_clear(&worker->flush);
    loop_turn(worker->loop, 0);
    loop_free(worker->loop);
    buf_release(&worker->record);
}

/* ------------------------------------------------------------------ totals */

static int compare_hashes(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* How many recipients were taken more than once, counted by Message-ID and address. */
static uint64_t duplicates_of(const struct worker *workers, size_t count)
{
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

static void print_totals(const struct sink_options *options, const struct sink_tally *tally, uint64_t duplicates,
                         double seconds)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"connections", tally->connections},
        {"messages", tally->messages},
        {"recipients", tally->recipients},
        {"bytes", tally->bytes},
        {"duplicates", duplicates},
        {"refused", tally->refused},
        {"deferred", tally->deferred},
        {"dropped", tally->dropped},
        {"reset", tally->reset},
    };
    double per_second = seconds > 0 ? (double)tally->messages / seconds : 0;
    if (options->is_json)
        putchar('{');
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        printf(options->is_json ? "\"%s\":%llu," : "%-12s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
    printf(options->is_json ? "\"seconds\":%.3f,\"per_second\":%.1f}\n" : "seconds      %.3f\nper_second   %.1f\n",
           seconds, per_second);
}

/* ------------------------------------------------------------------ the command line */

static const char help_text[] =
    "usage: todoke sink [OPTIONS]\n\n"
    "Takes every mail by SMTP and throws it away; counts, and misbehaves on request. Ends with ^C, --count or "
    "--seconds,\n"
    "and prints what it saw.\n\n"
    "  --listen ADDRESS:PORT    where (127.0.0.1:2526; loopback only)\n"
    "  --threads N              threads, each with its own loop (1)\n"
    "  --count N                end after N messages\n"
    "  --seconds N              end after N seconds\n"
    "  --record FILE            append a line for each recipient taken: Message-ID, recipient, sender, size, by TABs\n"
    "  --json                   totals as one JSON object\n"
    "  --tls                    offer STARTTLS with a certificate of its own making\n"
    "  --no-pipelining          do not offer PIPELINING\n"
    "  --session-messages N     421 to the next MAIL after N messages of one connection\n\n"
    "misbehaviour:\n"
    "  --refuse PERCENT[=TEXT]  of recipients, for good (550 5.1.1 User unknown)\n"
    "  --defer PERCENT[=TEXT]   of recipients, for now (451 4.3.0 Try again later)\n"
    "  --drop PERCENT           of messages: take them, then reset the connection instead of answering the final dot\n"
    "  --reset PERCENT          of transactions: reset the connection at MAIL\n"
    "  --delay MS               answer the final dot so late\n"
    "  --rate N                 421 to MAIL above N messages a second\n"
    "  --silent                 accept connections and never say a word\n"
    "  --seed N                 of what is random (1)\n";

static bool number_of(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *number,
                      struct fault *why)
{
    if (!slice_to_u64(slice_str(text), number) || *number < least || *number > most)
        return fault_set(why, FAULT_INPUT, "--%s %s: a number from %llu to %llu is needed", name, text,
                         (unsigned long long)least, (unsigned long long)most);
    return true;
}

/* "20" or "20=550 no" */
static bool percent_of(const char *name, char *given, uint64_t *percent, const char **reply, struct fault *why)
{
    char *equals = reply ? strchr(given, '=') : NULL;
    if (equals) {
        *equals = '\0';
        *reply = equals + 1;
        if (strlen(*reply) < 4 || ((*reply)[0] != '4' && (*reply)[0] != '5'))
            return fault_set(why, FAULT_INPUT, "--%s: \"%s\" is no reply like \"550 5.1.1 no\"", name, *reply);
    }
    return number_of(name, given, 0, 100, percent, why);
}

static bool options_read(int argc, char **argv, struct sink_options *options, bool *is_help, struct fault *why)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'l'},
        {"threads", required_argument, NULL, 't'},
        {"count", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"record", required_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},
        {"tls", no_argument, NULL, 'T'},
        {"no-pipelining", no_argument, NULL, 'P'},
        {"refuse", required_argument, NULL, 'R'},
        {"defer", required_argument, NULL, 'D'},
        {"drop", required_argument, NULL, 'd'},
        {"reset", required_argument, NULL, 'x'},
        {"delay", required_argument, NULL, 'w'},
        {"rate", required_argument, NULL, 'q'},
        {"silent", no_argument, NULL, 'S'},
        {"session-messages", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":h", names, NULL)) != -1) {
        bool is_well = true;
        switch (option) {
        case 'l': is_well = endpoint_parse(slice_str(optarg), &options->at, why); break;
        case 't': is_well = number_of("threads", optarg, 1, THREADS_MOST, &options->threads, why); break;
        case 'c': is_well = number_of("count", optarg, 1, UINT64_MAX / 2, &options->count, why); break;
        case 's': is_well = number_of("seconds", optarg, 1, 1000000, &options->seconds, why); break;
        case 'r': options->record = optarg; break;
        case 'j': options->is_json = true; break;
        case 'T': options->has_tls = true; break;
        case 'P': options->no_pipelining = true; break;
        case 'R': is_well = percent_of("refuse", optarg, &options->refuse_percent, &options->refuse_text, why); break;
        case 'D': is_well = percent_of("defer", optarg, &options->defer_percent, &options->defer_text, why); break;
        case 'd': is_well = percent_of("drop", optarg, &options->drop_percent, NULL, why); break;
        case 'x': is_well = percent_of("reset", optarg, &options->reset_percent, NULL, why); break;
        case 'w': is_well = number_of("delay", optarg, 0, 3600000, &options->delay_ms, why); break;
        case 'q': is_well = number_of("rate", optarg, 1, 10000000, &options->rate, why); break;
        case 'S': options->is_silent = true; break;
        case 'm': is_well = number_of("session-messages", optarg, 1, 1000000, &options->session_messages, why); break;
        case 'e': is_well = number_of("seed", optarg, 0, UINT64_MAX - 1, &options->seed, why); break;
        case 'h': *is_help = true; return true;
        case ':': return fault_set(why, FAULT_INPUT, "%s needs a value (--help)", argv[optind - 1]);
        case '?': return fault_set(why, FAULT_INPUT, "no such option: %s (--help)", argv[optind - 1]);
        }
        if (!is_well)
            return false;
    }
    if (optind < argc)
        return fault_set(why, FAULT_INPUT, "unexpected \"%s\" (--help)", argv[optind]);
    if (!ip_is_loopback(&options->at.ip))
        return fault_set(why, FAULT_INPUT, "--listen: the sink takes anything from anybody: loopback addresses only");
    return true;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Until a signal, --count or --seconds; gives the seconds between the first connection and the last message. */
static double wait_for_end(const struct sink_options *options, const struct sink_tally *tally, const sigset_t *ends)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    double start = seconds_now(), first = 0, last = 0;
    uint64_t seen = 0;
    for (;;) {
        bool is_told = sigtimedwait(ends, NULL, &tick) > 0;
        double now = seconds_now();
        uint64_t messages = atomic_load_explicit(&tally->messages, memory_order_relaxed);
        if (first == 0 && atomic_load_explicit(&tally->connections, memory_order_relaxed))
            first = now;
        if (messages != seen)
            last = now;
        seen = messages;
        if (is_told || (options->count && messages >= options->count) ||
            (options->seconds && now - start >= (double)options->seconds))
            return last > first ? last - first : 0;
    }
}

static bool sink_run(const struct sink_options *options, struct fault *why)
{
    struct world world;
    struct worker workers[THREADS_MOST] = {{NULL}};
    struct sink_tally tally = {0};
    struct tls_server *tls = NULL;
    int record_fd = -1;
    bool is_up = true;
    world_init(&world, NETWORK_LOOPBACK);

    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    if (options->has_tls) {
        static const char *const names[] = {"sink.example", "localhost"};
        is_up = (tls = tls_server_self_signed(names, COUNT_OF(names), why)) != NULL;
    }
    if (is_up && options->record) {
        record_fd = open(options->record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        is_up = record_fd >= 0 || fault_errno(why, "--record %s", options->record);
    }
    for (size_t i = 0; is_up && i < options->threads; i++) {
        workers[i] = (struct worker){.options = options, .tally = &tally, .tls = tls, .record_fd = record_fd};
        random_seed(&workers[i].chance, options->seed + i);
        is_up = worker_start(&workers[i], &world, why);
    }
    double seconds = 0;
    if (is_up) {
        char at[ENDPOINT_TEXT_ROOM];
        struct endpoint where = listener_endpoint(workers[0].listener);
        fprintf(stderr, "todoke sink: listening on %s\n", endpoint_text(&where, at));
        seconds = wait_for_end(options, &tally, &ends);
    }
    for (size_t i = 0; i < options->threads; i++)
        worker_stop(&workers[i]);
    if (is_up)
        print_totals(options, &tally, duplicates_of(workers, options->threads), seconds);
    for (size_t i = 0; i < options->threads; i++)
        free(workers[i].taken.hashes);
    if (record_fd >= 0)
        close(record_fd);
    tls_server_free(tls);
    return is_up;
}

int cmd_sink(int argc, char **argv)
{
    struct fault why = {0};
    bool is_help = false;
    struct sink_options options = {
        .at = {.ip = ip_v4(127, 0, 0, 1), .port = 2526},
        .threads = 1,
        .seed = 1,
        .refuse_text = "550 5.1.1 User unknown",
        .defer_text = "451 4.3.0 Try again later",
    };
    if (!options_read(argc, argv, &options, &is_help, &why))
        return command_fail("sink", &why);
    if (is_help) {
        fputs(help_text, stdout);
        return 0;
    }
    return sink_run(&options, &why) ? 0 : command_fail("sink", &why);
}
