/* U19: import that explains itself: columns by name, rejects with line and reason, faults before anything is written,
 * resumed. */
#include "audience/audience.h"
#include "audience/import.h"
#include "store/testing.h"

#include <fcntl.h>

static const time_ms NOW = 1795000000000;

static void file_write(char path[128], const struct test_store *test, struct slice bytes)
{
    (void)test;
    snprintf(path, 128, "/tmp/todoke-import-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes.ptr, bytes.len), bytes.len);
    close(file);
}
static void file_read(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char chunk[4096];
    size_t got;
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_append(out, slice_of(chunk, got));
    fclose(file);
}
static void files_remove(const char *path)
{
    char rejected[160];
    snprintf(rejected, sizeof(rejected), "%s.rejected.csv", path);
    unlink(path);
    unlink(rejected);
}

static void people_and_rejects(void **state)
{
    static const char text[] = "氏名,メールアドレス,都市\r\n"
                               "山田 太郎,Taro@Example.JP,津\r\n"
                               "no address,,x\r\n"
                               "bad,a b@example.jp,x\r\n"
                               "花子,ｈａｎａｋｏ＠ｅｘａｍｐｌｅ．ｊｐ,\r\n"
                               "too,many@example.jp,a,b\r\n"
                               "太郎 again,taro@example.jp,\r\n"
                               "\"line\r\nbreak\",\"次郎 <jiro@example.jp>\",\"=cmd\"\r\n"
                               "short,short@example.jp\r\n";
    TEST_STORE(test, state);
    char path[128];
    file_write(path, &test, slice_str(text));
    struct arena arena = {0};
    struct fault why = {0};
    struct import_result result;
    struct import_options options = {
        .path = path, .list_name = SLICE("会員"), .brand_id = 7, .consent = SLICE("web form"), .now = NOW};
    options.checks_only = true;
    if (!import_file(NULL, &options, &arena, &result, &why))
        fail_msg("%s", why.text);
    assert_int_equal(result.progress.rejected, 3);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM contact"), 0);
    options.checks_only = false;
    if (!import_file(test.store, &options, &arena, &result, &why))
        fail_msg("%s", why.text);
    assert_int_equal(result.progress.rows, 8);
    assert_int_equal(result.progress.total, 8);
    assert_int_equal(result.progress.rejected, 3);
    assert_int_equal(result.progress.fresh, 4);
    assert_int_equal(result.progress.updated, 1);
    assert_int_equal(result.rejects[0].line, 3);
    assert_int_equal(result.rejects[2].line, 6);
    assert_slice("reason", result.rejects[0].reason, SLICE("no address"));
    assert_slice("encoding", result.encoding, SLICE("utf-8"));
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM list_member"), 4);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM import_run WHERE state = 'done' AND rows_done = 8 "
                                              "AND rows_taken = 5 AND rows_rejected = 3"),
                     1);
    struct contact contact;
    bool found;
    assert_true(contact_by_address(test.reader, &why, SLICE("taro@example.jp"), &arena, &contact, &found));
    assert_true(found);
    assert_slice("name", contact.name, SLICE("太郎 again"));
    assert_slice("fields", contact.fields, SLICE("{\"都市\":\"津\"}"));
    assert_slice("consent", contact.consent, SLICE("web form"));
    assert_true(contact_by_address(test.reader, &why, SLICE("hanako@example.jp"), &arena, &contact, &found));
    assert_true(found);
    assert_true(contact_by_address(test.reader, &why, SLICE("jiro@example.jp"), &arena, &contact, &found));
    assert_true(found);
    assert_slice("a name is one line (X3)", contact.name, SLICE("line  break"));
    SCOPED(buf) rejects = BUF(10000);
    file_read(result.reject_path.ptr, &rejects);
    assert_true(
        slice_starts(buf_slice(&rejects),
                     SLICE("\xef\xbb\xbfline,reason,氏名,メールアドレス,都市\r\n3,no address,no address,,x\r\n4,")));
    files_remove(path);
    arena_release(&arena);
    test_store_end(&test);
}

