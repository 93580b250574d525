/* M26, M30, M46, M47, S46, S47, S59, S82, R2, R22, D07, D09, D27, X3: the mail as it goes on the wire */
#include "base/base64.h"
#include "base/random.h"
#include "base/test.h"
#include "content/body.h"
#include "content/compose.h"
#include "content/twin.h"
#include <jansson.h>

static const struct content_source source = {
    .subject = SLICE_INIT("{{ contact.name | default: \"お客様\" }}様へのお知らせ"),
    .preheader = SLICE_INIT("Only today"),
    .html = SLICE_INIT("<html><body>\n<p>Hello {{ contact.name }}</p>\n<p><a href=\"{{ unsubscribe_url "
                       "}}\">Stop</a></p>\n</body></html>\n"),
    .from_name = SLICE_INIT("Todoke"),
    .from_address = SLICE_INIT("news@example.jp"),
    .reply_to = SLICE_INIT("reply@example.jp"),
    .list_id = SLICE_INIT("news.example.jp"),
};

static struct compose_job job_of(json_t *json)
{
    return (struct compose_job){
        .delivery_id = 1,
        .date = SECONDS_MS(1700000000),
        .date_offset_minutes = 540,
        .to_address = SLICE("a@example.com"),
        .message_domain = SLICE("example.jp"),
        .unsubscribe_url = SLICE("https://example.jp/u/abc"),
        .unsubscribe_mailto = SLICE("mailto:u@example.jp"),
        .feedback_id = SLICE("7:example:campaign:todoke"),
        .data = liquid_json(json),
    };
}

static void the_mail_is_as_it_should_be(void **state)
{
    json_t *json = json_loads("{\"contact\": {\"name\": \"山田<\"}}", 0, NULL);
    struct compose_job job = job_of(json);
    struct content *content;
    struct fault why = {0};
    SCOPED(composed) composed = {0};
    assert_true(content_compile(&source, &content, &why));
    assert_true(compose_mail(content, &job, NULL, &composed, &why));
    assert_slice("mail", composed_mail(&composed),
                 SLICE("Date: Wed, 15 Nov 2023 07:13:20 +0900\r\n"
                       "From: Todoke <news@example.jp>\r\n"
                       "To: a@example.com\r\n"
                       "Subject: =?UTF-8?B?5bGx55SwPOanmOOBuOOBruOBiuefpeOCieOBmw==?=\r\n"
                       "Message-ID: <todoke.0000000000000001@example.jp>\r\n"
                       "Reply-To: reply@example.jp\r\n"
                       "List-Id: <news.example.jp>\r\n"
                       "List-Unsubscribe: <https://example.jp/u/abc>, <mailto:u@example.jp>\r\n"
                       "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
                       "Feedback-ID: 7:example:campaign:todoke\r\n"
                       "MIME-Version: 1.0\r\n"
                       "Content-Type: multipart/alternative; boundary=\"=_aaaaaaaaaaaac_0\"\r\n"
                       "\r\n"
                       "--=_aaaaaaaaaaaac_0\r\n"
                       "Content-Type: text/plain; charset=utf-8\r\n"
                       "Content-Transfer-Encoding: quoted-printable\r\n"
                       "\r\n"
                       "Hello =E5=B1=B1=E7=94=B0<\r\n"
                       "\r\n"
                       "Stop <https://example.jp/u/abc>\r\n"
                       "--=_aaaaaaaaaaaac_0\r\n"
                       "Content-Type: text/html; charset=utf-8\r\n"
                       "Content-Transfer-Encoding: quoted-printable\r\n"
                       "\r\n"
                       "<html><body><div style=3D\"display:none;max-height:0;overflow:hidden;mso-hid=\r\n"
                       "e:all\">Only today</div>\r\n"
                       "\r\n"
                       "<p>Hello=20=E5=B1=B1=E7=94=B0&lt;</p>\r\n"
                       "<p><a href=3D\"https://example.jp/u/abc\">Stop</a></p>\r\n"
                       "</body></html>\r\n"
                       "--=_aaaaaaaaaaaac_0--\r\n"));
    content_free(content);
    json_decref(json);
}

