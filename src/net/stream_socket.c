/* stream_socket.c - streams over kernel sockets and OpenSSL
 *
 * One read and one write for a turn: reads go into the loop's scratch buffer; OpenSSL sits directly on the descriptor.
 * is_blocked: the kernel would not take everything, wait until it is writable. */
#include "net/loop_inside.h"
#include "net/stream_ops.h"
#include "net/tls_inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <unistd.h>

enum { RECORDS_A_TURN = 8, TLS_WRITE_MOST = 1 << 24 };

struct socket_stream {
    struct stream *front;
    int fd;
    SSL *ssl;
    bool is_blocked;
    bool wants_write; /* handshake */
    struct watch watch;
    struct deferred more; /* bytes that OpenSSL has already, which epoll will not report again */
};

struct stream *stream_socket_connect(struct network *network, struct loop *loop, const struct stream_target *to,
                                     const struct stream_events *events, void *owner);

/* --- TLS errors --- */

/* What SSL_get_error means for the stream; true: just wait. */
static bool tls_waits(struct socket_stream *self, int result, const char *place)
{
    struct stream *stream = self->front;
    int saved = errno;
    struct fault why;
    switch (SSL_get_error(self->ssl, result)) {
    case SSL_ERROR_WANT_READ: self->wants_write = false; return true;
    case SSL_ERROR_WANT_WRITE: self->wants_write = true; return true;
    case SSL_ERROR_ZERO_RETURN:
        if (stream->state != STREAM_HANDSHAKE) {
            stream_ended(stream, STREAM_EOF, "the peer has ended");
            return false;
        }
        stream_ended(stream, STREAM_TLS, "the peer ended during the TLS handshake");
        return false;
    case SSL_ERROR_SYSCALL:
        if (stream->state != STREAM_HANDSHAKE) {
            ERR_clear_error();
            stream_ended_errno(stream, saved ? saved : ECONNRESET);
            return false;
        }
        snprintf(why.text, sizeof(why.text), "%s: connection lost: %s", place,
                 saved ? strerrordesc_np(saved) : "the peer has ended");
        ERR_clear_error();
        break;
    default:
        tls_error_text(&why, place);
        long verified = SSL_get_verify_result(self->ssl);
        if (verified != X509_V_OK && stream->state == STREAM_HANDSHAKE) {
            stream->end.tls = tls_fault_of(verified);
            fault_set(&why, FAULT_WORLD, "%s: certificate not accepted: %s", place,
                      X509_verify_cert_error_string(verified));
        }
    }
    stream_ended(stream, STREAM_TLS, why.text);
    return false;
}

/* --- moving bytes --- */

static void read_plain(struct socket_stream *self)
{
    struct stream *stream = self->front;
    char *scratch = loop_scratch(stream->loop);
    size_t most = stream_takes(stream);
    ssize_t got = recv(self->fd, scratch, most < LOOP_SCRATCH_BYTES ? most : LOOP_SCRATCH_BYTES, 0);
    if (got > 0)
        (void)!stream_came(stream, slice_of(scratch, (size_t)got));
    else if (got == 0)
        stream_ended(stream, STREAM_EOF, "the peer has ended");
    else if (errno != EAGAIN && errno != EINTR)
        stream_ended_errno(stream, errno);
}

static void read_tls(struct socket_stream *self)
{
    struct stream *stream = self->front;
    char *scratch = loop_scratch(stream->loop);
    for (int records = 0; stream_wants_bytes(stream); records++) {
        if (records == RECORDS_A_TURN) { /* others want their turn too */
            deferred_ask(&self->more);
            return;
        }
        size_t most = stream_takes(stream);
        ERR_clear_error();
        errno = 0;
        int got = SSL_read(self->ssl, scratch, (int)(most < LOOP_SCRATCH_BYTES ? most : LOOP_SCRATCH_BYTES));
        if (got <= 0) {
            if (tls_waits(self, got, "TLS"))
                self->wants_write = false;
            return;
        }
        if (!stream_came(stream, slice_of(scratch, (size_t)got)) || !SSL_has_pending(self->ssl))
            return;
    }
}

