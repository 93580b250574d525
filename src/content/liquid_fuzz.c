/* Any bytes as a template, as HTML for the twin, and as a body: no crash, bounded, and what was encoded in pieces keeps
 * its lines within 76 */
#include "content/body.h"
#include "content/twin.h"
#include <assert.h>
#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *json;
    struct slice source = slice_head(slice_of(data, size), 8192);
    struct liquid *liquid;
    struct fault why = {0};
    struct arena arena = {0};
    struct buf out = BUF(8 << 20), twin = BUF(1 << 20), line = BUF(8 << 20), scratch = BUF(8 << 20);
    if (!json)
        json = json_loads("{\"a\": \"x<\\u3042\", \"b\": [1, 2.5, \"y\"], \"c\": {\"d\": null}}", 0, NULL);
    const struct liquid_context context = {.root = liquid_json(json), .arena = &arena};
    if (liquid_compile(source, size & 1, &liquid, NULL, &why)) {
        struct body *body = body_new(liquid, size & 2 ? 72 : 0);
        if (body_render(body, &context, &out, &line, &scratch, &why)) {
            size_t column = 0;
            for (size_t i = 0; i < out.len; i++) {
                column = out.ptr[i] == '\n' ? 0 : column + (out.ptr[i] != '\r');
                assert(column <= ENCODED_LINE_COLUMNS && !(out.ptr[i] & 0x80));
            }
        }
        body_free(body);
    }
    twin_from_html(&twin, source);
    buf_reset(&out);
    text_wrap(&out, source, 20);
    buf_release(&out);
    buf_release(&twin);
    buf_release(&line);
    buf_release(&scratch);
    arena_release(&arena);
    return 0;
}
