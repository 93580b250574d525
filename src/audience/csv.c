/* csv.c - records from bytes, through a window of UTF-8
 *
 * UTF-8 is parsed where it lies. Anything else is converted piece by piece into `window`; when the window ends inside a
 * record, what is left moves to its front and more is converted behind it, and the record is parsed again (it is at
 * most CSV_RECORD_MAX long and a piece is as long as that, so this happens once for each piece). */
#include "audience/csv_inside.h"

#include "base/utf8.h"
#include "mime/charset.h"
#include <assert.h>
#include <errno.h>

enum { PIECE = CSV_RECORD_MAX, WINDOW_MAX = 8 * CSV_RECORD_MAX };

struct csv {
    struct slice bytes, rest; /* the file without its BOM; what has not been converted yet */
    const char *name;
    struct slice encoding;
    bool has_bom, is_utf8;
    char delimiter;
    bool has_sep_line;
    iconv_t converter;

    struct buf unescaped; /* of ISO-2022-JP */
    struct buf window;    /* converted text; not used for UTF-8 */
    struct slice text;    /* what is still to be parsed, in the window or the bytes */
    bool is_complete;     /* nothing comes behind `text` */
    uint64_t line;        /* of the front of `text` */

    struct buf scratch; /* unescaped fields of the current record */
    struct slice fields[CSV_COLUMNS_MAX];
};

/* ── the window ── */

/* One piece through iconv; characters that are none become U+FFFD, which marks their record as broken. */
static void convert(struct csv *csv)
{
    char *in = (char *)(uintptr_t)csv->rest.ptr; /* iconv's prototype forgets const */
    size_t piece = csv->rest.len < PIECE ? csv->rest.len : PIECE, in_left = piece;
    bool is_last = piece == csv->rest.len;
    while (in_left) {
        size_t room = in_left * 4 + 64, out_left = room;
        char *out = buf_reserve(&csv->window, room);
        assert(out);
        size_t done = iconv(csv->converter, &in, &in_left, &out, &out_left);
        int error = errno;
        buf_advance(&csv->window, room - out_left);
        if (done != (size_t)-1 || error == E2BIG)
            continue;
        if (error == EINVAL && !is_last)
            break; /* a character that the next piece completes */
        utf8_append(&csv->window, UTF8_REPLACEMENT);
        size_t skip = csv->encoding.len > 6 && slice_starts(csv->encoding, SLICE("utf-16")) && in_left > 1 ? 2 : 1;
        in += skip;
        in_left -= skip;
    }
    csv->rest = slice_from(csv->rest, piece - in_left);
    csv->is_complete = is_last;
}

/* More text behind what is there. False: there is no more. */
static bool refill(struct csv *csv)
{
    if (csv->is_complete)
        return false;
    buf_consume(&csv->window, csv->window.len - csv->text.len);
    convert(csv);
    csv->text = buf_slice(&csv->window);
    return true;
}

void csv_rewind(struct csv *csv)
{
    csv->rest = csv->bytes;
    csv->line = 1;
    csv->is_complete = csv->is_utf8;
    buf_reset(&csv->window);
    if (csv->is_utf8)
        csv->text = csv->bytes;
    else {
        iconv(csv->converter, NULL, NULL, NULL, NULL);
        csv->text = (struct slice){0};
        refill(csv);
    }
    if (csv->has_sep_line) {
        struct slice line;
        bool there = slice_line(&csv->text, &line);
        csv->line += there;
    }
}

/* ── one record ── */

enum step { STEP_DONE, STEP_MORE, STEP_TOO_WIDE, STEP_TOO_LONG, STEP_BAD_QUOTE };

struct cursor {
    const char *at, *end;
    uint64_t line;
    bool is_complete;
};

/* The line end at the cursor, CRLF as one. False: it may be the first half of one. */
static bool end_line(struct cursor *cursor)
{
    if (*cursor->at == '\r') {
        if (cursor->at + 1 == cursor->end && !cursor->is_complete)
            return false;
        if (cursor->at + 1 < cursor->end && cursor->at[1] == '\n')
            cursor->at++;
    }
    cursor->at++;
    cursor->line++;
    return true;
}

