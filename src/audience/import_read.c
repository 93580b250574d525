/* import_read.c - a file of people: its header, its rows as people, and the first reading that finds what is wrong */
#include "audience/import_inside.h"

#include "base/json.h"
#include "base/utf8.h"

enum { HEADERS_SAID = 8, BROKEN_PERCENT_MAX = 10 };

/* ── the header ── */

static bool looks_like_address(struct slice field)
{
    ptrdiff_t at = slice_find_byte(field, '@');
    return at > 0 && slice_find_byte(slice_from(field, (size_t)at), '.') > 0;
}

static bool no_email_fault(const struct import *import, uint64_t line, struct fault *why)
{
    const char *path = import->options->path;
    for (size_t i = 0; i < import->header_count; i++)
        if (looks_like_address(import->headers[i]))
            return fault_set(why, FAULT_INPUT,
                             "%s line %llu: this line has an address, but no column names stand above it; put a first "
                             "line such as \"email,name\" there",
                             path, (unsigned long long)line);
    SCOPED(buf) said = BUF(300);
    for (size_t i = 0; i < import->header_count && i < HEADERS_SAID; i++) {
        buf_str(&said, i ? ", " : "");
        buf_append(&said, utf8_head(import->headers[i], 40));
    }
    return fault_set(
        why, FAULT_INPUT,
        "%s line %llu: no column for the address (such as \"メールアドレス\" or \"email\"); the columns are: "
        "%s; rename one, or say which with --email-column",
        path, (unsigned long long)line, buf_cstr(&said));
}

static bool encoding_fault(const struct import *import, uint64_t line, struct fault *why)
{
    size_t bom_len;
    struct slice detected = csv_detect(import->file.bytes, &bom_len), used = import->result->encoding;
    bool differs = !slice_equal(detected, used);
    return fault_set(why, FAULT_INPUT, "%s line %llu: this is not %.*s%s%.*s%s", import->options->path,
                     (unsigned long long)line, SLICE_ARG(used),
                     differs ? "; it looks like "
                             : "; save the file as \"CSV UTF-8\", or say what it is with --encoding",
                     differs ? (int)detected.len : 0, detected.ptr, differs ? ": say --encoding auto" : "");
}

/* Were the column names read in an encoding that somebody named, and that the bytes are not? */
static bool header_is_garbled(const struct import *import)
{
    size_t bom_len;
    bool is_ascii = true;
    for (size_t i = 0; i < import->header_count; i++)
        is_ascii &= slice_is_ascii(import->headers[i]);
    return !is_ascii && !slice_equal(csv_detect(import->file.bytes, &bom_len), import->result->encoding);
}

bool import_header_read(struct import *import, struct fault *why)
{
    struct csv_record record;
    const struct import_options *options = import->options;
    if (!csv_next(import->csv, &record, why))
        return why->kind != FAULT_NONE ? false
                                       : fault_set(why, FAULT_INPUT, "%s: there is nothing in the file", options->path);
    import->header_count = record.count;
    import->headers = ARENA_ARRAY(import->arena, struct slice, record.count);
    for (size_t i = 0; i < record.count; i++)
        import->headers[i] = arena_copy(import->arena, slice_trim(record.fields[i]));
    import->result->headers = import->headers;
    import->result->header_count = record.count;
    struct import_columns *columns = &import->result->columns;
    bool found = import_columns_find(import->headers, import->header_count, columns);
    if (!options->email_column.len && !found && header_is_garbled(import))
        return encoding_fault(import, record.line, why);
    if (!options->email_column.len)
        return found || no_email_fault(import, record.line, why);
    for (size_t i = 0; i < import->header_count; i++) {
        if (slice_equal_caseless(import->headers[i], options->email_column)) {
            columns->email = (int)i;
            return true;
        }
    }
    return fault_set(why, FAULT_INPUT, "%s line %llu: there is no column \"%.*s\"", options->path,
                     (unsigned long long)record.line, SLICE_ARG(slice_head(options->email_column, 100)));
}

/* ── rows to people ── */

/* Full-width letters, as a Japanese keyboard leaves them, mean their ASCII ones in an address. */
static struct slice half_width(struct slice text, struct arena *arena)
{
    if (slice_is_ascii(text))
        return text;
    SCOPED(buf) out = BUF(text.len + 4);
    for (int32_t c; (c = utf8_next(&text)) >= 0;)
        utf8_append(&out, c >= 0xff01 && c <= 0xff5e ? (uint32_t)(c - 0xfee0) : c == 0x3000 ? ' ' : (uint32_t)c);
    return slice_trim(arena_copy(arena, buf_slice(&out)));
}

/* One line of text: control characters, which could end a header, become spaces (X3). */
static struct slice one_line(struct slice text, size_t limit, struct arena *arena)
{
    text = utf8_head(slice_trim(text), limit);
    bool is_clean = true;
    for (size_t i = 0; i < text.len; i++)
        is_clean &= (unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f;
    char *copy = arena_str(arena, text);
    for (size_t i = 0; !is_clean && i < text.len; i++)
        if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f)
            copy[i] = ' ';
    return slice_of(copy, text.len);
}

