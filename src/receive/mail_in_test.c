/* R6, R7, R8, M6, M7, M9, M19, M20, M24, S13, D22, F5: mail to us, over real sockets on loopback, by a clock that we
 * move
 */
#include "dns/null_mx.h"
#include "mailauth/testing.h"
#include "net/peer_test.h"
#include "receive/mail_in.h"

#define HOST "127.0.0.1"

struct fixture {
    struct world world;
    struct loop *loop;
    struct tls_server *tls;
    struct tls_client *tls_client;
    struct mail_in *in;
    struct token_ring ring;
    struct peer peer, others[4];
    struct inbound_mail *mails[8]; /* taken, not given back */
    unsigned mail_count;
    bool keeps_at_once;
};

static bool is_ours(void *self, struct slice domain)
{
    return slice_equal(domain, SLICE("bounce.example.jp"));
}

static void accept_mail(void *self, struct inbound_mail *mail)
{
    struct fixture *f = self;
    if (f->keeps_at_once)
        inbound_done(mail, true);
    else
        f->mails[f->mail_count++] = mail;
}

static void start_with(struct fixture *f, struct session_limits limits, bool is_tls_first)
{
    struct mail_in_options options = {.session = {.limits = limits, .tls = f->tls, .is_tls_first = is_tls_first}};
    struct fault why;
    options.session.smtp.host_name = SLICE("mx.example.jp");
    options.session.smtp.size_max = 20000;
    options.session.listener.at.ip = ip_v4(127, 0, 0, 1);
    options.ring = &f->ring;
    const struct inbound inbound = {.self = f, .is_ours = is_ours, .accept = accept_mail};
    f->in = mail_in_new(f->loop, &options, &inbound, &why);
    assert_non_null(f->in);
}

static void start(struct fixture *f, struct session_limits limits)
{
    start_with(f, limits, false);
}

static int set_up(void **state)
{
    static const char *const names[] = {"mx.example.jp"};
    struct fixture *f = NEW(struct fixture);
    struct fault why;
    world_init_manual(&f->world, 1790000000000, 1);
    f->loop = loop_new(&f->world);
    f->tls = tls_server_self_signed(names, 1, &why);
    struct tls_roots *roots = tls_roots_none();
    f->tls_client = tls_client_new(roots);
    tls_roots_free(roots);
    test_ring(&f->ring, 7);
    peer_init(&f->peer);
    for (size_t i = 0; i < COUNT_OF(f->others); i++)
        peer_init(&f->others[i]);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < f->mail_count; i++)
        inbound_done(f->mails[i], true);
    mail_in_free(f->in);
    token_ring_release(&f->ring);
    peer_release(&f->peer);
    for (size_t i = 0; i < COUNT_OF(f->others); i++)
        peer_release(&f->others[i]);
    for (int i = 0; i < 20; i++) { /* what lingers */
        world_advance(&f->world, 1000);
        loop_turn(f->loop, 1);
    }
    tls_server_free(f->tls);
    tls_client_free(f->tls_client);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void connect_peer(struct fixture *f, struct peer *peer)
{
    const struct stream_target target = {.to = mail_in_endpoint(f->in)};
    peer->stream = stream_connect(f->loop, &target, &peer_events, peer);
}

/* Say it, and wait for this reply at the end of what comes back. */
static void ask_peer(struct fixture *f, struct peer *peer, const char *text, const char *reply)
{
    buf_reset(&peer->got);
    if (*text)
        stream_write(peer->stream, slice_str(text));
    for (int turns = 0;; turns++) {
        struct slice rest = buf_slice(&peer->got), line, last = {0};
        while (slice_line(&rest, &line))
            last = line;
        if (slice_ends(buf_slice(&peer->got), SLICE("\r\n")) && slice_starts(last, slice_str(reply)))
            return;
        if (turns > 500)
            fail_msg("\"%s\": got \"%.*s\", want %s", text, SLICE_ARG(buf_slice(&peer->got)), reply);
        loop_turn(f->loop, 10);
    }
}

static void ask(struct fixture *f, const char *text, const char *reply)
{
    ask_peer(f, &f->peer, text, reply);
}

static void greet(struct fixture *f)
{
    connect_peer(f, &f->peer);
    ask(f, "", "220 mx.example.jp");
    ask(f, "EHLO mx.receiver.test\r\n", "250 ");
}

