/* S53, S54, L1, L2, L4, S74: who asks is on no list until he confirms, and the proof stays; what he refuses later holds
 * for that list, for a while, or for all, and can be taken back by him alone. On both stores. */
#include "audience/audience.h"
#include "audience/optin.h"
#include "store/testing.h"
#include "suppress/suppress.h"

#define NOW ((time_ms)1795321800000)
enum { BRAND = 77 };

struct step {
    struct arena arena;
    uint64_t lists[3];
    /* asking */
    const char *address;
    uint64_t list_id, id;
    time_ms now;
    bool wants_mail, is_sent;
    /* confirming */
    enum optin_end end;
    /* choosing */
    struct preferences preferences;
    bool (*choose)(struct preferences *wanted);
    /* excluding */
    enum suppress_why why;
};

static struct slice identity_of(const char *address)
{
    return slice_str(address);
}

static bool lists_run(struct db *db, struct fault *why, void *context)
{
    struct step *step = context;
    static const char *const names[] = {"news", "sale", "inside"};
    for (int i = 0; i < 3; i++) {
        struct list list;
        bool found;
        if (!list_create(db, why, BRAND, slice_str(names[i]), NOW, &step->lists[i], NULL) ||
            !list_by_id(db, why, step->lists[i], &step->arena, &list, &found))
            return false;
        list.title = i < 2 ? slice_str(names[i]) : SLICE("");
        list.notice = SLICE("I want the news, and can stop them any time.");
        list.has_form = i == 0;
        if (!list_publish(db, why, &list))
            return false;
    }
    return true;
}

static bool ask_run(struct db *db, struct fault *why, void *context)
{
    struct step *step = context;
    struct optin asked = {.list_id = step->list_id,
                          .address = identity_of(step->address),
                          .written = slice_str(step->address),
                          .lang = SLICE("ja"),
                          .source = SLICE("form"),
                          .asked_from = {SLICE("203.0.113.9"), SLICE("curl")}};
    if (!optin_ask(db, why, &asked, step->now, &step->arena, &step->wants_mail))
        return false;
    step->id = asked.id;
    return !step->wants_mail || optin_mailed(db, why, &asked, 4711, step->now);
}
static bool ask(struct test_store *store, struct step *step, const char *address, uint64_t list_id, time_ms now)
{
    step->address = address;
    step->list_id = list_id;
    step->now = now;
    test_write(store->store, ask_run, step);
    return step->wants_mail;
}

static bool confirm_run(struct db *db, struct fault *why, void *context)
{
    struct step *step = context;
    const struct optin_from from = {SLICE("203.0.113.10"), SLICE("Firefox")};
    return optin_confirm(db, why, step->id, &from, step->now, &step->arena, &step->end);
}
static enum optin_end confirm(struct test_store *store, struct step *step, time_ms now)
{
    step->now = now;
    test_write(store->store, confirm_run, step);
    return step->end;
}

static struct contact contact_of(struct test_store *store, struct step *step, const char *address)
{
    struct contact contact = {0};
    struct fault why;
    bool found;
    assert_true(contact_by_address(store->reader, &why, identity_of(address), &step->arena, &contact, &found));
    assert_true(found);
    return contact;
}

/* Whom a campaign to this list would reach. */
static size_t reached(struct test_store *store, struct step *step, const char *address, uint64_t list_id, time_ms now)
{
    struct audience_row *rows;
    struct fault why;
    size_t count, n = 0;
    assert_true(audience_next_batch(store->reader, &why, list_id, BRAND, address_bucket(identity_of(address)), 0, 100,
                                    now, &step->arena, &rows, &count));
    for (size_t i = 0; i < count; i++)
        n += slice_equal(rows[i].address, identity_of(address)) && !rows[i].is_suppressed && !rows[i].is_unconfirmed;
    return n;
}

