/* cmd_csv.c - `todoke csv read`: what a CSV file holds, as we read it */
#include "app/arguments.h"
#include "app/command.h"
#include "app/usage.h"
#include "base/file.h"

#include "audience/csv.h"
#include "base/base64.h"
#include "base/json.h"
#include <jansson.h>
#include <stdio.h>

static const char usage[] =
    "usage: todoke csv read FILE [--encoding auto] [--json]\n"
    "       todoke csv read --batch        JSON lines with csv_b64, encoding\n"
    "\n"
    "Says which encoding, delimiter and columns a CSV file has, and prints its rows. ENCODING is "
    "auto, utf-8, cp932,\neuc-jp, iso-2022-jp, utf-16le, utf-16be or windows-1252.\n";

enum { FILE_BYTES_MAX = 1 << 30, ROWS_SHOWN = 20, FLUSH_BYTES = 1 << 16, OUT_MAX = 64 << 20 };

/* ── JSON ── */

static void flush_beyond(struct buf *out, size_t len)
{
    if (out->len <= len)
        return;
    fwrite(out->ptr, 1, out->len, stdout);
    buf_reset(out);
}

/* Two readings: the first finds what is broken, so that nothing is printed of a file that is. */
static bool print_json(struct csv *csv, struct slice id, struct buf *out, struct fault *why)
{
    struct csv_record record;
    while (csv_next(csv, &record, why))
        ;
    if (why->kind != FAULT_NONE)
        return false;
    csv_rewind(csv);
    struct json json = {out};
    char delimiter = csv_delimiter(csv);
    json_object_begin(&json);
    if (id.len) {
        json_key(&json, "id");
        json_raw(&json, id);
    }
    json_put_string(&json, "encoding", csv_encoding(csv));
    json_put_bool(&json, "bom", csv_has_bom(csv));
    json_put_string(&json, "delimiter", slice_of(&delimiter, 1));
    json_put_array(&json, "columns");
    if (csv_next(csv, &record, why))
        for (size_t i = 0; i < record.count; i++)
            json_text(&json, record.fields[i]);
    json_end(&json);
    json_put_array(&json, "rows");
    while (csv_next(csv, &record, why)) {
        json_array_begin(&json);
        for (size_t i = 0; i < record.count; i++)
            json_text(&json, record.fields[i]);
        json_end(&json);
        flush_beyond(out, FLUSH_BYTES);
    }
    json_end(&json);
    json_end(&json);
    buf_byte(out, '\n');
    flush_beyond(out, 0);
    return true;
}

/* ── for people ── */

static void print_record(const struct csv_record *record)
{
    printf("%6llu  ", (unsigned long long)record->line);
    for (size_t i = 0; i < record->count; i++)
        printf("%s%.*s", i ? " | " : "", SLICE_ARG(record->fields[i]));
    puts(record->is_broken ? "   <- bytes that are no characters" : "");
}

static bool print_text(struct csv *csv, struct fault *why)
{
    struct csv_record record;
    unsigned long long rows = 0;
    char delimiter = csv_delimiter(csv);
    while (csv_next(csv, &record, why))
        rows++;
    if (why->kind != FAULT_NONE)
        return false;
    csv_rewind(csv);
    printf("encoding %.*s%s, delimiter %s, %llu rows below the header\n", SLICE_ARG(csv_encoding(csv)),
           csv_has_bom(csv) ? " with BOM" : "", delimiter == '\t' ? "TAB" : (char[]){delimiter, 0},
           rows ? rows - 1 : 0);
    for (int i = 0; i <= ROWS_SHOWN && csv_next(csv, &record, why); i++)
        print_record(&record);
    if (rows > ROWS_SHOWN + 1)
        printf("... and %llu more\n", rows - ROWS_SHOWN - 1);
    return true;
}

/* ── batches ── */

static void print_error(struct slice id, struct slice what)
{
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    if (id.len) {
        json_key(&json, "id");
        json_raw(&json, id);
    }
    json_put_string(&json, "error", what);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static struct slice member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value)) : SLICE("");
}

static void batch_line(struct slice line, struct buf *out)
{
    json_error_t error;
    json_t *object = json_loadb(line.ptr, line.len, 0, &error);
    const json_t *given = json_object_get(object, "id");
    char *id_text = given ? json_dumps(given, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    struct slice id = slice_str(id_text), text = member(object, "csv_b64");
    SCOPED(buf) bytes = BUF(text.len + 4);
    struct fault why = {0};
    if (!json_is_object(object))
        print_error(id, slice_str(object ? "not a JSON object" : error.text));
    else if (!json_is_string(json_object_get(object, "csv_b64")))
        print_error(id, SLICE("csv_b64 is missing"));
    else if (!base64_decode(&bytes, text))
        print_error(id, SLICE("csv_b64 is not base64"));
    else {
        struct csv *csv = csv_open(buf_slice(&bytes), "csv", member(object, "encoding"), &why);
        if (!csv || !print_json(csv, id, out, &why))
            print_error(id, slice_str(why.text));
        csv_free(csv);
    }
    free(id_text);
    json_decref(object);
}

static int batch(struct buf *out)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) > 0) {
        struct slice text = slice_trim(slice_of(line, (size_t)len));
        if (text.len)
            batch_line(text, out);
        fflush(stdout);
    }
    free(line);
    return ferror(stdout) ? 3 : 0;
}

int cmd_csv(int argc, char **argv)
{
    const char *encoding = "auto";
    bool is_json = false, is_batch = false;
    const struct argument table[] = {
        {"--encoding", &encoding, NULL},
        {"--json", NULL, &is_json},
        {"--batch", NULL, &is_batch},
        {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("csv", &why);
    bool is_read = words.word_count >= 1 && strcmp(words.words[0], "read") == 0;
    if (words.wants_help || !is_read || words.word_count != (is_batch ? 1 : 2))
        return usage_tell("csv", usage, &words);
    SCOPED(buf) out = BUF(OUT_MAX);
    if (is_batch)
        return batch(&out);
    SCOPED(buf) bytes = BUF(0);
    if (!file_read(words.words[1], FILE_BYTES_MAX, &bytes, &why))
        return command_fail("csv", &why);
    struct csv *csv = csv_open(buf_slice(&bytes), words.words[1], slice_str(encoding), &why);
    bool ok = csv && (is_json ? print_json(csv, SLICE(""), &out, &why) : print_text(csv, &why));
    csv_free(csv);
    return ok ? 0 : command_fail("csv", &why);
}
