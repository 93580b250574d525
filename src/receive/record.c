/* record.c - a record as octets: little-endian numbers, texts with their length in front */
#include "receive/record.h"

#include "base/utf8.h"

enum { RECORD_VERSION = 1, RECORD_ROWS_MAX = 1000 };

/* ── out ── */

static void put(struct buf *out, uint64_t number)
{
    buf_append(out, slice_of(&number, sizeof(number)));
}

/* As UTF-8 on one line, at most RECORD_TEXT_MAX octets. */
static void put_text(struct buf *out, struct slice text)
{
    SCOPED(buf) clean = BUF(RECORD_TEXT_MAX * 3 + 16);
    utf8_repair(&clean, slice_head(text, RECORD_TEXT_MAX));
    for (size_t i = 0; i < clean.len; i++)
        if ((unsigned char)clean.ptr[i] < ' ' || clean.ptr[i] == 0x7f)
            clean.ptr[i] = ' ';
    struct slice fits = utf8_head(buf_slice(&clean), RECORD_TEXT_MAX);
    put(out, fits.len);
    buf_append(out, fits);
}

static void put_row(struct buf *out, const struct bounce_row *row)
{
    put(out, row->kind);
    put(out, (uint64_t)row->code);
    for (unsigned i = 0; i < 3; i++)
        put(out, row->status[i]);
    put(out, row->stage);
    put_text(out, row->recipient);
    put_text(out, row->original);
    put_text(out, row->diagnostic);
    put_text(out, row->reporting_mta);
    put_text(out, row->remote_mta);
    put_text(out, row->action);
    put_text(out, row->feedback_type);
    bool has_mark = row->mark.len && row->diagnostic.len && row->mark.ptr >= row->diagnostic.ptr &&
                    row->mark.ptr + row->mark.len <= row->diagnostic.ptr + row->diagnostic.len;
    put(out, has_mark ? (uint64_t)(row->mark.ptr - row->diagnostic.ptr) : 0);
    put(out, has_mark ? row->mark.len : 0);
    put(out, row->verdict.reason);
    put(out, row->verdict.action);
    put(out, row->verdict.scope);
    put(out, row->verdict.whose);
    put(out, row->verdict.retry);
    put(out, row->verdict.is_permanent);
    put_text(out, row->verdict.rule);
    put_text(out, row->verdict.words);
}

static void put_report(struct buf *out, const struct report_record *report)
{
    put(out, report->kind);
    if (report->kind == FEEDBACK_NONE)
        return;
    put_text(out, report->org);
    put_text(out, report->email);
    put_text(out, report->report_id);
    put_text(out, report->domain);
    put_text(out, report->policy);
    put(out, (uint64_t)report->begin);
    put(out, (uint64_t)report->end);
    put(out, report->is_cut);
    put(out, report->source_count);
    for (unsigned i = 0; i < report->source_count; i++) {
        const struct report_source *source = &report->sources[i];
        put_text(out, source->ip);
        put_text(out, source->domain);
        put_text(out, source->outcome);
        put_text(out, source->dkim);
        put_text(out, source->spf);
        put_text(out, source->detail);
        put(out, source->count);
        put(out, source->is_good);
    }
}

void record_write(const struct mail_record *record, struct buf *out)
{
    const struct bounce *bounce = &record->bounce;
    unsigned rows = bounce->row_count < RECORD_ROWS_MAX ? bounce->row_count : RECORD_ROWS_MAX;
    put(out, RECORD_VERSION);
    put(out, bounce->kind);
    put(out, bounce->authenticity);
    put(out, bounce->is_cut || rows < bounce->row_count);
    put_text(out, bounce->message_id);
    put_text(out, bounce->original_from);
    put_text(out, bounce->original_subject);
    put_text(out, bounce->original_token);
    put(out, rows);
    for (unsigned i = 0; i < rows; i++)
        put_row(out, &bounce->rows[i]);
    put(out, record->address_count);
    for (unsigned i = 0; i < record->address_count; i++)
        put_text(out, record->addresses[i]);
    put_text(out, record->from_domain);
    put(out, record->over);
    put(out, record->dkim.count);
    buf_append(out, slice_of(record->dkim.claim, record->dkim.count * sizeof(*record->dkim.claim)));
    put_report(out, &record->report);
    put_text(out, record->report_why);
}

