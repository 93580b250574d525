#include "http/head.h"

#include <stddef.h>

enum { METHOD_MOST = 32, TRAILERS_MOST = 4096, SIZE_DIGITS_MOST = 15 };

static bool bad(struct http_head_reader *reader, int status, const char *wrong)
{
    reader->status = status;
    reader->wrong = wrong;
    return false;
}

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
    return ascii_is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char(s.ptr[i]))
            return false;
    return s.len > 0;
}

/* --- where it ends --- */

static enum http_step scan_failed(struct http_head_reader *reader, const char *wrong)
{
    bad(reader, 400, wrong);
    return HTTP_BAD;
}

enum http_step http_head_scan(struct http_head_reader *reader, struct slice bytes, size_t *len)
{
    size_t most = bytes.len < HTTP_HEAD_MOST ? bytes.len : HTTP_HEAD_MOST, at = reader->scanned;
    for (; at < most; at++) {
        unsigned char c = (unsigned char)bytes.ptr[at];
        if (c >= ' ' && c != 0x7f)
            continue;
        if (c == '\t')
            continue;
        if (c == '\r') {
            if (at + 1 == bytes.len)
                break; /* the LF may come */
            if (bytes.ptr[at + 1] != '\n')
                return scan_failed(reader, "bare CR");
            continue;
        }
        if (c != '\n')
            return scan_failed(reader, "control character");
        if (at == 0 || bytes.ptr[at - 1] != '\r')
            return scan_failed(reader, "bare LF");
        if (at == 1)
            return scan_failed(reader, "empty line before the request");
        if (at >= 3 && bytes.ptr[at - 2] == '\n') {
            *len = at + 1;
            return HTTP_DONE;
        }
    }
    reader->scanned = at;
    if (at < HTTP_HEAD_MOST)
        return HTTP_MORE;
    bool has_line = memchr(bytes.ptr, '\n', HTTP_HEAD_MOST) != NULL;
    bad(reader, has_line ? 431 : 414, has_line ? "head over 16 KiB" : "target over 16 KiB");
    return HTTP_BAD;
}

/* --- the request line --- */

static bool is_uri_text(struct slice s, bool is_path)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"#<>", c) || (is_path && c == '\\'))
            return false;
    }
    return true;
}

static bool parse_target(struct http_head_reader *reader, struct http_head *head, struct slice *authority)
{
    struct slice rest = head->target;
    *authority = SLICE("");
    if (slice_equal(rest, SLICE("*"))) {
        head->path = rest;
        return slice_equal(head->method, SLICE("OPTIONS")) || bad(reader, 400, "target * is for OPTIONS");
    }
    bool is_http = slice_starts_caseless(rest, SLICE("http://"));
    if (is_http || slice_starts_caseless(rest, SLICE("https://"))) {
        rest = slice_from(rest, is_http ? 7 : 8);
        size_t end = 0;
        while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
            end++;
        *authority = slice_head(rest, end);
        rest = slice_from(rest, end);
        if (authority->len == 0)
            return bad(reader, 400, "target without a host");
    } else if (rest.len == 0 || rest.ptr[0] != '/') {
        return bad(reader, 400, "target is not a path");
    }
    ptrdiff_t question = slice_find_byte(rest, '?');
    head->path = slice_head(rest, question < 0 ? rest.len : (size_t)question);
    head->query = question < 0 ? SLICE("") : slice_from(rest, (size_t)question + 1);
    if (head->path.len == 0)
        head->path = SLICE("/");
    if (!is_uri_text(head->path, true) || !is_uri_text(head->query, false))
        return bad(reader, 400, "target is not a URI");
    return true;
}

static bool parse_request_line(struct http_head_reader *reader, struct slice line, struct http_head *head,
                               struct slice *authority)
{
    ptrdiff_t first = slice_find_byte(line, ' '), last = slice_find_last_byte(line, ' ');
    if (first <= 0 || first == last)
        return bad(reader, 400, "not a request line");
    struct slice version = slice_from(line, (size_t)last + 1);
    head->method = slice_head(line, (size_t)first);
    head->target = slice_of(line.ptr + first + 1, (size_t)(last - first - 1));
    if (!is_token(head->method) || head->method.len > METHOD_MOST)
        return bad(reader, 400, "method is not a token");
    if (version.len != 8 || !slice_starts(version, SLICE("HTTP/")) || !ascii_is_digit(version.ptr[5]) ||
        version.ptr[6] != '.' || !ascii_is_digit(version.ptr[7]))
        return bad(reader, 400, "not an HTTP version");
    if (version.ptr[5] != '1' || version.ptr[7] > '1')
        return bad(reader, 505, "only HTTP/1.0 and HTTP/1.1");
    head->minor = (unsigned)(version.ptr[7] - '0');
    return parse_target(reader, head, authority);
}