/* After the opening quote. The field is where it lies, unless it has "": then it is put together in the scratch buf. */
static enum step quoted_field(struct csv *csv, struct cursor *cursor, struct slice *field, bool *is_open)
{
    size_t kept = csv->scratch.len;
    const char *start = cursor->at;
    bool is_copied = false;
    for (;;) {
        const char *quote = memchr(cursor->at, '"', (size_t)(cursor->end - cursor->at));
        const char *stop = quote ? quote : cursor->end;
        for (const char *at = cursor->at; at < stop; at++)
            cursor->line += *at == '\n' || (*at == '\r' && (at + 1 == cursor->end || at[1] != '\n'));
        cursor->at = stop;
        if (!quote || (quote + 1 == cursor->end && !cursor->is_complete)) {
            *is_open = !quote;
            return STEP_MORE;
        }
        cursor->at = quote + 1;
        if (cursor->at < cursor->end && *cursor->at == '"') {
            buf_append(&csv->scratch, slice_of(start, (size_t)(cursor->at - start)));
            is_copied = true;
            start = ++cursor->at;
            continue;
        }
        break;
    }
    const char *close = cursor->at - 1;
    while (cursor->at < cursor->end && *cursor->at == ' ')
        cursor->at++;
    if (cursor->at == cursor->end && !cursor->is_complete)
        return STEP_MORE;
    if (cursor->at < cursor->end && *cursor->at != csv->delimiter && *cursor->at != '\r' && *cursor->at != '\n')
        return STEP_BAD_QUOTE;
    *field = slice_of(start, (size_t)(close - start));
    if (is_copied) {
        buf_append(&csv->scratch, *field);
        *field = slice_of(NULL, csv->scratch.len - kept); /* its place is known when the buf has stopped moving */
    }
    return STEP_DONE;
}

static enum step plain_field(struct csv *csv, struct cursor *cursor, struct slice *field)
{
    const char *start = cursor->at;
    while (cursor->at < cursor->end && *cursor->at != csv->delimiter && *cursor->at != '\r' && *cursor->at != '\n')
        cursor->at++;
    *field = slice_of(start, (size_t)(cursor->at - start));
    return cursor->at == cursor->end && !cursor->is_complete ? STEP_MORE : STEP_DONE;
}

/* Parse one record at the front of `text`. Unless STEP_DONE nothing has changed. *quote_line: where the last quote
 * opened, *close_line: where it closed (0: it did not). */
static enum step parse(struct csv *csv, struct csv_record *record, uint64_t *quote_line, uint64_t *close_line)
{
    struct cursor cursor = {csv->text.ptr, csv->text.ptr + csv->text.len, csv->line, csv->is_complete};
    buf_reset(&csv->scratch);
    *quote_line = *close_line = 0;
    size_t count = 0;
    bool ends = false;
    while (!ends) {
        if (count == CSV_COLUMNS_MAX)
            return STEP_TOO_WIDE;
        struct slice *field = &csv->fields[count++];
        enum step step;
        if (cursor.at < cursor.end && *cursor.at == '"') {
            bool is_open = false;
            *quote_line = cursor.line;
            cursor.at++;
            step = quoted_field(csv, &cursor, field, &is_open);
            *close_line = is_open ? 0 : cursor.line;
        } else
            step = plain_field(csv, &cursor, field);
        if (step != STEP_DONE)
            return step;
        ends = cursor.at == cursor.end || *cursor.at != csv->delimiter;
        if (!ends)
            cursor.at++;
    }
    if (cursor.at < cursor.end && !end_line(&cursor))
        return STEP_MORE;
    struct slice whole = slice_of(csv->text.ptr, (size_t)(cursor.at - csv->text.ptr));
    if (whole.len > CSV_RECORD_MAX)
        return STEP_TOO_LONG;
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
        if (csv->fields[i].ptr)
            continue;
        csv->fields[i].ptr = csv->scratch.ptr + from;
        from += csv->fields[i].len;
    }
    *record = (struct csv_record){.line = csv->line, .fields = csv->fields, .count = count};
    record->is_broken = csv->is_utf8 ? !utf8_is_valid(whole) : slice_find(whole, SLICE("\xef\xbf\xbd")) != SLICE_NPOS;
    csv->text = slice_from(csv->text, whole.len);
    csv->line = cursor.line;
    return STEP_DONE;
}

