/* runner.c - one thread that tells all hooks: what is new, names, POSTs, what came of it
 *
 *   IDLE --a test, or events, and it is time--> (hook_begin) --> RESOLVING --address--> POSTING --end--> (hook_end)
 * IDLE
 *
 * A courier is one hook's part of the thread. The rows are the truth: they are read again before every decision, so
 * that commands in other processes, and other nodes, may change them. Writes wait for their commit; libcurl and the DNS
 * do not wait for each other. */
#include "base/memory.h"
#include "hook/inside.h"

#include "base/log.h"
#include "dns/resolver.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    LOOK_MS = 500,     /* rows are read at least so often */
    SOON_MS = 50,      /* and at most so often */
    WAIT_MS = 250,     /* for libcurl, when nobody resolves */
    RESOLVING_MS = 10, /* the same, when somebody does */
    RETRY_MOST_MS = 8 * 3600 * 1000,
    TIMEOUT_LEAST_MS = 2000,
};

enum phase { IDLE, RESOLVING, POSTING };

struct courier {
    struct courier *next;
    struct hook_runner *runner;
    struct hook hook;             /* as last read */
    struct event_place seen;      /* nothing of interest between hook.place and here */
    struct event_place seen_from; /* the hook.place that `seen` grew from */
    bool is_there, has_news, is_failing;
    enum phase phase;
    bool is_test, has_asked_v6;
    uint64_t batch_id;
    unsigned events;
    time_ms began; /* monotonic */
    struct dns_query *query;
    struct hook_post post;
    struct buf secret;
    char id[32];
};

struct hook_runner {
    struct hook_options options;
    struct store_watch watch;
    struct db *reader;
    struct loop *loop;
    struct dns_client *dns;
    CURLM *multi;
    pthread_t thread;
    bool is_running;
    struct courier *couriers;
    struct random random;
    time_ms looked; /* monotonic */
    _Atomic bool is_stopping, is_woken;
};

static double scale_of(const struct hook_runner *runner)
{
    return runner->options.time_scale > 0 ? runner->options.time_scale : 1.0;
}
static time_ms wall(const struct hook_runner *runner)
{
    return world_wall(runner->options.world);
}
static time_ms monotonic(const struct hook_runner *runner)
{
    return world_monotonic(runner->options.world);
}

/* 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, then every 8 h, and up to a tenth more. */
static time_ms backoff(struct hook_runner *runner, unsigned attempts)
{
    static const unsigned seconds[] = {5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800};
    unsigned at = attempts < COUNT_OF(seconds) ? attempts : COUNT_OF(seconds) - 1;
    return (time_ms)((double)SECONDS_MS(seconds[at]) * scale_of(runner) * (1 + random_unit(&runner->random) / 10));
}

/* ── writing ── */

struct begin_job {
    struct write_job job;
    struct hook_beginning beginning;
};
static bool begin_run(struct write_job *job, struct db *db, struct fault *why)
{
    return hook_begin(db, why, &((struct begin_job *)job)->beginning);
}

struct end_job {
    struct write_job job;
    struct hook_ending ending;
    struct courier *courier;
};
static bool end_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct end_job *end = (struct end_job *)job;
    const struct hook_options *options = &end->courier->runner->options;
    return hook_end(db, why, &end->ending) &&
           (!end->ending.is_given_up || !options->failed ||
            options->failed(options->owner, db, why, &end->courier->hook, end->ending.now));
}

/* ── the end of an attempt ── */

static void courier_idle(struct courier *courier)
{
    hook_post_release(&courier->post);
    if (courier->secret.len)
        explicit_bzero(courier->secret.ptr, courier->secret.len);
    buf_release(&courier->secret);
    courier->phase = IDLE;
}

static struct slice clean(const struct buf *answer, struct buf *out)
{
    struct slice kept = slice_head(buf_slice(answer), HOOK_ANSWER_KEPT);
    for (size_t i = 0; i < kept.len; i++)
        buf_byte(out, kept.ptr[i] >= ' ' && kept.ptr[i] < 0x7f ? kept.ptr[i] : '?');
    return buf_slice(out);
}

