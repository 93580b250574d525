/* runner.c - one thread that tells all hooks: a courier each, as the rows say it, and libcurl and the DNS in one loop
 */
#include "hook/courier.h"

#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>

enum {
    LOOK_MS = 500,     /* rows are read at least so often */
    SOON_MS = 50,      /* and at most so often */
    WAIT_MS = 250,     /* for libcurl, when nobody resolves */
    RESOLVING_MS = 10, /* the same, when somebody does */
};

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

static void look(struct hook_runner *runner)
{
    struct fault why = {0};
    struct hook *hooks;
    size_t count;
    bool has_news = atomic_exchange(&runner->is_woken, false);
    runner->looked = runner_monotonic(runner);
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
            hook_courier_consider(courier);
            place = &courier->next;
        } else {
            *place = courier->next;
            hook_courier_free(courier);
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
        time_ms since = runner_monotonic(runner) - runner->looked;
        if (!runner->looked || since >= LOOK_MS || (since >= SOON_MS && atomic_load(&runner->is_woken)))
            look(runner);
        curl_multi_perform(runner->multi, &running);
        for (CURLMsg *message; (message = curl_multi_info_read(runner->multi, &left));) {
            struct courier *courier = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &courier);
            curl_multi_remove_handle(runner->multi, courier->post.curl);
            hook_courier_end(courier, hook_post_judge(&courier->post, code));
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
        hook_courier_free(courier);
    }
    curl_multi_cleanup(runner->multi);
    curl_global_cleanup();
    dns_client_free(runner->dns);
    loop_free(runner->loop);
    db_free(runner->reader);
    free(runner);
}
