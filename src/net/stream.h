/* stream.h - bytes to and from one peer: connect, read, write, upgrade to TLS, end
 *
 * A stream belongs to one loop. Its life:
 *
 *     stream_connect -> (on_open) -> on_bytes / on_drained ... -> on_closed, then it is gone
 *     stream_adopt   ->              on_bytes / on_drained ... -> on_closed, then it is gone
 *                     any time: stream_close or stream_leave, then no more callbacks and it is gone
 *
 * No callback is made from inside stream_connect, stream_adopt, stream_write, stream_start_tls or stream_resume: all
 * come from the loop. Inside any callback the owner may call anything, stream_close too. on_closed is the last
 * callback and comes exactly once unless the owner closed first; the stream is freed when it returns.
 *
 * Reading: on_bytes gets everything unread and says how much it has used; the rest is kept and comes again, in front
 * of what arrives next. At most `in_limit` bytes are kept; then reading waits until stream_resume.
 * Writing: bytes are queued (ceiling `out_limit`) and leave at the end of the turn in one write, or with stream_flush.
 * An overflow of the queue is the owner's mistake to check: stream_room. Idle streams hold no buffers. */
#ifndef TODOKE_NET_STREAM_H
#define TODOKE_NET_STREAM_H

#include "net/loop.h"
#include "net/tls.h"

enum stream_why {
    STREAM_EOF,         /* the peer ended its side (in TLS: with close_notify, or without it) */
    STREAM_REFUSED,     /* nobody listens there (ECONNREFUSED) */
    STREAM_UNREACHABLE, /* no route, host or network down */
    STREAM_RESET,       /* ECONNRESET, EPIPE and kin */
    STREAM_TIMEOUT,     /* stream_deadline passed, or the kernel gave up */
    STREAM_TLS,         /* handshake or record failed, or plaintext was waiting where TLS begins */
    STREAM_POLICY,      /* network_permits said no: never connected */
    STREAM_LOCAL,       /* our own machine: source address not ours, out of descriptors, ports or memory */
};

struct stream_end {
    enum stream_why why;
    bool was_open;      /* the connection once stood */
    enum tls_fault tls; /* why = STREAM_TLS: what was wrong with it */
    char text[192];     /* one line for people: "192.0.2.1:25: Connection refused" */
};

struct stream;
struct stream_events {
    void (*on_open)(void *owner, struct stream *stream);                        /* NULL: nobody cares */
    size_t (*on_bytes)(void *owner, struct stream *stream, struct slice bytes); /* -> bytes used */
    void (*on_drained)(void *owner, struct stream *stream);                     /* the queue is empty; may be NULL */
    void (*on_tls)(void *owner, struct stream *stream, const struct tls_info *info); /* NULL: never upgrades */
    void (*on_closed)(void *owner, struct stream *stream, const struct stream_end *end);
};

struct stream_target {
    struct endpoint to;
    struct ip from;      /* source address; family 0: the kernel's choice */
    uint32_t in_limit;   /* 0: 64 KiB */
    uint32_t out_limit;  /* 0: 1 MiB */
    time_ms deadline_ms; /* until on_open; 0: none of ours */
};

/* Open a connection. Policy, mapping of port 25 and the kind of network are world.network's. Every failure is an
 * on_closed. */
struct stream *stream_connect(struct loop *loop, const struct stream_target *to, const struct stream_events *events,
                              void *owner);
/* A stream over a connected descriptor (accepted, or half of a socketpair); owns it from now on. `peer` may be NULL.
 * Limits: 0 for the defaults above. */
struct stream *stream_adopt(struct loop *loop, int fd, const struct endpoint *peer, uint32_t in_limit,
                            uint32_t out_limit, const struct stream_events *events, void *owner);

/* Our own end, asked of the kernel; family 0 when unknown. */
struct endpoint stream_local(struct stream *stream);

/* Queue bytes. */
void stream_write(struct stream *stream, struct slice bytes);
/* The queue itself, to append to directly; call stream_flush_soon afterwards. Nothing already in it may be touched. */
struct buf *stream_out(struct stream *stream);
void stream_flush_soon(struct stream *stream);
/* Instead of that, where thousands of streams may be written to in one turn: what was appended is sent in this turn
 * with what else there will be, or at once when that many queues wait already; and a queue that nothing was appended
 * to takes no memory. */
void stream_written(struct stream *stream);
/* Try to write now; what does not fit goes when the peer reads. */
void stream_flush(struct stream *stream);
/* Bytes the queue can still take; and bytes waiting in it. */
size_t stream_room(const struct stream *stream);
size_t stream_queued(const struct stream *stream);

/* Stop and go on reading (backpressure). stream_resume also offers again what on_bytes has left. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* End with STREAM_TIMEOUT in so many ms, said as "<what>: no answer in N s"; again to move it, 0 to clear it. `what`
 * must be a literal. Cheap: call it at every stage. */
void stream_deadline(struct stream *stream, time_ms in_ms, const char *what);

/* Upgrade in place, when what is queued so far has left in clear. Called from on_bytes: bytes that on_bytes does not
 * use are plaintext injected before TLS and end the stream (R4, X2, M13, M15). Ends in on_tls or on_closed(STREAM_TLS).
 * The owner's stream_deadline bounds the handshake. */
void stream_start_tls_client(struct stream *stream, const struct tls_want *want);
void stream_start_tls_server(struct stream *stream, struct tls_server *server);

/* Nothing more will be written: after the queue has left, half-close (TLS: close_notify too). Reading goes on. */
void stream_end_writing(struct stream *stream);
/* Gone now, without a callback; what is queued is lost. NULL is fine. */
void stream_close(struct stream *stream);
/* Say goodbye properly: the owner is out at once; the queue is written, our side ended, what still comes is thrown
 * away until the peer ends too, for linger_ms at most (so that a last reply is not destroyed by a reset). A loop that
 * is freed takes those that leave with it. */
void stream_leave(struct stream *stream, time_ms linger_ms);

#endif
