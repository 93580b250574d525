/* M3, M26, M28, M30, X3: headers and parts as they are written */
#include "base/random.h"
#include "base/test.h"
#include "mail/message_id.h"
#include "mime/write.h"

static void text_headers(void **state)
{
    static const struct {
        const char *row;
        struct slice value, want;
    } rows[] = {
        {"plain", SLICE_INIT("Hello"), SLICE_INIT("Subject: Hello\r\n")},
        {"trimmed", SLICE_INIT("  Hello "), SLICE_INIT("Subject: Hello\r\n")},
        {"injection (X3)", SLICE_INIT("Hi\r\nBcc: x@example.com"), SLICE_INIT("Subject: Hi  Bcc: x@example.com\r\n")},
        {"NUL", SLICE_INIT("a\0b"), SLICE_INIT("Subject: a b\r\n")},
        {"folded at 78", SLICE_INIT("one two three four five six seven eight nine ten eleven twelve thirteen fourteen"),
         SLICE_INIT(
             "Subject: one two three four five six seven eight nine ten eleven twelve\r\n thirteen fourteen\r\n")},
        {"looks like an encoded-word", SLICE_INIT("=?x?="), SLICE_INIT("Subject: =?UTF-8?B?PT94Pz0=?=\r\n")},
        {"Japanese", SLICE_INIT("お知らせ"), SLICE_INIT("Subject: =?UTF-8?B?44GK55+l44KJ44Gb?=\r\n")},
        {"next line and line separator are encoded (X3)", SLICE_INIT("a\xc2\x85\x62\xe2\x80\xa8\x63"),
         SLICE_INIT("Subject: =?UTF-8?B?YcKFYuKAqGM=?=\r\n")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4096);
        header_text(&out, SLICE("Subject"), rows[i].value);
        assert_slice(rows[i].row, buf_slice(&out), rows[i].want);
    }
}

static void mailbox_headers(void **state)
{
    static const struct {
        const char *row;
        struct slice display, address, want; /* want empty: refused */
    } rows[] = {
        {"bare", SLICE_INIT(""), SLICE_INIT("a@example.jp"), SLICE_INIT("To: a@example.jp\r\n")},
        {"atoms", SLICE_INIT("Ann Lee"), SLICE_INIT("a@example.jp"), SLICE_INIT("To: Ann Lee <a@example.jp>\r\n")},
        {"specials are quoted", SLICE_INIT("Lee, Ann \"A\" (x)"), SLICE_INIT("a@example.jp"),
         SLICE_INIT("To: \"Lee, Ann \\\"A\\\" (x)\" <a@example.jp>\r\n")},
        {"Japanese", SLICE_INIT("山田"), SLICE_INIT("a@example.jp"),
         SLICE_INIT("To: =?UTF-8?B?5bGx55Sw?= <a@example.jp>\r\n")},
        {"quoted local part (R12)", SLICE_INIT(""), SLICE_INIT("\"a..b\"@docomo.ne.jp"),
         SLICE_INIT("To: \"a..b\"@docomo.ne.jp\r\n")},
        {"injection through the name", SLICE_INIT("x>\r\nBcc: b@example.jp"), SLICE_INIT("a@example.jp"),
         SLICE_INIT("To: \"x>  Bcc: b@example.jp\" <a@example.jp>\r\n")},
        {"injection through the address", SLICE_INIT(""), SLICE_INIT("a@example.jp\r\nBcc: b"), SLICE_INIT("")},
        {"two addresses", SLICE_INIT(""), SLICE_INIT("a@example.jp,b@example.jp"), SLICE_INIT("")},
        {"brackets", SLICE_INIT(""), SLICE_INIT("a@example.jp>, <b@example.jp"), SLICE_INIT("")},
        {"a space", SLICE_INIT(""), SLICE_INIT("a @example.jp"), SLICE_INIT("")},
        {"an escape cannot hide a CR", SLICE_INIT(""), SLICE_INIT("\"a\\\r\nX: \"@example.jp"), SLICE_INIT("")},
        {"open quote", SLICE_INIT(""), SLICE_INIT("\"a@example.jp"), SLICE_INIT("")},
        {"no at", SLICE_INIT(""), SLICE_INIT("example.jp"), SLICE_INIT("")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4096);
        assert_row(rows[i].row,
                   header_mailbox(&out, SLICE("To"), rows[i].display, rows[i].address) == !!rows[i].want.len);
        assert_slice(rows[i].row, buf_slice(&out), rows[i].want);
    }
}

