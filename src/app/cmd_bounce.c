/* cmd_bounce.c - todoke bounce explain | reply | rules test */
#include "app/arguments.h"
#include "app/batch.h"
#include "app/bounce_print.h"
#include "app/bounce_unread.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/keyring.h"
#include "app/mailbox.h"
#include "app/usage.h"
#include "bounce/check.h"
#include "bounce/phrase.h"
#include "bounce/said.h"
#include "bounce/scan.h"
#include "mime/charset.h"
#include "receive/join.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke bounce explain [FILE, mbox, Maildir, directory or -]... [--json] [--lang ja|en] [--rules FILE]\n"
    "                      [--store URL [--key-file FILE]]    and say whether a mail of ours is meant (authenticity)\n"
    "       todoke bounce explain --batch          JSON lines with message_b64 on stdin\n"
    "       todoke bounce reply TEXT [--command RCPT] [--receiver gmail.com] [--remote-mta HOST] [--json] [--lang "
    "ja|en]\n"
    "       todoke bounce reply --batch            JSON lines with text, command, receiver\n"
    "       todoke bounce rules test [FILE]        run the examples of all rules, and of FILE's\n"
    "       todoke bounce unread [--limit N] [--store URL] [--json]    refusals that no rule could read, by likeness\n"
    "\n"
    "Reads error mail (or one SMTP reply) and says for each recipient what happened and what to do. FILE of --rules "
    "and\n"
    "of `rules test` holds rules of your own, which are asked first. With --store a claim is genuine when it came to "
    "a\n"
    "signed return path of ours or quotes a mail that we sent to that address, backscatter when we never sent that "
    "mail,\n"
    "forged when the signature is not ours; without, it is unverified, or forged when it is a phish. Nothing is "
    "changed.\n";

struct options {
    bool is_json, is_batch, is_help;
    enum lang lang;
    const char *command, *receiver, *remote_mta, *rules, *store, *key_file;
};

struct session {
    struct options options;
    struct rules *rules;
    struct rules_scratch *scratch;
    struct bounce_printer printer;
    struct arena arena;
    struct buf *out, own_out;
    bool has_colour, is_broken; /* stdout went away */
    /* with --store */
    bool has_desk;
    struct desk desk;
    struct seal_key seal;
    struct keyring *keyring;
    struct joiner joiner;
    struct fault why; /* the store went away */
};

/* ---- output ---- */

static bool out_flush(struct session *s)
{
    size_t done = 0;
    while (done < s->out->len && !s->is_broken) {
        ssize_t wrote = write(STDOUT_FILENO, s->out->ptr + done, s->out->len - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        s->is_broken = wrote < 0;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    buf_reset(s->out);
    return !s->is_broken;
}

static void row_print(struct session *s, const struct bounce_place *place, const struct bounce *bounce,
                      const struct bounce_row *row)
{
    enum { FLUSH_BYTES = 1 << 16 };
    if (s->options.is_json || s->options.is_batch)
        bounce_print_json(&s->printer, s->out, place, bounce, row);
    else
        bounce_print_text(s->rules, s->out, place, bounce, row, s->options.lang, s->has_colour);
    if (s->out == &s->own_out && s->out->len > FLUSH_BYTES)
        out_flush(s);
}

static void mail_print(struct session *s, struct bounce_place place, struct slice bytes)
{
    struct mime_mail mail;
    struct bounce bounce;
    mime_read(bytes, &s->arena, &mail);
    bounce_read(&mail, s->rules, s->scratch, &s->arena, &bounce);
    if (s->has_desk && bounce.row_count &&
        !join_prove(&s->joiner, &mail, &bounce, world_wall(&s->desk.world), &s->arena, &bounce.authenticity, &s->why))
        return;
    for (unsigned i = 0; i < bounce.row_count; i++) {
        place.index = i;
        row_print(s, &place, &bounce, &bounce.rows[i]);
    }
    place.index = 0;
    if (!bounce.row_count)
        row_print(s, &place, &bounce, NULL);
    arena_reset(&s->arena);
}

static bool mail_take(void *context, struct slice file, size_t number, struct slice mail)
{
    struct session *s = context;
    struct bounce_place place = {.file = file, .mail = number};
    mail_print(s, place, mail);
    return !s->is_broken && !s->why.kind;
}

/* ---- one reply ---- */

/* "RCPT", "RCPT TO", "end-of-data", "rcpt". */
static enum stage stage_of_command(struct slice command)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("rcpt"), STAGE_RCPT},       {SLICE_INIT("mail"), STAGE_MAIL},
        {SLICE_INIT("end-of-data"), STAGE_DOT}, {SLICE_INIT("end of data"), STAGE_DOT},
        {SLICE_INIT("dot"), STAGE_DOT},         {SLICE_INIT("data"), STAGE_DATA},
        {SLICE_INIT("bdat"), STAGE_DATA},       {SLICE_INIT("helo"), STAGE_EHLO},
        {SLICE_INIT("ehlo"), STAGE_EHLO},       {SLICE_INIT("starttls"), STAGE_STARTTLS},
        {SLICE_INIT("auth"), STAGE_AUTH},       {SLICE_INIT("conn"), STAGE_CONNECT},
        {SLICE_INIT("dns"), STAGE_DNS},         {SLICE_INIT("queue"), STAGE_QUEUE},
    };
    static struct phrases set = PHRASES(rows);
    return (enum stage)scan_phrase(command, &set, STAGE_UNKNOWN);
}

