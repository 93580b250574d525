/* The reader's places, between two calls:
 *
 *   LINE_START --'.'--> DOT --CR--> DOT_CR --LF--> (the end)
 *       ^  |             |             | else: the dot was stuffing, the CR was bare
 *       |  +--else--> MIDLINE <--------+
 *       |                | CR
 *       +------LF------ CR --else--> (bare CR) MIDLINE
 *
 * Only a true CRLF leads to LINE_START. OWES_CRLF: a bare LF was met, its CRLF is given next; then MIDLINE. */
#include "smtp/dots.h"

static const struct slice crlf = SLICE_INIT("\r\n");

/* Lines are looked at in pieces, so that bytes full of lone CRs are not searched for their far LF again and again. */
enum { PIECE = 1024 };

/* The end of the piece of a line at `at`: behind its LF, or no further than PIECE; never between a CR and its LF. */
static const char *piece_end(const char *at, const char *end, bool *has_lf)
{
    const char *to = end - at > PIECE ? at + PIECE : end;
    const char *lf = memchr(at, '\n', (size_t)(to - at));
    *has_lf = lf != NULL;
    if (lf)
        return lf + 1;
    return to < end && to[-1] == '\r' && *to == '\n' ? to - 1 : to;
}

/* The first CR or LF in the piece that is no part of a CRLF; NULL when none. A CR that is the last byte there is, at
 * `end`, is still open. */
static const char *bare_in_piece(const char *from, const char *to, bool has_lf, const char *end)
{
    const char *cr = memchr(from, '\r', (size_t)(to - from) - has_lf);
    if (!cr)
        return has_lf ? to - 1 : NULL;
    return cr + 1 == end || cr[1] == '\n' ? NULL : cr;
}

static void append_run(struct buf *out, const char *from, const char *to)
{
    buf_append(out, slice_of(from, (size_t)(to - from)));
}

void dots_write(struct dot_writer *writer, struct slice *body, size_t at_most, struct buf *out)
{
    size_t room = out->limit > out->len + 8 ? (out->limit - out->len - 8) / 2 : 0;
    if (room > at_most)
        room = at_most;
    const char *at = body->ptr, *end = at + (body->len < room ? body->len : room);
    const char *run = at;
    while (at < end) {
        if (writer->has_cr) {
            buf_append(out, crlf);
            writer->has_cr = writer->is_midline = false;
            at += *at == '\n';
            run = at;
            continue;
        }
        if (!writer->is_midline && *at == '.') {
            append_run(out, run, at);
            buf_byte(out, '.');
            run = at;
        }
        bool has_lf;
        const char *to = piece_end(at, end, &has_lf);
        const char *bare = bare_in_piece(at, to, has_lf, end);
        if (bare) {
            append_run(out, run, bare);
            buf_append(out, crlf);
            run = at = bare + 1;
            writer->is_midline = false;
        } else if (has_lf || to < end) {
            at = to;
            writer->is_midline = !has_lf;
        } else {
            writer->has_cr = end[-1] == '\r';
            writer->is_midline = true;
            append_run(out, run, end - writer->has_cr);
            run = at = end;
        }
    }
    append_run(out, run, at);
    *body = slice_from(*body, (size_t)(at - body->ptr));
}

void dots_write_end(struct dot_writer *writer, struct buf *out)
{
    if (writer->is_midline || writer->has_cr)
        buf_append(out, crlf);
    writer->is_midline = writer->has_cr = false;
}

static void line_grows(struct dot_reader *reader, size_t len)
{
    reader->line_len += len;
    if (reader->line_len > reader->line_longest)
        reader->line_longest = reader->line_len;
}

/* A run of whole lines, and maybe the front of another, up to the next place that needs a decision. */
static struct slice run_read(struct dot_reader *reader, struct slice *received)
{
    const char *from = received->ptr, *end = from + received->len, *at = from;
    for (;;) {
        bool has_lf;
        const char *to = piece_end(at, end, &has_lf);
        const char *bare = bare_in_piece(at, to, has_lf, end);
        if (bare) {
            line_grows(reader, (size_t)(bare - at));
            reader->place = *bare == '\r' ? DOTS_CR : DOTS_OWES_CRLF;
            if (*bare == '\n')
                reader->has_bare_eol = true;
            *received = slice_of(bare + 1, (size_t)(end - bare) - 1);
            return slice_of(from, (size_t)(bare - from));
        }
        if (!has_lf && to < end) {
            line_grows(reader, (size_t)(to - at));
            at = to;
            continue;
        }
        if (!has_lf) {
            bool has_cr = end[-1] == '\r';
            line_grows(reader, (size_t)(end - at) - has_cr);
            reader->place = has_cr ? DOTS_CR : DOTS_MIDLINE;
            *received = slice_of(end, 0);
            return slice_of(from, (size_t)(end - from) - has_cr);
        }
        line_grows(reader, (size_t)(to - at) - 2);
        reader->line_len = 0;
        reader->place = DOTS_LINE_START;
        at = to;
        if (at == end || (*at == '.' && !reader->is_raw)) {
            *received = slice_of(at, (size_t)(end - at));
            return slice_of(from, (size_t)(at - from));
        }
    }
}

enum dots_found dots_read(struct dot_reader *reader, struct slice *received, struct slice *bytes)
{
    *bytes = crlf;
    if (reader->place == DOTS_OWES_CRLF) {
        reader->place = DOTS_MIDLINE;
        reader->line_len = 0;
        return DOTS_BYTES;
    }
    while (received->len) {
        char c = *received->ptr;
        switch (reader->place) {
        case DOTS_DOT:
            reader->place = c == '\r' ? DOTS_DOT_CR : DOTS_MIDLINE;
            if (c == '\r')
                *received = slice_from(*received, 1);
            continue;
        case DOTS_DOT_CR:
        case DOTS_CR:
            if (c == '\n') {
                bool is_end = reader->place == DOTS_DOT_CR;
                *received = slice_from(*received, 1);
                reader->place = DOTS_LINE_START;
                reader->line_len = 0;
                return is_end ? DOTS_END : DOTS_BYTES;
            }
            reader->has_bare_eol = true;
            reader->place = DOTS_MIDLINE;
            reader->line_len = 0;
            return DOTS_BYTES;
        case DOTS_LINE_START:
            if (c == '.' && !reader->is_raw) {
                reader->place = DOTS_DOT;
                *received = slice_from(*received, 1);
                continue;
            }
            break;
        case DOTS_MIDLINE:
        case DOTS_OWES_CRLF: break;
        }
        *bytes = run_read(reader, received);
        if (bytes->len)
            return DOTS_BYTES;
        *bytes = crlf;
        if (reader->place == DOTS_OWES_CRLF) {
            reader->place = DOTS_MIDLINE;
            reader->line_len = 0;
            return DOTS_BYTES;
        }
    }
    return DOTS_MORE;
}

struct slice dots_read_end(struct dot_reader *reader)
{
    struct slice held = {0};
    if (reader->place == DOTS_CR) {
        reader->has_bare_eol = true;
        held = crlf;
    }
    if (reader->place == DOTS_OWES_CRLF)
        held = crlf;
    reader->place = DOTS_LINE_START;
    return held;
}
