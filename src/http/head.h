/* head.h - the head of an HTTP/1.1 request, strictly (RFC 9112), as a machine without sockets
 *
 * The plan was libmicrohttpd behind a strict head checker. A strict check has to read the whole head and decide the
 * framing; what remains of HTTP/1.1 after that is chunks and keep-alive, less code than the glue. So this is ours.
 *
 * Anything that two readers could understand differently is refused and the connection closed (X12): bare CR or LF,
 * NUL and other controls, obs-fold, white space before a colon, Content-Length with Transfer-Encoding, two
 * Content-Lengths or Hosts, a Transfer-Encoding other than "chunked", HTTP/1.1 without Host, an absolute target that
 * names another host than Host does, targets that are no URI. Leading empty lines are not forgiven. */
#ifndef TODOKE_HTTP_HEAD_H
#define TODOKE_HTTP_HEAD_H

#include "base/slice.h"

enum { HTTP_HEAD_MOST = 16384 /* bytes, with the blank line */, HTTP_HEADERS_MOST = 100 };

struct http_header {
    struct slice name, value; /* as sent; value trimmed */
};

struct http_head {
    struct slice method; /* "GET": a token, case-sensitive */
    struct slice target; /* as sent */
    struct slice path;   /* the target before '?', not decoded; begins with '/', or is "*" for OPTIONS */
    struct slice query;  /* after '?', not decoded */
    struct slice host;   /* "" only in HTTP/1.0 */
    unsigned minor;      /* HTTP/1.x: 0 or 1 */
    bool has_length;
    uint64_t length; /* Content-Length */
    bool is_chunked;
    bool is_kept_alive; /* the client lets the connection be used again */
    bool expects_continue;
    size_t header_count;
    struct http_header headers[HTTP_HEADERS_MOST];
};

enum http_step { HTTP_MORE, HTTP_DONE, HTTP_BAD };

/* Remembers how far the bytes were looked at, so that a head that comes byte by byte costs no more. Zero it for each
 * request. */
struct http_head_reader {
    size_t scanned;
    int status;        /* HTTP_BAD: 400, 414, 417, 431 or 505 */
    const char *wrong; /* HTTP_BAD: what was wrong, for the log and the answer */
};
/* Where does the head end? `bytes`: everything of this request so far, from its first byte. DONE: *len bytes are the
 * head. BAD as soon as a byte is wrong. */
enum http_step http_head_scan(struct http_head_reader *reader, struct slice bytes, size_t *len);
/* Read a head that http_head_scan has found whole; slices point into it. */
NODISCARD bool http_head_parse(struct http_head_reader *reader, struct slice whole, struct http_head *head);
/* Both. */
enum http_step http_head_read(struct http_head_reader *reader, struct slice bytes, struct http_head *head,
                              size_t *used);

/* The first header of that name; false: none. */
bool http_head_find(const struct http_head *head, struct slice name, struct slice *value);

/* Chunked bodies (RFC 9112 7.1): extensions are refused, trailers read and thrown away (4 KiB at most). Zero it for
 * each body. */
struct http_chunks {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER, CHUNK_DONE } at;
    uint64_t left; /* of this chunk */
    size_t trailer_bytes;
    const char *wrong;
};
/* Look at `bytes`: *used of them are understood, *data is what of them is body (it may be empty). Call again with the
 * rest until MORE with nothing used, DONE or BAD. */
enum http_step http_chunks_read(struct http_chunks *chunks, struct slice bytes, size_t *used, struct slice *data);

#endif
