/* dispatch.c - the dispatcher's thread: which lanes are due, and how many each site may have in memory */
#include "deliver/destination.h"
#include "deliver/engine_inside.h"
#include "deliver/holds.h"
#include "deliver/ordered.h"
#include "deliver/site.h"

#include "base/log.h"

enum {
    SITE_READY_FACTOR = 32, /* recipients in memory for each connection a site may have */
    URGENT_ROOM = 200,      /* transactional ones beyond that: they do not wait for room */
    FAILURES_READY = 1000,  /* of a destination without a route: nothing but bookkeeping */
    CLAIMED_PLENTY = 20000, /* recipients in memory, of all sites: beyond that, enough for a site's connections; */
    CLAIMED_MANY = 40000,   /* beyond that, what a site sends in */
    SCARCE_S = 2,           /* so many seconds, and one of those that send nothing yet; */
    CLAIMED_MOST = 250000,  /* and beyond that only transactional ones */
    CLOCK_STEP_MS = 60000,  /* what a clock is corrected by without anybody noticing */
    DIRECTIONS_S = 2,       /* between two readings of what people decided, and two writings of the TLS counts */
};

struct news_item {
    struct mail_item item;
    struct lane_key lane;
    unsigned bucket;
    time_ms due;
};

/* One that has been dealt with. */
static void count_home(const struct dispatcher *dispatcher, struct site *site)
{
    if (site->second != dispatcher->seconds) {
        site->home_before = site->second + 1 == dispatcher->seconds ? site->home_now : 0;
        site->home_now = 0;
        site->second = dispatcher->seconds;
    }
    site->home_now++;
}

/* As many as come home in SCARCE_S, by the last second or two; at least one. */
static size_t soon_home(const struct dispatcher *dispatcher, const struct site *site)
{
    size_t lately = site->second + 1 < dispatcher->seconds ? 0
                    : site->home_now > site->home_before   ? site->home_now
                                                           : site->home_before;
    return lately ? lately * SCARCE_S : 1;
}

/* How many recipients of a site may be in memory: with 50,000 sites fewer of each. */
static size_t site_most(const struct dispatcher *dispatcher, const struct site *site)
{
    size_t claimed = atomic_load_explicit(&dispatcher->engine->claimed, memory_order_relaxed);
    size_t factor = claimed < CLAIMED_PLENTY ? SITE_READY_FACTOR : 2;
    size_t most = claimed >= CLAIMED_MOST ? 0
                  : site->is_failure      ? FAILURES_READY
                                          : (size_t)site->rule->connections * factor;
    size_t appetite = atomic_load_explicit(&site->appetite, memory_order_relaxed), scarce = soon_home(dispatcher, site);
    if (claimed >= CLAIMED_MANY && scarce < most)
        most = scarce;
    return appetite && appetite < most ? appetite : most;
}