/* U27, D17: addresses that break the RFC but exist are taken, flagged, written in quotes; what never existed is a slip
 */
static void odd_addresses_that_exist(void **state)
{
    TEST_STORE(test, state);
    char path[128];
    file_write(path, &test,
               SLICE("email\r\na..b@docomo.ne.jp\r\nA.@ezweb.ne.jp\r\na..b@softbank.ne.jp\r\ntaro.@gmail.com\r\n"));
    struct arena arena = {0};
    struct fault why = {0};
    struct import_result result;
    const struct import_options options = {
        .path = path, .list_name = SLICE("会員"), .brand_id = 7, .consent = SLICE("web form"), .now = NOW};
    if (!import_file(test.store, &options, &arena, &result, &why))
        fail_msg("%s", why.text);
    assert_int_equal(result.progress.fresh, 2);
    assert_int_equal(result.progress.rejected, 2);
    assert_int_equal(result.rejects[0].line, 4);
    assert_slice("why", result.rejects[1].reason,
                 SLICE("a dot stands first, last or twice before the @: only docomo and au gave out such"));
    static const struct {
        const char *address, *written;
    } rows[] = {{"a..b@docomo.ne.jp", "\"a..b\"@docomo.ne.jp"}, {"a.@ezweb.ne.jp", "\"A.\"@ezweb.ne.jp"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct contact contact;
        bool found;
        assert_true(contact_by_address(test.reader, &why, slice_str(rows[i].address), &arena, &contact, &found));
        assert_row(rows[i].address, found && contact.has_rfc_violation);
        assert_slice(rows[i].address, contact.written, slice_str(rows[i].written));
    }
    files_remove(path);
    arena_release(&arena);
    test_store_end(&test);
}

/* Each one clear line with place and cure, nothing half done. */
static void what_is_wrong_with_the_file_stops_before_the_first_write(void **state)
{
    static const struct {
        const char *row;
        struct slice bytes;
        const char *encoding, *email_column, *part;
    } table[] = {
        {"no address column", SLICE_INIT("氏名,電話\r\n山田,03\r\n"), "", "", "line 1: no column for the address"},
        {"the columns are named", SLICE_INIT("氏名,電話\r\n山田,03\r\n"), "", "", "the columns are: 氏名, 電話"},
        {"no header", SLICE_INIT("taro@example.jp,太郎\r\n"), "", "", "no column names stand above it"},
        {"a broken row", SLICE_INIT("email,name\na@b.jp,A\n\"c@d.jp,C\ne@f.jp,E\n"), "", "",
         "line 3: a quote opens here"},
        {"told UTF-8, but CP932", SLICE_INIT("email,name\na@b.jp,\x8e\x52\x93\x63\n"), "utf-8", "",
         "line 2: this is not utf-8; it looks like cp932"},
        {"nobody", SLICE_INIT("email,name\n"), "", "", "nobody below it"},
        {"empty", SLICE_INIT(""), "", "", "the file is empty"},
        {"no such column", SLICE_INIT("email,name\na@b.jp,A\n"), "", "Adresse", "there is no column \"Adresse\""},
        {"workbook", SLICE_INIT("PK\x03\x04xxxx"), "", "", "Excel workbook"},
    };
    TEST_STORE(test, state);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char path[128];
        struct arena arena = {0};
        struct fault why = {0};
        struct import_result result;
        file_write(path, &test, table[i].bytes);
        struct import_options options = {.path = path,
                                         .encoding = slice_str(table[i].encoding),
                                         .email_column = slice_str(table[i].email_column),
                                         .list_name = SLICE("L"),
                                         .now = NOW};
        assert_row(table[i].row, !import_file(test.store, &options, &arena, &result, &why));
        assert_int_row(table[i].row, why.kind, FAULT_INPUT);
        if (!strstr(why.text, table[i].part) || strncmp(why.text, path, strlen(path)) != 0)
            fail_msg("%s: %s", table[i].row, why.text);
        assert_int_row(table[i].row, test_number(test.reader, "SELECT COUNT(*) FROM contact"), 0);
        assert_int_row(table[i].row, test_number(test.reader, "SELECT COUNT(*) FROM list"), 0);
        files_remove(path);
        arena_release(&arena);
    }
    test_store_end(&test);
}

