/* session.c - one accepted connection run through the server machine, and the bounds of all of them
 *
 *     accepted --too many--> 421, gone
 *        | (TLS first?)
 *        v
 *     pump: bytes -> machine -> events -> policy -> replies -> stream     (on_bytes, on_drained, on_tls, go_on)
 *        | machine's CLOSE, timer, stream's end
 *        v
 *     is_over -> let go at the end of the outermost call (`depth`)
 *
 * Always true: a live session is in the front's list, counted under its address, and its body in the front's memory. */
#include "receive/session.h"

#include "base/log.h"
#include "base/map.h"

enum { LINGER_MS = 2000, HANDSHAKE_MS = 60000, OUT_LIMIT = 256 * 1024, HELO_KEPT = 255 };

struct session_front {
    struct loop *loop;
    struct session_options options;
    const struct session_policy *policy;
    void *owner;
    struct listener *listener;
    struct session *sessions;
    unsigned count;
    struct map by_address; /* address -> how many, as a pointer */
    size_t memory;
    bool is_stopping;
};

struct session {
    struct session_front *front;
    struct session *next, **at;
    struct stream *stream; /* NULL: gone */
    struct smtp_server *machine;
    struct endpoint peer;
    struct timer timer;
    time_ms ends_at, asked_at;
    unsigned depth;
    bool is_over, wants_tls, is_in_handshake, was_asking, body_is_lost;
    struct buf body;
    size_t body_counted; /* octets of the body in front->memory */
    char helo[HELO_KEPT + 1];
    size_t helo_len;
    void *data;
};

/* ── who, and how many ── */

static struct slice address_key(const struct endpoint *peer)
{
    return slice_of(peer->ip.bytes, peer->ip.family == 6 ? 8 : 4);
}

static uintptr_t address_count(struct session_front *front, const struct endpoint *peer)
{
    return (uintptr_t)map_get(&front->by_address, address_key(peer));
}

static void address_add(struct session_front *front, const struct endpoint *peer, int by)
{
    uintptr_t count = address_count(front, peer) + (uintptr_t)by;
    if (count)
        map_set(&front->by_address, address_key(peer), (void *)count);
    else
        map_remove(&front->by_address, address_key(peer));
}

static void body_drop(struct session *session)
{
    session->front->memory -= session->body_counted;
    session->body_counted = 0;
    session->body_is_lost = false;
    buf_release(&session->body);
    buf_reset(&session->body);
}

static void session_finish(struct session *session)
{
    struct session_front *front = session->front;
    if (session->stream && session->is_in_handshake)
        stream_close(session->stream);
    else if (session->stream)
        stream_leave(session->stream, LINGER_MS);
    session->stream = NULL;
    front->policy->on_end(front->owner, session);
    body_drop(session);
    timer_clear(&session->timer);
    *session->at = session->next;
    if (session->next)
        session->next->at = session->at;
    address_add(front, &session->peer, -1);
    front->count--;
    smtp_server_free(session->machine);
    free(session);
}

/* ── events ── */

static void body_take(struct session *session, struct slice bytes)
{
    struct session_front *front = session->front;
    if (session->body_is_lost)
        return;
    if (bytes.len > front->options.limits.memory - front->memory) {
        body_drop(session);
        session->body_is_lost = true;
        return;
    }
    buf_append(&session->body, bytes);
    session->body_counted += bytes.len;
    front->memory += bytes.len;
}

static void message_too_large(const struct session *session)
{
    char peer[ENDPOINT_TEXT_ROOM];
    log_warn("receive", "a message from %s was refused: it is too large, more than %llu octets",
             endpoint_text(&session->peer, peer), (unsigned long long)session->front->options.smtp.size_max);
}