static void reply_print(struct session *s, struct slice id, struct slice text, struct slice command,
                        struct slice receiver, struct slice remote_mta)
{
    struct said said;
    struct bounce_row row = {.kind = KIND_BOUNCE};
    row.diagnostic = scan_squeeze(text, &s->arena);
    said_parse(row.diagnostic, &s->arena, &said);
    row.code = said.code;
    row.stage = stage_of_command(command);
    row.remote_mta = remote_mta;
    memcpy(row.status, said.status, sizeof(row.status));
    size_t from = 0;
    if (!scan_address(row.diagnostic, &from, &row.recipient))
        row.recipient = SLICE("");
    if (!receiver.len) /* the reply often names its recipient itself */
        receiver = row.recipient;
    ptrdiff_t at = slice_find_last_byte(receiver, '@');
    struct refusal refusal = {.stage = row.stage,
                              .code = row.code,
                              .text = said.text,
                              .receiver = at >= 0 ? slice_from(receiver, (size_t)at + 1) : receiver,
                              .remote_mta = remote_mta};
    memcpy(refusal.status, said.status, sizeof(refusal.status));
    rules_judge(s->rules, s->scratch, &refusal, &row.verdict);
    row.mark = slice_of(said.text.ptr + row.verdict.mark_from, row.verdict.mark_to - row.verdict.mark_from);
    if (row.verdict.reason == REASON_DELIVERED || (row.code >= 200 && row.code < 300))
        row.kind = KIND_DELIVERED;
    if (row.kind == KIND_DELIVERED)
        rules_verdict_of_reason(s->rules, REASON_DELIVERED, false, &row.verdict);
    facts_find(row.diagnostic, &s->arena, &row.facts);
    struct bounce bounce = {.kind = row.kind, .authenticity = AUTHENTICITY_UNVERIFIED};
    struct bounce_place place = {.id = id, .is_reply = true};
    row_print(s, &place, &bounce, &row);
    arena_reset(&s->arena);
}

/* ---- batches ---- */

static const struct slice reply_keys[] = {SLICE_INIT("text"), SLICE_INIT("command"), SLICE_INIT("receiver"),
                                          SLICE_INIT("remote_mta")};

static void batch_reply(void *context, struct slice id, const struct slice *values, struct buf *out)
{
    struct session *s = context;
    s->out = out;
    if (values[0].ptr)
        reply_print(s, id, values[0], values[1], values[2], values[3]);
    else
        batch_error(out, id, "text is missing");
}

static void batch_explain(void *context, struct slice id, const json_t *object, struct buf *out)
{
    struct session *s = context;
    s->out = out;
    SCOPED(buf) mail = BUF(MAILBOX_MAIL_MAX);
    struct bounce_place place = {.id = id, .file = batch_text(object, "file")};
    if (batch_message(object, id, &mail, out))
        mail_print(s, place, buf_slice(&mail));
}

/* ---- commands ---- */

/* --store: our own records, read only. */
static bool desk_begin(struct session *s, struct fault *why)
{
    if (!s->options.store)
        return true;
    s->has_desk = true;
    if (!desk_open(&s->desk, s->options.store, why) ||
        !seal_key_load(&s->seal, arguments_key_file(s->options.key_file), why) ||
        !keyring_open(s->desk.store, &s->desk.world, &s->seal, &s->keyring, why))
        return false;
    s->joiner = (struct joiner){
        .rules = s->rules, .scratch = s->scratch, .ring = keyring_ring(s->keyring), .reader = s->desk.reader};
    return true;
}

static void desk_end(struct session *s)
{
    if (!s->has_desk)
        return;
    desk_release(&s->desk);
    keyring_free(s->keyring);
    seal_key_release(&s->seal);
}

static int explain_run(struct session *s, int count, char **paths)
{
    if (!desk_begin(s, &s->why))
        return command_fail("bounce", &s->why);
    if (s->options.is_batch) {
        int status = batch_run("bounce", batch_explain, s);
        return s->why.kind ? command_fail("bounce", &s->why) : status;
    }
    for (int i = 0; i < count || i == 0; i++) {
        struct fault why = {0};
        if (!mailbox_walk(count ? paths[i] : "-", mail_take, s, &why) && why.kind) {
            out_flush(s);
            return command_fail("bounce", &why);
        }
    }
    bool is_out = out_flush(s);
    return s->why.kind ? command_fail("bounce", &s->why) : is_out ? 0 : 3;
}

