#include "mime/encode.h"

#include "base/base64.h"
#include "base/utf8.h"

static const char hex_upper[] = "0123456789ABCDEF";

struct slice transfer_word(enum transfer transfer)
{
    switch (transfer) {
    case TRANSFER_7BIT: return SLICE("7bit");
    case TRANSFER_QUOTED_PRINTABLE: return SLICE("quoted-printable");
    case TRANSFER_BASE64: break;
    }
    return SLICE("base64");
}

enum transfer transfer_choose(struct slice text)
{
    size_t special = 0, line = 0, longest = 0;
    bool has_control = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\n' || c == '\r') {
            line = 0;
            continue;
        }
        special += c >= 0x80;
        has_control |= (c < 0x20 && c != '\t') || c == 0x7f;
        if (++line > longest)
            longest = line;
    }
    if (!special && !has_control && longest <= LINE_FOLD_COLUMNS)
        return TRANSFER_7BIT;
    return special * 6 <= text.len ? TRANSFER_QUOTED_PRINTABLE : TRANSFER_BASE64;
}

void text_crlf(struct buf *out, struct slice text)
{
    size_t start = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '\r' && c != '\n' && c != '\0')
            continue;
        buf_append(out, slice_of(text.ptr + start, i - start));
        if (c != '\0')
            buf_text(out, "\r\n");
        if (c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n')
            i++;
        start = i + 1;
    }
    buf_append(out, slice_from(text, start));
}

static bool is_line_end(struct slice text, size_t at)
{
    return at + 1 < text.len && text.ptr[at] == '\r' && text.ptr[at + 1] == '\n';
}

/* May this byte stand for itself here? */
static bool is_literal(struct slice text, size_t at, size_t column)
{
    unsigned char c = (unsigned char)text.ptr[at];
    if (c == ' ' || c == '\t')
        return at + 1 < text.len && !is_line_end(text, at + 1);
    if (c < 0x21 || c > 0x7e || c == '=')
        return false;
    if (column == 0 && (c == '.' || c == 'F'))
        return c == 'F' && !slice_starts(slice_from(text, at), SLICE("From "));
    return true;
}

size_t quoted_printable_encode(struct buf *out, struct slice text, size_t column)
{
    enum { PIECE = 1024 };
    for (size_t at = 0; at < text.len;) {
        size_t end = at + PIECE < text.len ? at + PIECE : text.len;
        char *to = buf_reserve(out, (end - at) * 4 + 16), *start = to; /* =XX, and =CRLF for each 25 */
        if (!to)
            return column;
        while (at < end) {
            if (is_line_end(text, at)) {
                *to++ = '\r';
                *to++ = '\n';
                column = 0;
                at += 2;
                continue;
            }
            size_t width = is_literal(text, at, column) ? 1 : 3;
            if (column + width > ENCODED_LINE_COLUMNS - 1) {
                memcpy(to, "=\r\n", 3);
                to += 3;
                column = 0;
                width = is_literal(text, at, 0) ? 1 : 3;
            }
            unsigned char c = (unsigned char)text.ptr[at++];
            if (width == 1) {
                *to++ = (char)c;
            } else {
                *to++ = '=';
                *to++ = hex_upper[c >> 4];
                *to++ = hex_upper[c & 15];
            }
            column += width;
        }
        buf_advance(out, (size_t)(to - start));
    }
    return column;
}

void text_encode(struct buf *out, struct slice text, enum transfer transfer)
{
    if (!text.len)
        return;
    SCOPED(buf) repaired = BUF(text.len * 3 + 1);
    if (!utf8_is_valid(text)) {
        utf8_repair(&repaired, text);
        text = buf_slice(&repaired);
    }
    SCOPED(buf) lines = BUF(text.len * 2 + 2);
    text_crlf(&lines, text);
    text = buf_slice(&lines);
    size_t before = out->len;
    switch (transfer) {
    case TRANSFER_7BIT: buf_append(out, text); break;
    case TRANSFER_QUOTED_PRINTABLE: quoted_printable_encode(out, text, 0); break;
    case TRANSFER_BASE64: base64_encode_lines(out, text); break;
    }
    if (out->len > before && !slice_ends(buf_slice(out), SLICE("\r\n")))
        buf_text(out, "\r\n");
}

/* How one character goes into an encoded-word. */
static size_t q_width(struct slice character, bool is_phrase)
{
    unsigned char c = (unsigned char)character.ptr[0];
    if (character.len > 1)
        return character.len * 3;
    if (c == ' ' || ascii_is_alnum((char)c))
        return 1;
    if (is_phrase)
        return memchr("!*+-/", c, 5) ? 1 : 3;
    return c > 0x20 && c < 0x7f && c != '=' && c != '?' && c != '_' ? 1 : 3;
}

static void q_append(struct buf *out, struct slice character, bool is_phrase)
{
    if (character.ptr[0] == ' ') {
        buf_byte(out, '_');
    } else if (q_width(character, is_phrase) == 1) {
        buf_byte(out, character.ptr[0]);
    } else {
        for (size_t i = 0; i < character.len; i++) {
            unsigned char c = (unsigned char)character.ptr[i];
            char three[3] = {'=', hex_upper[c >> 4], hex_upper[c & 15]};
            buf_append(out, slice_of(three, 3));
        }
    }
}

/* Cut one whole character off valid UTF-8. */
static struct slice character_cut(struct slice *rest)
{
    struct slice whole = *rest;
    utf8_next(rest);
    return slice_head(whole, whole.len - rest->len);
}

size_t encoded_words(struct buf *out, struct slice value, size_t column, bool is_phrase)
{
    enum { FRAME = 12 /* =?UTF-8?B? and its end */ };
    SCOPED(buf) clean = BUF(value.len * 3 + 1);
    utf8_repair(&clean, value);
    for (size_t i = 0; i < clean.len; i++)
        if ((unsigned char)clean.ptr[i] < 0x20 || clean.ptr[i] == 0x7f)
            clean.ptr[i] = ' ';
    struct slice rest = buf_slice(&clean);
    size_t q_total = 0;
    for (struct slice walk = rest; walk.len;) /* character by character, to price the Q form */
        q_total += q_width(character_cut(&walk), is_phrase);
    bool is_q = q_total <= (rest.len + 2) / 3 * 4;

    SCOPED(buf) word = BUF(ENCODED_WORD_MAX);
    for (bool is_first = true; rest.len; is_first = false) {
        if (!is_first || column + FRAME + 12 > ENCODED_LINE_COLUMNS) {
            buf_text(out, "\r\n ");
            column = 1;
        }
        size_t room =
            ENCODED_LINE_COLUMNS - column < ENCODED_WORD_MAX ? ENCODED_LINE_COLUMNS - column : ENCODED_WORD_MAX;
        room -= FRAME;
        struct slice start = rest;
        size_t used = 0; /* Q: columns; B: octets */
        buf_reset(&word);
        while (rest.len) {
            struct slice next = rest, character = character_cut(&next);
            size_t width = is_q ? q_width(character, is_phrase) : character.len;
            if (used + width > (is_q ? room : room / 4 * 3))
                break;
            used += width;
            if (is_q)
                q_append(&word, character, is_phrase);
            rest = next;
        }
        if (!is_q)
            base64_encode(&word, slice_head(start, used));
        buf_append(out, is_q ? SLICE("=?UTF-8?Q?") : SLICE("=?UTF-8?B?"));
        buf_append(out, buf_slice(&word));
        buf_text(out, "?=");
        column += FRAME + word.len;
    }
    return column;
}
