/* M41, M45, M48, X10: reports as their senders write them, and as nobody should; the shapes are after the manner of
 * Google, Microsoft, Yahoo, Fastmail and others, the contents are ours */
#include "feedback/feedback.h"

#include "base/base64.h"
#include "base/test.h"
#include "feedback/unpack.h"
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#define META                                                                                                           \
    "<report_metadata><org_name>google.com</org_name><email>noreply-dmarc-support@google.com</email>"                  \
    "<extra_contact_info>https://support.google.com/a/answer/2466580</extra_contact_info>"                             \
    "<report_id>11837465283746528374</report_id><date_range><begin>1763683200</begin><end>1763769599</end>"            \
    "</date_range></report_metadata>"
#define POLICY                                                                                                         \
    "<policy_published><domain>example.jp</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>none</sp>"            \
    "<pct>100</pct><np>reject</np></policy_published>"
#define ROW(ip, n, d, dkim, spf)                                                                                       \
    "<row><source_ip>" ip "</source_ip><count>" n "</count><policy_evaluated><disposition>" d                          \
    "</disposition><dkim>" dkim "</dkim><spf>" spf "</spf></policy_evaluated></row>"
#define WHO "<identifiers><header_from>example.jp</header_from></identifiers>"
#define AUTH                                                                                                           \
    "<auth_results><dkim><domain>example.jp</domain><result>pass</result><selector>t1</selector></dkim>"               \
    "<spf><domain>bounce.example.jp</domain><result>pass</result></spf></auth_results>"
#define RECORD "<record>" ROW("192.0.2.7", "12", "none", "pass", "pass") WHO AUTH "</record>"
#define GOOGLE "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<feedback>" META POLICY RECORD "</feedback>\n"

/* "org|report id|domain|p|ip count disposition dkim spf from; ..." */
static void summary(const struct feedback *f, struct buf *out)
{
    buf_printf(out, "%.*s|%.*s|%.*s|%.*s|", SLICE_ARG(f->org), SLICE_ARG(f->report_id), SLICE_ARG(f->policy.domain),
               SLICE_ARG(f->policy.p));
    for (unsigned i = 0; i < f->row_count; i++) {
        const struct dmarc_row *r = &f->rows[i];
        buf_printf(out, "%s%.*s %llu %.*s %.*s %.*s %.*s", i ? "; " : "", SLICE_ARG(r->source_ip),
                   (unsigned long long)r->count, SLICE_ARG(r->disposition), SLICE_ARG(r->dkim), SLICE_ARG(r->spf),
                   SLICE_ARG(r->header_from));
    }
}