static time_ms wall(const struct dispatcher *dispatcher)
{
    return world_wall(dispatcher->engine->options.world);
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

/* Together: a thread that is woken by the first of them would take our core, and sleep again before the second. */
void dispatcher_hand_out(struct dispatcher *dispatcher, struct recipient *list, size_t count)
{
    atomic_fetch_add(&dispatcher->engine->claimed, count);
    while (list) {
        struct mailbox *to = &list->destination->site->worker->recipients;
        struct mail_item *first, **last = &first;
        do {
            list->destination->outstanding++;
            list->destination->site->outstanding++;
            *last = &list->item;
            last = &list->item.next;
            list = list->next;
        } while (list && &list->destination->site->worker->recipients == to);
        *last = NULL;
        mailbox_post_all(to, first);
    }
}

static void fill_site(struct dispatcher *dispatcher, struct site *site)
{
    size_t most = site_most(dispatcher, site), count;
    bool is_full = most == 0 || site->outstanding > most / 2;
    bool has_urgent = lane_group_has_urgent(&site->group) && site->outstanding < most + URGENT_ROOM;
    if (atomic_load_explicit(&site->has_no_way, memory_order_relaxed))
        return; /* each second asks again, and whose end comes meanwhile is seen to (ended.c) */
    if ((is_full && !has_urgent) || site->group.active_count == 0 || dispatcher->is_stopping ||
        loop_now(dispatcher->loop) >= atomic_load(&dispatcher->engine->safe_until))
        return;
    struct recipient *list;
    struct fault why = {0};
    time_ms now = wall(dispatcher);
    if (!(is_full ? lanes_claim_urgent(dispatcher->lanes, &site->group, now, most + URGENT_ROOM - site->outstanding,
                                       &list, &count, &why)
                  : lanes_claim(dispatcher->lanes, &site->group, now, most - site->outstanding, &list, &count, &why))) {
        log_warn("deliver", "deliveries cannot be read: %s", why.text);
        return; /* the next second asks again */
    }
    dispatcher_hand_out(dispatcher, list, count);
}

static void wake_lanes(struct dispatcher *dispatcher)
{
    if (dispatcher->is_stopping)
        return;
    time_ms now = wall(dispatcher), next = lanes_wake(dispatcher->lanes, now);
    if (next != INT64_MAX)
        timer_set(&dispatcher->wake, next - now < 10 ? 10 : next - now > 1000 ? 1000 : next - now);
}

/* SQLite takes locks and a snapshot for each query, and a small lane is asked for in 256 buckets: once for all. */
bool dispatcher_begin_view(struct dispatcher *dispatcher)
{
    struct fault ignored; /* then each query sees to itself, and says so */
    return !db_is_postgres(dispatcher->reader) && db_read(dispatcher->reader, &ignored);
}

void dispatcher_end_view(struct dispatcher *dispatcher, bool has_begun)
{
    struct fault ignored;
    if (has_begun && !db_commit(dispatcher->reader, &ignored))
        db_rollback(dispatcher->reader);
}

static void fill_sites(struct deferred *deferred)
{
    struct dispatcher *dispatcher = deferred->owner;
    struct site *list = dispatcher->to_fill;
    dispatcher->to_fill = NULL;
    bool is_one_view = list && dispatcher_begin_view(dispatcher);
    while (list) {
        struct site *site = list;
        list = list->next_to_fill;
        site->wants_fill = false;
        fill_site(dispatcher, site);
    }
    dispatcher_end_view(dispatcher, is_one_view);
    wake_lanes(dispatcher); /* drained lanes have gone to sleep: until when? */
}

static void wake_due(struct timer *timer)
{
    wake_lanes(timer->owner);
}

/* ── what comes by mailbox ── */

void dispatcher_home(struct engine *engine, struct mail_item *recipients)
{
    mailbox_post_all(&engine->dispatcher.home, recipients);
}

static void came_home(struct mailbox *mailbox, struct mail_item *batch)
{
    struct dispatcher *dispatcher = mailbox->owner;
    while (batch) {
        struct recipient *recipient = (struct recipient *)batch;
        batch = batch->next;
        struct destination *destination = recipient->destination;
        struct site *site = destination->site;
        site->outstanding--;
        count_home(dispatcher, site);
        atomic_fetch_sub(&dispatcher->engine->claimed, 1);
        lanes_return(dispatcher->lanes, recipient);
        if (site->group.active_count)
            want_fill(dispatcher, site);
        if (--destination->outstanding == 0)
            destination_rests(dispatcher, destination);
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

void dispatcher_control(struct engine *engine, enum dispatcher_control what)
{
    struct control_item *item = NEW(struct control_item);
    item->what = what;
    mailbox_post(&engine->dispatcher.control, &item->item);
}

bool engine_doubts_clock(const struct engine *engine, time_ms now_monotonic)
{
    time_ms moved = world_wall(engine->options.world) - now_monotonic - atomic_load(&engine->clock_lead);
    return moved > CLOCK_STEP_MS || moved < -CLOCK_STEP_MS ||
           now_monotonic < atomic_load(&engine->clock_doubted_until) || atomic_load(&engine->clock_differs);
}

void engine_clock_compared(struct engine *engine, time_ms ahead)
{
    bool differs = ahead > CLOCK_STEP_MS || ahead < -CLOCK_STEP_MS;
    if (atomic_exchange(&engine->clock_differs, differs) == differs)
        return;
    if (differs)
        log_warn("deliver", "our clock is %lld s %s the database's: nobody is given up by it until they agree",
                 (long long)((ahead < 0 ? -ahead : ahead) / 1000), ahead < 0 ? "behind" : "ahead of");
    else
        log_info("deliver", "our clock and the database's agree again");
}

/* Somebody has set the clock. Were it believed at once, all that is deferred might expire in one night. */
static void watch_clock(struct dispatcher *dispatcher)
{
    struct engine *engine = dispatcher->engine;
    time_ms now = loop_now(dispatcher->loop), lead = wall(dispatcher) - now;
    time_ms moved = lead - atomic_load(&engine->clock_lead);
    if (moved > CLOCK_STEP_MS || moved < -CLOCK_STEP_MS) {
        log_warn("deliver", "the clock was set by %lld s: for an hour nobody is given up by it",
                 (long long)(moved / 1000));
        atomic_store(&engine->clock_doubted_until, now + HOURS_MS(1));
        if (moved < 0)
            atomic_store(&dispatcher->sets_right, true);
    }
    atomic_store(&engine->clock_lead, lead);
}

static void each_second(struct timer *timer)
{
    struct dispatcher *dispatcher = timer->owner;
    if (dispatcher->is_stopping)
        return;
    timer_set(timer, 1000);
    watch_clock(dispatcher);
    holds_refresh(dispatcher);
    holds_refresh_order(dispatcher);
    sources_refresh(dispatcher);
    ordered_look(dispatcher);
    if (++dispatcher->seconds % DIRECTIONS_S == 0) {
        struct fault why;
        if (!routing_directions(dispatcher, &why))
            log_warn("deliver", "TLS rules and smart hosts cannot be read: %s", why.text);
        tls_counts_write(&dispatcher->tls_counts, dispatcher->engine->options.store);
    }
    if (dispatcher->reads_lanes) {
        dispatcher->reads_lanes = false;
        timer_set(&dispatcher->load, 0);
    }
    routing_refresh(dispatcher);
    forget_look(dispatcher);
    telling_look(dispatcher);
    size_t at = 0; /* whoever was left by a store that could not be read */
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->sites, &at));)
        if (((struct site *)entry->value)->group.active_count)
            want_fill(dispatcher, entry->value);
    ended_look(dispatcher);
    wake_lanes(dispatcher);
    nodes_look(dispatcher);
}