/* R22: a retry is the same mail, byte for byte, signature included. */
static void the_same_inputs_give_the_same_bytes(void **state)
{
    json_t *json = json_loads("{\"contact\": {\"name\": \"山田\"}}", 0, NULL);
    struct compose_job job = job_of(json);
    struct dkim_key *key = dkim_key_generate(DKIM_RSA_SHA256);
    const struct dkim_identity identity = {SLICE("example.jp"), SLICE("s"), key};
    struct dkim_signer *signer;
    struct content *content;
    struct fault why = {0};
    SCOPED(composed) one = {0};
    SCOPED(composed) two = {0};
    assert_true(dkim_signer_new(&identity, 1, &signer, &why));
    assert_true(content_compile(&source, &content, &why));
    assert_true(compose_mail(content, &job, signer, &one, &why));
    job.delivery_id = 2;
    assert_true(compose_mail(content, &job, signer, &two, &why));
    assert_false(slice_equal(composed_mail(&one), composed_mail(&two)));
    job.delivery_id = 1;
    assert_true(compose_mail(content, &job, signer, &two, &why));
    assert_slice("again", composed_mail(&two), composed_mail(&one));
    assert_true(slice_starts(composed_mail(&one), SLICE("DKIM-Signature: v=1; a=rsa-sha256;")));
    assert_true(slice_starts(slice_from(buf_slice(&one.wire), one.unsigned_start), SLICE("Date: ")));
    content_free(content);
    dkim_signer_free(signer);
    dkim_key_free(key);
    json_decref(json);
}

static void decode(struct buf *out, struct slice text, enum transfer transfer)
{
    if (transfer == TRANSFER_BASE64) {
        SCOPED(buf) joined = BUF(8 << 20);
        struct slice line;
        while (slice_line(&text, &line))
            buf_append(&joined, line);
        assert_true(base64_decode(out, buf_slice(&joined)));
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '=') {
            buf_byte(out, text.ptr[i]);
        } else if (text.ptr[i + 1] == '\r') {
            i += 2;
        } else {
            assert_true(hex_decode(out, slice_of(text.ptr + i + 1, 2)));
            i += 2;
        }
    }
}

static void lines_are_fit(struct slice text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\r') {
            assert_true(i + 1 < text.len && text.ptr[i + 1] == '\n');
            i++;
            column = 0;
        } else {
            assert_true(c >= 0x20 && c < 0x7f && ++column <= ENCODED_LINE_COLUMNS);
        }
    }
    assert_true(column == 0);
}

/* What was encoded beforehand and in pieces decodes to the very text that the plain renderer makes. */
static void check_body(struct slice template, json_t *json, size_t columns)
{
    struct fault why = {0};
    struct liquid *liquid;
    SCOPED(arena) arena = {0};
    SCOPED(buf) plain = BUF(8 << 20);
    SCOPED(buf) wrapped = BUF(8 << 20);
    SCOPED(buf) want = BUF(8 << 20);
    SCOPED(buf) out = BUF(8 << 20);
    SCOPED(buf) got = BUF(8 << 20);
    SCOPED(buf) line = BUF(8 << 20);
    SCOPED(buf) scratch = BUF(8 << 20);
    struct liquid_context context = {.root = liquid_json(json), .arena = &arena};
    assert_true(liquid_compile(template, false, &liquid, NULL, &why));
    struct body *body = body_new(liquid, columns);
    assert_true(body_render(body, &context, &out, &line, &scratch, &why));
    assert_true(liquid_render(liquid, &context, &plain, &why));
    if (columns)
        text_wrap(&wrapped, buf_slice(&plain), columns);
    text_crlf(&want, buf_slice(columns ? &wrapped : &plain));
    lines_are_fit(buf_slice(&out));
    decode(&got, buf_slice(&out), body_transfer(body));
    struct slice decoded = buf_slice(&got);
    if (body_transfer(body) == TRANSFER_QUOTED_PRINTABLE && !slice_ends(buf_slice(&want), SLICE("\r\n")) && decoded.len)
        decoded.len -= 2; /* the part's own last line end */
    if (!slice_equal(decoded, buf_slice(&want)))
        fail_msg("template \"%.*s\" columns %zu\ngot  \"%.*s\"\nwant \"%.*s\"", SLICE_ARG(template), columns,
                 SLICE_ARG(decoded), SLICE_ARG(buf_slice(&want)));
    body_free(body);
}

