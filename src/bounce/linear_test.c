/* X11: strangers' mail takes its readers time in proportion to its size, whatever is repeated in it. Four times the
 * mail may take eight times the time: a square would take sixteen times. */
#include "base/buf.h"
#include "base/test.h"
#include "bounce/read.h"
#include <stdlib.h>

enum { SMALL = 512 << 10, TIMES = 4, TIMES_MOST = 8 };

struct fixture {
    struct rules *rules;
    struct rules_scratch *scratch;
};

static int open_rules(void **state)
{
    struct fixture *f = NEW(struct fixture);
    struct fault why;
    if (!rules_open(&f->rules, &why))
        return -1;
    f->scratch = rules_scratch_new(f->rules);
    *state = f;
    return 0;
}

static int close_rules(void **state)
{
    struct fixture *f = *state;
    rules_scratch_free(f->scratch);
    rules_free(f->rules);
    free(f);
    return 0;
}

static double mail_seconds(const struct fixture *f, struct slice bytes)
{
    struct arena arena = {0};
    struct mime_mail mail;
    struct bounce bounce;
    double begun = test_cpu_seconds();
    mime_read(bytes, &arena, &mail);
    bounce_read(&mail, f->rules, f->scratch, &arena, &bounce);
    double took = test_cpu_seconds() - begun;
    arena_release(&arena);
    return took;
}

/* A header's value by all that reads values. */
static double value_seconds(const struct fixture *f, struct slice value)
{
    struct arena arena = {0};
    struct slice found[64];
    double begun = test_cpu_seconds();
    mime_text(value, &arena);
    mime_addresses(value, found, COUNT_OF(found));
    mime_param(value, SLICE("filename"), &arena);
    mime_angle(value);
    double took = test_cpu_seconds() - begun;
    arena_release(&arena);
    return took;
}

struct text {
    const struct fixture *f;
    struct slice bytes;
    double (*seconds)(const struct fixture *f, struct slice bytes);
};
static double text_cost(const void *context, size_t size)
{
    const struct text *text = context;
    return text->seconds(text->f, slice_head(text->bytes, size));
}

static void check(const struct fixture *f, const char *name, double (*seconds)(const struct fixture *f, struct slice),
                  const char *head, const char *piece)
{
    SCOPED(buf) bytes = BUF(SMALL * TIMES + 4096);
    buf_str(&bytes, head);
    while (bytes.len < SMALL * TIMES)
        buf_str(&bytes, piece);
    struct text text = {f, buf_slice(&bytes), seconds};
    double growth = test_cost_growth(text_cost, &text, SMALL, TIMES, TIMES_MOST);
    if (growth > TIMES_MOST)
        fail_msg("%s: %d times as much takes %.1f times the time", name, TIMES, growth);
}

#define DSN                                                                                                            \
    "From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail Returned to Sender\n"                                   \
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
#define TEXT "From: MAILER-DAEMON@mx.example\nSubject: Returned mail\n\n"

static void mails(void **state)
{
    static const struct {
        const char *name, *head, *piece;
    } rows[] = {
        {"boundaries", DSN, "--b\n"},
        {"boundaries that are nearly ours", DSN, "--bX: y\n"},
        {"nested parts", DSN, "--b\nContent-Type: multipart/mixed; boundary=b\n\n"},
        {"fake recipients", DSN "--b\nContent-Type: message/delivery-status\n\n",
         "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n"},
        {"one recipient with endless fields",
         DSN "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.example\n",
         "Diagnostic-Code: smtp; 550 5.1.1 no\n"},
        {"one endless diagnostic",
         DSN "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.example\nDiagnostic-Code: ",
         "550 5.1.1 user unknown "},
        {"folds in a diagnostic",
         DSN "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.example\nDiagnostic-Code: x",
         "\n y"},
        {"header fields", "", "X: y\n"},
        {"one header line", "Subject: ", "x"},
        {"folded lines of a header", "Subject: x\n", " y\n"},
        {"colons", "", ":"},
        {"empty lines", TEXT, "\n"},
        {"bare CR", TEXT, "\r"},
        {"one line of text", TEXT, "user unknown "},
        {"addresses", TEXT, "<a@b.example>\n"},
        {"addresses in one line", TEXT, "<a@b.example> "},
        {"angles that never close", TEXT, "<"},
        {"at signs", TEXT, "@a"},
        {"replies", TEXT, "<a@b.example>: 550 5.1.1 user unknown\n"},
        {"mails quoted in mails", TEXT, "----- Original message -----\nFrom: a@b.example\nSubject: x\n\n"},
        {"HTML tags", "From: postmaster@a.example\nContent-Type: text/html\n\n", "<b>"},
        {"HTML that never ends", "From: postmaster@a.example\nContent-Type: text/html\n\n", "<b "},
        {"HTML entities", "From: postmaster@a.example\nContent-Type: text/html\n\n", "&amp;"},
        {"soft line ends", TEXT "Content-Transfer-Encoding: quoted-printable\n\n", "=\n"},
        {"escapes of ISO-2022-JP", "From: postmaster@a.example\nContent-Type: text/plain; charset=iso-2022-jp\n\n",
         "\x1b$B\x1b(B"},
        {"base64 of little", "From: postmaster@a.example\nContent-Transfer-Encoding: base64\n\n", "QQ==\n"},
        {"JSON", "From: postmaster@a.example\nContent-Type: application/json\n\n", "{\"a\":["},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check(*state, rows[i].name, mail_seconds, rows[i].head, rows[i].piece);
}

static void values(void **state)
{
    static const struct {
        const char *name, *head, *piece;
    } rows[] = {
        {"comments that nest", "", "("},
        {"comments that end", "", "()"},
        {"commas", "", ","},
        {"addresses", "", "a@b.example, "},
        {"groups", "", "a: b@c.example; "},
        {"groups that never end", "", "a:"},
        {"quotes", "", "\"a\" "},
        {"a quote that never ends", "\"", "\\\""},
        {"encoded words", "", "=?utf-8?q?=41?= "},
        {"encoded words that never end", "", "=?utf-8?q?"},
        {"question marks", "=", "?="},
        {"parameters", "text/plain", "; a=b"},
        {"pieces of a parameter (RFC 2231)", "text/plain", "; filename*1=a"},
        {"encoded pieces of a parameter", "text/plain; filename*0*=utf-8''x", "; filename*1*=%41"},
        {"semicolons", "text/plain", ";"},
        {"folds", "x", "\r\n "},
        {"angles", "", "<"},
        {"routes", "<", "@a,"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check(*state, rows[i].name, value_seconds, rows[i].head, rows[i].piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mails), cmocka_unit_test(values)};
    return cmocka_run_group_tests(tests, open_rules, close_rules);
}