static void courier_end(struct courier *courier, bool is_told)
{
    struct hook_runner *runner = courier->runner;
    struct hook_post *post = &courier->post;
    struct fault why = {0};
    SCOPED(buf) answer = BUF(HOOK_ANSWER_KEPT);
    time_ms now = wall(runner), wait = backoff(runner, courier->hook.attempts);
    time_ms asked = (time_ms)((double)post->retry_after * scale_of(runner));
    wait = asked > wait ? asked : wait;
    struct end_job end = {
        .job = {.run = end_run, .rows = 3, .fails_fast = true},
        .courier = courier,
        .ending = {.id = courier->hook.id,
                   .batch_id = courier->batch_id,
                   .is_test = courier->is_test,
                   .is_told = is_told,
                   .is_gone = post->status == 410,
                   .attempt = {.at = post->at,
                               .took = monotonic(runner) - courier->began,
                               .events = courier->events,
                               .status = post->status,
                               .fault = slice_str(post->fault),
                               .answer = clean(&post->answer, &answer)},
                   .now = now,
                   .next = now + (wait < RETRY_MOST_MS ? wait : RETRY_MOST_MS),
                   .patience = (time_ms)((double)HOOK_PATIENCE_MS * scale_of(runner))},
    };
    if (store_write_wait(runner->options.store, &end.job, &why))
        runner->looked = 0; /* the row has moved */
    else
        log_warn("hook", "webhook %llu: %s; the batch is sent again", (unsigned long long)courier->hook.id, why.text);
    if (!is_told && !courier->is_test && !courier->is_failing)
        log_warn("hook", "webhook %llu (%s): %s; it is tried again", (unsigned long long)courier->hook.id,
                 courier->hook.url, post->fault);
    if (end.ending.is_given_up)
        log_warn("hook", "webhook %llu (%s) is told nothing any more: %s", (unsigned long long)courier->hook.id,
                 courier->hook.url, post->fault);
    if (!courier->is_test)
        courier->is_failing = !is_told;
    courier->has_news = true;
    courier_idle(courier);
}

static void courier_fail(struct courier *courier, const char *fault)
{
    snprintf(courier->post.fault, sizeof(courier->post.fault), "%.240s", fault);
    courier_end(courier, false);
}

/* ── an attempt ── */

static void courier_post(struct courier *courier)
{
    struct hook_runner *runner = courier->runner;
    struct hook_post *post = &courier->post;
    struct fault why = {0};
    double timeout = HOOK_TIMEOUT_MS * scale_of(runner);
    post->network = runner->options.guard;
    post->roots = runner->options.roots;
    post->url = courier->hook.url;
    post->secret = buf_slice(&courier->secret);
    post->id = slice_str(courier->id);
    post->timeout = timeout < TIMEOUT_LEAST_MS ? TIMEOUT_LEAST_MS : (time_ms)timeout;
    post->owner = courier;
    if (!hook_post_begin(post, &why)) {
        courier_fail(courier, why.text);
        return;
    }
    courier->phase = POSTING;
    curl_multi_add_handle(runner->multi, post->curl);
}

static void on_addresses(void *owner, const struct dns_answer *answer)
{
    struct courier *courier = owner;
    struct hook_post *post = &courier->post;
    char text[400];
    courier->query = NULL;
    for (size_t i = 0; answer->status == DNS_FOUND && i < answer->count && i < HOOK_ADDRESSES_MOST; i++)
        post->addresses[post->address_count++] = answer->records[i].ip;
    bool is_absent = answer->status == DNS_NO_DATA || answer->status == DNS_NO_NAME;
    if (!post->address_count && is_absent && !courier->has_asked_v6) {
        courier->has_asked_v6 = true;
        courier->query = dns_ask(courier->runner->dns, slice_str(post->host), DNS_AAAA, on_addresses, courier);
        return;
    }
    if (post->address_count) {
        courier_post(courier);
        return;
    }
    struct slice word = dns_status_word(answer->status);
    snprintf(text, sizeof(text), "%s has no address (%.*s)", post->host, SLICE_ARG(word));
    courier_fail(courier, text);
}