static void pieces_fit_together(void **state)
{
    static const char *const bits[] = {
        "{{ name }}",
        "{{ long }}",
        "{{ lines }}",
        "{{ none }}",
        "\n",
        "\r\n",
        "\n\n",
        " ",
        "a",
        "=",
        ".",
        "From ",
        "word and word ",
        "いろはにほへと、",
        "。",
        "「",
        "</p>",
        "{% for i in list %}{{ i }}様\n{% endfor %}",
        "{% if none %}x{% else %}y\n{% endif %}",
        "A line of plain words that is long enough to be encoded beforehand, and then some more of them.\n",
        "いろはにほへとちりぬるをわかよたれそつねならむうゐのおくやまけふこえてあさきゆめみしゑひもせす\n",
        "https://example.jp/a/rather/long/address/that/nobody/may/break/because/then/it/would/not/work "};
    json_t *json =
        json_loads("{\"name\": \"山田 太郎\", \"long\": \"a value of several words = that is as long as a line, or "
                   "longer even, いろは\","
                   " \"lines\": \"one\\r\\ntwo\\n\\nthree \\rfour\", \"list\": [\"a\", \"いろ\", \"c d e\"]}",
                   0, NULL);
    assert_non_null(json);
    struct random random;
    random_seed(&random, 11);
    for (int round = 0; round < 4000; round++) {
        SCOPED(buf) template = BUF(1 << 16);
        for (uint64_t n = random_below(&random, 25); n; n--)
            buf_str(&template, bits[random_below(&random, COUNT_OF(bits))]);
        check_body(buf_slice(&template), json, round % 3 == 0 ? 0 : round % 3 == 1 ? TWIN_COLUMNS : 20);
    }
    json_decref(json);
}

/* S46: 20 kB in one line, and values with controls, never make a line over 76 in the body. */
static void long_lines_and_odd_values(void **state)
{
    SCOPED(buf) html = BUF(1 << 20);
    buf_text(&html, "<p>{{ v }}</p>");
    for (int i = 0; i < 2000; i++)
        buf_text(&html, "<td>x</td>");
    struct content_source odd = source;
    odd.html = buf_slice(&html);
    odd.subject = SLICE("{{ v }}");
    odd.from_name = SLICE("{{ v }}");
    struct content *content;
    struct fault why = {0};
    assert_true(content_compile(&odd, &content, &why));
    json_t *json = json_pack("{s:s%}", "v", "x\0y\r\nBcc: everybody@example.com\n.\n", (size_t)35);
    assert_non_null(json);
    struct compose_job job = job_of(json);
    job.to_name = SLICE("evil\r\nBcc: b@example.com");
    SCOPED(composed) composed = {0};
    assert_true(compose_mail(content, &job, NULL, &composed, &why));
    struct slice mail = composed_mail(&composed), rest = mail;
    ptrdiff_t body = slice_find(mail, SLICE("\r\n\r\n"));
    assert_true(slice_find(slice_head(mail, (size_t)body), SLICE("\nBcc")) == SLICE_NPOS);
    for (size_t at = 0; at < mail.len;) {
        ptrdiff_t end = slice_find(slice_from(mail, at), SLICE("\r\n"));
        assert_true(end >= 0 && end <= 78);
        assert_true(slice_find_byte(slice_of(mail.ptr + at, (size_t)end), '\n') == SLICE_NPOS);
        at += (size_t)end + 2;
    }
    (void)rest;
    content_free(content);
    json_decref(json);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *row;
        size_t field;
        struct slice value;
        const char *want;
    } rows[] = {
        {"subject", offsetof(struct content_source, subject), SLICE_INIT("{{ x | y }}"),
         "subject, line 1, column 8: there is no filter \"y\""},
        {"html", offsetof(struct content_source, html), SLICE_INIT("<html><body>\n{% if %}"),
         "html, line 2, column 7: something is missing here"},
        {"preheader", offsetof(struct content_source, preheader), SLICE_INIT("{{"),
         "preheader, line 1, column 1: {{ is not closed by }}"},
        {"text", offsetof(struct content_source, text), SLICE_INIT("{% end %}"),
         "text, line 1, column 4: there is no tag \"end\" here"},
        {"from", offsetof(struct content_source, from_address), SLICE_INIT("a@b>\r\nX: y"),
         "from_address, line 1, column 1: \"a@b>  X: y\" is no address"},
        {"reply_to", offsetof(struct content_source, reply_to), SLICE_INIT("nobody"),
         "reply_to, line 1, column 1: \"nobody\" is no address"},
        {"list_id", offsetof(struct content_source, list_id), SLICE_INIT("a b"),
         "list_id, line 1, column 2: only letters, digits, \"-\", \"_\" and \".\""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct content_source wrong = source;
        struct content *content;
        struct fault why = {0};
        *(struct slice *)(void *)((char *)&wrong + rows[i].field) = rows[i].value;
        assert_row(rows[i].row, !content_compile(&wrong, &content, &why));
        assert_slice(rows[i].row, slice_str(why.text), slice_str(rows[i].want));
    }
    struct content_source dividing = source;
    struct content *content;
    struct fault why = {0};
    SCOPED(composed) composed = {0};
    struct compose_job job = job_of(NULL);
    dividing.html = SLICE("<p>\n{{ 1 | divided_by: x.y }}");
    assert_true(content_compile(&dividing, &content, &why));
    assert_false(compose_mail(content, &job, NULL, &composed, &why));
    assert_slice("rendering", slice_str(why.text), SLICE("text, line 1, column 8: this filter needs a number"));
    job.to_address = SLICE("a b@example.com");
    assert_false(compose_mail(content, &job, NULL, &composed, &why));
    job.to_address = SLICE("a@example.com");
    job.unsubscribe_url = SLICE("https://example.jp/>, <x");
    assert_false(compose_mail(content, &job, NULL, &composed, &why));
    content_free(content);
}

