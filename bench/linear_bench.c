/* linear_bench.c - every reader of strangers' bytes takes time in proportion to them (RELIABILITY X11)
 *
 *     linear_bench [--quick] [NAME]      only the rows whose reader or generator contains NAME
 *
 * Each row is a reader, and bytes that are made to be slow for it. Each is read in sizes from 1 to 64 MB (or from a
 * 64th of the reader's own ceiling, where it has one, up to that), each twice the one before: none may take more than
 * 2.3 times as long as the one before (and 1 ns an octet: what no longer fits into the caches comes from further away,
 * which is seen where a reader does little else than look at it once). --quick: 128 KB and 512 KB, at most ten times as
 * long (a square would take sixteen times): that is what `./run test` does. Processor time of our own thread, the best
 * of some tries, so that a busy machine changes little; small things are read again and again until they can be
 * measured. Status 1: a row did not hold. */
#include "audience/csv.h"
#include "base/percent.h"
#include "bounce/likeness.h"
#include "content/links.h"
#include "content/liquid.h"
#include "content/twin.h"
#include "dns/packet.h"
#include "http/head.h"
#include "mail/address.h"
#include "mailauth/auth_results.h"
#include "mailauth/canonical.h"
#include "mailauth/dmarc.h"
#include "mailauth/spf.h"
#include "mailauth/sts.h"
#include "mailauth/tags.h"
#include "receive/record.h"
#include "smtp/client.h"
#include "smtp/dots.h"
#include "smtp/reply_reader.h"
#include "smtp/server.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <time.h>

enum { KB = 1 << 10, MB = 1 << 20, TRIES = 8, STEPS = 7, RECORD_MOST = 64 * KB /* of DNS */ };
static const double LEAST_SECONDS = 0.004; /* of one measurement */
static const double NANOSECOND = 1e-9;

struct kit {
    struct rules *rules;
    struct rules_scratch *scratch;
    struct mail_record *record;
    struct arena arena;
    char *room; /* as long as the bytes */
};

/* ── the readers ── */

/* What the jail does with each mail: MIME, bounce, reports, DKIM's canonical forms. */
static void read_mail(struct kit *kit, struct slice bytes)
{
    struct buf out = BUF(512 << 20);
    record_read(bytes, kit->rules, kit->scratch, 1795000000, &kit->arena, kit->record);
    record_write(kit->record, &out);
    struct fault why = {0};
    struct mail_record *back = ARENA_NEW(&kit->arena, struct mail_record);
    if (buf_ok(&out))
        (void)!record_parse(buf_slice(&out), &kit->arena, back, &why);
    buf_release(&out);
}

/* A header's value by all that reads values. */
static void read_value(struct kit *kit, struct slice bytes)
{
    struct slice found[64];
    mime_text(bytes, &kit->arena);
    mime_addresses(bytes, found, COUNT_OF(found));
    mime_param(bytes, SLICE("filename"), &kit->arena);
    mime_angle(bytes);
}

static void read_address(struct kit *kit, struct slice bytes)
{
    struct address address;
    struct fault why = {0};
    (void)!address_parse(bytes, &kit->arena, &address, &why);
    (void)!address_of_person(bytes, &kit->arena, &address, &why);
    address_find(bytes);
    struct slice domain;
    (void)!domain_normalise(bytes, &kit->arena, &domain, &why);
}

static void read_dkim(struct kit *kit, struct slice bytes)
{
    struct dkim_claims *claims = ARENA_NEW(&kit->arena, struct dkim_claims);
    struct fields fields;
    dkim_claims_read(bytes, 1795000000, claims);
    fields_split(bytes, &fields);
    struct buf out = BUF(512 << 20);
    for (size_t i = 0; i < fields.count; i++)
        field_relaxed(&out, fields.field[i]);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    body_digest(digest, fields.body, true, UINT64_MAX);
    EVP_MD_CTX_free(digest);
    buf_release(&out);
    fields_release(&fields);
}