#define BEGIN(store, step, state)                                                                                      \
    struct test_store store;                                                                                           \
    struct step step = {0};                                                                                            \
    if (!test_store_url(&store, state))                                                                                \
        skip();                                                                                                        \
    test_store_reopen(&store);                                                                                         \
    test_write(store.store, lists_run, &step)
static void end(struct test_store *store, struct step *step)
{
    arena_release(&step->arena);
    test_store_end(store);
}

static void asked_then_confirmed(void **state)
{
    BEGIN(store, step, state);
    assert_true(ask(&store, &step, "ann@example.jp", step.lists[0], NOW));
    assert_true(contact_of(&store, &step, "ann@example.jp").is_unconfirmed);
    assert_int_equal(reached(&store, &step, "ann@example.jp", step.lists[0], NOW), 0);
    assert_int_equal(confirm(&store, &step, NOW + 1000), OPTIN_CONFIRMED);
    assert_int_equal(confirm(&store, &step, NOW + 2000), OPTIN_WAS_CONFIRMED);
    struct contact ann = contact_of(&store, &step, "ann@example.jp");
    assert_false(ann.is_unconfirmed);
    assert_true(slice_starts(ann.consent, SLICE("double opt-in, \"news\", asked 20")));
    assert_int_equal(reached(&store, &step, "ann@example.jp", step.lists[0], NOW), 1);
    struct optin *proofs;
    struct fault why;
    size_t count;
    assert_true(optin_list(store.reader, &why, ann.address, &step.arena, &proofs, &count));
    assert_int_equal(count, 1);
    assert_slice("from where", proofs[0].asked_from.ip, SLICE("203.0.113.9"));
    assert_slice("confirmed from", proofs[0].confirmed_from.ip, SLICE("203.0.113.10"));
    assert_slice("what was shown", proofs[0].notice, SLICE("I want the news, and can stop them any time."));
    assert_int_equal(proofs[0].confirmed, NOW + 1000);
    assert_false(ask(&store, &step, "ann@example.jp", step.lists[0], NOW + DAYS_MS(9))); /* is on it already */
    end(&store, &step);
}

/* Put on a list by somebody, an unconfirmed contact is left out all the same. */
static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct step *step = context;
    struct contact contact;
    bool found;
    return contact_by_address(db, why, identity_of(step->address), &step->arena, &contact, &found) &&
           list_add(db, why, step->lists[1], &contact.id, 1, NOW);
}
static void an_unconfirmed_one_gets_no_campaign(void **state)
{
    BEGIN(store, step, state);
    assert_true(ask(&store, &step, "bob@example.jp", step.lists[0], NOW));
    test_write(store.store, add_run, &step);
    assert_int_equal(reached(&store, &step, "bob@example.jp", step.lists[1], NOW), 0);
    end(&store, &step);
}

static void links_expire_and_mails_are_few(void **state)
{
    BEGIN(store, step, state);
    assert_true(ask(&store, &step, "cat@example.jp", step.lists[0], NOW));
    uint64_t first = step.id;
    assert_false(ask(&store, &step, "cat@example.jp", step.lists[0], NOW + 60000)); /* too soon */
    assert_true(ask(&store, &step, "cat@example.jp", step.lists[0], NOW + OPTIN_AGAIN_MS));
    assert_true(step.id == first); /* the same link */
    assert_true(ask(&store, &step, "cat@example.jp", step.lists[0], NOW + 2 * OPTIN_AGAIN_MS));
    assert_false(ask(&store, &step, "cat@example.jp", step.lists[0], NOW + 9 * OPTIN_AGAIN_MS)); /* three are enough */
    assert_true(ask(&store, &step, "cat@example.jp", step.lists[1], NOW + 9 * OPTIN_AGAIN_MS));
    assert_true(ask(&store, &step, "cat@example.jp", step.lists[1], NOW + 10 * OPTIN_AGAIN_MS));
    assert_false(ask(&store, &step, "cat@example.jp", step.lists[2], NOW + 10 * OPTIN_AGAIN_MS)); /* five a day */
    step.id = first;
    assert_int_equal(confirm(&store, &step, NOW + OPTIN_LIFE_MS + 1), OPTIN_EXPIRED);
    assert_int_equal(reached(&store, &step, "cat@example.jp", step.lists[0], NOW), 0);
    step.id = first ^ 0x10000;
    assert_int_equal(confirm(&store, &step, NOW), OPTIN_NONE);
    end(&store, &step);
}

