/* cmd_report.c - todoke report: what a DMARC, TLS or abuse report says; those that came in (report_kept.h) */
#include "app/batch.h"
#include "app/command.h"
#include "app/mailbox.h"
#include "app/report_kept.h"
#include "app/usage.h"
#include "base/time.h"
#include "feedback/feedback.h"
#include <getopt.h>
#include <stdio.h>

static const char usage[] =
    "usage: todoke report parse [FILE, mbox, Maildir or -]... [--json]\n"
    "       todoke report parse --batch      JSON lines with message_b64 on stdin\n"
    "       todoke report list [--kind dmarc|failure|tls] [--domain D] [--limit N] [--store URL] [--json]\n"
    "       todoke report sources [--kind K] [--domain D] [--days N] [--limit N] [--store URL] [--json]\n"
    "\n"
    "Reads reports that receivers send: DMARC aggregate (XML), TLS-RPT (JSON), each bare, gz, zip or in a mail; DMARC\n"
    "failure and abuse reports (ARF). With --json each is one line of JSON.\n"
    "list: the reports that came in; sources: what they say together, by source and outcome, of the last 30 days.\n"
    "Exit status: 0 all read, 2 something was no report or a bad one.\n";

struct parse {
    struct buf out;
    struct arena arena;
    bool is_json;
    unsigned bad;
};

static void report_put(struct parse *parse, struct buf *out, struct slice id, struct slice file, size_t number,
                       const struct feedback *feedback)
{
    struct json json = {out};
    json_object_begin(&json);
    if (id.len) {
        json_key(&json, "id");
        json_raw(&json, id);
    }
    if (file.len) {
        json_put_string(&json, "file", file);
        json_put_int(&json, "mail", (int64_t)number);
    }
    feedback_tell(feedback, &json);
    json_end(&json);
    buf_byte(out, '\n');
}

/* ── for people: a table ── */