static void read_tags(struct kit *kit, struct slice bytes)
{
    struct tags *tags = ARENA_NEW(&kit->arena, struct tags);
    struct slice id;
    (void)!tags_read(bytes, tags);
    list_holds(bytes, ':', SLICE("nothing"));
    auth_results_claims(bytes, SLICE("mx.example.jp"));
    (void)!sts_record_id(&bytes, 1, &id);
}

static void read_sts(struct kit *kit, struct slice bytes)
{
    struct sts_policy policy;
    struct fault why = {0};
    if (sts_policy_read(bytes, &kit->arena, &policy, &why))
        sts_allows(&policy, SLICE("mx.example.jp"));
}

static void answer_all(struct lookup *lookup, struct slice bytes)
{
    struct slice host = slice_head(bytes, 200);
    for (struct question *question; (question = lookup_next(lookup));) {
        const struct slice record = question->type == QUESTION_A      ? SLICE("\x7f\0\0\1")
                                    : question->type == QUESTION_AAAA ? SLICE("0123456789abcdef")
                                    : question->type == QUESTION_TXT  ? bytes
                                                                      : host;
        lookup_answer(lookup, question, ANSWER_FOUND, &record, 1);
    }
}

static void read_spf(struct kit *kit, struct slice bytes)
{
    struct spf_outcome *outcome = ARENA_NEW(&kit->arena, struct spf_outcome);
    struct lookup lookup = {.arena = &kit->arena};
    const struct spf_input input = {
        .ip = SLICE("\xc0\0\2\1"), .mail_from = SLICE("a.b@example.com"), .helo = SLICE("mx.example")};
    while (!spf_check(&lookup, &input, outcome))
        answer_all(&lookup, bytes);
}

static void read_dmarc(struct kit *kit, struct slice bytes)
{
    struct dmarc_outcome *outcome = ARENA_NEW(&kit->arena, struct dmarc_outcome);
    struct lookup lookup = {.arena = &kit->arena};
    const struct slice domain = SLICE("a.b.example.com");
    const struct dmarc_input input = {domain, &domain, 1, &domain, 1};
    while (!dmarc_check(&lookup, &input, outcome))
        answer_all(&lookup, bytes);
}

static void read_report(struct kit *kit, struct slice bytes)
{
    struct feedback *feedback = ARENA_NEW(&kit->arena, struct feedback);
    struct fault why = {0};
    (void)!feedback_read(bytes, &kit->arena, feedback, &why);
}

/* As they come: by the buffer of a socket. */
enum { PIECE = 16 * KB };

static void read_replies(struct kit *kit, struct slice bytes)
{
    struct reply_reader reader;
    struct smtp_capabilities can = {0};
    struct reply reply;
    reply_reader_init(&reader);
    for (size_t at = 0; at < bytes.len; at += PIECE) {
        struct slice piece = slice_head(slice_from(bytes, at), PIECE);
        enum reply_found found;
        while ((found = reply_read(&reader, &piece, &can, &reply)) != REPLY_MORE) {
            if (found == REPLY_BROKEN) { /* a client hangs up; whoever comes next sends the rest */
                reply_reader_release(&reader);
                reply_reader_init(&reader);
                break;
            }
        }
    }
    reply_reader_release(&reader);
}

static struct smtp_server *session_new(void)
{
    struct smtp_server *server =
        smtp_server_new(&(struct smtp_server_settings){.host_name = SLICE("mx.example"), .size_max = 1u << 30});
    struct smtp_server_event event;
    struct slice nothing = {0};
    struct buf out = BUF(4096);
    while (smtp_server_next(server, &nothing, &event)) /* whoever connects is let in */
        if (event.is_question)
            smtp_server_accept(server);
    smtp_server_write(server, &out);
    buf_release(&out);
    return server;
}

