/* service_api.c - the API of a service, and what it asks of the others */
#include "app/service_inside.h"

#include "hosted/hosted.h"
#include <stdio.h>
#include <sys/stat.h>

static void on_holds(void *owner)
{
    engine_holds_changed(((struct service *)owner)->engine);
}

static void on_board(void *owner)
{
    engine_board_asked(((struct service *)owner)->engine);
}

/* Each of these may be asked from any thread. */
static void on_metrics(void *owner, struct api_metrics *metrics)
{
    struct service *service = owner;
    const struct engine_figures engine = engine_figures(service->engine);
    const struct mail_in_counts in = mail_door_counts(service->mail_door);
    *metrics = (struct api_metrics){.delivered = engine.delivered,
                                    .refused = engine.refused,
                                    .deferred = engine.deferred,
                                    .in_doubt = engine.in_doubt,
                                    .connections = engine.connections,
                                    .open_connections = engine.open_connections,
                                    .claimed = (int64_t)engine.claimed,
                                    .suspended_by_words = (int64_t)engine.suspended_by_words,
                                    .suspended_by_guard = (int64_t)engine.suspended_by_guard,
                                    .suspended_by_order = (int64_t)engine.suspended_by_order,
                                    .breakers_open = (int64_t)engine.breakers_open,
                                    .inbound_sessions = in.sessions,
                                    .inbound_mails = in.mails,
                                    .inbound_octets = in.octets,
                                    .wal_bytes = -1,
                                    .is_event_file_waiting = event_file_is_waiting(service->event_file)};
    if (service->options.jail) {
        const struct jail_figures jail = jail_figures(service->options.jail);
        metrics->jail_read = jail.read;
        metrics->jail_deaths = jail.deaths;
        metrics->jail_started = jail.started;
    }
    struct engine_site_figures sites[API_METRICS_SITES_MOST];
    metrics->site_count = engine_site_figures(service->engine, sites, API_METRICS_SITES_MOST);
    for (size_t i = 0; i < metrics->site_count; i++)
        metrics->sites[i] =
            (struct api_site_metrics){sites[i].rule, sites[i].delivered, sites[i].refused, sites[i].deferred};
    SCOPED(buf) path = BUF(4096);
    struct stat found;
    if (service_log_path(service, &path))
        metrics->wal_bytes = stat(buf_cstr(&path), &found) == 0 ? (int64_t)found.st_size : 0;
}

/* Every setting as it is; the store's address without its password. */
static const struct api_setting *settings_shown(struct service *service, size_t *count)
{
    const struct config *config = service->options.config;
    SCOPED(buf) store = BUF(1024);
    store_print_url(config->store.text, &store);
    snprintf(service->store_shown, sizeof(service->store_shown), "%.*s", SLICE_ARG(buf_slice(&store)));
    const struct api_setting shown[] = {
#define SETTING(field, key, kind, fallback, doc) {key, config->field.text, fallback, doc},
#include "app/config.def"
#undef SETTING
    };
    _Static_assert(COUNT_OF(shown) <= COUNT_OF(service->settings), "room for all of them");
    memcpy(service->settings, shown, sizeof(shown));
    *count = COUNT_OF(shown);
    for (size_t i = 0; i < *count; i++)
        if (strcmp(service->settings[i].key, "store") == 0)
            service->settings[i].value = service->store_shown;
    return service->settings;
}

bool service_api_begin(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
    struct api_options api = options->api;
    api.store = service->store;
    api.world = options->world;
    api.rules = service->rules;
    api.report = service->report;
    api.ring = keyring_ring(service->keyring);
    api.robots = service->robots;
    api.listen = options->config->http_listen.endpoint;
    api.tls = strcmp(options->config->http_tls.text, "on") == 0 ? certificates_server(service->certificates) : NULL;
    api.proxies = &service->proxies;
    api.has_proxy_head = strcmp(options->config->http_proxy_protocol.text, "on") == 0;
    api.takes_null_mx = strcmp(options->config->null_mx_senders.text, "accept") == 0;
    api.optins_of_network = (unsigned)options->config->optin_per_network.number;
    uint64_t file_size_max = (uint64_t)options->config->file_size_max.number;
    api.file_size_max = file_size_max < HOSTED_SIZE_MAX ? file_size_max : HOSTED_SIZE_MAX;
    api.file_expires_after = options->config->file_expires_after.duration;
    api.attachment_link = (uint64_t)options->config->attachment_link.number;
    api.reader = service->join;
    api.cure_setting = "http.listen";
    api.holds_changed = on_holds;
    api.sites = service->sites;
    api.board_asked = on_board;
    api.metrics = on_metrics;
    api.submitted = service_submitted;
    api.seal = &service->seal;
    api.settings = settings_shown(service, &api.setting_count);
    api.expires_after = options->config->expires_after.duration;
    api.owner = service;
    struct api *started = api_start(&api, why);
    __atomic_store_n(&service->api, started, __ATOMIC_RELEASE);
    return started != NULL;
}
