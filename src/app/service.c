#include "app/service.h"

#include "alarm/alarm.h"
#include "app/alarm_mail.h"
#include "app/certificate.h"
#include "app/door.h"
#include "app/keyring.h"
#include "app/noticer.h"
#include "app/orders.h"
#include "app/sweeper.h"
#include "app/transport.h"
#include "base/json.h"
#include "base/log.h"
#include "campaign/canceller.h"
#include "hook/hook.h"
#include "net/proxy.h"
#include "receive/arrivals.h"
#include "receive/collect.h"
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FINISH_MS = 300,      /* between two looks for campaigns that owe nothing any more */
    FINISH_MOST = 100,    /* campaigns looked at in one go */
    DOMAINS_MS = 5000,    /* between two readings of the return paths' domains */
    JST_OFFSET_MIN = 540, /* Date headers speak the time of Japan */
};

/* ── the listener for error mail, on a thread of its own ── */
struct mail_in_thread {
    struct service *service;
    pthread_t thread;
    struct loop *loop;
    struct mail_in *in;
    struct db *reader;
    struct map domains; /* return paths' domains that are ours */
    struct timer refresh;
    _Atomic bool is_stopping;
    bool is_running;
};

/* ── campaigns that owe nothing are finished ── */
struct finisher {
    struct store_watch watch;
    struct write_job job;
    struct service *service;
    _Atomic bool is_running;
    _Atomic time_ms last;
};

struct service {
    struct service_options options;
    struct store *store;
    struct seal_key seal;
    struct rules *rules;
    struct sites *sites;
    struct policies *policies;
    struct keyring *keyring;
    struct leases leases;
    struct tls_roots *roots;
    struct ip own_addresses[TRANSPORT_ADDRESSES_MOST];
    size_t own_address_count;
    struct mailer *mailer;
    struct report *report;
    struct engine *engine;
    struct expander *expander;
    struct arrivals *arrivals;
    struct join_reader *join;
    struct collector *collector;
    struct alarm_watch *alarm;
    struct mail_in_thread mail_in;
    struct finisher finisher;
    struct sweeper *sweeper;
    struct door *door;
    struct noticer *noticer;
    struct canceller *canceller;
    struct orders *orders;
    struct network hook_guard;
    struct hook_runner *hooks;
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

bool service_open(const struct service_options *options, struct service **service_out, struct fault *why)
{
    struct service *service = NEW(struct service);
    service->options = *options;
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
        !policies_open(options->config->policy.text, options->config->policy_folder.text, &service->policies, why) ||
        !seal_key_load(&service->seal, options->config->key_file.text, why) ||
        !(service->store = store_open(options->config->store.text, &store_options, why)) ||
        !keyring_open(service->store, options->world, &service->seal, &service->keyring, why))
        goto fail;
    *service_out = service;
    return true;
fail:
    service_stop(service, 0);
    return false;
}

/* ── error mail comes in ── */

static bool read_domains(struct mail_in_thread *in, struct fault *why)
{
    struct map domains = {0};
    SCOPED(rows) rows = {0};
    if (!db_query(in->reader, why, &rows, "SELECT return_path_domain FROM brand", NO_VALUES))
        return false;
    while (rows_next(&rows))
        map_set(&domains, rows_text(&rows, 0), in);
    if (!rows_end(&rows)) {
        map_release(&domains);
        return false;
    }
    map_release(&in->domains);
    in->domains = domains;
    return true;
}

static void refresh_domains(struct timer *timer)
{
    struct mail_in_thread *in = timer->owner;
    struct fault why = {0};
    if (!read_domains(in, &why))
        log_warn("app", "brands cannot be read: %s", why.text);
    timer_set(timer, DOMAINS_MS);
}

static bool is_ours(void *self, struct slice domain)
{
    return map_get(&((struct mail_in_thread *)self)->domains, domain) != NULL;
}

struct keep_job {
    struct write_job job;
    struct inbound_mail *mail;
    time_ms now;
};

