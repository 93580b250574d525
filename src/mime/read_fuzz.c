/* read_fuzz.c - libFuzzer entry: any bytes as a mail, every part asked for everything */
#include "mime/read.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct mime_mail mail;
    mime_read(slice_of(data, size), &arena, &mail);
    assert(mail.part_count > 0 && mail.part_count <= MIME_PARTS_MAX);
    for (unsigned i = 0; i < mail.part_count; i++) {
        const struct mime_part *part = &mail.parts[i];
        assert(part->end > i && part->end <= mail.part_count && (i == 0 || part->parent < i));
        assert(part->depth < MIME_DEPTH_MAX && part->header_count <= MIME_HEADERS_MAX);
        if (part->body.len)
            assert(part->body.ptr >= mail.bytes.ptr &&
                   part->body.ptr + part->body.len <= mail.bytes.ptr + mail.bytes.len);
        for (unsigned k = 0; k < part->header_count; k++) {
            struct slice value = mail.headers[part->header_from + k].value, found[8];
            mime_text(value, &arena);
            mime_param(value, SLICE("name"), &arena);
            mime_addresses(value, found, 8);
        }
        mime_body_text(part, 65536, &arena);
    }
    arena_release(&arena);
    return 0;
}