/* --- headers --- */

static bool parse_header(struct http_head_reader *reader, struct slice line, struct http_head *head)
{
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return bad(reader, 400, "folded header line");
    ptrdiff_t colon = slice_find_byte(line, ':');
    if (colon < 0 || !is_token(slice_head(line, (size_t)colon)))
        return bad(reader, 400, "not a header line");
    if (head->header_count == HTTP_HEADERS_MOST)
        return bad(reader, 431, "more than 100 headers");
    struct http_header *header = &head->headers[head->header_count++];
    header->name = slice_head(line, (size_t)colon);
    header->value = slice_trim(slice_from(line, (size_t)colon + 1));
    return true;
}

static bool parse_length(struct http_head_reader *reader, struct slice value, struct http_head *head)
{
    if (head->has_length)
        return bad(reader, 400, "two Content-Lengths");
    head->has_length = true;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_digit(value.ptr[i]))
            return bad(reader, 400, "Content-Length is not a number");
    return (value.len <= 18 && slice_to_u64(value, &head->length)) ||
           bad(reader, 400, "Content-Length is not a number");
}

static bool parse_transfer_encoding(struct http_head_reader *reader, struct slice value, struct http_head *head)
{
    if (head->is_chunked)
        return bad(reader, 400, "two Transfer-Encodings");
    head->is_chunked = true;
    return slice_equal_caseless(value, SLICE("chunked")) || bad(reader, 400, "Transfer-Encoding is not chunked");
}

static bool parse_host(struct http_head_reader *reader, struct slice value, struct http_head *head, bool *has_host)
{
    if (*has_host)
        return bad(reader, 400, "two Hosts");
    *has_host = true;
    head->host = value;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_alnum(value.ptr[i]) && !strchr("-._~:[]%!$&'()*+,;=", value.ptr[i]))
            return bad(reader, 400, "Host is not a host");
    return true;
}

static void parse_connection(struct slice value, struct http_head *head)
{
    struct slice word;
    while (slice_split(&value, ',', &word)) {
        word = slice_trim(word);
        if (slice_equal_caseless(word, SLICE("close")))
            head->is_kept_alive = false;
        else if (slice_equal_caseless(word, SLICE("keep-alive")) && head->minor == 0)
            head->is_kept_alive = true;
    }
}

static bool understand_header(struct http_head_reader *reader, const struct http_header *header, struct http_head *head,
                              bool *has_host)
{
    struct slice name = header->name, value = header->value;
    switch (name.len) { /* the names that frame a request, by their length */
    case 4: return !slice_equal_caseless(name, SLICE("Host")) || parse_host(reader, value, head, has_host);
    case 6:
        if (!slice_equal_caseless(name, SLICE("Expect")))
            return true;
        head->expects_continue = slice_equal_caseless(value, SLICE("100-continue"));
        return head->expects_continue || bad(reader, 417, "Expect is not 100-continue");
    case 10:
        if (slice_equal_caseless(name, SLICE("Connection")))
            parse_connection(value, head);
        return true;
    case 14: return !slice_equal_caseless(name, SLICE("Content-Length")) || parse_length(reader, value, head);
    case 17:
        return !slice_equal_caseless(name, SLICE("Transfer-Encoding")) || parse_transfer_encoding(reader, value, head);
    default: return true;
    }
}

bool http_head_parse(struct http_head_reader *reader, struct slice whole, struct http_head *head)
{
    struct slice rest = slice_head(whole, whole.len - 2), line, authority; /* without the blank line */
    bool has_host = false;
    memset(head, 0, offsetof(struct http_head, headers));
    if (!slice_line(&rest, &line) || !parse_request_line(reader, line, head, &authority))
        return false;
    head->is_kept_alive = head->minor == 1;
    while (slice_line(&rest, &line))
        if (line.len == 0 || !parse_header(reader, line, head) ||
            !understand_header(reader, &head->headers[head->header_count - 1], head, &has_host))
            return false;
    if (head->is_chunked && (head->has_length || head->minor == 0))
        return bad(reader, 400, head->has_length ? "Content-Length with Transfer-Encoding" : "chunks in HTTP/1.0");
    if (head->minor == 1 && head->host.len == 0)
        return bad(reader, 400, "no Host");
    if (authority.len && !slice_equal_caseless(authority, head->host))
        return bad(reader, 400, "target and Host name different hosts");
    if (head->minor == 0)
        head->expects_continue = false; /* RFC 9110 10.1.1 */
    return true;
}