static void courier_resolve(struct courier *courier)
{
    struct hook_post *post = &courier->post;
    struct ip ip;
    post->address_count = 0;
    post->status = 0;
    post->retry_after = 0;
    post->fault[0] = 0;
    courier->has_asked_v6 = false;
    if (!hook_url_host(courier->hook.url, post->host, &post->port, &post->is_https)) {
        courier_fail(courier, "the url cannot be read");
        return;
    }
    if (ip_parse(slice_str(post->host), &ip)) {
        post->addresses[post->address_count++] = ip;
        courier_post(courier);
        return;
    }
    courier->phase = RESOLVING;
    courier->query = dns_ask(courier->runner->dns, slice_str(post->host), DNS_A, on_addresses, courier);
}

/* ── what a batch says ── */

static void event_take(void *context, const struct event *event)
{
    event_write(context, event);
}

static void head_write(struct json *json, struct slice type, time_ms at)
{
    json_object_begin(json);
    json_put_string(json, "type", type);
    json_put_time(json, "timestamp", at);
    json_key(json, "data");
    json_object_begin(json);
}

/* The same bytes whenever the same batch is asked for. */
static bool batch_write(struct courier *courier, struct fault *why)
{
    const struct hook *hook = &courier->hook;
    struct event_wish wish = {.kinds = hook->kinds, .place = hook->place};
    const struct brands brands = {&hook->brand_id, hook->brand_id ? 1 : 0};
    SCOPED(buf) end = BUF(EVENT_CURSOR_MAX);
    struct json json = {&courier->post.body};
    size_t count;
    bool has_more = true;
    head_write(&json, SLICE("todoke.events"), hook->batch_at);
    json_key(&json, "events");
    json_array_begin(&json);
    courier->events = 0;
    while (has_more) {
        if (!event_page_next(courier->runner->reader, &wish, &brands, &hook->batch_end, HOOK_BATCH_MOST, event_take,
                             &json, &count, &has_more, why))
            return false;
        courier->events += (unsigned)count;
    }
    json_end(&json);
    event_place_print(&hook->batch_end, &end);
    json_put_string(&json, "cursor", buf_slice(&end));
    json_end(&json);
    json_end(&json);
    return buf_ok(&courier->post.body) || fault_set(why, FAULT_INPUT, "a batch of more than %d octets", HOOK_BODY_MOST);
}

static void test_write(struct courier *courier)
{
    struct json json = {&courier->post.body};
    courier->events = 0;
    head_write(&json, SLICE("todoke.test"), wall(courier->runner));
    json_put_id(&json, "hook_id", courier->hook.id);
    json_end(&json);
    json_end(&json);
}

/* Begun durably: now say it. */
static void courier_begin(struct courier *courier)
{
    struct hook_runner *runner = courier->runner;
    struct fault why = {0};
    buf_init(&courier->post.body, HOOK_BODY_MOST);
    buf_init(&courier->secret, HOOK_SECRET_MAX);
    courier->post.at = wall(runner);
    courier->began = monotonic(runner);
    snprintf(courier->id, sizeof(courier->id), "msg_%llu", (unsigned long long)courier->batch_id);
    if (courier->is_test)
        test_write(courier);
    if ((!courier->is_test && !batch_write(courier, &why)) ||
        !hook_secret(runner->reader, &why, runner->options.seal, courier->hook.id, &courier->secret)) {
        if (why.kind == FAULT_WORLD)
            courier_idle(courier); /* the store is away: soon again */
        else
            courier_fail(courier, why.text);
        return;
    }
    courier_resolve(courier);
}

/* ── decisions ── */

