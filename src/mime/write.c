#include "mime/write.h"

#include "mail/message_id.h"

#include "base/base64.h"
#include "base/percent.h"
#include "base/utf8.h"

enum { PART_DEPTH_MAX = 32, QUOTED_MAX = 60, VALUE_MAX = 64 * 1024, WORD_MAX = 900 };

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* The gate of X3: no control byte passes from a value into a header. */
static void value_clean(struct buf *out, struct slice value)
{
    value = utf8_head(value, VALUE_MAX);
    buf_append(out, value);
    for (size_t i = 0; i < out->len; i++)
        if (is_control(out->ptr[i]))
            out->ptr[i] = ' ';
}

static size_t longest_word(struct slice value)
{
    size_t longest = 0;
    for (struct slice piece; slice_split(&value, ' ', &piece);)
        if (piece.len > longest)
            longest = piece.len;
    return longest;
}

/* ASCII text, folded in front of its spaces. A line never ends up holding only spaces. */
static size_t fold_words(struct buf *out, struct slice value, size_t column)
{
    for (size_t at = 0; at < value.len;) {
        size_t word = at, end;
        while (word < value.len && value.ptr[word] == ' ')
            word++;
        for (end = word; end < value.len && value.ptr[end] != ' ';)
            end++;
        size_t width = end - at;
        if (word > at && column > 1 && column + width > LINE_FOLD_COLUMNS && end > word) {
            buf_text(out, "\r\n");
            column = 0;
        }
        buf_append(out, slice_of(value.ptr + at, width));
        column += width;
        at = end;
    }
    return column;
}

static size_t header_open(struct buf *out, struct slice name)
{
    buf_append(out, name);
    buf_text(out, ": ");
    return name.len + 2;
}

void header_text(struct buf *out, struct slice name, struct slice value)
{
    SCOPED(buf) clean = BUF(VALUE_MAX);
    value_clean(&clean, value);
    struct slice text = slice_trim(buf_slice(&clean));
    size_t column = header_open(out, name);
    bool is_plain = slice_is_ascii(text) && slice_find(text, SLICE("=?")) == SLICE_NPOS &&
                    longest_word(text) <= WORD_MAX && slice_find(text, SLICE("                    ")) == SLICE_NPOS;
    if (is_plain)
        fold_words(out, text, column);
    else
        encoded_words(out, text, column, false);
    buf_text(out, "\r\n");
}

bool header_tokens(struct buf *out, struct slice name, struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (is_control(value.ptr[i]) || (value.ptr[i] & 0x80))
            return false;
    value = slice_trim(value);
    if (!value.len || longest_word(value) > LINE_MAX_OCTETS - name.len - 2)
        return false;
    fold_words(out, value, header_open(out, name));
    buf_text(out, "\r\n");
    return true;
}

static bool is_atext(char c)
{
    return ascii_is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool address_is_clean(struct slice address)
{
    bool is_quoted = false;
    ptrdiff_t at = slice_find_last_byte(address, '@');
    if (at <= 0 || (size_t)at + 1 == address.len || address.len > 320 || !utf8_is_valid(address))
        return false;
    for (size_t i = 0; i < address.len; i++) {
        char c = address.ptr[i];
        if (is_control(c))
            return false;
        if (is_quoted && c == '\\' && i + 1 < (size_t)at)
            i++;
        else if (c == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted &&
                 (c == ' ' || c == '<' || c == '>' || c == ',' || c == ';' || c == '\\' || c == '(' || c == ')'))
            return false;
        if ((unsigned char)address.ptr[i] < 0x20 || address.ptr[i] == 0x7f)
            return false;
    }
    return !is_quoted;
}

static size_t quoted_string(struct buf *out, struct slice text)
{
    size_t before = out->len;
    buf_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_byte(out, '\\');
        buf_byte(out, text.ptr[i]);
    }
    buf_byte(out, '"');
    return out->len - before;
}

