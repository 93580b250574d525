/* M31-M33, X5: what our signatures cover and how they look; canonical forms of RFC 6376 3.4.5 */
#include "base/random.h"
#include "base/test.h"
#include "mailauth/canonical.h"
#include "mailauth/dkim_sign.h"

static const struct slice mail = SLICE_INIT("Date: Wed, 15 Nov 2023 07:13:20 +0900\r\n"
                                            "From: Todoke <no-reply@example.jp>\r\n"
                                            "To: a@example.com\r\n"
                                            "Subject: Hi\r\n"
                                            "Message-ID: <x@example.jp>\r\n"
                                            "List-Unsubscribe: <https://example.jp/u>\r\n"
                                            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
                                            "Feedback-ID: 1:2:3:x\r\n"
                                            "MIME-Version: 1.0\r\n"
                                            "Content-Type: text/plain\r\n"
                                            "\r\n"
                                            "Hello  there \r\n\r\n\r\n");

static void fields_are_canonical(void **state)
{
    /* RFC 6376 3.4.5 */
    struct fields fields;
    fields_split(SLICE("A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"), &fields);
    assert_int_equal(fields.count, 2);
    SCOPED(buf) out = BUF(100);
    field_relaxed(&out, fields.field[0]);
    buf_byte(&out, '|');
    field_relaxed(&out, fields.field[1]);
    assert_slice("relaxed", buf_slice(&out), SLICE("a:X|b:Y Z"));
    buf_reset(&out);
    field_simple(&out, fields.field[1]);
    assert_slice("simple", buf_slice(&out), SLICE("B : Y\t\r\n\tZ  "));
    fields_release(&fields);
}

/* The canonical body by the letter of the RFC, slow and plain: the judge of the fast one. */
static void body_slow(struct buf *out, struct slice body, bool is_relaxed)
{
    struct slice line;
    size_t kept = 0;
    while (slice_line(&body, &line)) {
        while (is_relaxed && line.len && (line.ptr[line.len - 1] == ' ' || line.ptr[line.len - 1] == '\t'))
            line.len--;
        for (size_t i = 0; i < line.len; i++) {
            bool is_blank = line.ptr[i] == ' ' || line.ptr[i] == '\t';
            if (!is_relaxed || !is_blank)
                buf_byte(out, line.ptr[i]);
            else if (i == 0 || (line.ptr[i - 1] != ' ' && line.ptr[i - 1] != '\t'))
                buf_byte(out, ' ');
        }
        buf_text(out, "\r\n");
        if (line.len)
            kept = out->len;
    }
    out->len = kept;
    if (!kept && !is_relaxed)
        buf_text(out, "\r\n");
}

static void check_body(const char *row, struct slice body, bool is_relaxed)
{
    unsigned char fast[32], slow[32];
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_DigestInit(digest, EVP_sha256());
    uint64_t len = body_digest(digest, body, is_relaxed, UINT64_MAX);
    EVP_DigestFinal(digest, fast, NULL);
    EVP_MD_CTX_free(digest);
    SCOPED(buf) out = BUF(1 << 20);
    body_slow(&out, body, is_relaxed);
    if (buf_slice(&out).len == 0)
        EVP_Digest("", 0, slow, NULL, EVP_sha256(), NULL);
    else
        EVP_Digest(out.ptr, out.len, slow, NULL, EVP_sha256(), NULL);
    assert_int_row(row, len, out.len);
    assert_row(row, memcmp(fast, slow, 32) == 0);
}

static void bodies_are_canonical(void **state)
{
    static const struct slice rows[] = {
        SLICE_INIT(""),           SLICE_INIT("\r\n"),
        SLICE_INIT("\r\n\r\n"),   SLICE_INIT(" C \r\nD \t E\r\n\r\n\r\n"),
        SLICE_INIT("no end"),     SLICE_INIT("a\n\nb"),
        SLICE_INIT(" "),          SLICE_INIT("  \r\n \t\r\nx"),
        SLICE_INIT("x\r\n \r\n"), SLICE_INIT("0123456789abcdef 0123456789abcdef\r\nx\r\n\r\ny\r\n"),
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int is_relaxed = 0; is_relaxed < 2; is_relaxed++)
            check_body(rows[i].ptr, rows[i], is_relaxed);
    static const char *const bits[] = {
        " ", "\t", "\r\n", "\r\n", "a", "word", "\xe3\x81\x82", "=3D", "0123456789012345", "  ", "\n", "!"};
    struct random random;
    random_seed(&random, 1);
    for (int round = 0; round < 20000; round++) {
        SCOPED(buf) body = BUF(1 << 16);
        for (uint64_t n = random_below(&random, round % 100 ? 30 : 3000); n; n--)
            buf_str(&body, bits[random_below(&random, COUNT_OF(bits))]);
        check_body("random", buf_slice(&body), round % 2);
    }
    static const char *const words[] = {"word ", "a ", "somewhat longer ", "\x80\xff ", "\x7f", "x\r\n", "abcdefg\r\n"};
    static const char *const rare[] = {"\r", "\x01", "\x1f ", " ", "\t", " \r\n", "\n"};
    for (int round = 0; round < 20000; round++) { /* as mails are: long stretches that are canonical already */
        SCOPED(buf) body = BUF(1 << 16);
        for (uint64_t n = random_below(&random, 60); n; n--)
            buf_str(&body, random_below(&random, 40) ? words[random_below(&random, COUNT_OF(words))]
                                                     : rare[random_below(&random, COUNT_OF(rare))]);
        check_body("words", buf_slice(&body), true);
    }
}

