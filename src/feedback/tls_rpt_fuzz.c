/* tls_rpt_fuzz.c - libFuzzer entry: any bytes as a TLS report */
#include "feedback/feedback.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct feedback feedback;
    struct fault why = {0};
    SCOPED(buf) out = BUF(64 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    if (feedback_read_tls(slice_of(data, size), &arena, &feedback, &why))
        feedback_tell(&feedback, &json);
    json_end(&json);
    arena_release(&arena);
    return 0;
}