static const char *rcpt_of(const struct token_ring *ring, enum token_kind kind, time_ms expires, char *to)
{
    SCOPED(buf) address = BUF(200);
    buf_text(&address, "RCPT TO:<");
    buf_byte(&address, kind == TOKEN_UNSUBSCRIBE ? 'u' : 'b');
    buf_byte(&address, '-');
    token_make(ring, kind, &(struct token){.id = 4711}, expires, &address);
    buf_text(&address, "@Bounce.Example.JP>\r\n");
    memcpy(to, buf_cstr(&address), address.len + 1);
    return to;
}

static void an_error_mail_is_kept(void **state)
{
    struct fixture *f = *state;
    char rcpt[256];
    start(f, (struct session_limits){0});
    greet(f);
    ask(f, "MAIL FROM:<>\r\n", "250 2.1.0");
    ask(f, rcpt_of(&f->ring, TOKEN_RETURN_PATH, f->world.manual_wall + DAYS_MS(1), rcpt), "250 2.1.5");
    ask(f, "DATA\r\n", "354");
    stream_write(f->peer.stream, SLICE("Subject: Undelivered\r\n\r\n..text\r\n.\r\n"));
    buf_reset(&f->peer.got);
    until(f->loop, f->mail_count == 1);
    for (int i = 0; i < 5; i++)
        loop_turn(f->loop, 1);
    assert_int_equal(f->peer.got.len, 0); /* R6: no 250 before it is durable */
    const struct inbound_mail *mail = f->mails[0];
    assert_int_equal(mail->recipient_count, 1);
    assert_int_equal(mail->recipients[0].use, INBOUND_RETURN_PATH);
    assert_int_equal(mail->recipients[0].token, TOKEN_GOOD);
    assert_int_equal(mail->recipients[0].delivery_id, 4711);
    assert_int_equal(mail->mail_from.len, 0);
    assert_slice("mail", slice_from(mail->bytes, mail->trace_len), SLICE("Subject: Undelivered\r\n\r\n.text\r\n"));
    assert_true(slice_starts(
        mail->bytes,
        SLICE("Return-Path: <>\r\nReceived: from mx.receiver.test ([127.0.0.1])\r\n\tby mx.example.jp with")));
    f->mail_count = 0;
    inbound_done(f->mails[0], true);
    ask(f, "", "250 2.0.0");
    ask(f, "QUIT\r\n", "221");
    until(f->loop, f->peer.closed);
    assert_int_equal(mail_in_pending(f->in), 0);
}

static void who_is_accepted(void **state)
{
    struct fixture *f = *state;
    char rcpt[256];
    struct token_ring foreign = {0};
    test_ring(&foreign, 8);
    f->keeps_at_once = true;
    start(f, (struct session_limits){0});
    greet(f);
    static const struct {
        const char *rcpt, *reply;
    } rows[] = {
        {"RCPT TO:<postmaster@bounce.example.jp>\r\n", "250"}, /* D22 */
        {"RCPT TO:<Abuse@bounce.example.jp>\r\n", "250"},
        {"RCPT TO:<postmaster>\r\n", "250"},
        {"RCPT TO:<nobody@bounce.example.jp>\r\n", "550 5.1.1"},
        {"RCPT TO:<postmaster@example.org>\r\n", "550 5.1.1"}, /* M20 and below: no relaying */
        {"RCPT TO:<a%example.org@bounce.example.jp>\r\n", "550"},
        {"RCPT TO:<example.org!a@bounce.example.jp>\r\n", "550"},
        {"RCPT TO:<\"a@example.org\"@bounce.example.jp>\r\n", "550"},
        {"RCPT TO:<@bounce.example.jp:a@example.org>\r\n", "550"},
        {"RCPT TO:<postmaster@[127.0.0.1]>\r\n", "550"},
        {"RCPT TO:<\"postmaster\"@bounce.example.jp>\r\n", "550"},
        {"RCPT TO:<u-notatoken@bounce.example.jp>\r\n", "550"},
        {"RCPT TO:<b-notatoken@bounce.example.jp>\r\n", "250"}, /* M24, S13: forged, accepted to be counted */
    };
    ask(f, "MAIL FROM:<someone@example.org>\r\n", "250");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ask(f, rows[i].rcpt, rows[i].reply);
    ask(f, rcpt_of(&foreign, TOKEN_RETURN_PATH, f->world.manual_wall + DAYS_MS(1), rcpt), "250");
    ask(f, rcpt_of(&f->ring, TOKEN_RETURN_PATH, f->world.manual_wall - DAYS_MS(9), rcpt), "250");
    ask(f, rcpt_of(&f->ring, TOKEN_UNSUBSCRIBE, f->world.manual_wall + DAYS_MS(9), rcpt), "250");
    ask(f, "DATA\r\n", "354");
    ask(f, "x\n.\ny\r\n.\r\n", "250 2.0.0");
    struct mail_in_counts counts = mail_in_counts(f->in);
    assert_int_equal(counts.tokens_forged, 2);
    assert_int_equal(counts.tokens_expired, 1);
    assert_int_equal(counts.mails, 1);
    assert_true(counts.recipients_refused == 9);
    token_ring_release(&foreign);
}