static bool keep_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct keep_job *keep = (struct keep_job *)job;
    char peer[ENDPOINT_TEXT_ROOM];
    endpoint_text(&keep->mail->peer, peer);
    for (size_t i = 0; i < keep->mail->recipient_count; i++) {
        struct inbound_row row = {
            .mail_from = keep->mail->mail_from,
            .rcpt_to = keep->mail->recipients[i].address,
            .peer = slice_str(peer),
            .helo = slice_head(keep->mail->helo, 255),
            .raw = keep->mail->bytes,
        };
        if (!inbound_save(db, why, &row, keep->now))
            return false;
    }
    return true;
}

static void keep_done(struct write_job *job, const struct fault *why)
{
    struct keep_job *keep = (struct keep_job *)job;
    if (why)
        log_warn("receive", "mail could not be kept, its sender hears 451: %s", why->text);
    inbound_done(keep->mail, why == NULL);
    free(keep);
}

static void keep_mail(void *self, struct inbound_mail *mail)
{
    struct mail_in_thread *in = self;
    struct keep_job *keep = NEW(struct keep_job);
    keep->job.run = keep_run;
    keep->job.done = keep_done;
    keep->job.rows = (unsigned)mail->recipient_count;
    keep->job.fails_fast = true;
    keep->mail = mail;
    keep->now = world_wall(in->service->options.world);
    store_write(in->service->store, &keep->job);
}

static void *mail_in_main(void *arg)
{
    struct mail_in_thread *in = arg;
    loop_run(in->loop);
    mail_in_stop(in->in);
    while (mail_in_pending(in->in)) /* mails that wait for their commit */
        loop_turn(in->loop, 10);
    return NULL;
}

/* The named mailboxes: those that every mail host has, and where reports come in (setting report.addresses). */
enum { MAILBOXES_MOST = 16 };
static size_t mailboxes_of(const struct config *config, struct slice *mailboxes)
{
    size_t count = 0;
    mailboxes[count++] = SLICE("postmaster");
    mailboxes[count++] = SLICE("abuse");
    mailboxes[count++] = SLICE("fbl");
    struct slice rest = slice_str(config->report_addresses.text), word;
    while (count < MAILBOXES_MOST && slice_split(&rest, ',', &word)) {
        word = slice_trim(word);
        ptrdiff_t at = slice_find_byte(word, '@'); /* the domain is the return path's anyway */
        word = at >= 0 ? slice_head(word, (size_t)at) : word;
        if (word.len)
            mailboxes[count++] = word;
    }
    return count;
}

static bool mail_in_begin(struct service *service, struct fault *why)
{
    struct slice mailboxes[MAILBOXES_MOST];
    size_t mailbox_count = mailboxes_of(service->options.config, mailboxes);
    struct mail_in_thread *in = &service->mail_in;
    in->service = service;
    if (!(in->reader = store_reader_open(service->store, why)) || !read_domains(in, why))
        return false;
    in->loop = loop_new(service->options.world);
    const struct mail_in_options options = {
        .session = {.listener = {.at = service->options.config->mail_in_listen.endpoint,
                                 .cure_setting = "mail_in.listen"},
                    .smtp = {.host_name = slice_str(service->ehlo_name)},
                    .tls = certificates_server(service->certificates)},
        .ring = keyring_ring(service->keyring),
        .mailboxes = mailboxes,
        .mailbox_count = mailbox_count,
    };
    const struct inbound inbound = {.self = in, .is_ours = is_ours, .accept = keep_mail};
    in->in = mail_in_new(in->loop, &options, &inbound, why);
    if (!in->in)
        return false;
    timer_init(&in->refresh, in->loop, refresh_domains, in);
    timer_set(&in->refresh, DOMAINS_MS);
    if (pthread_create(&in->thread, NULL, mail_in_main, in) != 0)
        abort();
    in->is_running = true;
    return true;
}

static void mail_in_end(struct service *service)
{
    struct mail_in_thread *in = &service->mail_in;
    if (in->is_running) {
        loop_stop(in->loop);
        pthread_join(in->thread, NULL);
        timer_clear(&in->refresh);
    }
    if (in->in)
        mail_in_free(in->in);
    if (in->loop)
        loop_free(in->loop);
    map_release(&in->domains);
    db_free(in->reader);
}