static void session_event(struct session *session, const struct smtp_server_event *event)
{
    struct session_front *front = session->front;
    switch (event->what) {
    case SMTP_SERVER_CONNECT: smtp_server_accept(session->machine); return;
    case SMTP_SERVER_TLS_BEGIN: session->wants_tls = true; return;
    case SMTP_SERVER_CLOSE: session->is_over = true; return;
    case SMTP_SERVER_BODY: body_take(session, event->bytes); return;
    case SMTP_SERVER_EHLO:
        session->helo_len = event->name.len < HELO_KEPT ? event->name.len : HELO_KEPT;
        memcpy(session->helo, event->name.ptr, session->helo_len);
        break;
    case SMTP_SERVER_MAIL:
        body_drop(session);
        if (front->memory >= front->options.limits.memory) {
            smtp_server_answer(session->machine, SLICE("452 4.3.1 too much mail at once, try again soon"));
            return;
        }
        break;
    case SMTP_SERVER_MESSAGE:
        if (session->body_is_lost) {
            smtp_server_answer(session->machine, SLICE("452 4.3.1 too much mail at once, try again soon"));
            return;
        }
        break;
    case SMTP_SERVER_RESET:
        if (event->code == 552)
            message_too_large(session);
        body_drop(session);
        break;
    case SMTP_SERVER_STARTTLS:
    case SMTP_SERVER_SCRAM:
    case SMTP_SERVER_AUTH:
    case SMTP_SERVER_RCPT:
    case SMTP_SERVER_DATA: break;
    }
    front->policy->on_event(front->owner, session, event);
}

static bool replies_write(struct session *session)
{
    struct buf *out = stream_out(session->stream);
    size_t before = out->len;
    if (!smtp_server_has_output(session->machine))
        return false;
    smtp_server_write(session->machine, out);
    if (out->len == before)
        return false;
    stream_flush_soon(session->stream);
    return true;
}

/* Does the policy owe an answer? During a handshake the greeting waits, and nobody was asked for it yet. */
static bool waits_for_answer(const struct session *session)
{
    return smtp_server_is_asking(session->machine) && !session->is_in_handshake;
}

/* When to look again: the session's own end, a silent client, a policy that does not answer. */
static void timer_arm(struct session *session, bool has_moved)
{
    const struct session_limits *limits = &session->front->options.limits;
    time_ms now = loop_now(session->front->loop), left = session->ends_at - now;
    bool is_asking = waits_for_answer(session);
    time_ms wait = session->is_in_handshake ? HANDSHAKE_MS : smtp_server_timeout_ms(session->machine);
    if (is_asking && !session->was_asking)
        session->asked_at = now;
    bool is_same_wait = session->was_asking == is_asking && !has_moved && timer_is_set(&session->timer);
    session->was_asking = is_asking;
    if (is_same_wait)
        return;
    if (is_asking)
        wait = session->asked_at + limits->answer_time - now;
    else if (session->front->count * 4 >= limits->sessions * 3 && wait > limits->stressed_silence)
        wait = limits->stressed_silence;
    wait = wait < left ? wait : left;
    timer_set(&session->timer, wait > 0 ? wait : 0);
}

static const struct slice going_down = SLICE_INIT("421 4.3.2 going down, try again later");

/* Run the machine until it stands. `rest`: what has arrived; what is not used stays in it. False: the session is gone.
 */
static bool session_pump(struct session *session, struct slice *rest)
{
    struct smtp_server_event event;
    size_t given = rest->len;
    bool has_moved = false, goes_on = true;
    session->depth++;
    if (session->front->is_stopping && !smtp_server_is_asking(session->machine)) /* its answer is there */
        smtp_server_close(session->machine, going_down);
    while (goes_on && !session->is_over && !session->wants_tls && !session->is_in_handshake) {
        goes_on = false;
        while (!session->is_over && !session->wants_tls && smtp_server_next(session->machine, rest, &event)) {
            session_event(session, &event);
            goes_on = has_moved = true;
        }
        if (session->body.len && !smtp_server_has_mail(session->machine))
            body_drop(session); /* its message has been answered */
        if (session->stream && replies_write(session))
            goes_on = has_moved = true;
    }
    if (session->wants_tls && session->stream && !session->is_over) {
        session->wants_tls = false;
        session->is_in_handshake = true;
        session->helo_len = 0;
        stream_start_tls_server(session->stream, session->front->options.tls);
    }
    if (--session->depth > 0)
        return true;
    if (session->is_over) {
        session_finish(session);
        return false;
    }
    /* Bytes of a command that has no end move nothing; bytes of a message do. */
    timer_arm(session, has_moved || (smtp_server_is_in_message(session->machine) && rest->len < given));
    return true;
}

