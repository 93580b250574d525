#include "submit/prepare.h"

#include "base/base64.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "mail/message_id.h"
#include "mailauth/auth_results.h"
#include "mime/read.h"
#include "mime/transcode.h"
#include "mime/write.h"
#include "submit/message.h"

/* ── what the bytes are ── */

struct survey {
    size_t head_len;  /* up to and with the empty line */
    bool has_no_body; /* there is no empty line: all of it is header */
    bool has_8bit_head, has_8bit_body, has_long_line;
};

static bool has_8bit(struct slice bytes)
{
    size_t i = 0;
    for (uint64_t eight; i + 8 <= bytes.len; i += 8) {
        memcpy(&eight, bytes.ptr + i, 8);
        if (eight & UINT64_C(0x8080808080808080))
            return true;
    }
    for (; i < bytes.len; i++)
        if ((unsigned char)bytes.ptr[i] >= 0x80)
            return true;
    return false;
}

static bool refuse(struct prepared *prepared, const char *reply, struct fault *why, const char *text)
{
    prepared->reply = reply;
    return fault_set(why, FAULT_INPUT, "%s", text);
}

static bool survey_take(struct slice mail, struct survey *survey, struct prepared *prepared, struct fault *why)
{
    bool is_head = true;
    if (mail.len && memchr(mail.ptr, '\0', mail.len))
        return refuse(prepared, "550 5.6.0", why, "a NUL stands in the message");
    for (size_t at = 0; at < mail.len;) {
        const char *line = mail.ptr + at, *lf = memchr(line, '\n', mail.len - at);
        size_t len = lf ? (size_t)(lf - line) : mail.len - at;
        bool has_cr = lf && len && line[len - 1] == '\r';
        if ((lf && !has_cr) || (len && memchr(line, '\r', len - has_cr)))
            return refuse(prepared, "550 5.6.0", why, "a bare CR or LF stands in the message");
        at += len + (lf != NULL);
        len -= has_cr;
        if (len > LINE_MAX_OCTETS && is_head)
            return refuse(prepared, "554 5.6.0", why, "a line of the header is longer than 998 octets");
        survey->has_long_line |= len > LINE_MAX_OCTETS;
        if (is_head && len == 0) {
            is_head = false;
            survey->head_len = at;
        }
    }
    if (is_head) {
        survey->head_len = mail.len;
        survey->has_no_body = true;
    }
    survey->has_8bit_head = has_8bit(slice_head(mail, survey->head_len));
    survey->has_8bit_body = has_8bit(slice_from(mail, survey->head_len));
    return true;
}

/* ── the header ── */

/* What may occur once (RFC 5322 3.6), what we look at, and what never leaves. */
enum field {
    FIELD_OTHER,
    FIELD_FROM,
    FIELD_DATE,
    FIELD_MESSAGE_ID,
    FIELD_SUBJECT,
    FIELD_TO,
    FIELD_CC,
    FIELD_SENDER,
    FIELD_REPLY_TO,
    FIELD_IN_REPLY_TO,
    FIELD_REFERENCES,
    FIELD_MIME_VERSION,
    FIELD_CONTENT_TYPE,
    FIELD_CONTENT_ENCODING,
    FIELD_ONCE_END,
    FIELD_RECEIVED,
    FIELD_SIGNATURE,
    FIELD_TLS_REQUIRED,
    FIELD_BCC,
    FIELD_RETURN_PATH,
    FIELD_AUTH_RESULTS,
    FIELD_TAG,
    FIELD_LABEL,
    FIELD_SCHEDULE,
    FIELD_UNSUBSCRIBE,
    FIELD_WISH,
};
static const struct {
    struct slice name;
    enum field field;
} fields[] = {
    {SLICE_INIT("From"), FIELD_FROM},
    {SLICE_INIT("Date"), FIELD_DATE},
    {SLICE_INIT("Message-ID"), FIELD_MESSAGE_ID},
    {SLICE_INIT("Subject"), FIELD_SUBJECT},
    {SLICE_INIT("To"), FIELD_TO},
    {SLICE_INIT("Cc"), FIELD_CC},
    {SLICE_INIT("Sender"), FIELD_SENDER},
    {SLICE_INIT("Reply-To"), FIELD_REPLY_TO},
    {SLICE_INIT("In-Reply-To"), FIELD_IN_REPLY_TO},
    {SLICE_INIT("References"), FIELD_REFERENCES},
    {SLICE_INIT("MIME-Version"), FIELD_MIME_VERSION},
    {SLICE_INIT("Content-Type"), FIELD_CONTENT_TYPE},
    {SLICE_INIT("Content-Transfer-Encoding"), FIELD_CONTENT_ENCODING},
    {SLICE_INIT("Received"), FIELD_RECEIVED},
    {SLICE_INIT("DKIM-Signature"), FIELD_SIGNATURE},
    {SLICE_INIT("TLS-Required"), FIELD_TLS_REQUIRED},
    {SLICE_INIT("Bcc"), FIELD_BCC},
    {SLICE_INIT("Resent-Bcc"), FIELD_BCC},
    {SLICE_INIT("Return-Path"), FIELD_RETURN_PATH},
    {SLICE_INIT("Authentication-Results"), FIELD_AUTH_RESULTS},
    {SLICE_INIT("X-Todoke-Tag"), FIELD_TAG},
    {SLICE_INIT("X-Todoke-Campaign"), FIELD_LABEL},
    {SLICE_INIT("X-Todoke-Schedule"), FIELD_SCHEDULE},
    {SLICE_INIT("X-Todoke-Unsubscribe"), FIELD_UNSUBSCRIBE},
};

