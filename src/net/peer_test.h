/* peer_test.h - one end of a stream that writes down what happens to it, for the tests of net */
#ifndef TODOKE_NET_PEER_TEST_H
#define TODOKE_NET_PEER_TEST_H

#include "base/test.h"
#include "net/listener.h"
#include "net/stream.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    struct stream *stream;
    struct buf got;
    size_t uses_at_most; /* of each offer; 0: everything */
    bool uses_nothing;
    size_t offered; /* at last */
    int opened, drained, closed, offers;
    bool is_secure;
    struct tls_info tls;
    struct stream_end end;
    void (*react)(struct peer *peer); /* after each on_bytes, inside it */
};

static inline void peer_on_open(void *owner, struct stream *stream)
{
    ((struct peer *)owner)->opened++;
}
static inline size_t peer_on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct peer *peer = owner;
    size_t used = peer->uses_at_most && peer->uses_at_most < bytes.len ? peer->uses_at_most : bytes.len;
    peer->offers++;
    peer->offered = bytes.len;
    if (peer->uses_nothing)
        return 0;
    buf_append(&peer->got, slice_head(bytes, used));
    if (peer->react)
        peer->react(peer);
    return used;
}
static inline void peer_on_drained(void *owner, struct stream *stream)
{
    ((struct peer *)owner)->drained++;
}
static inline void peer_on_tls(void *owner, struct stream *stream, const struct tls_info *info)
{
    struct peer *peer = owner;
    peer->is_secure = true;
    peer->tls = *info;
}
static inline void peer_on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct peer *peer = owner;
    assert_ptr_equal(peer->stream, stream);
    peer->stream = NULL;
    peer->closed++;
    peer->end = *end;
}
static const struct stream_events peer_events = {peer_on_open, peer_on_bytes, peer_on_drained, peer_on_tls,
                                                 peer_on_closed};

static inline void peer_init(struct peer *peer)
{
    *peer = (struct peer){0};
    buf_init(&peer->got, 64u << 20);
}
static inline void peer_release(struct peer *peer)
{
    stream_close(peer->stream);
    buf_release(&peer->got);
}

/* Turns until the condition holds, or fail. */
#define until(loop, condition)                                                                                         \
    do {                                                                                                               \
        int turns_ = 0;                                                                                                \
        while (!(condition)) {                                                                                         \
            if (turns_++ > 5000)                                                                                       \
                fail_msg("never came: %s", #condition);                                                                \
            loop_turn((loop), 10);                                                                                     \
        }                                                                                                              \
    } while (0)

/* Two peers over a socketpair. */
static inline void peers_init(struct loop *loop, struct peer *a, struct peer *b)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peer_init(a);
    peer_init(b);
    a->stream = stream_adopt(loop, fds[0], NULL, 0, 64u << 20, &peer_events, a);
    b->stream = stream_adopt(loop, fds[1], NULL, 0, 64u << 20, &peer_events, b);
}

#endif
