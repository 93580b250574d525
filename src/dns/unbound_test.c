/* libunbound against a small authoritative server on loopback: answers, silence, failure, forgery, and the end */
#include "base/test.h"
#include "dns/unbound.h"
#include "net/world.h"

#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>

/* Answers for zone "lab." ("test." is answered by libunbound itself, RFC 6761): a fixed answer for each name, by its
 * first letter. */
struct authority {
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic int asked;
};

static void put(struct buf *out, const char *bytes, size_t len)
{
    buf_append(out, slice_of(bytes, len));
}
#define PUT(out, bytes) put((out), (bytes), sizeof(bytes) - 1)

/* MX 10 mx.lab for "m...", A 127.0.0.5 for "a..." and "mx", NXDOMAIN for "n...", SERVFAIL for "s...", else no data */
static bool respond(struct slice query, struct buf *out)
{
    if (query.len < 17 || query.len > 500)
        return false;
    size_t end = 12;
    while (end < query.len && query.ptr[end])
        end += (size_t)(unsigned char)query.ptr[end] + 1;
    end += 5;
    if (end > query.len)
        return false;
    char first = ascii_lower(query.ptr[13]);
    unsigned type = (unsigned char)query.ptr[end - 3];
    bool has_mx = type == 15 && first == 'm', has_a = type == 1 && (first == 'a' || first == 'm');
    unsigned rcode = first == 'n' ? 3 : first == 's' ? 2 : 0;
    if (query.ptr[12] == 3 && memcmp(query.ptr + 13, "lab", 3) == 0)
        rcode = 0; /* the apex, when names are minimised */
    put(out, query.ptr, 2);
    buf_byte(out, (char)0x84);
    buf_byte(out, (char)rcode);
    PUT(out, "\0\1\0");
    buf_byte(out, has_mx || has_a);
    PUT(out, "\0\0\0\0");
    put(out, query.ptr + 12, end - 12);
    if (has_mx)
        PUT(out, "\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\x0a\0\x0a\2mx\3lab\0");
    if (has_a)
        PUT(out, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\5");
    return true;
}

static void *serve(void *arg)
{
    struct authority *authority = arg;
    char query[600];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t got;
    while ((got = recvfrom(authority->fd, query, sizeof(query), 0, (struct sockaddr *)&from, &len)) > 1) {
        SCOPED(buf) answer = BUF(1000);
        authority->asked++;
        if (respond(slice_of(query, (size_t)got), &answer))
            sendto(authority->fd, answer.ptr, answer.len, 0, (const struct sockaddr *)&from, len);
        len = sizeof(from);
    }
    return NULL;
}

static void authority_begin(struct authority *authority)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    authority->asked = 0;
    authority->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(authority->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    getsockname(authority->fd, (struct sockaddr *)&at, &len);
    authority->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&authority->thread, NULL, serve, authority), 0);
}

static void authority_end(struct authority *authority)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(authority->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sendto(authority->fd, "", 1, 0, (struct sockaddr *)&at, sizeof(at)); /* one octet ends it */
    pthread_join(authority->thread, NULL);
    close(authority->fd);
}

static void a_real_conversation(void **state)
{
    static const struct {
        const char *name;
        enum dns_type type;
        enum dns_status status;
    } rows[] = {
        {"mail.lab", DNS_MX, DNS_FOUND},      {"a.lab", DNS_A, DNS_FOUND},    {"nothing.lab", DNS_MX, DNS_NO_NAME},
        {"broken.lab", DNS_TXT, DNS_NO_DATA}, {"a.lab", DNS_MX, DNS_NO_DATA}, {"servfail.lab", DNS_A, DNS_TRY_LATER},
    };
    struct authority authority;
    struct world world;
    struct fault why;
    struct arena arena = {0};
    char server[40];
    world_init(&world, NETWORK_LOOPBACK);
    authority_begin(&authority);
    snprintf(server, sizeof(server), "127.0.0.1@%u", authority.port);
    const char *stubs[] = {"lab.", server, NULL};
    struct unbound_options options = {.stubs = stubs, .is_insecure = true};
    world.resolver = unbound_resolver_new(&world, &options, &why);
    if (!world.resolver)
        fail_msg("%s", why.text);
    struct loop *loop = loop_new(&world);
    struct dns_client *client = dns_client_new(loop);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct dns_answer answer;
        dns_ask_and_wait(client, slice_str(rows[i].name), rows[i].type, &arena, &answer);
        assert_slice(rows[i].name, dns_status_word(answer.status), dns_status_word(rows[i].status));
        assert_false(answer.is_secure);
        if (rows[i].type == DNS_MX && answer.count)
            assert_slice("mx", answer.records[0].name, SLICE("mx.lab"));
    }
    assert_true(authority.asked > 0);
    dns_client_free(client);
    loop_free(loop);
    resolver_free(world.resolver);
    authority_end(&authority);
    arena_release(&arena);
}

