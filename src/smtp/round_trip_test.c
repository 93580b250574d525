/* R19, M2, M12: both machines against each other: random bodies over random splits arrive octet for octet; and random
 * bytes into either machine break nothing */
#include "base/random.h"
#include "smtp/test_client.h"
#include "smtp/test_server.h"

/* What the owner of the client asked for: CR and LF in pairs only, a CRLF at the end. */
static void canonical(struct slice body, struct buf *out)
{
    for (size_t i = 0; i < body.len; i++) {
        char c = body.ptr[i];
        if (c == '\r' || c == '\n') {
            buf_text(out, "\r\n");
            i += c == '\r' && i + 1 < body.len && body.ptr[i + 1] == '\n';
        } else {
            buf_byte(out, c);
        }
    }
    if (out->len && !slice_ends(buf_slice(out), SLICE("\r\n")))
        buf_text(out, "\r\n");
}

static void random_body(struct random *random, struct buf *body)
{
    static const char alphabet[] = "\r\n..ab\r\n\xe6";
    size_t len = random_below(random, random_below(random, 4) ? 60 : 9000);
    bool is_tidy = random_below(random, 2);
    while (body->len < len) {
        char c = alphabet[random_below(random, sizeof(alphabet) - 1)];
        if (is_tidy && (c == '\r' || c == '\n'))
            buf_text(body, "\r\n");
        else
            buf_byte(body, c);
    }
}

struct pair {
    struct random random;
    struct test_client client;
    struct test_server server;
};

/* Move bytes both ways, in random pieces, until nobody has anything to say. */
static void converse(struct pair *pair)
{
    struct random *random = &pair->random;
    for (;;) {
        test_client_feed(&pair->client, SLICE(""));
        test_server_feed(&pair->server, SLICE(""));
        struct buf *up = &pair->client.out, *down = &pair->server.out;
        if (!up->len && !down->len)
            return;
        if (up->len) {
            size_t len = 1 + random_below(random, random_below(random, 3) ? up->len : up->len < 5 ? up->len : 5);
            test_server_feed(&pair->server, slice_head(buf_slice(up), len));
            buf_consume(up, len);
        }
        if (down->len) {
            size_t len = 1 + random_below(random, down->len);
            SCOPED(buf) piece = BUF(1 << 20);
            buf_append(&piece, slice_head(buf_slice(down), len));
            buf_consume(down, len);
            test_client_feed(&pair->client, buf_slice(&piece));
        }
    }
}

static void one_conversation(uint64_t seed)
{
    struct pair pair;
    random_seed(&pair.random, seed);
    struct random *random = &pair.random;
    test_client_init(&pair.client, (struct smtp_client_settings){.no_pipelining = random_below(random, 3) == 0});
    pair.client.out_limit = random_below(random, 2) ? 1 << 17 : SMTP_CLIENT_OUT_MIN;
    test_server_init(&pair.server, (struct smtp_server_settings){.errors_max = 100});
    converse(&pair);
    unsigned messages = 0;
    for (unsigned n = 0; n < 6; n++) {
        SCOPED(buf) text = BUF(1 << 16), body = BUF(1 << 16), want = BUF(1 << 16);
        random_body(random, &body);
        unsigned no = (unsigned)random_below(random, 3), yes = (unsigned)random_below(random, 3) + !no;
        buf_text(&text, "s@b.test|");
        for (unsigned i = 0; i < no; i++)
            buf_text(&text, "no@d.test,");
        for (unsigned i = 0; i < yes; i++)
            buf_text(&text, "yes@d.test,");
        text.len--;
        buf_byte(&text, '|');
        buf_append(&text, buf_slice(&body));
        assert_true(smtp_client_has_room(pair.client.machine));
        pair.client.told = 0;
        test_client_message(&pair.client, buf_slice(&text), text.len % 2);
        bool is_early = random_below(random, 2);
        if (is_early)
            smtp_client_release_dot(pair.client.machine);
        converse(&pair);
        if (yes && !is_early) {
            assert_int_equal(pair.server.messages, messages); /* the gate */
            smtp_client_release_dot(pair.client.machine);
            converse(&pair);
        }
        messages += yes > 0;
        assert_int_equal(pair.server.messages, messages);
        assert_int_equal(pair.client.told, yes + no);
        assert_true(smtp_client_is_idle(pair.client.machine));
        canonical(buf_slice(&body), &want);
        if (yes)
            assert_slice("body", buf_slice(&pair.server.last_body), buf_slice(&want));
    }
    smtp_client_quit(pair.client.machine);
    converse(&pair);
    assert_true(pair.client.is_over && pair.server.is_closed);
    test_client_release(&pair.client);
    test_server_release(&pair.server);
}

