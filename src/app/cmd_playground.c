/* cmd_playground.c - `todoke playground`: the simulated receivers alone, for tests and for whoever wants to talk to
 * them */
#include "app/command.h"
#include "app/playground.h"

#include "base/json.h"
#include "dns/zone.h"
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const char help_text[] =
    "usage: todoke playground [OPTIONS]             run the simulated receivers until ^C, then print what they did\n"
    "       todoke playground --zone [OPTIONS]      print their DNS zone (JSON, as --dns FILE takes it)\n"
    "       todoke playground --fate [ADDRESS]...   what these addresses meet (without any: those on stdin)\n\n"
    "Receivers listen on 127.25.x.y; every mail ends here. A local part that ends in +FATE meets that fate:\n"
    "taro+mailbox_full@docomo.example. --fate prints address, fate, how the delivery ends, its reason, told by "
    "what.\n\n"
    "  --port N            where receivers listen and port 25 is reached (2525)\n"
    "  --sender DOMAIN     the domain of From in the zone (shop.example); error mail goes to bounce.DOMAIN\n"
    "  --mail-in IP        where error mail is taken (127.0.0.1)\n"
    "  --source IP         where mail comes from: SPF, PTR (127.0.0.1)\n"
    "  --dkim SELECTOR=RECORD   the DKIM key in the zone\n"
    "  --feedback ADDRESS  where complaints go (fbl@bounce.DOMAIN)\n"
    "  --inbox FILE        write every mail taken here (mbox)\n"
    "  --ledger FILE       write a line for each recipient decided and each notice sent\n"
    "  --late MS, --greylist MS, --busy MS   error mail after, taken after, busy for (3000, 4000, 5000)\n";

struct playground_call {
    struct playground_options options;
    struct playground_sender sender;
    char return_path[300], ehlo[300], feedback[310], selector[100];
    uint64_t port;
    bool is_help, is_zone, is_fate;
};

static bool number_of(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *number,
                      struct fault *why)
{
    if (!slice_to_u64(slice_str(text), number) || *number < least || *number > most)
        return fault_set(why, FAULT_INPUT, "--%s %s: a number from %llu to %llu is needed", name, text,
                         (unsigned long long)least, (unsigned long long)most);
    return true;
}

static bool wait_of(const char *name, const char *text, time_ms *wait, struct fault *why)
{
    uint64_t number;
    if (!number_of(name, text, 1, 86400000, &number, why))
        return false;
    *wait = (time_ms)number;
    return true;
}

static bool loopback_of(const char *name, const char *text, struct ip *ip, struct fault *why)
{
    if (!ip_parse(slice_str(text), ip) || !ip_is_loopback(ip))
        return fault_set(why, FAULT_INPUT, "--%s %s: a loopback address is needed", name, text);
    return true;
}

static bool key_of(const char *text, struct playground_call *call, struct fault *why)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof(call->selector))
        return fault_set(why, FAULT_INPUT, "--dkim %s: SELECTOR=RECORD is needed", text);
    snprintf(call->selector, sizeof(call->selector), "%.*s", (int)(equals - text), text);
    call->sender.dkim_selector = call->selector;
    call->sender.dkim_record = equals + 1;
    return true;
}

static bool call_read(int argc, char **argv, struct playground_call *call, struct fault *why)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},
        {"sender", required_argument, NULL, 's'},
        {"mail-in", required_argument, NULL, 'm'},
        {"source", required_argument, NULL, 'S'},
        {"dkim", required_argument, NULL, 'k'},
        {"feedback", required_argument, NULL, 'f'},
        {"inbox", required_argument, NULL, 'i'},
        {"ledger", required_argument, NULL, 'l'},
        {"late", required_argument, NULL, 'L'},
        {"greylist", required_argument, NULL, 'g'},
        {"busy", required_argument, NULL, 'b'},
        {"zone", no_argument, NULL, 'z'},
        {"fate", no_argument, NULL, 'F'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":h", names, NULL)) != -1) {
        bool is_well = true;
        switch (option) {
        case 'p': is_well = number_of("port", optarg, 1, 65535, &call->port, why); break;
        case 's': call->sender.domain = optarg; break;
        case 'm': is_well = loopback_of("mail-in", optarg, &call->sender.mail_in, why); break;
        case 'S': is_well = loopback_of("source", optarg, &call->sender.source, why); break;
        case 'k': is_well = key_of(optarg, call, why); break;
        case 'f': call->sender.feedback_address = optarg; break;
        case 'i': call->options.inbox_path = optarg; break;
        case 'l': call->options.ledger_path = optarg; break;
        case 'L': is_well = wait_of("late", optarg, &call->options.late_ms, why); break;
        case 'g': is_well = wait_of("greylist", optarg, &call->options.greylist_ms, why); break;
        case 'b': is_well = wait_of("busy", optarg, &call->options.busy_ms, why); break;
        case 'z': call->is_zone = true; break;
        case 'F': call->is_fate = true; break;
        case 'h': call->is_help = true; return true;
        case ':': return fault_set(why, FAULT_INPUT, "%s needs a value (--help)", argv[optind - 1]);
        case '?': return fault_set(why, FAULT_INPUT, "no such option: %s (--help)", argv[optind - 1]);
        }
        if (!is_well)
            return false;
    }
    if (optind < argc && !call->is_fate)
        return fault_set(why, FAULT_INPUT, "unexpected \"%s\" (--help)", argv[optind]);
    if (strlen(call->sender.domain) > 200)
        return fault_set(why, FAULT_INPUT, "--sender: too long");
    snprintf(call->return_path, sizeof(call->return_path), "bounce.%s", call->sender.domain);
    snprintf(call->ehlo, sizeof(call->ehlo), "mta.%s", call->sender.domain);
    snprintf(call->feedback, sizeof(call->feedback), "fbl@%s", call->return_path);
    call->sender.return_path_domain = call->return_path;
    call->sender.ehlo_name = call->ehlo;
    if (!call->sender.feedback_address)
        call->sender.feedback_address = call->feedback;
    return true;
}