static enum field field_of(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (name.len == fields[i].name.len && slice_equal_caseless(name, fields[i].name))
            return fields[i].field;
    return slice_starts_caseless(name, SLICE("X-Todoke-")) ? FIELD_WISH : FIELD_OTHER;
}

/* One field with its folded lines off the front of *rest. False: what stands there is none. */
static bool field_cut(struct slice *rest, struct slice *name, struct slice *value, struct slice *whole)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] > ' ' && rest->ptr[len] < 0x7f && rest->ptr[len] != ':')
        len++;
    size_t colon = len;
    while (colon < rest->len && (rest->ptr[colon] == ' ' || rest->ptr[colon] == '\t'))
        colon++;
    if (len == 0 || colon >= rest->len || rest->ptr[colon] != ':')
        return false;
    size_t end = colon;
    do {
        const char *lf = memchr(rest->ptr + end, '\n', rest->len - end);
        end = lf ? (size_t)(lf - rest->ptr) + 1 : rest->len;
    } while (end < rest->len && (rest->ptr[end] == ' ' || rest->ptr[end] == '\t'));
    *name = slice_head(*rest, len);
    *whole = slice_head(*rest, end);
    *value = slice_trim(slice_from(*whole, colon + 1));
    *rest = slice_from(*rest, end);
    return true;
}

struct head {
    struct slice values[FIELD_ONCE_END]; /* NULL ptr: absent */
    unsigned hops;
    bool is_signed;
    struct tls_required tls_required;
    struct buf kept, tags;
};
static void head_release(struct head *head)
{
    buf_release(&head->kept);
    buf_release(&head->tags);
}

static bool is_clean_word(struct slice word)
{
    for (size_t i = 0; i < word.len; i++)
        if ((unsigned char)word.ptr[i] < ' ' || word.ptr[i] == 0x7f)
            return false;
    return word.len && word.len <= MESSAGE_TAG_MAX && utf8_is_valid(word);
}

static bool wish_tags(struct slice value, struct head *head, unsigned *count)
{
    struct slice tag;
    while (value.ptr && slice_split(&value, ',', &tag)) {
        tag = slice_trim(tag);
        if (!is_clean_word(tag) || ++*count > MESSAGE_TAGS_MAX)
            return false;
        if (head->tags.len)
            buf_byte(&head->tags, '\n');
        buf_append(&head->tags, tag);
    }
    return true;
}

static bool is_yes(struct slice value)
{
    return slice_equal_caseless(value, SLICE("yes")) || slice_equal_caseless(value, SLICE("true")) ||
           slice_equal(value, SLICE("1"));
}

/* Something the sender asks us for. False: it is not understood. */
static bool wish_take(enum field field, struct slice value, struct head *head, unsigned *tag_count, struct arena *arena,
                      struct prepared *prepared)
{
    switch (field) {
    case FIELD_TAG: return wish_tags(mime_text(value, arena), head, tag_count);
    case FIELD_LABEL:
        prepared->label = arena_copy(arena, mime_text(value, arena));
        return is_clean_word(prepared->label);
    case FIELD_SCHEDULE: return time_parse_rfc3339(value, &prepared->schedule);
    case FIELD_UNSUBSCRIBE:
        if (is_yes(value))
            prepared->flags |= MESSAGE_UNSUBSCRIBE;
        return is_yes(value) || slice_equal_caseless(value, SLICE("no"));
    default: return false;
    }
}

