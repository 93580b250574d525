/* Access keys: shown once, kept as SHA-256 (X15), refused when wrong, expired or taken away; on both stores. */
#include "access/key.h"
#include "store/testing.h"

static const time_ms NOW = 1795000000000;

struct made {
    struct slice name;
    time_ms expires;
    struct buf secret;
    const struct key_rights *rights;
    uint64_t id;
};
static bool make(struct db *db, struct fault *why, void *context)
{
    struct made *made = context;
    return key_create(db, why, made->name, NOW, made->expires, made->rights, &made->secret, &made->id);
}
static bool take_away(struct db *db, struct fault *why, void *context)
{
    bool was_there;
    return key_remove(db, why, *(struct slice *)context, NOW, &was_there) && was_there;
}
static bool halt(struct db *db, struct fault *why, void *context)
{
    bool was_there;
    return key_pause(db, why, *(const uint64_t *)context, NOW, &was_there) && was_there;
}
static bool release(struct db *db, struct fault *why, void *context)
{
    bool was_there;
    return key_release(db, why, *(const uint64_t *)context, &was_there) && was_there;
}
static bool is_good(struct test_store *test, struct slice secret, time_ms now)
{
    struct fault why = {0};
    bool good = false;
    SCOPED(arena) arena = {0};
    struct key key;
    if (!key_find(test->reader, &why, secret, now, &arena, &key, &good))
        fail_msg("%s", why.text);
    return good;
}

static void a_secret_opens_until_it_expires_or_is_taken_away(void **state)
{
    TEST_STORE(test, state);
    struct made forever = {.name = SLICE("shop"), .secret = BUF(128)};
    struct made short_lived = {.name = SLICE("お試し"), .expires = NOW + 1000, .secret = BUF(128)};
    test_write(test.store, make, &forever);
    test_write(test.store, make, &short_lived);
    assert_int_equal(forever.secret.len, 50);
    struct slice secret = buf_slice(&forever.secret);
    static const struct {
        const char *row;
        size_t from, len;
        bool want;
    } table[] = {
        {"the whole secret", 0, 50, true},
        {"nothing", 0, 0, false},
        {"one character less", 0, 49, false},
        {"without its prefix", 7, 43, false},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_row(table[i].row,
                   is_good(&test, slice_of(secret.ptr + table[i].from, table[i].len), NOW) == table[i].want);
    char wrong[50];
    for (size_t i = 0; i < sizeof(wrong); i++) { /* one bit of any character */
        memcpy(wrong, secret.ptr, sizeof(wrong));
        wrong[i] ^= 1;
        assert_false(is_good(&test, slice_of(wrong, sizeof(wrong)), NOW));
    }
    assert_false(is_good(&test, SLICE("' OR 1=1 --"), NOW));
    char long_text[KEY_SECRET_MAX + 1];
    memset(long_text, 'a', sizeof(long_text));
    assert_false(is_good(&test, slice_of(long_text, sizeof(long_text)), NOW));
    assert_true(is_good(&test, buf_slice(&short_lived.secret), NOW + 999));
    test_write(test.store, halt, &forever.id); /* S13: paused, and released */
    assert_false(is_good(&test, secret, NOW));
    test_write(test.store, release, &forever.id);
    assert_true(is_good(&test, secret, NOW));
    assert_false(is_good(&test, buf_slice(&short_lived.secret), NOW + 1000));
    struct slice name = SLICE("shop");
    test_write(test.store, take_away, &name);
    assert_false(is_good(&test, secret, NOW));
    buf_release(&forever.secret);
    buf_release(&short_lived.secret);
    test_store_end(&test);
}

static void the_store_never_sees_the_secret(void **state)
{
    TEST_STORE(test, state);
    struct made made = {.name = SLICE("shop"), .secret = BUF(128)};
    test_write(test.store, make, &made);
    struct fault why = {0};
    SCOPED(arena) arena = {0};
    struct key *keys;
    size_t count;
    assert_true(key_list(test.reader, &why, &arena, &keys, &count));
    assert_int_equal(count, 1);
    assert_slice("name", keys[0].name, SLICE("shop"));
    SCOPED(rows) rows = {0};
    assert_true(db_query(test.reader, &why, &rows, "SELECT secret_sha256 FROM access_key", NO_VALUES));
    assert_true(rows_next(&rows));
    assert_int_equal(rows_bytes(&rows, 0).len, 32);
    assert_true(slice_find(rows_bytes(&rows, 0), slice_from(buf_slice(&made.secret), 7)) == SLICE_NPOS);
    assert_true(!rows_next(&rows) && rows_end(&rows));
    buf_release(&made.secret);
    test_store_end(&test);
}

static void a_name_is_text(void **state)
{
    TEST_STORE(test, state);
    static const struct slice wrong[] = {SLICE_INIT(""), SLICE_INIT("a\nb"), SLICE_INIT("\xff"), SLICE_INIT("a\0b")};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct made made = {.name = wrong[i], .secret = BUF(128)};
        struct fault why = {0};
        assert_false(test_write_try(test.store, make, &made, &why));
        assert_int_equal(why.kind, FAULT_INPUT);
        buf_release(&made.secret);
    }
    test_store_end(&test);
}

