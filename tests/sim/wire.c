#include "sim/wire.h"

#include "base/memory.h"
#include "net/stream_ops.h"

enum what { BYTES, ASK, OPEN, END, RESET, REFUSED };

/* Something on its way to an end. */
struct parcel {
    time_ms due;
    enum what what;
    size_t len; /* of bytes */
};

struct end {
    struct wire *wire;
    struct stream *front; /* NULL: not there yet, or gone */
    struct buf bytes;     /* of the parcels, in order */
    struct parcel *parcels;
    size_t first, count, room;
    struct timer arrive;
    time_ms each_byte_ms; /* what comes here comes so slowly; 0: all at once */
    time_ms last_due;
    bool has_ended, ends_with_reset; /* this end has said goodbye; how it will */
};

struct wire {
    const struct wire_house *house;
    struct loop *loop;
    struct endpoint to;
    time_ms latency;
    struct end near, far;
    int depth; /* calls of deliver under way */
    bool is_asked, is_refused;
};

enum { BYTES_MOST = 64 << 20 };

static struct end *other(struct end *end)
{
    return end == &end->wire->near ? &end->wire->far : &end->wire->near;
}

/* ── parcels ── */

static void arm(struct end *end)
{
    if (!end->count)
        return;
    time_ms wait = end->parcels[end->first].due - loop_now(end->wire->loop);
    if (!timer_is_set(&end->arrive))
        timer_set(&end->arrive, wait > 0 ? wait : 0);
}

static void send_parcel(struct end *to, enum what what, struct slice bytes, time_ms wait)
{
    time_ms due = loop_now(to->wire->loop) + wait;
    if (due < to->last_due)
        due = to->last_due;
    to->last_due = due;
    if (to->first && to->first + to->count == to->room) {
        memmove(to->parcels, to->parcels + to->first, to->count * sizeof(*to->parcels));
        to->first = 0;
    }
    if (to->count == to->room) {
        to->room = to->room ? to->room * 2 : 8;
        to->parcels = memory_resize(to->parcels, to->room, sizeof(*to->parcels));
    }
    to->parcels[to->first + to->count++] = (struct parcel){due, what, bytes.len};
    buf_append(&to->bytes, bytes);
    arm(to);
}

static void send_bytes(struct end *to, struct slice bytes)
{
    if (!to->each_byte_ms) {
        send_parcel(to, BYTES, bytes, to->wire->latency);
        return;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        send_parcel(to, BYTES, slice_of(bytes.ptr + i, 1), to->wire->latency);
        to->last_due += to->each_byte_ms;
    }
}

static void drop_parcels(struct end *end)
{
    end->first = end->count = 0;
    buf_reset(&end->bytes);
    timer_clear(&end->arrive);
}

static void wire_free_if_over(struct wire *wire)
{
    bool may_be_asked = !wire->is_asked && wire->near.front;
    if (wire->depth || wire->near.front || wire->far.front || may_be_asked)
        return;
    struct end *ends[] = {&wire->near, &wire->far};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        timer_clear(&ends[i]->arrive);
        buf_release(&ends[i]->bytes);
        free(ends[i]->parcels);
    }
    free(wire);
}

/* What has come for an end that stands. False: it takes no more now, or is gone. */
static bool take_bytes(struct end *end, struct parcel *parcel)
{
    if (!stream_wants_bytes(end->front))
        return false;
    size_t most = stream_takes(end->front), len = parcel->len < most ? parcel->len : most;
    parcel->len -= len;
    bool is_whole = parcel->len == 0; /* the parcels may move while the owner writes */
    SCOPED(buf) bytes = BUF(BYTES_MOST);
    buf_append(&bytes, slice_head(buf_slice(&end->bytes), len));
    buf_consume(&end->bytes, len);
    if (is_whole) {
        end->first++;
        end->count--;
    }
    return stream_came(end->front, buf_slice(&bytes)) && end->front;
}

static void take_other(struct end *end, enum what what)
{
    struct wire *wire = end->wire;
    switch (what) {
    case ASK:
        wire->is_asked = true;
        if (wire->near.front)
            wire->house->asked(wire->house->self, wire, &wire->to);
        break;
    case OPEN: (void)!stream_opened(end->front); break;
    case END: stream_ended(end->front, STREAM_EOF, "connection closed"); break;
    case RESET: stream_ended(end->front, STREAM_RESET, "Connection reset by peer"); break;
    case REFUSED: stream_ended(end->front, STREAM_REFUSED, "Connection refused"); break;
    case BYTES: break;
    }
}

