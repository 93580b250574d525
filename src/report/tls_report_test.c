/* R32, M45: where a domain wants its TLS reports, what the mail is, and what is due when. */
#include "report/tls_report.h"

#include "base/test.h"
#include "store/testing.h"
#include <zlib.h>

static void where_reports_go(void **state)
{
    static const struct {
        const char *thought, *records[3], *first, *second;
        size_t count; /* of URIs */
        bool is_one;
    } rows[] = {
        {"a mail address", {"v=TLSRPTv1; rua=mailto:reports@example.com"}, "reports@example.com", NULL, 1, true},
        {"without spaces", {"v=TLSRPTv1;rua=mailto:reports@example.com;"}, "reports@example.com", NULL, 1, true},
        {"a web server",
         {"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"},
         "reporting.example.com/v1/tlsrpt",
         NULL,
         1,
         true},
        {"both",
         {"v=TLSRPTv1; rua=mailto:a@example.com,https://b.example.com"},
         "a@example.com",
         "b.example.com/",
         2,
         true},
        {"among other texts", {"hello", "v=TLSRPTv1; rua=mailto:a@example.com"}, "a@example.com", NULL, 1, true},
        {"escaped", {"v=TLSRPTv1; rua=mailto:a%2Cb@example.com"}, NULL, NULL, 0, true}, /* needs quotes: no address */
        {"an escape", {"v=TLSRPTv1; rua=mailto:a%2Bb@example.com?subject=x"}, "a+b@example.com", NULL, 1, true},
        {"a broken escape", {"v=TLSRPTv1; rua=mailto:a%2@example.com"}, NULL, NULL, 0, true},
        {"two records are none (3)",
         {"v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:b@example.com"},
         NULL,
         NULL,
         0,
         false},
        {"another version", {"v=TLSRPTv2; rua=mailto:a@example.com"}, NULL, NULL, 0, false},
        {"a word that goes on", {"v=TLSRPTv1x; rua=mailto:a@example.com"}, NULL, NULL, 0, false},
        {"no rua", {"v=TLSRPTv1; ruf=mailto:a@example.com"}, NULL, NULL, 0, false},
        {"an extension behind", {"v=TLSRPTv1; rua=mailto:a@example.com; x=y"}, "a@example.com", NULL, 1, true},
        {"clear text http", {"v=TLSRPTv1; rua=http://example.com/"}, NULL, NULL, 0, true},
        {"another port", {"v=TLSRPTv1; rua=https://example.com:8443/"}, NULL, NULL, 0, true},
        {"the usual port", {"v=TLSRPTv1; rua=https://example.com:443/x"}, "example.com/x", NULL, 1, true},
        {"a user", {"v=TLSRPTv1; rua=https://me@example.com/x"}, NULL, NULL, 0, true},
        {"an address of this machine", {"v=TLSRPTv1; rua=https://[127.0.0.1]/x"}, NULL, NULL, 0, true},
        {"a line break in a path", {"v=TLSRPTv1; rua=https://example.com/a\r\nHost: x"}, NULL, NULL, 0, true},
        {"a line break in an address", {"v=TLSRPTv1; rua=mailto:a%0D%0ABcc:b@example.com"}, NULL, NULL, 0, true},
        {"empty ones between", {"v=TLSRPTv1; rua=,mailto:a@example.com,,"}, "a@example.com", NULL, 1, true},
        {"five: four are looked at",
         {"v=TLSRPTv1; "
          "rua=mailto:a@x.example,mailto:b@x.example,mailto:c@x.example,mailto:d@x.example,mailto:e@x.example"},
         "a@x.example",
         "b@x.example",
         4,
         true},
        {"nothing", {""}, NULL, NULL, 0, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct slice records[3];
        struct tls_report_uri uris[TLS_REPORT_URIS_MOST];
        size_t record_count = 0, count;
        for (; record_count < 3 && rows[i].records[record_count]; record_count++)
            records[record_count] = slice_str(rows[i].records[record_count]);
        assert_int_row(rows[i].thought, tls_report_uris(records, record_count, &arena, uris, &count), rows[i].is_one);
        assert_int_row(rows[i].thought, count, rows[i].count);
        const char *wanted[] = {rows[i].first, rows[i].second};
        for (size_t u = 0; u < 2 && wanted[u]; u++) {
            struct slice told = uris[u].address.len ? uris[u].address
                                                    : arena_printf(&arena, "%.*s%.*s", SLICE_ARG(uris[u].host),
                                                                   SLICE_ARG(uris[u].path));
            assert_slice(rows[i].thought, told, slice_str(wanted[u]));
        }
        arena_release(&arena);
    }
}

static void what_is_packed_is_what_is_unpacked(void **state)
{
    SCOPED(buf) json = BUF(1 << 20);
    SCOPED(buf) packed = BUF(1 << 20);
    static unsigned char out[1 << 20];
    for (int i = 0; i < 5000; i++)
        buf_printf(&json, "{\"n\": %d, \"x\": \"%x\"},", i, i * 2654435761u);
    tls_report_pack(buf_slice(&json), &packed);
    z_stream z = {
        .next_in = (Bytef *)packed.ptr, .avail_in = (uInt)packed.len, .next_out = out, .avail_out = sizeof(out)};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    assert_slice("unpacked", slice_of(out, z.total_out), buf_slice(&json));
}

static void the_mail(void **state)
{
    SCOPED(buf) out = BUF(65536);
    struct fault why;
    struct tls_report_letter letter = {.from = SLICE("tls@shop.example"),
                                       .to = SLICE("reports@example.com"),
                                       .domain = SLICE("example.com"),
                                       .day = SLICE("2026-11-22"),
                                       .report_id = SLICE("2026-11-22T00:00:00Z_example.com"),
                                       .packed = SLICE("packed")};
    assert_true(tls_report_mail(&letter, &out, &why));
    static const char *const wanted[] = {("Subject: Report Domain: example.com\r\n Submitter: shop.example\r\n "
                                          "Report-ID: <2026-11-22T00:00:00Z_example.com>\r\n"),
                                         "TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: shop.example\r\n",
                                         "report-type=\"tlsrpt\"",
                                         "TLS-Required: No\r\n",
                                         "Content-Type: application/tlsrpt+gzip\r\n",
                                         "filename=\"shop.example!example.com!1795305600!1795391999.json.gz\"",
                                         "cGFja2Vk\r\n"};
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        assert_int_row(wanted[i], slice_find(buf_slice(&out), slice_str(wanted[i])) != SLICE_NPOS, true);
    letter.day = SLICE("yesterday");
    assert_false(tls_report_mail(&letter, &out, &why));
}

/* ── due ── */

enum { DAY = 20779 /* 2026-11-22 */ };
static const time_ms MIDNIGHT = DAYS_MS((time_ms)DAY);

static bool count_run(struct db *db, struct fault *why, void *context)
{
    return db_do(
        db, why,
        "INSERT INTO tls_count (day, domain, policy, result, mx, sending_ip, receiving_ip, detail, policy_text, n) "
        "VALUES ($1, 'example.com', 'no-policy-found', 'success', '', '', '', '', '', 3)",
        VALUES(V_STR(context)), NULL);
}

struct set {
    struct tls_report_row row;
    const struct tls_report_uri *uris;
    size_t count;
    time_ms now;
};
static bool set_run(struct db *db, struct fault *why, void *context)
{
    struct set *set = context;
    return set->row.state.len ? tls_report_set(db, why, &set->row, set->now)
                              : tls_report_found(db, why, &set->row, set->uris, set->count, set->now);
}

static size_t due(struct test_store *store, time_ms now, struct arena *arena, struct tls_report_row **rows)
{
    struct fault why;
    size_t count;
    arena_reset(arena);
    assert_true(tls_report_due(store->reader, &why, now, 1.0, 10, arena, rows, &count));
    return count;
}

static void each_day_once_at_its_hour_and_again_when_it_fails(void **state)
{
    TEST_STORE(test, state);
    struct test_store *store = &test;
    struct arena arena = {0};
    struct tls_report_row *rows;
    test_write(store->store, count_run, (void *)(uintptr_t) "2026-11-22");
    test_write(store->store, count_run, (void *)(uintptr_t) "2026-11-01");   /* too old */
    assert_int_equal(due(store, MIDNIGHT + HOURS_MS(23), &arena, &rows), 0); /* the day goes on */
    assert_int_equal(due(store, MIDNIGHT + DAYS_MS(1) + 1000, &arena, &rows), 0);
    time_ms now = MIDNIGHT + DAYS_MS(1) + HOURS_MS(5);
    assert_int_equal(due(store, now, &arena, &rows), 1);
    assert_slice("day", rows[0].day, SLICE("2026-11-22"));
    assert_slice("DNS is to be asked", rows[0].rua, SLICE(""));

    const struct tls_report_uri uris[] = {{.text = SLICE("mailto:a@example.com")},
                                          {.text = SLICE("https://example.com/")}};
    struct set found = {
        .row = {.day = SLICE("2026-11-22"), .domain = SLICE("example.com")}, .uris = uris, .count = 2, .now = now};
    test_write(store->store, set_run, &found);
    assert_int_equal(due(store, now, &arena, &rows), 2); /* each by itself */
    struct set sent = {.row = {.day = SLICE("2026-11-22"),
                               .domain = SLICE("example.com"),
                               .rua = uris[0].text,
                               .state = SLICE("sent")},
                       .now = now};
    test_write(store->store, set_run, &sent);
    struct set failed = {.row = {.day = SLICE("2026-11-22"),
                                 .domain = SLICE("example.com"),
                                 .rua = uris[1].text,
                                 .state = SLICE("waiting"),
                                 .why = SLICE("HTTP status 500")},
                         .now = now};
    test_write(store->store, set_run, &failed);
    assert_int_equal(due(store, now + 1000, &arena, &rows), 0);
    assert_int_equal(due(store, now + HOURS_MS(1), &arena, &rows), 1);
    assert_slice("again", rows[0].rua, SLICE("https://example.com/"));
    failed.row.attempts = TLS_REPORT_TRIES_MOST - 1;
    test_write(store->store, set_run, &failed);
    assert_int_equal(due(store, now + HOURS_MS(5), &arena, &rows), 0); /* given up */
    arena_release(&arena);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_reports_go),
        cmocka_unit_test(what_is_packed_is_what_is_unpacked),
        cmocka_unit_test(the_mail),
        ON_BOTH(each_day_once_at_its_hour_and_again_when_it_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