void engine_holds_changed(struct engine *engine)
{
    dispatcher_control(engine, CONTROL_READ_HOLDS);
    store_tell(engine->options.store, SLICE("holds"));
}

/* Lanes are read a piece at a time, in between the other work: the first mail need not wait for the last lane. */
static bool load_some(struct dispatcher *dispatcher, struct fault *why)
{
    bool is_done = false, is_one_view = dispatcher_begin_view(dispatcher);
    bool ok = lanes_load_more(dispatcher->lanes, &is_done, why);
    dispatcher_end_view(dispatcher, is_one_view);
    if (ok && !is_done)
        timer_set(&dispatcher->load, 0);
    return ok;
}

static void load_more(struct timer *timer)
{
    struct dispatcher *dispatcher = timer->owner;
    struct fault why;
    if (dispatcher->is_stopping)
        return;
    if (!load_some(dispatcher, &why)) {
        log_warn("deliver", "lanes cannot be read: %s", why.text);
        dispatcher->reads_lanes = true; /* the next second goes on */
    }
    wake_lanes(dispatcher);
}

void dispatcher_read_lanes(struct dispatcher *dispatcher)
{
    lanes_load_begin(dispatcher->lanes);
    timer_set(&dispatcher->load, 0);
}

void dispatcher_read_holds(struct dispatcher *dispatcher)
{
    holds_refresh(dispatcher);
}

void dispatcher_wake(struct dispatcher *dispatcher)
{
    wake_lanes(dispatcher);
}

void dispatcher_news(struct engine *engine, const struct lane_key *lane, unsigned bucket, time_ms due)
{
    post_news(engine, lane, bucket, due);
}

void engine_board_asked(struct engine *engine)
{
    dispatcher_control(engine, CONTROL_LOOK_AT_BOARD);
}

static void control_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct dispatcher *dispatcher = mailbox->owner;
    while (batch) {
        struct control_item *item = (struct control_item *)batch;
        batch = batch->next;
        switch (item->what) {
        case CONTROL_READ_HOLDS:
            holds_refresh(dispatcher);
            ordered_look(dispatcher);
            break;
        case CONTROL_LOOK_AT_BOARD: telling_look(dispatcher); break;
        case CONTROL_READ_LANES: dispatcher_read_lanes(dispatcher); break;
        case CONTROL_STOP_CLAIMING:
            dispatcher->is_stopping = true;
            timer_clear(&dispatcher->wake);
            timer_clear(&dispatcher->second);
            timer_clear(&dispatcher->load);
            atomic_store(&dispatcher->engine->claims_nothing, true);
            break;
        }
        free(item);
    }
    wake_lanes(dispatcher);
}

