/* The states and their moves are in stream_ops.h. */
#include "net/stream_ops.h"

#include "net/loop_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum { DEFAULT_IN = 65536, DEFAULT_OUT = 1 << 20, COMPACT_AT = 65536 };

/* --- birth and end --- */

static void forget_tls_want(struct stream *stream)
{
    struct tls_want *want = &stream->tls_want;
    for (size_t i = 0; i < want->tlsa_count; i++)
        free((void *)(uintptr_t)want->tlsa[i].data.ptr);
    free((void *)(uintptr_t)want->tlsa);
    free((void *)(uintptr_t)want->name);
    free((void *)(uintptr_t)want->dane_base);
    free((void *)(uintptr_t)want->also_name);
    *want = (struct tls_want){0};
}

static void stream_free(struct stream *stream)
{
    timer_clear(&stream->deadline);
    deferred_clear(&stream->soon);
    loop_buf_return(stream->loop, &stream->out);
    buf_release(&stream->in);
    forget_tls_want(stream);
    free(stream);
}

static void offer(struct stream *stream)
{
    size_t used = stream->events->on_bytes(stream->owner, stream, buf_slice(&stream->in));
    if (stream->state == STREAM_ENDED || stream->is_leaving)
        return;
    assert(used <= stream->in.len);
    buf_consume(&stream->in, used);
    if (stream->in.len == 0)
        buf_release(&stream->in);
    if (stream->in.len && (stream->state == STREAM_TLS_WAITING || stream->state == STREAM_HANDSHAKE)) {
        stream_ended(stream, STREAM_TLS, "bytes in clear after STARTTLS (injection)");
        return;
    }
    stream->ops->want(stream);
}

static void on_soon(struct deferred *soon)
{
    struct stream *stream = soon->owner;
    if (stream->state != STREAM_ENDED && stream->has_unsent)
        stream_flush(stream);
    if (stream->state != STREAM_ENDED && stream->has_drained) {
        stream->has_drained = false;
        if (!stream->is_leaving && stream->events->on_drained)
            stream->events->on_drained(stream->owner, stream);
    }
    if (stream->state == STREAM_OPEN && stream->has_offer && !stream->is_paused && !stream->is_leaving) {
        stream->has_offer = false;
        if (stream->in.len)
            offer(stream);
    }
    if (stream->state != STREAM_ENDED)
        return;
    if (!stream->is_orphan) {
        stream->is_orphan = true;
        stream->events->on_closed(stream->owner, stream, &stream->end);
    }
    stream_free(stream);
}

static void on_deadline(struct timer *timer)
{
    struct stream *stream = timer->owner;
    char text[100];
    snprintf(text, sizeof(text), "%s: no answer in %lld s", stream->deadline_what,
             (long long)((stream->deadline_ms + 999) / 1000));
    stream_ended(stream, STREAM_TIMEOUT, text);
}

struct stream *stream_new(struct loop *loop, const struct stream_ops *ops, const struct stream_events *events,
                          void *owner, uint32_t in_limit, uint32_t out_limit)
{
    struct stream *stream = NEW(struct stream);
    stream->ops = ops;
    stream->loop = loop;
    stream->events = events;
    stream->owner = owner;
    buf_init(&stream->in, in_limit ? in_limit : DEFAULT_IN);
    buf_init(&stream->out, out_limit ? out_limit : DEFAULT_OUT);
    timer_init(&stream->deadline, loop, on_deadline, stream);
    deferred_init(&stream->soon, loop, on_soon, stream);
    return stream;
}

struct stream *stream_connect(struct loop *loop, const struct stream_target *to, const struct stream_events *events,
                              void *owner)
{
    struct network *network = &loop_world(loop)->network;
    struct fault why;
    struct stream *stream;
    struct stream_target mapped = *to;
    mapped.to = network_map(network, to->to);
    if (network_permits(network, &to->to.ip, &why)) {
        stream = network->connect(network, loop, &mapped, events, owner);
    } else {
        stream = stream_new(loop, NULL, events, owner, to->in_limit, to->out_limit);
        stream_ended(stream, STREAM_POLICY, why.text);
    }
    stream->peer = mapped.to;
    if (to->deadline_ms && stream->state == STREAM_CONNECTING)
        stream_deadline(stream, to->deadline_ms, "connect");
    return stream;
}

static void let_go(struct stream *stream, bool is_polite)
{
    stream->state = STREAM_ENDED;
    timer_clear(&stream->deadline);
    if (stream->leaving_at) {
        *stream->leaving_at = stream->leaving_next;
        if (stream->leaving_next)
            stream->leaving_next->leaving_at = stream->leaving_at;
        stream->leaving_at = NULL;
    }
    if (stream->ops)
        stream->ops->release(stream, is_polite);
    stream->ops = NULL;
    deferred_ask(&stream->soon);
}