static void tls_comes_in_between(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    assert_true(slice_find(buf_slice(&f->peer.got), SLICE("STARTTLS")) > 0);
    ask(f, "STARTTLS\r\n", "220 2.0.0");
    const struct tls_want want = {.client = f->tls_client, .name = "mx.example.jp", .verify = TLS_VERIFY_NONE};
    stream_start_tls_client(f->peer.stream, &want);
    until(f->loop, f->peer.is_secure);
    ask(f, "MAIL FROM:<>\r\n", "503");
    ask(f, "EHLO me.test\r\n", "250 ");
    assert_true(slice_find(buf_slice(&f->peer.got), SLICE("STARTTLS")) < 0);
    ask(f, "MAIL FROM:<>\r\n", "250");
    ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
    ask(f, "DATA\r\n", "354");
    stream_write(f->peer.stream, SLICE("x\r\n.\r\n"));
    until(f->loop, f->mail_count == 1);
    assert_true(f->mails[0]->is_tls);
    assert_slice("helo", f->mails[0]->helo, SLICE("me.test"));
}

/* X2: what stands behind STARTTLS in clear is never heard. */
static void injection_before_tls(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    ask(f, "STARTTLS\r\nMAIL FROM:<>\r\n", "554 5.5.0");
    until(f->loop, f->peer.closed);
}

static void it_could_not_be_kept(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    for (int round = 0; round < 2; round++) {
        ask(f, "MAIL FROM:<>\r\n", "250");
        ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
        ask(f, "DATA\r\n", "354");
        stream_write(f->peer.stream, SLICE("x\r\n.\r\nNOOP\r\n")); /* pipelined behind the dot: waits */
        until(f->loop, f->mail_count == 1);
        f->mail_count = 0;
        inbound_done(f->mails[0], round == 1);
        ask(f, "", "250 2.0.0 ok");
        assert_true(slice_starts(buf_slice(&f->peer.got), round == 1 ? SLICE("250 2.0.0 acc") : SLICE("452 4.3.1")));
    }
}

/* R7: the store is slow: 451 in time, and the late answer harms nobody. */
static void the_answer_is_overdue(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    ask(f, "MAIL FROM:<>\r\n", "250");
    ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
    ask(f, "DATA\r\n", "354");
    stream_write(f->peer.stream, SLICE("x\r\n.\r\n"));
    until(f->loop, f->mail_count == 1);
    loop_turn(f->loop, 1);
    world_advance(&f->world, SECONDS_MS(121));
    ask(f, "", "451 4.3.0");
    ask(f, "MAIL FROM:<>\r\n", "250");
    f->mail_count = 0;
    inbound_done(f->mails[0], true);
    ask(f, "NOOP\r\n", "250 2.0.0 ok");
    assert_int_equal(mail_in_pending(f->in), 0);
}

/* R7: a session's time is over while its mail is being kept: 421 then would mean "send it again". */
static void the_end_waits_for_an_answer(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){.session_time = SECONDS_MS(60)});
    greet(f);
    ask(f, "MAIL FROM:<>\r\n", "250");
    ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
    ask(f, "DATA\r\n", "354");
    stream_write(f->peer.stream, SLICE("x\r\n.\r\n"));
    until(f->loop, f->mail_count == 1);
    buf_reset(&f->peer.got);
    world_advance(&f->world, SECONDS_MS(61));
    for (int i = 0; i < 5; i++)
        loop_turn(f->loop, 1);
    assert_int_equal(f->peer.got.len, 0);
    f->mail_count = 0;
    inbound_done(f->mails[0], true);
    ask(f, "", "421 4.4.2 this has taken long enough");
    assert_true(slice_starts(buf_slice(&f->peer.got), SLICE("250 2.0.0 acc")));
    until(f->loop, f->peer.closed);
}

