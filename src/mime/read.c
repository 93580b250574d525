/* One pass, with a stack of the multiparts that are open.
 *
 *   head: lines are fields until a blank line, a line that is no field, or a boundary of the stack
 *   leaf: lines are skipped until a boundary of the stack
 *   a delimiter of level k closes everything above k and begins a new child of k; a close delimiter closes k too
 *
 * Always true: parts[i].parent < i; a part is on the stack exactly while its end is unknown and it is a multipart. */
#include "mime/read.h"

#include <assert.h>

struct open_part {
    struct slice boundary;
    unsigned part;
};

struct reader {
    const char *at, *end;
    char newline;
    struct arena *arena;
    struct mime_mail *mail;
    size_t header_room, part_room;
    struct open_part stack[MIME_DEPTH_MAX];
    unsigned depth;
    unsigned current; /* the innermost part */
};

/* A boundary line found while reading: which level it belongs to. */
struct delimiter {
    const char *line, *after; /* where the line begins, where the next one does */
    unsigned level;
    bool is_close;
};

static uint32_t key_of(struct slice name)
{
    if (!name.len)
        return 0;
    return (uint32_t)(name.len & 0xffff) << 16 | (uint32_t)(unsigned char)ascii_lower(name.ptr[0]) << 8 |
           (unsigned char)ascii_lower(name.ptr[name.len - 1]);
}

static void *grown(struct arena *arena, void *old, size_t size, size_t count, size_t *room)
{
    if (count < *room)
        return old;
    size_t wider = *room ? *room * 4 : 48;
    char *fresh = arena_alloc(arena, wider * size);
    if (count)
        memcpy(fresh, old, count * size);
    *room = wider;
    return fresh;
}

/* One of 64 bits for each name: what no header of a part has set, is not there. */
static uint64_t seen_bit(uint32_t key)
{
    return 1ull << (key * 0x9e3779b1u >> 26);
}

static void header_add(struct reader *r, struct mime_part *part, struct slice name, struct slice value)
{
    struct mime_mail *mail = r->mail;
    uint32_t key = key_of(name);
    part->seen |= seen_bit(key);
    mail->headers = grown(r->arena, mail->headers, sizeof(*mail->headers), mail->header_count, &r->header_room);
    mail->headers[mail->header_count++] = (struct mime_header){name, slice_trim(value), key};
}

/* Does the line open or close one of the open multiparts, innermost first? */
static bool is_delimiter(const struct reader *r, const char *line, const char *end, struct delimiter *found)
{
    if (end - line < 3 || line[0] != '-' || line[1] != '-')
        return false;
    for (unsigned level = r->depth; level-- > 0;) {
        struct slice boundary = r->stack[level].boundary;
        struct slice rest = slice_of(line + 2, (size_t)(end - line) - 2);
        if (rest.len < boundary.len || memcmp(rest.ptr, boundary.ptr, boundary.len) != 0)
            continue;
        rest = slice_from(rest, boundary.len);
        bool is_close = rest.len >= 2 && rest.ptr[0] == '-' && rest.ptr[1] == '-';
        rest = slice_from(rest, is_close ? 2 : 0);
        while (rest.len && ascii_is_space(rest.ptr[0]))
            rest = slice_from(rest, 1);
        if (rest.len)
            continue;
        found->level = level;
        found->is_close = is_close;
        return true;
    }
    return false;
}

static const char *line_end(const struct reader *r, const char *from)
{
    const char *end = memchr(from, r->newline, (size_t)(r->end - from));
    return end ? end : r->end;
}

static const char *after_line(const struct reader *r, const char *end)
{
    return end < r->end ? end + 1 : r->end;
}

/* The first colon of a field line, NULL where the line is no field (RFC 5322 2.2; white space before it is forgiven).
 */
static const char *field_colon(const char *line, const char *end)
{
    /* what a name is made of: bytes above the space, as signed ones, so nothing beyond ASCII */
    static const bool in_name[256] = {['!' ... '9'] = true, [';' ... '~'] = true};
    const char *at = line;
    while (at < end && in_name[(unsigned char)*at])
        at++;
    const char *name_end = at;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at < end && *at == ':' && name_end > line ? at : NULL;
}