/* X3: whatever stands in a header's value is one line; what is ours cannot be set */
static void a_senders_own_headers(void **state)
{
    static const struct {
        const char *name, *value, *want; /* want NULL: refused */
    } table[] = {
        {"X-Order", "12", "X-Order: 12\r\n"},
        {"X-Evil", "a\r\nBcc: x@y", "X-Evil: a  Bcc: x@y\r\n"},
        {"In-Reply-To", "<a@b>", "In-Reply-To: <a@b>\r\n"},
        {"Bcc", "x@y", NULL},
        {"bcc", "x@y", NULL},
        {"Content-Type", "text/html", NULL},
        {"X-Todoke-Tag", "a", NULL},
        {"List-Unsubscribe-Post", "a", NULL},
        {"X A", "a", NULL},
        {"X:", "a", NULL},
        {"X-\r\nBcc", "a", NULL},
        {"", "a", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct content_source own = source;
        const struct content_header header = {slice_str(table[i].name), slice_str(table[i].value)};
        json_t *json = json_loads("{}", 0, NULL);
        struct compose_job job = job_of(json);
        struct content *content;
        struct fault why = {0};
        SCOPED(composed) composed = {0};
        own.headers = &header;
        own.header_count = 1;
        bool ok = content_compile(&own, &content, &why);
        assert_row(table[i].name, ok == (table[i].want != NULL));
        if (ok) {
            assert_true(compose_mail(content, &job, NULL, &composed, &why));
            assert_row(table[i].name, slice_find(composed_mail(&composed), slice_str(table[i].want)) != SLICE_NPOS);
            assert_row(table[i].name, slice_find(composed_mail(&composed), SLICE("\nBcc")) == SLICE_NPOS);
            content_free(content);
        }
        json_decref(json);
    }
}

static void files_go_with_the_mail(void **state)
{
    static const struct content_file files[] = {
        {SLICE_INIT("請求書.pdf"), SLICE_INIT("application/pdf"), SLICE_INIT("%PDF\0\xff"), {0}},
        {SLICE_INIT("logo.png"), SLICE_INIT("image/png"), SLICE_INIT("PNG"), SLICE_INIT("logo@shop")},
    };
    struct content_source own = source;
    own.files = files;
    own.file_count = 2;
    json_t *json = json_loads("{}", 0, NULL);
    struct compose_job job = job_of(json);
    struct content *content;
    struct fault why = {0};
    SCOPED(composed) composed = {0};
    assert_true(content_compile(&own, &content, &why));
    assert_true(compose_mail(content, &job, NULL, &composed, &why));
    static const char *const wants[] = {
        ("Content-Type: multipart/mixed; boundary=\"=_aaaaaaaaaaaac_1\"\r\n\r\n--=_aaaaaaaaaaaac_1\r\nContent-Type: "
         "multipart/alternative"),
        "JVBERgD/", "--=_aaaaaaaaaaaac_1\r\nContent-Type: image/png", "Content-ID: <logo@shop>",
        "\r\n--=_aaaaaaaaaaaac_1--\r\n"};
    for (size_t i = 0; i < COUNT_OF(wants); i++)
        assert_row(wants[i], slice_find(composed_mail(&composed), slice_str(wants[i])) != SLICE_NPOS);
    content_free(content);
    static const char *const wrong[] = {"text",           "text/",       "multipart/mixed",
                                        "message/rfc822", "a/b\r\nX: y", "a/b; c=d"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        const struct content_file file = {SLICE("a"), slice_str(wrong[i]), SLICE("b"), {0}};
        own.files = &file;
        own.file_count = 1;
        assert_row(wrong[i], !content_compile(&own, &content, &why));
    }
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_senders_own_headers),       cmocka_unit_test(files_go_with_the_mail),
        cmocka_unit_test(the_mail_is_as_it_should_be), cmocka_unit_test(the_same_inputs_give_the_same_bytes),
        cmocka_unit_test(pieces_fit_together),         cmocka_unit_test(long_lines_and_odd_values),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
