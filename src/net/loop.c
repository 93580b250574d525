/* One turn of a loop:
 *
 *   deferred calls asked for so far -> timers that are due -> wait (epoll) until the next timer -> descriptors,
 * mailboxes
 *
 * Timers: a binary heap ordered by `queued`. Setting a timer later than it is queued changes only `due`; when it comes
 * up in the heap too early it is put back. So a deadline moved at every stage of a conversation costs nothing.
 * Always true: timer.place is its index in heap (from 1) or 0; timer.queued <= timer.due. */
#include "base/memory.h"
#include "base/thread.h"
#include "net/loop_inside.h"
#include "net/schedule.h"
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { GIVE_WAY_NICE = 5 };

/* --- timers --- */

static void heap_put(struct loop *loop, size_t place, struct timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

static void heap_up(struct loop *loop, size_t place, struct timer *timer)
{
    for (; place > 1 && loop->heap[place / 2]->queued > timer->queued; place /= 2)
        heap_put(loop, place, loop->heap[place / 2]);
    heap_put(loop, place, timer);
}

static void heap_down(struct loop *loop, size_t place, struct timer *timer)
{
    for (size_t child; (child = place * 2) <= loop->heap_count; place = child) {
        if (child < loop->heap_count && loop->heap[child + 1]->queued < loop->heap[child]->queued)
            child++;
        if (loop->heap[child]->queued >= timer->queued)
            break;
        heap_put(loop, place, loop->heap[child]);
    }
    heap_put(loop, place, timer);
}

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *timer), void *owner)
{
    *timer = (struct timer){.fire = fire, .owner = owner, .loop = loop};
}

void timer_set(struct timer *timer, time_ms in_ms)
{
    struct loop *loop = timer->loop;
    timer->due = loop_now(loop) + (in_ms > 0 ? in_ms : 0);
    if (timer->place) {
        if (timer->due < timer->queued) {
            timer->queued = timer->due;
            heap_up(loop, timer->place, timer);
        }
        return;
    }
    if (loop->heap_count + 1 >= loop->heap_room) {
        loop->heap_room = loop->heap_room ? loop->heap_room * 2 : 64;
        loop->heap = memory_resize(loop->heap, loop->heap_room, sizeof(struct timer *));
    }
    timer->queued = timer->due;
    heap_up(loop, ++loop->heap_count, timer);
}

void timer_clear(struct timer *timer)
{
    struct loop *loop = timer->loop;
    size_t place = timer->place;
    if (!place)
        return;
    struct timer *last = loop->heap[loop->heap_count--];
    timer->place = 0;
    if (last == timer)
        return;
    if (place > 1 && loop->heap[place / 2]->queued > last->queued)
        heap_up(loop, place, last);
    else
        heap_down(loop, place, last);
}

static bool fire_due_timers(struct loop *loop)
{
    bool has_fired = false;
    /* A timer set by a firing one is due in the next turn at the earliest, or a zero timer would spin here. */
    time_ms now = loop_now(loop);
    size_t most = loop->heap_count;
    while (most && loop->heap_count && loop->heap[1]->queued <= now) {
        struct timer *timer = loop->heap[1];
        if (timer->due > now) {
            timer->queued = timer->due;
            heap_down(loop, 1, timer);
            continue;
        }
        most--;
        has_fired = true;
        timer_clear(timer);
        timer->fire(timer);
    }
    return has_fired;
}

/* --- deferred calls --- */

void deferred_init(struct deferred *deferred, struct loop *loop, void (*call)(struct deferred *deferred), void *owner)
{
    *deferred = (struct deferred){.call = call, .owner = owner, .loop = loop};
}

void deferred_ask(struct deferred *deferred)
{
    struct deferred *first = &deferred->loop->deferred;
    if (deferred->is_waiting)
        return;
    deferred->is_waiting = true;
    deferred->before = first->before;
    deferred->next = first;
    first->before->next = deferred;
    first->before = deferred;
}

void deferred_clear(struct deferred *deferred)
{
    if (!deferred->is_waiting)
        return;
    deferred->is_waiting = false;
    deferred->before->next = deferred->next;
    deferred->next->before = deferred->before;
    deferred->next = deferred->before = NULL;
}

static bool call_deferred(struct loop *loop)
{
    bool has_called = false;
    /* Those asked for from now on wait for the next turn: a marker ends this one's. */
    struct deferred marker = {.loop = loop};
    deferred_ask(&marker);
    while (loop->deferred.next != &marker) {
        struct deferred *deferred = loop->deferred.next;
        deferred_clear(deferred);
        deferred->call(deferred);
        has_called = true;
    }
    deferred_clear(&marker);
    return has_called;
}

/* --- watches --- */