/* The opening line by line, as it must be; then by the buffer. Whoever is thrown out comes again. */
static void read_session(struct kit *kit, struct slice bytes)
{
    struct smtp_server *server = session_new();
    struct buf out = BUF(64 * MB);
    int lines = 4;
    while (bytes.len) {
        ptrdiff_t end = slice_find_byte(slice_head(bytes, 100), '\n');
        size_t len = lines && end >= 0 ? (size_t)end + 1 : PIECE;
        struct slice piece = slice_head(bytes, len);
        bytes = slice_from(bytes, piece.len);
        lines -= lines > 0;
        struct smtp_server_event event;
        bool is_over = false;
        while (!is_over && smtp_server_next(server, &piece, &event)) {
            if (event.is_question)
                smtp_server_accept(server);
            is_over = event.what == SMTP_SERVER_CLOSE;
        }
        buf_reset(&out);
        smtp_server_write(server, &out);
        if (is_over) {
            smtp_server_free(server);
            server = session_new();
        }
    }
    smtp_server_free(server);
    buf_release(&out);
}

static void read_dots(struct kit *kit, struct slice bytes)
{
    struct dot_reader reader = {0};
    struct slice got;
    for (size_t at = 0; at < bytes.len; at += PIECE) {
        struct slice piece = slice_head(slice_from(bytes, at), PIECE);
        while (dots_read(&reader, &piece, &got) == DOTS_BYTES)
            ;
    }
    struct dot_writer writer = {0};
    struct buf out = BUF(4 * PIECE);
    while (bytes.len) {
        buf_reset(&out);
        dots_write(&writer, &bytes, PIECE, &out);
    }
    buf_release(&out);
}

/* A head that comes octet by octet must not be looked through from its front each time. */
static void read_head(struct kit *kit, struct slice bytes)
{
    struct http_head_reader reader = {0};
    struct http_head *head = ARENA_NEW(&kit->arena, struct http_head);
    size_t used;
    for (size_t len = 1; len <= bytes.len; len++)
        if (http_head_read(&reader, slice_head(bytes, len), head, &used) != HTTP_MORE)
            break;
}

static void read_heads(struct kit *kit, struct slice bytes)
{
    struct http_head *head = ARENA_NEW(&kit->arena, struct http_head);
    size_t used = 0;
    while (bytes.len) {
        struct http_head_reader reader = {0};
        enum http_step step = http_head_read(&reader, bytes, head, &used);
        bytes = slice_from(bytes, step == HTTP_DONE && used ? used : HTTP_HEAD_MOST);
    }
}

static void read_chunks(struct kit *kit, struct slice bytes)
{
    size_t used, len;
    struct slice data, rest = bytes;
    struct http_chunks chunks = {0};
    while (rest.len) {
        enum http_step step = http_chunks_read(&chunks, slice_head(rest, PIECE), &used, &data);
        rest = slice_from(rest, used ? used : PIECE);
        if (step != HTTP_MORE)
            chunks = (struct http_chunks){0};
    }
    (void)!percent_decode(bytes, true, kit->room, &len);
}

static void read_json(struct kit *kit, struct slice bytes)
{
    json_error_t wrong;
    json_decref(json_loadb(bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, &wrong));
}

static void read_csv(struct kit *kit, struct slice bytes)
{
    struct fault why = {0};
    struct csv_record record;
    struct csv *csv = csv_open(bytes, "bench", SLICE("auto"), &why);
    while (csv && csv_next(csv, &record, &why))
        ;
    csv_free(csv);
}

static void read_template(struct kit *kit, struct slice bytes)
{
    struct liquid *liquid;
    struct fault why = {0};
    if (!liquid_compile(bytes, true, &liquid, NULL, &why))
        return;
    json_t *data = json_pack("{s:s}", "a", "b");
    struct buf out = BUF(64 * MB);
    const struct liquid_context context = {.root = liquid_json(data), .arena = &kit->arena};
    (void)!liquid_render(liquid, &context, &out, &why);
    buf_release(&out);
    json_decref(data);
    liquid_free(liquid);
}