static size_t display_name(struct buf *out, struct slice name, size_t column)
{
    bool is_plain = true;
    for (size_t i = 0; i < name.len; i++)
        is_plain &= is_atext(name.ptr[i]) || name.ptr[i] == ' ';
    if (!slice_is_ascii(name) || name.len > QUOTED_MAX || slice_find(name, SLICE("=?")) != SLICE_NPOS)
        return encoded_words(out, name, column, true);
    if (!is_plain || slice_find(name, SLICE("  ")) != SLICE_NPOS)
        return column + quoted_string(out, name);
    buf_append(out, name);
    return column + name.len;
}

bool header_mailbox(struct buf *out, struct slice name, struct slice display, struct slice address)
{
    if (!address_is_clean(address))
        return false;
    SCOPED(buf) clean = BUF(VALUE_MAX);
    value_clean(&clean, display);
    display = slice_trim(buf_slice(&clean));
    size_t column = header_open(out, name);
    if (!display.len) {
        buf_append(out, address);
        buf_text(out, "\r\n");
        return true;
    }
    column = display_name(out, display, column);
    buf_append(out, column + address.len + 3 > LINE_FOLD_COLUMNS ? SLICE("\r\n <") : SLICE(" <"));
    buf_append(out, address);
    buf_text(out, ">\r\n");
    return true;
}

void header_date(struct buf *out, struct slice name, time_ms at, int offset_minutes)
{
    header_open(out, name);
    time_rfc5322(out, at, offset_minutes);
    buf_text(out, "\r\n");
}

/* --- parameters (RFC 2045 5.1, RFC 2231) --- */