static bool is_empty_line(const struct csv_record *record)
{
    return record->count == 1 && (slice_is_empty(record->fields[0]) || slice_equal(record->fields[0], SLICE("\x1a")));
}

/* Broken UTF-8 becomes U+FFFD, as it does in converted text. */
static void repair(struct csv *csv, struct csv_record *record)
{
    SCOPED(buf) repaired = BUF(4 * CSV_RECORD_MAX);
    for (size_t i = 0; i < record->count; i++) {
        size_t from = repaired.len;
        utf8_repair(&repaired, record->fields[i]);
        record->fields[i].len = repaired.len - from;
    }
    buf_reset(&csv->scratch);
    buf_append(&csv->scratch, buf_slice(&repaired));
    size_t from = 0;
    for (size_t i = 0; i < record->count; i++) {
        record->fields[i].ptr = csv->scratch.ptr + from;
        from += record->fields[i].len;
    }
}

static bool quote_fault(const struct csv *csv, uint64_t opens, uint64_t closes, struct fault *why)
{
    static const char cure[] = "put \"\" for a quote inside a field, or take the stray quote away";
    if (!closes)
        return fault_set(why, FAULT_INPUT, "%s line %llu: a quote opens here and is never closed; %s", csv->name,
                         (unsigned long long)opens, cure);
    return fault_set(
        why, FAULT_INPUT,
        "%s line %llu: broken row: the quote that opens here is closed in line %llu, but the field goes on "
        "behind it; %s",
        csv->name, (unsigned long long)opens, (unsigned long long)closes, cure);
}

static bool length_fault(const struct csv *csv, struct fault *why)
{
    return fault_set(why, FAULT_INPUT,
                     "%s line %llu: a row of more than %d bytes begins here; is a quote missing at the end of a field?",
                     csv->name, (unsigned long long)csv->line, CSV_RECORD_MAX);
}

bool csv_next(struct csv *csv, struct csv_record *record, struct fault *why)
{
    *why = (struct fault){0};
    for (;;) {
        if (!csv->text.len && !refill(csv))
            return false;
        uint64_t opens = 0, closes = 0;
        enum step step = csv->text.len ? parse(csv, record, &opens, &closes) : STEP_MORE;
        switch (step) {
        case STEP_DONE:
            if (is_empty_line(record))
                continue;
            if (record->is_broken && csv->is_utf8)
                repair(csv, record);
            return true;
        case STEP_TOO_WIDE:
            return fault_set(why, FAULT_INPUT, "%s line %llu: more than %d columns", csv->name,
                             (unsigned long long)csv->line, CSV_COLUMNS_MAX);
        case STEP_TOO_LONG: return length_fault(csv, why);
        case STEP_BAD_QUOTE: return quote_fault(csv, opens, closes, why);
        case STEP_MORE:
            if (csv->is_complete)
                return csv->text.len ? quote_fault(csv, opens, 0, why) : false;
            if (csv->text.len >= CSV_RECORD_MAX)
                return length_fault(csv, why);
            refill(csv);
            break;
        }
    }
}

/* ── opening ── */

/* Files that are no CSV, by their first bytes. */
static bool is_other_file(struct slice bytes, const char *name, struct fault *why)
{
    static const struct {
        struct slice magic;
        const char *what;
    } files[] = {
        {SLICE_INIT("PK\x03\x04"), "an Excel workbook (.xlsx) or zip archive: in Excel choose Save As, \"CSV UTF-8\""},
        {SLICE_INIT("\xd0\xcf\x11\xe0"), "an old Excel workbook (.xls): in Excel choose Save As, \"CSV UTF-8\""},
        {SLICE_INIT("%PDF-"), "a PDF: export the table as CSV"},
        {SLICE_INIT("\x1f\x8b"), "compressed by gzip: unpack it first"},
    };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (slice_starts(bytes, files[i].magic)) {
            fault_set(why, FAULT_INPUT, "%s: this is not CSV but %s", name, files[i].what);
            return true;
        }
    }
    return false;
}

