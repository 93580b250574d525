#include "app/service.h"

#include "access/key.h"
#include "alarm/alarm.h"
#include "app/alarm_mail.h"
#include "app/certificate.h"
#include "app/door.h"
#include "app/file_alarm.h"
#include "app/finisher.h"
#include "app/keyring.h"
#include "app/log_watch.h"
#include "app/mail_door.h"
#include "app/noticer.h"
#include "app/orders.h"
#include "app/retention.h"
#include "app/sweeper.h"
#include "app/tls_reporter.h"
#include "app/transport.h"
#include "base/json.h"
#include "base/log.h"
#include "campaign/canceller.h"
#include "hook/event_file.h"
#include "hook/hook.h"
#include "hosted/hosted.h"
#include "net/proxy.h"
#include "receive/arrivals.h"
#include "receive/collect.h"
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    JST_OFFSET_MIN = 540, /* Date headers speak the time of Japan */
};

struct service {
    struct service_options options;
    struct store *store;
    struct seal_key seal;
    struct rules *rules;
    struct sites *sites;
    struct robots *robots;
    struct policies *policies;
    struct keyring *keyring;
    struct leases leases;
    struct tls_roots *roots;
    struct ip own_addresses[TRANSPORT_ADDRESSES_MOST];
    size_t own_address_count;
    struct mailer *mailer;
    struct recent_mails *recent;
    struct report *report;
    struct engine *engine;
    struct expander *expander;
    struct arrivals *arrivals;
    struct join_reader *join;
    struct collector *collector;
    struct alarm_watch *alarm;
    struct mail_door *mail_door;
    struct finisher *finisher;
    struct sweeper *sweeper;
    struct log_watch *log_watch; /* NULL: the store has none */
    struct tls_reporter *tls_reporter;
    struct retention *retention;
    struct door *door;
    struct noticer *noticer;
    struct canceller *canceller;
    struct orders *orders;
    struct network hook_guard;
    struct hook_runner *hooks;
    struct event_file *event_file;
    struct file_alarm file_alarm;
    struct api *api;
    char ehlo_name[256];
    char store_shown[1024];
    struct certificates *certificates;
    struct proxies proxies;
    struct api_setting settings[200];
};

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

static void on_submitted(void *owner, const struct submit_news *news, size_t count)
{
    engine_submitted(((struct service *)owner)->engine, news, count);
}

static void on_counters(void *context)
{
    struct service *service = context;
    struct api *api = __atomic_load_n(&service->api, __ATOMIC_ACQUIRE);
    if (api)
        api_changed(api);
}

static void on_holds(void *owner)
{
    engine_holds_changed(((struct service *)owner)->engine);
}

static void on_board(void *owner)
{
    engine_board_asked(((struct service *)owner)->engine);
}

/* SQLite's write-ahead log; false: the store has none. */
static bool log_path(const struct service *service, struct buf *path)
{
    struct slice store = slice_str(service->options.config->store.text);
    if (store_is_postgres(service->store))
        return false;
    if (slice_starts(store, SLICE("sqlite:")))
        store = slice_from(store, 7);
    buf_printf(path, "%.*s-wal", SLICE_ARG(store));
    return buf_ok(path);
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
    if (log_path(service, &path))
        metrics->wal_bytes = stat(buf_cstr(&path), &found) == 0 ? (int64_t)found.st_size : 0;
}

static struct ledger ledger_of(struct service *service)
{
    return (struct ledger){
        .leases = &service->leases, .policy = {.policies = service->policies}, .node = store_node(service->store)};
}

static bool engine_begin(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
    service->recent = recent_mails_new();
    const struct mailer_options mailer = {
        .recent = service->recent,
        .store = service->store,
        .world = options->world,
        .seal = &service->seal,
        .ring = keyring_ring(service->keyring),
        .date_offset_minutes = JST_OFFSET_MIN,
    };
    service->mailer = mailer_new(&mailer);
    service->roots = transport_roots(options->config, why);
    if (!service->roots)
        return false;
    service->own_address_count = transport_own_addresses(options->config, service->own_addresses);
    const struct engine_options engine = {
        .store = service->store,
        .world = options->world,
        .rules = service->rules,
        .sites = service->sites,
        .blocklists = slice_str(options->config->blocklists.text),
        .checks_names = strcmp(options->config->check_names.text, "yes") == 0,
        .composer = mailer_composer(service->mailer),
        .ledger = ledger_of(service),
        .roots = service->roots,
        .tls_remember = options->config->tls_remember.duration,
        .uses_dane = options->has_dnssec && strcmp(options->config->tls_dane.text, "on") == 0,
        .uses_sts = strcmp(options->config->tls_sts.text, "on") == 0,
        .uses_ipv6 = strcmp(options->config->smtp_ipv6.text, "on") == 0,
        .seal = &service->seal,
        .own_addresses = service->own_addresses,
        .own_address_count = service->own_address_count,
        .ehlo_name = slice_str(service->ehlo_name),
        .retry = {.scale = options->retry_scale},
        .in_doubt_wait = options->config->in_doubt_wait.duration,
        .source_wait = options->config->in_doubt_source_wait.duration,
        .workers = (unsigned)options->config->workers.number,
        .timeouts = {.factor = options->timeout_factor},
    };
    return engine_start(&engine, &service->engine, why);
}