/* Reads the header block at r->at. True: a delimiter ended it (*found), the part has no body. */
static bool head_read(struct reader *r, struct mime_part *part, struct delimiter *found)
{
    const char *start = r->at;
    unsigned count_before = r->mail->header_count;
    bool is_ended = false, is_blank = false;
    while (r->at < r->end) {
        const char *line = r->at, *end = line_end(r, line);
        const char *text_end = end;
        while (text_end > line && text_end[-1] == '\r')
            text_end--;
        if (text_end == line) {
            r->at = after_line(r, end);
            is_blank = true;
            break;
        }
        if (*line == '-' && is_delimiter(r, line, text_end, found)) {
            found->line = line;
            found->after = after_line(r, end);
            is_ended = true;
            break;
        }
        const char *colon = field_colon(line, text_end);
        bool is_mbox = line == start && text_end - line > 5 &&
                       (memcmp(line, "From ", 5) == 0 || (*line == '>' && memcmp(line, ">From ", 6) == 0));
        if (!colon || is_mbox) {
            if (!is_mbox && (r->mail->header_count == count_before || (*line != ' ' && *line != '\t')))
                break; /* no field: the body begins here, its blank line is missing */
            r->at = after_line(r, end);
            start = is_mbox ? r->at : start;
            continue;
        }
        /* folded lines belong to it */
        const char *next = after_line(r, end);
        while (next < r->end && (*next == ' ' || *next == '\t')) {
            const char *folded = line_end(r, next), *folded_end = folded;
            while (folded_end > next && ascii_is_space(folded_end[-1]))
                folded_end--;
            if (folded_end == next)
                break; /* a line of white space only ends the block, as a blank one */
            text_end = folded_end;
            next = after_line(r, folded);
        }
        if (r->mail->header_count - count_before >= MIME_HEADERS_MAX || next - start > MIME_HEADER_BYTES_MAX) {
            r->mail->over = r->mail->over ? r->mail->over : MIME_OVER_HEADERS;
            r->at = next;
            break;
        }
        const char *name_end = colon;
        while (name_end > line && (name_end[-1] == ' ' || name_end[-1] == '\t'))
            name_end--;
        header_add(r, part, slice_of(line, (size_t)(name_end - line)),
                   slice_of(colon + 1, (size_t)(text_end - colon) - 1));
        r->at = next;
    }
    (void)is_blank;
    part->head = slice_of(start, (size_t)((is_ended ? found->line : r->at) - start));
    part->header_count = r->mail->header_count - count_before;
    return is_ended;
}

static enum mime_encoding encoding_of(struct slice value)
{
    while (value.len && !ascii_is_alnum(value.ptr[value.len - 1]))
        value.len--;
    static const struct {
        struct slice word;
        enum mime_encoding encoding;
    } words[] = {
        {SLICE_INIT("7bit"), MIME_IDENTITY},   {SLICE_INIT("8bit"), MIME_IDENTITY},
        {SLICE_INIT("base64"), MIME_BASE64},   {SLICE_INIT("quoted-printable"), MIME_QUOTED_PRINTABLE},
        {SLICE_INIT("binary"), MIME_IDENTITY}, {SLICE_INIT("7-bit"), MIME_IDENTITY},
        {SLICE_INIT("8-bit"), MIME_IDENTITY},  {SLICE_INIT("quoted printable"), MIME_QUOTED_PRINTABLE},
    };
    if (!value.len)
        return MIME_IDENTITY;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (slice_equal_caseless(value, words[i].word))
            return words[i].encoding;
    return MIME_UNKNOWN_ENCODING;
}

/* Content-Type and Content-Transfer-Encoding of a part whose head was read (RFC 2045 5, 6; defaults 5.2, 2046 5.1.5).
 */
static void content_read(struct reader *r, struct mime_part *part, unsigned index)
{
    struct slice value = mime_header(r->mail, index, SLICE("Content-Type"));
    part->type = SLICE("text");
    part->subtype = SLICE("plain");
    part->charset = part->boundary = SLICE("");
    part->encoding = encoding_of(mime_header(r->mail, index, SLICE("Content-Transfer-Encoding")));
    if (!value.ptr) {
        if (!part->is_message && index && mime_is(&r->mail->parts[part->parent], "multipart", "digest")) {
            part->type = SLICE("message");
            part->subtype = SLICE("rfc822");
        }
        return;
    }
    struct slice rest = value, type;
    slice_split(&rest, ';', &type);
    ptrdiff_t slash = slice_find_byte(type, '/');
    if (slash > 0) {
        struct slice subtype = slice_trim(slice_from(type, (size_t)slash + 1));
        size_t len = 0;
        while (len < subtype.len && !ascii_is_space(subtype.ptr[len]) && subtype.ptr[len] != '(')
            len++;
        part->type = slice_trim(slice_head(type, (size_t)slash));
        part->subtype = slice_head(subtype, len);
    } else if (slice_equal_caseless(slice_trim(type), SLICE("multipart"))) {
        part->type = SLICE("multipart");
        part->subtype = SLICE("mixed");
    }
    if (rest.ptr && slice_equal_caseless(part->type, SLICE("multipart")))
        part->boundary = slice_head(mime_param(value, SLICE("boundary"), r->arena), MIME_BOUNDARY_MAX);
    if (index && !part->boundary.len && slice_equal_caseless(part->type, SLICE("multipart"))) {
        part->type = SLICE("text"); /* RFC 2046 5.1.1: nothing parts it; so it is what it looks like */
        part->subtype = SLICE("plain");
    } else if (rest.ptr)
        part->charset = mime_param(value, SLICE("charset"), r->arena);
    while (part->boundary.len && ascii_is_space(part->boundary.ptr[part->boundary.len - 1]))
        part->boundary.len--;
}

