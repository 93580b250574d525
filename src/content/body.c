#include "content/body.h"

#include "base/base64.h"
#include "base/utf8.h"
#include "content/twin.h"
#include <assert.h>

enum { PHASES = 3, SHORT = 48 /* octets: not worth a line of its own */, LINE_MAX = 4 * 1024 * 1024 };

/* A run of canonical text (CRLF), raw and encoded. */
struct stretch {
    struct slice raw;
    struct slice encoded[PHASES]; /* quoted-printable: only [0] */
    size_t column;                /* quoted-printable: where the line stands behind it */
    size_t columns[PHASES];       /* base64: the same for each phase */
};
struct piece {               /* of one text of the template */
    struct slice head, tail; /* wrapped bodies: the first and last line, LF */
    bool has_line_end;
    struct stretch middle;
};
struct body {
    struct liquid *liquid;
    enum transfer transfer;
    size_t wrap_columns;
    struct piece *pieces;
    struct arena arena;
};

struct body_writer {
    struct liquid_sink sink;
    const struct body *body;
    struct buf *out, *line, *scratch;
    size_t column;          /* of the encoded line */
    unsigned char carry[2]; /* base64: octets of an open group */
    size_t carried;
};

/* --- base64 in a stream --- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void group_put(char *to, unsigned char a, unsigned char b, unsigned char c)
{
    to[0] = alphabet[a >> 2];
    to[1] = alphabet[(a & 3) << 4 | b >> 4];
    to[2] = alphabet[(b & 15) << 2 | c >> 6];
    to[3] = alphabet[c & 63];
}

/* Whole groups in lines of 76; gives the new column. `len` is a multiple of 3. */
static size_t groups_put(struct buf *out, const unsigned char *from, size_t len, size_t column)
{
    size_t chars = len / 3 * 4;
    char *to = buf_reserve(out, chars + (chars / ENCODED_LINE_COLUMNS + 2) * 2), *start = to;
    if (!to)
        return column;
    for (size_t at = 0; at < len; at += 3) {
        if (column == ENCODED_LINE_COLUMNS) {
            *to++ = '\r';
            *to++ = '\n';
            column = 0;
        }
        group_put(to, from[at], from[at + 1], from[at + 2]);
        to += 4;
        column += 4;
    }
    buf_advance(out, (size_t)(to - start));
    return column;
}

/* Complete the open group from the front of *bytes; false when there is not enough for it. */
static bool carry_complete(struct body_writer *writer, struct slice *bytes)
{
    unsigned char group[3];
    size_t need = 3 - writer->carried;
    if (bytes->len < need)
        return false;
    memcpy(group, writer->carry, writer->carried);
    memcpy(group + writer->carried, bytes->ptr, need);
    writer->column = groups_put(writer->out, group, 3, writer->column);
    writer->carried = 0;
    *bytes = slice_from(*bytes, need);
    return true;
}

static void carry_keep(struct body_writer *writer, struct slice rest)
{
    for (size_t i = 0; i < rest.len; i++)
        writer->carry[writer->carried++] = (unsigned char)rest.ptr[i];
}

static void base64_put(struct body_writer *writer, struct slice bytes)
{
    if (writer->carried && !carry_complete(writer, &bytes)) {
        carry_keep(writer, bytes);
        return;
    }
    size_t whole = bytes.len / 3 * 3;
    writer->column = groups_put(writer->out, (const unsigned char *)bytes.ptr, whole, writer->column);
    carry_keep(writer, slice_from(bytes, whole));
}

static void base64_end(struct body_writer *writer)
{
    char group[4];
    if (writer->carried) {
        if (writer->column == ENCODED_LINE_COLUMNS)
            buf_text(writer->out, "\r\n");
        group_put(group, writer->carry[0], writer->carried == 2 ? writer->carry[1] : 0, 0);
        group[3] = '=';
        if (writer->carried == 1)
            group[2] = '=';
        buf_append(writer->out, slice_of(group, 4));
        writer->column = 4;
    }
    if (writer->column)
        buf_text(writer->out, "\r\n");
}

/* --- stretches: made once --- */