/* Delimiters of the header line, outside quotes. */
static char guess_delimiter(struct slice text)
{
    static const char delimiters[] = {',', ';', '\t'};
    size_t counts[3] = {0}, best = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < text.len && i < CSV_RECORD_MAX; i++) {
        char c = text.ptr[i];
        if (c == '"')
            is_quoted = !is_quoted;
        if (is_quoted)
            continue;
        if ((c == '\r' || c == '\n') && i)
            break;
        for (size_t k = 0; k < COUNT_OF(delimiters); k++)
            counts[k] += c == delimiters[k];
    }
    for (size_t k = 1; k < COUNT_OF(delimiters); k++)
        if (counts[k] > counts[best])
            best = k;
    return delimiters[best];
}

static void find_delimiter(struct csv *csv)
{
    struct slice text = csv->text, line;
    if (slice_starts_caseless(text, SLICE("sep=")) && slice_line(&text, &line) && line.len == 5) {
        csv->delimiter = line.ptr[4];
        csv->has_sep_line = true;
        csv_rewind(csv);
        return;
    }
    csv->delimiter = guess_delimiter(csv->text);
}

struct csv *csv_open(struct slice bytes, const char *name, struct slice encoding, struct fault *why)
{
    if (is_other_file(bytes, name, why))
        return NULL;
    size_t bom_len;
    struct slice detected = csv_detect(bytes, &bom_len), wanted = detected;
    if (encoding.len && !slice_equal_caseless(encoding, SLICE("auto")) && !csv_encoding_of(encoding, &wanted)) {
        fault_set(
            why, FAULT_INPUT,
            "%s: there is no encoding \"%.*s\"; say auto, utf-8, cp932, euc-jp, iso-2022-jp, utf-16le, utf-16be or "
            "windows-1252",
            name, SLICE_ARG(slice_head(encoding, 40)));
        return NULL;
    }
    struct csv *csv = NEW(struct csv);
    csv->name = name;
    csv->encoding = wanted;
    csv->has_bom = bom_len > 0 && slice_equal(wanted, detected);
    csv->bytes = slice_from(bytes, csv->has_bom ? bom_len : 0);
    csv->is_utf8 = slice_equal(wanted, SLICE("utf-8"));
    csv->converter = csv->is_utf8 ? (iconv_t)-1 : charset_converter("UTF-8", csv_iconv_name(wanted));
    buf_init(&csv->unescaped, bytes.len * 2);
    if (slice_equal(wanted, SLICE("iso-2022-jp"))) {
        csv_unescape_jis(csv->bytes, &csv->unescaped);
        csv->bytes = buf_slice(&csv->unescaped);
    }
    buf_init(&csv->window, WINDOW_MAX);
    buf_init(&csv->scratch, 4 * CSV_RECORD_MAX);
    if (!csv->is_utf8 && csv->converter == (iconv_t)-1) {
        fault_set(why, FAULT_WORLD, "%s: this system's iconv does not know %s (package libc-bin)", name,
                  csv_iconv_name(wanted));
        csv_free(csv);
        return NULL;
    }
    csv_rewind(csv);
    find_delimiter(csv);
    return csv;
}

void csv_free(struct csv *csv)
{
    if (!csv)
        return;
    if (csv->converter != (iconv_t)-1)
        iconv_close(csv->converter);
    buf_release(&csv->unescaped);
    buf_release(&csv->window);
    buf_release(&csv->scratch);
    free(csv);
}

struct slice csv_encoding(const struct csv *csv)
{
    return csv->encoding;
}

bool csv_has_bom(const struct csv *csv)
{
    return csv->has_bom;
}

char csv_delimiter(const struct csv *csv)
{
    return csv->delimiter;
}

/* ── writing ── */

void csv_put(struct buf *out, struct slice field)
{
    bool is_formula = field.len && memchr("=+-@\t\r", field.ptr[0], 6);
    bool is_quoted = is_formula;
    for (size_t i = 0; i < field.len && !is_quoted; i++)
        is_quoted = field.ptr[i] == ',' || field.ptr[i] == '"' || field.ptr[i] == '\r' || field.ptr[i] == '\n';
    if (!is_quoted) {
        buf_append(out, field);
        return;
    }
    buf_byte(out, '"');
    if (is_formula)
        buf_byte(out, '\'');
    for (size_t i = 0; i < field.len; i++) {
        if (field.ptr[i] == '"')
            buf_byte(out, '"');
        buf_byte(out, field.ptr[i]);
    }
    buf_byte(out, '"');
}

struct slice csv_ahead(const struct csv *csv)
{
    return csv->is_utf8 ? csv->text : csv->rest;
}