static bool wind_back(struct db *db, struct fault *why, void *context)
{
    /* as if the program had died after its first batch */
    return db_do(db, why,
                 "UPDATE import_run SET state = 'running', rows_done = 2000, rows_taken = 2000, rows_rejected = 0",
                 NO_VALUES, NULL) &&
           db_do(db, why, "DELETE FROM list_member", NO_VALUES, NULL) &&
           db_do(db, why, "DELETE FROM contact", NO_VALUES, NULL);
}
static void an_interrupted_run_goes_on(void **state)
{
    TEST_STORE(test, state);
    SCOPED(buf) text = BUF(1 << 20);
    buf_text(&text, "email,name\n");
    for (int i = 0; i < 5000; i++)
        buf_printf(&text, "p%d@example.jp,P\n", i);
    char path[128];
    file_write(path, &test, buf_slice(&text));
    struct arena arena = {0};
    struct fault why = {0};
    struct import_result result;
    struct import_options options = {.path = path, .list_name = SLICE("L"), .now = NOW};
    assert_true(import_file(test.store, &options, &arena, &result, &why));
    assert_int_equal(result.progress.fresh, 5000);
    uint64_t run = result.run_id;
    test_write(test.store, wind_back, NULL);
    assert_true(import_file(test.store, &options, &arena, &result, &why));
    assert_int_equal(result.resumed_at, 2000);
    assert_int_equal(result.run_id, run);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM contact"), 3000);
    assert_int_equal(result.progress.rows, 5000);
    assert_true(import_file(test.store, &options, &arena, &result, &why)); /* a finished one begins anew */
    assert_int_equal(result.resumed_at, 0);
    assert_int_equal(result.progress.fresh, 2000);
    assert_int_equal(result.progress.updated, 3000);
    files_remove(path);
    arena_release(&arena);
    test_store_end(&test);
}

struct steps {
    struct test_store *test;
    uint64_t last, longest;
    unsigned count;
};
static void step_seen(void *context, const struct import_progress *progress)
{
    struct steps *steps = context;
    uint64_t step = progress->fresh + progress->updated - steps->last;
    steps->longest = step > steps->longest ? step : steps->longest;
    steps->last += step;
    steps->count++;
}

/* Beside a server, where one writes at a time, small batches; alone large ones. */
static void beside_a_server_in_small_pieces(void **state)
{
    TEST_STORE(test, state);
    char path[128];
    struct arena arena = {0};
    struct fault why = {0};
    SCOPED(buf) text = BUF(1000000);
    buf_text(&text, "email\n");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "p%d@example.jp\n", i);
    file_write(path, &test, buf_slice(&text));
    for (int is_beside = 0; is_beside < 2; is_beside++) {
        struct store_options serve = {.role = STORE_SERVE, .node = 1};
        struct store *server = is_beside ? store_open(test.url, &serve, &why) : NULL;
        assert_int_equal(store_is_beside_server(test.store), is_beside);
        if (server)
            assert_false(store_is_beside_server(server));
        struct steps steps = {.test = &test};
        struct import_result result;
        struct import_options options = {.path = path,
                                         .list_name = is_beside ? SLICE("beside") : SLICE("alone"),
                                         .now = NOW,
                                         .progress = step_seen,
                                         .context = &steps};
        if (!import_file(test.store, &options, &arena, &result, &why))
            fail_msg("%s", why.text);
        assert_int_equal(steps.last, 20000);
        if (is_beside)
            assert_true(steps.longest <= IMPORT_BATCH_BESIDE && steps.count >= 10);
        else
            assert_int_equal(steps.longest, IMPORT_BATCH);
        store_close(server);
    }
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM list_member"), 40000);
    files_remove(path);
    arena_release(&arena);
    test_store_end(&test);
}

