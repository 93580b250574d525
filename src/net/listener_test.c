/* Listening: a free port, a port in use, accepting and handing over */
#include "net/peer_test.h"

struct door {
    struct loop *loop;
    struct peer peers[4];
    int count;
    bool is_one_shot;
    struct listener *listener;
};

static void on_accept(void *owner, int fd, const struct endpoint *peer)
{
    struct door *door = owner;
    struct peer *p = &door->peers[door->count++];
    peer_init(p);
    p->stream = stream_adopt(door->loop, fd, peer, 0, 0, &peer_events, p);
    if (door->is_one_shot) {
        listener_free(door->listener);
        door->listener = NULL;
    }
}

static void accepts(void **state)
{
    struct world world;
    struct fault why;
    world_init(&world, NETWORK_LOOPBACK);
    struct loop *loop = loop_new(&world);
    struct door door = {.loop = loop};
    struct listener_options options = {.at = {ip_v4(127, 0, 0, 1), 0}};
    door.listener = listener_new(loop, &options, on_accept, &door, &why);
    assert_non_null(door.listener);
    struct stream_target to = {.to = listener_endpoint(door.listener)};
    assert_true(to.to.port > 0);

    struct peer clients[3];
    for (int i = 0; i < 2; i++) {
        peer_init(&clients[i]);
        clients[i].stream = stream_connect(loop, &to, &peer_events, &clients[i]);
        stream_write(clients[i].stream, SLICE("hello"));
    }
    until(loop, door.count == 2 && door.peers[0].got.len == 5 && door.peers[1].got.len == 5);

    listener_pause(door.listener);
    peer_init(&clients[2]);
    clients[2].stream = stream_connect(loop, &to, &peer_events, &clients[2]);
    until(loop, clients[2].opened); /* waits in the backlog */
    loop_turn(loop, 0);
    assert_int_equal(door.count, 2);
    door.is_one_shot = true; /* free the listener from inside on_accept */
    listener_resume(door.listener);
    until(loop, door.count == 3);
    assert_null(door.listener);

    for (int i = 0; i < 3; i++) {
        peer_release(&clients[i]);
        peer_release(&door.peers[i]);
    }
    loop_free(loop);
}

static void says_what_is_wrong_and_the_cure(void **state)
{
    struct world world;
    struct fault why;
    world_init(&world, NETWORK_LOOPBACK);
    struct loop *loop = loop_new(&world);
    struct listener_options options = {.at = {ip_v4(127, 0, 0, 1), 0}, .cure_setting = "console.listen"};
    struct listener *first = listener_new(loop, &options, on_accept, NULL, &why);
    assert_non_null(first);
    options.at = listener_endpoint(first);
    assert_null(listener_new(loop, &options, on_accept, NULL, &why));
    char want[200];
    snprintf(want, sizeof(want), "cannot listen on 127.0.0.1:%u: port %u is in use; ", options.at.port,
             options.at.port);
    assert_int_equal(strncmp(why.text, want, strlen(want)), 0);
    assert_non_null(strstr(why.text, "choose another port in console.listen"));
    options.at.ip = ip_v4(203, 0, 113, 1);
    assert_null(listener_new(loop, &options, on_accept, NULL, &why));
    assert_non_null(strstr(why.text, "this machine has no such address"));
    listener_free(first);
    loop_free(loop);
}

static void a_port_may_be_shared_by_threads(void **state)
{
    struct world world;
    struct fault why;
    world_init(&world, NETWORK_LOOPBACK);
    struct loop *loop = loop_new(&world);
    struct listener_options options = {.at = {ip_v4(127, 0, 0, 1), 0}, .is_shared = true};
    struct listener *first = listener_new(loop, &options, on_accept, NULL, &why);
    options.at = listener_endpoint(first);
    struct listener *second = listener_new(loop, &options, on_accept, NULL, &why);
    assert_non_null(second);
    listener_free(first);
    listener_free(second);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(accepts), cmocka_unit_test(says_what_is_wrong_and_the_cure),
                                       cmocka_unit_test(a_port_may_be_shared_by_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
