/* server_body.c - the message behind DATA or BDAT, streamed to the owner; a bad one is read to its true end first */
#include "smtp/server_state.h"

void server_body_begin(struct smtp_server *server, bool is_accepted)
{
    if (server->question.is_chunked) {
        if (!is_accepted) {
            server->chunk_is_dropped = true;
            server->state = SERVER_CHUNK;
            server_reset(server, 550);
            return;
        }
        server->is_chunking = true;
        server->chunk_is_dropped = false;
        server->state = SERVER_CHUNK;
    } else if (is_accepted) {
        server->state = SERVER_DATA;
    } else {
        server_reset(server, 554);
        return;
    }
    server->dots = (struct dot_reader){.is_raw = server->is_chunking};
    server->size = 0;
    server->body_refusal = NULL;
}

void server_chunk_drop(struct smtp_server *server, struct slice refusal)
{
    server->chunk_is_dropped = true;
    server->state = SERVER_CHUNK;
    buf_reset(&server->chunk_refusal);
    buf_append(&server->chunk_refusal, refusal);
}

/* Whether the message, as far as it is known, must be refused. */
static void body_judge(struct smtp_server *server)
{
    if (server->body_refusal)
        return;
    if (server->size > server->is.size_max)
        server->body_refusal = "552 5.3.4 the message is larger than SIZE allows";
    else if (server->dots.has_bare_eol && server->is.bare_eol == SMTP_BARE_REFUSE)
        server->body_refusal = "550 5.6.0 a bare CR or LF stands in the message";
    else if (server->is.text_line_max && server->dots.line_longest > server->is.text_line_max)
        server->body_refusal = "554 5.6.0 a line of the message is too long";
}

static bool body_give(struct smtp_server *server, struct slice bytes, struct smtp_server_event *event)
{
    server->size += bytes.len;
    body_judge(server);
    if (server->body_refusal || bytes.len == 0)
        return false;
    *event = (struct smtp_server_event){.what = SMTP_SERVER_BODY, .bytes = bytes};
    return true;
}

/* The end of the message. */
static void body_end(struct smtp_server *server)
{
    server->state = SERVER_COMMAND;
    body_judge(server);
    if (server->body_refusal) {
        const char *refusal = server->body_refusal;
        server_reset(server, (refusal[0] - '0') * 100 + (refusal[1] - '0') * 10 + (refusal[2] - '0'));
        server_refuse(server, refusal);
        return;
    }
    server_ask(server, SMTP_SERVER_MESSAGE);
    server->question.size = server->size;
    server->question.is_chunked = server->is_chunking;
}

/* All octets of a chunk have been read. */
static void chunk_end(struct smtp_server *server)
{
    server->state = SERVER_COMMAND;
    if (server->chunk_is_dropped) {
        server->chunk_is_dropped = false;
        if (server->chunk_refusal.len) {
            bool is_over = slice_starts(buf_slice(&server->chunk_refusal), SLICE("421"));
            server_refuse(server, buf_cstr(&server->chunk_refusal));
            if (is_over)
                server_finish(server);
        }
        return;
    }
    body_judge(server);
    if (server->chunk_is_last || server->body_refusal)
        body_end(server);
    else
        buf_printf(&server->out, "250 2.0.0 %llu octets\r\n", (unsigned long long)server->chunk_size);
}

static bool chunk_read(struct smtp_server *server, struct slice *received, struct smtp_server_event *event)
{
    for (;;) {
        uint64_t take = server->chunk_left < received->len ? server->chunk_left : received->len;
        struct slice rest = slice_head(*received, (size_t)take), bytes;
        enum dots_found found = DOTS_MORE;
        if (server->chunk_is_dropped)
            rest.len = 0;
        else
            found = dots_read(&server->dots, &rest, &bytes);
        *received = slice_from(*received, (size_t)take - rest.len);
        server->chunk_left -= take - rest.len;
        if (found == DOTS_MORE)
            break;
        if (body_give(server, bytes, event))
            return true;
    }
    if (server->chunk_left)
        return false;
    if (!server->chunk_is_dropped && server->chunk_is_last && body_give(server, dots_read_end(&server->dots), event))
        return true; /* comes back here with nothing held */
    chunk_end(server);
    return false;
}

bool server_body(struct smtp_server *server, struct slice *received, struct smtp_server_event *event)
{
    if (server->state == SERVER_CHUNK)
        return chunk_read(server, received, event);
    struct slice bytes;
    for (;;) {
        switch (dots_read(&server->dots, received, &bytes)) {
        case DOTS_MORE: return false;
        case DOTS_END: body_end(server); return false;
        case DOTS_BYTES:
            if (body_give(server, bytes, event))
                return true;
        }
    }
}
