/* cmd_sink.c - `todoke sink`: the sink (sink.h) in the foreground, until a signal, --count or --seconds */
#include "app/command.h"
#include "app/sink.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { TICK_MS = 20 };

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
        case 't': is_well = number_of("threads", optarg, 1, SINK_THREADS_MOST, &options->threads, why); break;
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
    char at[ENDPOINT_TEXT_ROOM];
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    world_init(&world, NETWORK_LOOPBACK);
    struct sink *sink = sink_start(options, &world, why);
    if (!sink)
        return false;
    struct endpoint where = sink_endpoint(sink);
    fprintf(stderr, "todoke sink: listening on %s\n", endpoint_text(&where, at));
    double seconds = wait_for_end(options, sink_tally(sink), &ends);
    sink_stop(sink);
    print_totals(options, sink_tally(sink), sink_duplicates(sink), seconds);
    sink_free(sink);
    return true;
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
