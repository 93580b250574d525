/* A simulation's loops: one thread, one clock, the same order each time. */
#include "base/test.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/schedule.h"

struct item {
    struct mail_item item;
    int number;
};

struct player {
    struct loop *loop;
    struct loop_thread thread;
    struct mailbox mailbox;
    struct timer timer;
    struct player *other;
    char *log;
    char name;
    bool has_begun, has_ended;
};

static void note(struct player *player, const char *what, int number)
{
    size_t len = strlen(player->log);
    snprintf(player->log + len, 400 - len, "%c%s%d@%lld ", player->name, what, number,
             (long long)loop_now(player->loop));
}

static void caught(struct mailbox *mailbox, struct mail_item *batch)
{
    struct player *player = mailbox->owner;
    struct item *item = (struct item *)batch;
    note(player, "", item->number);
    if (--item->number > 0)
        mailbox_post(&player->other->mailbox, &item->item);
}

static void fired(struct timer *timer)
{
    note(timer->owner, "t", 0);
}

static void begun(void *owner)
{
    ((struct player *)owner)->has_begun = true;
}

static void ended(void *owner)
{
    ((struct player *)owner)->has_ended = true;
}

static void play(char *log)
{
    struct world world;
    struct player players[2];
    struct item item = {.number = 4};
    world_init_manual(&world, 1000, 7);
    struct schedule *schedule = schedule_new(&world);
    memset(players, 0, sizeof(players));
    for (int i = 0; i < 2; i++) {
        struct player *player = &players[i];
        player->name = (char)('a' + i);
        player->log = log;
        player->other = &players[1 - i];
        player->loop = loop_new(&world);
        mailbox_init(&player->mailbox, player->loop, caught, player);
        timer_init(&player->timer, player->loop, fired, player);
        loop_thread_start(&player->thread, player->loop, begun, ended, player);
        assert_true(player->has_begun);
    }
    timer_set(&players[0].timer, 500);
    timer_set(&players[1].timer, 200);
    mailbox_post(&players[1].mailbox, &item.item);
    world_pause(&world, 300); /* as an engine that stops does: everybody goes on meanwhile */
    assert_int_equal(world_monotonic(&world), 301);
    assert_int_equal(world_wall(&world), 1300);
    schedule_run(schedule, 3600000);
    assert_int_equal(world_monotonic(&world), 3600301);
    assert_true(schedule_turns(schedule) < 10); /* an hour costs nothing */
    for (int i = 0; i < 2; i++) {
        loop_thread_join(&players[i].thread);
        assert_true(players[i].has_ended);
        mailbox_release(&players[i].mailbox);
        loop_free(players[i].loop);
    }
    schedule_free(schedule);
}

static void the_same_order_each_time(void **state)
{
    char once[400] = "", again[400] = "";
    play(once);
    play(again);
    assert_string_equal(once, "b4@1 a3@1 b2@1 a1@1 bt0@201 at0@501 ");
    assert_string_equal(again, once);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_order_each_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
