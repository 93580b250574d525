/* Timers on the world's clock, deferred calls, mailboxes between threads */
#include "base/test.h"
#include "net/mailbox.h"

#include <pthread.h>
#include <unistd.h>

struct mark {
    struct timer timer;
    time_ms fired_at;
    int times;
    struct mark *sets; /* another timer, set when this one fires */
};

static void on_fire(struct timer *timer)
{
    struct mark *mark = timer->owner;
    mark->fired_at = loop_now(timer->loop);
    mark->times++;
    if (mark->sets)
        timer_set(&mark->sets->timer, 0);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    enum { COUNT = 500 };
    static struct mark marks[COUNT];
    struct world world;
    struct random random;
    world_init_manual(&world, 0, 7);
    world_random(&world, &random);
    struct loop *loop = loop_new(&world);
    time_ms start = loop_now(loop), due[COUNT];
    memset(marks, 0, sizeof(marks));
    for (int i = 0; i < COUNT; i++) {
        timer_init(&marks[i].timer, loop, on_fire, &marks[i]);
        timer_set(&marks[i].timer, (time_ms)random_below(&random, 1000));
    }
    for (int i = 0; i < COUNT; i++) { /* move a third later, a third earlier, clear some */
        due[i] = (time_ms)random_below(&random, 2000);
        timer_set(&marks[i].timer, due[i]);
        if (i % 10 == 0)
            timer_clear(&marks[i].timer);
    }
    for (int ms = 0; ms < 2100; ms++) {
        loop_turn(loop, 0);
        world_advance(&world, 1);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(marks[i].times, i % 10 != 0);
        if (i % 10)
            assert_int_equal(marks[i].fired_at - start, due[i]);
    }
    loop_free(loop);
}

static void a_timer_may_set_another(void **state)
{
    struct world world;
    struct mark first = {0}, second = {0};
    world_init_manual(&world, 0, 7);
    struct loop *loop = loop_new(&world);
    timer_init(&first.timer, loop, on_fire, &first);
    timer_init(&second.timer, loop, on_fire, &second);
    first.sets = &second;
    second.sets = &second; /* even one that sets itself to now does not hold the loop */
    timer_set(&first.timer, 0);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(first.times, 1);
    assert_true(second.times >= 1 && second.times <= 2);
    timer_clear(&second.timer);
    loop_free(loop);
}

struct called {
    struct deferred deferred;
    int times;
    bool asks_again;
    struct called *clears;
};

static void on_call(struct deferred *deferred)
{
    struct called *called = deferred->owner;
    called->times++;
    if (called->asks_again)
        deferred_ask(deferred);
    if (called->clears)
        deferred_clear(&called->clears->deferred);
}

static void deferred_calls(void **state)
{
    struct world world;
    struct called once = {0}, again = {.asks_again = true}, cleared = {0};
    world_init_manual(&world, 0, 7);
    struct loop *loop = loop_new(&world);
    deferred_init(&once.deferred, loop, on_call, &once);
    deferred_init(&again.deferred, loop, on_call, &again);
    deferred_init(&cleared.deferred, loop, on_call, &cleared);
    once.clears = &cleared;
    deferred_ask(&once.deferred);
    deferred_ask(&once.deferred);
    deferred_ask(&again.deferred);
    deferred_ask(&cleared.deferred);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, -1); /* does not wait: something is deferred */
    assert_int_equal(once.times, 1);
    assert_int_equal(again.times, 3);
    assert_int_equal(cleared.times, 0);
    deferred_clear(&again.deferred);
    loop_free(loop);
}

/* --- mailboxes --- */

enum { SENDERS = 4, LETTERS = 20000 };
struct letter {
    struct mail_item item;
    int sender, number;
};
struct sender {
    struct mailbox *to;
    struct mail_pile *pile;
    int index;
    pthread_t thread;
};
struct reader {
    int next[SENDERS];
    int total;
    bool is_out_of_order;
};