static void socket_want(struct stream *stream);

static void socket_flush(struct stream *stream)
{
    struct socket_stream *self = stream->self;
    struct slice bytes;
    if (self->is_blocked)
        return;
    while ((bytes = stream_sendable(stream)).len) {
        if (self->ssl) {
            ERR_clear_error();
            errno = 0;
            int sent = SSL_write(self->ssl, bytes.ptr, (int)(bytes.len < TLS_WRITE_MOST ? bytes.len : TLS_WRITE_MOST));
            if (sent > 0) {
                stream_wrote(stream, (size_t)sent);
                continue;
            }
            if (!tls_waits(self, sent, "TLS"))
                return;
            self->is_blocked = true;
            break;
        }
        ssize_t sent = send(self->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            stream_ended_errno(stream, errno);
            return;
        }
        if (sent > 0)
            stream_wrote(stream, (size_t)sent);
        if (sent < 0 || (size_t)sent < bytes.len) {
            self->is_blocked = true;
            break;
        }
    }
    if (self->is_blocked)
        socket_want(stream);
}

/* --- watching --- */

static void socket_want(struct stream *stream)
{
    struct socket_stream *self = stream->self;
    switch (stream->state) {
    case STREAM_CONNECTING: watch_want(&self->watch, false, true); return;
    case STREAM_HANDSHAKE: watch_want(&self->watch, !self->wants_write, self->wants_write); return;
    case STREAM_TLS_WAITING: watch_want(&self->watch, false, self->is_blocked); return;
    case STREAM_OPEN: {
        bool wants_bytes = stream_wants_bytes(stream);
        watch_want(&self->watch, wants_bytes, self->is_blocked);
        if (wants_bytes && self->ssl && SSL_has_pending(self->ssl))
            deferred_ask(&self->more);
        return;
    }
    case STREAM_ENDED: return;
    }
}

static void go_on_with_handshake(struct socket_stream *self)
{
    struct stream *stream = self->front;
    struct tls_info info;
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(self->ssl);
    if (result == 1) {
        self->wants_write = false;
        tls_session_info(self->ssl, &info);
        (void)!stream_secured(stream, &info);
    } else if (tls_waits(self, result, "TLS handshake")) {
        socket_want(stream);
    }
}

static void socket_start_tls(struct stream *stream)
{
    struct socket_stream *self = stream->self;
    struct fault why;
    self->ssl = stream->tls_want.client ? tls_client_session(&stream->tls_want, self->fd, &why)
                                        : tls_server_session(stream->tls_server, self->fd, &why);
    if (self->ssl)
        go_on_with_handshake(self);
    else
        stream_ended(stream, STREAM_TLS, why.text);
}

static void finish_connect(struct socket_stream *self)
{
    struct stream *stream = self->front;
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error)
        stream_ended_errno(stream, error);
    else if (stream_opened(stream) && stream_queued(stream))
        stream_flush_soon(stream);
}

static void on_ready(struct watch *watch, bool can_read, bool can_write)
{
    struct socket_stream *self = watch->owner;
    struct stream *stream = self->front;
    switch (stream->state) {
    case STREAM_CONNECTING: finish_connect(self); return;
    case STREAM_HANDSHAKE: go_on_with_handshake(self); return;
    case STREAM_TLS_WAITING:
    case STREAM_OPEN: break;
    case STREAM_ENDED: return;
    }
    if (can_write || (self->ssl && self->is_blocked && !self->wants_write)) {
        self->is_blocked = false;
        stream_flush(stream);
        if (stream->state == STREAM_ENDED)
            return;
        socket_want(stream);
    }
    if (can_read && stream_wants_bytes(stream))
        self->ssl ? read_tls(self) : read_plain(self);
}

static void on_more(struct deferred *more)
{
    struct socket_stream *self = more->owner;
    if (stream_wants_bytes(self->front))
        read_tls(self);
}

/* --- ending --- */

static void socket_end_writing(struct stream *stream)
{
    struct socket_stream *self = stream->self;
    if (self->ssl) {
        ERR_clear_error();
        SSL_shutdown(self->ssl);
        ERR_clear_error();
    }
    shutdown(self->fd, SHUT_WR);
}

