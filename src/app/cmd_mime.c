/* cmd_mime.c - todoke mime show: the tree of a mail, headers decoded */
#include "app/batch.h"
#include "app/command.h"
#include "app/mailbox.h"
#include "app/usage.h"
#include "base/json.h"
#include "base/utf8.h"
#include "mime/charset.h"
#include "mime/read.h"
#include <getopt.h>
#include <stdio.h>

static const char usage[] = "usage: todoke mime show [FILE, mbox, Maildir or -]... [--json]\n"
                            "       todoke mime show --batch      JSON lines with message_b64 on stdin\n"
                            "\n"
                            "Shows the parts of a mail: type, charset, size, headers decoded, text as UTF-8.\n";

enum { TEXT_SHOWN_MAX = 65536 };

struct show {
    bool is_json;
    struct buf out;
    struct arena arena;
};

static struct slice over_word(enum mime_over over)
{
    static const struct slice words[] = {SLICE_INIT(""), SLICE_INIT("depth"), SLICE_INIT("parts"),
                                         SLICE_INIT("headers")};
    return words[over];
}

static bool is_text(const struct mime_part *part)
{
    return slice_equal_caseless(part->type, SLICE("text")) || mime_is(part, "message", "delivery-status") ||
           mime_is(part, "message", "feedback-report");
}

static struct slice file_name(struct show *show, const struct mime_mail *mail, unsigned index)
{
    struct slice name =
        mime_param(mime_header(mail, index, SLICE("Content-Disposition")), SLICE("filename"), &show->arena);
    if (!name.len)
        name = mime_param(mime_header(mail, index, SLICE("Content-Type")), SLICE("name"), &show->arena);
    return mime_text(name, &show->arena);
}

static void part_json(struct show *show, struct json *json, const struct mime_mail *mail, unsigned index)
{
    const struct mime_part *part = &mail->parts[index];
    bool has_parts = part->end > index + 1;
    json_object_begin(json);
    json_put_int(json, "index", index);
    json_put_int(json, "parent", index ? (int64_t)part->parent : -1);
    json_put_int(json, "depth", part->depth);
    json_put_string(json, "type",
                    arena_printf(&show->arena, "%.*s/%.*s", SLICE_ARG(part->type), SLICE_ARG(part->subtype)));
    json_put_string(json, "charset", part->charset);
    json_put_string(json, "filename", file_name(show, mail, index));
    json_put_array(json, "headers");
    for (unsigned i = 0; i < part->header_count; i++) {
        json_array_begin(json);
        json_text(json, mail->headers[part->header_from + i].name);
        json_text(json, mime_text(mail->headers[part->header_from + i].value, &show->arena));
        json_end(json);
    }
    json_end(json);
    struct slice body = has_parts ? part->body : mime_body(part, part->body.len + 1, &show->arena);
    json_put_int(json, "size", (int64_t)body.len);
    json_put_int(json, "encoded_size", (int64_t)part->body.len);
    if (!has_parts && is_text(part))
        json_put_string(json, "text", charset_to_utf8(slice_head(body, TEXT_SHOWN_MAX), part->charset, &show->arena));
    json_end(json);
}

static void mail_json(struct show *show, struct buf *out, struct slice id, struct slice file, size_t number,
                      const struct mime_mail *mail)
{
    struct json json = {out};
    json_object_begin(&json);
    if (id.len) {
        json_key(&json, "id");
        json_raw(&json, id);
    }
    json_put_string(&json, "file", file);
    json_put_int(&json, "mail", (int64_t)number);
    json_put_string(&json, "over", over_word(mail->over));
    json_put_array(&json, "parts");
    for (unsigned i = 0; i < mail->part_count; i++)
        part_json(show, &json, mail, i);
    json_end(&json);
    json_end(&json);
    buf_byte(out, '\n');
}

static void print_inert(struct buf *out, struct slice text, const char *indent)
{
    struct slice line;
    while (slice_line(&text, &line)) {
        buf_str(out, indent);
        utf8_append_inert(out, line);
        buf_byte(out, '\n');
    }
}