static void columns_are_found_by_name(void **state)
{
    static const struct {
        const char *row, *headers;
        struct import_columns want;
    } table[] = {
        {"Japanese", "会員番号,氏名,メールアドレス", {2, 1, -1, -1, -1}},
        {"English", "Email Address,First Name,Last Name", {0, -1, 2, 1, -1}},
        {"family and given", "姓,名,E-mail,同意", {2, -1, 0, 1, 3}},
        {"full-width, brackets, star", "Ｅ－ｍａｉｌ（必須）,お名前 *", {0, 1, -1, -1, -1}},
        {"the better name wins", "アドレス,メール,メールアドレス", {2, -1, -1, -1, -1}},
        {"a postal address is no mail address when there is one", "address,mail", {1, -1, -1, -1, -1}},
        {"none", "a,b", {-1, -1, -1, -1, -1}},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct slice rest = slice_str(table[i].headers), headers[8];
        size_t count = 0;
        while (slice_split(&rest, ',', &headers[count]))
            count++;
        struct import_columns got;
        assert_int_row(table[i].row, import_columns_find(headers, count, &got), table[i].want.email >= 0);
        assert_row(table[i].row, memcmp(&got, &table[i].want, sizeof(got)) == 0);
    }
}

/* X17: a file that a brand's own program sends changes nobody whom the house or another brand knows. */
static void a_brands_own_file(void **state)
{
    static const char house[] =
        "email,name,secret\nknown@example.jp,The house,of the house\nlisted@example.jp,Listed,s\n";
    static const char own[] = "email,name\nknown@example.jp,Mine\nnew@example.jp,New\n";
    TEST_STORE(test, state);
    char path[128];
    struct arena arena = {0};
    struct fault why = {0};
    struct import_result result;
    struct import_options options = {.path = path, .list_name = SLICE("house"), .brand_id = 7, .now = NOW};
    file_write(path, &test, slice_str(house));
    assert_true(import_file(test.store, &options, &arena, &result, &why));
    files_remove(path);
    options = (struct import_options){.path = path,
                                      .list_name = SLICE("own"),
                                      .brand_id = 8,
                                      .is_brands_own = true,
                                      .consent = SLICE("shop"),
                                      .now = NOW + 1};
    file_write(path, &test, slice_str(own));
    assert_true(import_file(test.store, &options, &arena, &result, &why));
    assert_int_equal(result.progress.fresh, 2); /* known elsewhere or not */
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM contact WHERE brand_id = 0 AND name IN ('The "
                                              "house', 'Listed') AND updated_ms = 1795000000000"),
                     2);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM contact c JOIN list_member m ON m.bucket = "
                                              "c.bucket AND m.contact_id = c.id JOIN list l ON l.id = m.list_id WHERE "
                                              "c.brand_id = 8 AND l.brand_id = 8 AND c.fields = '{}' AND c.consent = "
                                              "'shop'"),
                     2);
    files_remove(path);
    file_write(path, &test, SLICE("email,name\nknown@example.jp,Mine again\nlater@example.jp,L\n"));
    assert_true(import_file(test.store, &options, &arena, &result, &why));
    assert_int_equal(result.progress.fresh, 1);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM contact WHERE name = 'Mine again'"), 1);
    files_remove(path);
    arena_release(&arena);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(people_and_rejects),
        ON_BOTH(odd_addresses_that_exist),
        ON_BOTH(what_is_wrong_with_the_file_stops_before_the_first_write),
        ON_BOTH(an_interrupted_run_goes_on),
        ON_BOTH(a_brands_own_file),
        {"beside_a_server_in_small_pieces (sqlite)", beside_a_server_in_small_pieces, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        cmocka_unit_test(columns_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