static struct slice column(const struct csv_record *record, int index)
{
    return index >= 0 && (size_t)index < record->count ? slice_trim(record->fields[index]) : (struct slice){0};
}

static struct slice full_name(const struct import_columns *columns, const struct csv_record *record,
                              struct arena *arena)
{
    struct slice name = column(record, columns->name);
    struct slice family = column(record, columns->family_name), given = column(record, columns->given_name);
    if (!name.len && family.len && given.len) {
        bool is_western = slice_is_ascii(family) && slice_is_ascii(given);
        name = is_western ? arena_printf(arena, "%.*s %.*s", SLICE_ARG(given), SLICE_ARG(family))
                          : arena_printf(arena, "%.*s %.*s", SLICE_ARG(family), SLICE_ARG(given));
    } else if (!name.len)
        name = family.len ? family : given;
    return one_line(name, CONTACT_NAME_MAX, arena);
}

/* The other columns, as JSON. False: too much of it. */
static bool further_fields(const struct import *import, const struct csv_record *record, struct arena *arena,
                           struct slice *fields)
{
    const struct import_columns *columns = &import->result->columns;
    SCOPED(buf) out = BUF(CONTACT_FIELDS_MAX);
    struct json json = {&out};
    bool has_any = false;
    for (int i = 0; i < (int)import->header_count; i++) {
        bool is_known = i == columns->email || i == columns->name || i == columns->consent;
        struct slice value = column(record, i);
        if (is_known || !value.len || !import->headers[i].len)
            continue;
        if (!has_any)
            json_object_begin(&json);
        has_any = true;
        json_key_slice(&json, import->headers[i]);
        json_text(&json, value);
    }
    if (has_any)
        json_end(&json);
    *fields = has_any ? arena_copy(arena, buf_slice(&out)) : (struct slice){0};
    return buf_ok(&out);
}

bool import_contact_of(const struct import *import, const struct csv_record *record, struct arena *arena,
                       struct contact *contact, struct slice *reason)
{
    const struct import_columns *columns = &import->result->columns;
    struct fault why;
    struct address address;
    *contact = (struct contact){0};
    for (size_t i = import->header_count; i < record->count; i++) {
        if (!slice_trim(record->fields[i]).len)
            continue;
        *reason = arena_printf(arena, "%zu fields, but only %zu columns: is a field with a comma not in quotes?",
                               record->count, import->header_count);
        return false;
    }
    if (record->is_broken) {
        *reason = arena_printf(arena, "bytes that are no characters in %.*s", SLICE_ARG(import->result->encoding));
        return false;
    }
    struct slice text = half_width(column(record, columns->email), arena);
    if (!text.len) {
        *reason = SLICE("no address");
        return false;
    }
    if (slice_find_byte(text, '<') != SLICE_NPOS && address_find(text).len)
        text = address_find(text);
    if (!address_of_person(text, arena, &address, &why)) {
        *reason = arena_copy(arena, slice_str(why.text));
        return false;
    }
    if (!further_fields(import, record, arena, &contact->fields)) {
        *reason = arena_printf(arena, "more than %d bytes in the further columns", CONTACT_FIELDS_MAX);
        return false;
    }
    contact->address = address.identity;
    contact->written = address.written;
    contact->has_rfc_violation = address.has_rfc_violation;
    contact->name = full_name(columns, record, arena);
    struct slice consent = column(record, columns->consent);
    contact->consent = one_line(consent.len ? consent : import->options->consent, CONTACT_CONSENT_MAX, arena);
    return true;
}

/* ── the first reading ── */

bool import_check(struct import *import, struct fault *why)
{
    struct csv_record record;
    uint64_t broken = 0, first_broken = 0, wide = 0;
    uint64_t *total = &import->result->progress.total;
    *total = 0;
    while (csv_next(import->csv, &record, why)) {
        if (++*total % IMPORT_FORGET_ROWS == 0)
            mapped_forget(&import->file, csv_ahead(import->csv));
        if (record.is_broken && !broken++)
            first_broken = record.line;
        for (size_t i = 0; i < record.count; i++)
            if (!slice_is_ascii(record.fields[i])) {
                wide++;
                break;
            }
    }
    if (why->kind != FAULT_NONE)
        return false;
    if (!*total)
        return fault_set(why, FAULT_INPUT, "%s: there is a header line, but nobody below it", import->options->path);
    size_t bom_len;
    bool is_wrong = broken && !slice_equal(csv_detect(import->file.bytes, &bom_len), import->result->encoding);
    if (is_wrong || broken * 100 > wide * BROKEN_PERCENT_MAX)
        if (broken > 0 && (is_wrong || broken > 2))
            return encoding_fault(import, first_broken, why);
    return true;
}