void dispatcher_stop_claiming(struct engine *engine)
{
    dispatcher_control(engine, CONTROL_STOP_CLAIMING);
}

/* ── the thread ── */

static void dispatcher_begin(void *owner)
{
    wake_lanes(owner);
}

static void dispatcher_release(struct dispatcher *dispatcher)
{
    nodes_release(dispatcher);
    lanes_free(dispatcher->lanes);
    health_release(dispatcher);
    routing_release(dispatcher);
    mailbox_release(&dispatcher->news);
    mailbox_release(&dispatcher->home);
    mailbox_release(&dispatcher->control);
    mailbox_release(&dispatcher->notes);
    mailbox_release(&dispatcher->left);
    timer_clear(&dispatcher->wake);
    timer_clear(&dispatcher->second);
    timer_clear(&dispatcher->load);
    deferred_clear(&dispatcher->fill);
    loop_free(dispatcher->loop);
    db_free(dispatcher->reader);
    holds_free(dispatcher->holds);
    map_release(&dispatcher->sources_said);
}

bool dispatcher_start(struct engine *engine, struct fault *why)
{
    struct dispatcher *dispatcher = &engine->dispatcher;
    dispatcher->engine = engine;
    dispatcher->reader = store_reader_open(engine->options.store, why);
    if (!dispatcher->reader)
        return false;
    dispatcher->lanes = lanes_new(dispatcher->reader, routing_want, woken, dispatcher);
    dispatcher->loop = loop_new(engine->options.world);
    dispatcher->dns = dns_client_new(dispatcher->loop);
    mailbox_init(&dispatcher->news, dispatcher->loop, news_arrived, dispatcher);
    mailbox_init(&dispatcher->home, dispatcher->loop, came_home, dispatcher);
    mailbox_init(&dispatcher->control, dispatcher->loop, control_arrived, dispatcher);
    mailbox_init(&dispatcher->notes, dispatcher->loop, routing_notes, dispatcher);
    forget_begin(dispatcher);
    timer_init(&dispatcher->wake, dispatcher->loop, wake_due, dispatcher);
    timer_init(&dispatcher->second, dispatcher->loop, each_second, dispatcher);
    timer_init(&dispatcher->load, dispatcher->loop, load_more, dispatcher);
    deferred_init(&dispatcher->fill, dispatcher->loop, fill_sites, dispatcher);
    nodes_begin(dispatcher); /* from here on nothing is missed that the lanes do not read */
    holds_refresh(dispatcher);
    holds_refresh_order(dispatcher);
    lanes_load_begin(dispatcher->lanes);
    if (!routing_begin(dispatcher, why) || !load_some(dispatcher, why)) {
        nodes_end(dispatcher);
        dispatcher_release(dispatcher);
        return false;
    }
    sources_refresh(dispatcher);
    ordered_look(dispatcher);
    timer_set(&dispatcher->second, 1000);
    loop_thread_start(&dispatcher->thread, dispatcher->loop, dispatcher_begin, NULL, dispatcher);
    loop_thread_name(&dispatcher->thread, "dispatch");
    return true;
}

void dispatcher_stop(struct engine *engine)
{
    struct dispatcher *dispatcher = &engine->dispatcher;
    nodes_end(dispatcher);
    loop_thread_join(&dispatcher->thread);
    for (struct mail_item *item = mailbox_take(&dispatcher->home), *next; item; item = next) {
        next = item->next;
        lanes_return(dispatcher->lanes, (struct recipient *)item);
    }
    struct mailbox *const mailboxes[] = {&dispatcher->news, &dispatcher->control, &dispatcher->notes,
                                         &dispatcher->left};
    for (size_t i = 0; i < COUNT_OF(mailboxes); i++) {
        for (struct mail_item *item = mailbox_take(mailboxes[i]), *next; item; item = next) {
            next = item->next;
            free(item);
        }
    }
    tls_counts_write(&dispatcher->tls_counts, engine->options.store);
    dispatcher_release(dispatcher);
}
