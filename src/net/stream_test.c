/* Streams over real sockets: bytes both ways, backpressure, every kind of end */
#include "net/loop_inside.h"
#include "net/peer_test.h"

#include <sys/un.h>

struct fixture {
    struct world world;
    struct loop *loop;
    struct peer a, b;
};

static int set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);
    world_init(&f->world, NETWORK_LOOPBACK);
    f->loop = loop_new(&f->world);
    peers_init(f->loop, &f->a, &f->b);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    peer_release(&f->a);
    peer_release(&f->b);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void bytes_both_ways(void **state)
{
    struct fixture *f = *state;
    stream_write(f->a.stream, SLICE("EHLO a\r\n"));
    stream_write(f->a.stream, SLICE("QUIT\r\n"));
    until(f->loop, f->b.got.len == 14);
    assert_int_equal(f->b.offers, 1); /* two writes, one segment */
    stream_write(f->b.stream, SLICE("221 bye\r\n"));
    until(f->loop, f->a.got.len == 9 && f->a.drained == 1);
    assert_int_equal(f->a.opened, 0);
}

/* However many are written to in one turn, few queues are in memory; one that was asked for in vain is not. */
static void many_written_to_in_one_turn(void **state)
{
    enum { MANY = 400 };
    struct fixture *f = *state;
    size_t before = f->loop->lent;
    struct peer *peers = NEW_ARRAY(struct peer, 2 * MANY);
    for (int i = 0; i < MANY; i++) {
        peers_init(f->loop, &peers[2 * i], &peers[2 * i + 1]);
        stream_out(peers[2 * i].stream);
        stream_written(peers[2 * i].stream);
    }
    assert_int_equal(f->loop->lent, before);
    for (int i = 0; i < MANY; i++) {
        buf_text(stream_out(peers[2 * i].stream), "EHLO a\r\n");
        stream_written(peers[2 * i].stream);
        assert_true(f->loop->lent <= LOOP_LENT_MANY + 1);
    }
    for (int i = 0; i < MANY; i++)
        until(f->loop, peers[2 * i + 1].got.len == 8);
    assert_int_equal(f->loop->lent, before);
    for (int i = 0; i < 2 * MANY; i++)
        peer_release(&peers[i]);
    free(peers);
}

static void ten_megabytes_through_a_narrow_socket(void **state)
{
    struct fixture *f = *state;
    SCOPED(buf) big = BUF(10 << 20);
    for (uint32_t i = 0; big.len < 10u << 20; i++)
        buf_append(&big, slice_of(&i, sizeof(i)));
    stream_write(f->a.stream, buf_slice(&big));
    until(f->loop, f->b.got.len == big.len);
    assert_memory_equal(f->b.got.ptr, big.ptr, big.len);
    until(f->loop, f->a.drained == 1);
}

static void what_is_not_used_comes_again(void **state)
{
    struct fixture *f = *state;
    f->b.uses_at_most = 3;
    stream_write(f->a.stream, SLICE("abcdefgh"));
    until(f->loop, f->b.got.len == 3);
    stream_write(f->a.stream, SLICE("ij"));
    until(f->loop, f->b.got.len == 6);
    stream_resume(f->b.stream);
    until(f->loop, f->b.got.len == 9);
    stream_resume(f->b.stream);
    until(f->loop, f->b.got.len == 10);
    assert_slice("all", buf_slice(&f->b.got), SLICE("abcdefghij"));
}

static void unread_bytes_are_bounded(void **state)
{
    struct fixture *f = *state;
    f->b.uses_nothing = true;
    SCOPED(buf) big = BUF(4 << 20);
    while (big.len < 4u << 20)
        buf_text(&big, "0123456789abcdef");
    stream_write(f->a.stream, buf_slice(&big));
    for (int i = 0; i < 200; i++)
        loop_turn(f->loop, 0);
    assert_int_equal(f->b.offered, 65536);
    assert_true(stream_queued(f->a.stream) > 0);
}

static void pause_and_resume(void **state)
{
    struct fixture *f = *state;
    stream_pause(f->b.stream);
    stream_write(f->a.stream, SLICE("hello"));
    for (int i = 0; i < 10; i++)
        loop_turn(f->loop, 0);
    assert_int_equal(f->b.got.len, 0);
    stream_resume(f->b.stream);
    until(f->loop, f->b.got.len == 5);
}

static void the_other_side_ends(void **state)
{
    struct fixture *f = *state;
    stream_write(f->a.stream, SLICE("last words"));
    stream_end_writing(f->a.stream);
    until(f->loop, f->b.closed == 1);
    assert_int_equal(f->b.end.why, STREAM_EOF);
    assert_true(f->b.end.was_open);
    assert_slice("words", buf_slice(&f->b.got), SLICE("last words"));
    until(f->loop, f->a.closed == 1);
}

