/* dispatch.c - the dispatcher's thread: which lanes are due, where their domains go, how many each site may have in
 * memory */
#include "deliver/parts.h"

#include "base/log.h"
#include <stdio.h>

enum {
    SITE_READY_FACTOR = 32, /* recipients in memory for each connection a site may have */
    FAILURES_READY = 1000,  /* of a destination without a route: nothing but bookkeeping */
    ROUTE_TTL_LEAST_S = 60,
    ROUTE_TTL_MOST_S = 3600,
    ROUTE_AGAIN_S = 60, /* after a DNS failure */
    DOUBTFUL_BATCH = 500,
};

/* What is known of a domain's route, and until when. */
struct domain_route {
    struct dispatcher *dispatcher;
    struct slice domain; /* the map's key */
    struct route_query *query;
    time_ms good_until;
};

struct news_item {
    struct mail_item item;
    struct lane_key lane;
    unsigned bucket;
    time_ms due;
};

static size_t site_most(const struct site *site)
{
    return site->is_failure ? FAILURES_READY : (size_t)site->rule->connections * SITE_READY_FACTOR;
}

static time_ms wall(const struct dispatcher *dispatcher)
{
    return world_wall(dispatcher->engine->options.world);
}

/* ── sites and destinations ── */

static struct site *site_get(struct dispatcher *dispatcher, struct slice name, const struct site_rule *rule)
{
    struct site *site = map_get(&dispatcher->sites, name);
    if (site)
        return site;
    site = memory_zero(1, sizeof(*site) + name.len);
    memcpy(site + 1, name.ptr, name.len);
    site->name = slice_of(site + 1, name.len);
    site->rule = rule;
    site->worker = &dispatcher->engine->workers[dispatcher->worker_turn++ % dispatcher->engine->worker_count];
    map_set(&dispatcher->sites, name, site);
    return site;
}

/* What tells an MX set apart: its hosts and preferences in order of name; a failure is one for each domain. */
static void route_key(const struct route *route, struct slice domain, struct buf *key)
{
    if (route->status != ROUTE_FOUND) {
        buf_printf(key, "!%.*s %.*s", SLICE_ARG(route_status_word(route->status)), SLICE_ARG(domain));
        return;
    }
    for (size_t seen = 0; seen < route->host_count;
         seen++) { /* hosts of equal preference are shuffled: sort them by name */
        const struct route_host *best = NULL;
        for (size_t i = 0; i < route->host_count; i++) {
            const struct route_host *host = &route->hosts[i];
            char mark[300];
            snprintf(mark, sizeof(mark), " %u:%.*s ", host->preference, SLICE_ARG(host->name));
            if (slice_find(buf_slice(key), slice_str(mark)) != SLICE_NPOS)
                continue;
            if (!best || host->preference < best->preference ||
                (host->preference == best->preference && slice_compare(host->name, best->name) < 0))
                best = host;
        }
        if (!best)
            break;
        buf_printf(key, " %u:%.*s ", best->preference, SLICE_ARG(best->name));
    }
}

static struct destination *destination_get(struct dispatcher *dispatcher, const struct route *route,
                                           struct slice domain)
{
    SCOPED(buf) key = BUF(16384);
    route_key(route, domain, &key);
    struct destination *destination = map_get(&dispatcher->destinations, buf_slice(&key));
    if (destination)
        return destination;
    destination = NEW(struct destination);
    destination->key = arena_copy(&destination->arena, buf_slice(&key));
    route_copy(&destination->arena, route, &destination->route);
    struct slice hosts[ROUTE_HOSTS_MOST], name = domain;
    size_t count = 0;
    for (; count < route->host_count && count < COUNT_OF(hosts); count++)
        hosts[count] = route->hosts[count].name;
    const struct site_rule *rule = site_rule_for(hosts, count);
    if (rule->name[0])
        name = slice_str(rule->name);
    else if (count)
        name = buf_slice(&key); /* an MX set of its own */
    struct site *site = site_get(dispatcher, name, rule);
    site->is_failure = route->status != ROUTE_FOUND;
    if (!rule->name[0] && count)
        site->name = arena_copy(&destination->arena, hosts[0]);
    destination->site = site;
    map_set(&dispatcher->destinations, destination->key, destination);
    return destination;
}

/* ── routes ── */