static void inert(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_byte(out, (unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? ' ' : text.ptr[i]);
}

static void line(struct buf *out, const char *title, struct slice value)
{
    if (!value.len)
        return;
    buf_printf(out, "  %-12s ", title);
    inert(out, value);
    buf_byte(out, '\n');
}

static void period(struct buf *out, const struct feedback *f)
{
    if (!f->begin && !f->end)
        return;
    buf_printf(out, "  %-12s ", "period");
    time_rfc3339(out, SECONDS_MS(f->begin));
    buf_text(out, " to ");
    time_rfc3339(out, SECONDS_MS(f->end));
    buf_byte(out, '\n');
}

static void table(struct buf *out, struct slice file, const struct feedback *f)
{
    struct slice kind = feedback_kind_word(f->kind);
    inert(out, file);
    buf_printf(out, ": %.*s\n", SLICE_ARG(kind));
    line(out, "from", f->org.len ? f->org : f->email);
    line(out, "report id", f->report_id);
    line(out, "about", feedback_domain(f));
    period(out, f);
    if (f->kind == FEEDBACK_DMARC) {
        line(out, "policy", f->policy.p);
        buf_printf(out, "\n  %9s  %-39s  %-10s  %-5s %-5s  %s\n", "mails", "source", "done", "dkim", "spf", "From");
    }
    for (unsigned i = 0; i < f->row_count; i++) {
        const struct dmarc_row *row = &f->rows[i];
        buf_printf(out, "  %9llu  ", (unsigned long long)row->count);
        SCOPED(buf) cells = BUF(16384);
        buf_printf(&cells, "%-39.*s  %-10.*s  %-5.*s %-5.*s  %.*s", SLICE_ARG(row->source_ip),
                   SLICE_ARG(row->disposition), SLICE_ARG(row->dkim), SLICE_ARG(row->spf), SLICE_ARG(row->header_from));
        inert(out, buf_slice(&cells));
        buf_byte(out, '\n');
    }
    for (unsigned i = 0; i < f->policy_count; i++) {
        const struct tls_policy_said *p = &f->policies[i];
        SCOPED(buf) cells = BUF(16384);
        buf_printf(&cells, "%.*s (%.*s): %llu sessions with TLS, %llu failed", SLICE_ARG(p->domain), SLICE_ARG(p->type),
                   (unsigned long long)p->succeeded, (unsigned long long)p->failed);
        line(out, "policy", buf_slice(&cells));
        for (unsigned k = 0; k < p->failure_count; k++) {
            buf_reset(&cells);
            buf_printf(&cells, "%llu %.*s at %.*s", (unsigned long long)p->failures[k].sessions,
                       SLICE_ARG(p->failures[k].result_type), SLICE_ARG(p->failures[k].receiving_mx));
            line(out, "", buf_slice(&cells));
        }
    }
    for (unsigned i = 0; i < f->field_count; i++) {
        SCOPED(buf) cells = BUF(16384);
        buf_printf(&cells, "%.*s: %.*s", SLICE_ARG(f->fields[i].name), SLICE_ARG(f->fields[i].value));
        line(out, "", buf_slice(&cells));
    }
    line(out, "Message-ID", f->original_message_id);
    line(out, "Subject", f->original_subject);
    buf_byte(out, '\n');
}

static bool mail_take(void *context, struct slice file, size_t number, struct slice bytes)
{
    struct parse *parse = context;
    struct feedback feedback;
    struct fault why;
    if (!feedback_read(bytes, &parse->arena, &feedback, &why)) {
        parse->bad++;
        fault_prefix(&why, "%.*s: ", SLICE_ARG(file));
        command_fail("report", &why);
    } else if (parse->is_json) {
        report_put(parse, &parse->out, SLICE(""), file, number, &feedback);
    } else {
        table(&parse->out, file, &feedback);
    }
    bool ok =
        !parse->out.len || (fwrite(parse->out.ptr, 1, parse->out.len, stdout) == parse->out.len && fflush(stdout) == 0);
    buf_reset(&parse->out);
    arena_reset(&parse->arena);
    return ok;
}

static void batch_mail(void *context, struct slice id, const json_t *object, struct buf *out)
{
    struct parse *parse = context;
    struct feedback feedback;
    struct fault why;
    SCOPED(buf) bytes = BUF(MAILBOX_MAIL_MAX);
    if (!batch_message(object, id, &bytes, out))
        return;
    if (feedback_read(buf_slice(&bytes), &parse->arena, &feedback, &why))
        report_put(parse, out, id, batch_text(object, "file"), 0, &feedback);
    else
        batch_error(out, id, why.text);
    arena_reset(&parse->arena);
}

static int parse_files(int count, char **files, bool is_json)
{
    struct parse parse = {.out = BUF(MAILBOX_MAIL_MAX), .is_json = is_json};
    struct fault why = {0};
    int status = 0;
    char stdin_name[] = "-", *only_stdin[] = {stdin_name};
    if (count == 0) {
        files = only_stdin;
        count = 1;
    }
    for (int i = 0; i < count && !status; i++)
        if (!mailbox_walk(files[i], mail_take, &parse, &why))
            status = why.kind ? command_fail("report", &why) : 3;
    if (!status && parse.bad)
        status = 2;
    buf_release(&parse.out);
    arena_release(&parse.arena);
    return status;
}

int cmd_report(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"batch", no_argument, NULL, 'b'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"kind", required_argument, NULL, 'k'},
                                          {"domain", required_argument, NULL, 'd'},
                                          {"limit", required_argument, NULL, 'l'},
                                          {"days", required_argument, NULL, 'y'},
                                          {"store", required_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    struct report_kept_arguments kept = {0};
    bool is_json = false, is_batch = false, is_help = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (option) {
        case 'j': is_json = true; break;
        case 'b': is_batch = true; break;
        case 'h': is_help = true; break;
        case 'k': kept.kind = optarg; break;
        case 'd': kept.domain = optarg; break;
        case 'l': kept.limit = optarg; break;
        case 'y': kept.days = optarg; break;
        case 's': kept.store = optarg; break;
        default: return 2;
        }
    }
    struct slice verb = optind < argc ? slice_str(argv[optind]) : SLICE("");
    kept.is_json = is_json;
    kept.wants_sources = slice_equal(verb, SLICE("sources"));
    if (!is_help && optind + 1 == argc && (kept.wants_sources || slice_equal(verb, SLICE("list"))))
        return report_kept(&kept);
    if (is_help || !slice_equal(verb, SLICE("parse"))) {
        const struct arguments words = {
            .words = {optind < argc ? argv[optind] : NULL}, .word_count = optind < argc, .wants_help = is_help};
        return usage_tell("report", usage, &words);
    }
    if (!is_batch)
        return parse_files(argc - optind - 1, argv + optind + 1, is_json);
    struct parse parse = {0};
    int status = batch_run("report", batch_mail, &parse);
    arena_release(&parse.arena);
    return status;
}