enum http_step http_head_read(struct http_head_reader *reader, struct slice bytes, struct http_head *head, size_t *used)
{
    enum http_step step = http_head_scan(reader, bytes, used);
    if (step == HTTP_DONE && !http_head_parse(reader, slice_head(bytes, *used), head))
        step = HTTP_BAD;
    return step;
}

bool http_head_find(const struct http_head *head, struct slice name, struct slice *value)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (slice_equal_caseless(head->headers[i].name, name)) {
            *value = head->headers[i].value;
            return true;
        }
    return false;
}

/* --- chunks --- */

static enum http_step bad_chunk(struct http_chunks *chunks, const char *wrong)
{
    chunks->wrong = wrong;
    return HTTP_BAD;
}

/* A line with its CRLF at the front of bytes; MORE: not yet whole. */
static enum http_step take_line(struct http_chunks *chunks, struct slice bytes, size_t most, struct slice *line)
{
    ptrdiff_t end = slice_find_byte(slice_head(bytes, most + 2), '\n');
    if (end < 0)
        return bytes.len > most + 1 ? bad_chunk(chunks, "chunk line too long") : HTTP_MORE;
    if (end == 0 || bytes.ptr[end - 1] != '\r')
        return bad_chunk(chunks, "bare LF in chunks");
    *line = slice_head(bytes, (size_t)end - 1);
    for (size_t i = 0; i < line->len; i++)
        if ((unsigned char)line->ptr[i] < ' ' && line->ptr[i] != '\t')
            return bad_chunk(chunks, "control character in chunks");
    return HTTP_DONE;
}

static enum http_step chunk_size(struct http_chunks *chunks, struct slice bytes, size_t *used)
{
    struct slice line;
    enum http_step step = take_line(chunks, bytes, SIZE_DIGITS_MOST, &line);
    if (step != HTTP_DONE)
        return step;
    chunks->left = 0;
    for (size_t i = 0; i < line.len; i++) {
        int digit = ascii_hex_value(line.ptr[i]);
        if (digit < 0)
            return bad_chunk(chunks, line.ptr[i] == ';' ? "chunk extension" : "chunk size is not hex");
        chunks->left = chunks->left << 4 | (unsigned)digit;
    }
    if (line.len == 0)
        return bad_chunk(chunks, "chunk without a size");
    *used = line.len + 2;
    chunks->at = chunks->left ? CHUNK_DATA : CHUNK_TRAILER;
    return HTTP_MORE;
}

static enum http_step chunk_trailer(struct http_chunks *chunks, struct slice bytes, size_t *used)
{
    struct slice line;
    enum http_step step = take_line(chunks, bytes, TRAILERS_MOST, &line);
    if (step != HTTP_DONE)
        return step;
    *used = line.len + 2;
    if (line.len == 0) {
        chunks->at = CHUNK_DONE;
        return HTTP_DONE;
    }
    chunks->trailer_bytes += line.len + 2;
    return chunks->trailer_bytes > TRAILERS_MOST ? bad_chunk(chunks, "trailers over 4 KiB") : HTTP_MORE;
}

enum http_step http_chunks_read(struct http_chunks *chunks, struct slice bytes, size_t *used, struct slice *data)
{
    *used = 0;
    *data = SLICE("");
    if (bytes.len == 0 && chunks->at != CHUNK_DONE)
        return HTTP_MORE;
    switch (chunks->at) {
    case CHUNK_SIZE: return chunk_size(chunks, bytes, used);
    case CHUNK_DATA:
        *data = slice_head(bytes, chunks->left < bytes.len ? (size_t)chunks->left : bytes.len);
        *used = data->len;
        chunks->left -= data->len;
        if (chunks->left == 0)
            chunks->at = CHUNK_END;
        return HTTP_MORE;
    case CHUNK_END:
        if (bytes.ptr[0] != '\r' || (bytes.len > 1 && bytes.ptr[1] != '\n'))
            return bad_chunk(chunks, "chunk does not end with CRLF");
        if (bytes.len == 1)
            return HTTP_MORE;
        *used = 2;
        chunks->at = CHUNK_SIZE;
        return HTTP_MORE;
    case CHUNK_TRAILER: return chunk_trailer(chunks, bytes, used);
    case CHUNK_DONE: return HTTP_DONE;
    }
    return HTTP_BAD;
}