void stream_ended(struct stream *stream, enum stream_why why, const char *text)
{
    char peer[ENDPOINT_TEXT_ROOM];
    if (stream->state == STREAM_ENDED)
        return;
    stream->end.why = why;
    stream->end.was_open = stream->is_open;
    if (why == STREAM_TLS && stream->end.tls == TLS_FAULT_NONE)
        stream->end.tls = TLS_FAULT_HANDSHAKE;
    if (stream->peer.ip.family)
        snprintf(stream->end.text, sizeof(stream->end.text), "%s: %s", endpoint_text(&stream->peer, peer), text);
    else
        snprintf(stream->end.text, sizeof(stream->end.text), "%s", text);
    stream->is_orphan |= stream->is_leaving;
    let_go(stream, false);
}

static enum stream_why why_of_errno(int error)
{
    switch (error) {
    case ECONNREFUSED: return STREAM_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ENONET:
    case EACCES: /* a local firewall's answer, or a broadcast address */
    case EPERM: return STREAM_UNREACHABLE;
    case ETIMEDOUT: return STREAM_TIMEOUT;
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EAFNOSUPPORT:
    case EAGAIN: return STREAM_LOCAL;
    default: return STREAM_RESET;
    }
}

void stream_ended_errno(struct stream *stream, int error)
{
    const char *words = strerrordesc_np(error);
    stream_ended(stream, why_of_errno(error), words ? words : "unknown error");
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    stream->is_orphan = true;
    if (stream->state != STREAM_ENDED)
        let_go(stream, true);
}

void stream_leave(struct stream *stream, time_ms linger_ms)
{
    if (!stream || stream->is_leaving)
        return;
    if (stream->state != STREAM_OPEN) {
        stream_close(stream);
        return;
    }
    stream->is_leaving = true;
    stream->is_paused = false;
    stream->leaving_at = &stream->loop->leaving;
    stream->leaving_next = stream->loop->leaving;
    if (stream->leaving_next)
        stream->leaving_next->leaving_at = &stream->leaving_next;
    stream->loop->leaving = stream;
    buf_release(&stream->in);
    stream_deadline(stream, linger_ms, "goodbye");
    stream->ops->want(stream);
    stream_end_writing(stream);
}

struct endpoint stream_local(struct stream *stream)
{
    return stream->ops && stream->state != STREAM_ENDED ? stream->ops->local(stream) : (struct endpoint){0};
}

void stream_deadline(struct stream *stream, time_ms in_ms, const char *what)
{
    stream->deadline_what = what;
    stream->deadline_ms = in_ms;
    if (stream->state == STREAM_ENDED)
        return;
    if (in_ms > 0)
        timer_set(&stream->deadline, in_ms);
    else
        timer_clear(&stream->deadline);
}

/* --- reading --- */

bool stream_wants_bytes(const struct stream *stream)
{
    if (stream->state != STREAM_OPEN)
        return false;
    return stream->is_leaving || (!stream->is_paused && stream->in.len < stream->in.limit);
}

size_t stream_takes(const struct stream *stream)
{
    return stream->is_leaving ? SIZE_MAX : stream->in.limit - stream->in.len;
}

bool stream_came(struct stream *stream, struct slice bytes)
{
    if (stream->is_leaving)
        return true;
    if (stream->in.len) {
        buf_append(&stream->in, bytes);
        assert(buf_ok(&stream->in) && "a kind hands over at most stream_takes");
        offer(stream);
        return stream->state != STREAM_ENDED;
    }
    size_t used = stream->events->on_bytes(stream->owner, stream, bytes);
    if (stream->state == STREAM_ENDED)
        return false;
    if (stream->is_leaving)
        return true;
    assert(used <= bytes.len);
    if (used < bytes.len) {
        if (stream->state != STREAM_OPEN) {
            stream_ended(stream, STREAM_TLS, "bytes in clear after STARTTLS (injection)");
            return false;
        }
        buf_append(&stream->in, slice_from(bytes, used));
        stream->ops->want(stream);
    }
    return true;
}

void stream_pause(struct stream *stream)
{
    if (stream->is_paused || stream->is_leaving)
        return;
    stream->is_paused = true;
    if (stream->ops)
        stream->ops->want(stream);
}

void stream_resume(struct stream *stream)
{
    if (stream->is_leaving || stream->state == STREAM_ENDED)
        return;
    stream->is_paused = false;
    stream->has_offer = true; /* inside on_bytes it is not yet known what will be left */
    deferred_ask(&stream->soon);
    if (stream->ops)
        stream->ops->want(stream);
}

bool stream_opened(struct stream *stream)
{
    stream->state = STREAM_OPEN;
    stream->is_open = true;
    stream_deadline(stream, 0, "");
    if (stream->events->on_open)
        stream->events->on_open(stream->owner, stream);
    if (stream->state == STREAM_ENDED)
        return false;
    stream->ops->want(stream);
    return true;
}

/* --- writing --- */

size_t stream_queued(const struct stream *stream)
{
    return stream->out.len - stream->out_at;
}

size_t stream_room(const struct stream *stream)
{
    return buf_ok(&stream->out) ? stream->out.limit - stream_queued(stream) : 0;
}

