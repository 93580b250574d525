/* 8-bit mails as 7-bit ones (R10, M17): what is read from the result is what was written in the first. */
#include "base/test.h"
#include "mime/read.h"
#include "mime/transcode.h"
#include <stdlib.h>

#define UE "\xc3\xbc"

static void rows_of_mails(void **state)
{
    static const struct {
        const char *name;
        struct slice mail, becomes; /* empty: it cannot be done */
    } rows[] = {
        {"nothing to do", SLICE_INIT("A: b\r\n\r\nhello\r\n"), SLICE_INIT("A: b\r\n\r\nhello\r\n")},
        {"one part, long enough to be quoted", SLICE_INIT("A: b\r\n\r\nhello hello " UE "\r\n"),
         SLICE_INIT("A: b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nhello hello =C3=BC\r\n")},
        {"a field that is there is replaced",
         SLICE_INIT("A: b\r\ncontent-transfer-encoding :\r\n 8bit\r\nC: d\r\n\r\nhello hello " UE),
         SLICE_INIT("A: b\r\nContent-Transfer-Encoding: quoted-printable\r\nC: d\r\n\r\nhello hello =C3=BC")},
        {"only the part that needs it",
         SLICE_INIT(
             "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\nplain\r\n"
             "--b\r\nX: y\r\n\r\nhello hello " UE "\r\n--b--\r\n"),
         SLICE_INIT(
             "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n--b\r\n\r\nplain\r\n"
             "--b\r\nX: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nhello hello =C3=BC\r\n--b--\r\n")},
        {"a part without header",
         SLICE_INIT("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello hello " UE "\r\n--b--\r\n"),
         SLICE_INIT("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: "
                    "quoted-printable\r\n\r\nhello hello =C3=BC\r\n--b--\r\n")},
        {"binary is base64", SLICE_INIT("A: b\r\n\r\n\xff\xfe\xfd\xfc"),
         SLICE_INIT("A: b\r\nContent-Transfer-Encoding: base64\r\n\r\n//79/A==")},
        {"inside a message", SLICE_INIT("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nhello hello " UE "\r\n"),
         SLICE_INIT("Content-Type: message/rfc822\r\n\r\nA: b\r\nContent-Transfer-Encoding: quoted-printable\r\n"
                    "\r\nhello hello =C3=BC\r\n")},
        {"a signature would break",
         SLICE_INIT("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nhello " UE "\r\n--b--\r\n"),
         {0}},
        {"says base64 and is not", SLICE_INIT("Content-Transfer-Encoding: base64\r\n\r\nhello " UE "\r\n"), {0}},
        {"a part whose head has no end",
         SLICE_INIT("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\nno field " UE "\r\n--b--\r\n"),
         {0}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(65536);
        bool ok = mime_to_7bit(rows[i].mail, &out);
        if (ok != (rows[i].becomes.len > 0) || (ok && !slice_equal(buf_slice(&out), rows[i].becomes)))
            fail_msg("%s: %d\n%.*s", rows[i].name, ok, SLICE_ARG(buf_slice(&out)));
    }
}

static void what_is_read_is_the_same(void **state)
{
    static const char *const bodies[] = {"hello hello hello " UE "\r\n", UE UE UE UE,
                                         "a\r\n" UE " \r\n. x\r\nFrom y\r\n\r\n", "\xff"};
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        SCOPED(arena) arena = {0};
        SCOPED(buf) out = BUF(65536);
        struct slice mail = arena_printf(
            &arena, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n\r\n%s\r\n--b--", bodies[i]);
        struct mime_mail before, after;
        assert_true(mime_to_7bit(mail, &out));
        for (size_t at = 0; at < out.len; at++)
            assert_true((unsigned char)out.ptr[at] < 0x80);
        mime_read(mail, &arena, &before);
        mime_read(buf_slice(&out), &arena, &after);
        assert_int_equal(before.part_count, after.part_count);
        struct slice one = mime_body(&before.parts[1], 65536, &arena),
                     other = mime_body(&after.parts[1], 65536, &arena);
        if (!slice_equal(one, other))
            fail_msg("row %zu: \"%.*s\" and \"%.*s\"", i, SLICE_ARG(one), SLICE_ARG(other));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_mails),
        cmocka_unit_test(what_is_read_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