static void session_says_last(struct session *session, struct slice reply)
{
    struct slice nothing = {0};
    if (session->is_in_handshake)
        session->is_over = true;
    else
        smtp_server_close(session->machine, reply);
    session_pump(session, &nothing);
}

static void session_timer(struct timer *timer)
{
    struct session *session = timer->owner;
    struct session_front *front = session->front;
    struct slice nothing = {0};
    time_ms now = loop_now(front->loop), answer_at = session->asked_at + front->options.limits.answer_time;
    if (waits_for_answer(session) && now < answer_at) { /* its time is over, but a mail that is kept must hear 250 */
        timer_set(timer, answer_at - now);
    } else if (now >= session->ends_at && !waits_for_answer(session)) {
        session_says_last(session, SLICE("421 4.4.2 this has taken long enough"));
    } else if (!waits_for_answer(session)) {
        session_says_last(session, SLICE("421 4.4.2 nothing was heard for too long"));
    } else {
        session->depth++;
        if (front->policy->on_overdue)
            front->policy->on_overdue(front->owner, session);
        if (smtp_server_is_asking(session->machine))
            smtp_server_answer(session->machine, SLICE("451 4.3.0 not now, try again later"));
        session->depth--;
        if (session_pump(session, &nothing) && session->stream)
            stream_resume(session->stream);
    }
}

/* ── the stream ── */

static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct session *session = owner;
    struct slice rest = bytes;
    return session_pump(session, &rest) ? bytes.len - rest.len : bytes.len;
}

static void on_drained(void *owner, struct stream *stream)
{
    struct session *session = owner;
    if (smtp_server_has_output(session->machine))
        session_go_on(session);
}

static void on_tls(void *owner, struct stream *stream, const struct tls_info *info)
{
    struct session *session = owner;
    struct slice nothing = {0};
    session->is_in_handshake = false;
    smtp_server_tls_done(session->machine, true);
    session_pump(session, &nothing);
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct session *session = owner;
    struct slice nothing = {0};
    if (end->why == STREAM_TLS)
        log_info("receive", "TLS did not come about: %s", end->text);
    session->stream = NULL;
    session->is_over = true;
    session_pump(session, &nothing);
}

static const struct stream_events stream_events = {
    .on_bytes = on_bytes, .on_drained = on_drained, .on_tls = on_tls, .on_closed = on_closed};

void session_go_on(struct session *session)
{
    struct slice nothing = {0};
    if (session->depth || !session->stream)
        return;
    if (session_pump(session, &nothing))
        stream_resume(session->stream);
}

/* ── the front ── */

static void refuse(struct session_front *front, int fd, const struct endpoint *peer, struct slice reply)
{
    struct stream *stream = stream_adopt(front->loop, fd, peer, 0, 0, &stream_events, NULL);
    if (!front->options.is_tls_first)
        stream_write(stream, reply);
    stream_leave(stream, LINGER_MS / 4);
}

static void on_accepted(void *owner, int fd, const struct endpoint *peer)
{
    struct session_front *front = owner;
    const struct session_limits *limits = &front->options.limits;
    if (front->count >= limits->sessions) {
        refuse(front, fd, peer, SLICE("421 4.3.2 too many connections, try again later\r\n"));
        return;
    }
    if (address_count(front, peer) >= limits->sessions_of_one) {
        refuse(front, fd, peer, SLICE("421 4.7.0 too many connections from your address\r\n"));
        return;
    }
    struct session *session = NEW(struct session);
    session->front = front;
    session->peer = *peer;
    session->ends_at = loop_now(front->loop) + limits->session_time;
    session->next = front->sessions;
    session->at = &front->sessions;
    if (front->sessions)
        front->sessions->at = &session->next;
    front->sessions = session;
    front->count++;
    address_add(front, peer, 1);
    buf_init(&session->body, front->options.smtp.size_max + 65536);
    timer_init(&session->timer, front->loop, session_timer, session);
    session->machine = smtp_server_new(&front->options.smtp);
    session->stream = stream_adopt(front->loop, fd, peer, 0, OUT_LIMIT, &stream_events, session);
    session->wants_tls = front->options.is_tls_first;
    struct slice nothing = {0};
    session_pump(session, &nothing);
}