/* What is told of a stranger's name stays one; who says HELO has no extensions. */
static void the_name_is_only_a_name(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    ask(f, "HELO a(b;X-Evil:<>\r\n", "250");
    ask(f, "MAIL FROM:<>\r\n", "250");
    ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
    ask(f, "DATA\r\n", "354");
    stream_write(f->peer.stream, SLICE("x\r\n.\r\n"));
    until(f->loop, f->mail_count == 1);
    assert_true(slice_find(f->mails[0]->bytes,
                           SLICE("from a?b?X-Evil:?? ([127.0.0.1])\r\n\tby mx.example.jp with SMTP\r\n")) > 0);
    f->mail_count = 0;
    inbound_done(f->mails[0], true);
    ask(f, "", "250 2.0.0 acc");
}

static void the_sender_leaves_first(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    ask(f, "MAIL FROM:<>\r\n", "250");
    ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
    ask(f, "DATA\r\n", "354");
    stream_write(f->peer.stream, SLICE("x\r\n.\r\n"));
    until(f->loop, f->mail_count == 1);
    stream_close(f->peer.stream);
    f->peer.stream = NULL;
    for (int i = 0; i < 10; i++)
        loop_turn(f->loop, 1);
    assert_int_equal(mail_in_pending(f->in), 1);
    f->mail_count = 0;
    inbound_done(f->mails[0], true);
    until(f->loop, mail_in_pending(f->in) == 0);
}

/* F5, R26, M6: silence, and one octet now and then, come to an end. */
static void slow_clients(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    for (int i = 0; i < 8 && !f->peer.closed; i++) {
        world_advance(&f->world, SECONDS_MS(40));
        if (f->peer.stream)
            stream_write(f->peer.stream, SLICE("N"));
        loop_turn(f->loop, 5);
        loop_turn(f->loop, 5);
    }
    until(f->loop, f->peer.closed);
    assert_true(slice_find(buf_slice(&f->peer.got), SLICE("421 4.4.2")) >= 0);
}

/* F5, M6: who connects to a port that begins with TLS and says nothing has the time of a handshake, no more. */
static void a_handshake_that_never_begins(void **state)
{
    struct fixture *f = *state;
    start_with(f, (struct session_limits){0}, true);
    connect_peer(f, &f->peer);
    until(f->loop, f->peer.opened);
    for (int i = 0; i < 5; i++)
        loop_turn(f->loop, 5);
    world_advance(&f->world, SECONDS_MS(61));
    for (int i = 0; i < 200 && !f->peer.closed; i++)
        loop_turn(f->loop, 5);
    assert_true(f->peer.closed);
    assert_int_equal(f->peer.got.len, 0);
}

static void too_many(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){.sessions = 3, .sessions_of_one = 2});
    greet(f);
    connect_peer(f, &f->others[0]);
    ask_peer(f, &f->others[0], "", "220");
    connect_peer(f, &f->others[1]);
    ask_peer(f, &f->others[1], "", "421 4.7.0");
    until(f->loop, f->others[1].closed);
    ask(f, "QUIT\r\n", "221");
    until(f->loop, f->peer.closed);
    connect_peer(f, &f->others[2]);
    ask_peer(f, &f->others[2], "", "220");
}

static void memory_is_bounded(void **state)
{
    struct fixture *f = *state;
    f->keeps_at_once = true;
    start(f, (struct session_limits){.memory = 5000});
    greet(f);
    SCOPED(buf) big = BUF(20000);
    for (int i = 0; i < 100; i++)
        buf_text(&big, "sixty octets of text in each line, and a hundred of them make\r\n");
    buf_text(&big, ".\r\n");
    for (int round = 0; round < 2; round++) {
        ask(f, "MAIL FROM:<>\r\n", "250");
        ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
        ask(f, "DATA\r\n", "354");
        ask(f, round ? "x\r\n.\r\n" : buf_cstr(&big),
            round ? "250 2.0.0" : "452 4.3.1"); /* R8; and then it is free again */
    }
}

static void a_circle(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    ask(f, "MAIL FROM:<>\r\n", "250");
    ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
    ask(f, "DATA\r\n", "354");
    SCOPED(buf) mail = BUF(20000);
    for (int i = 0; i < 101; i++)
        buf_text(&mail, "Received: from a by b\r\n");
    buf_text(&mail, "\r\n.\r\n");
    ask(f, buf_cstr(&mail), "554 5.4.6"); /* M19 */
}

static void going_down(void **state)
{
    struct fixture *f = *state;
    start(f, (struct session_limits){0});
    greet(f);
    mail_in_stop(f->in);
    ask(f, "", "421 4.3.2");
    until(f->loop, f->peer.closed);
}

