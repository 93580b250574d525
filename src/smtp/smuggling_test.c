/* R1, R2, X1, X2, M1, M13: whatever looks like the end of a message and is not, at every split, received and sent:
 * never a second message; and nothing said in clear behind STARTTLS is heard */
#include "base/utf8.h"
#include "smtp/test_client.h"
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

static struct {
    unsigned in, out, starttls; /* conversations */
    unsigned made;              /* ends */
} tried;

/* CR and LF in pairs only. */
static bool has_pairs_only(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if ((bytes.ptr[i] == '\r' && (i + 1 == bytes.len || bytes.ptr[i + 1] != '\n')) ||
            (bytes.ptr[i] == '\n' && (i == 0 || bytes.ptr[i - 1] != '\r')))
            return false;
    return true;
}

static void smuggle(struct slice end, enum smtp_bare_eol bare_eol, bool is_chunked, struct cut cut)
{
    struct test_server server;
    tried.in++;
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
    assert_true(has_pairs_only(kept)); /* R2 */
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

/* ── what we send: a mail's body may hold anything ── */

/* Both machines, until neither has anything to say; what the client said goes into the wire, too. */
static void converse(struct test_client *client, struct test_server *server, struct buf *wire)
{
    do {
        test_client_feed(client, SLICE(""));
        SCOPED(buf) up = BUF(1 << 16), down = BUF(1 << 16);
        buf_append(&up, buf_slice(&client->out));
        buf_append(wire, buf_slice(&client->out));
        buf_reset(&client->out);
        test_server_feed(server, buf_slice(&up));
        buf_append(&down, buf_slice(&server->out));
        buf_reset(&server->out);
        test_client_feed(client, buf_slice(&down));
    } while (client->out.len || server->out.len);
}

/* The body comes in two pieces, cut there; its end is written by us alone. */
static void smuggle_out(struct slice end, size_t at)
{
    struct test_client client;
    struct test_server server;
    SCOPED(buf) body = BUF(4096), wire = BUF(1 << 16);
    tried.out++;
    test_client_init(&client, (struct smtp_client_settings){.no_pipelining = at % 3 == 0});
    test_server_init(&server, (struct smtp_server_settings){0});
    client.out_limit = at % 2 ? SMTP_CLIENT_OUT_MIN : 0;
    converse(&client, &server, &wire);
    buf_text(&body, "first");
    buf_append(&body, end);
    buf_append(&body, second);
    struct slice recipient = SLICE("c@d.test"),
                 pieces[] = {slice_head(buf_slice(&body), at), slice_from(buf_slice(&body), at)};
    struct test_message owner = {.name = 'a'};
    const struct smtp_message message = {.mail_from = SLICE("a@b.test"),
                                         .recipients = &recipient,
                                         .recipient_count = 1,
                                         .body = pieces,
                                         .body_count = COUNT_OF(pieces),
                                         .needs_8bit = !slice_is_ascii(end),
                                         .owner = &owner};
    assert_int_equal(smtp_client_send(client.machine, &message), SMTP_FITS);
    smtp_client_release_dot(client.machine);
    buf_reset(&wire);
    converse(&client, &server, &wire);
    assert_int_equal(server.messages, 1);
    assert_int_equal(slice_find(buf_slice(&server.events), SLICE("evil")), SLICE_NPOS);
    assert_true(slice_find(buf_slice(&server.last_body), SLICE("smuggled")) > 0);
    /* A careless receiver sees the same: no bare CR or LF leaves, and one end. */
    assert_true(has_pairs_only(buf_slice(&wire)));
    assert_int_equal(slice_find(buf_slice(&wire), SLICE("\r\n.\r\n")), wire.len - 5);
    test_client_release(&client);
    test_server_release(&server);
}

static void sent_at_every_split(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        for (size_t at = 0; at <= 5 + ends[i].len + second.len; at++)
            smuggle_out(ends[i], at);
    for (size_t at = 0; at <= 10 + second.len; at++) /* the true end, as a body's own bytes */
        smuggle_out(SLICE("\r\n.\r\n"), at);
}

/* A dot between any two of CR, LF and NUL, cut in it and around it, received and sent. */
static void made_ends(void **state)
{
    static const char letters[] = {'\r', '\n', '\0'};
    enum { SIDES = 13 }; /* of none, one or two letters */
    for (unsigned pair = 0; pair < SIDES * SIDES; pair++) {
        unsigned sides[] = {pair / SIDES, pair % SIDES};
        SCOPED(buf) end = BUF(16);
        for (int side = 0; side < 2; side++) {
            unsigned n = sides[side];
            if (n >= 4)
                buf_byte(&end, letters[(n - 4) / 3]);
            if (n >= 1)
                buf_byte(&end, letters[n >= 4 ? (n - 4) % 3 : n - 1]);
            if (side == 0)
                buf_byte(&end, '.');
        }
        struct slice made = buf_slice(&end);
        if (slice_find(made, SLICE("\r\n.\r\n")) != SLICE_NPOS)
            continue;
        tried.made++;
        for (size_t at = 4; at <= 6 + made.len; at++) {
            smuggle(made, SMTP_BARE_REFUSE, false, (struct cut){CUT_AT, at});
            smuggle(made, SMTP_BARE_NORMALISE, false, (struct cut){CUT_AT, at});
            smuggle_out(made, at);
        }
    }
}

/* ── STARTTLS (X2, M13) ── */

/* What comes in clear behind STARTTLS is never heard: not before TLS, not in it. */
static void behind_starttls(void **state)
{
    static const struct slice injected[] = {
        SLICE_INIT("MAIL FROM:<evil@b.test>\r\n"),
        SLICE_INIT("EHLO evil.test\r\n"),
        SLICE_INIT("NOOP\r\n"),
        SLICE_INIT("RSET\r\nMAIL FROM:<evil@b.test>\r\nRCPT TO:<evil@d.test>\r\nDATA\r\n"),
        SLICE_INIT("AUTH PLAIN AHUAcA==\r\n"),
        SLICE_INIT("STARTTLS\r\n"),
        SLICE_INIT("R"),
        SLICE_INIT("\n"),
        SLICE_INIT("\0"),
        SLICE_INIT("\x16\x03\x01"),
        SLICE_INIT("EHLO evil.test"),
        SLICE_INIT("\r\n")};
    const struct slice command = SLICE("STARTTLS\r\n");
    for (size_t i = 0; i < COUNT_OF(injected); i++)
        for (size_t at = 0; at < command.len; at++) { /* the injected bytes come with the command's last ones */
            struct test_server server;
            tried.starttls++;
            test_server_init(&server, (struct smtp_server_settings){.has_tls = true, .has_auth = true});
            test_server_feed(&server, SLICE(""));
            test_server_feed(&server, SLICE("EHLO me.test\r\n"));
            SCOPED(buf) last = BUF(4096);
            buf_append(&last, slice_from(command, at));
            buf_append(&last, injected[i]);
            test_server_feed(&server, slice_head(command, at));
            buf_reset(&server.events);
            buf_reset(&server.out);
            test_server_feed(&server, buf_slice(&last));
            assert_true(slice_starts(buf_slice(&server.out), SLICE("554 5.5.0")) && server.is_closed);
            assert_int_equal(slice_find(buf_slice(&server.events), SLICE("evil")), SLICE_NPOS);
            assert_int_equal(slice_find(buf_slice(&server.events), SLICE("tls")), SLICE_NPOS);
            test_server_release(&server);
        }
}

/* How many there were, for whoever asks. */
static void the_count(void **state)
{
    print_message("# %zu ends that are none: 0 second messages in %u conversations received, 0 in %u sent; 0 injected "
                  "commands heard in %u STARTTLS\n",
                  COUNT_OF(ends) + tried.made, tried.in, tried.out, tried.starttls);
    assert_true(tried.in > 10000 && tried.out > 3000 && tried.starttls > 100);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(refusing),
                                       cmocka_unit_test(normalising),
                                       cmocka_unit_test(in_chunks),
                                       cmocka_unit_test(the_true_end),
                                       cmocka_unit_test(sent_at_every_split),
                                       cmocka_unit_test(made_ends),
                                       cmocka_unit_test(behind_starttls),
                                       cmocka_unit_test(the_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