struct session_front *session_front_new(struct loop *loop, const struct session_options *options,
                                        const struct session_policy *policy, void *owner, struct fault *why)
{
    struct session_front *front = NEW(struct session_front);
    front->loop = loop;
    front->options = *options;
    front->policy = policy;
    front->owner = owner;
    struct session_limits *limits = &front->options.limits;
    struct smtp_server_settings *smtp = &front->options.smtp;
    limits->sessions = limits->sessions ? limits->sessions : 1000;
    limits->sessions_of_one = limits->sessions_of_one ? limits->sessions_of_one : 50;
    limits->session_time = limits->session_time ? limits->session_time : HOURS_MS(1);
    limits->stressed_silence = limits->stressed_silence ? limits->stressed_silence : SECONDS_MS(10);
    limits->answer_time = limits->answer_time ? limits->answer_time : SECONDS_MS(120);
    limits->memory = limits->memory ? limits->memory : (size_t)256 << 20;
    smtp->size_max = smtp->size_max ? smtp->size_max : 50u << 20;
    smtp->has_tls = options->tls && !options->is_tls_first;
    smtp->is_tls_already = options->is_tls_first;
    front->listener = listener_new(loop, &options->listener, on_accepted, front, why);
    if (!front->listener) {
        free(front);
        return NULL;
    }
    return front;
}

/* Who waits for the answer to a mail hears it first: 421 to a mail that is kept would make its sender send it again. */
bool session_front_stop(struct session_front *front)
{
    if (!front || front->is_stopping)
        return false;
    bool has_sessions = front->sessions != NULL;
    front->is_stopping = true;
    listener_free(front->listener);
    front->listener = NULL;
    for (struct session *session = front->sessions, *next; session; session = next) {
        next = session->next;
        if (!smtp_server_is_asking(session->machine) || session->is_in_handshake)
            session_says_last(session, going_down);
    }
    return has_sessions;
}

void session_front_free(struct session_front *front)
{
    if (!front)
        return;
    session_front_stop(front);
    while (front->sessions)
        session_says_last(front->sessions, going_down);
    map_release(&front->by_address);
    free(front);
}

struct endpoint session_front_endpoint(const struct session_front *front)
{
    return listener_endpoint(front->listener);
}

struct smtp_server *session_machine(struct session *session)
{
    return session->machine;
}

const struct endpoint *session_peer(const struct session *session)
{
    return &session->peer;
}

void session_trace_begin(const struct session *session, struct slice host_name, struct buf *out)
{
    char address[IP_TEXT_ROOM];
    bool has_tls = smtp_server_has_tls(session->machine);
    buf_text(out, "Received: from ");
    for (size_t i = 0; i < session->helo_len; i++) {
        char c = session->helo[i];
        buf_byte(out, c && (ascii_is_alnum(c) || strchr(".-_:[]", c)) ? c : '?');
    }
    buf_printf(out, " ([%s%s])\r\n\tby %.*s with %s%s%s", session->peer.ip.family == 6 ? "IPv6:" : "",
               ip_text(&session->peer.ip, address), SLICE_ARG(host_name),
               smtp_server_is_esmtp(session->machine) ? "ESMTP" : "SMTP", has_tls ? "S" : "",
               smtp_server_is_authenticated(session->machine) ? "A" : "");
}

struct slice session_helo(const struct session *session)
{
    return slice_of(session->helo, session->helo_len);
}

struct slice session_body(const struct session *session)
{
    return buf_slice(&session->body);
}

void session_set_data(struct session *session, void *data)
{
    session->data = data;
}

void *session_data(const struct session *session)
{
    return session->data;
}
