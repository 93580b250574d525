/* S27: files for download in a mail: by name in a template, and as the block of attachments that go as links */
#include "base/base64.h"
#include "base/percent.h"
#include "base/test.h"
#include "content/compose.h"
#include "mailauth/testing.h"
#include <jansson.h>

#define EXPIRES (SECONDS_MS(1700000000) + DAYS_MS(30))

struct fixture {
    struct token_ring ring;
    bool is_lost;
};

static bool find_file(void *context, struct slice name, struct content_link *link, struct fault *why)
{
    const struct fixture *f = context;
    if (f->is_lost)
        return fault_set(why, FAULT_WORLD, "the store is lost");
    *link = (struct content_link){77, name, 32100000, EXPIRES};
    return slice_equal(name, SLICE("カタログ.pdf"));
}

static const struct content_link links[] = {{5, SLICE_INIT("見積 <b>.pdf"), 640, EXPIRES},
                                            {6, SLICE_INIT("b.zip"), 12000000, EXPIRES}};

static void quoted_decode(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        int byte = percent_digits(text, i + 1);
        if (text.ptr[i] != '=') {
            buf_byte(out, text.ptr[i]);
        } else if (i + 2 < text.len && text.ptr[i + 1] == '\r') {
            i += 2;
        } else if (byte >= 0) {
            buf_byte(out, (char)byte);
            i += 2;
        }
    }
}

/* Every part one behind the other, base64 and quoted-printable undone. */
static void decode(struct slice mail, struct buf *out)
{
    SCOPED(buf) part = BUF(1 << 20);
    SCOPED(buf) plain = BUF(1 << 20);
    struct slice line;
    bool is_base64 = false, in_body = false;
    while (slice_line(&mail, &line)) {
        if (slice_starts(line, SLICE("--=_"))) {
            assert_true(!is_base64 || base64_decode(&plain, buf_slice(&part)));
            if (!is_base64)
                quoted_decode(buf_slice(&part), &plain);
            buf_reset(&part);
            is_base64 = in_body = false;
        }
        is_base64 |= slice_equal(line, SLICE("Content-Transfer-Encoding: base64"));
        in_body |= !line.len;
        if (in_body || !is_base64)
            buf_append(&part, line);
        if (!in_body || !is_base64)
            buf_text(&part, "\r\n");
        if (is_base64 && !in_body)
            buf_reset(&part);
    }
    if (is_base64)
        assert_true(base64_decode(&plain, buf_slice(&part)));
    else
        quoted_decode(buf_slice(&part), &plain);
    buf_append(out, buf_slice(&plain));
}

/* The decoded text and HTML of the mail, one behind the other; "" : a fault. */
static struct slice mail_of(struct fixture *f, const char *html, const char *text, const char *data,
                            const struct content_link *with, size_t count, struct buf *out, struct fault *why)
{
    const struct content_source source = {.subject = SLICE("s"),
                                          .html = slice_str(html),
                                          .text = slice_str(text),
                                          .from_address = SLICE("a@example.jp"),
                                          .links = with,
                                          .link_count = count};
    json_t *json = json_loads(data, 0, NULL);
    struct content *content;
    SCOPED(composed) composed = {0};
    struct compose_job job = {.delivery_id = 9,
                              .date = SECONDS_MS(1700000000),
                              .date_offset_minutes = 540,
                              .to_address = SLICE("b@example.com"),
                              .message_domain = SLICE("example.jp"),
                              .ring = &f->ring,
                              .link_base = SLICE("https://mail.example.jp"),
                              .links_expire = EXPIRES,
                              .data = liquid_json(json),
                              .find_file = find_file,
                              .file_context = f};
    *why = (struct fault){0};
    assert_true(content_compile(&source, &content, why));
    if (compose_mail(content, &job, NULL, &composed, why))
        decode(composed_mail(&composed), out);
    content_free(content);
    json_decref(json);
    return buf_slice(out);
}

static struct slice url_of(struct fixture *f, uint64_t file_id, struct buf *out)
{
    buf_text(out, "https://mail.example.jp/f/");
    token_make(&f->ring, TOKEN_FILE, &(struct token){9, file_id}, EXPIRES, out);
    return buf_slice(out);
}

#define WITH(f)                                                                                                        \
    struct fixture f = {0};                                                                                            \
    struct fault why;                                                                                                  \
    SCOPED(buf) mail = BUF(1 << 20);                                                                                   \
    test_ring(&f.ring, 1)