static void watch_event(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    watch->ready(watch, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
}

void watch_init(struct watch *watch, struct loop *loop, int fd,
                void (*ready)(struct watch *watch, bool can_read, bool can_write), void *owner)
{
    *watch = (struct watch){.ready = ready, .owner = owner, .loop = loop, .fd = fd};
}

void watch_want(struct watch *watch, bool wants_read, bool wants_write)
{
    if (watch->wants_read == wants_read && watch->wants_write == wants_write)
        return;
    short what = (short)((wants_read ? EV_READ : 0) | (wants_write ? EV_WRITE : 0) | EV_PERSIST);
    if (!watch->event)
        watch->event = memory_zero(1, event_get_struct_event_size());
    else
        event_del(watch->event);
    watch->wants_read = wants_read;
    watch->wants_write = wants_write;
    if (!wants_read && !wants_write)
        return;
    /* whether the descriptor is open is seen later (the changelist), so only memory is wanting here */
    if (event_assign(watch->event, watch->loop->base, watch->fd, what, watch_event, watch) != 0 ||
        event_add(watch->event, NULL) != 0)
        memory_gone("libevent");
}

void watch_clear(struct watch *watch)
{
    if (watch->event)
        event_del(watch->event);
    free(watch->event);
    watch->event = NULL;
    watch->wants_read = watch->wants_write = false;
}

/* --- the loop --- */

static void on_wake(struct watch *watch, bool can_read, bool can_write)
{
    struct loop *loop = watch->owner;
    uint64_t count;
    ssize_t got = read(loop->wake_fd, &count, sizeof(count));
    (void)got;
    atomic_store(&loop->is_woken, false);
    loop->mailboxes_due = true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
}

static void deliver_mailboxes(struct loop *loop)
{
    struct mailbox *next;
    loop->mailboxes_due = false;
    for (struct mailbox *mailbox = loop->mailboxes; mailbox; mailbox = next) {
        struct mail_item *batch = mailbox_take(mailbox);
        next = mailbox->next_of_loop;
        if (batch) {
            loop->walking = next;
            mailbox->receive(mailbox, batch);
            next = loop->walking; /* mailbox_release may have moved it on */
        }
    }
    loop->walking = NULL;
}

static void make_base(struct loop *loop)
{
    struct event_config *config = event_config_new();
    if (!config)
        memory_gone("libevent");
    event_config_set_flag(config,
                          EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->tick = loop->base ? event_new(loop->base, -1, 0, on_tick, NULL) : NULL;
    if (!loop->base || !loop->tick || loop->wake_fd < 0) {
        perror("todoke: cannot make an event loop (out of descriptors?)");
        abort();
    }
    watch_init(&loop->wake, loop, loop->wake_fd, on_wake, loop);
    watch_want(&loop->wake, true, false);
}

struct loop *loop_new(struct world *world)
{
    struct loop *loop = NEW(struct loop);
    loop->world = world;
    loop->deferred.next = loop->deferred.before = &loop->deferred;
    loop->now = world_monotonic(world);
    world_random(world, &loop->random);
    if (world->schedule)
        schedule_join(world->schedule, loop);
    else
        make_base(loop);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (loop->leaving)
        stream_close(loop->leaving);
    call_deferred(loop); /* streams closed in the last turn, and just now */
    assert(!loop->mailboxes && "mailboxes go before their loop");
    if (loop->base) {
        watch_clear(&loop->wake);
        event_free(loop->tick);
        close(loop->wake_fd);
        event_base_free(loop->base);
    } else {
        schedule_leave(loop->world->schedule, loop);
    }
    for (size_t i = 0; i < loop->spare_count; i++)
        free(loop->spares[i]);
    free(loop->scratch);
    free(loop->heap);
    free(loop);
}

static time_ms time_to_wait(struct loop *loop, time_ms most)
{
    if (loop->deferred.next != &loop->deferred || loop->mailboxes_due)
        return 0;
    if (loop->heap_count) {
        time_ms until = loop->heap[1]->queued - loop_now(loop);
        if (until < 0)
            until = 0;
        if (most < 0 || until < most)
            most = until;
    }
    return most;
}

/* libevent does the waiting; `tick`, its only timer of ours, ends the wait when the next timer is due. */
static void wait_for_events(struct loop *loop, time_ms most)
{
    if (most > 0) {
        struct timeval tv = {.tv_sec = (time_t)(most / 1000), .tv_usec = (suseconds_t)(most % 1000) * 1000};
        event_add(loop->tick, &tv);
    } else if (most < 0) {
        event_del(loop->tick);
    }
    loop->is_now_stale = true;
    event_base_loop(loop->base, most == 0 ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
}

/* Nothing to wait for: what a simulated loop hears of, it hears by timers and mailboxes. */
static void look_around(struct loop *loop)
{
    if (atomic_exchange(&loop->is_woken, false))
        loop->mailboxes_due = true;
    loop->is_now_stale = true;
}

bool loop_has_work(struct loop *loop)
{
    loop->is_now_stale = true;
    return loop->deferred.next != &loop->deferred || loop->mailboxes_due || atomic_load(&loop->is_woken) ||
           (loop->heap_count && loop->heap[1]->queued <= loop_now(loop));
}

time_ms loop_next_due(const struct loop *loop)
{
    return loop->heap_count ? loop->heap[1]->queued : INT64_MAX;
}

static void turn(struct loop *loop, time_ms most, bool waits_after_calls)
{
    loop->is_now_stale = true;
    bool has_called = call_deferred(loop);
    has_called |= fire_due_timers(loop);
    if (loop->base)
        wait_for_events(loop, has_called && !waits_after_calls ? 0 : time_to_wait(loop, most));
    else
        look_around(loop);
    if (loop->mailboxes_due)
        deliver_mailboxes(loop);
}

void loop_turn(struct loop *loop, time_ms max_wait_ms)
{
    turn(loop, max_wait_ms, false); /* what was called may be what the caller waits for */
}

void loop_run(struct loop *loop)
{
    while (!atomic_load(&loop->is_stopping))
        turn(loop, -1, true);
    atomic_store(&loop->is_stopping, false);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->is_stopping, true);
    loop_wake(loop);
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    if (atomic_exchange(&loop->is_woken, true) || !loop->base)
        return;
    ssize_t written = write(loop->wake_fd, &one, sizeof(one));
    (void)written; /* fails only when the counter is full: then it is readable anyway */
}

static void *thread_main(void *arg)
{
    struct loop_thread *thread = arg;
    if (thread->begin)
        thread->begin(thread->owner);
    loop_run(thread->loop);
    if (thread->end)
        thread->end(thread->owner);
    return NULL;
}

void loop_thread_start(struct loop_thread *thread, struct loop *loop, void (*begin)(void *owner),
                       void (*end)(void *owner), void *owner)
{
    *thread = (struct loop_thread){.loop = loop, .begin = begin, .end = end, .owner = owner};
    if (!loop->base) {
        if (begin)
            begin(owner);
    } else if (pthread_create(&thread->thread, NULL, thread_main, thread) != 0) {
        perror("todoke: no thread");
        abort();
    }
}

void loop_thread_name(struct loop_thread *thread, const char *name)
{
    if (thread->loop->base)
        pthread_setname_np(thread->thread, name);
}

void loop_thread_give_way(struct loop_thread *thread)
{
    if (thread->loop->base)
        setpriority(PRIO_PROCESS, (id_t)gettid(), GIVE_WAY_NICE); /* of this thread alone; without effect if refused */
}

void loop_thread_short_turns(struct loop_thread *thread)
{
    if (thread->loop->base)
        thread_takes_short_turns();
}

void loop_thread_join(struct loop_thread *thread)
{
    loop_stop(thread->loop);
    if (thread->loop->base)
        pthread_join(thread->thread, NULL);
    else if (thread->end)
        thread->end(thread->owner);
}

struct world *loop_world(struct loop *loop)
{
    return loop->world;
}

time_ms loop_now(struct loop *loop)
{
    if (loop->is_now_stale) {
        loop->now = world_monotonic(loop->world);
        loop->is_now_stale = false;
    }
    return loop->now;
}

struct random *loop_random(struct loop *loop)
{
    return &loop->random;
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

/* --- memory that streams share --- */

char *loop_scratch(struct loop *loop)
{
    if (!loop->scratch)
        loop->scratch = memory_alloc(LOOP_SCRATCH_BYTES);
    return loop->scratch;
}

void loop_buf_lend(struct loop *loop, struct buf *buf)
{
    if (buf->ptr || buf->limit < LOOP_SPARE_BYTES)
        return;
    buf->ptr = loop->spare_count ? loop->spares[--loop->spare_count] : memory_alloc(LOOP_SPARE_BYTES + 1);
    buf->room = LOOP_SPARE_BYTES;
    loop->lent++;
}

void loop_buf_return(struct loop *loop, struct buf *buf)
{
    bool is_over = buf->is_over;
    if (buf->ptr && buf->limit >= LOOP_SPARE_BYTES)
        loop->lent--;
    if (buf->ptr && buf->room == LOOP_SPARE_BYTES && loop->spare_count < LOOP_SPARES_MOST) {
        loop->spares[loop->spare_count++] = buf->ptr;
        buf->ptr = NULL;
    }
    buf_release(buf);
    buf->is_over = is_over;
}
