/* A head in one piece and the same head in two must mean the same; then the rest as chunks; and percent-decoding */
#include "http/head.h"

#include "base/percent.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head whole, halves;
    struct http_head_reader reader = {0}, second = {0};
    struct slice bytes = slice_of(data, size), rest;
    size_t used = 0, used_again = 0, cut = size / 2;
    enum http_step step = http_head_read(&reader, bytes, &whole, &used);
    enum http_step again = http_head_read(&second, slice_head(bytes, cut), &halves, &used_again);
    if (again == HTTP_MORE)
        again = http_head_read(&second, bytes, &halves, &used_again);
    assert(step == again && used == used_again);
    if (step == HTTP_DONE)
        assert(whole.path.len > 0 && whole.header_count == halves.header_count && used <= HTTP_HEAD_MOST);

    struct http_chunks chunks = {0};
    struct slice body;
    for (rest = bytes; (step = http_chunks_read(&chunks, rest, &used, &body)) == HTTP_MORE && used;
         rest = slice_from(rest, used))
        assert(used <= rest.len && body.len <= used);

    char *decoded = malloc(size + 1);
    size_t len;
    if (percent_decode(bytes, true, decoded, &len))
        assert(len <= size);
    free(decoded);
    return 0;
}