static void dmarc_as_they_write_it(void **state)
{
    static const char want[] =
        "google.com|11837465283746528374|example.jp|reject|192.0.2.7 12 none pass pass example.jp";
    static const struct {
        const char *thought, *xml, *want;
    } rows[] = {
        {"Google: no namespace", GOOGLE, want},
        {"Microsoft: a version, schemas, and CRLF",
         "<?xml version=\"1.0\"?>\r\n<feedback xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" "
         "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\r\n  <version>1.0</version>\r\n" META POLICY RECORD
         "\r\n</feedback>",
         want},
        {"RFC 9990: its namespace, and elements that 7489 has not",
         "<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"><version>1.0</version><report_metadata><org_name>A "
         "&amp; B</org_name><report_id>2@x</report_id><generator>g 1</generator></report_metadata><policy_published>"
         "<domain>example.jp</domain><discovery_method>treewalk</discovery_method><p>none</p><testing>n</testing>"
         "</policy_published><extension><x xmlns=\"urn:y\"><domain>evil</domain></x></extension>" RECORD "</feedback>",
         "A & B|2@x|example.jp|none|192.0.2.7 12 none pass pass example.jp"},
        {"a prefix of their own",
         "<d:feedback xmlns:d=\"http://dmarc.org/dmarc-xml/0.1\"><d:report_metadata><d:org_name>o</d:org_name>"
         "<d:report_id>i</d:report_id></d:report_metadata><d:policy_published><d:domain>a.example</d:domain>"
         "</d:policy_published></d:feedback>",
         "o|i|a.example||"},
        {"a prefix that nobody declared",
         "<d:feedback><d:report_metadata><d:org_name>o</d:org_name></d:report_metadata><d:policy_published><d:domain>"
         "a.example</d:domain></d:policy_published></d:feedback>",
         "o||a.example||"},
        {"upper-case values and names",
         "<Feedback><Report_Metadata><org_name>O</org_name></Report_Metadata><policy_published><domain>EXAMPLE.JP"
         "</domain><p>REJECT</p></policy_published><record>" ROW("192.0.2.7", "1", "None", "PASS", "Fail") WHO
         "</record></Feedback>",
         "O||example.jp|reject|192.0.2.7 1 none pass fail example.jp"},
        {"bytes that are not UTF-8",
         "<feedback><report_metadata><org_name>gr\xfc\xdf</org_name></report_metadata>" POLICY "</feedback>",
         "gr\xef\xbf\xbd\xef\xbf\xbd||example.jp|reject|"},
        {"another encoding, declared",
         "<?xml version='1.0' encoding='ISO-8859-1'?><feedback><report_metadata><org_name>gr\xfc\xdf</org_name>"
         "</report_metadata>" POLICY "</feedback>",
         "gr\xc3\xbc\xc3\x9f||example.jp|reject|"},
        {"UTF-16 declared, UTF-8 in truth",
         "<?xml version=\"1.0\" encoding=\"utf-16\"?><feedback>" META POLICY RECORD "</feedback>", want},
        {"a byte order mark and blank lines before it", "\xef\xbb\xbf\n\n" GOOGLE, want},
        {"a bare &, and a control character",
         "<feedback><report_metadata><org_name>A & B &c\x01</org_name><extra_contact_info>http://x/?a=1&b=2"
         "</extra_contact_info></report_metadata>" POLICY "</feedback>",
         "A & B &c||example.jp|reject|"},
        {"CDATA, comments and blanks around values",
         "<feedback><report_metadata><org_name> <![CDATA[o]]>\n</org_name><!-- x --></report_metadata>" POLICY
         "</feedback>",
         "o||example.jp|reject|"},
        {"IPv6, written long; a count with a fraction",
         "<feedback>" POLICY "<record>" ROW("2001:DB8:0:0::1", "3.0", "quarantine", "fail", "fail") WHO
         "</record></feedback>",
         "||example.jp|reject|2001:db8::1 3 quarantine fail fail example.jp"},
        {"nothing evaluated; identities, as old drafts say",
         "<feedback>" POLICY "<record><row><source_ip>192.0.2.9</source_ip><count>2</count></row><identities>"
         "<header_from>example.jp</header_from></identities></record></feedback>",
         "||example.jp|reject|192.0.2.9 2    example.jp"},
        {"two records",
         "<feedback>" POLICY RECORD "<record>" ROW("192.0.2.8", "1", "reject", "fail", "fail") WHO
         "</record></feedback>",
         "||example.jp|reject|192.0.2.7 12 none pass pass example.jp; 192.0.2.8 1 reject fail fail example.jp"},
        {"a number that is too big",
         "<feedback>" POLICY
         "<record>" ROW("192.0.2.8", "99999999999999999999999", "none", "pass", "pass") "</record></feedback>",
         "||example.jp|reject|192.0.2.8 9223372036854775807 none pass pass "},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        SCOPED(buf) got = BUF(65536);
        struct feedback feedback;
        struct fault why = {0};
        if (!feedback_read(slice_str(rows[i].xml), &arena, &feedback, &why))
            fail_msg("%s: %s", rows[i].thought, why.text);
        assert_int_row(rows[i].thought, feedback.kind, FEEDBACK_DMARC);
        summary(&feedback, &got);
        assert_slice(rows[i].thought, buf_slice(&got), slice_str(rows[i].want));
    }
}

