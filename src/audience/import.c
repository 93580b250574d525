/* import.c - read once to be sure, then write in batches
 *
 *     open file -> header -> check every record (nothing is written) -> find or make the run -> skip what it has done
 *     -> batch: rows to contacts and rejects -> reject file -> one transaction (contacts, members, the run's progress)
 * -> ... -> done */
#include "audience/import_inside.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DIGEST_PIECE = 8 << 20, BATCH_OCTETS = 4 << 20 };

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
            VALUES(V_INT((int64_t)result->list_id), V_BYTES(slice_of(run->import->sha256, IMPORT_SHA_BYTES))), found, 4,
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
                        V_BYTES(slice_of(run->import->sha256, IMPORT_SHA_BYTES)), V_INT(options->now)),
                 NULL);
}

static bool run_begin(struct import *import, struct fault *why)
{
    unsigned len = IMPORT_SHA_BYTES;
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
    assert(ok == 1 && len == IMPORT_SHA_BYTES);
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
        if (import_contact_of(import, &record, &batch->arena, &batch->contacts[batch->count], &reason))
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
    return import_header_read(import, why) && import_check(import, why) &&
           (options->checks_only || run_begin(import, why));
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