/* ── finishing campaigns ── */

static bool finish_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct finisher *finisher = (struct finisher *)((char *)job - offsetof(struct finisher, job));
    uint64_t ids[FINISH_MOST], lag, watched;
    size_t count;
    if (!campaign_in_state(db, why, CAMPAIGN_SENDING, ids, FINISH_MOST, &count))
        return false;
    if (count == 0)
        return true;
    if (!event_reader_lag(db, why, REPORT_READER, &lag) || !event_reader_lag(db, why, ALARM_READER, &watched))
        return false;
    /* counters that run behind say nothing about the end, and the guard may take a refusal back */
    for (size_t i = 0; i < count && lag == 0 && watched == 0; i++) {
        struct report_totals totals;
        if (!report_totals(db, why, ids[i], &totals))
            return false;
        int64_t owed = 0;
        for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
            owed += delivery_is_owed((enum delivery_state)state) ? totals.states[state] : 0;
        if (owed == 0 && !campaign_finish(db, why, ids[i], world_wall(finisher->service->options.world)))
            return false;
    }
    return true;
}

static void finish_done(struct write_job *job, const struct fault *why)
{
    struct finisher *finisher = (struct finisher *)((char *)job - offsetof(struct finisher, job));
    if (why)
        log_warn("app", "campaigns cannot be finished now: %s", why->text);
    atomic_store(&finisher->is_running, false);
}

static void finish_wake(struct store_watch *watch, unsigned marks)
{
    struct finisher *finisher = (struct finisher *)((char *)watch - offsetof(struct finisher, watch));
    time_ms now = world_monotonic(finisher->service->options.world);
    if (now - atomic_load(&finisher->last) < FINISH_MS || atomic_exchange(&finisher->is_running, true))
        return;
    atomic_store(&finisher->last, now);
    store_write(finisher->service->store, &finisher->job);
}

static void finisher_begin(struct service *service)
{
    struct finisher *finisher = &service->finisher;
    finisher->service = service;
    finisher->job.run = finish_run;
    finisher->job.done = finish_done;
    finisher->watch.wake = finish_wake;
    store_watch_add(service->store, &finisher->watch);
}