static void bodies_arrive(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        one_conversation(seed);
}

/* Words that matter, in any order. */
static void random_words(struct random *random, const char *const *words, size_t count, struct buf *out)
{
    for (uint64_t n = random_below(random, 20); n; n--) {
        buf_str(out, words[random_below(random, count)]);
        if (random_below(random, 8) == 0)
            buf_byte(out, (char)random_next(random));
    }
}

static void garbage_to_the_server(void **state)
{
    static const char *const words[] = {"EHLO x",   "HELO x", "MAIL FROM:", "<a@b.test>", "RCPT TO:<",  "a@b.test>",
                                        "DATA",     "\r\n",   "\r\n",       "\r\n",       "\r\n.\r\n",  "BDAT 5",
                                        " LAST",    "RSET",   "AUTH PLAIN", " AHUAcA==",  "AUTH LOGIN", "*",
                                        "STARTTLS", "NOOP",   "SIZE=",      "1",          " ",          "\n",
                                        "\r",       "BDAT 0"};
    struct random random;
    random_seed(&random, 7);
    for (int round = 0; round < 4000; round++) {
        struct test_server server;
        test_server_init(&server,
                         (struct smtp_server_settings){
                             .has_tls = round & 1, .has_auth = true, .may_auth_clear = true, .is_lenient = round & 2});
        for (int piece = 0; piece < 12 && !server.is_closed; piece++) {
            SCOPED(buf) bytes = BUF(1 << 16);
            random_words(&random, words, COUNT_OF(words), &bytes);
            test_server_feed(&server, buf_slice(&bytes));
        }
        test_server_release(&server);
    }
}

static void garbage_to_the_client(void **state)
{
    static const char *const words[] = {"220 ",       "250 ", "250-",       "354 ",    "421 ", "550 5.1.1 ",
                                        "452 4.5.3 ", "334 ", "\r\n",       "\r\n",    "\r\n", "2",
                                        "text",       "\n",   "PIPELINING", "SIZE 10", "503 ", "250 ok\r\n"};
    struct random random;
    random_seed(&random, 8);
    for (int round = 0; round < 4000; round++) {
        struct test_client client;
        test_client_init(&client, (struct smtp_client_settings){.tls = round & 1 ? SMTP_TLS_MAY : SMTP_TLS_NEVER});
        test_client_feed(&client, SLICE("220 x\r\n"));
        if (round & 2)
            test_client_feed(&client, SLICE("250-x\r\n250 PIPELINING\r\n"));
        unsigned told = 0, handed = 0;
        for (int piece = 0; piece < 12; piece++) {
            SCOPED(buf) bytes = BUF(1 << 16);
            if (client.count < TEST_MESSAGES && smtp_client_has_room(client.machine)) {
                test_client_message(&client, SLICE("a@b.test|c@d.test,e@d.test|text"), false);
                handed += 2;
            }
            if (random_below(&random, 2))
                smtp_client_release_dot(client.machine);
            random_words(&random, words, COUNT_OF(words), &bytes);
            test_client_feed(&client, buf_slice(&bytes));
        }
        smtp_client_closed(client.machine, SLICE("enough"));
        test_client_feed(&client, SLICE(""));
        told = client.told;
        assert_int_equal(told, handed); /* each recipient exactly once, whatever happens */
        assert_true(client.is_over);
        test_client_release(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bodies_arrive), cmocka_unit_test(garbage_to_the_server),
                                       cmocka_unit_test(garbage_to_the_client)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
