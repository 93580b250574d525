/* record_read.c - inside the jail: everything that one mail claims */
#include "base/map.h"
#include "mime/charset.h"
#include "receive/record.h"
#include <libxml/parser.h>
#include <openssl/evp.h>

/* ── who it was sent to, who says to have sent it ── */

void record_addresses(const struct mime_mail *mail, struct mail_record *record)
{
    static const struct slice names[] = {SLICE_INIT("Delivered-To"),
                                         SLICE_INIT("X-Original-To"),
                                         SLICE_INIT("Envelope-To"),
                                         SLICE_INIT("X-Envelope-To"),
                                         SLICE_INIT("X-Delivered-To"),
                                         SLICE_INIT("X-RCPT-To"),
                                         SLICE_INIT("Apparently-To"),
                                         SLICE_INIT("To"),
                                         SLICE_INIT("Cc")};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice value, found[8];
        for (unsigned nth = 0; nth < 4 && (value = mime_header_nth(mail, 0, names[i], nth)).ptr; nth++) {
            size_t count = mime_addresses(value, found, COUNT_OF(found));
            for (size_t k = 0; k < count && record->address_count < RECORD_ADDRESSES_MAX; k++)
                if (slice_starts_caseless(found[k], SLICE("b-")) || slice_starts_caseless(found[k], SLICE("u-")))
                    record->addresses[record->address_count++] = found[k];
        }
    }
}

static void from_find(const struct mime_mail *mail, struct mail_record *record)
{
    struct slice found[2];
    if (mime_header_nth(mail, 0, SLICE("From"), 1).ptr ||
        mime_addresses(mime_header(mail, 0, SLICE("From")), found, 2) != 1)
        return;
    ptrdiff_t at = slice_find_last_byte(found[0], '@');
    if (at >= 0)
        record->from_domain = slice_head(slice_from(found[0], (size_t)at + 1), DKIM_NAME_MAX);
}

/* ── reports: their records summed by source and outcome ── */

struct summing {
    struct report_record *report;
    struct arena *arena;
    struct map known; /* all words of a source -> it */
};

static void sum(struct summing *s, const struct report_source *source)
{
    const struct slice words[] = {source->ip,   source->domain, source->outcome,
                                  source->dkim, source->spf,    source->detail};
    SCOPED(buf) words_joined = BUF(COUNT_OF(words) * (FEEDBACK_TEXT_MAX + 1));
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        buf_append(&words_joined, slice_head(words[i], FEEDBACK_TEXT_MAX));
        buf_byte(&words_joined, '\n');
    }
    struct slice key = buf_slice(&words_joined);
    struct report_source *known = map_get(&s->known, key);
    if (known) {
        known->count = known->count > INT64_MAX - source->count ? INT64_MAX : known->count + source->count;
        return;
    }
    if (s->report->source_count == RECORD_SOURCES_MAX) {
        s->report->is_cut = true;
        return;
    }
    known = &s->report->sources[s->report->source_count++];
    *known = *source;
    map_set(&s->known, key, known);
}

static struct slice auth_words(const struct dmarc_row *row, struct arena *arena)
{
    SCOPED(buf) out = BUF(1024);
    for (unsigned i = 0; i < row->dkim_count && i < 4; i++)
        buf_printf(&out, "%sdkim=%.*s d=%.*s s=%.*s", out.len ? "; " : "", SLICE_ARG(row->dkim_results[i].result),
                   SLICE_ARG(slice_head(row->dkim_results[i].domain, 253)),
                   SLICE_ARG(slice_head(row->dkim_results[i].selector, 64)));
    for (unsigned i = 0; i < row->spf_count && i < 2; i++)
        buf_printf(&out, "%sspf=%.*s %.*s", out.len ? "; " : "", SLICE_ARG(row->spf_results[i].result),
                   SLICE_ARG(slice_head(row->spf_results[i].domain, 253)));
    for (unsigned i = 0; i < row->override_count && i < 2; i++)
        buf_printf(&out, "%soverride=%.*s", out.len ? "; " : "", SLICE_ARG(slice_head(row->overrides[i].type, 64)));
    return arena_copy(arena, buf_slice(&out));
}

static void sum_dmarc(struct summing *s, const struct feedback *feedback)
{
    for (unsigned i = 0; i < feedback->row_count; i++) {
        const struct dmarc_row *row = &feedback->rows[i];
        bool is_good = slice_equal(row->dkim, SLICE("pass")) || slice_equal(row->spf, SLICE("pass"));
        sum(s, &(struct report_source){row->source_ip, row->header_from, row->disposition, row->dkim, row->spf,
                                       auth_words(row, s->arena), row->count, is_good});
    }
}

static void sum_tls(struct summing *s, const struct feedback *feedback)
{
    for (unsigned i = 0; i < feedback->policy_count; i++) {
        const struct tls_policy_said *policy = &feedback->policies[i];
        struct slice host = policy->mx_count ? policy->mx[0] : SLICE("");
        uint64_t told = 0;
        if (policy->succeeded)
            sum(s, &(struct report_source){.ip = host,
                                           .domain = policy->domain,
                                           .outcome = SLICE("success"),
                                           .detail = policy->type,
                                           .count = policy->succeeded,
                                           .is_good = true});
        for (unsigned k = 0; k < policy->failure_count; k++) {
            const struct tls_failure *failure = &policy->failures[k];
            told += failure->sessions;
            sum(s,
                &(struct report_source){.ip = failure->receiving_mx.len ? failure->receiving_mx : failure->receiving_ip,
                                        .domain = policy->domain,
                                        .outcome = failure->result_type,
                                        .detail = failure->reason_code.len ? failure->reason_code : policy->type,
                                        .count = failure->sessions});
        }
        if (policy->failed > told)
            sum(s, &(struct report_source){.ip = host,
                                           .domain = policy->domain,
                                           .outcome = SLICE("failure"),
                                           .detail = policy->type,
                                           .count = policy->failed - told});
    }
}

