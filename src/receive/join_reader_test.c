/* The thread that reads error mail, and what stops it not: R37, X13, on both stores. */
#include "receive/join_test.h"

#include <time.h>

static struct join_reader *start(const struct fixture *fixture, struct world *world, struct jail *jail)
{
    const struct join_reader_options options = {.store = fixture->store.store,
                                                .world = world,
                                                .rules = fixture->rules,
                                                .ledger = fixture->ledger,
                                                .ring = &fixture->ring,
                                                .jail = jail};
    struct fault why;
    struct join_reader *reader = join_reader_start(&options, &why);
    if (!reader)
        fail_msg("%s", why.text);
    return reader;
}
static void stop_when_read(struct fixture *fixture, struct join_reader *reader)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 60000 && number(fixture, "SELECT COUNT(*) FROM inbound WHERE state = 0"); i++)
        nanosleep(&pause, NULL);
    join_reader_stop(reader);
}

/* ── the thread ── */

static void the_reader_follows_new_mail(void **state)
{
    enum { MAILS = 230 };
    FIXTURE(fixture, state);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct mail_job job;
    for (int i = 0; i < MAILS; i++)
        save(&job, &fixture, SLICE("postmaster@" DOMAIN), SLICE("From: a@b.example\r\nSubject: x\r\n\r\nspam\r\n"));
    struct join_reader *reader = start(&fixture, &world, NULL);
    save(&job, &fixture, return_path(&fixture, ann.id, world_wall(&world) + DAYS_MS(30)),
         unknown_user(&fixture, ann.address, 0));
    stop_when_read(&fixture, reader);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 1"), MAILS + 1);
    assert_int_equal(events(&fixture, EVENT_UNVERIFIED), 0); /* letters to postmaster are no error mail */
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_BOUNCED);
    end(&fixture);
}

/* One mail whose meaning cannot be written is put aside; those beside it are not held up. */
static void one_that_cannot_be_written_stops_nobody(void **state)
{
    FIXTURE(fixture, state);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct subject people[3] = {sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED),
                                sent(&fixture, "poison@example.jp", DELIVERY_DELIVERED),
                                sent(&fixture, "cat@example.jp", DELIVERY_DELIVERED)};
    test_write(fixture.store.store, do_run,
               (char[]){"CREATE TRIGGER poison BEFORE INSERT ON event WHEN NEW.address = 'poison@example.jp' BEGIN "
                        "SELECT RAISE(ABORT, 'poison'); END"});
    struct mail_job job;
    for (int i = 0; i < 3; i++)
        save(&job, &fixture, return_path(&fixture, people[i].id, world_wall(&world) + DAYS_MS(30)),
             unknown_user(&fixture, people[i].address, 0));
    struct join_reader *reader = start(&fixture, &world, NULL);
    stop_when_read(&fixture, reader);
    assert_int_equal(state_of(&fixture, &people[0]), DELIVERY_BOUNCED);
    assert_int_equal(state_of(&fixture, &people[1]), DELIVERY_DELIVERED);
    assert_int_equal(state_of(&fixture, &people[2]), DELIVERY_BOUNCED);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 2"), 1);
    end(&fixture);
}

/* ── through the jail: a mail that its reader dies of is put aside, the others are read (X13) ── */

static void dies_of_poison(void *prepared, struct slice bytes, int64_t now, struct buf *record)
{
    if (slice_find(bytes, SLICE("poison@")) >= 0)
        abort();
    record_work.read(prepared, bytes, now, record);
}

static void one_that_kills_its_reader_stops_nobody(void **state)
{
    enum { PEOPLE = 40 };
    const struct jail_work work = {record_work.prepare, dies_of_poison};
    struct fault why;
    PLACE(fixture, state);
    struct jail *jail = jail_start(&work, 2, &why);
    if (!jail)
        fail_msg("%s", why.text);
    begin(&fixture);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct subject people[PEOPLE];
    char addresses[PEOPLE][40];
    struct mail_job job;
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(addresses[i], sizeof(addresses[i]), i == 7 ? "poison@example.jp" : "person%d@example.jp", i);
        people[i] = sent(&fixture, addresses[i], DELIVERY_DELIVERED);
        save(&job, &fixture, return_path(&fixture, people[i].id, world_wall(&world) + DAYS_MS(30)),
             report(&fixture, "failed", "5.2.2", "552 5.2.2 Mailbox full", addresses[i], 0));
    }
    struct join_reader *reader = start(&fixture, &world, jail);
    stop_when_read(&fixture, reader);
    jail_stop(jail);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 1"), PEOPLE - 1);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 2 AND why LIKE '%each time%'"), 1);
    for (int i = 0; i < PEOPLE; i++)
        assert_int_row(addresses[i], state_of(&fixture, &people[i]), i == 7 ? DELIVERY_DELIVERED : DELIVERY_BOUNCED);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(the_reader_follows_new_mail),
        ON_BOTH(one_that_kills_its_reader_stops_nobody),
        {"one_that_cannot_be_written_stops_nobody (sqlite)", one_that_cannot_be_written_stops_nobody, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