/* ── in ── */

struct taking {
    struct slice rest;
    bool is_bad;
};

static uint64_t take(struct taking *t, uint64_t most)
{
    uint64_t number = 0;
    if (t->rest.len < sizeof(number)) {
        t->is_bad = true;
        return 0;
    }
    memcpy(&number, t->rest.ptr, sizeof(number));
    t->rest = slice_from(t->rest, sizeof(number));
    t->is_bad = t->is_bad || number > most;
    return t->is_bad ? 0 : number;
}

static struct slice take_text(struct taking *t)
{
    size_t len = take(t, RECORD_TEXT_MAX);
    if (len > t->rest.len)
        t->is_bad = true;
    if (t->is_bad)
        return SLICE("");
    struct slice text = slice_head(t->rest, len);
    t->rest = slice_from(t->rest, len);
    for (size_t i = 0; i < len; i++)
        t->is_bad = t->is_bad || (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f;
    t->is_bad = t->is_bad || !utf8_is_valid(text);
    return len ? text : SLICE("");
}

static void take_row(struct taking *t, struct bounce_row *row)
{
    row->kind = (enum kind)take(t, KIND_COUNT - 1);
    row->code = (int)take(t, 999);
    for (unsigned i = 0; i < 3; i++)
        row->status[i] = (uint16_t)take(t, 999);
    row->stage = (enum stage)take(t, STAGE_COUNT - 1);
    row->recipient = take_text(t);
    row->original = take_text(t);
    row->diagnostic = take_text(t);
    row->reporting_mta = take_text(t);
    row->remote_mta = take_text(t);
    row->action = take_text(t);
    row->feedback_type = take_text(t);
    size_t from = take(t, RECORD_TEXT_MAX), len = take(t, RECORD_TEXT_MAX);
    if (len && from + len <= row->diagnostic.len)
        row->mark = slice_of(row->diagnostic.ptr + from, len);
    row->verdict.reason = (enum reason)take(t, REASON_COUNT - 1);
    row->verdict.action = (enum action)take(t, ACTION_COUNT - 1);
    row->verdict.scope = (enum scope)take(t, SCOPE_COUNT - 1);
    row->verdict.whose = (enum whose_fault)take(t, WHOSE_COUNT - 1);
    row->verdict.retry = (enum retry)take(t, RETRY_COUNT - 1);
    row->verdict.is_permanent = take(t, 1);
    row->verdict.rule = take_text(t);
    row->verdict.words = take_text(t);
}

static bool is_ended(const char *text, size_t room)
{
    return memchr(text, 0, room) != NULL;
}

/* Fit to be asked for: visible ASCII, and the whole name within 253. */
static bool is_name(const struct dkim_claim *claim)
{
    size_t len = 0;
    const char *const texts[] = {claim->domain, claim->selector};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        for (const char *at = texts[i]; *at; at++, len++)
            if (*at <= ' ' || *at > '~')
                return false;
    return len + sizeof("._domainkey.") - 1 <= DKIM_NAME_MAX || claim->settled != DKIM_NONE;
}

static void take_dkim(struct taking *t, struct dkim_claims *claims)
{
    claims->count = take(t, DKIM_CLAIMS_MAX);
    size_t octets = claims->count * sizeof(*claims->claim);
    if (t->is_bad || t->rest.len < octets) {
        t->is_bad = true;
        claims->count = 0;
        return;
    }
    memcpy(claims->claim, t->rest.ptr, octets);
    t->rest = slice_from(t->rest, octets);
    for (size_t i = 0; i < claims->count; i++) {
        struct dkim_claim *claim = &claims->claim[i];
        unsigned char has_length;
        memcpy(&has_length, &claim->has_body_length, 1);
        t->is_bad = t->is_bad || !is_ended(claim->domain, sizeof(claim->domain)) ||
                    !is_ended(claim->selector, sizeof(claim->selector)) ||
                    !is_ended(claim->agent_domain, sizeof(claim->agent_domain)) ||
                    !is_ended(claim->header_b, sizeof(claim->header_b)) ||
                    !is_ended(claim->reason, sizeof(claim->reason)) ||
                    claim->signature_len > DKIM_SIGNATURE_OCTETS_MAX || has_length > 1 ||
                    (unsigned)claim->settled > DKIM_PERMERROR || (unsigned)claim->algorithm > DKIM_ED25519_SHA256;
        t->is_bad = t->is_bad || !is_name(claim);
    }
}

static void take_report(struct taking *t, struct arena *arena, struct report_record *report)
{
    report->kind = (enum feedback_kind)take(t, FEEDBACK_ABUSE);
    if (report->kind == FEEDBACK_NONE)
        return;
    report->org = take_text(t);
    report->email = take_text(t);
    report->report_id = take_text(t);
    report->domain = take_text(t);
    report->policy = take_text(t);
    report->begin = (int64_t)take(t, (uint64_t)1 << 40);
    report->end = (int64_t)take(t, (uint64_t)1 << 40);
    report->is_cut = take(t, 1);
    report->source_count = (unsigned)take(t, RECORD_SOURCES_MAX);
    report->sources = ARENA_ARRAY(arena, struct report_source, report->source_count + 1);
    for (unsigned i = 0; i < report->source_count && !t->is_bad; i++) {
        struct report_source *source = &report->sources[i];
        source->ip = take_text(t);
        source->domain = take_text(t);
        source->outcome = take_text(t);
        source->dkim = take_text(t);
        source->spf = take_text(t);
        source->detail = take_text(t);
        source->count = take(t, INT64_MAX);
        source->is_good = take(t, 1);
    }
}

bool record_parse(struct slice bytes, struct arena *arena, struct mail_record *record, struct fault *why)
{
    struct taking t = {.rest = bytes};
    struct bounce *bounce = &record->bounce;
    *record = (struct mail_record){0};
    if (take(&t, RECORD_VERSION) != RECORD_VERSION)
        t.is_bad = true;
    bounce->kind = (enum kind)take(&t, KIND_COUNT - 1);
    bounce->authenticity = (enum authenticity)take(&t, AUTHENTICITY_COUNT - 1);
    bounce->is_cut = take(&t, 1);
    bounce->message_id = take_text(&t);
    bounce->original_from = take_text(&t);
    bounce->original_subject = take_text(&t);
    bounce->original_token = take_text(&t);
    bounce->row_count = (unsigned)take(&t, RECORD_ROWS_MAX);
    bounce->rows = ARENA_ARRAY(arena, struct bounce_row, bounce->row_count + 1);
    for (unsigned i = 0; i < bounce->row_count && !t.is_bad; i++)
        take_row(&t, &bounce->rows[i]);
    record->address_count = (unsigned)take(&t, RECORD_ADDRESSES_MAX);
    for (unsigned i = 0; i < record->address_count; i++)
        record->addresses[i] = take_text(&t);
    record->from_domain = take_text(&t);
    record->over = (enum mime_over)take(&t, MIME_OVER_HEADERS);
    take_dkim(&t, &record->dkim);
    take_report(&t, arena, &record->report);
    record->report_why = take_text(&t);
    /* a reader cannot prove anything */
    bool is_proof = bounce->authenticity == AUTHENTICITY_GENUINE || bounce->authenticity == AUTHENTICITY_BACKSCATTER;
    if (t.is_bad || t.rest.len || is_proof || (bounce->kind != KIND_NONE) != (bounce->row_count > 0))
        return fault_set(why, FAULT_INPUT, "the reader's record is not one");
    return true;
}