static void on_route(void *owner, const struct route *route)
{
    struct domain_route *known = owner;
    struct dispatcher *dispatcher = known->dispatcher;
    known->query = NULL;
    uint32_t ttl = route->ttl_seconds < ROUTE_TTL_LEAST_S ? ROUTE_TTL_LEAST_S : route->ttl_seconds;
    if (ttl > ROUTE_TTL_MOST_S)
        ttl = ROUTE_TTL_MOST_S;
    if (route->status == ROUTE_TRY_LATER || route->status == ROUTE_NO_ADDRESS)
        ttl = ROUTE_AGAIN_S;
    known->good_until = loop_now(dispatcher->loop) + SECONDS_MS(ttl);
    struct destination *destination = destination_get(dispatcher, route, known->domain);
    lanes_route(dispatcher->lanes, known->domain, &destination->site->group, destination);
    timer_set(&dispatcher->wake, 0);
}

static void want_route(void *owner, struct slice domain)
{
    struct dispatcher *dispatcher = owner;
    struct domain_route *known = map_get(&dispatcher->routes, domain);
    if (!known) {
        known = memory_zero(1, sizeof(*known) + domain.len);
        known->dispatcher = dispatcher;
        memcpy(known + 1, domain.ptr, domain.len);
        known->domain = slice_of(known + 1, domain.len);
        map_set(&dispatcher->routes, domain, known);
    }
    if (!known->query)
        known->query = route_ask(dispatcher->dns, known->domain, &dispatcher->engine->route_options, on_route, known);
}

/* Routes whose time is over are asked anew; until the answer comes the old one serves (R18). */
static void refresh_routes(struct dispatcher *dispatcher)
{
    size_t at = 0;
    time_ms now = loop_now(dispatcher->loop);
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->routes, &at));) {
        struct domain_route *known = entry->value;
        if (!known->query && known->good_until < now)
            known->query =
                route_ask(dispatcher->dns, known->domain, &dispatcher->engine->route_options, on_route, known);
    }
}

/* ── filling sites ── */

static void want_fill(struct dispatcher *dispatcher, struct site *site)
{
    if (site->wants_fill || dispatcher->is_stopping)
        return;
    site->wants_fill = true;
    site->next_to_fill = dispatcher->to_fill;
    dispatcher->to_fill = site;
    deferred_ask(&dispatcher->fill);
}

static void woken(void *owner, struct lane_group *group)
{
    struct site *site = (struct site *)((char *)group - offsetof(struct site, group));
    want_fill(owner, site);
}

static void fill_site(struct dispatcher *dispatcher, struct site *site)
{
    size_t most = site_most(site), count;
    if (site->outstanding > most / 2 || site->group.active_count == 0)
        return;
    struct recipient *list;
    struct fault why = {0};
    if (!lanes_claim(dispatcher->lanes, &site->group, wall(dispatcher), most - site->outstanding, &list, &count,
                     &why)) {
        log_warn("deliver", "deliveries cannot be read: %s", why.text);
        return; /* the next second asks again */
    }
    site->outstanding += count;
    atomic_fetch_add(&dispatcher->engine->claimed, count);
    while (list) {
        struct recipient *recipient = list;
        list = list->next;
        mailbox_post(&recipient->destination->site->worker->recipients, &recipient->item);
    }
}

static void wake_lanes(struct dispatcher *dispatcher)
{
    if (dispatcher->is_stopping)
        return;
    time_ms now = wall(dispatcher), next = lanes_wake(dispatcher->lanes, now);
    if (next != INT64_MAX)
        timer_set(&dispatcher->wake, next - now < 10 ? 10 : next - now > 1000 ? 1000 : next - now);
}

static void fill_sites(struct deferred *deferred)
{
    struct dispatcher *dispatcher = deferred->owner;
    struct site *list = dispatcher->to_fill;
    dispatcher->to_fill = NULL;
    while (list) {
        struct site *site = list;
        list = list->next_to_fill;
        site->wants_fill = false;
        fill_site(dispatcher, site);
    }
    wake_lanes(dispatcher); /* drained lanes have gone to sleep: until when? */
}

static void wake_due(struct timer *timer)
{
    wake_lanes(timer->owner);
}

/* ── what comes by mailbox ── */

void dispatcher_home(struct engine *engine, struct recipient *recipient)
{
    mailbox_post(&engine->dispatcher.home, &recipient->item);
}

static void came_home(struct mailbox *mailbox, struct mail_item *batch)
{
    struct dispatcher *dispatcher = mailbox->owner;
    while (batch) {
        struct recipient *recipient = (struct recipient *)batch;
        batch = batch->next;
        struct site *site = recipient->destination->site;
        site->outstanding--;
        atomic_fetch_sub(&dispatcher->engine->claimed, 1);
        lanes_return(dispatcher->lanes, recipient);
        if (site->group.active_count)
            want_fill(dispatcher, site);
    }
    wake_lanes(dispatcher);
}

