/* R1, R2, X1, M1: whatever looks like the end of a message and is not, at every split: never a second message */
#include "smtp/test_server.h"

/* Everything that a careless reader might take for the end. */
static const struct slice ends[] = {
    SLICE_INIT("\n.\n"),
    SLICE_INIT("\n.\r\n"),
    SLICE_INIT("\r.\r"),
    SLICE_INIT("\r\n.\n"),
    SLICE_INIT("\r\n.\r"),
    SLICE_INIT("\r.\r\n"),
    SLICE_INIT("\r.\n"),
    SLICE_INIT("\n.\r"),
    SLICE_INIT("\r\n\0.\r\n"),
    SLICE_INIT("\r\n.\0\r\n"),
    SLICE_INIT("\r\n.\r\0\n"),
    SLICE_INIT("\r\0\n.\r\n"),
    SLICE_INIT("\n\n.\r\n"),
    SLICE_INIT("\n\r.\r\n"),
    SLICE_INIT("\r\r\n.\r"),
    SLICE_INIT("\r\n.\r\r\n"),
    SLICE_INIT("\r\n.\n\r\n"),
    SLICE_INIT("\r\n .\r\n"),
    SLICE_INIT("\r\n. \r\n"),
    SLICE_INIT("\r\n..\r\n"),
    SLICE_INIT("\0\n.\n"),
    SLICE_INIT("\0\n.\r\n"),
    SLICE_INIT("\xc2\x85.\xc2\x85"),
    SLICE_INIT("\r\n.\xc2\x85"),
    SLICE_INIT("\r\n\t.\r\n"),
    SLICE_INIT("\v.\v"),
    SLICE_INIT("\f.\f"),
    SLICE_INIT("\xe2\x80\xa8.\xe2\x80\xa8"),
};
static const struct slice second =
    SLICE_INIT("MAIL FROM:<evil@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n");

static void smuggle(struct slice end, enum smtp_bare_eol bare_eol, bool is_chunked, struct cut cut)
{
    struct test_server server;
    test_server_init(&server, (struct smtp_server_settings){.bare_eol = bare_eol});
    test_server_feed(&server, SLICE(""));
    test_server_feed(&server, SLICE("EHLO me.test\r\n"));
    test_server_feed(&server, SLICE("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"));
    SCOPED(buf) body = BUF(4096), command = BUF(64);
    buf_text(&body, "first");
    buf_append(&body, end);
    buf_append(&body, second);
    if (is_chunked)
        buf_printf(&command, "BDAT %zu LAST\r\n", body.len);
    else
        buf_text(&command, "DATA\r\n");
    test_server_feed(&server, buf_slice(&command));
    buf_reset(&server.events);
    struct slice rest = buf_slice(&body);
    while (rest.len)
        test_server_feed(&server, cut_take(&rest, cut, body.len - rest.len));
    /* One message or none, and no command in it was heard. */
    assert_int_equal(slice_find(buf_slice(&server.events), SLICE("evil")), SLICE_NPOS);
    assert_true(server.messages + server.resets <= 2);
    assert_true(server.messages <= 1);
    struct slice kept = buf_slice(&server.last_body);
    if (server.messages)
        assert_true(slice_find(kept, SLICE("smuggled")) > 0);
    for (size_t i = 0; i < kept.len; i++) { /* R2: CR and LF come in pairs only */
        if (kept.ptr[i] == '\r')
            assert_true(i + 1 < kept.len && kept.ptr[i + 1] == '\n');
        if (kept.ptr[i] == '\n')
            assert_true(i > 0 && kept.ptr[i - 1] == '\r');
    }
    bool has_bare = false;
    for (size_t i = 0; i < body.len; i++)
        has_bare = has_bare || (body.ptr[i] == '\n' && (i == 0 || body.ptr[i - 1] != '\r')) ||
                   (body.ptr[i] == '\r' && body.ptr[i + 1] != '\n');
    assert_int_equal(server.messages, !(has_bare && bare_eol == SMTP_BARE_REFUSE));
    test_server_release(&server);
}

static void every_end_at_every_split(enum smtp_bare_eol bare_eol, bool is_chunked)
{
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        smuggle(ends[i], bare_eol, is_chunked, (struct cut){CUT_NONE, 0});
        smuggle(ends[i], bare_eol, is_chunked, (struct cut){CUT_BYTES, 0});
        for (size_t at = 1; at < 5 + ends[i].len + second.len; at++)
            smuggle(ends[i], bare_eol, is_chunked, (struct cut){CUT_AT, at});
    }
}

static void refusing(void **state)
{
    every_end_at_every_split(SMTP_BARE_REFUSE, false);
}

static void normalising(void **state)
{
    every_end_at_every_split(SMTP_BARE_NORMALISE, false);
}

static void in_chunks(void **state)
{
    every_end_at_every_split(SMTP_BARE_REFUSE, true);
    every_end_at_every_split(SMTP_BARE_NORMALISE, true);
}

/* The true end is the end: the test above could not fail otherwise. */
static void the_true_end(void **state)
{
    struct test_server server;
    test_server_init(&server, (struct smtp_server_settings){0});
    test_server_play(&server, "true end",
                     "S: 220\nC: EHLO me.test\nS: 250\nC: MAIL FROM:<a@b.test>\nC: RCPT TO:<c@d.test>\nC: DATA\n"
                     "S: 250\nS: 250\nS: 354\nC: first\nC: .\nC: MAIL FROM:<evil@b.test>\nS: 250\nS: 250\n",
                     (struct cut){CUT_NONE, 0});
    assert_int_equal(server.messages, 1);
    assert_true(slice_find(buf_slice(&server.events), SLICE("evil")) > 0);
    test_server_release(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refusing), cmocka_unit_test(normalising),
                                       cmocka_unit_test(in_chunks), cmocka_unit_test(the_true_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