static void stretch_init(struct body *body, struct stretch *stretch, struct slice canonical)
{
    *stretch = (struct stretch){.raw = arena_copy(&body->arena, canonical)};
    if (canonical.len < SHORT)
        return;
    SCOPED(buf) encoded = BUF(canonical.len * 4 + 64);
    if (body->transfer == TRANSFER_QUOTED_PRINTABLE) {
        stretch->column = quoted_printable_encode(&encoded, stretch->raw, 0);
        assert(buf_ok(&encoded));
        stretch->encoded[0] = arena_copy(&body->arena, buf_slice(&encoded));
        return;
    }
    for (size_t phase = 0; phase < PHASES; phase++) { /* phase: octets of the front that belong to the group before */
        struct slice rest = slice_from(stretch->raw, phase);
        buf_reset(&encoded);
        stretch->columns[phase] = groups_put(&encoded, (const unsigned char *)rest.ptr, rest.len / 3 * 3, 0);
        stretch->encoded[phase] = arena_copy(&body->arena, buf_slice(&encoded));
    }
}

static void stretch_put(struct body_writer *writer, const struct stretch *stretch)
{
    if (!stretch->encoded[0].len) {
        if (writer->body->transfer == TRANSFER_QUOTED_PRINTABLE)
            writer->column = quoted_printable_encode(writer->out, stretch->raw, writer->column);
        else
            base64_put(writer, stretch->raw);
        return;
    }
    if (writer->body->transfer == TRANSFER_QUOTED_PRINTABLE) {
        if (writer->column && !slice_starts(stretch->encoded[0], SLICE("\r\n")))
            buf_text(writer->out, "=\r\n");
        buf_append(writer->out, stretch->encoded[0]);
        writer->column = stretch->column;
        return;
    }
    struct slice rest = stretch->raw;
    size_t phase = (3 - writer->carried) % 3;
    if (phase)
        (void)carry_complete(writer, &rest); /* a stretch is longer than a group */
    if (writer->column)
        buf_text(writer->out, "\r\n");
    buf_append(writer->out, stretch->encoded[phase]);
    writer->column = stretch->columns[phase];
    carry_keep(writer, slice_from(rest, rest.len / 3 * 3));
}

/* --- what is put in --- */

static bool is_canonical(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\n' || text.ptr[i] == '\r' || text.ptr[i] == '\0')
            return false;
    return true;
}

/* Text of any line ends, not necessarily UTF-8, encoded. */
static void text_put(struct body_writer *writer, struct slice text)
{
    SCOPED(buf) repaired = BUF(LINE_MAX);
    SCOPED(buf) canonical = BUF(LINE_MAX);
    if (!utf8_is_valid(text)) {
        utf8_repair(&repaired, text);
        text = buf_slice(&repaired);
    }
    if (!is_canonical(text)) {
        text_crlf(&canonical, text);
        text = buf_slice(&canonical);
    }
    if (writer->body->transfer == TRANSFER_QUOTED_PRINTABLE)
        writer->column = quoted_printable_encode(writer->out, text, writer->column);
    else
        base64_put(writer, text);
}

static void direct_text(struct liquid_sink *sink, size_t index, struct slice text)
{
    struct body_writer *writer = (struct body_writer *)sink;
    stretch_put(writer, &writer->body->pieces[index].middle);
}

static void direct_value(struct liquid_sink *sink, struct slice value)
{
    text_put((struct body_writer *)sink, value);
}

/* --- wrapped bodies: a line is written when it is complete --- */

static void line_end(struct body_writer *writer)
{
    struct slice line = buf_slice(writer->line);
    bool is_short = line.len <= writer->body->wrap_columns && is_canonical(line);
    if (!is_short || (line.len && line.ptr[line.len - 1] == ' ')) {
        buf_reset(writer->scratch);
        text_wrap(writer->scratch, line, writer->body->wrap_columns);
        line = buf_slice(writer->scratch);
    }
    text_put(writer, line);
    buf_reset(writer->line);
}

static void wrapped_text(struct liquid_sink *sink, size_t index, struct slice text)
{
    struct body_writer *writer = (struct body_writer *)sink;
    const struct piece *piece = &writer->body->pieces[index];
    buf_append(writer->line, piece->head);
    if (!piece->has_line_end)
        return;
    line_end(writer);
    stretch_put(writer, &piece->middle);
    buf_append(writer->line, piece->tail);
}

