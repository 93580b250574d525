/* The playground as the demo uses it: only on a loopback network, asked from another thread, stopped and started again
 */
#include "app/playground.h"
#include "base/test.h"
#include "dns/zone.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct playground_sender sender = {
    .domain = "shop.example",
    .return_path_domain = "bounce.shop.example",
    .ehlo_name = "mta.shop.example",
    .feedback_address = "fbl@bounce.shop.example",
    .mail_in = {4, {127, 0, 0, 1}},
    .source = {4, {127, 0, 0, 1}},
};

static uint16_t free_port(void)
{
    return (uint16_t)(41000 + getpid() % 20000);
}

static void make_world(struct world *world, enum network_mode mode)
{
    struct fault why;
    SCOPED(buf) zone = BUF(1 << 20);
    world_init(world, mode);
    world->network.smtp_port = free_port();
    playground_zone(&sender, &zone);
    world->resolver = zone_resolver_of_json(buf_slice(&zone), &why);
    if (!world->resolver)
        fail_msg("%s", why.text);
}

static void another_network_is_refused(void **state)
{
    struct world world;
    struct fault why;
    make_world(&world, NETWORK_PUBLIC);
    struct playground_options options = {.world = &world, .sender = &sender};
    assert_null(playground_start(&options, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    resolver_free(world.resolver);
}

static void a_file_that_cannot_be_written_is_named(void **state)
{
    struct world world;
    struct fault why;
    make_world(&world, NETWORK_LOOPBACK);
    struct playground_options options = {.world = &world, .sender = &sender, .inbox_path = "/nowhere/inbox"};
    assert_null(playground_start(&options, &why));
    assert_int_equal(why.kind, FAULT_WORLD);
    assert_true(slice_find(slice_str(why.text), SLICE("/nowhere/inbox")) >= 0);
    resolver_free(world.resolver);
}

/* Speak, and read until the reply that begins with `want` has come. */
static void say(int fd, const char *line, const char *want)
{
    char got[4096];
    size_t len = 0;
    if (line)
        assert_int_equal(write(fd, line, strlen(line)), strlen(line));
    for (;;) {
        ssize_t n = read(fd, got + len, sizeof(got) - len);
        if (n <= 0)
            fail_msg("no \"%s\" after \"%s\": %.*s", want, line ? line : "", (int)len, got);
        len += (size_t)n;
        struct slice rest = slice_of(got, len), reply;
        while (slice_line(&rest, &reply))
            if (slice_starts(reply, slice_str(want)))
                return;
    }
}

static void send_mail(const char *to)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(free_port())};
    struct timeval long_enough = {.tv_sec = 90};
    char line[300];
    inet_pton(AF_INET, "127.25.1.2", &at.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &long_enough, sizeof(long_enough));
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    say(fd, NULL, "220 ");
    say(fd, "EHLO mta.shop.example\r\n", "250 ");
    say(fd, "MAIL FROM:<b-1@bounce.shop.example>\r\n", "250 ");
    snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", to);
    say(fd, line, "250 ");
    say(fd, "DATA\r\n", "354 ");
    say(fd, "From: news@shop.example\r\nSubject: hello\r\n\r\nhello\r\n.\r\n", "250 ");
    close(fd);
}

static void it_is_asked_while_it_runs_and_starts_again(void **state)
{
    for (int round = 0; round < 2; round++) {
        struct world world;
        struct fault why;
        struct arena arena = {NULL};
        struct inbox_row *rows, row;
        struct playground_counts counts;
        struct slice mail;
        size_t count;
        uint64_t next, total;
        make_world(&world, NETWORK_LOOPBACK);
        struct playground_options options = {.world = &world, .sender = &sender};
        struct playground *playground = playground_start(&options, &why);
        if (!playground)
            fail_msg("%s", why.text);
        send_mail("taro+accept@yahoo-jp.example");
        send_mail("taro+vacation@yahoo-jp.example"); /* its reply waits when the playground stops */
        playground_inbox_list(playground, SLICE("hello"), 0, 10, &arena, &rows, &count, &next, &total);
        assert_int_equal(count, 2);
        assert_slice("to", rows[1].to, SLICE("taro+accept@yahoo-jp.example"));
        assert_slice("label", rows[1].label, SLICE("Yahoo!-JAPAN-like"));
        assert_true(playground_inbox_get(playground, rows[1].id, &arena, &row, &mail));
        assert_true(slice_ends(mail, SLICE("\r\n\r\nhello\r\n")));
        assert_false(playground_inbox_get(playground, 99, &arena, &row, &mail));
        playground_counts(playground, &counts);
        assert_int_equal(counts.accepted, 2);
        assert_int_equal(counts.fate[FATE_VACATION], 1);
        assert_int_equal(counts.notices_waiting, 1);

        struct playground *second = playground_start(&options, &why);
        assert_null(second); /* the ports are taken: one line that says so */
        assert_int_equal(why.kind, FAULT_WORLD);
        playground_stop(playground);
        resolver_free(world.resolver);
        arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_network_is_refused),
        cmocka_unit_test(a_file_that_cannot_be_written_is_named),
        cmocka_unit_test(it_is_asked_while_it_runs_and_starts_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