static int reply_run(struct session *s, int count, char **words)
{
    if (s->options.is_batch)
        return batch_run_flat("bounce", reply_keys, COUNT_OF(reply_keys), batch_reply, s);
    if (count != 1) {
        fputs("todoke bounce reply: give the reply as one argument (in quotes)\n", stderr);
        return 2;
    }
    reply_print(s, SLICE(""), slice_str(words[0]), slice_str(s->options.command), slice_str(s->options.receiver),
                slice_str(s->options.remote_mta));
    return out_flush(s) ? 0 : 3;
}

static void tell(void *context, struct slice sentence)
{
    printf("%.*s\n", SLICE_ARG(sentence));
}

static int rules_run(struct session *s)
{
    struct rules_check check = rules_check(s->rules, tell, NULL);
    printf("%u rules, %u example lines, %u failures\n", check.rules, check.lines, check.failures);
    return check.failures ? 1 : 0;
}

static bool options_read(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'},
        {"batch", no_argument, NULL, 'b'},
        {"lang", required_argument, NULL, 'l'},
        {"command", required_argument, NULL, 'c'},
        {"receiver", required_argument, NULL, 'r'},
        {"remote-mta", required_argument, NULL, 'm'},
        {"rules", required_argument, NULL, 'R'},
        {"store", required_argument, NULL, 's'},
        {"key-file", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *lang = getenv("LANG");
    *o = (struct options){.lang = lang && slice_starts(slice_str(lang), SLICE("ja")) ? LANG_JA : LANG_EN};
    int option;
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (option) {
        case 'j': o->is_json = true; break;
        case 'b': o->is_batch = true; break;
        case 'c': o->command = optarg; break;
        case 'r': o->receiver = optarg; break;
        case 'm': o->remote_mta = optarg; break;
        case 'R': o->rules = optarg; break;
        case 's': o->store = optarg; break;
        case 'k': o->key_file = optarg; break;
        case 'h': o->is_help = true; break;
        case 'l':
            if (!slice_equal(slice_str(optarg), SLICE("ja")) && !slice_equal(slice_str(optarg), SLICE("en"))) {
                fprintf(stderr, "todoke bounce: --lang is ja or en, not \"%s\"\n", optarg);
                return false;
            }
            o->lang = optarg[0] == 'j' ? LANG_JA : LANG_EN;
            break;
        default: return false;
        }
    }
    return true;
}

static bool rules_load_own(struct session *s, const char *path, struct fault *why)
{
    enum { RULES_BYTES_MAX = 16 << 20 };
    FILE *file = fopen(path, "rb");
    if (!file)
        return fault_set(why, FAULT_INPUT, "%s: %s", path, strerror(errno));
    SCOPED(buf) text = BUF(RULES_BYTES_MAX);
    char chunk[8192];
    size_t got;
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_append(&text, slice_of(chunk, got));
    fclose(file);
    return rules_add(s->rules, path, buf_slice(&text), why);
}

int cmd_bounce(int argc, char **argv)
{
    struct session s = {0};
    if (argc > 1 && !strcmp(argv[1], "unread")) /* it works on the store: other options */
        return bounce_unread(argc - 1, argv + 1);
    if (!options_read(argc, argv, &s.options))
        return 2;
    const char *verb = optind < argc ? argv[optind] : "";
    bool is_explain = !strcmp(verb, "explain"), is_reply = !strcmp(verb, "reply");
    bool is_test = !strcmp(verb, "rules") && optind + 1 < argc && !strcmp(argv[optind + 1], "test");
    if (s.options.is_help || (!is_explain && !is_reply && !is_test)) {
        const struct arguments words = {.words = {optind < argc ? argv[optind] : NULL},
                                        .word_count = optind < argc,
                                        .wants_help = s.options.is_help};
        return usage_tell("bounce", usage, &words);
    }
    struct fault why = {0};
    if (is_test && optind + 2 < argc)
        s.options.rules = argv[optind + 2];
    if (!rules_open(&s.rules, &why) || (s.options.rules && !rules_load_own(&s, s.options.rules, &why))) {
        rules_free(s.rules);
        return command_fail("bounce", &why);
    }
    /* many mails are to come: the modules of their charsets stay loaded */
    struct charset_keeper *keeper = is_explain ? charset_keeper_new() : NULL;
    s.scratch = rules_scratch_new(s.rules);
    s.printer.rules = s.rules;
    s.has_colour = isatty(STDOUT_FILENO);
    buf_init(&s.own_out, MAILBOX_MAIL_MAX);
    s.out = &s.own_out;
    int status = is_explain ? explain_run(&s, argc - optind - 1, argv + optind + 1)
                 : is_reply ? reply_run(&s, argc - optind - 1, argv + optind + 1)
                            : rules_run(&s);
    desk_end(&s);
    buf_release(&s.own_out);
    bounce_printer_release(&s.printer);
    arena_release(&s.arena);
    rules_scratch_free(s.scratch);
    rules_free(s.rules);
    charset_keeper_free(keeper);
    return status;
}