static void socket_release(struct stream *stream, bool is_polite)
{
    struct socket_stream *self = stream->self;
    stream->self = NULL;
    watch_clear(&self->watch);
    deferred_clear(&self->more);
    if (self->ssl) {
        if (!SSL_is_init_finished(self->ssl) && !SSL_is_server(self->ssl))
            tls_session_failed(self->ssl);
        bool may_resume = is_polite || stream->end.why == STREAM_EOF;
        if (is_polite && SSL_is_init_finished(self->ssl) && !self->is_blocked && !stream->has_ended_writing) {
            ERR_clear_error();
            SSL_shutdown(self->ssl);
            ERR_clear_error();
        }
        if (may_resume) /* otherwise SSL_free would mark the kept session as bad */
            SSL_set_shutdown(self->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        tls_session_free(self->ssl);
    }
    close(self->fd);
    free(self);
}

static struct endpoint socket_local(struct stream *stream)
{
    struct socket_stream *self = stream->self;
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    struct endpoint local = {0};
    memset(&address, 0, sizeof(address));
    if (getsockname(self->fd, (struct sockaddr *)&address, &len) == 0)
        endpoint_of_sockaddr(&address, &local);
    return local;
}

static const struct stream_ops socket_ops = {
    .flush = socket_flush,
    .want = socket_want,
    .start_tls = socket_start_tls,
    .end_writing = socket_end_writing,
    .release = socket_release,
    .local = socket_local,
};

/* --- birth --- */

static struct stream *socket_stream_new(struct loop *loop, int fd, const struct stream_events *events, void *owner,
                                        uint32_t in_limit, uint32_t out_limit)
{
    struct stream *stream = stream_new(loop, &socket_ops, events, owner, in_limit, out_limit);
    struct socket_stream *self = NEW(struct socket_stream);
    stream->self = self;
    self->front = stream;
    self->fd = fd;
    watch_init(&self->watch, loop, fd, on_ready, self);
    deferred_init(&self->more, loop, on_more, self);
    return stream;
}

struct stream *stream_adopt(struct loop *loop, int fd, const struct endpoint *peer, uint32_t in_limit,
                            uint32_t out_limit, const struct stream_events *events, void *owner)
{
    struct stream *stream = socket_stream_new(loop, fd, events, owner, in_limit, out_limit);
    if (peer)
        stream->peer = *peer;
    stream->state = STREAM_OPEN;
    stream->is_open = true;
    socket_want(stream);
    return stream;
}

static bool bind_source(int fd, const struct ip *from)
{
    struct sockaddr_storage address;
    struct endpoint source = {*from, 0};
    int on = 1;
    /* The kernel picks the port at connect: the same port may then serve many destinations. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    socklen_t len = endpoint_to_sockaddr(&source, &address);
    return bind(fd, (const struct sockaddr *)&address, len) == 0;
}

struct stream *stream_socket_connect(struct network *network, struct loop *loop, const struct stream_target *to,
                                     const struct stream_events *events, void *owner)
{
    struct sockaddr_storage address;
    int on = 1, family = to->to.ip.family == 6 ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        int error = errno;
        struct stream *stream = stream_new(loop, NULL, events, owner, to->in_limit, to->out_limit);
        stream->peer = to->to;
        stream_ended_errno(stream, error);
        return stream;
    }
    struct stream *stream = socket_stream_new(loop, fd, events, owner, to->in_limit, to->out_limit);
    stream->peer = to->to;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (to->from.family && !bind_source(fd, &to->from)) {
        char text[IP_TEXT_ROOM + 80], ip[IP_TEXT_ROOM];
        snprintf(text, sizeof(text), "source address %s: %s", ip_text(&to->from, ip), strerrordesc_np(errno));
        stream_ended(stream, STREAM_LOCAL, text);
        return stream;
    }
    socklen_t len = endpoint_to_sockaddr(&to->to, &address);
    if (connect(fd, (const struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS && errno != EINTR)
        stream_ended_errno(stream, errno);
    else
        socket_want(stream);
    return stream;
}
