/* courier.c - one hook is told: a batch begun durably, its name resolved, the POST, and what came of it */
#include "hook/courier.h"

#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_MOST_MS = 8 * 3600 * 1000, /* also when the answer asks for more */
    TIMEOUT_LEAST_MS = 2000,         /* of a clock that is hurried (time_scale) */
};

static double scale_of(const struct hook_runner *runner)
{
    return runner->options.time_scale > 0 ? runner->options.time_scale : 1.0;
}
static time_ms wall(const struct hook_runner *runner)
{
    return world_wall(runner->options.world);
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

void hook_courier_end(struct courier *courier, bool is_told)
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
                               .took = runner_monotonic(runner) - courier->began,
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
    hook_courier_end(courier, false);
}

/* ── an attempt ── */

static void courier_post(struct courier *courier)
{
    struct hook_runner *runner = courier->runner;
    struct hook_post *post = &courier->post;
    struct fault why = {0};
    double wait_scale = runner->options.wait_scale, scale = wait_scale > 0 ? wait_scale : scale_of(runner);
    double timeout = HOOK_TIMEOUT_MS * scale;
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

/* Begun durably: now say it. */
static void courier_begin(struct courier *courier)
{
    struct hook_runner *runner = courier->runner;
    struct fault why = {0};
    buf_init(&courier->post.body, HOOK_BODY_MOST);
    buf_init(&courier->secret, HOOK_SECRET_MAX);
    courier->post.at = wall(runner);
    courier->began = runner_monotonic(runner);
    snprintf(courier->id, sizeof(courier->id), "msg_%llu", (unsigned long long)courier->batch_id);
    courier->events = 0;
    if (courier->is_test)
        batch_write_test(&courier->hook, courier->post.at, &courier->post.body);
    if ((!courier->is_test &&
         !batch_write(runner->reader, &why, &courier->hook, &courier->post.body, &courier->events)) ||
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

/* Where the next batch ends; false: there is nothing to say. */
static bool courier_scan(struct courier *courier, struct event_place *until)
{
    const struct hook *hook = &courier->hook;
    struct fault why = {0};
    size_t count = 0;
    bool has_more = false;
    if (memcmp(&courier->seen_from, &hook->place, sizeof(hook->place)) != 0)
        courier->seen = courier->seen_from = hook->place;
    *until = courier->seen;
    if (!batch_scan(courier->runner->reader, &why, hook, until, &count, &has_more)) {
        log_warn("hook", "events cannot be read now: %s", why.text);
        return false;
    }
    if (!count)
        courier->seen = *until;
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

void hook_courier_consider(struct courier *courier)
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

void hook_courier_free(struct courier *courier)
{
    if (courier->query)
        dns_cancel(courier->query);
    if (courier->phase == POSTING)
        curl_multi_remove_handle(courier->runner->multi, courier->post.curl);
    courier_idle(courier);
    free(courier);
}
