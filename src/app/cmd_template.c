/* cmd_template.c - todoke template render */
#include "app/arguments.h"
#include "app/batch_row.h"
#include "app/command.h"
#include "app/usage.h"
#include "base/file.h"
#include "content/liquid.h"
#include <stdio.h>
#include <time.h>

static const char usage[] =
    "usage: todoke template render --template FILE [--data FILE] [--html] [--now N] [--offset-minutes N]\n"
    "       todoke template render --batch         JSON lines with template, data, html, now, offset_minutes\n"
    "\n"
    "Renders a Liquid template with the members of a JSON object. --html: {{ }} escapes & < > \" ' unless the last "
    "filter\n"
    "is raw. --offset-minutes: the time zone of dates, from UTC.\n";

enum { OUTPUT_MAX = 8 << 20 };

struct session {
    struct arena arena;
    struct liquid_place place; /* of the last error */
    bool has_place;
};

struct job {
    struct slice template;
    const json_t *data;
    bool is_html;
    int64_t now, offset_minutes;
};

/* "line 3, column 9: ..." says where: rendering faults carry it in their words only. */
static void place_of_fault(struct session *session, const struct fault *why)
{
    session->has_place = sscanf(why->text, "line %u, column %u:", &session->place.line, &session->place.column) == 2;
}

static bool render(struct session *session, const struct job *job, struct buf *out, struct fault *why)
{
    struct liquid *liquid;
    arena_reset(&session->arena);
    session->has_place = false;
    if (!liquid_compile(job->template, job->is_html, &liquid, NULL, why)) {
        place_of_fault(session, why);
        return false;
    }
    const struct liquid_context context = {.root = liquid_json(job->data),
                                           .now = SECONDS_MS(job->now),
                                           .offset_minutes = (int)job->offset_minutes,
                                           .arena = &session->arena};
    bool is_done = liquid_render(liquid, &context, out, why);
    liquid_free(liquid);
    if (!is_done)
        place_of_fault(session, why);
    return is_done;
}

static bool offset_is_good(int64_t minutes, struct fault *why)
{
    return (minutes > -24 * 60 && minutes < 24 * 60) || fault_set(why, FAULT_INPUT, "offset_minutes: within a day");
}

static bool write_row(void *context, const json_t *line, struct json *json, struct fault *why)
{
    struct session *session = context;
    struct job job = {.data = json_object_get(line, "data"), .now = time(NULL)};
    const json_t *html = json_object_get(line, "html");
    SCOPED(buf) out = BUF(OUTPUT_MAX);
    session->has_place = false;
    job.is_html = json_is_true(html);
    if (html && !json_is_boolean(html))
        return fault_set(why, FAULT_INPUT, "html must be true or false");
    if (job.data && !json_is_object(job.data) && !json_is_null(job.data))
        return fault_set(why, FAULT_INPUT, "data must be an object");
    if (!batch_row_need(line, "template", &job.template, why) || !batch_row_number(line, "now", &job.now, why) ||
        !batch_row_number(line, "offset_minutes", &job.offset_minutes, why) ||
        !offset_is_good(job.offset_minutes, why) || !render(session, &job, &out, why))
        return false;
    json_put_string(json, "output", buf_slice(&out));
    return true;
}

static void put_place(void *context, struct json *json)
{
    const struct session *session = context;
    if (!session->has_place)
        return;
    json_put_int(json, "line", session->place.line);
    json_put_int(json, "column", session->place.column);
}

static void take_line(void *context, struct slice id, const json_t *line, struct buf *out)
{
    batch_row(out, id, line, write_row, put_place, context);
}

struct options {
    const char *template, *data, *now, *offset_minutes;
    bool is_html, is_batch, is_json;
};

static bool read_job(const struct options *options, struct job *job, struct buf *template, json_t **data,
                     struct fault *why)
{
    SCOPED(buf) text = {0};
    json_error_t error;
    if (!options->template)
        return fault_set(why, FAULT_INPUT, "--template is needed");
    if (!file_read(options->template, 4 << 20, template, why))
        return false;
    if (options->data && !file_read(options->data, 64 << 20, &text, why))
        return false;
    if (options->data) {
        *data = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, &error);
        if (!json_is_object(*data))
            return fault_set(why, FAULT_INPUT, "%s line %d: %s", options->data, *data ? 1 : error.line,
                             *data ? "not a JSON object" : error.text);
    }
    if (options->now && !slice_to_i64(slice_str(options->now), &job->now))
        return fault_set(why, FAULT_INPUT, "--now %s: Unix seconds", options->now);
    if (options->offset_minutes && !slice_to_i64(slice_str(options->offset_minutes), &job->offset_minutes))
        return fault_set(why, FAULT_INPUT, "--offset-minutes %s: a number", options->offset_minutes);
    job->template = buf_slice(template);
    job->data = *data;
    return offset_is_good(job->offset_minutes, why);
}

static int render_once(struct session *session, const struct options *options)
{
    struct fault why = {0};
    struct job job = {.now = time(NULL), .is_html = options->is_html};
    json_t *data = NULL;
    SCOPED(buf) template = {0};
    SCOPED(buf) out = BUF(OUTPUT_MAX);
    bool is_done = read_job(options, &job, &template, &data, &why);
    if (is_done && !render(session, &job, &out, &why)) {
        fault_prefix(&why, "%s ", options->template);
        is_done = false;
    }
    json_decref(data);
    if (!is_done)
        return command_fail("template", &why);
    if (options->is_json) {
        SCOPED(buf) line = BUF(OUTPUT_MAX * 7);
        struct json json = {&line};
        json_object_begin(&json);
        json_put_string(&json, "output", buf_slice(&out));
        json_end(&json);
        printf("%s\n", buf_cstr(&line));
        return 0;
    }
    fwrite(out.ptr, 1, out.len, stdout);
    return 0;
}

int cmd_template(int argc, char **argv)
{
    struct options options = {0};
    struct arguments arguments;
    struct fault why = {0};
    const struct argument table[] = {
        {"--template", &options.template, NULL}, {"--data", &options.data, NULL},
        {"--now", &options.now, NULL},           {"--offset-minutes", &options.offset_minutes, NULL},
        {"--html", NULL, &options.is_html},      {"--json", NULL, &options.is_json},
        {"--batch", NULL, &options.is_batch},    {NULL, NULL, NULL},
    };
    if (!arguments_read(argc, argv, table, &arguments, &why))
        return command_fail("template", &why);
    struct slice name = slice_str(arguments.word_count ? arguments.words[0] : "");
    if (arguments.wants_help || !slice_equal(name, SLICE("render")))
        return usage_tell("template", usage, &arguments);
    struct session session = {0};
    int status = options.is_batch ? batch_run("template", take_line, &session) : render_once(&session, &options);
    arena_release(&session.arena);
    return status;
}
