/* Claims, returns, holds, routes and restarts in any order, against a simple model (R34): on both stores. */
#include "queue/lanes_test.h"

enum { ROWS_MOST = 150, STEPS = 700 };
struct row {
    char address[32];
    struct test_delivery delivery;
    int domain;
    time_ms due;
    enum { OWED, CLAIMED, ENDED } is;
    struct recipient *recipient;
};
struct model {
    struct row rows[ROWS_MOST];
    int count, group_of[4];
    uint64_t held;
    time_ms now;
};
static const char *const domains[4] = {"a.example", "b.example", "c.example", "d.example"};

static bool may_be_claimed(const struct model *model, const struct row *row, int group)
{
    return row->is == OWED && row->due <= model->now && model->group_of[row->domain] == group &&
           row->delivery.campaign_id != model->held;
}

static void model_claim(struct fixture *fixture, struct model *model, int group, size_t most)
{
    claim(fixture, group, model->now, most);
    assert_true(fixture->count <= most);
    size_t got = 0;
    for (; fixture->list; got++) {
        struct recipient *one = take(fixture);
        struct row *row = model->rows;
        while (row->delivery.id != one->id)
            assert_true(++row < model->rows + model->count);
        assert_true(may_be_claimed(model, row, group)); /* never twice, never early, never held, never another's */
        row->is = CLAIMED;
        row->recipient = one;
    }
    assert_int_equal(got, fixture->count);
}

/* Nobody who may go now is left behind. */
static void model_drain(struct fixture *fixture, struct model *model, int group)
{
    do {
        lanes_wake(fixture->lanes, model->now);
        model_claim(fixture, model, group, 37);
    } while (fixture->count);
    lanes_wake(fixture->lanes, model->now);
    model_claim(fixture, model, group, 37);
    for (int i = 0; i < model->count; i++)
        assert_false(may_be_claimed(model, &model->rows[i], group));
}

static void model_return(struct fixture *fixture, struct model *model, struct random *random, struct row *row)
{
    switch (random_below(random, 4)) {
    case 0: not_tried(fixture, row->recipient); break;
    case 1:
    case 2:
        row->due = model->now + 1 + (time_ms)random_below(random, 30000);
        ended(fixture, row->recipient, DELIVERY_DEFERRED, row->due);
        break;
    default:
        ended(fixture, row->recipient, DELIVERY_DELIVERED, 0);
        row->is = ENDED;
        return;
    }
    row->is = OWED;
}

static void model_step(struct fixture *fixture, struct model *model, struct random *random)
{
    struct row *row = &model->rows[random_below(random, (uint64_t)model->count + 1)];
    int domain = (int)random_below(random, 4);
    switch (random_below(random, 12)) {
    case 0:
    case 1:
    case 2:
        if (model->count == ROWS_MOST)
            break;
        row = &model->rows[model->count];
        row->domain = domain;
        snprintf(row->address, sizeof(row->address), "p%d@%s", model->count++, domains[domain]);
        row->due = model->now + (time_ms)random_below(random, 20000) - 10000;
        row->delivery = add(fixture, row->address, 5 + random_below(random, 2), (int)random_below(random, 2), row->due);
        break;
    case 3:
    case 4:
    case 5:
        if (row < model->rows + model->count && row->is == CLAIMED)
            model_return(fixture, model, random, row);
        break;
    case 6: model->now += (time_ms)random_below(random, 8000); break;
    case 7:
        model->group_of[domain] = (int)random_below(random, 3) - 1;
        route(fixture, domains[domain], model->group_of[domain]);
        break;
    case 8:
        model->held = fixture->held_campaign = 4 + random_below(random, 3);
        lanes_hold(fixture->lanes, is_held, fixture);
        break;
    case 9: model_drain(fixture, model, domain % GROUPS); break;
    case 10:
        if (random_below(random, 10))
            break;
        for (int i = 0; i < model->count; i++) /* what was in memory is not, and owed as before */
            if (model->rows[i].is == CLAIMED)
                model->rows[i].is = OWED;
        lanes_free(fixture->lanes);
        start(fixture);
        lanes_hold(fixture->lanes, is_held, fixture);
        for (int i = 0; i < 4; i++)
            route(fixture, domains[i], model->group_of[i]);
        break;
    default:
        lanes_wake(fixture->lanes, model->now);
        model_claim(fixture, model, domain % GROUPS, 1 + random_below(random, 6));
    }
    fixture->asked_count = 0;
}

static void like_a_simple_model(void **state)
{
    FIXTURE(fixture, state);
    struct model *model = NEW(struct model);
    model->now = NOW;
    struct random random;
    random_seed(&random, 7);
    lanes_hold(fixture.lanes, is_held, &fixture);
    for (int i = 0; i < 4; i++)
        route(&fixture, domains[i], model->group_of[i] = i % GROUPS);
    for (int step = 0; step < STEPS; step++)
        model_step(&fixture, model, &random);
    model->held = fixture.held_campaign = 0; /* at last everybody goes */
    lanes_hold(fixture.lanes, is_held, &fixture);
    for (int i = 0; i < 4; i++)
        route(&fixture, domains[i], model->group_of[i] = i % GROUPS);
    model->now += 100000;
    for (int group = 0; group < GROUPS; group++)
        model_drain(&fixture, model, group);
    for (int i = 0; i < model->count; i++)
        assert_true(model->rows[i].is != OWED);
    assert_true(model->count > ROWS_MOST / 2);
    free(model);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(like_a_simple_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