static bool holds_message(const struct mime_part *part)
{
    return slice_equal_caseless(part->type, SLICE("message")) && part->encoding == MIME_IDENTITY &&
           (slice_equal_caseless(part->subtype, SLICE("rfc822")) ||
            slice_equal_caseless(part->subtype, SLICE("global")) || slice_equal_caseless(part->subtype, SLICE("news")));
}

/* Begin a part (and the message inside it, and the one inside that) at r->at. True: a delimiter was met in a head. */
static bool part_begin(struct reader *r, unsigned parent, bool is_message, struct delimiter *found)
{
    struct mime_mail *mail = r->mail;
    for (;;) {
        if (mail->part_count >= MIME_PARTS_MAX) {
            mail->over = mail->over ? mail->over : MIME_OVER_PARTS;
            r->current = parent;
            return false;
        }
        mail->parts = grown(r->arena, mail->parts, sizeof(*mail->parts), mail->part_count, &r->part_room);
        unsigned index = mail->part_count++;
        struct mime_part *part = &mail->parts[index];
        *part = (struct mime_part){.parent = parent,
                                   .is_message = is_message,
                                   .header_from = mail->header_count,
                                   .depth = index ? mail->parts[parent].depth + 1 : 0};
        r->current = index;
        bool is_ended = head_read(r, part, found);
        content_read(r, part, index);
        part->body = slice_of(is_ended ? found->line : r->at, 0);
        if (is_ended)
            return true;
        bool is_container = part->boundary.len || holds_message(part);
        if (is_container && part->depth + 1 >= MIME_DEPTH_MAX) {
            mail->over = mail->over ? mail->over : MIME_OVER_DEPTH;
            return false;
        }
        if (part->boundary.len) {
            assert(r->depth < MIME_DEPTH_MAX);
            r->stack[r->depth++] = (struct open_part){part->boundary, index};
            return false;
        }
        if (!holds_message(part))
            return false;
        parent = index;
        is_message = true;
    }
}

/* The next line behind `from` that begins with "-"; the end when there is none. */
static const char *dash_line_next(const struct reader *r, const char *from)
{
    char two[2] = {r->newline, '-'};
    ptrdiff_t at = slice_find_pair(slice_of(from, (size_t)(r->end - from)), two);
    return at >= 0 ? from + at + 1 : r->end;
}

/* The next delimiter from r->at on; false at the end of the mail. */
static bool delimiter_next(struct reader *r, struct delimiter *found)
{
    if (!r->depth)
        return false;
    const char *line = r->at;
    if (line < r->end && *line != '-')
        line = dash_line_next(r, line);
    for (; line < r->end; line = dash_line_next(r, line)) {
        const char *end = line_end(r, line);
        if (is_delimiter(r, line, end, found)) {
            found->line = line;
            found->after = after_line(r, end);
            return true;
        }
    }
    return false;
}

/* Everything from the innermost part up to, but not, `until` ends here; with `is_all` that one too. */
static void parts_close(struct reader *r, unsigned until, const char *at, bool is_all)
{
    struct mime_mail *mail = r->mail;
    for (unsigned index = r->current; index != until || is_all; index = mail->parts[index].parent) {
        struct mime_part *part = &mail->parts[index];
        const char *end = at;
        if (at < r->end && end > part->body.ptr && end[-1] == r->newline) /* that line end belongs to the delimiter */
            end--;
        if (end > part->body.ptr && end < r->end && r->newline == '\n' && end[-1] == '\r')
            end--;
        part->body.len = end > part->body.ptr ? (size_t)(end - part->body.ptr) : 0;
        part->end = mail->part_count;
        if (index == until)
            break;
    }
    r->current = is_all ? mail->parts[until].parent : until;
}