static void token_headers(void **state)
{
    SCOPED(buf) out = BUF(1 << 16);
    assert_true(header_tokens(
        &out, SLICE("List-Unsubscribe"),
        SLICE("<https://click.example.jp/u/abcdefghijklmnopqrstuvwxyz0123456789>, <mailto:u@example.jp>")));
    assert_slice("folded", buf_slice(&out),
                 SLICE("List-Unsubscribe: <https://click.example.jp/u/abcdefghijklmnopqrstuvwxyz0123456789>,\r\n"
                       " <mailto:u@example.jp>\r\n"));
    SCOPED(buf) big = BUF(4096);
    for (int i = 0; i < 1000; i++)
        buf_byte(&big, 'x');
    assert_false(header_tokens(&out, SLICE("X"), buf_slice(&big)));
    assert_false(header_tokens(&out, SLICE("X"), SLICE("a\r\nb")));
    assert_false(header_tokens(&out, SLICE("X"), SLICE("é")));
    assert_false(header_tokens(&out, SLICE("X"), SLICE("  ")));
}

static void parameters(void **state)
{
    static const struct {
        const char *row;
        struct slice value, want;
    } rows[] = {
        {"token", SLICE_INIT("a.pdf"), SLICE_INIT("; filename=a.pdf")},
        {"quoted", SLICE_INIT("my \"a\".pdf"), SLICE_INIT("; filename=\"my \\\"a\\\".pdf\"")},
        {"one extended", SLICE_INIT("案内.pdf"), SLICE_INIT("; filename*=UTF-8''%E6%A1%88%E5%86%85.pdf")},
        {"continuations", SLICE_INIT("とても長い名前の添付ファイル.pdf"),
         SLICE_INIT(";\r\n filename*0*=UTF-8''%E3%81%A8%E3%81%A6%E3%82%82%E9%95%B7%E3%81%84%E5%90%8D;\r\n"
                    " filename*1*=%E5%89%8D%E3%81%AE%E6%B7%BB%E4%BB%98%E3%83%95%E3%82%A1;\r\n"
                    " filename*2*=%E3%82%A4%E3%83%AB.pdf")},
        {"injection", SLICE_INIT("a\r\nX: y"), SLICE_INIT("; filename=\"a  X: y\"")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) out = BUF(4096);
        header_parameter(&out, SLICE("filename"), rows[i].value, 31);
        assert_slice(rows[i].row, buf_slice(&out), rows[i].want);
    }
}

/* Every line ends in CRLF, is at most `limit`, and holds no other control byte; gives the number of header fields. */
static unsigned lines_checked(const char *row, struct slice mail, size_t limit)
{
    unsigned fields = 0;
    for (size_t at = 0; at < mail.len;) {
        const char *end = memmem(mail.ptr + at, mail.len - at, "\r\n", 2);
        assert_row(row, end != NULL);
        struct slice line = slice_of(mail.ptr + at, (size_t)(end - mail.ptr) - at);
        assert_row(row, line.len <= limit);
        for (size_t i = 0; i < line.len; i++)
            assert_row(row, (unsigned char)line.ptr[i] >= 0x20 && line.ptr[i] != 0x7f);
        fields += line.len && line.ptr[0] != ' ';
        at += line.len + 2;
    }
    return fields;
}

/* X3: 10,000 generated naughty strings in every value; never one field more. */
static void naughty_values_add_no_header(void **state)
{
    static const char *const bits[] = {
        "\r",
        "\n",
        "\r\n",
        "\0",
        "Bcc: x@y",
        "=?UTF-8?B?DQo=?=",
        ":",
        " ",
        "\t",
        "\x85",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "あ",
        "\"",
        "\\",
        "<",
        ">",
        "@",
        ",",
        ";",
        "a",
        "\x7f",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "%0d%0a",
        "\xff",
        "'"};
    struct random random;
    random_seed(&random, 3);
    for (int round = 0; round < 10000; round++) {
        SCOPED(buf) value = BUF(8192);
        for (uint64_t n = random_below(&random, 40); n; n--) {
            const char *bit = bits[random_below(&random, COUNT_OF(bits))];
            buf_append(&value, *bit ? slice_str(bit) : slice_of("", 1));
        }
        SCOPED(buf) out = BUF(1 << 20);
        struct slice v = buf_slice(&value);
        header_text(&out, SLICE("Subject"), v);
        unsigned want = 1;
        want += header_mailbox(&out, SLICE("From"), v, SLICE("a@example.jp"));
        want += header_mailbox(&out, SLICE("To"), SLICE("x"), v);
        want += header_tokens(&out, SLICE("List-Id"), v);
        buf_text(&out, "Content-Disposition: attachment");
        header_parameter(&out, SLICE("filename"), v, 31);
        buf_text(&out, "\r\nMessage-ID: ");
        message_id_make(&out, 7, v);
        buf_text(&out, "\r\n");
        assert_int_row("fields", lines_checked("naughty", buf_slice(&out), 998), want + 2);
    }
}