static bool exclude_run(struct db *db, struct fault *why, void *context)
{
    struct step *step = context;
    const struct suppression row = {
        .address = identity_of(step->address), .brand_id = BRAND, .why = step->why, .since = NOW};
    return suppress_add(db, why, &row, NULL);
}
static void who_is_excluded_gets_no_mail_and_who_left_may_come_back(void **state)
{
    static const struct {
        const char *address;
        enum suppress_why why;
        bool wants_mail;
    } rows[] = {
        {"unknown@example.jp", SUPPRESS_ERROR, false},
        {"complained@example.jp", SUPPRESS_COMPLAINT, false},
        {"by_hand@example.jp", SUPPRESS_BY_HAND, false},
        {"left@example.jp", SUPPRESS_UNSUBSCRIBED, true},
    };
    BEGIN(store, step, state);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        step.address = rows[i].address;
        step.why = rows[i].why;
        test_write(store.store, exclude_run, &step);
        assert_int_row(rows[i].address, ask(&store, &step, rows[i].address, step.lists[0], NOW), rows[i].wants_mail);
    }
    test_write(store.store, add_run, &step); /* what he was on before */
    assert_int_equal(confirm(&store, &step, NOW + 1), OPTIN_CONFIRMED);
    assert_int_equal(reached(&store, &step, "left@example.jp", step.lists[0], NOW), 1);
    assert_int_equal(reached(&store, &step, "left@example.jp", step.lists[1], NOW), 0); /* only what he asked for */
    end(&store, &step);
}

/* ── preferences ── */

static bool choose_run(struct db *db, struct fault *why, void *context)
{
    struct step *step = context;
    const struct optin_from from = {SLICE("203.0.113.11"), SLICE("Safari")};
    const struct event cause = {.delivery_id = 9, .campaign_id = 5};
    struct preferences *wanted = &step->preferences;
    *wanted = (struct preferences){
        .brand_id = BRAND, .address = identity_of(step->address), .written = slice_str(step->address)};
    return preferences_read(db, why, step->now, &step->arena, wanted) &&
           (!step->choose ||
            (step->choose(wanted) && preferences_write(db, why, wanted, &cause, &from, step->now, &step->arena))) &&
           preferences_read(db, why, step->now, &step->arena, wanted);
}
static const struct preferences *choose(struct test_store *store, struct step *step,
                                        bool (*how)(struct preferences *wanted), time_ms now)
{
    step->choose = how;
    step->now = now;
    test_write(store->store, choose_run, step);
    return &step->preferences;
}
static bool first_not_second(struct preferences *wanted)
{
    wanted->lang = SLICE("en");
    wanted->lists[0].is_wanted = false; /* by title: news, sale */
    wanted->lists[1].is_wanted = true;
    return true;
}
static bool paused(struct preferences *wanted)
{
    wanted->paused_until = NOW + DAYS_MS(30);
    return true;
}
static bool nothing_more(struct preferences *wanted)
{
    wanted->is_refused = true;
    return true;
}
static bool only_news(struct preferences *wanted)
{
    wanted->is_refused = false;
    wanted->lists[0].is_wanted = true;
    wanted->lists[1].is_wanted = false;
    return true;
}