static void print_fate(struct slice address)
{
    static const char *const told[] = {"nothing", "reply", "dns", "connect", "mail", "later"};
    const struct fate_row *row = &fate_table[playground_fate(address)];
    printf("%.*s\t%.*s\t%.*s\t%.*s\t%s\n", SLICE_ARG(address), SLICE_ARG(row->word),
           SLICE_ARG(delivery_word(row->ends)), SLICE_ARG(reason_word(row->reason)), told[row->told]);
}

static void print_fates(char **addresses)
{
    char line[1024];
    for (char **address = addresses; *address; address++)
        print_fate(slice_str(*address));
    while (!*addresses && fgets(line, sizeof(line), stdin))
        print_fate(slice_trim(slice_str(line)));
}

static void print_counts(struct playground *playground)
{
    struct playground_counts counts;
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    playground_counts(playground, &counts);
    json_object_begin(&json);
    json_put_int(&json, "connections", (int64_t)counts.connections);
    json_put_int(&json, "in_tls", (int64_t)counts.in_tls);
    json_put_int(&json, "accepted", (int64_t)counts.accepted);
    json_put_int(&json, "refused_forever", (int64_t)counts.refused_forever);
    json_put_int(&json, "refused_for_now", (int64_t)counts.refused_for_now);
    json_put_int(&json, "lost", (int64_t)counts.lost);
    json_put_int(&json, "auth_checked", (int64_t)counts.auth_checked);
    json_put_int(&json, "dkim_pass", (int64_t)counts.dkim_pass);
    json_put_int(&json, "spf_pass", (int64_t)counts.spf_pass);
    json_put_int(&json, "dmarc_pass", (int64_t)counts.dmarc_pass);
    json_put_int(&json, "notices_failed", (int64_t)counts.notices_failed);
    json_put_int(&json, "notices_waiting", (int64_t)counts.notices_waiting);
    json_put_object(&json, "fates");
    for (size_t i = 0; i < FATE_COUNT; i++) {
        if (counts.fate[i]) {
            json_key_slice(&json, fate_table[i].word);
            json_int(&json, (int64_t)counts.fate[i]);
        }
    }
    json_end(&json);
    json_put_object(&json, "notices_sent");
    for (size_t i = 0; i < FATE_COUNT; i++) {
        if (counts.notices_sent[i]) {
            json_key_slice(&json, fate_table[i].word);
            json_int(&json, (int64_t)counts.notices_sent[i]);
        }
    }
    json_end(&json);
    json_end(&json);
    printf("%s\n", buf_cstr(&out));
}

static bool run(struct playground_call *call, struct fault *why)
{
    struct world world;
    SCOPED(buf) zone = BUF(1 << 20);
    playground_zone(&call->sender, &zone);
    if (call->is_zone) {
        printf("%s\n", buf_cstr(&zone));
        return true;
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    world_init(&world, NETWORK_LOOPBACK);
    world.network.smtp_port = (uint16_t)call->port;
    world.resolver = zone_resolver_of_json(buf_slice(&zone), why);
    if (!world.resolver)
        return false;
    call->options.world = &world;
    call->options.sender = &call->sender;
    struct playground *playground = playground_start(&call->options, why);
    if (playground) {
        int signal;
        fprintf(stderr, "todoke playground: receivers listen on 127.25.x.y:%llu\n", (unsigned long long)call->port);
        sigwait(&ends, &signal);
        print_counts(playground);
        playground_stop(playground);
    }
    resolver_free(world.resolver);
    return playground != NULL;
}

int cmd_playground(int argc, char **argv)
{
    struct fault why = {0};
    struct playground_call call = {
        .sender = {.domain = "shop.example", .mail_in = ip_v4(127, 0, 0, 1), .source = ip_v4(127, 0, 0, 1)},
        .port = NETWORK_PLAYGROUND_PORT,
    };
    if (!call_read(argc, argv, &call, &why))
        return command_fail("playground", &why);
    if (call.is_help) {
        fputs(help_text, stdout);
        return 0;
    }
    if (call.is_fate) {
        print_fates(argv + optind);
        return 0;
    }
    return run(&call, &why) ? 0 : command_fail("playground", &why);
}