static bool head_read(struct slice bytes, const struct prepare_options *options, struct arena *arena, struct head *head,
                      struct prepared *prepared, struct fault *why)
{
    struct slice rest = bytes, name, value, whole;
    unsigned count = 0, tag_count = 0;
    buf_init(&head->kept, bytes.len * 4 + 4096);
    buf_init(&head->tags, (size_t)MESSAGE_TAGS_MAX * (MESSAGE_TAG_MAX + 1));
    while (rest.len) {
        if (!field_cut(&rest, &name, &value, &whole))
            return refuse(prepared, "554 5.6.0", why, "a line of the header is no header field");
        if (++count > MIME_HEADERS_MAX)
            return refuse(prepared, "554 5.6.0", why, "the header has more than 1000 fields");
        enum field field = field_of(name);
        if (field > FIELD_OTHER && field < FIELD_ONCE_END) {
            if (head->values[field].ptr) {
                prepared->reply = "554 5.6.0";
                return fault_set(why, FAULT_INPUT, "the header has two %.*s fields", SLICE_ARG(name));
            }
            head->values[field] = value;
        }
        head->hops += field == FIELD_RECEIVED;
        head->is_signed |= field == FIELD_SIGNATURE;
        if (field == FIELD_TLS_REQUIRED)
            tls_required_take(&head->tls_required, value);
        if (field == FIELD_BCC || field == FIELD_RETURN_PATH ||
            (field == FIELD_AUTH_RESULTS && auth_results_claims(value, options->host_name)))
            continue;
        if (field >= FIELD_TAG) {
            if (options->takes_wishes && !wish_take(field, value, head, &tag_count, arena, prepared)) {
                prepared->reply = "550 5.6.0";
                return fault_set(why, FAULT_INPUT, "%.*s: this is not understood", SLICE_ARG(name));
            }
            continue;
        }
        if (field == FIELD_SUBJECT && has_8bit(value) && utf8_is_valid(value))
            header_text(&head->kept, SLICE("Subject"), mime_text(value, arena));
        else
            buf_append(&head->kept, whole);
    }
    if (tls_required_is_waived(&head->tls_required))
        prepared->flags |= MESSAGE_WAIVES_TLS;
    if (head->hops >= PREPARE_HOPS_MAX)
        return refuse(prepared, "554 5.4.6", why, "this mail goes round in a circle: too many Received fields");
    if (!head->values[FIELD_FROM].ptr)
        return refuse(prepared, "554 5.6.0", why, "the header has no From");
    return true;
}

/* How many "<" stand in it outside of quotes. */
static unsigned angles_of(struct slice value)
{
    unsigned count = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\\')
            i++;
        else if (value.ptr[i] == '"')
            is_quoted = !is_quoted;
        else
            count += value.ptr[i] == '<' && !is_quoted;
    }
    return count;
}

/* Whose mail it is: one address, so that nobody's stands beside the one whose domain is looked at (L6). */
static bool from_read(struct slice value, struct arena *arena, struct prepared *prepared, struct fault *why)
{
    struct slice found[2];
    struct address address;
    size_t count = mime_addresses(value, found, COUNT_OF(found));
    if (count > 1 || angles_of(value) > 1)
        return refuse(prepared, "554 5.6.0", why, "From has more than one address");
    if (count == 0 || !address_parse(found[0], arena, &address, why))
        return refuse(prepared, "554 5.6.0", why, "From has no address that could be answered");
    prepared->from_address = arena_copy(arena, address.written);
    prepared->from_domain = address.domain;
    return true;
}

static void subject_keep(struct slice value, struct arena *arena, struct prepared *prepared)
{
    struct slice text = mime_text(value, arena);
    SCOPED(buf) clean = BUF(PREPARE_SUBJECT_MAX * 4);
    utf8_repair(&clean, utf8_head(text, PREPARE_SUBJECT_MAX));
    for (size_t i = 0; i < clean.len; i++)
        if ((unsigned char)clean.ptr[i] < ' ')
            clean.ptr[i] = ' ';
    prepared->subject = arena_copy(arena, buf_slice(&clean));
}

/* A Message-ID that is given but is none is left alone in the mail, and not kept apart. */
static void message_id_take(const struct head *head, const struct prepare_options *options, struct arena *arena,
                            struct prepared *prepared, struct buf *added)
{
    struct slice given = head->values[FIELD_MESSAGE_ID];
    if (given.len) {
        prepared->message_id =
            utf8_is_valid(given) && given.len <= LINE_MAX_OCTETS ? arena_copy(arena, given) : SLICE("");
        return;
    }
    SCOPED(buf) made = BUF(512);
    message_id_make(&made, options->message_id, prepared->from_domain);
    prepared->message_id = arena_copy(arena, buf_slice(&made));
    buf_text(added, "Message-ID: ");
    buf_append(added, buf_slice(&made));
    buf_text(added, "\r\n");
}

