/* client_fuzz.c - libFuzzer entry: strangers' replies into the client machine
 *
 * Built by ./run fuzz: clang -fsanitize=fuzzer,address,undefined -fno-sanitize=pointer-overflow (clang takes NULL +
 * 0 ill). The first byte sets the options; a byte 0xff ends a piece. Always: each recipient is told once, OVER
 * comes once and last. */
#include "smtp/client.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tally {
    unsigned handed, told, messages;
    bool is_over;
};

static void events(struct smtp_client *client, struct slice *piece, struct tally *tally)
{
    struct smtp_client_event event;
    while (smtp_client_next(client, piece, &event)) {
        assert(!tally->is_over);
        tally->told += event.what == SMTP_CLIENT_RECIPIENT;
        tally->messages += event.what == SMTP_CLIENT_MESSAGE;
        tally->is_over = event.what == SMTP_CLIENT_OVER;
        if (event.what == SMTP_CLIENT_WANT_TLS)
            smtp_client_tls_done(client, true, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice recipients[] = {SLICE("a@b.test"), SLICE("c@d.test")},
                 body[] = {SLICE(".a\n."), SLICE(""), SLICE(".b")};
    struct smtp_message message = {SLICE("x@y.test"), recipients, 2, body, 3};
    bool has_user = data[0] & 2;
    struct smtp_client *client =
        smtp_client_new(&(struct smtp_client_settings){.ehlo_name = SLICE("me.test"),
                                                       .tls = data[0] & 1 ? SMTP_TLS_MAY : SMTP_TLS_NEVER,
                                                       .is_tls_already = has_user,
                                                       .is_tls_verified = has_user,
                                                       .user = has_user ? SLICE("u") : SLICE(""),
                                                       .password = SLICE("p")});
    struct slice rest = slice_of(data + 1, size - 1);
    SCOPED(buf) out = BUF(SMTP_CLIENT_OUT_MIN);
    struct tally tally = {0};
    do {
        ptrdiff_t end = slice_find_byte(rest, (char)0xff);
        struct slice piece = slice_head(rest, end < 0 ? rest.len : (size_t)end);
        rest = slice_from(rest, piece.len + 1);
        events(client, &piece, &tally);
        if (smtp_client_has_room(client) && smtp_client_send(client, &message) == SMTP_FITS)
            tally.handed++;
        if (!(data[0] & 4) || rest.len & 1)
            smtp_client_release_dot(client);
        buf_reset(&out);
        smtp_client_write(client, &out);
        assert(buf_ok(&out));
    } while (rest.len);
    smtp_client_closed(client, SLICE("end"));
    struct slice none = {0};
    events(client, &none, &tally);
    assert(tally.is_over && tally.told == 2 * tally.handed && tally.messages == tally.handed);
    smtp_client_free(client);
    return 0;
}