static bool is_token_char(char c)
{
    return c > 0x20 && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static bool is_attribute_char(char c)
{
    return is_token_char(c) && c != '*' && c != '\'' && c != '%';
}

static size_t parameter_break(struct buf *out, size_t column, size_t width)
{
    if (column + 2 + width < LINE_FOLD_COLUMNS) {
        buf_text(out, "; ");
        return column + 2;
    }
    buf_text(out, ";\r\n ");
    return 1;
}

/* name*=UTF-8''%E6..., or name*0*=UTF-8''...; name*1*=... one to a line. A character's octets stay together. */
static size_t parameter_extended(struct buf *out, struct slice name, struct slice value, size_t column)
{
    SCOPED(buf) piece = BUF(128);
    SCOPED(buf) whole = BUF(VALUE_MAX * 4);
    utf8_repair(&whole, value);
    value = buf_slice(&whole);
    size_t widths = 0;
    for (size_t i = 0; i < value.len; i++)
        widths += is_attribute_char(value.ptr[i]) ? 1 : 3;
    bool is_single = name.len + sizeof("*=UTF-8''") + widths < ENCODED_LINE_COLUMNS;
    for (unsigned section = 0; section == 0 || value.len; section++) {
        buf_reset(&piece);
        buf_append(&piece, name);
        if (is_single)
            buf_text(&piece, "*=UTF-8''");
        else
            buf_printf(&piece, section ? "*%u*=" : "*%u*=UTF-8''", section);
        while (value.len) {
            struct slice next = value;
            utf8_next(&next);
            struct slice character = slice_head(value, value.len - next.len);
            size_t width = character.len == 1 && is_attribute_char(character.ptr[0]) ? 1 : character.len * 3;
            if (piece.len + width > ENCODED_LINE_COLUMNS - 3) /* room for " ", ";" */
                break;
            for (size_t i = 0; i < character.len; i++) {
                if (width == 1)
                    buf_byte(&piece, character.ptr[i]);
                else
                    percent_byte(&piece, character.ptr[i]);
            }
            value = next;
        }
        column = parameter_break(out, column, piece.len + 1);
        buf_append(out, buf_slice(&piece));
        column += piece.len;
    }
    return column;
}

size_t header_parameter(struct buf *out, struct slice name, struct slice value, size_t column)
{
    SCOPED(buf) clean = BUF(VALUE_MAX);
    value_clean(&clean, value);
    value = buf_slice(&clean);
    bool is_token = value.len > 0;
    for (size_t i = 0; i < value.len; i++)
        is_token &= is_token_char(value.ptr[i]);
    if (!slice_is_ascii(value) || value.len > QUOTED_MAX)
        return parameter_extended(out, name, value, column);
    column = parameter_break(out, column, name.len + value.len + 3);
    buf_append(out, name);
    buf_byte(out, '=');
    if (is_token) {
        buf_append(out, value);
        return column + name.len + 1 + value.len;
    }
    return column + name.len + 1 + quoted_string(out, value);
}

/* --- parts --- */

static void id_append(struct buf *out, uint64_t id)
{
    char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(id >> (56 - 8 * i) & 255);
    base32_encode(out, slice_of(bytes, 8));
}

static void boundary_stem(struct buf *out, uint64_t id)
{
    buf_text(out, "=_");
    id_append(out, id);
    buf_byte(out, '_');
}

void boundary_make(struct buf *out, uint64_t id, unsigned place)
{
    boundary_stem(out, id);
    buf_u64(out, place);
}

struct part_writer {
    struct buf *out;
    uint64_t id;
    unsigned places; /* multiparts opened so far */
    struct fault *why;
};

static void content_type(struct buf *out, const struct part *part, struct slice charset, struct slice boundary)
{
    size_t column = header_open(out, SLICE("Content-Type"));
    buf_append(out, part->type);
    column += part->type.len;
    if (part->parameters.len) {
        column = parameter_break(out, column, part->parameters.len);
        buf_append(out, part->parameters);
        column += part->parameters.len;
    }
    if (charset.len)
        column = header_parameter(out, SLICE("charset"), charset, column);
    if (boundary.len)
        header_parameter(out, SLICE("boundary"), boundary, column);
    buf_text(out, "\r\n");
}

static void content_transfer(struct buf *out, enum transfer transfer)
{
    buf_text(out, "Content-Transfer-Encoding: ");
    buf_append(out, transfer_word(transfer));
    buf_text(out, "\r\n");
}

static void content_disposition(struct buf *out, const struct part *part)
{
    if (part->content_id.len) {
        buf_text(out, "Content-ID: <");
        for (size_t i = 0; i < part->content_id.len && i < 200; i++)
            if (is_atext(part->content_id.ptr[i]) || part->content_id.ptr[i] == '.' || part->content_id.ptr[i] == '@')
                buf_byte(out, part->content_id.ptr[i]);
        buf_text(out, ">\r\n");
    }
    struct slice word = part->content_id.len ? SLICE("inline") : SLICE("attachment");
    size_t column = header_open(out, SLICE("Content-Disposition"));
    buf_append(out, word);
    if (part->filename.len)
        header_parameter(out, SLICE("filename"), part->filename, column + word.len);
    buf_text(out, "\r\n");
}

static bool write_text(struct part_writer *writer, const struct part *part)
{
    enum transfer transfer = transfer_choose(part->content);
    if (transfer == TRANSFER_7BIT && slice_find(part->content, SLICE("--=_")) != SLICE_NPOS)
        transfer = TRANSFER_QUOTED_PRINTABLE; /* it could look like one of our boundaries */
    content_type(writer->out, part, SLICE("utf-8"), SLICE(""));
    content_transfer(writer->out, transfer);
    if (part->filename.len)
        content_disposition(writer->out, part);
    buf_text(writer->out, "\r\n");
    text_encode(writer->out, part->content, transfer);
    return true;
}

static bool write_file(struct part_writer *writer, const struct part *part)
{
    content_type(writer->out, part, SLICE(""), SLICE(""));
    content_transfer(writer->out, TRANSFER_BASE64);
    content_disposition(writer->out, part);
    buf_text(writer->out, "\r\n");
    base64_encode_lines(writer->out, part->content);
    return true;
}

/* Line ends become CRLF; everything else must be fit for 7bit. */
static bool write_message(struct part_writer *writer, const struct part *part)
{
    struct slice rest = part->content, line;
    SCOPED(buf) ours = BUF(64);
    boundary_stem(&ours, writer->id);
    content_type(writer->out, part, SLICE(""), SLICE(""));
    if (part->filename.len)
        content_disposition(writer->out, part);
    buf_text(writer->out, "\r\n");
    for (unsigned number = 1; slice_line(&rest, &line); number++) {
        bool is_clean = slice_is_ascii(line) && line.len <= LINE_MAX_OCTETS && !memchr(line.ptr, '\0', line.len);
        if (!is_clean || (slice_starts(line, SLICE("--")) && slice_starts(slice_from(line, 2), buf_slice(&ours))))
            return fault_set(writer->why, FAULT_INPUT, "a %.*s part is not clean 7bit at its line %u",
                             SLICE_ARG(part->type), number);
        buf_append(writer->out, line);
        buf_text(writer->out, "\r\n");
    }
    return true;
}

static bool write_part(struct part_writer *writer, const struct part *part, unsigned depth)
{
    if (depth > PART_DEPTH_MAX)
        return fault_set(writer->why, FAULT_INPUT, "parts nested deeper than %d", PART_DEPTH_MAX);
    switch (part->kind) {
    case PART_TEXT: return write_text(writer, part);
    case PART_FILE: return write_file(writer, part);
    case PART_MESSAGE: return write_message(writer, part);
    case PART_MULTIPART: break;
    }
    SCOPED(buf) boundary = BUF(64);
    boundary_make(&boundary, writer->id, writer->places++);
    content_type(writer->out, part, SLICE(""), buf_slice(&boundary));
    buf_text(writer->out, "\r\n");
    for (size_t i = 0; i < part->child_count; i++) {
        buf_text(writer->out, "--");
        buf_append(writer->out, buf_slice(&boundary));
        buf_text(writer->out, "\r\n");
        if (!write_part(writer, &part->children[i], depth + 1))
            return false;
        buf_text(writer->out, "\r\n");
    }
    buf_text(writer->out, "--");
    buf_append(writer->out, buf_slice(&boundary));
    buf_text(writer->out, "--\r\n");
    return true;
}

bool part_write(struct buf *out, const struct part *part, uint64_t id, struct fault *why)
{
    struct part_writer writer = {.out = out, .id = id, .why = why};
    return write_part(&writer, part, 1);
}

static bool mailbox(struct buf *out, struct slice name, struct slice display, struct slice address, struct fault *why)
{
    return header_mailbox(out, name, display, address) ||
           fault_set(why, FAULT_INPUT, "%.*s: \"%.*s\" cannot stand in a header", SLICE_ARG(name), SLICE_ARG(address));
}

bool mail_write(struct buf *out, const struct mail_draft *draft, struct fault *why)
{
    header_date(out, SLICE("Date"), draft->date, draft->date_offset_minutes);
    if (!mailbox(out, SLICE("From"), draft->from_name, draft->from_address, why))
        return false;
    if (draft->sender.len && !mailbox(out, SLICE("Sender"), SLICE(""), draft->sender, why))
        return false;
    if (!mailbox(out, SLICE("To"), draft->to_name, draft->to_address, why))
        return false;
    if (draft->reply_to.len && !mailbox(out, SLICE("Reply-To"), SLICE(""), draft->reply_to, why))
        return false;
    header_text(out, SLICE("Subject"), draft->subject);
    buf_text(out, "Message-ID: ");
    message_id_make(out, draft->id, draft->message_domain);
    buf_text(out, "\r\n");
    if (draft->in_reply_to.len && header_tokens(out, SLICE("In-Reply-To"), draft->in_reply_to))
        (void)!header_tokens(out, SLICE("References"), draft->in_reply_to);
    if (draft->auto_submitted.len && !header_tokens(out, SLICE("Auto-Submitted"), draft->auto_submitted))
        return fault_set(why, FAULT_INPUT, "auto_submitted is no token");
    buf_text(out, "MIME-Version: 1.0\r\n");
    return part_write(out, draft->body, draft->id, why);
}
