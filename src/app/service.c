/* service.c - the parts of a service in the order in which they begin and end */
#include "app/service_inside.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ── opening ── */

static void set_ehlo_name(struct service *service)
{
    const char *name = service->options.config->ehlo_name.text;
    if (name[0])
        snprintf(service->ehlo_name, sizeof(service->ehlo_name), "%s", name);
    else if (gethostname(service->ehlo_name, sizeof(service->ehlo_name) - 1) != 0)
        snprintf(service->ehlo_name, sizeof(service->ehlo_name), "localhost");
}

/* Clear text stays on this machine or goes through a proxy that we know. */
static bool http_is_safe(struct service *service, struct fault *why)
{
    const struct config *config = service->options.config;
    const struct endpoint *at = &config->http_listen.endpoint;
    if (!proxies_parse(slice_str(config->trusted_proxies.text), &service->proxies, why))
        return fault_prefix(why, "trusted_proxies: ");
    if (strcmp(config->http_proxy_protocol.text, "on") == 0 && !service->proxies.count)
        return fault_set(why, FAULT_INPUT,
                         "http.proxy_protocol: whose headers are believed? Name them in "
                         "trusted_proxies");
    char text[ENDPOINT_TEXT_ROOM];
    return service->options.has_no_api || !at->ip.family || ip_is_loopback(&at->ip) || service->proxies.count ||
           strcmp(config->http_tls.text, "on") == 0 ||
           fault_set(why, FAULT_INPUT,
                     "http.listen: %s would be clear text for everybody; set tls.cert, tls.key and http.tls: on, or "
                     "name your proxy in trusted_proxies, or listen on 127.0.0.1",
                     endpoint_text(at, text));
}

/* Connections at the doors and to receivers need as many descriptors. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool service_open(const struct service_options *options, struct service **service_out, struct fault *why)
{
    struct service *service = NEW(struct service);
    service->options = *options;
    raise_descriptors();
    set_ehlo_name(service);
    if (options->config->node.number < 1 || options->config->node.number > STORE_NODE_MAX) {
        fault_set(why, FAULT_INPUT, "node: must be 1 to %d", STORE_NODE_MAX);
        goto fail;
    }
    const struct store_options store_options = {.role = STORE_SERVE, .node = (unsigned)options->config->node.number};
    const struct sites_options sites = {.folder = options->config->sites_folder.text,
                                        .is_loopback = options->world->network.mode == NETWORK_LOOPBACK};
    if (!http_is_safe(service, why) ||
        !certificates_open(options->config, service->ehlo_name, &service->certificates, why) ||
        !rules_open(&service->rules, why) || !sites_open(&sites, &service->sites, why) ||
        !robots_open(options->config->robots_folder.text, &service->robots, why) ||
        !policies_open(options->config->policy.text, options->config->policy_folder.text, &service->policies, why) ||
        !seal_key_load(&service->seal, options->config->key_file.text, why) ||
        !(service->store = store_open(options->config->store.text, &store_options, why)) ||
        !keyring_open(service->store, options->world, &service->seal, &service->keyring, why))
        goto fail;
    service->leases.node = store_node(service->store); /* before anybody begins who has jobs that ask */
    *service_out = service;
    return true;
fail:
    service_stop(service, 0);
    return false;
}

/* ── running ── */

static void on_counters(void *context)
{
    struct service *service = context;
    struct api *api = __atomic_load_n(&service->api, __ATOMIC_ACQUIRE);
    if (api)
        api_changed(api);
}

bool service_run(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
    service->report = report_start(service->store, &service->leases, on_counters, service);
    if (!service_engine_begin(service, why))
        return false;
    service_expander_begin(service);
    if (!service_join_begin(service, why) || !service_mail_door_begin(service, why) ||
        !(service->collector = collector_start(service->store, &service->leases, options->world, &service->seal, why)))
        return false;
    service_alarm_begin(service);
    certificates_watch(service->certificates, service->store, options->world);
    service->finisher = finisher_start(service->store, &service->leases, options->world);
    service_orders_begin(service);
    if (!service_tls_reporter_begin(service, why))
        return false;
    service_log_watch_begin(service);
    service->sweeper = sweeper_start(service->store, &service->leases, options->world);
    if (!service_retention_begin(service, why))
        return false;
    keyring_watch(service->keyring);
    service_noticer_begin(service);
    if (!service_door_begin(service, why) || !service_hooks_begin(service, why) ||
        !service_event_file_begin(service, why))
        return false;
    return options->has_no_api || service_api_begin(service, why);
}

void service_reload(struct service *service)
{
    certificates_reload(service->certificates);
    event_file_reopen(service->event_file);
}

void service_stop(struct service *service, time_ms drain_ms)
{
    if (!service)
        return;
    api_stop(service->api);
    certificates_stop(service->certificates);
    tls_reporter_stop(service->tls_reporter);
    finisher_stop(service->finisher);
    canceller_stop(service->canceller);
    orders_stop(service->orders);
    hook_runner_stop(service->hooks);
    event_file_stop(service->event_file);
    door_stop(service->door);
    noticer_stop(service->noticer);
    log_watch_stop(service->log_watch);
    sweeper_stop(service->sweeper);
    retention_stop(service->retention);
    keyring_stop(service->keyring);
    expander_stop(service->expander);
    mail_door_stop(service->mail_door);
    collector_stop(service->collector);
    join_reader_stop(service->join);
    arrivals_stop(service->arrivals);
    alarm_watch_stop(service->alarm); /* before the engine that it tells what is due */
    if (service->engine)
        engine_stop(service->engine, drain_ms);
    if (service->report)
        report_stop(service->report);
    mail_door_free(service->mail_door);
    api_free(service->api); /* until here the counters could still tell it that they moved */
    certificates_free(service->certificates);
    mailer_free(service->mailer);
    recent_mails_free(service->recent);
    if (service->store)
        store_close(service->store);
    if (service->roots)
        tls_roots_free(service->roots);
    rules_free(service->rules);
    sites_free(service->sites);
    robots_free(service->robots);
    policies_free(service->policies);
    seal_key_release(&service->seal);
    keyring_free(service->keyring);
    free(service);
}

struct store *service_store(struct service *service)
{
    return service->store;
}
const struct rules *service_rules(struct service *service)
{
    return service->rules;
}
const struct seal_key *service_seal(struct service *service)
{
    return &service->seal;
}
struct report *service_report(struct service *service)
{
    return service->report;
}
struct endpoint service_http(struct service *service)
{
    return api_endpoint(service->api);
}
