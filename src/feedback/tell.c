/* tell.c - a report as JSON: the names of the report's own elements, under one roof */
#include "feedback/feedback.h"

static void word_put(struct json *json, const char *key, struct slice value)
{
    json_key_slice(json, slice_str(key));
    json_text(json, value);
}

static void count_put(struct json *json, const char *key, uint64_t value)
{
    json_key_slice(json, slice_str(key));
    json_int(json, (int64_t)value);
}

static void metadata_tell(const struct feedback *f, struct json *json)
{
    json_put_object(json, "report_metadata");
    word_put(json, "org_name", f->org);
    word_put(json, "email", f->email);
    word_put(json, "extra_contact_info", f->contact);
    word_put(json, "report_id", f->report_id);
    json_put_object(json, "date_range");
    json_put_int(json, "begin", f->begin);
    json_put_int(json, "end", f->end);
    json_end(json);
    json_put_array(json, "errors");
    for (unsigned i = 0; i < f->error_count; i++)
        json_text(json, f->errors[i]);
    json_end(json);
    word_put(json, "generator", f->generator);
    json_end(json);
}

static void auth_tell(const struct dmarc_auth *results, unsigned count, bool is_dkim, struct json *json)
{
    json_array_begin(json);
    for (unsigned i = 0; i < count; i++) {
        json_object_begin(json);
        word_put(json, "domain", results[i].domain);
        if (is_dkim)
            word_put(json, "selector", results[i].selector);
        else
            word_put(json, "scope", results[i].scope);
        word_put(json, "result", results[i].result);
        word_put(json, "human_result", results[i].human);
        json_end(json);
    }
    json_end(json);
}

static void row_tell(const struct dmarc_row *row, struct json *json)
{
    json_object_begin(json);
    word_put(json, "source_ip", row->source_ip);
    count_put(json, "count", row->count);
    json_put_object(json, "policy_evaluated");
    word_put(json, "disposition", row->disposition);
    word_put(json, "dkim", row->dkim);
    word_put(json, "spf", row->spf);
    json_put_array(json, "reasons");
    for (unsigned i = 0; i < row->override_count; i++) {
        json_object_begin(json);
        word_put(json, "type", row->overrides[i].type);
        word_put(json, "comment", row->overrides[i].comment);
        json_end(json);
    }
    json_end(json);
    json_end(json);
    json_put_object(json, "identifiers");
    word_put(json, "header_from", row->header_from);
    word_put(json, "envelope_from", row->envelope_from);
    word_put(json, "envelope_to", row->envelope_to);
    json_end(json);
    json_put_object(json, "auth_results");
    json_key(json, "dkim");
    auth_tell(row->dkim_results, row->dkim_count, true, json);
    json_key(json, "spf");
    auth_tell(row->spf_results, row->spf_count, false, json);
    json_end(json);
    json_end(json);
}

static void dmarc_tell(const struct feedback *f, struct json *json)
{
    const struct dmarc_policy_said *p = &f->policy;
    word_put(json, "version", f->version);
    word_put(json, "namespace", f->space);
    metadata_tell(f, json);
    json_put_object(json, "policy_published");
    word_put(json, "domain", p->domain);
    word_put(json, "discovery_method", p->discovery_method);
    word_put(json, "adkim", p->adkim);
    word_put(json, "aspf", p->aspf);
    word_put(json, "p", p->p);
    word_put(json, "sp", p->sp);
    word_put(json, "np", p->np);
    word_put(json, "pct", p->pct);
    word_put(json, "fo", p->fo);
    word_put(json, "testing", p->testing);
    json_end(json);
    json_put_array(json, "records");
    for (unsigned i = 0; i < f->row_count; i++)
        row_tell(&f->rows[i], json);
    json_end(json);
}

static void failure_tell(const struct tls_failure *failure, struct json *json)
{
    json_object_begin(json);
    word_put(json, "result_type", failure->result_type);
    word_put(json, "sending_mta_ip", failure->sending_ip);
    word_put(json, "receiving_mx_hostname", failure->receiving_mx);
    word_put(json, "receiving_mx_helo", failure->receiving_helo);
    word_put(json, "receiving_ip", failure->receiving_ip);
    count_put(json, "failed_session_count", failure->sessions);
    word_put(json, "failure_reason_code", failure->reason_code);
    word_put(json, "additional_information", failure->additional);
    json_end(json);
}