static void post_news(struct engine *engine, const struct lane_key *lane, unsigned bucket, time_ms due)
{
    struct news_item *item = memory_zero(1, sizeof(*item) + lane->domain.len);
    item->lane = *lane;
    memcpy(item + 1, lane->domain.ptr, lane->domain.len);
    item->lane.domain = slice_of(item + 1, lane->domain.len);
    item->bucket = bucket;
    item->due = due;
    mailbox_post(&engine->dispatcher.news, &item->item);
}

void engine_submitted(struct engine *engine, const struct submit_news *news, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (news[i].count)
            post_news(engine, &news[i].lane, news[i].bucket, news[i].due);
}

static bool key_is_held(void *context, const struct lane_key *key)
{
    return holds_has(context, key);
}

static void news_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct dispatcher *dispatcher = mailbox->owner;
    while (batch) {
        struct news_item *news = (struct news_item *)batch;
        batch = batch->next;
        lanes_added(dispatcher->lanes, &news->lane, news->bucket, news->due);
        free(news);
    }
    wake_lanes(dispatcher);
}

/* ── once a second: holds, doubtful ones, leases, routes ── */

static bool read_holds(struct dispatcher *dispatcher, struct map *names, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(dispatcher->reader, why, &rows, "SELECT kind, name FROM hold", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        char name[320];
        snprintf(name, sizeof(name), "%.*s %.*s", SLICE_ARG(rows_text(&rows, 0)), SLICE_ARG(rows_text(&rows, 1)));
        map_set(names, slice_str(name), dispatcher);
    }
    return rows_end(&rows);
}

static bool same_names(const struct map *a, const struct map *b)
{
    if (a->count != b->count)
        return false;
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(a, &at));)
        if (!map_get(b, entry->key))
            return false;
    return true;
}

static struct holds *holds_copy(const struct holds *holds)
{
    struct holds *copy = NEW(struct holds);
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&holds->names, &at));)
        map_set(&copy->names, entry->key, entry->value);
    return copy;
}

static void refresh_holds(struct dispatcher *dispatcher)
{
    struct holds *fresh = NEW(struct holds);
    struct fault why = {0};
    bool ok = read_holds(dispatcher, &fresh->names, &why);
    if (!ok || (dispatcher->holds && same_names(&fresh->names, &dispatcher->holds->names))) {
        map_release(&fresh->names);
        free(fresh);
        return;
    }
    lanes_hold(dispatcher->lanes, key_is_held, fresh);
    if (dispatcher->holds)
        map_release(&dispatcher->holds->names);
    free(dispatcher->holds);
    dispatcher->holds = fresh;
    for (unsigned i = 0; i < dispatcher->engine->worker_count; i++)
        worker_control_holds(&dispatcher->engine->workers[i], holds_copy(fresh));
}

/* A write job of the dispatcher's own: renew the leases, release what was in doubt long enough. */
struct upkeep {
    struct write_job job;
    struct engine *engine;
    time_ms now, now_monotonic;
    struct arena arena;
    struct ledger_released *released;
    size_t released_count;
};

static bool upkeep_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct upkeep *upkeep = (struct upkeep *)job;
    struct ledger *ledger = &upkeep->engine->options.ledger;
    arena_reset(&upkeep->arena);
    return leases_renew(db, why, ledger->leases, upkeep->now_monotonic) &&
           ledger_release_doubtful(ledger, db, why, upkeep->now, DOUBTFUL_BATCH, &upkeep->arena, &upkeep->released,
                                   &upkeep->released_count);
}

static void upkeep_done(struct write_job *job, const struct fault *why)
{
    struct upkeep *upkeep = (struct upkeep *)job;
    for (size_t i = 0; !why && i < upkeep->released_count; i++)
        post_news(upkeep->engine, &upkeep->released[i].lane, upkeep->released[i].bucket, upkeep->now);
    arena_release(&upkeep->arena);
    free(upkeep);
}

static void each_second(struct timer *timer)
{
    struct dispatcher *dispatcher = timer->owner;
    if (dispatcher->is_stopping)
        return;
    timer_set(timer, 1000);
    refresh_holds(dispatcher);
    refresh_routes(dispatcher);
    size_t at = 0; /* whoever was left by a store that could not be read */
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->sites, &at));)
        if (((struct site *)entry->value)->group.active_count)
            want_fill(dispatcher, entry->value);
    wake_lanes(dispatcher);
    struct upkeep *upkeep = NEW(struct upkeep);
    upkeep->job.run = upkeep_run;
    upkeep->job.done = upkeep_done;
    upkeep->engine = dispatcher->engine;
    upkeep->now = wall(dispatcher);
    upkeep->now_monotonic = loop_now(dispatcher->loop);
    store_write(dispatcher->engine->options.store, &upkeep->job);
}

