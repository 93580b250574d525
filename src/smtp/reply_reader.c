#include "smtp/reply_reader.h"

#include "smtp/client.h"

enum { LINE_KEPT = 4096 }; /* octets of one line that are looked at; the rest is counted and dropped */

void reply_reader_init(struct reply_reader *reader)
{
    *reader = (struct reply_reader){.line = BUF(LINE_KEPT), .text = BUF(SMTP_REPLY_TEXT_MAX)};
}

void reply_reader_release(struct reply_reader *reader)
{
    buf_release(&reader->line);
    buf_release(&reader->text);
}

static enum reply_found broken(struct reply_reader *reader, const char *wrong)
{
    reader->wrong = wrong;
    return REPLY_BROKEN;
}

static void append_kept(struct buf *buf, struct slice text)
{
    buf_append(buf, slice_head(text, buf->limit - buf->len));
}

static void text_add(struct reply_reader *reader, struct slice text)
{
    if (text.len == 0)
        return;
    if (reader->text.len)
        append_kept(&reader->text, SLICE(" "));
    size_t from = reader->text.len;
    append_kept(&reader->text, text);
    for (char *c = reader->text.ptr + from, *end = reader->text.ptr + reader->text.len; c < end; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

/* One line without its end. *is_last: no '-' behind the code. */
static bool line_take(struct reply_reader *reader, struct slice line, struct smtp_capabilities *can, bool *is_last)
{
    if (line.len < 3 || line.ptr[0] < '2' || line.ptr[0] > '5' || !ascii_is_digit(line.ptr[1]) ||
        !ascii_is_digit(line.ptr[2]) || (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-'))
        return false;
    int code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0');
    *is_last = line.len == 3 || line.ptr[3] == ' ';
    struct slice text = slice_trim(slice_from(line, 4)), rest;
    if (can && reader->lines > 1)
        smtp_capability_read(text, can);
    uint16_t status[3];
    if (text.len >= 5 && reply_status_parse(text, status, &rest)) {
        if (!reader->status[0] || code != reader->code)
            memcpy(reader->status, status, sizeof(status));
        if (memcmp(reader->status, status, sizeof(status)) == 0)
            text = rest;
    }
    reader->code = code;
    text_add(reader, text);
    return true;
}

enum reply_found reply_read(struct reply_reader *reader, struct slice *received, struct smtp_capabilities *can,
                            struct reply *reply)
{
    while (received->len) {
        if (reader->is_done) {
            buf_reset(&reader->text);
            memset(reader->status, 0, sizeof(reader->status));
            reader->is_done = false;
            reader->size = reader->lines = 0;
        }
        const char *lf = memchr(received->ptr, '\n', received->len);
        struct slice line = slice_head(*received, lf ? (size_t)(lf - received->ptr) : received->len);
        *received = slice_from(*received, line.len + (lf != NULL));
        reader->size += line.len + (lf != NULL);
        if (reader->size > SMTP_REPLY_MAX)
            return broken(reader, "the reply is endless");
        if (reader->line.len || !lf) {
            append_kept(&reader->line, line);
            line = buf_slice(&reader->line);
        }
        if (!lf)
            return REPLY_MORE;
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        bool is_last;
        if (++reader->lines > SMTP_REPLY_LINES)
            return broken(reader, "the reply has no last line");
        if (!line_take(reader, line, can, &is_last))
            return broken(reader, "what came is no reply");
        buf_reset(&reader->line);
        if (is_last) {
            reader->is_done = true;
            *reply = (struct reply){.code = reader->code, .text = buf_slice(&reader->text)};
            memcpy(reply->status, reader->status, sizeof(reply->status));
            return REPLY_WHOLE;
        }
    }
    return REPLY_MORE;
}