static void finisher_end(struct service *service)
{
    struct finisher *finisher = &service->finisher;
    if (!finisher->service)
        return;
    store_watch_remove(service->store, &finisher->watch);
    const struct timespec pause = {.tv_nsec = 2000000};
    while (atomic_load(&finisher->is_running))
        nanosleep(&pause, NULL);
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

/* Each of these may be asked from any thread. */
static void on_metrics(void *owner, struct api_metrics *metrics)
{
    struct service *service = owner;
    const struct engine_figures engine = engine_figures(service->engine);
    const struct mail_in_counts in = mail_in_counts(service->mail_in.in);
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
                                    .wal_bytes = -1};
    if (service->options.jail) {
        const struct jail_figures jail = jail_figures(service->options.jail);
        metrics->jail_read = jail.read;
        metrics->jail_deaths = jail.deaths;
        metrics->jail_started = jail.started;
    }
    struct slice store = slice_str(service->options.config->store.text);
    SCOPED(buf) path = BUF(4096);
    struct stat found;
    if (store_is_postgres(service->store))
        return;
    if (slice_starts(store, SLICE("sqlite:")))
        store = slice_from(store, 7);
    buf_printf(&path, "%.*s-wal", SLICE_ARG(store));
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
    const struct mailer_options mailer = {
        .store = service->store,
        .world = options->world,
        .seal = &service->seal,
        .ring = keyring_ring(service->keyring),
        .date_offset_minutes = JST_OFFSET_MIN,
    };
    service->mailer = mailer_new(&mailer);
    service->leases.node = store_node(service->store);
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
        .uses_dane = options->has_dnssec && strcmp(options->config->tls_dane.text, "on") == 0,
        .uses_sts = strcmp(options->config->tls_sts.text, "on") == 0,
        .uses_ipv6 = strcmp(options->config->smtp_ipv6.text, "on") == 0,
        .seal = &service->seal,
        .own_addresses = service->own_addresses,
        .own_address_count = service->own_address_count,
        .ehlo_name = slice_str(service->ehlo_name),
        .retry = {.scale = options->retry_scale},
        .in_doubt_wait = options->config->in_doubt_wait.duration,
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

static bool door_begin(struct service *service, struct fault *why)
{
    const struct door_options options = {
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
    service->report = report_start(service->store, on_counters, service);
    if (!engine_begin(service, why))
        return false;
    const struct expander_options expander = {
        .store = service->store, .world = options->world, .submitted = on_submitted, .owner = service};
    service->expander = expander_start(&expander);
    service->arrivals = arrivals_start(service->store, options->world, slice_str(service->ehlo_name));
    const struct join_reader_options join = {
        .store = service->store,
        .world = options->world,
        .rules = service->rules,
        .ledger = ledger_of(service),
        .ring = keyring_ring(service->keyring),
        .jail = options->jail,
        .arrivals = service->arrivals,
    };
    if (!(service->join = join_reader_start(&join, why)) || !mail_in_begin(service, why) ||
        !(service->collector = collector_start(service->store, options->world, &service->seal, why)))
        return false;
    alarm_begin(service);
    certificates_watch(service->certificates, service->store, options->world);
    finisher_begin(service);
    const struct ledger ledger = ledger_of(service);
    service->canceller = canceller_start(service->store, options->world, &ledger);
    const struct orders_options orders = {.store = service->store,
                                          .world = options->world,
                                          .ledger = ledger,
                                          .submitted = on_submitted,
                                          .owner = service};
    service->orders = orders_start(&orders);
    service->sweeper = sweeper_start(service->store, options->world);
    keyring_watch(service->keyring);
    service->noticer = noticer_begin(service);
    if (!door_begin(service, why) || !hooks_begin(service, why))
        return false;
    if (options->has_no_api)
        return true;
    struct api_options api = options->api;
    api.store = service->store;
    api.world = options->world;
    api.rules = service->rules;
    api.report = service->report;
    api.ring = keyring_ring(service->keyring);
    api.listen = options->config->http_listen.endpoint;
    api.tls = strcmp(options->config->http_tls.text, "on") == 0 ? certificates_server(service->certificates) : NULL;
    api.proxies = &service->proxies;
    api.has_proxy_head = strcmp(options->config->http_proxy_protocol.text, "on") == 0;
    api.cure_setting = "http.listen";
    api.holds_changed = on_holds;
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
}

void service_stop(struct service *service, time_ms drain_ms)
{
    if (!service)
        return;
    api_stop(service->api);
    certificates_stop(service->certificates);
    finisher_end(service);
    canceller_stop(service->canceller);
    orders_stop(service->orders);
    hook_runner_stop(service->hooks);
    door_stop(service->door);
    noticer_stop(service->noticer);
    sweeper_stop(service->sweeper);
    keyring_stop(service->keyring);
    expander_stop(service->expander);
    mail_in_end(service);
    collector_stop(service->collector);
    join_reader_stop(service->join);
    arrivals_stop(service->arrivals);
    alarm_watch_stop(service->alarm); /* before the engine that it tells what is due */
    if (service->engine)
        engine_stop(service->engine, drain_ms);
    if (service->report)
        report_stop(service->report);
    api_free(service->api); /* until here the counters could still tell it that they moved */
    certificates_free(service->certificates);
    mailer_free(service->mailer);
    if (service->store)
        store_close(service->store);
    if (service->roots)
        tls_roots_free(service->roots);
    rules_free(service->rules);
    sites_free(service->sites);
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
struct engine *service_engine(struct service *service)
{
    return service->engine;
}
struct endpoint service_http(struct service *service)
{
    return api_endpoint(service->api);
}
struct mail_in_counts service_mail_in_counts(struct service *service)
{
    return mail_in_counts(service->mail_in.in);
}