struct buf *stream_out(struct stream *stream)
{
    if (!stream->out.ptr)
        loop_buf_lend(stream->loop, &stream->out);
    else if (stream->out_at >= COMPACT_AT) {
        buf_consume(&stream->out, stream->out_at);
        stream->out_at = 0;
    }
    return &stream->out;
}

void stream_write(struct stream *stream, struct slice bytes)
{
    if (stream->state == STREAM_ENDED)
        return;
    struct buf *out = stream_out(stream);
    if (bytes.len > out->limit - out->len && stream->out_at) {
        buf_consume(out, stream->out_at);
        stream->out_at = 0;
    }
    buf_append(out, bytes);
    stream_flush_soon(stream);
}

void stream_flush_soon(struct stream *stream)
{
    stream->has_unsent = true;
    deferred_ask(&stream->soon);
}

void stream_written(struct stream *stream)
{
    if (!stream->out.len)
        loop_buf_return(stream->loop, &stream->out);
    else if (stream->loop->lent > LOOP_LENT_MANY && stream->state == STREAM_OPEN)
        stream_flush(stream);
    else
        stream_flush_soon(stream);
}

struct slice stream_sendable(const struct stream *stream)
{
    struct slice queued = slice_of(stream->out.ptr ? stream->out.ptr + stream->out_at : NULL, stream_queued(stream));
    if (stream->state == STREAM_TLS_WAITING)
        return slice_head(queued, stream->clear_left);
    return slice_head(queued, stream->state == STREAM_OPEN ? queued.len : 0);
}

static void after_writing(struct stream *stream)
{
    if (stream->state == STREAM_TLS_WAITING && stream->clear_left == 0) {
        stream->state = STREAM_HANDSHAKE;
        stream->ops->start_tls(stream);
    } else if (stream->state == STREAM_OPEN && stream->ends_writing && !stream->has_ended_writing &&
               stream_queued(stream) == 0) {
        stream->has_ended_writing = true;
        stream->ops->end_writing(stream);
    }
}

void stream_flush(struct stream *stream)
{
    if (stream->state != STREAM_OPEN && stream->state != STREAM_TLS_WAITING)
        return; /* sent when it opens, or is secure */
    stream->has_unsent = false;
    if (!buf_ok(&stream->out)) {
        stream_ended(stream, STREAM_LOCAL, "more was written than the queue may hold");
        return;
    }
    if (stream_sendable(stream).len)
        stream->ops->flush(stream);
    else if (!stream->out.len) /* borrowed, and nothing was written */
        loop_buf_return(stream->loop, &stream->out);
    if (stream->state != STREAM_ENDED)
        after_writing(stream);
}

void stream_wrote(struct stream *stream, size_t count)
{
    stream->out_at += count;
    if (stream->state == STREAM_TLS_WAITING)
        stream->clear_left -= count;
    if (stream->out_at < stream->out.len)
        return;
    buf_reset(&stream->out);
    stream->out_at = 0;
    loop_buf_return(stream->loop, &stream->out);
    if (stream->events->on_drained && !stream->is_leaving) {
        stream->has_drained = true;
        deferred_ask(&stream->soon);
    }
}

void stream_end_writing(struct stream *stream)
{
    stream->ends_writing = true;
    stream_flush_soon(stream);
}

/* --- TLS --- */

static void begin_tls(struct stream *stream)
{
    if (stream->state == STREAM_ENDED)
        return;
    assert(stream->state == STREAM_OPEN && !stream->is_tls && "TLS begins once, on an open stream");
    stream->state = STREAM_TLS_WAITING;
    stream->clear_left = stream_queued(stream);
    stream->ops->want(stream);
    stream_flush_soon(stream);
}

void stream_start_tls_client(struct stream *stream, const struct tls_want *want)
{
    forget_tls_want(stream);
    stream->tls_want = *want;
    stream->tls_want.name = slice_dup(slice_str(want->name));
    stream->tls_want.dane_base = want->dane_base ? slice_dup(slice_str(want->dane_base)) : NULL;
    stream->tls_want.also_name = want->also_name ? slice_dup(slice_str(want->also_name)) : NULL;
    struct tlsa *tlsa = want->tlsa_count ? NEW_ARRAY(struct tlsa, want->tlsa_count) : NULL;
    for (size_t i = 0; i < want->tlsa_count; i++) {
        tlsa[i] = want->tlsa[i];
        tlsa[i].data.ptr = slice_dup(want->tlsa[i].data);
    }
    stream->tls_want.tlsa = tlsa;
    begin_tls(stream);
}

void stream_start_tls_server(struct stream *stream, struct tls_server *server)
{
    stream->tls_server = server;
    begin_tls(stream);
}

bool stream_secured(struct stream *stream, const struct tls_info *info)
{
    stream->state = STREAM_OPEN;
    stream->is_tls = true;
    forget_tls_want(stream);
    if (stream->events->on_tls)
        stream->events->on_tls(stream->owner, stream, info);
    if (stream->state == STREAM_ENDED)
        return false;
    if (stream_queued(stream))
        stream_flush_soon(stream);
    stream->ops->want(stream);
    return true;
}
