/* R22: what was in doubt is tried again by the source that was used then, across a restart; and by another one when
 * that source drains, or is none of the pool or of a living node any more. Several sources, a receiver that takes mails
 * and hangs up. */
#include "deliver/house_test.h"

#include "shape/source.h"

enum { DOUBTS = 8, PEOPLE = 60 };

static bool source_run(struct db *db, struct fault *why, void *context)
{
    int last = *(const int *)context;
    char name[32];
    snprintf(name, sizeof(name), "out%d.example", last);
    struct source source = {
        .ip = ip_v4(127, 88, 0, (uint8_t)last), .ehlo_name = slice_str(name), .pool = SLICE("default"), .weight = 1};
    return source_add(db, why, &source, 1795321800000);
}
static void add_source(struct fixture *fixture, int last)
{
    test_write(fixture->store.store, source_run, &last);
}

static void restart(struct fixture *fixture)
{
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
}

/* Who got it twice got it first from source 1, the only one there was; *again: by how many it was brought again. */
static void who_brought_it_again(struct fixture *fixture, int by, int *again)
{
    *again = 0;
    for (size_t i = 0; i < fixture->count; i++)
        if (receiver_took(&fixture->receivers[0], fixture->people[i]) == 2)
            *again += receiver_took_from(&fixture->receivers[0], fixture->people[i], by);
}

/* Everybody gets the mail, DOUBTS of them in doubt by source 1; then the server stops. */
static void doubtful_by_the_first_source(struct fixture *fixture)
{
    fixture->receivers[0] = (struct receiver){.script = {{STAGE_DOT, "TAKE_AND_CLOSE", DOUBTS}}};
    open_house(fixture);
    restart(fixture);
    add_source(fixture, 1);
    fixture->options.in_doubt_wait = DAYS_MS(100); /* nobody is tried again before the restart */
    start(fixture);
    crowd(fixture, PEOPLE, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "all but the doubtful", DELIVERY_DELIVERED, PEOPLE - DOUBTS);
    wait_until_state(fixture, "the doubtful", DELIVERY_IN_DOUBT, DOUBTS);
    restart(fixture);
    test_write(fixture->store.store, do_run, (char[]){"UPDATE delivery SET due_ms = 1 WHERE state = 4"});
    add_source(fixture, 2);
}

/* The other one has ten times its weight, and everybody's mail is due at once. */
static void a_retry_comes_from_the_same_source(void **state)
{
    HOUSE(fixture, state, 1);
    doubtful_by_the_first_source(fixture);
    test_write(fixture->store.store, do_run, (char[]){"UPDATE source SET weight = 10 WHERE ip = '127.88.0.2'"});
    start(fixture);
    wait_until_state(fixture, "again", DELIVERY_DELIVERED, PEOPLE);
    int same;
    who_brought_it_again(fixture, 1, &same);
    assert_int_equal(same, DOUBTS * 2); /* both times */
    assert_int_equal(events(fixture, EVENT_RELEASED), DOUBTS);
    nobody_twice(fixture, "same source");
    leave(fixture);
}

static void without_it_another_source_does(void **state)
{
    static const struct {
        const char *name, *sql, *note;
    } rows[] = {
        {"drained", "UPDATE source SET state = 'draining' WHERE ip = '127.88.0.1'", "unusable 127.88.0.1"},
        {"of another pool", "UPDATE source SET pool = 'news' WHERE ip = '127.88.0.1'", "pool 127.88.0.1"},
        {"removed", "DELETE FROM source WHERE ip = '127.88.0.1'", "removed "},
        {"another node's that does not live", "UPDATE source SET node = 9 WHERE ip = '127.88.0.1'", "node 127.88.0.1"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        char sql[200];
        snprintf(sql, sizeof(sql), "%s", rows[i].sql);
        doubtful_by_the_first_source(fixture);
        test_write(fixture->store.store, do_run, sql);
        start(fixture);
        wait_until_state(fixture, rows[i].name, DELIVERY_DELIVERED, PEOPLE);
        int other;
        who_brought_it_again(fixture, 2, &other);
        assert_int_row(rows[i].name, other, DOUBTS);
        nobody_twice(fixture, rows[i].name);
        snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = 3 AND note = 'other_source %s'",
                 rows[i].note);
        assert_int_row(rows[i].name, number(fixture, sql), DOUBTS); /* and it is told why */
        assert_int_row(rows[i].name, number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 3 AND note <> ''"),
                       DOUBTS);
        leave(fixture);
    }
}

/* Both are there from the beginning, and nobody stops: each retry comes from where its first try came from. */
static void among_several_each_keeps_its_own(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 2, .script = {{STAGE_DOT, "TAKE_AND_CLOSE", 20}}};
    open_house(fixture);
    restart(fixture);
    add_source(fixture, 1);
    add_source(fixture, 2);
    add_source(fixture, 3);
    start(fixture);
    crowd(fixture, 200, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "several", DELIVERY_DELIVERED, 200);
    int twice = 0, same = 0;
    for (size_t i = 0; i < fixture->count; i++) {
        const char *who = fixture->people[i];
        twice += receiver_took(&receivers[0], who) == 2;
        for (int last = 1; last <= 3; last++)
            same += receiver_took_from(&receivers[0], who, last) == 2;
    }
    assert_true(twice >= 10);
    assert_int_equal(same, twice);
    nobody_twice(fixture, "several");
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_retry_comes_from_the_same_source),
        {"without_it_another_source_does (sqlite)", without_it_another_source_does, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        ON_BOTH(among_several_each_keeps_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
