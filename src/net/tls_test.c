/* TLS both ways with real OpenSSL: upgrade in place, verification, resumption, and every way it goes wrong */
#include "net/peer_test.h"
#include "net/tls_inside.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

struct fixture {
    struct world world;
    struct loop *loop;
    struct peer client, server;
    struct tls_server *identity;
    struct tls_client *stranger; /* trusts nobody */
    struct tls_client *friend;   /* trusts the server's certificate */
};

static int set_up(void **state)
{
    static const char *const names[] = {"mx.example.com", "*.example.net", "127.0.0.1"};
    struct fixture *f = NEW(struct fixture);
    struct fault why;
    world_init(&f->world, NETWORK_LOOPBACK);
    f->loop = loop_new(&f->world);
    peers_init(f->loop, &f->client, &f->server);
    f->identity = tls_server_self_signed(names, COUNT_OF(names), &why);
    assert_non_null(f->identity);
    SCOPED(buf) pem = BUF(10000);
    tls_server_certificate(f->identity, &pem);
    struct tls_roots *none = tls_roots_none(), *some = tls_roots_none();
    assert_true(tls_roots_add(some, buf_slice(&pem), &why));
    assert_false(tls_roots_add(some, SLICE("no certificate"), &why));
    f->stranger = tls_client_new(none);
    f->friend = tls_client_new(some);
    tls_roots_free(none);
    tls_roots_free(some);
    *state = f;
    return 0;
}

static void again(struct fixture *f)
{
    peer_release(&f->client);
    peer_release(&f->server);
    peers_init(f->loop, &f->client, &f->server);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    peer_release(&f->client);
    peer_release(&f->server);
    loop_turn(f->loop, 0);
    tls_client_free(f->stranger);
    tls_client_free(f->friend);
    tls_server_free(f->identity);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void shake(struct fixture *f, struct tls_client *client, const char *name, enum tls_verify verify)
{
    struct tls_want want = {.client = client, .name = name, .verify = verify};
    stream_start_tls_client(f->client.stream, &want);
    stream_start_tls_server(f->server.stream, f->identity);
}

static void opportunistic_takes_anybody_and_says_so(void **state)
{
    struct fixture *f = *state;
    stream_write(f->server.stream, SLICE("220 go ahead\r\n")); /* leaves in clear, before the handshake */
    until(f->loop, f->client.got.len == 14);
    shake(f, f->stranger, "other.example", TLS_VERIFY_NONE);
    until(f->loop, f->client.is_secure && f->server.is_secure);
    assert_string_equal(f->client.tls.version, "TLSv1.3");
    assert_false(f->client.tls.is_verified);
    assert_true(f->client.tls.error[0] != '\0');
    stream_write(f->client.stream, SLICE("EHLO\r\n"));
    stream_write(f->server.stream, SLICE("250 OK\r\n"));
    until(f->loop, f->server.got.len == 6 && f->client.got.len == 22);
}

static void names_are_checked(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        bool fits;
    } rows[] = {
        {"mx.example.com", true}, {"MX.Example.Com", true},     {"a.example.net", true}, {"a.b.example.net", false},
        {"example.net", false},   {"other.example.com", false}, {"127.0.0.1", true},     {"127.0.0.2", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) { /* X19, R33: a wildcard is one label */
        again(f);
        shake(f, f->friend, rows[i].name, TLS_VERIFY_NAME);
        until(f->loop, (f->client.is_secure && f->server.is_secure) || f->client.closed);
        assert_int_row(rows[i].name, f->client.is_secure, rows[i].fits);
        if (rows[i].fits) {
            assert_row(rows[i].name, f->client.tls.is_verified);
            continue;
        }
        assert_int_row(rows[i].name, f->client.end.why, STREAM_TLS);
        assert_row(rows[i].name, strstr(f->client.end.text, "certificate not accepted: "));
        until(f->loop, f->server.closed);
        assert_int_row(rows[i].name, f->server.end.why, STREAM_TLS);
    }
}

static void unknown_roots_are_refused(void **state)
{
    struct fixture *f = *state;
    shake(f, f->stranger, "mx.example.com", TLS_VERIFY_NAME);
    until(f->loop, f->client.closed);
    assert_int_equal(f->client.end.why, STREAM_TLS);
    assert_non_null(strstr(f->client.end.text, "self-signed certificate"));
}

static void dane(void **state)
{
    struct fixture *f = *state;
    unsigned char digest[32], wrong[32] = {0};
    unsigned len = sizeof(digest);
    /* 3 1 1: SHA-256 of the public key; through a session, since tls_server is closed to us */
    SCOPED(buf) pem = BUF(10000);
    tls_server_certificate(f->identity, &pem);
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    assert_int_equal(EVP_Digest(der, (size_t)der_len, digest, &len, EVP_sha256(), NULL), 1);
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(bio);

    struct tlsa right = {3, 1, 1, slice_of(digest, 32)}, bad = {3, 1, 1, slice_of(wrong, 32)},
                pkix = {1, 1, 1, slice_of(digest, 32)};
    const struct {
        const char *row;
        const struct tlsa *tlsa;
        bool fits;
    } rows[] = {{"the key, another name", &right, true}, {"another key", &bad, false}, {"PKIX usage", &pkix, false}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        again(f);
        struct tls_want want = {.client = f->stranger,
                                .name = "unrelated.example",
                                .verify = TLS_VERIFY_DANE,
                                .tlsa = rows[i].tlsa,
                                .tlsa_count = 1};
        stream_start_tls_client(f->client.stream, &want);
        stream_start_tls_server(f->server.stream, f->identity);
        until(f->loop, f->client.is_secure || f->client.closed);
        assert_int_row(rows[i].row, f->client.is_secure, rows[i].fits);
    }
}

static void sessions_are_resumed(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        again(f);
        shake(f, f->friend, "mx.example.com", TLS_VERIFY_NAME);
        until(f->loop, f->client.is_secure && f->server.is_secure);
        stream_write(f->server.stream, SLICE("ticket comes with this"));
        until(f->loop, f->client.got.len == 22);
        assert_int_equal(f->client.tls.is_resumed, i > 0);
        assert_true(f->client.tls.is_verified);
    }
    again(f); /* not for another name */
    shake(f, f->friend, "a.example.net", TLS_VERIFY_NAME);
    until(f->loop, f->client.is_secure);
    assert_false(f->client.tls.is_resumed);
}