static void mail_text(struct show *show, struct slice file, size_t number, const struct mime_mail *mail)
{
    struct buf *out = &show->out;
    buf_printf(out, "%.*s, mail %zu, %zu bytes", SLICE_ARG(file), number, mail->bytes.len);
    if (mail->over)
        buf_printf(out, " (over the limit of %.*s: not read to its end)", SLICE_ARG(over_word(mail->over)));
    buf_byte(out, '\n');
    for (unsigned i = 0; i < mail->part_count; i++) {
        const struct mime_part *part = &mail->parts[i];
        bool has_parts = part->end > i + 1;
        char indent[2 * MIME_DEPTH_MAX + 8];
        snprintf(indent, sizeof(indent), "%*s", (int)(2 * part->depth) + 4, "");
        struct slice name = file_name(show, mail, i);
        buf_printf(out, "%*s%u %.*s/%.*s  %.*s  %zu bytes%s%.*s\n", (int)(2 * part->depth) + 2, "", i,
                   SLICE_ARG(part->type), SLICE_ARG(part->subtype), SLICE_ARG(part->charset), part->body.len,
                   name.len ? "  " : "", SLICE_ARG(name));
        for (unsigned k = 0; k < part->header_count; k++) {
            const struct mime_header *header = &mail->headers[part->header_from + k];
            struct slice line = arena_printf(&show->arena, "%.*s: %.*s", SLICE_ARG(header->name),
                                             SLICE_ARG(mime_text(header->value, &show->arena)));
            print_inert(out, line, indent);
        }
        if (!has_parts && is_text(part)) {
            buf_byte(out, '\n');
            print_inert(out, utf8_head(mime_body_text(part, TEXT_SHOWN_MAX, &show->arena), TEXT_SHOWN_MAX), indent);
        }
        buf_byte(out, '\n');
    }
}

static bool out_flush(struct show *show)
{
    bool ok = fwrite(show->out.ptr, 1, show->out.len, stdout) == show->out.len && fflush(stdout) == 0;
    buf_reset(&show->out);
    return ok;
}

static bool mail_take(void *context, struct slice file, size_t number, struct slice bytes)
{
    struct show *show = context;
    struct mime_mail mail;
    mime_read(bytes, &show->arena, &mail);
    if (show->is_json)
        mail_json(show, &show->out, SLICE(""), file, number, &mail);
    else
        mail_text(show, file, number, &mail);
    arena_reset(&show->arena);
    return out_flush(show);
}

static void batch_mail(void *context, struct slice id, const json_t *object, struct buf *out)
{
    struct show *show = context;
    struct mime_mail mail;
    SCOPED(buf) bytes = BUF(MAILBOX_MAIL_MAX);
    if (!batch_message(object, id, &bytes, out))
        return;
    mime_read(buf_slice(&bytes), &show->arena, &mail);
    mail_json(show, out, id, batch_text(object, "file"), 0, &mail);
    arena_reset(&show->arena);
}

int cmd_mime(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"batch", no_argument, NULL, 'b'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct show show = {0};
    bool is_batch = false, is_help = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (option) {
        case 'j': show.is_json = true; break;
        case 'b': is_batch = true; break;
        case 'h': is_help = true; break;
        default: return 2;
        }
    }
    if (is_help || optind >= argc || strcmp(argv[optind], "show") != 0) {
        const struct arguments words = {
            .words = {optind < argc ? argv[optind] : NULL}, .word_count = optind < argc, .wants_help = is_help};
        return usage_tell("mime", usage, &words);
    }
    buf_init(&show.out, MAILBOX_MAIL_MAX);
    int status = 0;
    struct fault why = {0};
    if (is_batch)
        status = batch_run("mime", batch_mail, &show);
    for (int i = optind + 1; !is_batch && !status && (i < argc || i == optind + 1); i++)
        if (!mailbox_walk(i < argc ? argv[i] : "-", mail_take, &show, &why))
            status = why.kind ? command_fail("mime", &why) : 3;
    buf_release(&show.out);
    arena_release(&show.arena);
    return status;
}
