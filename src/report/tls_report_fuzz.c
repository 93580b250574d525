/* tls_report_fuzz.c - libFuzzer entry: any lines as the TXT records of a domain that wants TLS reports */
#include "report/tls_report.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { RECORDS_MOST = 8 };
    struct arena arena = {0};
    struct slice records[RECORDS_MOST], rest = slice_of(data, size);
    struct tls_report_uri uris[TLS_REPORT_URIS_MOST];
    size_t count = 0, found = 0;
    while (count < RECORDS_MOST && slice_split(&rest, '\n', &records[count]))
        count++;
    if (tls_report_uris(records, count, &arena, uris, &found))
        assert(found <= TLS_REPORT_URIS_MOST);
    else
        assert(found == 0);
    for (size_t i = 0; i < found; i++) {
        assert(uris[i].text.len && uris[i].text.len <= TLS_REPORT_URI_MAX);
        assert(!uris[i].address.len != !uris[i].host.len && "either a mail or a post");
        for (size_t at = 0; at < uris[i].address.len; at++) /* it becomes a header field */
            assert(uris[i].address.ptr[at] != '\r' && uris[i].address.ptr[at] != '\n' && uris[i].address.ptr[at]);
        for (size_t at = 0; at < uris[i].path.len; at++) /* and this a request's first line */
            assert(uris[i].path.ptr[at] > ' ' && uris[i].path.ptr[at] < 0x7f);
    }
    arena_release(&arena);
    return 0;
}
