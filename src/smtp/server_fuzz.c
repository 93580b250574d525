/* server_fuzz.c - libFuzzer entry: strangers' bytes into the server machine, in pieces that the bytes themselves choose
 *
 * Built by ./run fuzz: clang -fsanitize=fuzzer,address,undefined -fno-sanitize=pointer-overflow (clang takes NULL +
 * 0 ill). The first byte sets the options; a byte 0xff in the input ends a piece, so that turns are taken. */
#include "smtp/server.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(struct smtp_server *server, const struct smtp_server_event *event, unsigned *counter)
{
    if (event->what == SMTP_SERVER_TLS_BEGIN)
        smtp_server_tls_done(server, true);
    if (event->is_question && ++*counter % 7 == 0)
        smtp_server_answer(server, SLICE("450 4.3.0 later"));
    else if (event->is_question)
        smtp_server_accept(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct smtp_server *server = smtp_server_new(
        &(struct smtp_server_settings){.host_name = SLICE("mx.test"),
                                       .has_tls = data[0] & 1,
                                       .has_auth = data[0] & 2,
                                       .may_auth_clear = data[0] & 4,
                                       .is_lenient = data[0] & 8,
                                       .bare_eol = data[0] & 16 ? SMTP_BARE_NORMALISE : SMTP_BARE_REFUSE,
                                       .size_max = 5000});
    struct slice rest = slice_of(data + 1, size - 1);
    struct smtp_server_event event;
    SCOPED(buf) out = BUF(1 << 20);
    unsigned counter = 0;
    bool is_over = false;
    char last = 0;
    do {
        ptrdiff_t end = slice_find_byte(rest, (char)0xff);
        struct slice piece = slice_head(rest, end < 0 ? rest.len : (size_t)end);
        rest = slice_from(rest, piece.len + 1);
        while (smtp_server_next(server, &piece, &event)) {
            assert(!is_over);
            is_over = event.what == SMTP_SERVER_CLOSE;
            for (size_t i = 0; event.what == SMTP_SERVER_BODY && i < event.bytes.len; i++) {
                assert(event.bytes.ptr[i] != '\n' || last == '\r'); /* R2 */
                assert(last != '\r' || event.bytes.ptr[i] == '\n');
                last = event.bytes.ptr[i];
            }
            if (event.what == SMTP_SERVER_DATA)
                last = 0;
            answer(server, &event, &counter);
        }
        buf_reset(&out);
        smtp_server_write(server, &out);
    } while (rest.len);
    smtp_server_free(server);
    return 0;
}
