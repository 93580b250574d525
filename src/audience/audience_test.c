/* Contacts, lists, and whom a campaign goes to: bucket by bucket, each excluded one with why (S71). */
#include "audience/audience.h"
#include "store/testing.h"

static const time_ms NOW = 1795000000000;

struct people {
    uint64_t list_id;
    struct contact contacts[300];
    char text[300][40];
    bool is_new[300];
    uint64_t ids[300];
};
static bool import_people(struct db *db, struct fault *why, void *context)
{
    struct people *people = context;
    if (!list_create(db, why, 7, SLICE("お得意様"), NOW, &people->list_id, NULL) ||
        !contact_save(db, why, people->contacts, 300, NOW, people->is_new))
        return false;
    for (int i = 0; i < 300; i++)
        people->ids[i] = people->contacts[i].id;
    return list_add(db, why, people->list_id, people->ids, 300, NOW);
}
static void make_people(struct people *people)
{
    memset(people, 0, sizeof(*people));
    for (int i = 0; i < 300; i++) {
        snprintf(people->text[i], sizeof(people->text[i]), "p%03d@example%d.jp", i, i % 3);
        struct slice address = slice_str(people->text[i]);
        people->contacts[i] =
            (struct contact){.address = address, .written = address, .name = i % 2 ? SLICE("山田 太郎") : SLICE("")};
    }
}
static bool exclude(struct db *db, struct fault *why, void *context)
{
    struct people *people = context;
    for (int i = 0; i < 300; i += 10) {
        /* two rows for one person, one for another brand, one expired */
        struct suppression row = {.address = people->contacts[i].address,
                                  .why = SUPPRESS_ERROR,
                                  .reason = REASON_USER_UNKNOWN,
                                  .since = NOW - 10};
        row.brand_id = i % 30 == 0 ? 8 : 0;
        row.expires = i % 20 == 0 ? 0 : NOW - 1;
        if (!suppress_add(db, why, &row, NULL))
            return false;
        row.brand_id = 7, row.why = SUPPRESS_UNSUBSCRIBED, row.expires = 0;
        if (i % 100 == 0 && !suppress_add(db, why, &row, NULL))
            return false;
    }
    return true;
}

static void an_audience_is_walked_bucket_by_bucket(void **state)
{
    TEST_STORE(test, state);
    struct people *people = NEW(struct people);
    make_people(people);
    test_write(test.store, import_people, people);
    test_write(test.store, exclude, people);
    struct fault why = {0};
    int total = 0, excluded = 0, unsubscribed = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        uint64_t after = 0;
        size_t count = 2;
        while (count == 2) {
            struct arena arena = {0};
            struct audience_row *rows;
            if (!audience_next_batch(test.reader, &why, people->list_id, 7, bucket, after, 2, NOW, &arena, &rows,
                                     &count))
                fail_msg("%s", why.text);
            for (size_t i = 0; i < count; i++) {
                assert_true(rows[i].contact_id > after && id_bucket(rows[i].contact_id) == bucket);
                after = rows[i].contact_id;
                excluded += rows[i].is_suppressed;
                unsubscribed += rows[i].is_suppressed && rows[i].why == SUPPRESS_UNSUBSCRIBED;
                if (rows[i].is_suppressed && rows[i].why == SUPPRESS_ERROR)
                    assert_int_equal(rows[i].reason, REASON_USER_UNKNOWN);
            }
            total += (int)count;
            arena_release(&arena);
        }
    }
    /* i in 0, 10, ... 290: those with 20 | i count unless 30 | i is another brand's; 0, 100, 200 unsubscribed */
    int want = 0;
    for (int i = 0; i < 300; i += 10)
        want += (i % 20 == 0 && i % 30 != 0) || i % 100 == 0;
    assert_int_equal(total, 300);
    assert_int_equal(excluded, want);
    assert_int_equal(unsubscribed, 1); /* 100 and 200 are excluded from all brands as well, which is said first */
    free(people);
    test_store_end(&test);
}

static void saving_again_updates_and_forgets_nothing(void **state)
{
    TEST_STORE(test, state);
    struct people *people = NEW(struct people);
    make_people(people);
    people->contacts[1].fields = SLICE("{\"city\":\"津\"}");
    people->contacts[1].consent = SLICE("form 3");
    test_write(test.store, import_people, people);
    uint64_t id = people->ids[1];
    assert_true(people->is_new[1]);
    people->contacts[1].name = people->contacts[1].fields = people->contacts[1].consent = SLICE("");
    people->contacts[2] = people->contacts[0]; /* twice in one batch: the last one counts */
    people->contacts[2].name = SLICE("last");
    test_write(test.store, import_people, people);
    assert_false(people->is_new[1]);
    assert_int_equal(people->ids[1], id);
    assert_int_equal(people->ids[0], people->ids[2]);
    struct arena arena = {0};
    struct fault why = {0};
    struct contact contact;
    bool found;
    assert_true(contact_by_address(test.reader, &why, SLICE("p001@example1.jp"), &arena, &contact, &found));
    assert_true(found);
    assert_slice("name", contact.name, SLICE("山田 太郎"));
    assert_slice("fields", contact.fields, SLICE("{\"city\":\"津\"}"));
    assert_slice("consent", contact.consent, SLICE("form 3"));
    assert_true(contact_by_id(test.reader, &why, people->ids[0], &arena, &contact, &found));
    assert_slice("last", contact.name, SLICE("last"));
    assert_true(contact_by_address(test.reader, &why, SLICE("nobody@example1.jp"), &arena, &contact, &found));
    assert_false(found);
    struct list list;
    assert_true(list_find(test.reader, &why, SLICE("お得意様"), &arena, &list));
    assert_int_equal(list.members, 300);
    assert_false(list_find(test.reader, &why, SLICE("no such"), &arena, &list));
    assert_int_equal(why.kind, FAULT_INPUT);
    arena_release(&arena);
    free(people);
    test_store_end(&test);
}