/* One by one, or up to so many as `index` at once. */
static void *send_letters(void *arg)
{
    struct sender *sender = arg;
    struct mail_item *list = NULL, **last = &list;
    for (int i = 0; i < LETTERS; i++) {
        struct letter *letter = NEW(struct letter);
        letter->sender = sender->index;
        letter->number = i;
        if (sender->index == 0) {
            mailbox_post(sender->to, &letter->item);
            continue;
        }
        *last = &letter->item;
        last = &letter->item.next;
        *last = NULL;
        if (i % sender->index && i + 1 < LETTERS)
            continue;
        mailbox_post_all(sender->to, list);
        mailbox_post_all(sender->to, NULL);
        last = &list;
    }
    return NULL;
}

/* All put aside to one pile, and whoever thinks of it posts what is there. */
static void *pile_letters(void *arg)
{
    struct sender *sender = arg;
    for (int i = 0; i < LETTERS; i++) {
        struct letter *letter = NEW(struct letter);
        letter->sender = sender->index;
        letter->number = i;
        mail_pile_put(sender->pile, &letter->item);
        if (i % 7 == 0 || i + 1 == LETTERS)
            mailbox_post_all(sender->to, mail_pile_take(sender->pile));
    }
    return NULL;
}

static void read_letters(struct mailbox *mailbox, struct mail_item *batch)
{
    struct reader *reader = mailbox->owner;
    while (batch) {
        struct letter *letter = (struct letter *)batch;
        batch = batch->next;
        reader->is_out_of_order |= reader->next[letter->sender]++ != letter->number;
        if (++reader->total == SENDERS * LETTERS)
            loop_stop(mailbox->loop);
        free(letter);
    }
}

static void letters_arrive(void *(*send)(void *), struct reader *reader)
{
    struct world world;
    struct mailbox mailbox, other;
    struct reader nothing = {0};
    struct sender senders[SENDERS];
    struct mail_pile pile = {NULL};
    world_init(&world, NETWORK_LOOPBACK);
    struct loop *loop = loop_new(&world);
    mailbox_init(&mailbox, loop, read_letters, reader);
    mailbox_init(&other, loop, read_letters, &nothing);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.to = &mailbox, .pile = &pile, .index = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send, &senders[i]), 0);
    }
    loop_run(loop);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_int_equal(reader->total, SENDERS * LETTERS);
    mailbox_release(&mailbox);
    mailbox_release(&other);
    loop_free(loop);
}

static void many_threads_one_mailbox(void **state)
{
    struct reader reader = {0};
    letters_arrive(send_letters, &reader);
    assert_false(reader.is_out_of_order);
}

static void many_threads_one_pile(void **state)
{
    struct reader reader = {0};
    letters_arrive(pile_letters, &reader); /* none is lost; two that take at once may post in either order */
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(reader.next[i], LETTERS);
}

static void a_stop_before_the_run_counts(void **state)
{
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct loop *loop = loop_new(&world);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

static void the_world_repeats_itself(void **state)
{
    struct world a, b;
    struct random from_a, from_b, second;
    char secret_a[16], secret_b[16];
    world_init_manual(&a, 1000, 42);
    world_init_manual(&b, 1000, 42);
    world_random(&a, &from_a);
    world_random(&b, &from_b);
    world_random(&a, &second);
    assert_true(random_next(&from_a) == random_next(&from_b));
    assert_true(random_next(&from_a) != random_next(&second));
    world_secret(&a, secret_a, sizeof(secret_a));
    world_secret(&b, secret_b, sizeof(secret_b));
    assert_memory_equal(secret_a, secret_b, sizeof(secret_a));
    world_advance(&a, 5);
    assert_int_equal(world_wall(&a), 1005);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_never_early),
        cmocka_unit_test(a_timer_may_set_another),
        cmocka_unit_test(deferred_calls),
        cmocka_unit_test(many_threads_one_mailbox),
        cmocka_unit_test(many_threads_one_pile),
        cmocka_unit_test(a_stop_before_the_run_counts),
        cmocka_unit_test(the_world_repeats_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
