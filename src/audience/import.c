/* import.c - read once to be sure, then write in batches
 *
 *     open file -> header -> check every record (nothing is written) -> find or make the run -> skip what it has done
 *     -> batch: rows to contacts and rejects -> reject file -> one transaction (contacts, members, the run's progress)
 * -> ... -> done */
#include "audience/import.h"

#include "audience/csv.h"
#include "audience/mapped.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SHA_BYTES = 32,
    HEADERS_SAID = 8,
    BROKEN_PERCENT_MAX = 10,
    PATH_ROOM = 4096,
    FORGET_ROWS = 50000,
    DIGEST_PIECE = 8 << 20,
    BATCH_OCTETS = 4 << 20
};

struct import {
    struct store *store;
    const struct import_options *options;
    struct import_result *result;
    struct arena *arena; /* the result's */
    struct mapped file;
    struct csv *csv;
    struct slice *headers;
    size_t header_count;
    unsigned char sha256[SHA_BYTES];
    FILE *rejects;
    size_t batch_most; /* rows: IMPORT_BATCH, or less beside a server */
};

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

static bool header_read(struct import *import, struct fault *why)
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

/* A person, or why there is none in this row. */
static bool contact_of(const struct import *import, const struct csv_record *record, struct arena *arena,
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

/* Everything that would be a fault later is one now. */
static bool check_all(struct import *import, struct fault *why)
{
    struct csv_record record;
    uint64_t broken = 0, first_broken = 0, wide = 0;
    uint64_t *total = &import->result->progress.total;
    *total = 0;
    while (csv_next(import->csv, &record, why)) {
        if (++*total % FORGET_ROWS == 0)
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

/* ── rejects ── */

static void reject_remember(struct import *import, uint64_t line, struct slice reason)
{
    struct import_result *result = import->result;
    uint64_t n = result->progress.rejected++;
    if (n < IMPORT_REJECTS_SHOWN) {
        result->rejects[n].line = line;
        result->rejects[n].reason = arena_copy(import->arena, reason);
    }
}

static bool reject_open(struct import *import, struct fault *why)
{
    const struct import_options *options = import->options;
    struct slice path = options->reject_path ? slice_str(options->reject_path)
                                             : arena_printf(import->arena, "%s.rejected.csv", options->path);
    bool goes_on = import->result->resumed_at > 0;
    int file = open(path.ptr, O_WRONLY | O_CREAT | O_CLOEXEC | (goes_on ? O_APPEND : O_TRUNC), 0600);
    import->rejects = file < 0 ? NULL : fdopen(file, "ab");
    if (!import->rejects)
        return fault_errno(why, "%.*s", SLICE_ARG(path));
    import->result->reject_path = path;
    struct stat info;
    if (fstat(file, &info) == 0 && info.st_size > 0)
        return true;
    SCOPED(buf) out = BUF(CSV_RECORD_MAX * 2);
    buf_text(&out, "\xef\xbb\xbfline,reason");
    for (size_t i = 0; i < import->header_count; i++) {
        buf_byte(&out, ',');
        csv_put(&out, import->headers[i]);
    }
    buf_text(&out, "\r\n");
    fwrite(out.ptr, 1, out.len, import->rejects);
    return true;
}

static bool reject_write(struct import *import, const struct csv_record *record, struct slice reason, struct fault *why)
{
    reject_remember(import, record->line, reason);
    if (import->options->checks_only)
        return true;
    if (!import->rejects && !reject_open(import, why))
        return false;
    SCOPED(buf) out = BUF(CSV_RECORD_MAX * 4);
    buf_u64(&out, record->line);
    buf_byte(&out, ',');
    csv_put(&out, reason);
    for (size_t i = 0; i < record->count; i++) {
        buf_byte(&out, ',');
        csv_put(&out, record->fields[i]);
    }
    buf_text(&out, "\r\n");
    fwrite(out.ptr, 1, out.len, import->rejects);
    return true;
}

static bool reject_flush(struct import *import, struct fault *why)
{
    if (import->rejects && (fflush(import->rejects) != 0 || ferror(import->rejects)))
        return fault_errno(why, "%.*s", SLICE_ARG(import->result->reject_path));
    return true;
}

/* ── the run ── */

struct run_job {
    struct write_job job;
    struct import *import;
    int64_t done, taken, rejected;
};

static bool run_find(struct write_job *job, struct db *db, struct fault *why)
{
    struct run_job *run = (struct run_job *)job;
    const struct import_options *options = run->import->options;
    struct import_result *result = run->import->result;
    int64_t found[4] = {0};
    bool is_there;
    if (!list_create(db, why, options->brand_id, options->list_name, options->now, &result->list_id, NULL) ||
        !db_query_ints(
            db, why,
            "SELECT id, rows_done, rows_taken, rows_rejected FROM import_run WHERE list_id = $1 AND sha256 = "
            "$2 AND state = 'running' ORDER BY id DESC LIMIT 1",
            VALUES(V_INT((int64_t)result->list_id), V_BYTES(slice_of(run->import->sha256, SHA_BYTES))), found, 4,
            &is_there))
        return false;
    run->done = found[1];
    run->taken = found[2];
    run->rejected = found[3];
    result->run_id = is_there ? (uint64_t)found[0] : id_make_anywhere(db_ids(db), options->now);
    if (is_there)
        return true;
    return db_do(db, why,
                 "INSERT INTO import_run (id, list_id, file, sha256, rows_done, rows_taken, rows_rejected, state, "
                 "started_ms) VALUES ($1, $2, $3, $4, 0, 0, 0, 'running', $5)",
                 VALUES(V_INT((int64_t)result->run_id), V_INT((int64_t)result->list_id), V_STR(options->path),
                        V_BYTES(slice_of(run->import->sha256, SHA_BYTES)), V_INT(options->now)),
                 NULL);
}

static bool run_begin(struct import *import, struct fault *why)
{
    unsigned len = SHA_BYTES;
    struct slice ahead = import->file.bytes;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    int ok = EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    while (ahead.len) {
        struct slice piece = slice_head(ahead, DIGEST_PIECE);
        ok &= EVP_DigestUpdate(digest, piece.ptr, piece.len);
        ahead = slice_from(ahead, piece.len);
        mapped_forget(&import->file, ahead);
    }
    ok &= EVP_DigestFinal_ex(digest, import->sha256, &len);
    EVP_MD_CTX_free(digest);
    assert(ok == 1 && len == SHA_BYTES);
    struct run_job run = {.job = {.run = run_find}, .import = import};
    if (!store_write_wait(import->store, &run.job, why))
        return false;
    struct import_progress *progress = &import->result->progress;
    import->result->resumed_at = (uint64_t)run.done;
    progress->rows = (uint64_t)run.done;
    progress->updated = (uint64_t)run.taken; /* which of them were new is not known any more */
    progress->rejected = (uint64_t)run.rejected;
    return true;
}

/* ── batches: one is read while the other is written ── */

struct batch {
    struct write_job job;
    struct import *import;
    struct arena arena;
    struct contact contacts[IMPORT_BATCH];
    bool is_new[IMPORT_BATCH];
    uint64_t ids[IMPORT_BATCH];
    size_t count;
    size_t octets;                /* of its rows */
    int64_t took_us;              /* the last time it was written, without the commit */
    uint64_t rows_done, rejected; /* of the file, with this batch */
    bool is_last;
    struct store_waited *writing; /* NULL: it is not being written */
};

/* By where the rows go: neighbours in the indexes are written together. The order of the file decides among equals. */
static int by_place(const void *a, const void *b)
{
    const struct contact *left = a, *right = b;
    if (left->bucket != right->bucket)
        return left->bucket < right->bucket ? -1 : 1;
    int order = slice_compare(left->address, right->address);
    return order ? order : left->id < right->id ? -1 : 1; /* id: the place in the batch, until it is saved */
}

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool batch_write(struct batch *batch, struct db *db, struct fault *why)
{
    const struct import_options *options = batch->import->options;
    const struct import_result *result = batch->import->result;
    if (options->is_brands_own && !contact_belong(db, why, options->brand_id, batch->contacts, batch->count))
        return false;
    if (!contact_save(db, why, batch->contacts, batch->count, options->now, batch->is_new))
        return false;
    for (size_t i = 0; i < batch->count; i++)
        batch->ids[i] = batch->contacts[i].id;
    return list_add(db, why, result->list_id, batch->ids, batch->count, options->now) &&
           db_do(db, why,
                 "UPDATE import_run SET rows_done = $2, rows_taken = $3, rows_rejected = $4, state = $5, finished_ms = "
                 "$6 WHERE id = $1",
                 VALUES(V_INT((int64_t)result->run_id), V_INT((int64_t)batch->rows_done),
                        V_INT((int64_t)(batch->rows_done - batch->rejected)), V_INT((int64_t)batch->rejected),
                        V_STR(batch->is_last ? "done" : "running"), V_INT(batch->is_last ? options->now : 0)),
                 NULL);
}

static bool batch_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct batch *batch = (struct batch *)job;
    int64_t start = monotonic_us();
    bool ok = batch_write(batch, db, why);
    batch->took_us = monotonic_us() - start;
    return ok;
}

/* Beside a server: as many rows as this machine writes in TURN_US, and a pause in which it has its turn. */
static void take_turns(struct import *import, const struct batch *written)
{
    enum { TURN_US = 15000, PAUSE_US = 5000, FIRST = 500, LEAST = 100 };
    if (import->options->checks_only || !store_is_beside_server(import->store)) {
        import->batch_most = IMPORT_BATCH;
        return;
    }
    size_t most = import->batch_most;
    if (most == 0 || most > IMPORT_BATCH_BESIDE)
        most = FIRST;
    else if (written->took_us > TURN_US)
        most = most / 2 > LEAST ? most / 2 : LEAST;
    else if (written->took_us < TURN_US / 3)
        most = most * 2;
    import->batch_most = most < IMPORT_BATCH_BESIDE ? most : IMPORT_BATCH_BESIDE;
    usleep(PAUSE_US);
}

/* Its rows are in the store (or were only to be looked at): count them, and make room for the next. */
static bool batch_finish(struct batch *batch, struct fault *why)
{
    struct import_progress *progress = &batch->import->result->progress;
    const struct import_options *options = batch->import->options;
    if (batch->writing) {
        bool ok = store_write_finish(batch->writing, why);
        batch->writing = NULL;
        if (!ok)
            return false;
        for (size_t i = 0; i < batch->count; i++)
            *(batch->is_new[i] ? &progress->fresh : &progress->updated) += 1;
    } else
        progress->fresh += batch->count;
    if (options->progress && batch->rows_done)
        options->progress(options->context, progress);
    batch->count = 0;
    batch->octets = 0;
    batch->rows_done = 0;
    arena_reset(&batch->arena);
    return true;
}

/* Full: give it to the writer, once the one before is written. */
static bool batch_start(struct batch *batch, struct batch *before, struct fault *why)
{
    struct import *import = batch->import;
    batch->rows_done = import->result->progress.rows;
    batch->rejected = import->result->progress.rejected;
    if (!batch_finish(before, why))
        return false;
    if (import->options->checks_only)
        return true;
    for (size_t i = 0; i < batch->count; i++) {
        batch->contacts[i].bucket = address_bucket(batch->contacts[i].address);
        batch->contacts[i].id = i;
    }
    take_turns(import, before);
    qsort(batch->contacts, batch->count, sizeof(*batch->contacts), by_place);
    if (!reject_flush(import, why))
        return false;
    batch->writing = store_write_start(import->store, &batch->job);
    return true;
}

static bool write_all(struct import *import, struct batch *batches[2], struct fault *why)
{
    struct csv_record record;
    csv_rewind(import->csv);
    uint64_t skip = import->result->resumed_at + 1; /* the header, and what is done */
    struct batch *batch = batches[0], *before = batches[1];
    take_turns(import, before);
    while (csv_next(import->csv, &record, why)) {
        if (skip && skip--)
            continue;
        struct slice reason = {0};
        import->result->progress.rows++;
        for (size_t i = 0; i < record.count; i++)
            batch->octets += record.fields[i].len;
        if (contact_of(import, &record, &batch->arena, &batch->contacts[batch->count], &reason))
            batch->count++;
        else if (!reject_write(import, &record, reason, why))
            return false;
        if (batch->count < import->batch_most && batch->octets < BATCH_OCTETS)
            continue;
        if (!batch_start(batch, before, why))
            return false;
        mapped_forget(&import->file, csv_ahead(import->csv));
        struct batch *other = batch;
        batch = before;
        before = other;
    }
    batch->is_last = true;
    return why->kind == FAULT_NONE && batch_start(batch, before, why) && batch_finish(batch, why);
}

static struct batch *batch_new(struct import *import)
{
    struct batch *batch = NEW(struct batch); /* some 1.5 MB */
    batch->import = import;
    batch->job.run = batch_run;
    batch->job.rows = IMPORT_BATCH;
    return batch;
}

static void batch_free(struct batch *batch)
{
    struct fault ignored;
    if (batch->writing && !store_write_finish(batch->writing, &ignored))
        log_debug("audience", "the last batch was not written: %s", ignored.text);
    arena_release(&batch->arena);
    free(batch);
}

static bool import_open_file(struct import *import, struct fault *why)
{
    const struct import_options *options = import->options;
    import->csv = csv_open(import->file.bytes, options->path, options->encoding, why);
    if (!import->csv)
        return false;
    import->result->encoding = csv_encoding(import->csv);
    import->result->delimiter = csv_delimiter(import->csv);
    return header_read(import, why) && check_all(import, why) && (options->checks_only || run_begin(import, why));
}

bool import_file(struct store *store, const struct import_options *options, struct arena *arena,
                 struct import_result *result, struct fault *why)
{
    struct import import = {.store = store, .options = options, .result = result, .arena = arena};
    *result = (struct import_result){0};
    assert(store || options->checks_only);
    if (!mapped_open(&import.file, options->path, options->file ? options->file : -1, why))
        return false;
    struct batch *batches[2] = {batch_new(&import), batch_new(&import)};
    bool ok = import_open_file(&import, why) && write_all(&import, batches, why);
    for (int i = 0; i < 2; i++)
        batch_free(batches[i]);
    if (import.rejects)
        fclose(import.rejects);
    csv_free(import.csv);
    mapped_close(&import.file);
    return ok;
}