/* F12: who waits for the answer to his mail hears what became of it, then that we go; 421 would mean "send it again".
 */
static void going_down_with_mail_under_way(void **state)
{
    struct fixture *f = *state;
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        if (is_kept)
            mail_in_free(f->in);
        start(f, (struct session_limits){0});
        if (f->peer.stream)
            stream_close(f->peer.stream);
        f->peer.closed = false;
        greet(f);
        ask(f, "MAIL FROM:<>\r\n", "250");
        ask(f, "RCPT TO:<postmaster@bounce.example.jp>\r\n", "250");
        ask(f, "DATA\r\n", "354");
        stream_write(f->peer.stream, SLICE("x\r\n.\r\nNOOP\r\n"));
        buf_reset(&f->peer.got);
        until(f->loop, f->mail_count == 1);
        mail_in_stop(f->in);
        for (int i = 0; i < 5; i++)
            loop_turn(f->loop, 1);
        assert_int_equal(f->peer.got.len, 0);
        f->mail_count = 0;
        inbound_done(f->mails[0], is_kept);
        ask(f, "", "421 4.3.2");
        assert_true(slice_starts(buf_slice(&f->peer.got), is_kept ? SLICE("250 2.0.0 acc") : SLICE("452 4.3.1")));
        assert_true(slice_find(buf_slice(&f->peer.got), SLICE("250 2.0.0 ok")) < 0); /* NOOP came too late */
        until(f->loop, f->peer.closed);
        assert_int_equal(mail_in_pending(f->in), 0);
    }
}

/* ── M9: the sender's domain is asked about ── */

struct silent { /* says nothing until it is told to */
    struct resolver resolver;
    struct dns_request *asked[8];
    unsigned count;
};
static void silent_ask(struct resolver *resolver, struct dns_request *request)
{
    struct silent *silent = (struct silent *)resolver;
    silent->asked[silent->count++] = request;
}

/* Nobody is refused by a DNS that is silent; who goes away meanwhile, or a door that is closed, forgets the question.
 */
static void a_sender_while_the_dns_is_silent(void **state)
{
    struct fixture *f = *state;
    struct silent silent = {.resolver = {.ask = silent_ask}};
    f->world.resolver = &silent.resolver;
    start(f, (struct session_limits){0});
    greet(f);
    buf_reset(&f->peer.got);
    stream_write(f->peer.stream, SLICE("MAIL FROM:<ann@slow.example>\r\n"));
    until(f->loop, silent.count == 1);
    assert_int_equal(f->peer.got.len, 0);
    world_advance(&f->world, NULL_MX_ASK_MS);
    ask(f, "", "250 2.1.0");
    ask(f, "RSET\r\n", "250");
    ask(f, "MAIL FROM:<bob@slow.example>\r\n", "250 2.1.0"); /* known for a while */
    assert_int_equal(silent.count, 1);
    ask(f, "RSET\r\n", "250");
    stream_write(f->peer.stream, SLICE("MAIL FROM:<ann@gone.example>\r\n"));
    until(f->loop, silent.count == 2);
    stream_close(f->peer.stream);
    f->peer.stream = NULL;
    for (int i = 0; i < 10; i++)
        loop_turn(f->loop, 1);
    connect_peer(f, &f->others[0]);
    ask_peer(f, &f->others[0], "", "220");
    ask_peer(f, &f->others[0], "EHLO x.test\r\n", "250 ");
    stream_write(f->others[0].stream, SLICE("MAIL FROM:<ann@third.example>\r\n"));
    until(f->loop, silent.count == 3);
    mail_in_free(f->in); /* with an open question */
    f->world.resolver = NULL;
    start(f, (struct session_limits){0});
    for (unsigned i = 0; i < silent.count; i++)
        dns_request_failed(silent.asked[i], DNS_TRY_LATER, "silent");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_error_mail_is_kept),
        TEST(who_is_accepted),
        TEST(tls_comes_in_between),
        TEST(injection_before_tls),
        TEST(it_could_not_be_kept),
        TEST(the_answer_is_overdue),
        TEST(the_end_waits_for_an_answer),
        TEST(the_name_is_only_a_name),
        TEST(the_sender_leaves_first),
        TEST(slow_clients),
        TEST(a_handshake_that_never_begins),
        TEST(too_many),
        TEST(memory_is_bounded),
        TEST(a_circle),
        TEST(going_down),
        TEST(going_down_with_mail_under_way),
        TEST(a_sender_while_the_dns_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