static void people_choose(void **state)
{
    BEGIN(store, step, state);
    const char *dan = "dan@example.jp";
    assert_true(ask(&store, &step, dan, step.lists[0], NOW));
    assert_int_equal(confirm(&store, &step, NOW), OPTIN_CONFIRMED);
    const struct preferences *is = choose(&store, &step, NULL, NOW);
    assert_int_equal(is->count, 2); /* "inside" has no title */
    assert_true(is->lists[0].is_wanted && !is->lists[1].is_wanted && !is->is_refused);

    is = choose(&store, &step, first_not_second, NOW);
    assert_true(!is->lists[0].is_wanted && is->lists[1].is_wanted);
    assert_slice("language", is->lang, SLICE("en"));
    assert_int_equal(reached(&store, &step, dan, step.lists[0], NOW), 0);
    assert_int_equal(reached(&store, &step, dan, step.lists[1], NOW), 1);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM event WHERE kind = 16"), 1);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM event WHERE kind = 22"), 2);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM suppression WHERE topic = ''"), 0);

    is = choose(&store, &step, paused, NOW);
    assert_int_equal(is->paused_until, NOW + DAYS_MS(30));
    assert_int_equal(reached(&store, &step, dan, step.lists[1], NOW + 1), 0);
    assert_int_equal(reached(&store, &step, dan, step.lists[1], NOW + DAYS_MS(31)), 1); /* goes on by itself */

    is = choose(&store, &step, nothing_more, NOW);
    assert_true(is->is_refused && !is->lists[0].is_wanted && !is->lists[1].is_wanted);
    assert_int_equal(reached(&store, &step, dan, step.lists[1], NOW + DAYS_MS(31)), 0);

    is = choose(&store, &step, only_news, NOW + DAYS_MS(40));
    assert_true(!is->is_refused && is->lists[0].is_wanted && !is->lists[1].is_wanted);
    assert_int_equal(reached(&store, &step, dan, step.lists[0], NOW + DAYS_MS(41)), 1);
    assert_int_equal(reached(&store, &step, dan, step.lists[1], NOW + DAYS_MS(41)), 0);
    end(&store, &step);
}

static bool other_run(struct db *db, struct fault *why, void *context)
{
    struct contact kept = {.address = SLICE("eve@example.jp"),
                           .written = SLICE("eve@example.jp"),
                           .name = SLICE("Kept"),
                           .fields = SLICE("{\"secret\":\"of brand 5\"}")};
    uint64_t list_id;
    return list_create(db, why, 5, SLICE("theirs"), NOW, &list_id, NULL) &&
           contact_save(db, why, &kept, 1, NOW, NULL) && list_add(db, why, list_id, &kept.id, 1, NOW);
}

/* X17: a link that she follows does not hand this brand what another one knows of her. */
static void whom_another_brand_knows_is_a_stranger(void **state)
{
    static const char eve[] = "eve@example.jp";
    BEGIN(store, step, state);
    struct contact contact;
    struct fault why;
    bool found;
    test_write(store.store, other_run, &step);
    assert_true(ask(&store, &step, eve, step.lists[0], NOW));
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM contact"), 1);
    assert_int_equal(confirm(&store, &step, NOW + 1), OPTIN_CONFIRMED);
    assert_int_equal(reached(&store, &step, eve, step.lists[0], NOW + 2), 1);
    assert_true(contact_of_brand(store.reader, &why, BRAND, slice_str(eve), &step.arena, &contact, &found) && found);
    assert_int_equal(contact.brand_id, BRAND);
    assert_slice("fields", contact.fields, SLICE("{}"));
    contact = contact_of(&store, &step, eve);
    assert_slice("as it was", contact.name, SLICE("Kept"));
    assert_int_equal(contact.updated, NOW);
    assert_false(ask(&store, &step, eve, step.lists[0], NOW + DAYS_MS(1)));
    end(&store, &step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(asked_then_confirmed),
        ON_BOTH(an_unconfirmed_one_gets_no_campaign),
        ON_BOTH(links_expire_and_mails_are_few),
        ON_BOTH(who_is_excluded_gets_no_mail_and_who_left_may_come_back),
        ON_BOTH(people_choose),
        ON_BOTH(whom_another_brand_knows_is_a_stranger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