static void all_of_a_record(void **state)
{
    static const char xml[] =
        "<feedback>" META POLICY "<record><row><source_ip>192.0.2.7</source_ip><count>1</count><policy_evaluated>"
        "<disposition>none</disposition><dkim>fail</dkim><spf>fail</spf><reason><type>Mailing_List</type><comment>l"
        "</comment></reason><reason><type>local_policy</type><comment>arc=pass</comment></reason></policy_evaluated>"
        "</row><identifiers><envelope_to>gmail.com</envelope_to><envelope_from>list.example</envelope_from>"
        "<header_from>example.jp</header_from></identifiers><auth_results><dkim><domain>list.example</domain>"
        "<selector>S1</selector><result>Pass</result><human_result>2048 bits</human_result></dkim><dkim><domain>"
        "example.jp</domain><result>fail</result></dkim><spf><domain>list.example</domain><scope>mfrom</scope><result>"
        "SoftFail</result></spf></auth_results></record></feedback>";
    SCOPED(arena) arena = {0};
    struct feedback f;
    struct fault why = {0};
    assert_true(feedback_read(slice_str(xml), &arena, &f, &why));
    assert_int_equal(f.begin, 1763683200);
    assert_int_equal(f.end, 1763769599);
    assert_slice("np", f.policy.np, SLICE("reject"));
    const struct dmarc_row *r = &f.rows[0];
    assert_int_equal(r->override_count, 2);
    assert_slice("type", r->overrides[0].type, SLICE("mailing_list"));
    assert_slice("comment", r->overrides[1].comment, SLICE("arc=pass"));
    assert_int_equal(r->dkim_count, 2);
    assert_slice("selector", r->dkim_results[0].selector, SLICE("s1"));
    assert_slice("human", r->dkim_results[0].human, SLICE("2048 bits"));
    assert_slice("second", r->dkim_results[1].domain, SLICE("example.jp"));
    assert_slice("spf", r->spf_results[0].result, SLICE("softfail"));
    assert_slice("scope", r->spf_results[0].scope, SLICE("mfrom"));
    assert_slice("envelope", r->envelope_from, SLICE("list.example"));
    assert_slice("about", feedback_domain(&f), SLICE("example.jp"));
}

static void refused_with_one_line(void **state)
{
    static const struct {
        const char *thought, *bytes, *said;
    } rows[] = {
        {"nothing", "", "empty"},
        {"a DTD", "<?xml version=\"1.0\"?>\n<!DOCTYPE feedback>\n<feedback>" POLICY "</feedback>", "document type"},
        {"a DTD from elsewhere", "<!DOCTYPE feedback SYSTEM \"http://192.0.2.1/x.dtd\"><feedback>" POLICY "</feedback>",
         "document type"},
        {"a file through an entity",
         "<!DOCTYPE f [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><feedback><report_metadata><org_name>&x;</org_name>"
         "</report_metadata>" POLICY "</feedback>",
         "document type"},
        {"a billion laughs",
         "<?xml version=\"1.0\"?><!DOCTYPE f [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">"
         "<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]><feedback>&c;</feedback>",
         "document type"},
        {"an entity that nobody declared",
         "<feedback><report_metadata><org_name>&xxe;</org_name></report_metadata>"
         "</feedback>",
         "xxe"},
        {"cut in the middle", "<feedback><report_metadata><org_name>goo", "line 1"},
        {"elements that cross", "<feedback>\n<policy_published><domain>a</policy_published></domain></feedback>",
         "line 2"},
        {"another XML", "<?xml version=\"1.0\"?><html><body>feedback</body></html>", "no DMARC report"},
        {"an empty report", "<feedback></feedback>", "neither a policy nor a record"},
        {"two roots", "<feedback>" POLICY "</feedback><feedback/>", "broken"},
        {"broken JSON", "{\"policies\": [", "the JSON is broken"},
        {"another JSON", "{\"a\": 1}", "no TLS report"},
        {"a mail without a report", "From: a@example.jp\nSubject: hello\n\nhow are you?\n", "no report in this mail"},
        {"7z", "7z\xbc\xaf\x27\x1c....", "kind of archive"},
        {"a zip that ends at once", "PK\3\4\24", "zip"},
        {"a gzip that ends at once", "\x1f\x8b\x08", "gzip"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct feedback feedback;
        struct fault why = {0};
        assert_row(rows[i].thought, !feedback_read(slice_str(rows[i].bytes), &arena, &feedback, &why));
        assert_row(rows[i].thought, why.kind == FAULT_INPUT && !strchr(why.text, '\n'));
        if (!strstr(why.text, rows[i].said))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].thought, why.text, rows[i].said);
    }
}

/* ── packed ── */