void engine_holds_changed(struct engine *engine)
{
    struct control_item *item = NEW(struct control_item);
    item->what = CONTROL_READ_HOLDS;
    mailbox_post(&engine->dispatcher.control, &item->item);
}

static void control_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct dispatcher *dispatcher = mailbox->owner;
    while (batch) {
        struct control_item *item = (struct control_item *)batch;
        batch = batch->next;
        switch (item->what) {
        case CONTROL_READ_HOLDS: refresh_holds(dispatcher); break;
        case CONTROL_STOP_CLAIMING:
            dispatcher->is_stopping = true;
            timer_clear(&dispatcher->wake);
            timer_clear(&dispatcher->second);
            atomic_store(&dispatcher->engine->claims_nothing, true);
            break;
        }
        free(item);
    }
    wake_lanes(dispatcher);
}

void dispatcher_stop_claiming(struct engine *engine)
{
    struct control_item *item = NEW(struct control_item);
    item->what = CONTROL_STOP_CLAIMING;
    mailbox_post(&engine->dispatcher.control, &item->item);
}

/* ── the thread ── */

static void *dispatcher_main(void *arg)
{
    struct dispatcher *dispatcher = arg;
    wake_lanes(dispatcher);
    loop_run(dispatcher->loop);
    return NULL;
}

bool dispatcher_start(struct engine *engine, struct fault *why)
{
    struct dispatcher *dispatcher = &engine->dispatcher;
    dispatcher->engine = engine;
    dispatcher->reader = store_reader_open(engine->options.store, why);
    if (!dispatcher->reader)
        return false;
    dispatcher->lanes = lanes_new(dispatcher->reader, want_route, woken, dispatcher);
    if (!lanes_load(dispatcher->lanes, why)) {
        lanes_free(dispatcher->lanes);
        db_free(dispatcher->reader);
        return false;
    }
    dispatcher->loop = loop_new(engine->options.world);
    dispatcher->dns = dns_client_new(dispatcher->loop);
    mailbox_init(&dispatcher->news, dispatcher->loop, news_arrived, dispatcher);
    mailbox_init(&dispatcher->home, dispatcher->loop, came_home, dispatcher);
    mailbox_init(&dispatcher->control, dispatcher->loop, control_arrived, dispatcher);
    timer_init(&dispatcher->wake, dispatcher->loop, wake_due, dispatcher);
    timer_init(&dispatcher->second, dispatcher->loop, each_second, dispatcher);
    deferred_init(&dispatcher->fill, dispatcher->loop, fill_sites, dispatcher);
    refresh_holds(dispatcher);
    timer_set(&dispatcher->second, 1000);
    if (pthread_create(&dispatcher->thread, NULL, dispatcher_main, dispatcher) != 0)
        abort();
    return true;
}

static void free_values(struct map *map)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(map, &at));)
        free(entry->value);
    map_release(map);
}

void dispatcher_stop(struct engine *engine)
{
    struct dispatcher *dispatcher = &engine->dispatcher;
    loop_stop(dispatcher->loop);
    pthread_join(dispatcher->thread, NULL);
    for (struct mail_item *item = mailbox_take(&dispatcher->home), *next; item; item = next) {
        next = item->next;
        lanes_return(dispatcher->lanes, (struct recipient *)item);
    }
    struct mailbox *const mailboxes[] = {&dispatcher->news, &dispatcher->control};
    for (size_t i = 0; i < COUNT_OF(mailboxes); i++) {
        for (struct mail_item *item = mailbox_take(mailboxes[i]), *next; item; item = next) {
            next = item->next;
            free(item);
        }
    }
    dns_client_free(dispatcher->dns);
    mailbox_release(&dispatcher->news);
    mailbox_release(&dispatcher->home);
    mailbox_release(&dispatcher->control);
    timer_clear(&dispatcher->wake);
    timer_clear(&dispatcher->second);
    deferred_clear(&dispatcher->fill);
    loop_free(dispatcher->loop);
    lanes_free(dispatcher->lanes);
    db_free(dispatcher->reader);
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->destinations, &at));)
        arena_release(&((struct destination *)entry->value)->arena);
    free_values(&dispatcher->destinations);
    free_values(&dispatcher->sites);
    free_values(&dispatcher->routes);
    if (dispatcher->holds)
        map_release(&dispatcher->holds->names);
    free(dispatcher->holds);
}