static void count_one(void *context, const struct event *event)
{
    (void)event;
    ++*(size_t *)context;
}

/* Where the next batch ends; false: there is nothing to say. */
static bool courier_scan(struct courier *courier, struct event_place *until)
{
    const struct hook *hook = &courier->hook;
    const struct brands brands = {&hook->brand_id, hook->brand_id ? 1 : 0};
    struct fault why = {0};
    size_t count = 0, seen = 0;
    bool has_more = false;
    if (memcmp(&courier->seen_from, &hook->place, sizeof(hook->place)) != 0)
        courier->seen = courier->seen_from = hook->place;
    struct event_wish wish = {.kinds = hook->kinds, .place = courier->seen};
    if (!event_page_next(courier->runner->reader, &wish, &brands, NULL, HOOK_BATCH_MOST, count_one, &seen, &count,
                         &has_more, &why)) {
        log_warn("hook", "events cannot be read now: %s", why.text);
        return false;
    }
    *until = wish.place;
    if (!count)
        courier->seen = wish.place;
    courier->has_news = has_more || count;
    return count > 0;
}

static bool courier_take(struct courier *courier, struct hook_beginning *beginning)
{
    struct hook_runner *runner = courier->runner;
    struct begin_job begin = {.job = {.run = begin_run, .fails_fast = true}, .beginning = *beginning};
    struct fault why = {0};
    bool ok = store_write_wait(runner->options.store, &begin.job, &why);
    if (!ok)
        log_warn("hook", "webhook %llu: %s", (unsigned long long)beginning->id, why.text);
    courier->batch_id = beginning->batch_id;
    return ok && begin.beginning.taken;
}

static void courier_consider(struct courier *courier)
{
    struct hook_runner *runner = courier->runner;
    struct hook *hook = &courier->hook;
    time_ms now = wall(runner);
    struct hook_beginning beginning = {.id = hook->id,
                                       .node = store_node(runner->options.store),
                                       .batch_id = hook->test_id ? hook->test_id : hook->batch_id,
                                       .test_id = hook->test_id,
                                       .place = hook->place,
                                       .now = now,
                                       .hold_until = now + 3 * HOOK_TIMEOUT_MS};
    if (courier->phase != IDLE)
        return;
    courier->is_test = hook->test_id != 0;
    if (!courier->is_test &&
        (hook->state != HOOK_ENABLED || hook->next > now || (!hook->batch_id && !courier->has_news)))
        return;
    if (!courier->is_test && !hook->batch_id) {
        if (!courier_scan(courier, &beginning.until))
            return;
        beginning.is_new = true;
        beginning.from = courier->seen;
        beginning.batch_id = id_make_anywhere(store_ids(runner->options.store), now);
    }
    hook->test_id = 0;
    if (!courier_take(courier, &beginning))
        return;
    if (beginning.is_new) {
        hook->place = beginning.from;
        hook->batch_end = beginning.until;
        hook->batch_id = beginning.batch_id;
        hook->batch_at = now;
    }
    courier_begin(courier);
}

/* ── the rows as they are ── */

static struct courier *courier_of(struct hook_runner *runner, uint64_t id)
{
    for (struct courier *courier = runner->couriers; courier; courier = courier->next)
        if (courier->hook.id == id)
            return courier;
    struct courier *courier = NEW(struct courier);
    courier->runner = runner;
    courier->has_news = true;
    courier->next = runner->couriers;
    runner->couriers = courier;
    return courier;
}

static void courier_free(struct courier *courier)
{
    if (courier->query)
        dns_cancel(courier->query);
    if (courier->phase == POSTING)
        curl_multi_remove_handle(courier->runner->multi, courier->post.curl);
    courier_idle(courier);
    free(courier);
}

