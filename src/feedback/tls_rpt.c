/* tls_rpt.c - reports of how TLS to our mail hosts went (RFC 8460): JSON, read by jansson into rows */
#include "base/time.h"
#include "base/utf8.h"
#include "feedback/private.h"
#include <jansson.h>

enum { POLICIES_MAX = 1000, FAILURES_MAX = 1000 };

static struct slice text(const json_t *object, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return SLICE("");
    return arena_copy(arena,
                      utf8_head(slice_of(json_string_value(value), json_string_length(value)), FEEDBACK_TEXT_MAX));
}

static uint64_t count(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_string(value)) /* some write numbers as strings */
        return feedback_count(slice_of(json_string_value(value), json_string_length(value)));
    return json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

/* Unix seconds; 0: no such time. */
static int64_t moment(struct slice said)
{
    time_ms at;
    return time_parse_rfc3339(slice_trim(said), &at) ? at / 1000 : 0;
}

static void failure_read(const json_t *said, struct arena *arena, struct tls_failure *failure)
{
    *failure = (struct tls_failure){
        .result_type = feedback_lower(text(said, "result-type", arena), arena),
        .sending_ip = text(said, "sending-mta-ip", arena),
        .receiving_mx = text(said, "receiving-mx-hostname", arena),
        .receiving_helo = text(said, "receiving-mx-helo", arena),
        .receiving_ip = text(said, "receiving-ip", arena),
        .reason_code = text(said, "failure-reason-code", arena),
        .additional = text(said, "additional-information", arena),
        .sessions = count(said, "failed-session-count"),
    };
}

/* A value that is one string or a list of them. */
static void hosts_read(const json_t *said, struct arena *arena, struct tls_policy_said *policy)
{
    size_t n = json_is_array(said) ? json_array_size(said) : json_is_string(said);
    n = n < FEEDBACK_MX_MAX ? n : FEEDBACK_MX_MAX;
    policy->mx = ARENA_ARRAY(arena, struct slice, n + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(said) ? json_array_get(said, i) : said;
        if (json_is_string(one))
            policy->mx[policy->mx_count++] = arena_copy(
                arena, utf8_head(slice_of(json_string_value(one), json_string_length(one)), FEEDBACK_TEXT_MAX));
    }
}

static void policy_read(const json_t *said, struct arena *arena, struct feedback *feedback,
                        struct tls_policy_said *policy)
{
    const json_t *about = json_object_get(said, "policy"), *summary = json_object_get(said, "summary");
    const json_t *failures = json_object_get(said, "failure-details");
    policy->type = feedback_lower(text(about, "policy-type", arena), arena);
    policy->domain = feedback_lower(text(about, "policy-domain", arena), arena);
    hosts_read(json_object_get(about, "mx-host"), arena, policy);
    policy->succeeded = count(summary, "total-successful-session-count");
    policy->failed = count(summary, "total-failure-session-count");
    size_t n = json_array_size(failures);
    feedback->is_cut |= n > FAILURES_MAX;
    n = n < FAILURES_MAX ? n : FAILURES_MAX;
    policy->failures = ARENA_ARRAY(arena, struct tls_failure, n + 1);
    for (size_t i = 0; i < n; i++)
        failure_read(json_array_get(failures, i), arena, &policy->failures[policy->failure_count++]);
}

bool feedback_read_tls(struct slice json, struct arena *arena, struct feedback *feedback, struct fault *why)
{
    if (json.len > FEEDBACK_JSON_MAX)
        return fault_set(why, FAULT_LIMIT, "the TLS report is larger than %d MB", FEEDBACK_JSON_MAX >> 20);
    if (slice_starts(json, SLICE("\xef\xbb\xbf")))
        json = slice_from(json, 3);
    SCOPED(buf) repaired = BUF(json.len * 3 + 16);
    utf8_repair(&repaired, json);
    json_error_t error;
    json_t *said = json_loadb(repaired.ptr ? repaired.ptr : "", repaired.len, JSON_ALLOW_NUL, &error);
    if (!said)
        return fault_set(why, FAULT_INPUT, "line %d: the JSON is broken: %.200s", error.line, error.text);
    const json_t *policies = json_object_get(said, "policies"), *range = json_object_get(said, "date-range");
    *feedback = (struct feedback){
        .kind = FEEDBACK_TLS,
        .org = text(said, "organization-name", arena),
        .contact = text(said, "contact-info", arena),
        .report_id = text(said, "report-id", arena),
        .begin = moment(text(range, "start-datetime", arena)),
        .end = moment(text(range, "end-datetime", arena)),
    };
    bool is_report = json_is_array(policies) && (feedback->org.len || feedback->report_id.len);
    size_t n = is_report ? json_array_size(policies) : 0;
    feedback->is_cut = n > POLICIES_MAX;
    n = n < POLICIES_MAX ? n : POLICIES_MAX;
    feedback->policies = ARENA_ARRAY(arena, struct tls_policy_said, n + 1);
    for (size_t i = 0; i < n; i++)
        policy_read(json_array_get(policies, i), arena, feedback, &feedback->policies[feedback->policy_count++]);
    json_decref(said);
    return is_report || fault_set(why, FAULT_INPUT, "this JSON is no TLS report: it has no policies");
}
