#include "app/bounce_unread.h"

#include "alarm/alarm.h"
#include "app/arguments.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"
#include "base/json.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke bounce unread [--limit N] [--store URL] [--json]\n"
    "\n"
    "Refusals whose words no rule knows, grouped by likeness: what differs from mail to mail is a placeholder. They "
    "were\n"
    "judged by status and code alone, or not at all. docs/bounces.md tells how a rule is written for one.\n";

static void print_json(const struct unread_row *row)
{
    SCOPED(buf) out = BUF(32768);
    SCOPED(buf) first = BUF(64);
    SCOPED(buf) last = BUF(64);
    struct json json = {&out};
    time_rfc3339(&first, row->first);
    time_rfc3339(&last, row->last);
    json_object_begin(&json);
    json_put_string(&json, "fingerprint", row->fingerprint);
    json_put_string(&json, "words", row->words);
    json_put_int(&json, "n", row->n);
    json_put_string(&json, "sample", row->sample);
    json_put_string(&json, "last_sample", row->last_sample);
    json_put_string(&json, "receiver", row->receiver);
    json_put_int(&json, "code", row->code);
    json_put_string(&json, "status", row->status);
    json_put_string(&json, "stage", row->stage);
    json_put_string(&json, "first", buf_slice(&first));
    json_put_string(&json, "last", buf_slice(&last));
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_text(struct desk *desk, const struct unread_row *row)
{
    printf("%8lld  %.*s\n          %.*s, %.*s to %.*s\n          %.*s\n", (long long)row->n, SLICE_ARG(row->words),
           SLICE_ARG(row->receiver), SLICE_ARG(desk_time(desk, row->first)), SLICE_ARG(desk_time(desk, row->last)),
           SLICE_ARG(row->last_sample));
}

int bounce_unread(int argc, char **argv)
{
    const char *store = NULL, *limit_text = NULL;
    bool is_json = false;
    struct arguments words;
    const struct argument table[] = {
        {"--store", &store, NULL}, {"--limit", &limit_text, NULL}, {"--json", NULL, &is_json}, {NULL, NULL, NULL}};
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("bounce unread", &why);
    int64_t limit = 100;
    bool is_number = !limit_text || slice_to_i64(slice_str(limit_text), &limit);
    if (words.wants_help || words.word_count || !is_number || limit < 1 || limit > UNREAD_ROWS_MAX)
        return usage_tell("bounce unread", usage, &words);
    SCOPED(desk) desk;
    struct unread_row *rows;
    size_t count;
    if (!desk_open(&desk, store, &why) || !unread_list(desk.reader, &why, (size_t)limit, &desk.arena, &rows, &count))
        return command_fail("bounce unread", &why);
    for (size_t i = 0; i < count; i++) {
        if (is_json)
            print_json(&rows[i]);
        else
            print_text(&desk, &rows[i]);
    }
    if (!count && !is_json)
        puts("every refusal was read");
    return 0;
}