static void a_template_names_a_file(void **state)
{
    WITH(f);
    SCOPED(buf) url = BUF(500);
    struct slice got = mail_of(&f, "<a href=\"{{ file[\"カタログ.pdf\"].url }}\">x</a>",
                               "{{ file[\"カタログ.pdf\"].name }}|{{ file[plan].size }}|{{ file[plan].bytes }}|"
                               "{{ file[plan].expires | date: \"%Y-%m-%d\" }}|\n{{ file[plan].until }}|",
                               "{\"plan\": \"カタログ.pdf\"}", NULL, 0, &mail, &why);
    assert_true(slice_find(got, url_of(&f, 77, &url)) >= 0);
    assert_true(slice_find(got, SLICE("カタログ.pdf|32 MB|32100000|2023-12-15|")) >= 0);
    assert_true(slice_find(got, SLICE("2023年12月15日 7:13 まで|")) >= 0);
    token_ring_release(&f.ring);
}

static void a_file_that_is_not_there_stops_the_mail(void **state)
{
    WITH(f);
    assert_int_equal(mail_of(&f, "", "{{ file[\"gone.pdf\"].url }}", "{}", NULL, 0, &mail, &why).len, 0);
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_true(slice_find(slice_str(why.text), SLICE("gone.pdf")) >= 0);
    f.is_lost = true;
    assert_int_equal(mail_of(&f, "", "{{ file[\"カタログ.pdf\"].url }}", "{}", NULL, 0, &mail, &why).len, 0);
    assert_int_equal(why.kind, FAULT_WORLD); /* later */
    /* a field of the sender's own goes before */
    assert_true(slice_find(mail_of(&f, "", "{{ file.a }}!", "{\"file\": {\"a\": \"mine\"}}", NULL, 0, &mail, &why),
                           SLICE("mine!")) >= 0);
    token_ring_release(&f.ring);
}

static void attachments_as_links(void **state)
{
    static const struct {
        const char *what, *html, *data, *want;
    } rows[] = {
        {"as the mail is: Japanese", "<html><body>ご案内</body></html>", "{}", "2023年12月15日 7:13 まで"},
        {"as the mail is: English", "<html><body>Hello</body></html>", "{}", "until 2023-12-15 7:13 (UTC+09:00)"},
        {"as the person is", "<html><body>ご案内</body></html>", "{\"lang\": \"en\"}", "until 2023-12-15"},
        {"as the contact is", "<p>Hello</p>", "{\"contact\": {\"language\": \"ja-JP\"}}", "まで"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        WITH(f);
        SCOPED(buf) url = BUF(500);
        struct slice got = mail_of(&f, rows[i].html, "", rows[i].data, links, COUNT_OF(links), &mail, &why);
        struct slice one = url_of(&f, 5, &url);
        ptrdiff_t text = slice_find(got, one), end = slice_find(got, SLICE("</body>")), html;
        assert_row(rows[i].what, text >= 0 && slice_find(got, slice_str(rows[i].want)) >= 0);
        assert_row(rows[i].what, slice_find(got, SLICE("見積 <b>.pdf (640 B)")) >= 0);   /* in the text */
        assert_row(rows[i].what, slice_find(got, SLICE("見積 &lt;b&gt;.pdf</a>")) >= 0); /* in the HTML */
        html = slice_find(slice_from(got, (size_t)text + 1), one);
        assert_row(rows[i].what, html >= 0 && text + 1 + html < end);
        buf_reset(&url);
        assert_row(rows[i].what, slice_find(got, url_of(&f, 6, &url)) >= 0 && slice_find(got, SLICE("12 MB")) >= 0);
        token_ring_release(&f.ring);
    }
}

static void a_text_mail_and_a_link_by_its_name(void **state)
{
    WITH(f);
    SCOPED(buf) url = BUF(500);
    struct slice got = mail_of(&f, "", "Hi {{ file[\"b.zip\"].url }} .", "{}", links, 2, &mail, &why);
    ptrdiff_t at = slice_find(got, url_of(&f, 6, &url));
    assert_true(at >= 0 && slice_find(got, SLICE("multipart")) < 0);
    assert_true(slice_find(slice_from(got, (size_t)at + 1), buf_slice(&url)) >= 0);
    token_ring_release(&f.ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_template_names_a_file),
        cmocka_unit_test(a_file_that_is_not_there_stops_the_mail),
        cmocka_unit_test(attachments_as_links),
        cmocka_unit_test(a_text_mail_and_a_link_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