static void tls_tell(const struct feedback *f, struct json *json)
{
    metadata_tell(f, json);
    json_put_array(json, "policies");
    for (unsigned i = 0; i < f->policy_count; i++) {
        const struct tls_policy_said *p = &f->policies[i];
        json_object_begin(json);
        word_put(json, "policy_type", p->type);
        word_put(json, "policy_domain", p->domain);
        json_put_array(json, "mx_host");
        for (unsigned k = 0; k < p->mx_count; k++)
            json_text(json, p->mx[k]);
        json_end(json);
        count_put(json, "total_successful_session_count", p->succeeded);
        count_put(json, "total_failure_session_count", p->failed);
        json_put_array(json, "failure_details");
        for (unsigned k = 0; k < p->failure_count; k++)
            failure_tell(&p->failures[k], json);
        json_end(json);
        json_end(json);
    }
    json_end(json);
}

/* "Original-Mail-From" as original_mail_from; a field that comes again is put behind a comma. */
static void fields_tell(const struct feedback *f, struct json *json)
{
    json_put_object(json, "fields");
    SCOPED(buf) name = BUF(256), value = BUF(FEEDBACK_FIELDS_MAX * (FEEDBACK_TEXT_MAX + 2));
    for (unsigned i = 0; i < f->field_count; i++) {
        bool is_again = false;
        for (unsigned k = 0; k < i && !is_again; k++)
            is_again = slice_equal_caseless(f->fields[k].name, f->fields[i].name);
        if (is_again)
            continue;
        buf_reset(&name);
        buf_reset(&value);
        for (size_t k = 0; k < f->fields[i].name.len; k++)
            buf_byte(&name, f->fields[i].name.ptr[k] == '-' ? '_' : ascii_lower(f->fields[i].name.ptr[k]));
        for (unsigned k = i; k < f->field_count; k++) {
            if (!slice_equal_caseless(f->fields[k].name, f->fields[i].name))
                continue;
            buf_str(&value, value.len ? ", " : "");
            buf_append(&value, f->fields[k].value);
        }
        json_key_slice(json, buf_slice(&name));
        json_text(json, buf_slice(&value));
    }
    json_end(json);
}

static void arf_tell(const struct feedback *f, struct json *json)
{
    word_put(json, "feedback_type", f->type);
    word_put(json, "version", f->version);
    word_put(json, "user_agent", f->generator);
    word_put(json, "reporting_mta", f->org);
    word_put(json, "from", f->email);
    word_put(json, "source_ip", feedback_field(f, SLICE("Source-IP")));
    word_put(json, "reported_domain", feedback_field(f, SLICE("Reported-Domain")));
    word_put(json, "arrival_date", feedback_field(f, SLICE("Arrival-Date")));
    word_put(json, "original_mail_from", feedback_field(f, SLICE("Original-Mail-From")));
    word_put(json, "original_rcpt_to", feedback_field(f, SLICE("Original-Rcpt-To")));
    fields_tell(f, json);
    json_put_object(json, "original");
    word_put(json, "from", f->original_from);
    word_put(json, "to", f->original_to);
    word_put(json, "subject", f->original_subject);
    word_put(json, "message_id", f->original_message_id);
    json_end(json);
}

void feedback_tell(const struct feedback *feedback, struct json *json)
{
    json_put_string(json, "kind", feedback_kind_word(feedback->kind));
    json_put_bool(json, "is_cut", feedback->is_cut);
    switch (feedback->kind) {
    case FEEDBACK_DMARC: dmarc_tell(feedback, json); return;
    case FEEDBACK_TLS: tls_tell(feedback, json); return;
    case FEEDBACK_FAILURE:
    case FEEDBACK_ABUSE: arf_tell(feedback, json); return;
    case FEEDBACK_NONE: return;
    }
}