static void deliver(struct end *end)
{
    struct wire *wire = end->wire;
    wire->depth++;
    while (end->count && end->parcels[end->first].due <= loop_now(wire->loop)) {
        struct parcel *parcel = &end->parcels[end->first];
        enum what what = parcel->what;
        if (what == BYTES && end->front) {
            if (!take_bytes(end, parcel))
                break;
            continue;
        }
        buf_consume(&end->bytes, parcel->len);
        end->first++;
        end->count--;
        if (what == BYTES) /* for somebody who is gone */
            send_parcel(other(end), RESET, SLICE(""), wire->latency);
        else if (what == ASK || end->front)
            take_other(end, what);
    }
    wire->depth--;
    bool is_stuck = end->count && end->parcels[end->first].due <= loop_now(wire->loop); /* until it wants bytes again */
    if (!is_stuck)
        arm(end);
    wire_free_if_over(wire);
}

static void on_arrive(struct timer *timer)
{
    deliver(timer->owner);
}

/* ── behind stream.h ── */

static void wire_flush(struct stream *stream)
{
    struct end *end = stream->self;
    struct slice bytes;
    while ((bytes = stream_sendable(stream)).len) {
        send_bytes(other(end), bytes);
        stream_wrote(stream, bytes.len);
    }
}

static void wire_want(struct stream *stream)
{
    struct end *end = stream->self;
    if (end->wire->depth == 0 && stream_wants_bytes(stream))
        arm(end);
}

static void wire_start_tls(struct stream *stream)
{
    stream_ended(stream, STREAM_TLS, "no TLS on a wire");
}

static void wire_end_writing(struct stream *stream)
{
    struct end *end = stream->self;
    if (!end->has_ended)
        send_parcel(other(end), END, SLICE(""), end->wire->latency);
    end->has_ended = true;
}

static void wire_release(struct stream *stream, bool is_polite)
{
    struct end *end = stream->self;
    stream->self = NULL;
    end->front = NULL;
    drop_parcels(end);
    if (!end->has_ended || end->ends_with_reset)
        send_parcel(other(end), end->ends_with_reset ? RESET : END, SLICE(""), end->wire->latency);
    end->has_ended = true;
    wire_free_if_over(end->wire);
}

static struct endpoint wire_local(struct stream *stream)
{
    return (struct endpoint){.ip = ip_v4(127, 0, 0, 1), .port = 1024};
}

static const struct stream_ops wire_ops = {
    .flush = wire_flush,
    .want = wire_want,
    .start_tls = wire_start_tls,
    .end_writing = wire_end_writing,
    .release = wire_release,
    .local = wire_local,
};

static void end_init(struct end *end, struct wire *wire)
{
    end->wire = wire;
    buf_init(&end->bytes, BYTES_MOST);
    timer_init(&end->arrive, wire->loop, on_arrive, end);
}

static struct stream *wire_connect(struct network *network, struct loop *loop, const struct stream_target *to,
                                   const struct stream_events *events, void *owner)
{
    struct wire *wire = NEW(struct wire);
    wire->house = network->self;
    wire->loop = loop;
    wire->to = to->to;
    wire->latency = wire->house->latency(wire->house->self, &to->to);
    end_init(&wire->near, wire);
    end_init(&wire->far, wire);
    wire->near.front = stream_new(loop, &wire_ops, events, owner, to->in_limit, to->out_limit);
    wire->near.front->self = &wire->near;
    /* a host hears of it after the handshake: behind a goodbye that left at the same moment */
    send_parcel(&wire->far, ASK, SLICE(""), wire->latency + 1);
    return wire->near.front;
}

/* ── for the house ── */

void wire_network(struct world *world, const struct wire_house *house)
{
    world->network.connect = wire_connect;
    world->network.self = (void *)(uintptr_t)house;
}

struct stream *wire_accept(struct wire *wire, const struct stream_events *events, void *owner)
{
    struct stream *stream = stream_new(wire->loop, &wire_ops, events, owner, 0, 0);
    stream->self = &wire->far;
    stream->state = STREAM_OPEN;
    stream->is_open = true;
    wire->far.front = stream;
    send_parcel(&wire->near, OPEN, SLICE(""), wire->latency);
    return stream;
}

void wire_refuse(struct wire *wire)
{
    send_parcel(&wire->near, REFUSED, SLICE(""), wire->latency);
}

struct loop *wire_loop(const struct wire *wire)
{
    return wire->loop;
}

void wire_slow(struct stream *host_end, time_ms each_byte_ms)
{
    other(host_end->self)->each_byte_ms = each_byte_ms;
}

void wire_reset(struct stream *host_end)
{
    ((struct end *)host_end->self)->ends_with_reset = true;
    stream_close(host_end);
}
