/* M10: a mail whose sender has named an end does not wait behind it for a way that is not there */
#include "deliver/house_test.h"

#include "shape/allowance.h"
#include "shape/source.h"

struct way {
    bool drains;
    const char *caps; /* of a warm-up; NULL: none */
};
static bool source_run(struct db *db, struct fault *why, void *context)
{
    const struct way *way = context;
    struct source source = {
        .ip = ip_v4(127, 88, 0, 1), .ehlo_name = SLICE("out1.example"), .pool = SLICE("default"), .weight = 1};
    return source_add(db, why, &source, 1795321800000) &&
           (!way->drains || source_set_state(db, why, source.id, SOURCE_DRAINING, 1795321800000)) &&
           (!way->caps || warm_up_begin(db, why, source.id, SLICE("*"), slice_str(way->caps), 1795321800000));
}

/* 500 who have the house's two days, and among them, behind more than a claim takes, 40 codes of two seconds. */
static void ends_come_without_a_way(void **state)
{
    enum { NEWS = 500, CODES = 40, CAP = 3 };
    static const struct {
        const char *name;
        struct way way;
        int sent;
    } rows[] = {{"its source drains", {true, NULL}, 0}, {"its day is used up", {false, "3,6"}, CAP}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        HOUSE(fixture, state, 1);
        receivers[0] = (struct receiver){0};
        open_house(fixture);
        engine_stop(fixture->engine, 0);
        fixture->engine = NULL;
        fixture->options.expires_after = DAYS_MS(2);
        test_write(fixture->store.store, source_run, (void *)(uintptr_t)&rows[i].way);
        crowd(fixture, NEWS, "r0.example");
        for (int c = 0; c < CODES; c++) {
            char local[16];
            snprintf(local, sizeof(local), "code%d", c);
            person(fixture, local, "r0.example");
        }
        submit(fixture);
        test_write(fixture->store.store, do_run,
                   (char[]){"UPDATE delivery SET expires_ms = accepted_ms + CASE WHEN address LIKE 'code%' THEN 2000 "
                            "ELSE 172800000 END, due_ms = due_ms - CASE WHEN address LIKE 'code%' THEN 0 ELSE 9 END"});
        start(fixture);
        int64_t day = allowance_day(world_wall(&fixture->world));
        wait_until_state(fixture, rows[i].name, DELIVERY_EXPIRED, CODES);
        assert_int_row(rows[i].name, events(fixture, EVENT_EXPIRED), CODES);
        assert_int_row(rows[i].name, events_of(fixture, "code7@r0.example", EVENT_EXPIRED), 1);
        if (day == allowance_day(world_wall(&fixture->world))) { /* no second cap */
            assert_int_row(rows[i].name, in_state(fixture, DELIVERY_DELIVERED), rows[i].sent);
            assert_int_row(rows[i].name, in_state(fixture, DELIVERY_WAITING), NEWS - rows[i].sent);
        }
        assert_int_row(rows[i].name, events(fixture, EVENT_DEFERRED), 0);
        test_write(fixture->store.store, do_run,
                   (char[]){"UPDATE source SET state = 'active' WHERE state = 'draining'"});
        if (rows[i].way.drains)
            wait_until_state(fixture, "it drains no more", DELIVERY_DELIVERED, NEWS);
        nobody_twice(fixture, rows[i].name);
        leave(fixture);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        {"ends_come_without_a_way (sqlite)", ends_come_without_a_way, NULL, NULL, (void *)(uintptr_t) "sqlite"},
        {"ends_come_without_a_way (postgres)", ends_come_without_a_way, NULL, NULL, (void *)(uintptr_t) "postgres"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
