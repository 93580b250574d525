/* conversation.c - open -> (TLS) -> over. `is_over` is set once, by whoever ends it; what is over is let go at the end
 * of the outermost call into this file (`depth`), so that an owner may end it in the middle of an event. */
#include "app/playground/conversation.h"

#include "base/memory.h"
#include <sys/socket.h>

struct conversation {
    struct stream *stream; /* NULL: gone */
    struct smtp_server *server;
    struct tls_server *tls;
    const struct conversation_events *events;
    void *owner;
    int fd; /* the stream's */
    unsigned depth;
    bool is_over, is_frozen, is_reset, wants_tls;
};

enum { LINGER_MS = 2000 };

static void finish(struct conversation *conversation)
{
    if (conversation->stream) {
        if (conversation->is_reset)
            stream_close(conversation->stream);
        else
            stream_leave(conversation->stream, LINGER_MS);
    }
    conversation->events->on_end(conversation->owner, conversation);
    smtp_server_free(conversation->server);
    free(conversation);
}

/* False: the conversation is gone. */
static bool leave_call(struct conversation *conversation)
{
    if (--conversation->depth > 0 || !conversation->is_over)
        return true;
    finish(conversation);
    return false;
}

static void write_replies(struct conversation *conversation)
{
    if (smtp_server_has_output(conversation->server)) {
        smtp_server_write(conversation->server, stream_out(conversation->stream));
        stream_flush_soon(conversation->stream);
    }
}

static void handle(struct conversation *conversation, const struct smtp_server_event *event)
{
    if (event->what == SMTP_SERVER_CLOSE)
        conversation->is_over = true;
    else if (event->what == SMTP_SERVER_TLS_BEGIN)
        conversation->wants_tls = true;
    else
        conversation->events->on_event(conversation->owner, conversation, event);
}

static void pump(struct conversation *conversation, struct slice *received)
{
    struct smtp_server_event event;
    for (;;) {
        size_t before = received->len;
        bool has_told = false;
        while (!conversation->is_over && !conversation->is_frozen && !conversation->wants_tls &&
               smtp_server_next(conversation->server, received, &event)) {
            has_told = true;
            handle(conversation, &event);
        }
        if (conversation->is_reset || conversation->is_frozen)
            return;
        bool had_output = smtp_server_has_output(conversation->server);
        write_replies(conversation);
        if (conversation->is_over)
            return;
        if (conversation->wants_tls) {
            conversation->wants_tls = false;
            stream_start_tls_server(conversation->stream, conversation->tls);
            return;
        }
        if (smtp_server_is_asking(conversation->server) || (!had_output && !has_told && received->len == before) ||
            received->len == 0)
            break;
    }
    time_ms timeout = smtp_server_timeout_ms(conversation->server);
    stream_deadline(conversation->stream, timeout, "the sender");
}

static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct conversation *conversation = owner;
    struct slice rest = bytes;
    if (conversation->is_frozen)
        return bytes.len;
    conversation->depth++;
    pump(conversation, &rest);
    size_t used = bytes.len - rest.len;
    return leave_call(conversation) ? used : bytes.len;
}

static void on_tls(void *owner, struct stream *stream, const struct tls_info *info)
{
    struct conversation *conversation = owner;
    struct slice nothing = {NULL, 0};
    conversation->depth++;
    smtp_server_tls_done(conversation->server, true);
    pump(conversation, &nothing);
    leave_call(conversation);
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct conversation *conversation = owner;
    conversation->depth++;
    conversation->stream = NULL;
    conversation->is_over = true;
    leave_call(conversation);
}

static const struct stream_events stream_events = {
    .on_bytes = on_bytes,
    .on_tls = on_tls,
    .on_closed = on_closed,
};

void conversation_start(struct loop *loop, int fd, const struct endpoint *peer,
                        const struct smtp_server_settings *settings, struct tls_server *tls,
                        const struct conversation_events *events, void *owner)
{
    struct conversation *conversation = NEW(struct conversation);
    conversation->tls = tls;
    conversation->fd = fd;
    conversation->events = events;
    conversation->owner = owner;
    conversation->server = smtp_server_new(settings);
    conversation->stream = stream_adopt(loop, fd, peer, 0, 0, &stream_events, conversation);
    struct slice nothing = {NULL, 0};
    conversation->depth++;
    pump(conversation, &nothing);
    leave_call(conversation);
}

struct smtp_server *conversation_server(struct conversation *conversation)
{
    return conversation->server;
}

void conversation_go_on(struct conversation *conversation)
{
    struct slice nothing = {NULL, 0};
    if (!conversation->stream || conversation->is_over)
        return;
    conversation->depth++;
    pump(conversation, &nothing);
    if (conversation->stream && !conversation->is_over)
        stream_resume(conversation->stream);
    leave_call(conversation);
}

void conversation_freeze(struct conversation *conversation)
{
    conversation->is_frozen = true;
    stream_deadline(conversation->stream, 0, "");
}

void conversation_reset(struct conversation *conversation)
{
    /* closing a socket that lingers for no time at all sends a reset */
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    if (conversation->stream)
        setsockopt(conversation->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    conversation->is_over = conversation->is_reset = true;
    if (conversation->depth == 0) {
        conversation->depth = 1;
        leave_call(conversation);
    }
}