static char newline_of(struct slice bytes)
{
    struct slice head = slice_head(bytes, 65536);
    const char *cr = memchr(head.ptr, '\r', head.len);
    if (!cr)
        return '\n';
    const char *lf = memchr(head.ptr, '\n', (size_t)(cr - head.ptr));
    while (cr < head.ptr + head.len && *cr == '\r')
        cr++;
    return lf || cr == head.ptr + head.len || *cr == '\n' ? '\n' : '\r';
}

static void reader_init(struct reader *r, struct slice bytes, struct arena *arena, struct mime_mail *mail)
{
    *mail = (struct mime_mail){.bytes = bytes};
    *r = (struct reader){.at = bytes.ptr, .end = bytes.ptr + bytes.len, .newline = '\n', .arena = arena, .mail = mail};
    if (bytes.len)
        r->newline = newline_of(bytes);
    else
        r->at = r->end = mail->bytes.ptr = "";
}

static void parts_read(struct reader *r, bool is_found, struct delimiter *found)
{
    while (is_found || delimiter_next(r, found)) {
        parts_close(r, r->stack[found->level].part, found->line, found->is_close);
        r->depth = found->level + !found->is_close;
        r->at = found->after;
        if (r->mail->over == MIME_OVER_PARTS)
            break;
        is_found = !found->is_close && part_begin(r, r->stack[found->level].part, false, found);
    }
    parts_close(r, 0, r->end, true);
}

/* A multipart whose boundary never comes (gateways rewrite it): the first "--something" over a "Content-" field is
 * taken. */
static struct slice boundary_guess(const struct reader *r, struct slice body)
{
    enum { LOOK_BYTES = 65536 };
    const char *end = body.ptr + (body.len < LOOK_BYTES ? body.len : LOOK_BYTES);
    for (const char *line = body.ptr; line < end; line = after_line(r, line_end(r, line))) {
        struct slice rest = slice_of(line, (size_t)(line_end(r, line) - line));
        const char *next = after_line(r, line_end(r, line));
        if (rest.len > 2 && rest.ptr[0] == '-' && rest.ptr[1] == '-' &&
            slice_starts_caseless(slice_of(next, (size_t)(r->end - next)), SLICE("Content-")))
            return slice_head(slice_trim(slice_from(rest, 2)), MIME_BOUNDARY_MAX);
    }
    return SLICE("");
}

void mime_read(struct slice bytes, struct arena *arena, struct mime_mail *mail)
{
    struct reader r;
    reader_init(&r, bytes, arena, mail);
    struct delimiter found;
    bool is_found = part_begin(&r, 0, true, &found);
    const char *body = r.at;
    parts_read(&r, is_found, &found);
    if (mail->part_count == 1 && slice_equal_caseless(mail->parts[0].type, SLICE("multipart"))) {
        struct slice guess = boundary_guess(&r, slice_of(body, (size_t)(r.end - body)));
        if (guess.len) {
            mail->parts[0].boundary = guess;
            r.at = body;
            r.depth = 1;
            r.stack[0] = (struct open_part){guess, 0};
            r.current = 0;
            parts_read(&r, false, &found);
        }
    }
    mail->parts[0].body.len = (size_t)(r.end - mail->parts[0].body.ptr);
}

void mime_read_head(struct slice bytes, struct arena *arena, struct mime_mail *mail)
{
    struct reader r;
    reader_init(&r, bytes, arena, mail);
    struct delimiter found;
    r.part_room = 1;
    mail->parts = ARENA_ARRAY(arena, struct mime_part, 1);
    mail->part_count = 1;
    mail->parts[0] = (struct mime_part){.is_message = true, .end = 1};
    head_read(&r, &mail->parts[0], &found);
    content_read(&r, &mail->parts[0], 0);
    mail->parts[0].body = slice_of(r.at, (size_t)(r.end - r.at));
}

struct slice mime_header_nth(const struct mime_mail *mail, unsigned part, struct slice name, unsigned nth)
{
    const struct mime_part *in = &mail->parts[part];
    const struct mime_header *header = mail->headers + in->header_from;
    uint32_t key = key_of(name);
    if (!(in->seen & seen_bit(key)))
        return (struct slice){0};
    for (unsigned i = 0; i < in->header_count; i++)
        if (header[i].key == key && slice_equal_caseless(header[i].name, name) && nth-- == 0)
            return header[i].value;
    return (struct slice){0};
}

struct slice mime_header(const struct mime_mail *mail, unsigned part, struct slice name)
{
    return mime_header_nth(mail, part, name, 0);
}

bool mime_is(const struct mime_part *part, const char *type, const char *subtype)
{
    return slice_equal_caseless(part->type, slice_str(type)) && slice_equal_caseless(part->subtype, slice_str(subtype));
}
