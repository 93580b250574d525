/* M26-M29: mails as they come, whole and broken */
#include "base/buf.h"
#include "base/test.h"
#include "mime/read.h"

/* Every part as "depth type/subtype body", one a line; line ends in bodies shown as |. */
static void tree_print(const struct mime_mail *mail, struct buf *out)
{
    for (unsigned i = 0; i < mail->part_count; i++) {
        const struct mime_part *part = &mail->parts[i];
        buf_printf(out, "%s%u %.*s/%.*s", i ? "\n" : "", part->depth, SLICE_ARG(part->type), SLICE_ARG(part->subtype));
        if (part->end > i + 1)
            continue;
        buf_byte(out, ' ');
        for (size_t k = 0; k < part->body.len; k++)
            buf_byte(out, part->body.ptr[k] == '\n' || part->body.ptr[k] == '\r' ? '|' : part->body.ptr[k]);
    }
}

static void parts_are_found(void **state)
{
    static const struct {
        const char *thought, *mail, *tree;
    } rows[] = {
        {"no header at all", "just text\n", "0 text/plain just text|"},
        {"nothing", "", "0 text/plain "},
        {"a plain mail", "From: a\nSubject: b\n\nhello\n", "0 text/plain hello|"},
        {"an mbox line before it", "From x Thu Oct 13 15:22:22 2015\nFrom: a\n\nhello", "0 text/plain hello"},
        {"the blank line is missing", "From: a\nhello there\n", "0 text/plain hello there|"},
        {"two parts",
         "Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b\nContent-Type: "
         "text/html\n\ntwo\n--b--\nepi\n",
         "0 multipart/mixed\n1 text/plain one\n1 text/html two"},
        {"CRLF", "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\r\none\r\n--b--\r\n",
         "0 multipart/mixed\n1 text/plain one"},
        {"CR alone", "Content-Type: multipart/mixed; boundary=b\r\r--b\r\rone\r--b--\r",
         "0 multipart/mixed\n1 text/plain one"},
        {"the end is missing", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none",
         "0 multipart/mixed\n1 text/plain one"},
        {"white space behind a delimiter", "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--b--\n",
         "0 multipart/mixed\n1 text/plain one"},
        {"a longer delimiter is another", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--bb\n--b--\n",
         "0 multipart/mixed\n1 text/plain one|--bb"},
        {"one inside another",
         "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; "
         "boundary=b\n\n--b\n\none\n"
         "--b--\n--a\n\ntwo\n--a--\n",
         "0 multipart/mixed\n1 multipart/alternative\n2 text/plain one\n1 text/plain two"},
        {"the inner end is missing",
         "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; "
         "boundary=b\n\n--b\n\none\n"
         "--a\n\ntwo\n--a--\n",
         "0 multipart/mixed\n1 multipart/alternative\n2 text/plain one\n1 text/plain two"},
        {"a message inside",
         "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: "
         "x\n\ninner\n--a--\n",
         "0 multipart/mixed\n1 message/rfc822\n2 text/plain inner"},
        {"an encoded message stays closed",
         "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdA==",
         "0 message/rfc822 U3ViamVjdA=="},
        {"a delimiter inside a header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\n--b\n\ntwo\n--b--\n",
         "0 multipart/mixed\n1 text/plain \n1 text/plain two"},
        {"a digest holds messages", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b--\n",
         "0 multipart/digest\n1 message/rfc822\n2 text/plain one"},
        {"a boundary that never comes",
         "Content-Type: multipart/mixed; boundary=wrong\n\n--real\nContent-Type: text/plain\n\none\n--real--\n",
         "0 multipart/mixed\n1 text/plain one"},
        {"a folded type", "Content-Type: multipart/mixed;\n\tboundary=\"b c\"\n\n--b c\n\none\n--b c--\n",
         "0 multipart/mixed\n1 text/plain one"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct mime_mail mail;
        SCOPED(buf) tree = BUF(4096);
        mime_read(slice_str(rows[i].mail), &arena, &mail);
        tree_print(&mail, &tree);
        assert_slice(rows[i].thought, buf_slice(&tree), slice_str(rows[i].tree));
        arena_release(&arena);
    }
}

static void fields_are_found(void **state)
{
    struct arena arena = {0};
    struct mime_mail mail;
    mime_read(SLICE("Received: one\r\nSubject : spaced \r\nreceived: two\r\n three\r\nX-Empty:\r\nX: "
                    "=?utf-8?q?a?=\r\n\r\nbody"),
              &arena, &mail);
    assert_slice("caseless", mime_header(&mail, 0, SLICE("RECEIVED")), SLICE("one"));
    assert_slice("second", mime_header_nth(&mail, 0, SLICE("Received"), 1), SLICE("two\r\n three"));
    assert_slice("unfolded", mime_text(mime_header_nth(&mail, 0, SLICE("Received"), 1), &arena), SLICE("two three"));
    assert_slice("space before the colon", mime_header(&mail, 0, SLICE("Subject")), SLICE("spaced"));
    assert_true(mime_header(&mail, 0, SLICE("X-Empty")).ptr && !mime_header(&mail, 0, SLICE("X-Empty")).len);
    assert_null(mime_header(&mail, 0, SLICE("Absent")).ptr);
    assert_slice("body", mail.parts[0].body, SLICE("body"));
    arena_release(&arena);
}

static void encoded_words(void **state)
{
    static const struct {
        const char *value, *text;
    } rows[] = {
        {"plain", "plain"},
        {"=?utf-8?B?44GK55+l44KJ44Gb?=", "お知らせ"},
        {"=?utf-8?q?a_b=3D?= c", "a b= c"},
        {"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
        {"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c"},
        {"=?utf-8?B?44GK55+l?= =?iso-8859-1?q?=FC?=", "お知ü"},
        {"=?utf-8?b?44E=?= =?utf-8?b?ig==?=", "お"}, /* a character cut in two */
        {"=?iso-2022-jp?B?GyRCJCIbKEI=?=", "あ"},
        {"=?iso-2022-jp*ja?B?GyRCJCIbKEI=?=", "あ"},
        {"=?utf-8?x?a?=", "=?utf-8?x?a?="},
        {"=?utf-8?q?open", "=?utf-8?q?open"},
        {"a =? b", "a =? b"},
        {"=?", "=?"},
        {"raw \xe3\x81\x82", "raw あ"},
        {"raw \x82\xa0\x82\xa2", "raw あい"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        assert_slice(rows[i].value, mime_text(slice_str(rows[i].value), &arena), slice_str(rows[i].text));
        arena_release(&arena);
    }
}

static void addresses(void **state)
{
    static const struct {
        const char *value, *addresses;
    } rows[] = {
        {"a@b", "a@b"},
        {"Name <a@b>", "a@b"},
        {"\"Last, First\" <a@b>, c@d", "a@b c@d"},
        {"a@b (a, comment), c@d", "a@b c@d"},
        {"(c) <a@b>", "a@b"},
        {"Group: a@b, c@d;", "a@b c@d"},
        {"<@x,@y:a@b>", "a@b"},
        {"\"a b\"@c", "\"a b\"@c"},
        {"undisclosed-recipients:;", ""},
        {"MAILER-DAEMON", ""},
        {"<a@b", "a@b"},
        {"\"open <a@b>", ""},
        {"((((a@b", ""},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice found[4];
        SCOPED(buf) got = BUF(256);
        size_t count = mime_addresses(slice_str(rows[i].value), found, COUNT_OF(found));
        for (size_t k = 0; k < count; k++) {
            buf_str(&got, k ? " " : "");
            buf_append(&got, found[k]);
        }
        assert_slice(rows[i].value, buf_slice(&got), slice_str(rows[i].addresses));
    }
}

static void parameters(void **state)
{
    static const struct {
        const char *value, *name, *text;
    } rows[] = {
        {"text/plain; charset=utf-8", "charset", "utf-8"},
        {"text/plain; Charset = \"utf-8\"", "charset", "utf-8"},
        {"text/plain; x=\"a;b\"; charset=z", "charset", "z"},
        {"a; name=\"q\\\"q\"", "name", "q\"q"},
        {"a; name*=utf-8'ja'%E3%81%82", "name", "あ"},
        {"a; name*0=\"ab\"; name*1=\"cd\"", "name", "abcd"},
        {"a; name*1=\"cd\"; name*0=\"ab\"", "name", "abcd"},
        {"a; name*0*=utf-8''%E3%81; name*1*=%82; name*2=z", "name", "あz"},
        {"a; name=plain; name*=utf-8''better", "name", "better"},
        {"a; name*99=far", "name", ""},
        {"a; names=x", "name", ""},
        {"a; name=", "name", ""},
        {"a; name=\"open", "name", "open"},
        {"", "name", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        assert_slice(rows[i].value, mime_param(slice_str(rows[i].value), slice_str(rows[i].name), &arena),
                     slice_str(rows[i].text));
        arena_release(&arena);
    }
}

static void bodies(void **state)
{
    static const struct {
        const char *mail, *text;
    } rows[] = {
        {"\nplain", "plain"},
        {"Content-Transfer-Encoding: base64\n\naGVsbG8=\n", "hello"},
        {"Content-Transfer-Encoding: BASE64;\n\naGVs bG8", "hello"},
        {"Content-Transfer-Encoding: quoted-printable\n\na=3Db=\nc =\r\nd=zz=", "a=bc d=zz"},
        {"Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=iso-8859-1\n\ngr=FC=DF",
         "grüß"},
        {"Content-Transfer-Encoding: x-odd\n\nas it is", "as it is"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct mime_mail mail;
        mime_read(slice_str(rows[i].mail), &arena, &mail);
        assert_slice(rows[i].mail, mime_body_text(&mail.parts[0], 1000, &arena), slice_str(rows[i].text));
        arena_release(&arena);
    }
}

/* M29: what is over a cap is not parsed, and says so. */
static void caps_hold(void **state)
{
    SCOPED(buf) deep = BUF(1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_printf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i);
    SCOPED(buf) wide = BUF(1 << 20);
    buf_text(&wide, "Content-Type: multipart/mixed; boundary=b\n\n");
    for (int i = 0; i < 5000; i++)
        buf_text(&wide, "--b\n\nx\n");
    SCOPED(buf) headers = BUF(1 << 20);
    for (int i = 0; i < 5000; i++)
        buf_text(&headers, "X-A: b\n");
    SCOPED(buf) long_header = BUF(1 << 20);
    buf_text(&long_header, "Subject: a\nX-A: ");
    for (int i = 0; i < 300000; i++)
        buf_byte(&long_header, 'x');
    struct {
        struct buf *mail;
        enum mime_over over;
        unsigned most;
    } rows[] = {{&deep, MIME_OVER_DEPTH, MIME_DEPTH_MAX},
                {&wide, MIME_OVER_PARTS, MIME_PARTS_MAX},
                {&headers, MIME_OVER_HEADERS, 1},
                {&long_header, MIME_OVER_HEADERS, 1}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct mime_mail mail;
        mime_read(buf_slice(rows[i].mail), &arena, &mail);
        assert_int_equal(mail.over, rows[i].over);
        assert_true(mail.part_count <= rows[i].most && mail.header_count <= MIME_HEADERS_MAX);
        arena_release(&arena);
    }
}

static double reading_cost(const void *context, size_t size)
{
    const struct buf *bytes = context;
    struct arena arena = {0};
    struct mime_mail mail;
    double begun = test_cpu_seconds();
    mime_read(slice_head(buf_slice(bytes), size), &arena, &mail);
    double took = test_cpu_seconds() - begun;
    arena_release(&arena);
    return took;
}

/* X11: twice the mail takes at most about twice the time; a square would take four times. */
static void reading_is_linear(void **state)
{
    enum { HALF = 4 << 20 };
    SCOPED(buf) mail = BUF(16 << 20);
    buf_text(&mail, "Content-Type: multipart/mixed; boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n\n");
    while (mail.len < 2 * HALF)
        buf_text(&mail, "--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbX: y\n");
    assert_true(test_cost_growth(reading_cost, &mail, HALF, 2, 3) <= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_found), cmocka_unit_test(fields_are_found),  cmocka_unit_test(encoded_words),
        cmocka_unit_test(addresses),       cmocka_unit_test(parameters),        cmocka_unit_test(bodies),
        cmocka_unit_test(caps_hold),       cmocka_unit_test(reading_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