static void gzip_make(struct slice bytes, struct buf *out)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, bytes.len);
    z.next_in = (Bytef *)(uintptr_t)bytes.ptr;
    z.avail_in = (uInt)bytes.len;
    z.next_out = (Bytef *)buf_reserve(out, room);
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_advance(out, room - z.avail_out);
    deflateEnd(&z);
}

static void zip_make(const struct slice *names, const struct slice *files, size_t count, struct buf *out)
{
    struct archive *zip = archive_write_new();
    size_t used = 0, room = 4096;
    for (size_t i = 0; i < count; i++)
        room += files[i].len + 4096;
    archive_write_set_format_zip(zip);
    char *to = buf_reserve(out, room);
    assert_int_equal(archive_write_open_memory(zip, to, room, &used), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, names[i].ptr);
        archive_entry_set_size(entry, (la_int64_t)files[i].len);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        assert_int_equal(archive_write_header(zip, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(zip, files[i].ptr, files[i].len), (la_ssize_t)files[i].len);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(zip), ARCHIVE_OK);
    archive_write_free(zip);
    buf_advance(out, used);
}

static enum fault_kind said_of(struct slice bytes, char *text, size_t room)
{
    SCOPED(arena) arena = {0};
    struct feedback feedback;
    struct fault why = {0};
    bool ok = feedback_read(bytes, &arena, &feedback, &why);
    snprintf(text, room, "%s", ok ? "" : why.text);
    return ok ? FAULT_NONE : why.kind;
}

static void packed(void **state)
{
    char said[512];
    struct slice report = SLICE(GOOGLE), readme = SLICE("read me");
    SCOPED(buf) gz = BUF(1 << 20), zip = BUF(1 << 20), two = BUF(1 << 20), nested = BUF(1 << 20), deep = BUF(1 << 20);
    gzip_make(report, &gz);
    assert_int_equal(said_of(buf_slice(&gz), said, sizeof(said)), FAULT_NONE);
    zip_make(&SLICE("google.com!example.jp!1!2.xml"), &report, 1, &zip);
    assert_int_equal(said_of(buf_slice(&zip), said, sizeof(said)), FAULT_NONE);
    zip_make((struct slice[]){SLICE("README"), SLICE("r.bin")}, (struct slice[]){readme, report}, 2, &two);
    assert_int_equal(said_of(buf_slice(&two), said, sizeof(said)), FAULT_NONE);

    struct slice inner = buf_slice(&gz);
    gzip_make(inner, &nested);
    assert_int_equal(said_of(buf_slice(&nested), said, sizeof(said)), FAULT_INPUT);
    assert_non_null(strstr(said, "inside an archive"));
    zip_make(&SLICE("r.xml.gz"), &inner, 1, &deep);
    assert_int_equal(said_of(buf_slice(&deep), said, sizeof(said)), FAULT_INPUT);
    assert_non_null(strstr(said, "inside an archive"));

    /* cut anywhere: never more than a fault */
    for (size_t len = 1; len < gz.len; len++)
        assert_int_not_equal(said_of(slice_head(buf_slice(&gz), len), said, sizeof(said)), FAULT_NONE);
    for (size_t len = 1; len < zip.len; len++)
        said_of(slice_head(buf_slice(&zip), len), said, sizeof(said));
}

static void bombs(void **state)
{
    char said[512];
    size_t len = 120 << 20;
    char *blanks = memory_alloc(len);
    memset(blanks, ' ', len);
    memcpy(blanks, "<feedback>", 10);
    SCOPED(buf) gz = BUF(256 << 20), zip = BUF(256 << 20), small = BUF(16 << 20), wide = BUF(256 << 20);
    gzip_make(slice_of(blanks, 2 << 20), &small);
    assert_int_equal(said_of(buf_slice(&small), said, sizeof(said)), FAULT_LIMIT);
    assert_non_null(strstr(said, "200 times"));
    gzip_make(slice_of(blanks, len), &gz);
    assert_int_equal(said_of(buf_slice(&gz), said, sizeof(said)), FAULT_LIMIT);
    struct slice content = slice_of(blanks, len);
    zip_make(&SLICE("a.xml"), &content, 1, &zip);
    assert_int_equal(said_of(buf_slice(&zip), said, sizeof(said)), FAULT_LIMIT);

    uint32_t noise = 1; /* past the size, below the ratio */
    for (size_t i = 16; i < len; i++) {
        noise = noise * 1664525 + 1013904223;
        blanks[i] = (char)('a' + (noise >> 30));
    }
    gzip_make(slice_of(blanks, len), &wide);
    assert_int_equal(said_of(buf_slice(&wide), said, sizeof(said)), FAULT_LIMIT);
    assert_non_null(strstr(said, "100 MB"));
    free(blanks);
}

