#include "base/test.h"
#include "base/time.h"

static void written_and_read_back(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
        time_ms at;
    } rows[] = {
        {"1970-01-01T00:00:00.000Z", true, 0},
        {"2026-11-22T04:30:00.123Z", true, 1795321800123},
        {"2026-11-22T13:30:00.123+09:00", true, 1795321800123},
        {"1969-12-31T23:59:59.999Z", true, -1},
        {"2024-02-29T00:00:00.000Z", true, 1709164800000},
        {"2026-13-01T00:00:00Z", false, 0},
        {"2026-11-22T13:30:00", false, 0},
        {"2026-11-22T13:30:00.Z", false, 0},
        {"2026-11-22", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        time_ms at = 0;
        assert_int_row(rows[i].text, time_parse_rfc3339(slice_str(rows[i].text), &at), rows[i].is_good);
        assert_int_row(rows[i].text, at, rows[i].at);
        if (!rows[i].is_good || !strchr(rows[i].text, 'Z'))
            continue;
        SCOPED(buf) out = BUF(64);
        time_rfc3339(&out, at);
        assert_slice("round trip", buf_slice(&out), slice_str(rows[i].text));
    }
}

static void mail_dates(void **state)
{
    SCOPED(buf) out = BUF(64);
    time_rfc5322(&out, 1795321800123, 540);
    assert_slice("Tokyo", buf_slice(&out), SLICE("Sun, 22 Nov 2026 13:30:00 +0900"));
    buf_reset(&out);
    time_rfc5322(&out, 0, -90);
    assert_slice("west", buf_slice(&out), SLICE("Wed, 31 Dec 1969 22:30:00 -0130"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(written_and_read_back), cmocka_unit_test(mail_dates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
