/* likeness_fuzz.c - libFuzzer entry: any text has a likeness, which is bounded and its own likeness' fingerprint is
 * stable */
#include "bounce/likeness.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(buf) one = BUF(8 * LIKENESS_TEXT_MAX);
    SCOPED(buf) other = BUF(8 * LIKENESS_TEXT_MAX);
    char prints[2][LIKENESS_FINGERPRINT];
    struct slice text = slice_of(data, size);
    likeness_write(text, &one);
    likeness_write(text, &other);
    assert(buf_ok(&one) && one.len <= 8 * LIKENESS_TEXT_MAX);
    likeness_fingerprint(buf_slice(&one), prints[0]);
    likeness_fingerprint(buf_slice(&other), prints[1]);
    assert(memcmp(prints[0], prints[1], LIKENESS_FINGERPRINT) == 0);
    return 0;
}