/* A server that cannot go on with a session and says nothing of it must not be offered that one for ever. */
static void a_session_that_leads_nowhere_is_forgotten(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 4; i++) {
        again(f);
        if (i == 2) { /* it hangs up upon it */
            const struct tls_want want = {.client = f->friend, .name = "mx.example.com", .verify = TLS_VERIFY_NAME};
            stream_start_tls_client(f->client.stream, &want);
            until(f->loop, f->server.got.len > 0);
            stream_close(f->server.stream);
            f->server.stream = NULL;
            until(f->loop, f->client.closed == 1);
            assert_int_equal(f->client.end.why, STREAM_TLS);
            continue;
        }
        shake(f, f->friend, "mx.example.com", TLS_VERIFY_NAME);
        until(f->loop, f->client.is_secure && f->server.is_secure);
        stream_write(f->server.stream, SLICE("ticket comes with this"));
        until(f->loop, f->client.got.len == 22);
        assert_int_equal(f->client.tls.is_resumed, i == 1);
    }
}

static void a_megabyte_over_tls(void **state)
{
    struct fixture *f = *state;
    SCOPED(buf) big = BUF(3 << 20);
    for (uint32_t i = 0; big.len < 3u << 20; i++)
        buf_append(&big, slice_of(&i, sizeof(i)));
    shake(f, f->stranger, "x.example", TLS_VERIFY_NONE);
    stream_write(f->client.stream, buf_slice(&big)); /* queued until the handshake is done: never in clear */
    until(f->loop, f->server.got.len == big.len);
    assert_memory_equal(f->server.got.ptr, big.ptr, big.len);
    stream_pause(f->server.stream);
    stream_write(f->client.stream, buf_slice(&big));
    for (int i = 0; i < 20; i++)
        loop_turn(f->loop, 0);
    stream_resume(f->server.stream); /* what OpenSSL has read already comes too */
    until(f->loop, f->server.got.len == 2 * big.len);
    stream_end_writing(f->client.stream);
    until(f->loop, f->server.closed);
    assert_int_equal(f->server.end.why, STREAM_EOF);
}

/* --- wrong --- */