static void report_take(const struct feedback *feedback, struct arena *arena, struct report_record *report)
{
    *report = (struct report_record){
        .kind = feedback->kind,
        .org = feedback->org.len ? feedback->org : feedback->email,
        .email = feedback->email,
        .report_id = feedback->report_id,
        .domain = feedback_domain(feedback),
        .policy = feedback->policy.p,
        .begin = feedback->begin < (int64_t)1 << 40 ? feedback->begin : 0,
        .end = feedback->end < (int64_t)1 << 40 ? feedback->end : 0,
        .is_cut = feedback->is_cut,
        .sources = ARENA_ARRAY(arena, struct report_source, RECORD_SOURCES_MAX),
    };
    struct summing s = {.report = report, .arena = arena};
    switch (feedback->kind) {
    case FEEDBACK_DMARC: sum_dmarc(&s, feedback); break;
    case FEEDBACK_TLS: sum_tls(&s, feedback); break;
    case FEEDBACK_FAILURE:
        report->report_id = feedback->original_message_id;
        sum(&s, &(struct report_source){.ip = feedback_field(feedback, SLICE("Source-IP")),
                                        .domain = feedback_domain(feedback),
                                        .outcome = feedback_field(feedback, SLICE("Delivery-Result")),
                                        .detail = feedback_field(feedback, SLICE("Auth-Failure")),
                                        .count = 1});
        break;
    case FEEDBACK_ABUSE: /* a complaint is an event of its own */
    case FEEDBACK_NONE: report->kind = FEEDBACK_NONE; break;
    }
    map_release(&s.known);
}

static void report_find(struct slice mail, struct arena *arena, struct mail_record *record)
{
    struct feedback *feedback = ARENA_NEW(arena, struct feedback);
    struct fault why = {0};
    if (feedback_read(mail, arena, feedback, &why))
        report_take(feedback, arena, &record->report);
    else if (!feedback->is_absent)
        record->report_why = arena_copy(arena, slice_str(why.text));
}

/* ── all of it ── */

void record_read(struct slice bytes, const struct rules *rules, struct rules_scratch *scratch, int64_t now,
                 struct arena *arena, struct mail_record *record)
{
    struct mime_mail *mail = ARENA_NEW(arena, struct mime_mail);
    *record = (struct mail_record){0};
    mime_read(bytes, arena, mail);
    record->over = mail->over;
    bounce_read(mail, rules, scratch, arena, &record->bounce);
    record_addresses(mail, record);
    from_find(mail, record);
    dkim_claims_read(bytes, now, &record->dkim);
    enum kind kind = record->bounce.kind;
    if (kind == KIND_NONE || kind == KIND_REPORT || kind == KIND_COMPLAINT || kind == KIND_AUTOREPLY)
        report_find(bytes, arena, record);
}

struct prepared {
    struct rules *rules;
    struct rules_scratch *scratch;
    struct charset_keeper *charsets;
    struct arena arena;
};

static void work_read(void *context, struct slice bytes, int64_t now, struct buf *out)
{
    struct prepared *prepared = context;
    struct mail_record *record = ARENA_NEW(&prepared->arena, struct mail_record);
    record_read(bytes, prepared->rules, prepared->scratch, now, &prepared->arena, record);
    record_write(record, out);
    if (prepared->arena.used_bytes > 1 << 20)
        arena_release(&prepared->arena);
    else
        arena_reset(&prepared->arena);
}

/* A mail that goes through everything once, so that nothing is left to be loaded when files cannot be opened. */
static const char warm_up[] =
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.jp; s=t; h=from:to; "
    "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
    "From: MAILER-DAEMON@example.jp\r\nTo: b-x@example.jp\r\nSubject: =?iso-2022-jp?B?GyRCJCIbKEI=?= Report domain: "
    "x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=shift_jis\r\n\r\n"
    "\x82\xa0\r\n--b\r\nContent-Type: application/xml\r\n\r\n<feedback><policy_published><domain>x</domain>"
    "</policy_published></feedback>\r\n--b--\r\n";
static const char warm_up_packed[] = /* broken archives, a TLS report: each library is called once */
    "Subject: r\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/zip\r\n\r\n"
    "PK\3\4"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n--b\r\nContent-Type: application/gzip\r\n\r\n"
    "\x1f\x8b\x08"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n--b\r\nContent-Type: application/tlsrpt+json\r\n\r\n"
    "{\"organization-name\":\"o\",\"policies\":[{}]}\r\n--b--\r\n";

static void *work_prepare(struct fault *why)
{
    struct prepared *prepared = NEW(struct prepared);
    if (!rules_open(&prepared->rules, why))
        return NULL;
    prepared->scratch = rules_scratch_new(prepared->rules);
    prepared->charsets = charset_keeper_new();
    xmlInitParser();
    OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS, NULL);
    SCOPED(buf) out = BUF(1 << 20);
    setenv("TZ", "UTC0", 1); /* libarchive asks for local times */
    work_read(prepared, slice_of(warm_up, sizeof(warm_up) - 1), 0, &out);
    work_read(prepared, slice_of(warm_up_packed, sizeof(warm_up_packed) - 1), 0, &out);
    return prepared;
}

const struct jail_work record_work = {work_prepare, work_read};