/* ── in a mail ── */

static void in_a_mail(void **state)
{
    static const struct {
        const char *thought, *type;
        bool is_zip;
    } rows[] = {
        {"application/gzip", "application/gzip; name=\"g.xml.gz\"", false},
        {"zip called octet-stream", "application/octet-stream", true},
        {"zip called x-zip-compressed", "application/x-zip-compressed", true},
        {"gzip called text", "text/plain; charset=utf-8", false},
        {"gzip called an image", "image/png", false},
        {"no type at all", NULL, true},
    };
    SCOPED(buf) gz = BUF(1 << 20), zip = BUF(1 << 20);
    struct slice report = SLICE(GOOGLE);
    gzip_make(report, &gz);
    zip_make(&SLICE("r.xml"), &report, 1, &zip);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char said[512];
        SCOPED(buf) mail = BUF(1 << 20);
        buf_text(&mail,
                 "From: noreply@google.com\r\nSubject: Report domain: example.jp\r\nContent-Type: multipart/mixed; "
                 "boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee below { }\r\n--b\r\n");
        if (rows[i].type)
            buf_printf(&mail, "Content-Type: %s\r\n", rows[i].type);
        buf_text(&mail, "Content-Transfer-Encoding: base64\r\n\r\n");
        base64_encode(&mail, buf_slice(rows[i].is_zip ? &zip : &gz));
        buf_text(&mail, "\r\n--b--\r\n");
        if (said_of(buf_slice(&mail), said, sizeof(said)) != FAULT_NONE)
            fail_msg("%s: %s", rows[i].thought, said);
        SCOPED(buf) alone = BUF(1 << 20); /* Google and Yahoo: the archive is the whole mail */
        buf_printf(&alone, "Subject: r\n%s%s\nContent-Transfer-Encoding: base64\n\n",
                   rows[i].type ? "Content-Type: " : "X: y", rows[i].type ? rows[i].type : "");
        base64_encode(&alone, buf_slice(rows[i].is_zip ? &zip : &gz));
        if (said_of(buf_slice(&alone), said, sizeof(said)) != FAULT_NONE)
            fail_msg("%s, alone: %s", rows[i].thought, said);
    }
}

/* ── TLS-RPT ── */