static void read_html(struct kit *kit, struct slice bytes)
{
    struct buf out = BUF(1 << 30);
    size_t count;
    twin_from_html(&out, bytes);
    buf_reset(&out);
    text_wrap(&out, bytes, TWIN_COLUMNS);
    buf_reset(&out);
    links_rewrite(&out, bytes);
    links_targets(bytes, &kit->arena, &count);
    buf_release(&out);
}

static void read_likeness(struct kit *kit, struct slice bytes)
{
    SCOPED(buf) out = BUF(8 * LIKENESS_TEXT_MAX);
    likeness_write(bytes, &out);
}

/* The counts of a head are as great as they can be; the answers are ours. */
static void read_packet(struct kit *kit, struct slice bytes)
{
    static const enum dns_type types[] = {DNS_A, DNS_CNAME, DNS_MX, DNS_TXT, DNS_TLSA};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct dns_answer answer = {0};
        dns_packet_read(bytes, "example.com", types[i], &kit->arena, &answer);
    }
}

/* ── the rows ── */

struct row {
    const char *reader, *name;
    void (*read)(struct kit *kit, struct slice bytes);
    const char *head, *piece, *tail;
    size_t most;      /* the reader's own ceiling; 0: 64 MB */
    size_t head_len;  /* of octets that hold NUL; 0: a text */
    size_t piece_len; /* the same */
    unsigned memory;  /* nanoseconds an octet for what does not fit into the caches; 0: one */
};

#define DSN                                                                                                            \
    "From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail Returned to Sender\n"                                   \
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
#define STATUS_PART DSN "--b\nContent-Type: message/delivery-status\n\n"
#define TEXT_MAIL   "From: MAILER-DAEMON@mx.example\nSubject: Returned mail\n\n"
#define HTML_MAIL   "From: postmaster@a.example\nContent-Type: text/html\n\n"
#define SIGNED                                                                                                         \
    "DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; c=relaxed/relaxed; bh="                                      \
    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA; "
#define SIGNED_ALL SIGNED "h=from:to\r\nFrom: a@a.example\r\n"
#define DNS_HEAD   "\0\1\x81\x80\0\1\xff\xff\0\0\0\0\7example\3com\0\0\1\0\1"

#define MAIL(name, head, piece)                                                                                        \
    {                                                                                                                  \
        "mail", name, read_mail, head, piece, ""                                                                       \
    }
#define VALUE(name, head, piece)                                                                                       \
    {                                                                                                                  \
        "header value", name, read_value, head, piece, ""                                                              \
    }
#define ROW(reader, name, ...)                                                                                         \
    {                                                                                                                  \
#reader, name, read_##reader, __VA_ARGS__                                                                      \
    }