static void look(struct hook_runner *runner)
{
    struct fault why = {0};
    struct hook *hooks;
    size_t count;
    bool has_news = atomic_exchange(&runner->is_woken, false);
    runner->looked = monotonic(runner);
    if (!hook_list(runner->reader, &why, 0, &hooks, &count)) {
        log_warn("hook", "webhooks cannot be read now: %s", why.text);
        return;
    }
    for (struct courier *courier = runner->couriers; courier; courier = courier->next) {
        courier->is_there = false;
        courier->has_news |= has_news;
    }
    for (size_t i = 0; i < count; i++) {
        struct courier *courier = courier_of(runner, hooks[i].id);
        courier->is_there = true;
        if (courier->phase == IDLE)
            courier->hook = hooks[i];
    }
    free(hooks);
    for (struct courier **place = &runner->couriers; *place;) {
        struct courier *courier = *place;
        if (courier->is_there) {
            courier_consider(courier);
            place = &courier->next;
        } else {
            *place = courier->next;
            courier_free(courier);
        }
    }
}

/* ── the thread ── */

static bool has_resolving(const struct hook_runner *runner)
{
    for (const struct courier *courier = runner->couriers; courier; courier = courier->next)
        if (courier->phase == RESOLVING)
            return true;
    return false;
}

static void *runner_main(void *arg)
{
    struct hook_runner *runner = arg;
    pthread_setname_np(pthread_self(), "hook");
    while (!atomic_load(&runner->is_stopping)) {
        int running, left;
        loop_turn(runner->loop, 0);
        time_ms since = monotonic(runner) - runner->looked;
        if (!runner->looked || since >= LOOK_MS || (since >= SOON_MS && atomic_load(&runner->is_woken)))
            look(runner);
        curl_multi_perform(runner->multi, &running);
        for (CURLMsg *message; (message = curl_multi_info_read(runner->multi, &left));) {
            struct courier *courier = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &courier);
            curl_multi_remove_handle(runner->multi, courier->post.curl);
            courier_end(courier, hook_post_judge(&courier->post, code));
        }
        if (runner->looked && !atomic_load(&runner->is_stopping))
            curl_multi_poll(runner->multi, NULL, 0,
                            has_resolving(runner)            ? RESOLVING_MS
                            : atomic_load(&runner->is_woken) ? SOON_MS
                                                             : WAIT_MS,
                            NULL);
    }
    return NULL;
}

/* On the writer thread. */
static void wake(struct store_watch *watch, unsigned marks)
{
    struct hook_runner *runner = (struct hook_runner *)((char *)watch - offsetof(struct hook_runner, watch));
    if (marks & (STORE_MARK_EVENTS | STORE_MARK_POLL) && !atomic_exchange(&runner->is_woken, true))
        curl_multi_wakeup(runner->multi);
}

struct hook_runner *hook_runner_start(const struct hook_options *options, struct fault *why)
{
    struct hook_runner *runner = NEW(struct hook_runner);
    runner->options = *options;
    runner->reader = store_reader_open(options->store, why);
    if (!runner->reader) {
        free(runner);
        return NULL;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    world_random(options->world, &runner->random);
    runner->loop = loop_new(options->world);
    runner->dns = dns_client_new(runner->loop);
    runner->multi = curl_multi_init();
    runner->watch.wake = wake;
    store_watch_add(options->store, &runner->watch);
    if (!runner->multi || pthread_create(&runner->thread, NULL, runner_main, runner) != 0)
        memory_gone("a thread");
    return runner;
}

void hook_runner_stop(struct hook_runner *runner)
{
    if (!runner)
        return;
    store_watch_remove(runner->options.store, &runner->watch);
    atomic_store(&runner->is_stopping, true);
    curl_multi_wakeup(runner->multi);
    pthread_join(runner->thread, NULL);
    while (runner->couriers) {
        struct courier *courier = runner->couriers;
        runner->couriers = courier->next;
        courier_free(courier);
    }
    curl_multi_cleanup(runner->multi);
    curl_global_cleanup();
    dns_client_free(runner->dns);
    loop_free(runner->loop);
    db_free(runner->reader);
    free(runner);
}