static bool alarm_mail(void *owner, struct db *db, struct fault *why, const struct alarm_row *row, struct arena *arena,
                       struct submit_news **news, size_t *news_count, bool *is_sent)
{
    const struct service_options *options = &((struct service *)owner)->options;
    return alarm_mail_send(db, why, row, options->config->alarm_mail_to.text, world_wall(options->world), arena, news,
                           news_count, is_sent);
}

static bool alarm_pause(void *owner, struct db *db, struct fault *why, uint64_t key_id, time_ms now)
{
    bool was_there;
    return key_pause(db, why, key_id, now, &was_there);
}

static void alarm_begin(struct service *service)
{
    const struct service_options *options = &service->options;
    const struct alarm_options alarm = {
        .store = service->store,
        .world = options->world,
        .rules = service->rules,
        .ledger = ledger_of(service),
        .per_hour = options->config->alarm_per_hour.number,
        .times = options->config->alarm_times.number,
        .key_per_hour = options->config->alarm_key_per_hour.number,
        .key_times = options->config->alarm_key_times.number,
        .replay_networks = options->config->alarm_replay.number,
        .pause = strcmp(options->config->alarm_key_pause.text, "yes") == 0 ? alarm_pause : NULL,
        .time_scale = options->retry_scale,
        .released = on_submitted,
        .mail = alarm_mail,
        .owner = service,
    };
    service->alarm = alarm_watch_start(&alarm);
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

static struct noticer *noticer_begin(struct service *service)
{
    const struct noticer_options options = {
        .store = service->store,
        .leases = &service->leases,
        .world = service->options.world,
        .host_name = service->ehlo_name,
        .expires_after = service->options.config->expires_after.duration,
        .date_offset_minutes = JST_OFFSET_MIN,
        .submitted = on_submitted,
        .owner = service,
    };
    return noticer_start(&options);
}

/* ── webhooks ── */

static bool hook_failed(void *owner, struct db *db, struct fault *why, const struct hook *hook, time_ms now)
{
    char about[24];
    SCOPED(buf) detail = BUF(8192);
    struct json json = {&detail};
    snprintf(about, sizeof(about), "%llu", (unsigned long long)hook->id);
    json_object_begin(&json);
    json_put_string(&json, "url", slice_str(hook->url));
    json_end(&json);
    return alarm_raise(db, why, ALARM_WEBHOOK, slice_str(about), hook->attempts + 1, 0, buf_slice(&detail), now);
}

static bool hooks_begin(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
    struct slice rest = slice_str(options->config->hooks_permitted.text), prefix;
    network_init(&service->hook_guard, options->world->network.mode);
    while (rest.len && slice_split(&rest, ',', &prefix))
        if (!network_permit(&service->hook_guard, slice_trim(prefix), why))
            return fault_prefix(why, "hooks.permitted: ");
    const struct hook_options hooks = {
        .store = service->store,
        .world = options->world,
        .seal = &service->seal,
        .roots = service->roots,
        .guard = &service->hook_guard,
        .time_scale = options->retry_scale,
        .failed = hook_failed,
    };
    return (service->hooks = hook_runner_start(&hooks, why)) != NULL;
}

static bool event_file_begin(struct service *service, struct fault *why)
{
    const struct config *config = service->options.config;
    if (!config->events_file.text[0])
        return true;
    if (config->events_file_size.number < 0 || config->events_file_keep.number < 0 ||
        config->events_file_keep.number > 1000)
        return fault_set(why, FAULT_INPUT, "events.file_size: octets; events.file_keep: 0 to 1000");
    service->file_alarm = (struct file_alarm){service->store, service->options.world, config->events_file.text};
    const struct event_file_options options = {.store = service->store,
                                               .path = config->events_file.text,
                                               .size_most = (uint64_t)config->events_file_size.number,
                                               .keep = (unsigned)config->events_file_keep.number,
                                               .waits = file_alarm_tell,
                                               .owner = &service->file_alarm};
    return (service->event_file = event_file_start(&options, why)) != NULL;
}

static bool mail_door_begin(struct service *service, struct fault *why)
{
    const struct mail_door_options options = {
        .config = service->options.config,
        .store = service->store,
        .world = service->options.world,
        .ring = keyring_ring(service->keyring),
        .host_name = service->ehlo_name,
        .tls = certificates_server(service->certificates),
    };
    return (service->mail_door = mail_door_start(&options, why)) != NULL;
}

static bool door_begin(struct service *service, struct fault *why)
{
    const struct door_options options = {
        .recent = service->recent,
        .config = service->options.config,
        .store = service->store,
        .world = service->options.world,
        .seal = &service->seal,
        .host_name = service->ehlo_name,
        .tls = certificates_server(service->certificates),
        .date_offset_minutes = JST_OFFSET_MIN,
        .submitted = on_submitted,
        .owner = service,
    };
    return door_start(&options, &service->door, why);
}

bool service_run(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
    service->report = report_start(service->store, &service->leases, on_counters, service);
    if (!engine_begin(service, why))
        return false;
    const struct expander_options expander = {.store = service->store,
                                              .leases = &service->leases,
                                              .world = options->world,
                                              .submitted = on_submitted,
                                              .owner = service};
    service->expander = expander_start(&expander);
    service->arrivals = arrivals_start(service->store, options->world, slice_str(service->ehlo_name));
    const struct join_reader_options join = {
        .store = service->store,
        .world = options->world,
        .rules = service->rules,
        .leases = &service->leases,
        .ledger = {.policy = {.policies = service->policies}, .node = store_node(service->store)},
        .ring = keyring_ring(service->keyring),
        .jail = options->jail,
        .arrivals = service->arrivals,
    };
    if (!(service->join = join_reader_start(&join, why)) || !mail_door_begin(service, why) ||
        !(service->collector = collector_start(service->store, &service->leases, options->world, &service->seal, why)))
        return false;
    alarm_begin(service);
    certificates_watch(service->certificates, service->store, options->world);
    service->finisher = finisher_start(service->store, &service->leases, options->world);
    const struct ledger ledger = ledger_of(service);
    service->canceller = canceller_start(service->store, options->world, &ledger);
    const struct orders_options orders = {.store = service->store,
                                          .world = options->world,
                                          .ledger = ledger,
                                          .submitted = on_submitted,
                                          .owner = service};
    service->orders = orders_start(&orders);
    const struct tls_reporter_options reporter = {.store = service->store,
                                                  .world = options->world,
                                                  .roots = service->roots,
                                                  .node = store_node(service->store),
                                                  .from = slice_str(options->config->tlsrpt_from.text),
                                                  .scale = options->retry_scale > 0 ? options->retry_scale : 1.0,
                                                  .submitted = on_submitted,
                                                  .owner = service};
    if (!tls_reporter_start(&reporter, &service->tls_reporter, why))
        return false;
    SCOPED(buf) log = BUF(4096);
    if (log_path(service, &log)) {
        const struct log_watch_options log_watch = {
            .store = service->store, .world = options->world, .path = buf_slice(&log)};
        service->log_watch = log_watch_start(&log_watch);
    }
    service->sweeper = sweeper_start(service->store, &service->leases, options->world);
    const struct retention_options retention = {.store = service->store,
                                                .leases = &service->leases,
                                                .world = options->world,
                                                .events = options->config->keep_events.duration,
                                                .inbound = options->config->keep_inbound.duration,
                                                .counters = options->config->fold_counters.duration,
                                                .logs = options->config->keep_logs.duration};
    if (!(service->retention = retention_start(&retention, why)))
        return false;
    keyring_watch(service->keyring);
    service->noticer = noticer_begin(service);
    if (!door_begin(service, why) || !hooks_begin(service, why) || !event_file_begin(service, why))
        return false;
    if (options->has_no_api)
        return true;
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
    api.board_asked = on_board;
    api.metrics = on_metrics;
    api.submitted = on_submitted;
    api.seal = &service->seal;
    api.settings = settings_shown(service, &api.setting_count);
    api.expires_after = options->config->expires_after.duration;
    api.owner = service;
    struct api *started = api_start(&api, why);
    __atomic_store_n(&service->api, started, __ATOMIC_RELEASE);
    return started != NULL;
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