static void contacts_are_searched_and_paged(void **state)
{
    TEST_STORE(test, state);
    struct people *people = NEW(struct people);
    make_people(people);
    test_write(test.store, import_people, people);
    struct fault why = {0};
    static const struct {
        const char *row, *text;
        size_t count;
    } table[] = {{"all", "", 300}, {"address", "P00", 10}, {"name", "太郎", 150}, {"%", "%", 0}, {"none", "zzz", 0}};
    for (int listed = 0; listed < 2; listed++)
        for (size_t i = 0; i < COUNT_OF(table); i++) {
            struct arena arena = {0};
            struct contact_page page = {.has_more = true};
            size_t total = 0;
            uint64_t before = 0;
            while (page.has_more) {
                if (!contact_search(test.reader, &why, listed ? people->list_id : 0, slice_str(table[i].text), before,
                                    40, &arena, &page))
                    fail_msg("%s", why.text);
                for (size_t k = 0; k < page.count; k++) {
                    assert_row(table[i].row, !before || page.contacts[k].id < before);
                    before = page.contacts[k].id;
                }
                total += page.count;
            }
            assert_int_row(table[i].row, total, table[i].count);
            arena_release(&arena);
        }
    free(people);
    test_store_end(&test);
}

/* X17: what a brand's own program says of an address is a row of its own. */
struct known {
    const char *row;
    uint64_t brand_id;   /* who asks */
    const char *address; /* whom for */
    const char *name;    /* NULL: nobody */
    uint64_t own_of;     /* the row's brand */
};

static bool known_run(struct db *db, struct fault *why, void *context)
{
    struct people *people = context;
    uint64_t lists[2];
    struct contact *all = people->contacts;
    for (int i = 0; i < 2; i++)
        if (!list_create(db, why, 7 + (uint64_t)i, SLICE("news"), NOW, &lists[i], NULL))
            return false;
    all[0] = (struct contact){.address = SLICE("both@example.jp"), .name = SLICE("the house's")};
    all[1] = (struct contact){.address = SLICE("listed@example.jp"), .name = SLICE("the house's, on a list of 8")};
    if (!contact_save(db, why, all, 2, NOW, NULL) || !list_add(db, why, lists[1], &all[1].id, 1, NOW))
        return false;
    for (uint64_t brand = 7; brand <= 8; brand++) {
        struct contact own[] = {
            {.address = SLICE("both@example.jp"), .name = brand == 7 ? SLICE("7's") : SLICE("8's")},
            {.address = SLICE("listed@example.jp"), .name = brand == 7 ? SLICE("7's") : SLICE("changed by 8")},
            {.address = SLICE("new@example.jp"), .name = brand == 7 ? SLICE("7's") : SLICE("")},
        };
        bool is_new[3];
        size_t count = brand == 7 ? 3 : 2;
        if (!contact_belong(db, why, brand, own, count) || !contact_save(db, why, own, count, NOW, is_new))
            return false;
        assert_true(is_new[0] && is_new[1] == (brand == 7) && (count < 3 || is_new[2]));
    }
    return true;
}

static void a_brands_own_contact_is_apart(void **state)
{
    static const struct known table[] = {
        {"the house's is as it was", 0, "both@example.jp", "the house's", 0},
        {"7 knows its own", 7, "both@example.jp", "7's", 7},
        {"8 likewise", 8, "both@example.jp", "8's", 8},
        {"9 knows nobody", 9, "both@example.jp", NULL, 0},
        {"whom the house put on its list it knows as the house does", 8, "listed@example.jp", "changed by 8", 0},
        {"and that is the one row", 0, "listed@example.jp", "changed by 8", 0},
        {"7 never saw that", 7, "listed@example.jp", "7's", 7},
        {"the house does not get what a brand has", 0, "new@example.jp", NULL, 0},
        {"nor another brand", 8, "new@example.jp", NULL, 0},
    };
    TEST_STORE(test, state);
    struct people *people = NEW(struct people);
    struct arena arena = {0};
    struct fault why = {0};
    test_write(test.store, known_run, people);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct contact contact = {0};
        struct slice address = slice_str(table[i].address);
        bool found, ok = table[i].brand_id
                             ? contact_of_brand(test.reader, &why, table[i].brand_id, address, &arena, &contact, &found)
                             : contact_by_address(test.reader, &why, address, &arena, &contact, &found);
        assert_row(table[i].row, ok && found == (table[i].name != NULL));
        if (found) {
            assert_slice(table[i].row, contact.name, slice_str(table[i].name));
            assert_int_row(table[i].row, contact.brand_id, table[i].own_of);
        }
    }
    struct contact *all;
    size_t count;
    assert_true(contact_everywhere(test.reader, &why, SLICE("both@example.jp"), &arena, &all, &count));
    assert_int_equal(count, 3);
    assert_int_equal(all[0].brand_id, 0);
    arena_release(&arena);
    free(people);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(an_audience_is_walked_bucket_by_bucket),
        ON_BOTH(saving_again_updates_and_forgets_nothing),
        ON_BOTH(contacts_are_searched_and_paged),
        ON_BOTH(a_brands_own_contact_is_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
