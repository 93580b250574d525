#include "app/report_kept.h"

#include "app/command.h"
#include "app/desk.h"
#include "base/json.h"
#include "receive/kept_report.h"
#include <stdio.h>

struct kept {
    struct desk *desk;
    bool is_json;
    size_t count;
};

static void put_time(struct json *json, const char *key, time_ms at)
{
    SCOPED(buf) text = BUF(64);
    time_rfc3339(&text, at);
    json_key_slice(json, slice_str(key));
    json_text(json, at ? buf_slice(&text) : SLICE(""));
}

static bool print_report(void *context, const struct kept_report *report)
{
    struct kept *kept = context;
    kept->count++;
    if (!kept->is_json) {
        printf("%-20llu %-16.*s ", (unsigned long long)report->id, SLICE_ARG(feedback_kind_word(report->kind)));
        desk_cell(report->domain, 24);
        printf(" ");
        desk_cell(report->org, 24);
        printf(" %.*s %9llu good %9llu bad\n", SLICE_ARG(desk_time(kept->desk, report->begin)),
               (unsigned long long)report->good, (unsigned long long)report->bad);
        return true;
    }
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "id", arena_printf(&kept->desk->arena, "%llu", (unsigned long long)report->id));
    json_put_string(&json, "kind", feedback_kind_word(report->kind));
    json_put_string(&json, "org", report->org);
    json_put_string(&json, "report_id", report->report_id);
    json_put_string(&json, "domain", report->domain);
    json_put_string(&json, "policy", report->policy);
    put_time(&json, "begin", report->begin);
    put_time(&json, "end", report->end);
    put_time(&json, "received", report->received);
    json_put_int(&json, "good", (int64_t)report->good);
    json_put_int(&json, "bad", (int64_t)report->bad);
    json_put_string(&json, "sender", report->sender);
    json_put_string(&json, "sender_dkim", report->dkim);
    json_put_string(&json, "sender_dmarc", report->dmarc);
    json_put_bool(&json, "is_cut", report->is_cut);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
    return true;
}

static bool print_source(void *context, const struct report_source *source)
{
    struct kept *kept = context;
    kept->count++;
    if (!kept->is_json) {
        printf("%9llu  %-4s  ", (unsigned long long)source->count, source->is_good ? "good" : "bad");
        desk_cell(source->ip, 39);
        printf("  ");
        desk_cell(source->domain, 24);
        printf("  %-12.*s dkim=%-5.*s spf=%-5.*s  %.*s\n", SLICE_ARG(source->outcome), SLICE_ARG(source->dkim),
               SLICE_ARG(source->spf), SLICE_ARG(source->detail));
        return true;
    }
    SCOPED(buf) out = BUF(65536);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "source", source->ip);
    json_put_string(&json, "domain", source->domain);
    json_put_string(&json, "outcome", source->outcome);
    json_put_string(&json, "dkim", source->dkim);
    json_put_string(&json, "spf", source->spf);
    json_put_string(&json, "detail", source->detail);
    json_put_int(&json, "count", (int64_t)source->count);
    json_put_bool(&json, "is_good", source->is_good);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
    return true;
}

static bool number_read(const char *given, const char *option, int64_t otherwise, int64_t most, int64_t *number,
                        struct fault *why)
{
    *number = otherwise;
    if (given && (!slice_to_i64(slice_str(given), number) || *number < 1 || *number > most))
        return fault_set(why, FAULT_INPUT, "%s %s: a number from 1 to %lld", option, given, (long long)most);
    return true;
}

static bool kind_read(const char *given, enum feedback_kind *kind, struct fault *why)
{
    *kind = FEEDBACK_NONE;
    if (!given)
        return true;
    struct slice word = slice_str(given);
    if (slice_equal(word, SLICE("dmarc")))
        *kind = FEEDBACK_DMARC;
    else if (slice_equal(word, SLICE("failure")))
        *kind = FEEDBACK_FAILURE;
    else if (slice_equal(word, SLICE("tls")))
        *kind = FEEDBACK_TLS;
    else
        return fault_set(why, FAULT_INPUT, "--kind %s: dmarc, failure or tls", given);
    return true;
}

static bool show(struct desk *desk, const struct report_kept_arguments *given, struct fault *why)
{
    struct kept kept = {desk, given->is_json, 0};
    enum feedback_kind kind;
    int64_t limit, days;
    if (!kind_read(given->kind, &kind, why) || !number_read(given->limit, "--limit", 100, 1000, &limit, why) ||
        !number_read(given->days, "--days", 30, 4000, &days, why))
        return false;
    struct slice domain = given->domain ? slice_str(given->domain) : SLICE("");
    const struct source_filter sources = {.kind = kind ? kind : FEEDBACK_DMARC,
                                          .domain = domain,
                                          .since = world_wall(&desk->world) - DAYS_MS(days),
                                          .limit = (size_t)limit};
    const struct report_filter reports = {.kind = kind, .domain = domain, .limit = (size_t)limit};
    bool ok = given->wants_sources ? kept_report_sources(desk->reader, why, &sources, print_source, &kept)
                                   : kept_report_list(desk->reader, why, &reports, print_report, &kept);
    if (ok && !kept.count && !kept.is_json)
        puts("no reports; they are read when they come to the addresses of the setting report.addresses");
    return ok;
}

int report_kept(const struct report_kept_arguments *given)
{
    struct fault why = {0};
    SCOPED(desk) desk;
    if (!desk_open(&desk, given->store, &why) || !show(&desk, given, &why))
        return command_fail("report", &why);
    return 0;
}