static void a_whole_mail(void **state)
{
    const struct part alternatives[] = {
        {.kind = PART_TEXT, .type = SLICE("text/plain"), .content = SLICE("Hello\nworld\n")},
        {.kind = PART_TEXT, .type = SLICE("text/html"), .content = SLICE("<p>こんにちは</p>\n")},
    };
    const struct part parts[] = {
        {.kind = PART_MULTIPART, .type = SLICE("multipart/alternative"), .children = alternatives, .child_count = 2},
        {.kind = PART_FILE, .type = SLICE("application/pdf"), .content = SLICE("%PDF"), .filename = SLICE("案内.pdf")},
        {.kind = PART_FILE, .type = SLICE("image/png"), .content = SLICE("png"), .content_id = SLICE("logo@x")},
    };
    const struct part body = {
        .kind = PART_MULTIPART, .type = SLICE("multipart/mixed"), .children = parts, .child_count = 3};
    const struct mail_draft draft = {.from_name = SLICE("Todoke"),
                                     .from_address = SLICE("no-reply@example.jp"),
                                     .to_address = SLICE("a@example.com"),
                                     .subject = SLICE("Hi"),
                                     .message_domain = SLICE("example.jp"),
                                     .auto_submitted = SLICE("auto-generated"),
                                     .date = SECONDS_MS(1700000000),
                                     .date_offset_minutes = 540,
                                     .id = 1,
                                     .body = &body};
    SCOPED(buf) out = BUF(1 << 16);
    struct fault why;
    assert_true(mail_write(&out, &draft, &why));
    assert_slice("the mail", buf_slice(&out),
                 SLICE("Date: Wed, 15 Nov 2023 07:13:20 +0900\r\n"
                       "From: Todoke <no-reply@example.jp>\r\n"
                       "To: a@example.com\r\n"
                       "Subject: Hi\r\n"
                       "Message-ID: <todoke.0000000000000001@example.jp>\r\n"
                       "Auto-Submitted: auto-generated\r\n"
                       "MIME-Version: 1.0\r\n"
                       "Content-Type: multipart/mixed; boundary=\"=_aaaaaaaaaaaac_0\"\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_0\r\n"
                       "Content-Type: multipart/alternative; boundary=\"=_aaaaaaaaaaaac_1\"\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_1\r\n"
                       "Content-Type: text/plain; charset=utf-8\r\n"
                       "Content-Transfer-Encoding: 7bit\r\n"
                       "\r\n"
                       "Hello\r\nworld\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_1\r\n"
                       "Content-Type: text/html; charset=utf-8\r\n"
                       "Content-Transfer-Encoding: base64\r\n"
                       "\r\n"
                       "PHA+44GT44KT44Gr44Gh44GvPC9wPg0K\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_1--\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_0\r\n"
                       "Content-Type: application/pdf\r\n"
                       "Content-Transfer-Encoding: base64\r\n"
                       "Content-Disposition: attachment; filename*=UTF-8''%E6%A1%88%E5%86%85.pdf\r\n"
                       "\r\n"
                       "JVBERg==\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_0\r\n"
                       "Content-Type: image/png\r\n"
                       "Content-Transfer-Encoding: base64\r\n"
                       "Content-ID: <logo@x>\r\n"
                       "Content-Disposition: inline\r\n"
                       "\r\n"
                       "cG5n\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_0--\r\n"));
    lines_checked("mail", buf_slice(&out), 78);
}

static void what_is_refused(void **state)
{
    struct fault why;
    SCOPED(buf) out = BUF(1 << 16);
    struct part eight = {
        .kind = PART_MESSAGE, .type = SLICE("message/rfc822"), .content = SLICE("Subject: x\n\n\xe3\x81\x82\n")};
    assert_false(part_write(&out, &eight, 1, &why));
    assert_string_equal(why.text, "a message/rfc822 part is not clean 7bit at its line 3");
    struct part deep[40];
    for (int i = 0; i < 40; i++)
        deep[i] = (struct part){
            .kind = PART_MULTIPART, .type = SLICE("multipart/mixed"), .children = deep + i + 1, .child_count = i < 39};
    assert_false(part_write(&out, deep, 1, &why));
    assert_string_equal(why.text, "parts nested deeper than 32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_headers),
        cmocka_unit_test(mailbox_headers),
        cmocka_unit_test(token_headers),
        cmocka_unit_test(parameters),
        cmocka_unit_test(naughty_values_add_no_header),
        cmocka_unit_test(a_whole_mail),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