static void scopes_are_words(void **state)
{
    static const struct {
        const char *text, *want; /* want NULL: refused */
    } table[] = {
        {"all", "all"},
        {"all:read", "all:read"},
        {"messages", "messages"},
        {"contacts:read, messages", "messages,contacts:read"},
        {"contacts:read,contacts", "contacts"},
        {"message", NULL},
        {"", NULL},
        {"contacts:write", NULL},
        {"all,", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        unsigned scopes;
        struct fault why = {0};
        SCOPED(buf) out = BUF(KEY_SCOPES_TEXT_MAX);
        bool ok = key_scopes_parse(slice_str(table[i].text), &scopes, &why);
        assert_row(table[i].text, ok == (table[i].want != NULL));
        if (!ok)
            continue;
        key_scopes_print(scopes, &out);
        assert_slice(table[i].text, buf_slice(&out), slice_str(table[i].want));
    }
}

/* X17: a key never gives what it has not */
static void a_key_gives_no_more_than_it_has(void **state)
{
    const struct key_rights all = KEY_RIGHTS_ALL, contacts = {.scopes = KEY_CONTACTS_READ | KEY_CONTACTS_WRITE},
                            reading = {.scopes = KEY_CONTACTS_READ},
                            bound = {.scopes = KEY_CONTACTS_READ, .brand_count = 1, .brands = {7}},
                            other = {.scopes = KEY_CONTACTS_READ, .brand_count = 2, .brands = {7, 8}};
    assert_true(key_rights_within(&contacts, &all) && key_rights_within(&reading, &contacts));
    assert_false(key_rights_within(&contacts, &reading) || key_rights_within(&all, &contacts));
    assert_true(key_rights_within(&bound, &reading) && key_rights_within(&bound, &other));
    assert_false(key_rights_within(&other, &bound) || key_rights_within(&reading, &bound));
    const struct key_rights slow = {.scopes = KEY_ALL, .rate = 60}, slower = {.scopes = KEY_ALL, .rate = 59};
    assert_true(key_rights_within(&slow, &all) && key_rights_within(&slower, &slow) && key_rights_within(&slow, &slow));
    assert_false(key_rights_within(&all, &slow) || key_rights_within(&slow, &slower)); /* 0 is no limit */
    assert_true(key_may_brand(&all, 0) && key_may_brand(&bound, 7));
    assert_false(key_may_brand(&bound, 0) || key_may_brand(&bound, 8));
}

static void rights_are_kept(void **state)
{
    TEST_STORE(test, state);
    const struct key_rights nothing = {0}, nowhere = {.scopes = KEY_ALL, .brand_count = 1, .brands = {99}},
                            some = {.scopes = KEY_EVENTS_READ, .rate = 60};
    struct made made = {.name = SLICE("shop"), .secret = BUF(128), .rights = &nothing};
    struct fault why = {0};
    assert_false(test_write_try(test.store, make, &made, &why));
    made.rights = &nowhere;
    assert_false(test_write_try(test.store, make, &made, &why));
    made.rights = &some;
    test_write(test.store, make, &made);
    SCOPED(arena) arena = {0};
    struct key key;
    bool found;
    assert_true(key_find(test.reader, &why, buf_slice(&made.secret), NOW, &arena, &key, &found) && found);
    assert_int_equal(key.id, made.id);
    assert_int_equal(key.rights.scopes, KEY_EVENTS_READ);
    assert_int_equal(key.rights.rate, 60);
    assert_true(key_may(&key.rights, KEY_EVENTS_READ) && !key_may(&key.rights, KEY_EVENTS_WRITE));
    buf_release(&made.secret);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_secret_opens_until_it_expires_or_is_taken_away),
        ON_BOTH(the_store_never_sees_the_secret),
        ON_BOTH(a_name_is_text),
        ON_BOTH(rights_are_kept),
        cmocka_unit_test(scopes_are_words),
        cmocka_unit_test(a_key_gives_no_more_than_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
