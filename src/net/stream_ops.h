/* stream_ops.h - behind stream.h: what a kind of stream must supply (sockets: stream_socket.c; a simulated network)
 *
 * The front (stream.c) keeps the queue, the unread bytes, the deadline, and calls the owner; the kind moves bytes. */
#ifndef TODOKE_NET_STREAM_OPS_H
#define TODOKE_NET_STREAM_OPS_H

#include "net/stream.h"

struct stream_ops {
    /* Write from the front of stream->out (from out_at on); consume with stream_wrote. */
    void (*flush)(struct stream *stream);
    /* The front wants to read, or not, and has something to write, or not: watch accordingly. */
    void (*want)(struct stream *stream);
    void (*start_tls)(struct stream *stream);
    void (*end_writing)(struct stream *stream);
    /* Let go of descriptor and TLS session; the memory of `self` too. */
    void (*release)(struct stream *stream);
    struct endpoint (*local)(struct stream *stream);
};

enum stream_state {
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_TLS_WAITING, /* start_tls asked for; the queue must leave in clear first */
    STREAM_HANDSHAKE,
    STREAM_ENDED, /* on_closed is due, or freed as soon as no callback runs */
};

struct stream {
    const struct stream_ops *ops;
    void *self; /* the kind's own */
    struct loop *loop;
    const struct stream_events *events;
    void *owner;
    struct endpoint peer;
    struct buf in;  /* what on_bytes has left; usually empty */
    struct buf out; /* the queue, from out_at on */
    size_t out_at;
    uint32_t in_limit;
    enum stream_state state;
    bool is_open, is_tls, is_paused, has_offer, is_leaving, is_eof;
    bool ends_writing, has_ended_writing;
    bool is_orphan;       /* the owner has closed it: no more callbacks */
    unsigned in_callback; /* callbacks running: freeing waits */
    struct timer deadline;
    const char *deadline_what;
    time_ms deadline_ms;
    struct deferred soon; /* flush, offer, end */
    struct stream_end end;
    struct tls_want *tls_want; /* while a client's upgrade is asked for */
    struct tls_server *tls_server;
};

/* For kinds. Each may run the owner's code, which may close the stream: return at once when it gives false. */
struct stream *stream_new(struct loop *loop, const struct stream_ops *ops, const struct stream_events *events,
                          void *owner, uint32_t in_limit, uint32_t out_limit);
NODISCARD bool stream_opened(struct stream *stream);
/* Bytes have come (they need not stay valid). */
NODISCARD bool stream_came(struct stream *stream, struct slice bytes);
/* `count` bytes of the queue have left. */
void stream_wrote(struct stream *stream, size_t count);
NODISCARD bool stream_secured(struct stream *stream, const struct tls_info *info);
/* The end has come; the owner hears of it in this turn or the next. */
void stream_ended(struct stream *stream, enum stream_why why, const char *text);
/* As above with the words of an errno. */
void stream_ended_errno(struct stream *stream, int error);
/* Does the front want more bytes now? */
bool stream_wants_bytes(const struct stream *stream);

#endif