static struct tls_server *identity_for_react;
static void start_tls_on_first_line(struct peer *peer)
{
    peer->uses_at_most = 10;
    stream_write(peer->stream, SLICE("220 ready\r\n"));
    stream_start_tls_server(peer->stream, identity_for_react);
}

static void plaintext_behind_starttls_ends_it(void **state)
{
    struct fixture *f = *state; /* R4, X2, M13: injected commands must not survive into the secure session */
    identity_for_react = f->identity;
    f->server.react = start_tls_on_first_line;
    f->server.uses_at_most = 10;
    stream_write(f->client.stream, SLICE("STARTTLS\r\nRSET\r\n"));
    until(f->loop, f->server.closed);
    assert_int_equal(f->server.end.why, STREAM_TLS);
    assert_string_equal(f->server.end.text, "bytes in clear after STARTTLS (injection)");
}

static void plaintext_in_its_own_segment_ends_it_too(void **state)
{
    struct fixture *f = *state;
    identity_for_react = f->identity;
    f->server.react = start_tls_on_first_line;
    stream_write(f->client.stream, SLICE("STARTTLS\r\n"));
    until(f->loop, f->client.got.len == 11);
    stream_write(f->client.stream, SLICE("MAIL FROM:<a@b>\r\n"));
    until(f->loop, f->server.closed);
    assert_int_equal(f->server.end.why, STREAM_TLS);
    assert_non_null(strstr(f->server.end.text, "TLS handshake: "));
}

static void lost_in_the_middle_of_the_handshake(void **state)
{
    struct fixture *f = *state;
    struct tls_want want = {.client = f->stranger, .name = "x.example"};
    stream_start_tls_client(f->client.stream, &want);
    until(f->loop, f->server.got.len > 100); /* the ClientHello, taken as plain bytes */
    assert_int_equal(f->server.got.ptr[0], 0x16);
    stream_close(f->server.stream);
    f->server.stream = NULL;
    until(f->loop, f->client.closed);
    assert_int_equal(f->client.end.why, STREAM_TLS);
    assert_non_null(strstr(f->client.end.text, "the peer ended during the TLS handshake"));
}

static void a_peer_that_speaks_no_tls(void **state)
{
    struct fixture *f = *state;
    struct tls_want want = {.client = f->stranger, .name = "x.example"};
    stream_start_tls_client(f->client.stream, &want);
    stream_write(f->server.stream, SLICE("454 4.7.0 TLS not available\r\n"));
    until(f->loop, f->client.closed);
    assert_int_equal(f->client.end.why, STREAM_TLS);
}

static void a_silent_handshake_meets_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct tls_want want = {.client = f->stranger, .name = "x.example"};
    stream_start_tls_client(f->client.stream, &want);
    stream_deadline(f->client.stream, 20, "TLS");
    until(f->loop, f->client.closed);
    assert_int_equal(f->client.end.why, STREAM_TIMEOUT);
}

static void old_versions_are_refused(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[0]);
    SSL_connect(ssl);
    struct peer peer;
    peer_init(&peer);
    peer.stream = stream_adopt(f->loop, fds[1], NULL, 0, 0, &peer_events, &peer);
    stream_start_tls_server(peer.stream, f->identity);
    until(f->loop, peer.closed);
    assert_int_equal(peer.end.why, STREAM_TLS);
    assert_non_null(strstr(peer.end.text, "unsupported protocol"));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fds[0]);
    peer_release(&peer);
}

static void files_that_are_wrong(void **state)
{
    struct fault why;
    static const struct tls_files nowhere = {"/nonexistent/chain.pem", "/nonexistent/key.pem"};
    assert_null(tls_server_from_pairs(&nowhere, 1, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_string_equal(why.text, "/nonexistent/chain.pem: No such file or directory");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH(opportunistic_takes_anybody_and_says_so),
        WITH(names_are_checked),
        WITH(unknown_roots_are_refused),
        WITH(dane),
        WITH(sessions_are_resumed),
        WITH(a_session_that_leads_nowhere_is_forgotten),
        WITH(a_megabyte_over_tls),
        WITH(plaintext_behind_starttls_ends_it),
        WITH(plaintext_in_its_own_segment_ends_it_too),
        WITH(lost_in_the_middle_of_the_handshake),
        WITH(a_peer_that_speaks_no_tls),
        WITH(a_silent_handshake_meets_the_deadline),
        WITH(old_versions_are_refused),
        cmocka_unit_test(files_that_are_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