static void close_says_nothing_to_its_owner(void **state)
{
    struct fixture *f = *state;
    stream_close(f->a.stream);
    f->a.stream = NULL;
    until(f->loop, f->b.closed == 1);
    assert_int_equal(f->a.closed, 0);
}

static void close_inside(struct peer *peer)
{
    stream_close(peer->stream);
    peer->stream = NULL;
}

static void close_from_inside_a_callback(void **state)
{
    struct fixture *f = *state;
    f->b.react = close_inside;
    stream_write(f->a.stream, SLICE("x"));
    until(f->loop, f->a.closed == 1);
    assert_int_equal(f->b.closed, 0);
}

static void leave_writes_what_is_queued(void **state)
{
    struct fixture *f = *state;
    SCOPED(buf) big = BUF(3 << 20);
    while (big.len < 2u << 20)
        buf_text(&big, "a reply that must not be lost to a reset\r\n");
    stream_write(f->b.stream, SLICE("bytes that nobody will read"));
    stream_write(f->a.stream, buf_slice(&big));
    stream_leave(f->a.stream, 5000);
    f->a.stream = NULL;
    until(f->loop, f->b.closed == 1);
    assert_int_equal(f->b.got.len, big.len);
    assert_int_equal(f->b.end.why, STREAM_EOF);
    assert_int_equal(f->a.closed + f->a.offers, 0);
}

/* Who is still leaving when the loop goes, goes with it: no descriptor and no memory stays behind. */
static void who_leaves_goes_with_the_loop(void **state)
{
    enum { STREAMS = 3 };
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct loop *loop = loop_new(&world);
    struct peer peers[STREAMS];
    int fds[STREAMS][2];
    for (int i = 0; i < STREAMS; i++) {
        peer_init(&peers[i]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds[i]), 0);
        peers[i].stream = stream_adopt(loop, fds[i][0], NULL, 0, 0, &peer_events, &peers[i]);
        stream_write(peers[i].stream, SLICE("bye"));
        stream_leave(peers[i].stream, 5000);
        peers[i].stream = NULL;
    }
    loop_turn(loop, 0);
    close(fds[1][1]); /* one has left in time, from the middle */
    loop_turn(loop, 0);
    loop_free(loop);
    for (int i = 0; i < STREAMS; i++) {
        char said[10];
        assert_int_equal(fcntl(fds[i][0], F_GETFD), -1);
        if (i != 1) {
            assert_int_equal(read(fds[i][1], said, sizeof(said)), 3);
            assert_int_equal(read(fds[i][1], said, sizeof(said)), 0);
            close(fds[i][1]);
        }
        assert_int_equal(peers[i].closed, 0);
        peer_release(&peers[i]);
    }
}

static void a_full_queue_ends_the_stream(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    struct peer small;
    peer_init(&small);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    small.stream = stream_adopt(f->loop, fds[0], NULL, 0, 1000, &peer_events, &small);
    assert_int_equal(stream_room(small.stream), 1000);
    for (int i = 0; i < 200; i++)
        stream_write(small.stream, SLICE("0123456789"));
    assert_int_equal(stream_room(small.stream), 0);
    until(f->loop, small.closed == 1);
    assert_int_equal(small.end.why, STREAM_LOCAL);
    close(fds[1]);
    peer_release(&small);
}

static void a_deadline_is_kept_by_the_worlds_clock(void **state)
{
    struct world world;
    struct peer a, b;
    world_init_manual(&world, 0, 1);
    struct loop *loop = loop_new(&world);
    peers_init(loop, &a, &b);
    stream_deadline(a.stream, 300000, "banner");
    world_advance(&world, 299999);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(a.closed, 0);
    stream_deadline(a.stream, 60000, "MAIL");
    world_advance(&world, 59999);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(a.closed, 0);
    world_advance(&world, 1);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.end.why, STREAM_TIMEOUT);
    assert_string_equal(a.end.text, "MAIL: no answer in 60 s");
    peer_release(&a);
    peer_release(&b);
    loop_free(loop);
}

/* --- TCP: connect --- */

static int listening(struct endpoint *at, int backlog)
{
    struct sockaddr_storage address;
    socklen_t len;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct endpoint){ip_v4(127, 0, 0, 1), 0};
    len = endpoint_to_sockaddr(at, &address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    endpoint_of_sockaddr(&address, at);
    return fd;
}

