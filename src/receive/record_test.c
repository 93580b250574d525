/* X13: what a reader says is strangers' bytes: written and parsed it is the same; broken anywhere it is refused or
 * harmless */
#include "receive/record.h"

#include "base/random.h"
#include "base/test.h"

#define REPORT                                                                                                         \
    "From: MAILER-DAEMON@mx.example.jp\nTo: b-abc@bounce.example.jp, x@y.example\nDelivered-To: b-def@z.example\n"     \
    "Subject: Returned mail\nContent-Type: multipart/report; report-type=delivery-status; boundary=B\n\n--B\n\n"       \
    "Your mail had a problem.\n--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.jp\n\n"    \
    "Final-Recipient: rfc822; ann@example.jp\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User "   \
    "unknown\n\nFinal-Recipient: rfc822; bob@example.jp\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 "   \
    "5.2.2 mailbox full\n\n--B\nContent-Type: text/rfc822-headers\n\nFrom: n@shop.example\nMessage-ID: "               \
    "<m@x>\n\n--B--\n"
#define DMARC                                                                                                          \
    "DKIM-Signature: v=1; a=rsa-sha256; d=g.example; s=t; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; "   \
    "b=AAAA\nFrom: r@g.example\nTo: dmarc-reports@bounce.example.jp\nSubject: Report domain: "                         \
    "example.jp\nContent-Type: "                                                                                       \
    "text/xml\n\n<feedback><report_metadata><org_name>g</org_name><report_id>7</report_id></report_metadata>"          \
    "<policy_published><domain>example.jp</domain><p>none</p></policy_published><record><row><source_ip>192.0.2.1"     \
    "</source_ip><count>3</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>"    \
    "</policy_evaluated></row><identifiers><header_from>example.jp</header_from></identifiers></record><record><row>"  \
    "<source_ip>192.0.2.1</source_ip><count>4</count><policy_evaluated><disposition>none</disposition><dkim>pass"      \
    "</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.jp</header_from></identifiers>"  \
    "</record></feedback>\n"

struct fixture {
    struct rules *rules;
    struct rules_scratch *scratch;
    struct arena arena;
    struct buf out;
    struct mail_record first, second;
};

static void begin(struct fixture *f)
{
    struct fault why;
    *f = (struct fixture){.out = BUF(1 << 20)};
    if (!rules_open(&f->rules, &why))
        fail_msg("%s", why.text);
    f->scratch = rules_scratch_new(f->rules);
}
static void end(struct fixture *f)
{
    rules_scratch_free(f->scratch);
    rules_free(f->rules);
    buf_release(&f->out);
    arena_release(&f->arena);
}
static void cross(struct fixture *f, const char *mail)
{
    struct fault why;
    buf_reset(&f->out);
    record_read(slice_str(mail), f->rules, f->scratch, 1, &f->arena, &f->first);
    record_write(&f->first, &f->out);
    if (!record_parse(buf_slice(&f->out), &f->arena, &f->second, &why))
        fail_msg("%s", why.text);
}

static void the_same_on_both_sides(void **state)
{
    struct fixture f;
    begin(&f);
    cross(&f, REPORT);
    const struct bounce *a = &f.first.bounce, *b = &f.second.bounce;
    assert_int_equal(b->kind, KIND_BOUNCE);
    assert_int_equal(b->row_count, 2);
    assert_slice("message id", b->message_id, SLICE("m@x"));
    for (unsigned i = 0; i < 2; i++) {
        assert_slice("recipient", b->rows[i].recipient, a->rows[i].recipient);
        assert_slice("diagnostic", b->rows[i].diagnostic, a->rows[i].diagnostic);
        assert_slice("mark", b->rows[i].mark, a->rows[i].mark);
        assert_slice("rule", b->rows[i].verdict.rule, a->rows[i].verdict.rule);
        assert_int_equal(b->rows[i].verdict.reason, a->rows[i].verdict.reason);
        assert_int_equal(b->rows[i].verdict.action, a->rows[i].verdict.action);
        assert_int_equal(b->rows[i].code, a->rows[i].code);
        assert_memory_equal(b->rows[i].status, a->rows[i].status, sizeof(a->rows[i].status));
    }
    assert_int_equal(b->rows[0].verdict.reason, REASON_USER_UNKNOWN);
    assert_int_equal(f.second.address_count, 2);
    assert_slice("Delivered-To goes first", f.second.addresses[0], SLICE("b-def@z.example"));
    assert_slice("From", f.second.from_domain, SLICE("mx.example.jp"));
    end(&f);
}

static void a_report(void **state)
{
    struct fixture f;
    begin(&f);
    cross(&f, DMARC);
    const struct report_record *r = &f.second.report;
    assert_int_equal(r->kind, FEEDBACK_DMARC);
    assert_slice("org", r->org, SLICE("g"));
    assert_int_equal(r->source_count, 1); /* alike: summed */
    assert_int_equal(r->sources[0].count, 7);
    assert_true(r->sources[0].is_good);
    assert_int_equal(f.second.dkim.count, 1);
    assert_string_equal(f.second.dkim.claim[0].domain, "g.example");
    cross(&f, "Subject: Report domain: x\nContent-Type: text/xml\n\n<!DOCTYPE f><feedback></feedback>\n");
    assert_int_equal(f.second.report.kind, FEEDBACK_NONE);
    assert_true(slice_find(f.second.report_why, SLICE("document type")) > 0);
    cross(&f, "Subject: hello\n\nhow are you?\n");
    assert_int_equal(f.second.report_why.len, 0);
    assert_int_equal(f.second.bounce.row_count, 0);
    end(&f);
}

/* Cut and changed in every place: refused, or a record within its bounds. */
static void broken(void **state)
{
    static const char *const mails[] = {REPORT, DMARC};
    struct fixture f;
    struct random random;
    struct fault why;
    begin(&f);
    random_seed(&random, 7);
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        cross(&f, mails[i]);
        struct slice good = buf_slice(&f.out);
        struct arena arena = {0};
        for (size_t len = 0; len < good.len; len++) {
            char *copy = slice_dup(slice_head(good, len)); /* so that a sanitizer sees the end */
            assert_false(record_parse(slice_of(copy, len), &arena, &f.second, &why));
            free(copy);
            arena_reset(&arena);
        }
        char *copy = memory_alloc(good.len + 1);
        assert_false(record_parse(slice_of(memcpy(copy, good.ptr, good.len), good.len + 1), &arena, &f.second, &why));
        for (int n = 0; n < 30000; n++) {
            memcpy(copy, good.ptr, good.len);
            for (uint64_t k = random_below(&random, 4) + 1; k; k--)
                copy[random_below(&random, good.len)] = (char)random_next(&random);
            if (record_parse(slice_of(copy, good.len), &arena, &f.second, &why)) {
                for (unsigned r = 0; r < f.second.bounce.row_count; r++) {
                    const struct bounce_row *row = &f.second.bounce.rows[r];
                    assert_true(row->kind < KIND_COUNT && row->verdict.reason < REASON_COUNT);
                    assert_true(!row->mark.len ||
                                row->mark.ptr + row->mark.len <= row->diagnostic.ptr + row->diagnostic.len);
                }
                assert_true(f.second.bounce.authenticity != AUTHENTICITY_GENUINE);
            }
            arena_reset(&arena);
        }
        free(copy);
        arena_release(&arena);
    }
    end(&f);
}

#define TEST(name) cmocka_unit_test(name)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(the_same_on_both_sides), TEST(a_report), TEST(broken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
