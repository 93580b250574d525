/* service_parts.c - each part of a service with what it needs of the settings and of the others; service.c has the
 * order */
#include "app/service_inside.h"

#include "access/key.h"
#include "app/alarm_mail.h"
#include "base/json.h"
#include <stdio.h>

enum { JST_OFFSET_MIN = 540 /* Date headers speak the time of Japan */ };

/* Whoever gives a mail less time than this means it. Campaigns of a command that did not see the settings have five
 * days. */
static time_ms house_time(const struct config *config)
{
    return config->expires_after.duration < DAYS_MS(5) ? config->expires_after.duration : DAYS_MS(5);
}

/* ── what moves mail ── */

void service_submitted(void *owner, const struct submit_news *news, size_t count)
{
    engine_submitted(((struct service *)owner)->engine, news, count);
}

struct ledger service_ledger(struct service *service)
{
    return (struct ledger){
        .leases = &service->leases, .policy = {.policies = service->policies}, .node = store_node(service->store)};
}

bool service_engine_begin(struct service *service, struct fault *why)
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
        .ledger = service_ledger(service),
        .roots = service->roots,
        .tls_remember = options->config->tls_remember.duration,
        .uses_dane = options->has_dnssec && strcmp(options->config->tls_dane.text, "on") == 0,
        .uses_sts = strcmp(options->config->tls_sts.text, "on") == 0,
        .uses_ipv6 = strcmp(options->config->smtp_ipv6.text, "on") == 0,
        .seal = &service->seal,
        .own_addresses = service->own_addresses,
        .own_address_count = service->own_address_count,
        .listens_at = service->listens_at,
        .listens_at_count =
            transport_listens_at(options->config, options->world->network.smtp_port, service->listens_at),
        .ehlo_name = slice_str(service->ehlo_name),
        .retry = {.scale = options->retry_scale},
        .expires_after = house_time(options->config),
        .in_doubt_wait = options->config->in_doubt_wait.duration,
        .source_wait = options->config->in_doubt_source_wait.duration,
        .workers = (unsigned)options->config->workers.number,
        .timeouts = {.factor = options->timeout_factor},
        .tls_told = tls_alarm_tell,
        .owner = &service->tls_alarm,
    };
    service->tls_alarm = (struct tls_alarm){service->store, options->world};
    return engine_start(&engine, &service->engine, why);
}

void service_expander_begin(struct service *service)
{
    const struct expander_options expander = {.store = service->store,
                                              .leases = &service->leases,
                                              .world = service->options.world,
                                              .submitted = service_submitted,
                                              .owner = service};
    service->expander = expander_start(&expander);
}

bool service_join_begin(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
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
    return (service->join = join_reader_start(&join, why)) != NULL;
}

static void service_recall(void *owner, const struct order_reach *reach)
{
    const struct service *service = owner;
    const struct lane_key whose = {
        .brand_id = reach->brand_id, .campaign_id = reach->campaign_id, .domain = reach->domain};
    if (service->engine)
        engine_recall(service->engine, &whose);
}

void service_orders_begin(struct service *service)
{
    const struct ledger ledger = service_ledger(service);
    service->canceller = canceller_start(service->store, service->options.world, &ledger);
    const struct orders_options orders = {.store = service->store,
                                          .world = service->options.world,
                                          .ledger = ledger,
                                          .submitted = service_submitted,
                                          .recall = service_recall,
                                          .owner = service};
    service->orders = orders_start(&orders);
}

void service_noticer_begin(struct service *service)
{
    const struct noticer_options options = {
        .store = service->store,
        .leases = &service->leases,
        .world = service->options.world,
        .host_name = service->ehlo_name,
        .expires_after = service->options.config->expires_after.duration,
        .date_offset_minutes = JST_OFFSET_MIN,
        .submitted = service_submitted,
        .owner = service,
    };
    service->noticer = noticer_start(&options);
}

/* ── doors ── */

bool service_mail_door_begin(struct service *service, struct fault *why)
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

bool service_door_begin(struct service *service, struct fault *why)
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
        .submitted = service_submitted,
        .owner = service,
    };
    return door_start(&options, &service->door, why);
}

/* ── what watches, and tells others ── */

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

void service_alarm_begin(struct service *service)
{
    const struct service_options *options = &service->options;
    const struct alarm_options alarm = {
        .store = service->store,
        .world = options->world,
        .rules = service->rules,
        .ledger = service_ledger(service),
        .per_hour = options->config->alarm_per_hour.number,
        .times = options->config->alarm_times.number,
        .key_per_hour = options->config->alarm_key_per_hour.number,
        .key_times = options->config->alarm_key_times.number,
        .replay_networks = options->config->alarm_replay.number,
        .pause = strcmp(options->config->alarm_key_pause.text, "yes") == 0 ? alarm_pause : NULL,
        .time_scale = options->retry_scale,
        .released = service_submitted,
        .mail = alarm_mail,
        .owner = service,
    };
    service->alarm = alarm_watch_start(&alarm);
}

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

bool service_hooks_begin(struct service *service, struct fault *why)
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
        .wait_scale = options->timeout_factor,
        .failed = hook_failed,
    };
    return (service->hooks = hook_runner_start(&hooks, why)) != NULL;
}

bool service_event_file_begin(struct service *service, struct fault *why)
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

bool service_tls_reporter_begin(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
    const struct tls_reporter_options reporter = {.store = service->store,
                                                  .world = options->world,
                                                  .roots = service->roots,
                                                  .node = store_node(service->store),
                                                  .from = slice_str(options->config->tlsrpt_from.text),
                                                  .scale = options->retry_scale > 0 ? options->retry_scale : 1.0,
                                                  .submitted = service_submitted,
                                                  .owner = service};
    return tls_reporter_start(&reporter, &service->tls_reporter, why);
}

bool service_log_path(const struct service *service, struct buf *path)
{
    struct slice store = slice_str(service->options.config->store.text);
    if (store_is_postgres(service->store))
        return false;
    if (slice_starts(store, SLICE("sqlite:")))
        store = slice_from(store, 7);
    buf_printf(path, "%.*s-wal", SLICE_ARG(store));
    return buf_ok(path);
}

void service_log_watch_begin(struct service *service)
{
    SCOPED(buf) log = BUF(4096);
    if (service_log_path(service, &log)) {
        const struct log_watch_options log_watch = {
            .store = service->store, .world = service->options.world, .path = buf_slice(&log)};
        service->log_watch = log_watch_start(&log_watch);
    }
}

bool service_retention_begin(struct service *service, struct fault *why)
{
    const struct service_options *options = &service->options;
    const struct retention_options retention = {.store = service->store,
                                                .leases = &service->leases,
                                                .world = options->world,
                                                .events = options->config->keep_events.duration,
                                                .inbound = options->config->keep_inbound.duration,
                                                .counters = options->config->fold_counters.duration,
                                                .logs = options->config->keep_logs.duration};
    return (service->retention = retention_start(&retention, why)) != NULL;
}