static void connects_from_the_source_it_is_told(void **state)
{
    struct fixture *f = *state;
    struct stream_target to = {.from = ip_v4(127, 3, 2, 1)};
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    struct endpoint peer;
    int listener = listening(&to.to, 10);
    struct peer c;
    peer_init(&c);
    c.stream = stream_connect(f->loop, &to, &peer_events, &c);
    stream_write(c.stream, SLICE("early")); /* queued until it is open */
    until(f->loop, c.opened == 1 && c.drained == 1);
    int fd = accept(listener, (struct sockaddr *)&from, &len);
    endpoint_of_sockaddr(&from, &peer);
    assert_true(ip_equal(&peer.ip, &to.from));
    assert_true(stream_local(c.stream).port == peer.port);
    char got[8];
    assert_int_equal(recv(fd, got, sizeof(got), MSG_WAITALL & 0), 5);

    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd); /* RST */
    until(f->loop, c.closed == 1);
    assert_int_equal(c.end.why, STREAM_RESET);
    assert_non_null(strstr(c.end.text, "Connection reset by peer"));
    peer_release(&c);
    close(listener);
}

static void refused(void **state)
{
    struct fixture *f = *state;
    struct stream_target to = {0};
    struct peer c;
    peer_init(&c);
    int fd = listening(&to.to, -1); /* bound, not listening: nobody else can take the port meanwhile */
    c.stream = stream_connect(f->loop, &to, &peer_events, &c);
    assert_int_equal(c.closed, 0); /* never from inside */
    until(f->loop, c.closed == 1);
    assert_int_equal(c.end.why, STREAM_REFUSED);
    assert_false(c.end.was_open);
    assert_non_null(strstr(c.end.text, ": Connection refused"));
    close(fd);
    peer_release(&c);
}

static void silent(void **state)
{
    struct fixture *f = *state;
    struct stream_target to = {.deadline_ms = 20};
    struct peer filler[3], c;
    int listener = listening(&to.to, 0); /* a full backlog: SYNs are dropped */
    struct stream_target fill = {.to = to.to};
    for (size_t i = 0; i < COUNT_OF(filler); i++) {
        peer_init(&filler[i]);
        filler[i].stream = stream_connect(f->loop, &fill, &peer_events, &filler[i]);
    }
    until(f->loop, filler[0].opened == 1);
    peer_init(&c);
    c.stream = stream_connect(f->loop, &to, &peer_events, &c);
    until(f->loop, c.closed == 1);
    assert_int_equal(c.end.why, STREAM_TIMEOUT);
    assert_non_null(strstr(c.end.text, "connect: no answer in 1 s"));
    for (size_t i = 0; i < COUNT_OF(filler); i++)
        peer_release(&filler[i]);
    peer_release(&c);
    close(listener);
}

static void policy_and_local_faults(void **state)
{
    struct fixture *f = *state;
    struct peer c;
    peer_init(&c);
    struct stream_target away = {.to = {ip_v4(192, 168, 0, 1), 25}};
    c.stream = stream_connect(f->loop, &away, &peer_events, &c);
    until(f->loop, c.closed == 1);
    assert_int_equal(c.end.why, STREAM_POLICY);
    assert_string_equal(c.end.text, "192.168.0.1: only loopback may be connected in demo, bench and tests");

    struct stream_target foreign = {.to = {ip_v4(127, 0, 0, 1), 9}, .from = ip_v4(203, 0, 113, 9)};
    c.stream = stream_connect(f->loop, &foreign, &peer_events, &c);
    until(f->loop, c.closed == 2);
    assert_int_equal(c.end.why, STREAM_LOCAL);
    assert_non_null(strstr(c.end.text, "source address 203.0.113.9"));

    c.stream = stream_connect(f->loop, &away, &peer_events, &c); /* closed before it hears of its end */
    stream_close(c.stream);
    c.stream = NULL;
    loop_turn(f->loop, 0);
    assert_int_equal(c.closed, 2);
    peer_release(&c);
}

static void idle_streams_hold_no_buffers(void **state)
{
    struct fixture *f = *state;
    stream_write(f->a.stream, SLICE("one"));
    until(f->loop, f->b.got.len == 3 && f->a.drained == 1);
    assert_null(stream_queued(f->a.stream) ? "" : NULL);
    assert_int_equal(f->loop->spare_count, 1);
    stream_write(f->b.stream, SLICE("two"));
    assert_int_equal(f->loop->spare_count, 0); /* the same memory again */
    until(f->loop, f->a.got.len == 3);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH(bytes_both_ways),
        WITH(many_written_to_in_one_turn),
        WITH(ten_megabytes_through_a_narrow_socket),
        WITH(what_is_not_used_comes_again),
        WITH(unread_bytes_are_bounded),
        WITH(pause_and_resume),
        WITH(the_other_side_ends),
        WITH(close_says_nothing_to_its_owner),
        WITH(close_from_inside_a_callback),
        WITH(leave_writes_what_is_queued),
        cmocka_unit_test(who_leaves_goes_with_the_loop),
        WITH(a_full_queue_ends_the_stream),
        cmocka_unit_test(a_deadline_is_kept_by_the_worlds_clock),
        WITH(connects_from_the_source_it_is_told),
        WITH(refused),
        WITH(silent),
        WITH(policy_and_local_faults),
        WITH(idle_streams_hold_no_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