static const char tls_report[] =
    "{\"organization-name\":\"Google Inc.\",\"date-range\":{\"start-datetime\":\"2026-11-21T00:00:00Z\","
    "\"end-datetime\":\"2026-11-21T23:59:59Z\"},\"contact-info\":\"smtp-tls-reporting@google.com\",\"report-id\":"
    "\"2026-11-21T00:00:00Z_example.jp\",\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":["
    "\"version"
    ": STSv1\"],\"policy-domain\":\"example.jp\",\"mx-host\":[\"mx1.example.jp\"]},\"summary\":{"
    "\"total-successful-session-count\":41,\"total-failure-session-count\":3},\"failure-details\":[{\"result-type\":"
    "\"certificate-expired\",\"sending-mta-ip\":\"192.0.2.1\",\"receiving-mx-hostname\":\"mx1.example.jp\","
    "\"receiving-ip\":\"198.51.100.2\",\"failed-session-count\":3,\"failure-reason-code\":\"x\"}]},{\"policy\":{"
    "\"policy-type\":\"no-policy-found\",\"policy-domain\":\"sub.example.jp\",\"mx-host\":\"mx2.example.jp\"},"
    "\"summary\":{"
    "\"total-successful-session-count\":\"7\",\"total-failure-session-count\":0}}]}";

static void tls_rpt(void **state)
{
    SCOPED(arena) arena = {0};
    SCOPED(buf) gz = BUF(1 << 20);
    struct feedback f;
    struct fault why = {0};
    gzip_make(slice_str(tls_report), &gz);
    assert_true(feedback_read(buf_slice(&gz), &arena, &f, &why));
    assert_int_equal(f.kind, FEEDBACK_TLS);
    assert_slice("org", f.org, SLICE("Google Inc."));
    assert_int_equal(f.begin, 1795219200);
    assert_int_equal(f.end - f.begin, 86399);
    assert_int_equal(f.policy_count, 2);
    assert_slice("domain", feedback_domain(&f), SLICE("example.jp"));
    assert_int_equal(f.policies[0].succeeded, 41);
    assert_int_equal(f.policies[0].failed, 3);
    assert_int_equal(f.policies[0].failure_count, 1);
    assert_slice("why", f.policies[0].failures[0].result_type, SLICE("certificate-expired"));
    assert_int_equal(f.policies[0].failures[0].sessions, 3);
    assert_slice("one host as a string", f.policies[1].mx[0], SLICE("mx2.example.jp"));
    assert_int_equal(f.policies[1].succeeded, 7);
    SCOPED(buf) mail = BUF(1 << 20);
    buf_text(&mail,
             "Subject: Report Domain: example.jp Submitter: google.com\nTLS-Report-Domain: example.jp\nContent-Type: "
             "multipart/report; report-type=\"tlsrpt\"; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: "
             "application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n");
    base64_encode(&mail, buf_slice(&gz));
    buf_text(&mail, "\n--b--\n");
    assert_true(feedback_read(buf_slice(&mail), &arena, &f, &why));
    assert_int_equal(f.kind, FEEDBACK_TLS);
}

/* ── ARF ── */

#define ARF(type, more)                                                                                                \
    "From: feedback@arf.mail.example\nContent-Type: multipart/report; report-type=feedback-report; "                   \
    "boundary=b\n\n--b\n\n"                                                                                            \
    "This is an abuse report\n--b\nContent-Type: " type "\n\nFeedback-Type: " more                                     \
    "\n--b\nContent-Type: message/rfc822\n\nFrom: shop@example.jp\nTo: a@mail.example\nSubject: =?utf-8?B?44GC?=\n"    \
    "Message-ID: <m1@example.jp>\n\nbuy\n--b--\n"

static void arf(void **state)
{
    static const struct {
        const char *thought, *mail, *type;
        enum feedback_kind kind;
    } rows[] = {
        {"a complaint (Yahoo)",
         ARF("message/feedback-report",
             "abuse\nUser-Agent: Y/1.0\nVersion: 0.1\nOriginal-Mail-From: <b@example.jp>\n"
             "Original-Rcpt-To: a@mail.example\nReported-Domain: example.jp\nSource-IP: 192.0.2.7"),
         "abuse", FEEDBACK_ABUSE},
        {"upper case", ARF("message/feedback-report", "ABUSE\nVersion: 1\nReported-Domain: example.jp"), "abuse",
         FEEDBACK_ABUSE},
        {"fields in a plain part", ARF("text/plain", "fraud\nVersion: 1\nReported-Domain: example.jp"), "fraud",
         FEEDBACK_ABUSE},
        {"a DMARC failure (LinkedIn's manner)",
         ARF("message/feedback-report",
             "auth-failure\nVersion: 1\nAuth-Failure: dmarc\nIdentity-Alignment: none\n"
             "Delivery-Result: delivered\nReported-Domain: example.jp\nSource-IP: 192.0.2.66"),
         "auth-failure", FEEDBACK_FAILURE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct feedback f;
        struct fault why = {0};
        if (!feedback_read(slice_str(rows[i].mail), &arena, &f, &why))
            fail_msg("%s: %s", rows[i].thought, why.text);
        assert_int_row(rows[i].thought, f.kind, rows[i].kind);
        assert_slice(rows[i].thought, f.type, slice_str(rows[i].type));
        assert_slice(rows[i].thought, f.original_message_id, SLICE("m1@example.jp"));
        assert_slice(rows[i].thought, f.original_subject, SLICE("あ"));
        assert_slice(rows[i].thought, feedback_domain(&f), SLICE("example.jp"));
        SCOPED(buf) out = BUF(65536);
        struct json json = {&out};
        json_object_begin(&json);
        feedback_tell(&f, &json);
        json_end(&json);
        assert_row(rows[i].thought, slice_find(buf_slice(&out), SLICE("\"reported_domain\":\"example.jp\"")) > 0);
    }
}

/* ── time (X11): twice the report, about twice the time ── */

enum { TWICE_MOST = 3 }; /* a square would take four times */

static double records_cost(const void *context, size_t records)
{
    SCOPED(buf) xml = BUF(256 << 20);
    SCOPED(arena) arena = {0};
    buf_text(&xml, "<feedback>" META POLICY);
    for (size_t i = 0; i < records; i++)
        buf_text(&xml, RECORD);
    buf_text(&xml, "</feedback>");
    struct feedback f;
    struct fault why = {0};
    double begun = test_cpu_seconds();
    if (!feedback_read(buf_slice(&xml), &arena, &f, &why))
        fail_msg("%s", why.text);
    double took = test_cpu_seconds() - begun;
    assert_int_equal(f.row_count, records);
    return took;
}

static void linear(void **state)
{
    double growth = test_cost_growth(records_cost, NULL, 8000, 2, TWICE_MOST);
    if (growth > TWICE_MOST)
        fail_msg("twice the records took %.1f times as long", growth);
}

/* What would make a parser slow: twice as much takes about twice as long, or is refused at once. */
struct repeated {
    const char *thought, *unit, *before, *behind;
};
static double repeated_cost(const void *context, size_t count)
{
    const struct repeated *repeated = context;
    SCOPED(buf) xml = BUF(256 << 20);
    SCOPED(arena) arena = {0};
    buf_str(&xml, repeated->before);
    for (size_t i = 0; i < count; i++) { /* # in a unit is its number */
        struct slice tail = slice_str(repeated->unit), head;
        slice_split(&tail, '#', &head);
        buf_append(&xml, head);
        buf_u64(&xml, i);
        buf_append(&xml, tail);
    }
    buf_str(&xml, repeated->behind);
    struct feedback f;
    struct fault why = {0};
    double begun = test_cpu_seconds();
    bool ok = feedback_read(buf_slice(&xml), &arena, &f, &why);
    double took = test_cpu_seconds() - begun;
    assert_true(ok || why.kind);
    return took;
}

static void never_slow(void **state)
{
    static const struct repeated rows[] = {
        {"attributes", " a#=\"\"", "<feedback", "></feedback>"},
        {"attributes behind a > in quotes", " a#=\"\"", "<feedback x=\">\"", "></feedback>"},
        {"name spaces", " xmlns:a#=\"u\"", "<feedback", "></feedback>"},
        {"elements that never end", "<a#>", "<feedback>", ""},
        {"comments", "<!-- # -->", "<feedback>", "</feedback>"},
        {"bare ampersands", "&#", "<feedback><x>", "</x></feedback>"},
        {"references", "&lt;#", "<feedback><x>", "</x></feedback>"},
        {"opening brackets", "<<#", "<feedback>", ""},
        {"a CDATA that never ends", "]]#", "<feedback><x><![CDATA[", ""},
        {"JSON brackets", "[#,", "{\"policies\":", ""},
        {"JSON members", "\"k#\":1,", "{\"report-id\":\"x\",", "\"policies\":[]}"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double growth = test_cost_growth(repeated_cost, &rows[i], 40000, 2, TWICE_MOST);
        if (growth > TWICE_MOST)
            fail_msg("%s: twice as much took %.1f times as long", rows[i].thought, growth);
    }
}

static void no_more_than_the_ceiling(void **state)
{
    SCOPED(buf) xml = BUF(256 << 20);
    SCOPED(arena) arena = {0};
    buf_text(&xml, "<feedback>" POLICY);
    for (unsigned i = 0; i < FEEDBACK_ROWS_MAX + 5; i++)
        buf_text(&xml, "<record><row><count>1</count></row></record>");
    buf_text(&xml, "</feedback>");
    struct feedback f;
    struct fault why = {0};
    assert_true(feedback_read(buf_slice(&xml), &arena, &f, &why));
    assert_int_equal(f.row_count, FEEDBACK_ROWS_MAX);
    assert_true(f.is_cut);
}

#define TEST(name) cmocka_unit_test(name)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dmarc_as_they_write_it),
        TEST(all_of_a_record),
        TEST(refused_with_one_line),
        TEST(packed),
        TEST(bombs),
        TEST(in_a_mail),
        TEST(tls_rpt),
        TEST(arf),
        TEST(linear),
        TEST(never_slow),
        TEST(no_more_than_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
