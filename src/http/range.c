#include "http/range.h"

#include "http/server.h"

enum { NUMBER_DIGITS_MAX = 19 };

/* Digits of any length; more than fit are as many as there can be. */
static bool number_of(struct slice text, uint64_t *number)
{
    while (text.len > 1 && text.ptr[0] == '0')
        text = slice_from(text, 1);
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit(text.ptr[i]))
            return false;
    if (text.len > NUMBER_DIGITS_MAX) {
        *number = UINT64_MAX;
        return true;
    }
    return slice_to_u64(text, number);
}

enum http_range http_range_parse(struct slice value, uint64_t size, uint64_t *first, uint64_t *len)
{
    uint64_t last = UINT64_MAX;
    *first = 0;
    *len = size;
    value = slice_trim(value);
    if (!slice_starts_caseless(value, SLICE("bytes=")))
        return HTTP_WHOLE;
    struct slice spec = slice_trim(slice_from(value, 6));
    ptrdiff_t dash = slice_find_byte(spec, '-');
    if (dash == SLICE_NPOS || slice_find_byte(spec, ',') != SLICE_NPOS)
        return HTTP_WHOLE;
    struct slice from = slice_head(spec, (size_t)dash), to = slice_from(spec, (size_t)dash + 1);
    uint64_t begin;
    if (!from.len) { /* the last so many */
        if (!to.len || !number_of(to, &last))
            return HTTP_WHOLE;
        if (!last || !size)
            return HTTP_NO_SUCH_PART;
        *len = last < size ? last : size;
        *first = size - *len;
        return HTTP_PART;
    }
    if (!number_of(from, &begin) || (to.len && !number_of(to, &last)) || last < begin)
        return HTTP_WHOLE;
    if (begin >= size)
        return HTTP_NO_SUCH_PART;
    *first = begin;
    *len = (last < size - 1 ? last : size - 1) - begin + 1;
    return HTTP_PART;
}

/* Is it in a list of entity tags? Compared weakly where a W/ does not matter. */
static bool list_has(struct slice list, struct slice etag, bool is_weak_fine)
{
    struct slice one;
    while (list.len && slice_split(&list, ',', &one)) {
        one = slice_trim(one);
        if (is_weak_fine && slice_starts(one, SLICE("W/")))
            one = slice_from(one, 2);
        if (slice_equal(one, etag) || slice_equal(one, SLICE("*")))
            return true;
    }
    return false;
}

enum http_range http_range_of(const struct http_request *request, struct slice etag, uint64_t size, uint64_t *first,
                              uint64_t *len)
{
    struct slice value = http_header(request, "If-Match");
    *first = 0;
    *len = size;
    if (value.len && !list_has(value, etag, false))
        return HTTP_IS_NOT_WANTED;
    value = http_header(request, "If-None-Match");
    if (value.len && list_has(value, etag, true))
        return HTTP_HAS_IT;
    if (slice_equal(request->head.method, SLICE("HEAD"))) /* Range is for GET alone */
        return HTTP_WHOLE;
    value = http_header(request, "If-Range");
    if (value.len && !slice_equal(slice_trim(value), etag))
        return HTTP_WHOLE;
    return http_range_parse(http_header(request, "Range"), size, first, len);
}
