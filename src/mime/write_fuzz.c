/* Any bytes as values of headers: one field each, whatever they hold (X3) */
#include "mail/message_id.h"
#include "mime/write.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = slice_of(data, size);
    struct buf out = BUF(8 << 20), text = BUF(8 << 20);
    unsigned want = 3, fields = 0;
    size_t column = 0;
    header_text(&out, SLICE("Subject"), value);
    want += header_mailbox(&out, SLICE("From"), value, SLICE("a@example.jp"));
    want += header_mailbox(&out, SLICE("To"), SLICE("x"), value);
    want += header_tokens(&out, SLICE("X"), value);
    buf_text(&out, "Content-Disposition: attachment");
    header_parameter(&out, SLICE("filename"), value, 31);
    buf_text(&out, "\r\nMessage-ID: ");
    message_id_make(&out, 7, slice_head(value, 200));
    buf_text(&out, "\r\n");
    for (size_t i = 0; i < out.len; i++) {
        fields += column == 0 && out.ptr[i] != ' ' && out.ptr[i] != '\r' && out.ptr[i] != '\n';
        column = out.ptr[i] == '\n' ? 0 : column + (out.ptr[i] != '\r');
        assert(column <= LINE_MAX_OCTETS &&
               (out.ptr[i] == '\r' || out.ptr[i] == '\n' || (unsigned char)out.ptr[i] >= 0x20));
        assert(out.ptr[i] != '\n' || (i && out.ptr[i - 1] == '\r'));
    }
    assert(fields == want);
    for (int transfer = TRANSFER_QUOTED_PRINTABLE; transfer <= TRANSFER_BASE64; transfer++)
        text_encode(&text, value, (enum transfer)transfer);
    buf_release(&out);
    buf_release(&text);
    return 0;
}