static void wrapped_value(struct liquid_sink *sink, struct slice value)
{
    buf_append(((struct body_writer *)sink)->line, value);
}

/* A text of a wrapped body: its first line, its last line, and between them lines that are complete. The line end
 * behind the first line opens the middle. */
static void piece_wrapped(struct body *body, struct piece *piece, struct slice text)
{
    ptrdiff_t first = slice_find_byte(text, '\n'), last = slice_find_last_byte(text, '\n');
    piece->has_line_end = first != SLICE_NPOS;
    if (!piece->has_line_end) {
        piece->head = arena_copy(&body->arena, text);
        return;
    }
    piece->head = arena_copy(&body->arena, slice_head(text, (size_t)first));
    piece->tail = arena_copy(&body->arena, slice_from(text, (size_t)last + 1));
    SCOPED(buf) wrapped = BUF(LINE_MAX * 2);
    SCOPED(buf) canonical = BUF(LINE_MAX * 2);
    text_wrap(&wrapped, slice_head(slice_from(text, (size_t)first), (size_t)(last - first) + 1), body->wrap_columns);
    text_crlf(&canonical, buf_slice(&wrapped));
    stretch_init(body, &piece->middle, buf_slice(&canonical));
}

static void piece_init(struct body *body, struct piece *piece, struct slice text)
{
    SCOPED(buf) repaired = BUF(text.len * 3 + 1);
    SCOPED(buf) lines = BUF(text.len * 6 + 2);
    if (!utf8_is_valid(text)) {
        utf8_repair(&repaired, text);
        text = buf_slice(&repaired);
    }
    text_crlf(&lines, text);
    if (!body->wrap_columns) {
        stretch_init(body, &piece->middle, buf_slice(&lines));
        return;
    }
    size_t kept = 0; /* LF while lines are still to be put together */
    for (size_t i = 0; i < lines.len; i++)
        if (lines.ptr[i] != '\r')
            lines.ptr[kept++] = lines.ptr[i];
    piece_wrapped(body, piece, slice_of(lines.ptr, kept));
}

struct body *body_new(struct liquid *liquid, size_t wrap_columns)
{
    struct body *body = NEW(struct body);
    size_t count = liquid_text_count(liquid), octets = 0, special = 0;
    body->liquid = liquid;
    body->wrap_columns = wrap_columns;
    for (size_t i = 0; i < count; i++) {
        struct slice text = liquid_text(liquid, i);
        octets += text.len;
        for (size_t at = 0; at < text.len; at++)
            special += text.ptr[at] < 0;
    }
    body->transfer = special * 6 <= octets ? TRANSFER_QUOTED_PRINTABLE : TRANSFER_BASE64;
    body->pieces = ARENA_ARRAY(&body->arena, struct piece, count + 1);
    for (size_t i = 0; i < count; i++)
        piece_init(body, &body->pieces[i], liquid_text(liquid, i));
    return body;
}

void body_free(struct body *body)
{
    if (!body)
        return;
    liquid_free(body->liquid);
    arena_release(&body->arena);
    free(body);
}

enum transfer body_transfer(const struct body *body)
{
    return body->transfer;
}

bool body_render(const struct body *body, const struct liquid_context *context, struct buf *out, struct buf *line,
                 struct buf *scratch, struct fault *why)
{
    struct body_writer writer = {.body = body, .out = out, .line = line, .scratch = scratch};
    writer.sink = body->wrap_columns ? (struct liquid_sink){wrapped_text, wrapped_value}
                                     : (struct liquid_sink){direct_text, direct_value};
    buf_reset(line);
    if (!liquid_render_to(body->liquid, context, &writer.sink, why))
        return false;
    if (body->wrap_columns)
        line_end(&writer);
    if (body->transfer == TRANSFER_BASE64)
        base64_end(&writer);
    else if (writer.column)
        buf_text(out, "\r\n");
    return (buf_ok(out) && buf_ok(line)) || fault_set(why, FAULT_LIMIT, "the mail is larger than allowed");
}