static struct dkim_signer *signer_of(const struct dkim_key *rsa, const struct dkim_key *ed)
{
    const struct dkim_identity identities[] = {{SLICE("example.jp"), SLICE("s1"), rsa},
                                               {SLICE("example.jp"), SLICE("e1"), ed}};
    struct dkim_signer *signer;
    struct fault why;
    assert_true(dkim_signer_new(identities, 2, &signer, &why));
    return signer;
}

static void a_signature_covers_what_it_must(void **state)
{
    struct dkim_key *rsa = dkim_key_generate(DKIM_RSA_SHA256), *ed = dkim_key_generate(DKIM_ED25519_SHA256);
    struct dkim_signer *signer = signer_of(rsa, ed);
    struct fault why;
    SCOPED(buf) out = BUF(1 << 16);
    SCOPED(buf) again = BUF(1 << 16);
    assert_true(dkim_sign(signer, mail, 1700000000, &out, &why));
    assert_true(dkim_sign(signer, mail, 1700000000, &again, &why));
    assert_slice("the same bytes again", buf_slice(&again), buf_slice(&out));
    assert_true(slice_starts(
        buf_slice(&out),
        SLICE("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.jp;\r\n"
              "\ts=s1; t=1700000000;\r\n\th=From:From:Subject:Subject:Date:Date:To:To:Reply-To:Content-Type:\r\n"
              "\tContent-Type:Message-ID:MIME-Version:List-Unsubscribe:\r\n"
              "\tList-Unsubscribe-Post:Feedback-ID;\r\n\tbh=")));
    assert_true(slice_find(buf_slice(&out), SLICE("DKIM-Signature: v=1; a=ed25519-sha256;")) > 0);
    assert_true(slice_find(buf_slice(&out), SLICE(" l=")) == SLICE_NPOS &&
                slice_find(buf_slice(&out), SLICE("\tl=")) == SLICE_NPOS);
    struct slice rest = buf_slice(&out), line;
    while (slice_line(&rest, &line))
        assert_true(line.len <= 78);
    assert_true(out.len < 2 * DKIM_HEADER_ROOM);
    assert_false(dkim_sign(signer, SLICE("To: a\r\n\r\nx"), 1, &out, &why));
    assert_string_equal(why.text, "a mail without From cannot be signed");
    dkim_signer_free(signer);
    dkim_key_free(rsa);
    dkim_key_free(ed);
}

static void keys_go_out_and_come_back(void **state)
{
    for (int algorithm = DKIM_RSA_SHA256; algorithm <= DKIM_ED25519_SHA256; algorithm++) {
        struct dkim_key *key = dkim_key_generate(algorithm), *back;
        SCOPED(buf) pem = BUF(1 << 16);
        SCOPED(buf) record = BUF(4096);
        SCOPED(buf) again = BUF(4096);
        struct fault why;
        dkim_key_write(key, &pem);
        assert_true(dkim_key_read(buf_slice(&pem), &back, &why));
        dkim_key_record(key, &record);
        dkim_key_record(back, &again);
        assert_slice("record", buf_slice(&again), buf_slice(&record));
        dkim_key_free(key);
        dkim_key_free(back);
    }
    struct dkim_key *none;
    struct fault why;
    assert_false(
        dkim_key_read(SLICE("-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----\n"), &none, &why));
    assert_false(dkim_key_read(SLICE(""), &none, &why));
    SCOPED(buf) zone = BUF(4096);
    dkim_record_zone(&zone, SLICE("s1"), SLICE("example.jp"), SLICE("v=DKIM1; p=x"));
    assert_slice("zone", buf_slice(&zone), SLICE("s1._domainkey.example.jp. IN TXT ( \"v=DKIM1; p=x\" )\n"));
}

static void names_that_are_none(void **state)
{
    static const struct {
        const char *domain, *selector;
    } rows[] = {{"", "s"},    {"example.jp", ""}, {"a;b", "s"},  {"a\r\nb", "s"},
                {"a b", "s"}, {".jp", "s"},       {"a..jp", "s"}};
    struct dkim_key *key = dkim_key_generate(DKIM_ED25519_SHA256);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct dkim_identity identity = {slice_str(rows[i].domain), slice_str(rows[i].selector), key};
        struct dkim_signer *signer;
        struct fault why;
        assert_false(dkim_signer_new(&identity, 1, &signer, &why));
    }
    dkim_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_canonical),
        cmocka_unit_test(bodies_are_canonical),
        cmocka_unit_test(a_signature_covers_what_it_must),
        cmocka_unit_test(keys_go_out_and_come_back),
        cmocka_unit_test(names_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
