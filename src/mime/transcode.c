#include "mime/transcode.h"

#include "base/base64.h"
#include "mime/encode.h"
#include "mime/read.h"

/* A part of the mail's bytes that becomes something else. Edits stand in the order of the bytes. */
struct edit {
    struct slice old;   /* of the mail; may be empty: an insertion */
    struct slice word;  /* a new Content-Transfer-Encoding field with this value, or */
    bool is_body;       /* the old bytes, encoded */
    enum transfer into; /* of a body */
};

static bool needs_encoding(struct slice body)
{
    for (size_t i = 0; i < body.len; i++)
        if ((unsigned char)body.ptr[i] >= 0x80 || body.ptr[i] == '\0')
            return true;
    struct slice rest = body, line;
    while (slice_line(&rest, &line))
        if (line.len > LINE_MAX_OCTETS)
            return true;
    return false;
}

static enum transfer shorter(struct slice body)
{
    size_t wide = 0;
    for (size_t i = 0; i < body.len; i++) {
        unsigned char c = (unsigned char)body.ptr[i];
        wide += (c < ' ' && c != '\r' && c != '\n' && c != '\t') || c >= 0x7f || c == '=';
    }
    return wide > body.len / 5 ? TRANSFER_BASE64 : TRANSFER_QUOTED_PRINTABLE;
}

/* The whole Content-Transfer-Encoding field with its line end; empty, at the place for a new one, when there is none.
 */
static struct slice encoding_field(const struct mime_mail *mail, const struct mime_part *part)
{
    const char *end = part->head.ptr + part->head.len;
    for (unsigned i = 0; i < part->header_count; i++) {
        const struct mime_header *header = &mail->headers[part->header_from + i];
        if (!slice_equal_caseless(header->name, SLICE("Content-Transfer-Encoding")))
            continue;
        const char *value_end = header->value.len ? header->value.ptr + header->value.len : header->name.ptr;
        const char *lf = memchr(value_end, '\n', (size_t)(end - value_end));
        return slice_of(header->name.ptr, (size_t)((lf ? lf + 1 : end) - header->name.ptr));
    }
    return slice_of(end - 2, 0); /* in front of the empty line */
}

static bool is_within_signed(const struct mime_mail *mail, unsigned index)
{
    for (; index; index = mail->parts[index].parent)
        if (mime_is(&mail->parts[mail->parts[index].parent], "multipart", "signed"))
            return true;
    return false;
}

static bool has_end_of_head(const struct mime_part *part)
{
    return slice_equal(part->head, SLICE("\r\n")) || slice_ends(part->head, SLICE("\r\n\r\n"));
}

/* Whether the part or something in it has to change: its children are seen after it, so the walk goes backwards. */
static bool plan(const struct mime_mail *mail, bool *changes)
{
    for (unsigned i = mail->part_count; i-- > 0;) {
        const struct mime_part *part = &mail->parts[i];
        bool is_leaf = part->end == i + 1;
        if (is_leaf && needs_encoding(part->body))
            changes[i] = true;
        if (changes[i] && is_within_signed(mail, i))
            return false;
        if (changes[i] && is_leaf && (part->encoding != MIME_IDENTITY || !has_end_of_head(part)))
            return false; /* says it is encoded, and is not; or has no place for a field */
        if (changes[i] && is_leaf && slice_equal_caseless(part->type, SLICE("multipart")))
            return false;
        if (changes[i] && i)
            changes[part->parent] = true;
    }
    return true;
}

static void edit_write(struct buf *out, const struct edit *edit)
{
    if (!edit->is_body) {
        buf_text(out, "Content-Transfer-Encoding: ");
        buf_append(out, edit->word);
        buf_text(out, "\r\n");
        return;
    }
    size_t before = out->len;
    if (edit->into == TRANSFER_BASE64)
        base64_encode_lines(out, edit->old);
    else
        quoted_printable_encode(out, edit->old, 0);
    bool had_end = slice_ends(edit->old, SLICE("\r\n"));
    if (!had_end && out->len >= before + 2 && slice_ends(buf_slice(out), SLICE("\r\n")))
        out->len -= 2; /* the line end in front of a delimiter is the delimiter's */
}

bool mime_to_7bit(struct slice bytes, struct buf *out)
{
    SCOPED(arena) arena = {0};
    struct mime_mail mail;
    mime_read(bytes, &arena, &mail);
    bool *changes = ARENA_ARRAY(&arena, bool, mail.part_count + 1);
    struct edit *edits = ARENA_ARRAY(&arena, struct edit, mail.part_count * 2 + 1);
    size_t count = 0;
    if (mail.over != MIME_WHOLE || !plan(&mail, changes))
        return false;
    for (unsigned i = 0; i < mail.part_count; i++) {
        const struct mime_part *part = &mail.parts[i];
        if (!changes[i])
            continue;
        bool is_leaf = part->end == i + 1;
        enum transfer into = is_leaf ? shorter(part->body) : TRANSFER_7BIT;
        struct slice field = encoding_field(&mail, part);
        if (is_leaf || field.len)
            edits[count++] = (struct edit){.old = field, .word = transfer_word(into)};
        if (is_leaf)
            edits[count++] = (struct edit){.old = part->body, .is_body = true, .into = into};
    }
    const char *at = bytes.ptr;
    for (size_t i = 0; i < count; i++) {
        buf_append(out, slice_of(at, (size_t)(edits[i].old.ptr - at)));
        edit_write(out, &edits[i]);
        at = edits[i].old.ptr + edits[i].old.len;
    }
    buf_append(out, slice_of(at, (size_t)(bytes.ptr + bytes.len - at)));
    return buf_ok(out);
}
