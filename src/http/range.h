/* range.h - a part of something, as a client asks for it (RFC 9110 13 and 14)
 *
 * Only one range of bytes is answered with a part; several are answered with the whole, as RFC 9110 14.2 allows, so
 * that nobody makes us send a hundred parts that overlap. */
#ifndef TODOKE_HTTP_RANGE_H
#define TODOKE_HTTP_RANGE_H

#include "base/slice.h"

struct http_request;

enum http_range {
    HTTP_WHOLE,         /* 200 */
    HTTP_PART,          /* 206, of *first and *len */
    HTTP_NO_SUCH_PART,  /* 416, Content-Range: bytes * / size */
    HTTP_HAS_IT,        /* 304: If-None-Match names our entity tag */
    HTTP_IS_NOT_WANTED, /* 412: If-Match does not */
};
/* One Range header's value. What is no range of bytes is HTTP_WHOLE. Always sets *first and *len. */
enum http_range http_range_parse(struct slice value, uint64_t size, uint64_t *first, uint64_t *len);

/* What this GET or HEAD of something with the strong entity tag `etag` (quotes and all) asks for: If-Match,
 * If-None-Match, Range, If-Range (a date never fits: we give none). */
enum http_range http_range_of(const struct http_request *request, struct slice etag, uint64_t size, uint64_t *first,
                              uint64_t *len);

#endif
