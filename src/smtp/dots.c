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

/* Where the first CR or LF stands that is no part of a CRLF, within one line [from, to) whose end `to` is behind its LF
 * (or behind the last byte there is: then a CR at the very end is still open). NULL when none. */
static const char *bare_in_line(const char *from, const char *to, bool has_lf)
{
    const char *text_end = has_lf ? to - 1 : to;
    const char *cr = memchr(from, '\r', (size_t)(text_end - from));
    if (!cr)
        return has_lf ? to - 1 : NULL;
    return cr + 1 == text_end ? NULL : cr;
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
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = lf ? lf + 1 : end;
        const char *bare = bare_in_line(at, line_end, lf != NULL);
        if (bare) {
            append_run(out, run, bare);
            buf_append(out, crlf);
            run = at = bare + 1;
            writer->is_midline = false;
        } else if (lf) {
            at = line_end;
            writer->is_midline = false;
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
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = lf ? lf + 1 : end;
        const char *bare = bare_in_line(at, line_end, lf != NULL);
        if (bare) {
            line_grows(reader, (size_t)(bare - at));
            reader->place = *bare == '\r' ? DOTS_CR : DOTS_OWES_CRLF;
            if (*bare == '\n')
                reader->has_bare_eol = true;
            *received = slice_of(bare + 1, (size_t)(end - bare) - 1);
            return slice_of(from, (size_t)(bare - from));
        }
        if (!lf) {
            bool has_cr = end[-1] == '\r';
            line_grows(reader, (size_t)(end - at) - has_cr);
            reader->place = has_cr ? DOTS_CR : DOTS_MIDLINE;
            *received = slice_of(end, 0);
            return slice_of(from, (size_t)(end - from) - has_cr);
        }
        line_grows(reader, (size_t)(lf - at) - 1);
        reader->line_len = 0;
        reader->place = DOTS_LINE_START;
        at = line_end;
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
