/* cmd_serve.c - `todoke serve`: the server, until SIGTERM or SIGINT */
#include "app/command.h"
#include "app/identity.h"
#include "app/service.h"
#include "app/transport.h"

#include "base/log.h"
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { DRAIN_MS = 20000 };

static const char usage[] =
    "usage: todoke serve [--config FILE] [--set KEY=VALUE]...\n"
    "\n"
    "Runs the server: the engine that sends, the listener for error mail, the console and its API.\n"
    "  --config FILE      settings as YAML (docs/settings.md lists them); default: none, every setting at its default\n"
    "  --set KEY=VALUE    one setting, after the file\n"
    "  --settings         print every setting, its default and its meaning (docs/settings.md) and end\n"
    "SIGHUP: the files of tls.cert and tls.key are read again, events.file is opened anew; nobody is cut off.\n"
    "Ends at SIGTERM or SIGINT, when the conversations under way have ended (20 s at most).\n";

static bool read_arguments(int argc, char **argv, struct config *config, struct fault *why)
{
    for (int i = 1; i < argc; i++) {
        struct slice option = slice_str(argv[i]);
        if (i + 1 >= argc)
            return fault_set(why, FAULT_INPUT, "\"%s\" is not understood or lacks its value; see `todoke serve --help`",
                             argv[i]);
        if (slice_equal(option, SLICE("--config"))) {
            if (!config_load(config, argv[++i], why))
                return false;
        } else if (slice_equal(option, SLICE("--set"))) {
            struct slice value = slice_str(argv[++i]), key;
            slice_split(&value, '=', &key);
            if (!value.ptr)
                return fault_set(why, FAULT_INPUT, "--set %s: write KEY=VALUE", argv[i]);
            if (!config_set(config, key, value, why))
                return fault_prefix(why, "--set ");
        } else {
            return fault_set(why, FAULT_INPUT, "there is no option \"%s\"; see `todoke serve --help`", argv[i]);
        }
    }
    return true;
}

static void set_log(const struct config *config)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < COUNT_OF(levels); i++)
        if (strcmp(levels[i], config->log_level.text) == 0)
            log_setup((enum log_level)i, strcmp(config->log_format.text, "json") == 0);
}

static bool serve(const struct config *config, struct jail *jail, struct fault *why)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before any thread: all inherit it */

    struct world world;
    bool is_loopback = strcmp(config->network_mode.text, "loopback") == 0;
    world_init(&world, is_loopback ? NETWORK_LOOPBACK : NETWORK_PUBLIC);
    bool has_dnssec;
    if (!identity_take(config, &world, why))
        return false;
    if (!transport_resolver(config, &world, &has_dnssec, why))
        return false;
    double scale = is_loopback ? (double)config->time_percent.number / 100 : 1.0;
    double factor = is_loopback && config->wait_percent.number > 0 ? (double)config->wait_percent.number / 100 : scale;
    const struct service_options options = {.config = config,
                                            .world = &world,
                                            .retry_scale = scale,
                                            .timeout_factor = factor,
                                            .has_dnssec = has_dnssec,
                                            .jail = jail};
    struct service *service = NULL;
    bool ok = service_open(&options, &service, why) && service_run(service, why);
    if (ok) {
        char at[ENDPOINT_TEXT_ROOM];
        malloc_trim(0); /* what reading rules and zones has left behind; while serving, memory stays (main.c) */
        struct endpoint http = service_http(service);
        log_info("app", "serving; console at %s://%s/ (sign in with a secret of `todoke key add`)",
                 strcmp(config->http_tls.text, "on") == 0 ? "https" : "http", endpoint_text(&http, at));
        if (geteuid() == 0)
            log_info("app", "running as root; set `user` to give its rights up once the ports are bound");
        int signal_number;
        while (sigwait(&stop, &signal_number) == 0 && signal_number == SIGHUP)
            service_reload(service);
        log_info("app", "stopping: conversations under way may end");
    }
    service_stop(service, DRAIN_MS);
    resolver_free(world.resolver);
    return ok;
}

int cmd_serve(int argc, char **argv)
{
    if (argc > 1 && slice_equal(slice_str(argv[1]), SLICE("--help"))) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc > 1 && slice_equal(slice_str(argv[1]), SLICE("--settings"))) {
        SCOPED(buf) page = BUF(65536);
        config_reference(&page);
        printf("%.*s", (int)page.len, page.ptr);
        return 0;
    }
    struct config config;
    struct fault why = {0};
    struct jail *jail = jail_start(&record_work, 0, &why); /* before settings, keys and threads: it shall have none */
    config_init(&config);
    bool ok = jail && jail_no_exec(&why) && read_arguments(argc, argv, &config, &why);
    if (ok) {
        set_log(&config);
        ok = serve(&config, jail, &why);
    }
    jail_stop(jail);
    int status = ok ? 0 : command_fail("serve", &why);
    config_release(&config);
    return status;
}