static const struct row rows[] = {
    MAIL("boundaries", DSN, "--b\n"),
    MAIL("boundaries that are nearly ours", DSN, "--bX: y\n"),
    MAIL("nested multiparts", DSN, "--b\nContent-Type: multipart/mixed; boundary=b\n\n"),
    MAIL("mails in mails", "", "Content-Type: message/rfc822\n\n"),
    MAIL("recipients", STATUS_PART, "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n"),
    MAIL("one endless diagnostic",
         STATUS_PART "Final-Recipient: rfc822; a@b.example\nDiagnostic-Code: ", "550 5.1.1 user unknown "),
    MAIL("header fields", "", "X: y\n"),
    MAIL("folded header", "Subject: x\n", " y\n"),
    MAIL("a header of one line", "Subject: ", "=?utf-8?q?=41?= "),
    MAIL("colons", "", ":"),
    MAIL("empty lines", TEXT_MAIL, "\n"),
    MAIL("CR only", TEXT_MAIL, "\r"),
    MAIL("a line of text", TEXT_MAIL, "user unknown "),
    MAIL("addresses", TEXT_MAIL, "<a@b.example>\n"),
    MAIL("angles", TEXT_MAIL, "<"),
    MAIL("at signs", TEXT_MAIL, "@a"),
    MAIL("replies", TEXT_MAIL, "<a@b.example>: 550 5.1.1 user unknown\n"),
    MAIL("quoted mails", TEXT_MAIL, "----- Original message -----\nFrom: a@b.example\nSubject: x\n\n"),
    MAIL("HTML tags", HTML_MAIL, "<b>"),
    MAIL("HTML that never ends", HTML_MAIL, "<b "),
    MAIL("base64 noise", TEXT_MAIL "Content-Transfer-Encoding: base64\n\n", "QQ==\n!~"),
    MAIL("base64 of a part", "Content-Transfer-Encoding: base64\n\n", "QUFB!\nQ="),
    MAIL("soft line ends", "Content-Transfer-Encoding: quoted-printable\n\n", "=\n"),
    MAIL("escapes of ISO-2022-JP", "Content-Type: text/plain; charset=iso-2022-jp\n\n", "\x1b$B\x1b(B"),
    MAIL("a zip of nothing", "Content-Type: application/zip\nSubject: Report Domain: a\n\n", "PK\3\4"),
    VALUE("parens that open", "", "("),
    VALUE("parens", "", "()"),
    VALUE("commas", "", ","),
    VALUE("address list", "", "a@b.example, "),
    VALUE("groups", "", "a: b@c.example; "),
    VALUE("quotes", "", "\"a\" "),
    VALUE("a quote that never ends", "\"", "\\\""),
    VALUE("encoded words", "", "=?utf-8?q?=41?= "),
    VALUE("encoded words that never end", "", "=?utf-8?q?"),
    VALUE("encoded words of many charsets", "", "=?euc-jp?b?pKI=?= =?iso-2022-jp?b?GyRCJCIbKEI=?= "),
    VALUE("parameters", "text/plain", "; a=b"),
    VALUE("RFC 2231 continuations", "text/plain", "; filename*1=a"),
    VALUE("RFC 2231 continuations, encoded", "text/plain; filename*0*=utf-8''x", "; filename*1*=%41"),
    VALUE("folds", "x", "\r\n "),
    VALUE("angles", "", "<"),
    VALUE("routes", "<", "@a,"),
    ROW(address, "dots", "a", ".a", "@b.example"),
    ROW(address, "labels", "a@", "b.", "example"),
    ROW(address, "at signs", "", "@", ""),
    ROW(address, "a quoted local part", "\"", "\\\"", "\"@b.example"),
    ROW(address, "letters of many scripts", "a@", "あ。", "example"),
    ROW(dkim, "tags", SIGNED, "x1=y; ", "\r\n\r\n"),
    ROW(dkim, "the same tag", SIGNED, "h=from; ", "\r\n\r\n"),
    ROW(dkim, "names in h=", SIGNED "h=from", ":x", "\r\nFrom: a@a.example\r\nX: y\r\n\r\n"),
    ROW(dkim, "white space in b=", SIGNED_ALL, "DKIM-Signature: b= \t\r\n \r\n", "\r\n"),
    ROW(dkim, "signatures", "", SIGNED_ALL, "\r\n"),
    ROW(dkim, "fields", SIGNED_ALL, "From: x\r\n", "\r\n"),
    ROW(dkim, "folds", SIGNED_ALL "Subject: x", "\r\n ", "\r\n\r\n"),
    ROW(dkim, "empty lines at the end of the body", SIGNED_ALL "\r\n", "\r\n", ""),
    ROW(dkim, "empty lines, and one that is not", SIGNED_ALL "\r\n", "\r\n\r\n\r\n\r\n\r\nx", ""),
    ROW(dkim, "spaces in the body", SIGNED_ALL "\r\n", " ", "x"),
    ROW(tags, "DKIM tags", "v=DKIM1", "; k=rsa", ""),
    ROW(tags, "semicolons", "", ";", ""),
    ROW(tags, "names in a list", "", "x:", ""),
    ROW(tags, "methods of Authentication-Results", "mx.example.jp", "; spf=pass (", ""),
    ROW(sts, "hosts", "version: STSv1\r\nmode: enforce\r\nmax_age: 1\r\n", "mx: *.a.example\r\n", "", STS_POLICY_MAX),
    ROW(sts, "line ends", "version: STSv1", "\r\n", "", STS_POLICY_MAX),
    ROW(spf, "terms", "v=spf1", " a", "", RECORD_MOST),
    ROW(spf, "includes", "v=spf1", " include:a.example", "", RECORD_MOST),
    ROW(spf, "modifiers", "v=spf1", " x=y", "", RECORD_MOST),
    ROW(spf, "macros", "v=spf1 exists:", "%{l1r-.+}", "", RECORD_MOST),
    ROW(spf, "spaces", "v=spf1", " ", "", RECORD_MOST),
    ROW(dmarc, "tags", "v=DMARC1; p=none", "; x=y", "", RECORD_MOST),
    ROW(dmarc, "semicolons", "v=DMARC1; p=none", ";", "", RECORD_MOST),
    ROW(dmarc, "addresses of reports", "v=DMARC1; p=none; rua=mailto:a@b.example", ",mailto:a@b.example!10m", "",
        RECORD_MOST),
    ROW(report, "XML depth", "<feedback>", "<a>", ""),
    ROW(report, "XML attributes", "<feedback", " a=\"\"", ">"),
    ROW(report, "XML entities", "<feedback><x>", "&amp;", "</x></feedback>"),
    ROW(report, "XML comments", "<feedback>", "<!-- -->", "</feedback>"),
    ROW(report, "records", "<feedback>", "<record><row><source_ip>192.0.2.1</source_ip><count>1</count></row></record>",
        "</feedback>"),
    ROW(report, "JSON depth", "{\"policies\":", "[", "", FEEDBACK_JSON_MAX),
    /* its tree takes forty octets for each that was read: a third of the time is waiting for memory */
    ROW(report, "JSON members", "{\"policies\":[", "{\"policy\":{}},", "{}]}", FEEDBACK_JSON_MAX, .memory = 15),
    ROW(replies, "lines of one reply", "", "250-x\r\n", "250 end\r\n"),
    ROW(replies, "replies", "", "250 2.1.0 ok\r\n", ""),
    ROW(replies, "a line without an end", "250 ", "x", ""),
    ROW(replies, "line ends", "250-x", "\r\n", ""),
    ROW(session, "commands", "EHLO a.example\r\n", "NOOP x\r\n", ""),
    ROW(session, "recipients", "EHLO a.example\r\nMAIL FROM:<a@a.example>\r\n", "RCPT TO:<a@b.example>\r\n", ""),
    ROW(session, "a line without an end", "EHLO ", "x", ""),
    ROW(session, "parameters", "EHLO a.example\r\nMAIL FROM:<a@a.example>", " SIZE=1", "\r\n"),
    ROW(session, "a body of dots", "EHLO a\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n", ".\r", ""),
    ROW(dots, "dot lines", "", "..\r\n", ""),
    ROW(dots, "CR only", "", "\r", ""),
    ROW(dots, "LF only", "", "\n.", ""),
    ROW(dots, "a dot, a CR", "\r\n", ".\r", ""),
    ROW(head, "a target, octet by octet", "GET /", "x", " HTTP/1.1\r\n\r\n", HTTP_HEAD_MOST),
    ROW(head, "fields, octet by octet", "GET / HTTP/1.1\r\nHost: a\r\n", "A: b\r\n", "\r\n", HTTP_HEAD_MOST),
    ROW(head, "a head without an end, octet by octet", "GET / HTTP/1.1\r\n", "a", "", HTTP_HEAD_MOST),
    ROW(heads, "heads", "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ROW(heads, "line ends", "", "\r\n", ""),
    ROW(heads, "spaces", "GET / HTTP/1.1\r\nHost:", " ", ""),
    ROW(chunks, "chunks of one octet", "", "1\r\nx\r\n", "0\r\n\r\n"),
    ROW(chunks, "percent signs", "", "%41%", ""),
    ROW(json, "depth", "", "[", ""),
    ROW(json, "objects", "", "{\"a\":", ""),
    ROW(json, "members", "{\"x\":[", "{\"a\":1},", "0]}"),
    ROW(json, "escapes", "[\"", "\\u3042\\n", "\"]"),
    ROW(json, "digits", "[0.", "1", "]"),
    ROW(csv, "quotes", "a,b\n", "\"\"", "\n"),
    ROW(csv, "a quote that never ends", "a,b\n\"", "x\n", ""),
    ROW(csv, "commas", "a", ",", "\n"),
    ROW(csv, "records", "a,b\n", "x,\"y\"\"z\"\n", ""),
    ROW(csv, "line ends", "a\n", "\r", ""),
    ROW(csv, "bytes that are no characters", "a\n", "\x81\xff", "\n"),
    ROW(template, "braces", "", "{{", "", 2 * MB),
    ROW(template, "percent braces", "", "{%", "", 2 * MB),
    ROW(template, "texts and outputs", "", "{{ a }}x", "", 2 * MB),
    ROW(template, "comments", "{% comment %}", "{% if %}", "{% endcomment %}", 2 * MB),
    ROW(template, "filters", "{{ a ", "| upcase ", "}}", 2 * MB),
    ROW(template, "tags that never end", "", "<b {{ a", "", 2 * MB),
    ROW(html, "tag soup", "", "<b><a href='x'></i><", ""),
    ROW(html, "tags that never end", "", "<a href=\"", ""),
    ROW(html, "attributes", "<a", " x=y", ">"),
    ROW(html,
        "comments "
        "that never "
        "end",
        "", "<!--", ""),
    ROW(html, "links", "", "<a href=\"https://a.example/\">x</a>", ""),
    ROW(html, "entities", "", "&amp;&", ""),
    ROW(html, "tables and lists", "", "<table><tr><td><ul><li>", ""),
    ROW(html, "a style that never ends", "", "<style><script>", ""),
    ROW(html,
        "a word without an "
        "end",
        "", "x", ""),
    ROW(html, "braces", "", "{{", ""),
    ROW(likeness, "numbers", "", "1a-", ""),
    ROW(packet,
        "names that "
        "point back",
        DNS_HEAD,
        "\xc0\x0c\0\1\0"
        "\1\0\0\0\1\0\4"
        "\x7f\0\0\1",
        "", 64 * KB, sizeof(DNS_HEAD) - 1, 16),
    ROW(packet,
        "aliases "
        "of "
        "aliases",
        DNS_HEAD, "\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c", "", 64 * KB, sizeof(DNS_HEAD) - 1, 14),
    ROW(packet,
        "names "
        "of "
        "many "
        "label"
        "s",
        DNS_HEAD, "\1a", "", 64 * KB, sizeof(DNS_HEAD) - 1, 2),
    ROW(packet,
        "te"
        "xt"
        "s",
        DNS_HEAD, "\xc0\x0c\0\x10\0\1\0\0\0\1\0\2\1x", "", 64 * KB, sizeof(DNS_HEAD) - 1, 14),
};

/* ── measuring ── */

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of one reading. */
static double measure(struct kit *kit, const struct row *row, struct slice bytes)
{
    double begun = now_seconds(), took;
    for (unsigned times = 1;; times++) {
        row->read(kit, bytes);
        arena_reset(&kit->arena);
        took = now_seconds() - begun;
        if (took >= LEAST_SECONDS)
            return took / times;
    }
}

/* The bytes of one size, in a block of just that size. */
static struct slice generate(const struct row *row, size_t size)
{
    size_t head = row->head_len ? row->head_len : strlen(row->head), tail = strlen(row->tail);
    size_t piece = row->piece_len ? row->piece_len : strlen(row->piece);
    char *bytes = memory_alloc(size);
    size_t len = head < size ? head : size;
    memcpy(bytes, row->head, len);
    for (; len + piece + tail <= size; len += piece)
        memcpy(bytes + len, row->piece, piece);
    if (len + tail <= size)
        memcpy(bytes + len, row->tail, tail);
    return slice_of(bytes, len + (len + tail <= size ? tail : 0));
}

static void bytes_free(struct slice bytes)
{
    free((void *)(uintptr_t)bytes.ptr);
}

static double ratio_of(const struct row *row, const double *seconds, struct slice bytes)
{
    double own = seconds[0] - (row->memory ? row->memory : 1) * NANOSECOND * (double)bytes.len;
    return own > 0 ? own / seconds[-1] : 0;
}

/* How many times as long as the one before the worst of them takes. */
static double worst_of(struct kit *kit, const struct row *row, size_t from, size_t to, unsigned factor, double bound,
                       double seconds[STEPS], unsigned *steps)
{
    struct slice bytes[STEPS];
    double worst = 0;
    unsigned count = 0;
    for (size_t size = from; size <= to && count < STEPS; size *= factor, count++) {
        bytes[count] = generate(row, size);
        seconds[count] = measure(kit, row, bytes[count]);
    }
    *steps = count;
    for (int try = 0; try < TRIES; try++) {
        worst = 0;
        for (unsigned i = 1; i < count; i++) {
            double ratio = ratio_of(row, seconds + i, bytes[i]);
            if (ratio > bound) { /* both again: what is in the way only makes it slower */
                double less = measure(kit, row, bytes[i - 1]), more = measure(kit, row, bytes[i]);
                seconds[i - 1] = less < seconds[i - 1] ? less : seconds[i - 1];
                seconds[i] = more < seconds[i] ? more : seconds[i];
                ratio = ratio_of(row, seconds + i, bytes[i]);
            }
            worst = ratio > worst ? ratio : worst;
        }
        if (worst <= bound)
            break;
    }
    for (unsigned i = 0; i < count; i++)
        bytes_free(bytes[i]);
    return worst;
}

static bool row_holds(struct kit *kit, const struct row *row, bool is_quick)
{
    size_t most = row->most ? row->most : 64 * MB, from = is_quick ? 128 * KB : most / 64, to = most;
    double seconds[STEPS] = {0}, bound = is_quick ? 10 : 2.3;
    unsigned steps;
    if (is_quick) {
        to = most < 512 * KB ? most : 512 * KB;
        from = to / 4;
    }
    kit->room = memory_alloc(to + 1);
    double worst = worst_of(kit, row, from, to, is_quick ? 4 : 2, bound, seconds, &steps);
    free(kit->room);
    printf("%-6s %-13s %-40s %6zu KB %9.3f ms  %6zu KB %9.3f ms  at most %5.2f times\n",
           worst <= bound ? "ok" : "NOT OK", row->reader, row->name, from / KB, seconds[0] * 1000, to / KB,
           seconds[steps - 1] * 1000, worst);
    fflush(stdout);
    return worst <= bound;
}

int main(int argc, char **argv)
{
    bool is_quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    struct slice only = slice_str(argc > 1 + is_quick ? argv[1 + is_quick] : "");
    struct kit kit = {.record = NEW(struct mail_record)};
    struct fault why;
    size_t asked = 0, held = 0;
    if (!rules_open(&kit.rules, &why)) {
        fprintf(stderr, "linear_bench: %s\n", why.text);
        return 2;
    }
    kit.scratch = rules_scratch_new(kit.rules);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (only.len && slice_find(slice_str(rows[i].reader), only) < 0 &&
            slice_find(slice_str(rows[i].name), only) < 0)
            continue;
        asked++;
        held += row_holds(&kit, &rows[i], is_quick);
    }
    printf("%zu rows, %zu linear\n", asked, held);
    rules_scratch_free(kit.scratch);
    rules_free(kit.rules);
    arena_release(&kit.arena);
    free(kit.record);
    return asked == held && asked ? 0 : 1;
}