static void unsigned_under_an_anchor_is_bogus(void **state)
{
    struct authority authority;
    struct world world;
    struct fault why;
    struct arena arena = {0};
    struct dns_answer answer;
    char server[40];
    world_init(&world, NETWORK_LOOPBACK);
    authority_begin(&authority);
    snprintf(server, sizeof(server), "127.0.0.1@%u", authority.port);
    const char *stubs[] = {"lab.", server, NULL};
    const char *anchors[] = {"lab. IN DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
                             NULL};
    struct unbound_options options = {.stubs = stubs, .anchors = anchors};
    world.resolver = unbound_resolver_new(&world, &options, &why);
    if (!world.resolver)
        fail_msg("%s", why.text);
    struct loop *loop = loop_new(&world);
    struct dns_client *client = dns_client_new(loop);
    dns_ask_and_wait(client, SLICE("a.lab"), DNS_A, &arena, &answer);
    assert_slice("R30", dns_status_word(answer.status), SLICE("bogus"));
    assert_true(answer.why.len > 0);
    dns_client_free(client);
    loop_free(loop);
    resolver_free(world.resolver);
    authority_end(&authority);
    arena_release(&arena);
}

static void on_answer(void *owner, const struct dns_answer *answer)
{
    ++*(int *)owner;
}

/* Everything may end while questions are open: client first, or resolver first. */
static void ends_with_questions_open(void **state)
{
    struct world world;
    struct fault why;
    int answers = 0;
    for (int round = 0; round < 4; round++) {
        int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* bound, never read: no answer comes */
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(at);
        char server[40];
        assert_int_equal(bind(silent, (struct sockaddr *)&at, sizeof(at)), 0);
        getsockname(silent, (struct sockaddr *)&at, &len);
        snprintf(server, sizeof(server), "127.0.0.1@%u", ntohs(at.sin_port));
        const char *stubs[] = {"lab.", server, NULL};
        struct unbound_options options = {.stubs = stubs, .is_insecure = true};
        world_init(&world, NETWORK_LOOPBACK);
        world.resolver = unbound_resolver_new(&world, &options, &why);
        struct loop *loop = loop_new(&world);
        struct dns_client *client = dns_client_new(loop);
        for (int i = 0; i < 20; i++) {
            char name[30];
            snprintf(name, sizeof(name), "n%d.lab", i);
            dns_ask(client, slice_str(name), DNS_A, on_answer, &answers);
        }
        if (round % 2)
            loop_turn(loop, 20);
        if (round < 2) {
            dns_client_free(client);
            resolver_free(world.resolver);
        } else {
            resolver_free(world.resolver);
            world.resolver = NULL;
            loop_turn(loop, 0);
            loop_turn(loop, 0);
            assert_int_equal(answers, 20); /* all were told: try later */
            answers = 0;
            dns_client_free(client);
        }
        loop_free(loop);
        close(silent);
    }
    assert_int_equal(answers, 0);
}

static void the_playground_asks_loopback_only(void **state)
{
    struct world world;
    struct fault why;
    struct arena arena = {0};
    struct dns_answer answer;
    world_init(&world, NETWORK_LOOPBACK);
    struct unbound_options away = {.forward = "192.0.2.53"};
    assert_null(unbound_resolver_new(&world, &away, &why));
    assert_string_equal(why.text, "dns: 192.0.2.53: only loopback servers may be asked in demo, bench and tests");
    const char *stubs[] = {"example.com.", "192.0.2.53@53", NULL};
    struct unbound_options stub = {.stubs = stubs};
    assert_null(unbound_resolver_new(&world, &stub, &why));
    struct unbound_options wrong = {.anchor_file = "/nonexistent/root.key"};
    assert_null(unbound_resolver_new(&world, &wrong, &why));
    assert_non_null(strstr(why.text, "/nonexistent/root.key"));

    struct unbound_options none = {.is_insecure = true}; /* with nothing to ask, nobody is asked */
    world.resolver = unbound_resolver_new(&world, &none, &why);
    struct loop *loop = loop_new(&world);
    struct dns_client *client = dns_client_new(loop);
    dns_ask_and_wait(client, SLICE("example.com"), DNS_A, &arena, &answer);
    assert_slice("refused", dns_status_word(answer.status), SLICE("try_later"));
    dns_client_free(client);
    loop_free(loop);
    resolver_free(world.resolver);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_conversation),
        cmocka_unit_test(unsigned_under_an_anchor_is_bogus),
        cmocka_unit_test(ends_with_questions_open),
        cmocka_unit_test(the_playground_asks_loopback_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