/* A mail that will be encoded has to say so, and what was meant, also when it had no MIME headers. */
static void mime_headers_add(const struct head *head, struct slice body, struct buf *added)
{
    if (head->is_signed || head->values[FIELD_MIME_VERSION].ptr)
        return;
    buf_text(added, "MIME-Version: 1.0\r\n");
    if (!head->values[FIELD_CONTENT_TYPE].ptr && utf8_is_valid(body))
        buf_text(added, "Content-Type: text/plain; charset=utf-8\r\n");
}

/* ── together ── */

static void mail_build(struct slice mail, const struct survey *survey, const struct prepare_options *options,
                       const struct head *head, struct arena *arena, struct prepared *prepared)
{
    SCOPED(buf) added = BUF(2048);
    message_id_take(head, options, arena, prepared, &added);
    if (!head->values[FIELD_DATE].len)
        header_date(&added, SLICE("Date"), options->now, options->date_offset_minutes);
    if (survey->has_8bit_body && !options->keeps_8bit)
        mime_headers_add(head, slice_from(mail, survey->head_len), &added);
    struct slice body = slice_from(mail, survey->head_len), kept = buf_slice(&head->kept);
    bool needs_end = kept.len && !slice_ends(kept, SLICE("\r\n"));
    size_t size = options->trace.len + kept.len + 2 + added.len + 2 + body.len;
    char *start = arena_alloc(arena, size), *to = start;
    const struct slice pieces[] = {options->trace,    kept,          needs_end ? SLICE("\r\n") : SLICE(""),
                                   buf_slice(&added), SLICE("\r\n"), body};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        if (pieces[i].len)
            memcpy(to, pieces[i].ptr, pieces[i].len);
        to += pieces[i].len;
    }
    prepared->bytes = slice_of(start, (size_t)(to - start));
}

static bool encode(const struct survey *survey, const struct prepare_options *options, bool is_signed,
                   struct arena *arena, struct prepared *prepared, struct fault *why)
{
    bool wants_7bit = survey->has_8bit_body && !options->keeps_8bit && !is_signed;
    if (survey->has_8bit_body)
        prepared->flags |= MESSAGE_NEEDS_8BIT;
    if (!wants_7bit && !survey->has_long_line)
        return true;
    SCOPED(buf) out = BUF(prepared->bytes.len * 4 + 65536);
    if (mime_to_7bit(prepared->bytes, &out)) {
        prepared->bytes = arena_copy(arena, buf_slice(&out));
        ptrdiff_t end = slice_find(prepared->bytes, SLICE("\r\n\r\n"));
        if (end != SLICE_NPOS && !has_8bit(slice_from(prepared->bytes, (size_t)end)))
            prepared->flags &= ~(unsigned)MESSAGE_NEEDS_8BIT;
    } else if (survey->has_long_line) {
        return refuse(prepared, "554 5.6.0", why, "a line of the message is longer than 998 octets");
    }
    return true;
}

bool message_prepare(struct slice mail, const struct prepare_options *options, struct arena *arena,
                     struct prepared *prepared, struct fault *why)
{
    struct survey survey = {0};
    SCOPED(head) head = {0};
    *prepared = (struct prepared){0};
    if (!survey_take(mail, &survey, prepared, why))
        return false;
    if (survey.has_long_line && !options->encodes_long_lines)
        return refuse(prepared, "554 5.6.0", why, "a line of the message is longer than 998 octets");
    size_t block = survey.head_len - (survey.has_no_body ? 0 : 2);
    if (!head_read(slice_head(mail, block), options, arena, &head, prepared, why) ||
        !from_read(head.values[FIELD_FROM], arena, prepared, why))
        return false;
    subject_keep(head.values[FIELD_SUBJECT], arena, prepared);
    prepared->tags = arena_copy(arena, buf_slice(&head.tags));
    mail_build(mail, &survey, options, &head, arena, prepared);
    if (survey.has_8bit_head && has_8bit(buf_slice(&head.kept)))
        prepared->flags |= MESSAGE_NEEDS_SMTPUTF8 | MESSAGE_NEEDS_8BIT;
    if (!encode(&survey, options, head.is_signed, arena, prepared, why))
        return false;
    prepared->reply = NULL;
    return true;
}
