/* join_reader.c - the thread that follows new inbound rows */
#include "base/memory.h"
#include "receive/join.h"

#include "base/log.h"
#include "net/mailbox.h"
#include "receive/arrivals.h"
#include <pthread.h>
#include <stdio.h>

enum { BATCH = 100, BATCH_OCTETS = 16 << 20 };

struct join_reader {
    struct join_reader_options options;
    struct store_watch watch;
    struct joiner joiner;
    pthread_t thread;
    struct loop *loop;
    struct mailbox woken, asked;
    _Atomic bool is_asked; /* a wake is in the mailbox */
    _Atomic bool is_stopping;
    unsigned after_bucket; /* the round through the new mails has come so far */
    uint64_t after_id;
};

struct batch {
    struct write_job job;
    struct join_reader *reader;
    struct arena arena;
    struct join joins[BATCH];
    size_t count;
};

static bool batch_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct batch *batch = (struct batch *)job;
    for (size_t i = 0; i < batch->count; i++)
        if (!join_write(&batch->reader->options.ledger, db, why, &batch->joins[i]))
            return false;
    return true;
}

/* Behind those of this round, in our buckets. Placeholders $1, $2: where the round is; $3 to $6: the buckets. */
#define NEXT_MAILS                                                                                                     \
    "FROM inbound WHERE state = 0 AND (bucket, id) > ($1, $2) AND ((CASE bucket / 64 WHEN 0 THEN CAST($3 AS BIGINT) "  \
    "WHEN 1 THEN CAST($4 AS BIGINT) WHEN 2 THEN CAST($5 AS BIGINT) ELSE CAST($6 AS BIGINT) END >> (bucket % 64)) & "   \
    "1) = 1 ORDER BY bucket, id LIMIT $7"
#define NEXT_VALUES(reader, held, most)                                                                                \
    VALUES(V_INT((reader)->after_bucket), V_INT((int64_t)(reader)->after_id), V_INT((int64_t)(held).bits[0]),          \
           V_INT((int64_t)(held).bits[1]), V_INT((int64_t)(held).bits[2]), V_INT((int64_t)(held).bits[3]),             \
           V_INT((int64_t)(most)))

/* How many of the next mails fit into a batch; at least one, if there is any. */
static bool batch_size(struct join_reader *reader, size_t *count, struct fault *why)
{
    SCOPED(rows) rows = {0};
    int64_t octets = 0;
    struct bucket_set held = leases_held_now(reader->options.leases);
    *count = 0;
    if (!db_query(reader->joiner.reader, why, &rows, "SELECT length(raw) " NEXT_MAILS,
                  NEXT_VALUES(reader, held, BATCH)))
        return false;
    while (*count < BATCH && rows_next(&rows)) {
        octets += rows_int(&rows, 0);
        if (*count && octets > BATCH_OCTETS)
            break;
        ++*count;
    }
    return rows_end(&rows);
}

static void put_aside(struct batch *batch, const struct inbound_row *mail, struct join *join, const char *what)
{
    log_error("receive", "received mail %llu (from <%.*s> at %.*s, %zu octets) is put aside: %s",
              (unsigned long long)mail->id, SLICE_ARG(slice_head(mail->mail_from, 256)),
              SLICE_ARG(slice_head(mail->peer, 64)), mail->raw.len, what);
    *join = (struct join){.mail_id = mail->id, .put_aside = arena_copy(&batch->arena, slice_str(what))};
}

/* The mails go through the jail; what comes out is looked up here. */
static bool jail_batch(struct join_reader *reader, struct batch *batch, const struct inbound_row *mails, size_t count,
                       time_ms now, struct fault *why)
{
    struct jail_item *items = ARENA_ARRAY(&batch->arena, struct jail_item, count + 1);
    for (size_t i = 0; i < count; i++)
        items[i].bytes = mails[i].raw;
    if (!jail_read(reader->options.jail, items, count, now / 1000, &batch->arena, why))
        return false;
    for (batch->count = 0; batch->count < count; batch->count++) {
        size_t i = batch->count;
        struct mail_record *record = ARENA_NEW(&batch->arena, struct mail_record);
        if (!items[i].is_read)
            put_aside(batch, &mails[i], &batch->joins[i], items[i].why);
        else if (!record_parse(items[i].record, &batch->arena, record, why))
            put_aside(batch, &mails[i], &batch->joins[i], why->text);
        else if (!join_record(&reader->joiner, &mails[i], record, now, &batch->arena, &batch->joins[i], why))
            return false;
        else if (reader->options.arrivals)
            arrivals_check(reader->options.arrivals, &mails[i], record);
    }
    return true;
}

/* The next new mails, read and joined. */
static bool read_batch(struct join_reader *reader, struct batch *batch, struct fault *why)
{
    struct inbound_row *mails = ARENA_ARRAY(&batch->arena, struct inbound_row, BATCH);
    size_t count = 0, most;
    if (!batch_size(reader, &most, why))
        return false;
    SCOPED(rows) rows = {0};
    struct bucket_set held = leases_held_now(reader->options.leases);
    if (!db_query(reader->joiner.reader, why, &rows,
                  "SELECT id, at_ms, mail_from, rcpt_to, peer, raw, helo " NEXT_MAILS, NEXT_VALUES(reader, held, most)))
        return false;
    while (count < most && rows_next(&rows))
        mails[count++] = (struct inbound_row){
            .id = (uint64_t)rows_int(&rows, 0),
            .at = rows_int(&rows, 1),
            .mail_from = arena_copy(&batch->arena, rows_text(&rows, 2)),
            .rcpt_to = arena_copy(&batch->arena, rows_text(&rows, 3)),
            .peer = arena_copy(&batch->arena, rows_text(&rows, 4)),
            .raw = arena_copy(&batch->arena, rows_bytes(&rows, 5)),
            .helo = arena_copy(&batch->arena, rows_text(&rows, 6)),
        };
    if (!rows_end(&rows))
        return false;
    time_ms now = world_wall(reader->options.world);
    if (reader->options.jail)
        return jail_batch(reader, batch, mails, count, now, why);
    for (batch->count = 0; batch->count < count; batch->count++)
        if (!join_read(&reader->joiner, &mails[batch->count], now, &batch->arena, &batch->joins[batch->count], why))
            return false;
    return true;
}

/* One mail in a job of its own, or what puts it aside. */
struct single {
    struct write_job job;
    struct join_reader *reader;
    struct join *join;
    bool is_given_up;
    char why[300];
};
static bool single_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct single *single = (struct single *)job;
    return single->is_given_up ? join_give_up(db, why, single->join->mail_id, slice_str(single->why))
                               : join_write(&single->reader->options.ledger, db, why, single->join);
}

static bool write_each(struct join_reader *reader, struct batch *batch, struct fault *why)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct single single = {{.run = single_run, .fails_fast = true}, reader, &batch->joins[i], false, ""};
        if (store_write_wait(reader->options.store, &single.job, why))
            continue;
        if (why->kind == FAULT_WORLD)
            return false;
        log_error("receive", "received mail %llu is put aside, what it means cannot be written: %s",
                  (unsigned long long)single.join->mail_id, why->text);
        single.is_given_up = true;
        snprintf(single.why, sizeof(single.why), "what it means cannot be written: %.200s", why->text);
        if (!store_write_wait(reader->options.store, &single.job, why))
            return false;
    }
    return true;
}

static bool write_batch(struct join_reader *reader, struct batch *batch, struct fault *why)
{
    batch->job.rows = (unsigned)batch->count * 4;
    batch->job.fails_fast = true;
    if (store_write_wait(reader->options.store, &batch->job, why))
        return true;
    return why->kind != FAULT_WORLD && write_each(reader, batch, why);
}

/* False: nothing left, or the store failed (the poll comes again). */
static bool one_batch(struct join_reader *reader)
{
    struct batch *batch = NEW(struct batch);
    struct fault why = {0};
    batch->reader = reader;
    batch->job.run = batch_run;
    bool ok = read_batch(reader, batch, &why) && (batch->count == 0 || write_batch(reader, batch, &why));
    if (!ok)
        log_warn("receive", "received mail cannot be joined now: %s", why.text);
    bool goes_on = ok && batch->count > 0;
    reader->after_bucket = 0; /* those that were left are looked at again in the next round */
    reader->after_id = 0;
    if (goes_on) {
        reader->after_id = batch->joins[batch->count - 1].mail_id;
        reader->after_bucket = id_bucket(reader->after_id);
    }
    arena_release(&batch->arena);
    free(batch);
    return goes_on;
}

/* ── what people ask ── */

static void question_read(struct join_reader *reader, struct join_question *question)
{
    time_ms now = world_wall(reader->options.world);
    struct jail_item item = {.bytes = question->mail};
    if (!reader->options.jail) {
        record_read(question->mail, reader->options.rules, reader->joiner.scratch, now / 1000, &question->arena,
                    &question->record);
        question->is_read = true;
    } else if (jail_read(reader->options.jail, &item, 1, now / 1000, &question->arena, &question->why)) {
        question->is_read = item.is_read && record_parse(slice_of(item.record.ptr, item.record.len), &question->arena,
                                                         &question->record, &question->why);
        if (!item.is_read)
            fault_set(&question->why, FAULT_INPUT, "%s", item.why);
    }
    question->done(question);
}

static void asked(struct mailbox *mailbox, struct mail_item *items)
{
    struct join_reader *reader = mailbox->owner;
    for (struct mail_item *item = items, *next; item; item = next) {
        next = item->next;
        question_read(reader, (struct join_question *)(void *)((char *)item - offsetof(struct join_question, item)));
    }
}

void join_reader_ask(struct join_reader *reader, struct join_question *question)
{
    mailbox_post(&reader->asked, &question->item);
}

static void woken(struct mailbox *mailbox, struct mail_item *items)
{
    struct join_reader *reader = mailbox->owner;
    while (items) {
        struct mail_item *item = items;
        items = items->next;
        free(item);
    }
    atomic_store(&reader->is_asked, false);
    while (!atomic_load(&reader->is_stopping) && one_batch(reader))
        asked(&reader->asked, mailbox_take(&reader->asked)); /* a person does not wait for a flood */
}

static void wake(struct store_watch *watch, unsigned marks)
{
    struct join_reader *reader = (struct join_reader *)((char *)watch - offsetof(struct join_reader, watch));
    if (marks & (STORE_MARK_INBOUND | STORE_MARK_POLL) && !atomic_exchange(&reader->is_asked, true))
        mailbox_post(&reader->woken, NEW(struct mail_item));
}

static void *join_main(void *arg)
{
    struct join_reader *reader = arg;
    loop_run(reader->loop);
    return NULL;
}

struct join_reader *join_reader_start(const struct join_reader_options *options, struct fault *why)
{
    struct join_reader *reader = NEW(struct join_reader);
    reader->options = *options;
    reader->joiner = (struct joiner){
        .rules = options->rules,
        .ring = options->ring,
        .reader = store_reader_open(options->store, why),
    };
    if (!reader->joiner.reader) {
        free(reader);
        return NULL;
    }
    reader->joiner.scratch = rules_scratch_new(options->rules);
    reader->loop = loop_new(options->world);
    mailbox_init(&reader->woken, reader->loop, woken, reader);
    mailbox_init(&reader->asked, reader->loop, asked, reader);
    reader->watch.wake = wake;
    store_watch_add(options->store, &reader->watch);
    wake(&reader->watch, STORE_MARK_POLL);
    if (pthread_create(&reader->thread, NULL, join_main, reader) != 0)
        memory_gone("a thread");
    return reader;
}

void join_reader_stop(struct join_reader *reader)
{
    if (!reader)
        return;
    atomic_store(&reader->is_stopping, true);
    store_watch_remove(reader->options.store, &reader->watch);
    loop_stop(reader->loop);
    pthread_join(reader->thread, NULL);
    for (struct mail_item *item = mailbox_take(&reader->woken), *next; item; item = next) {
        next = item->next;
        free(item);
    }
    asked(&reader->asked, mailbox_take(&reader->asked));
    mailbox_release(&reader->asked);
    mailbox_release(&reader->woken);
    loop_free(reader->loop);
    rules_scratch_free(reader->joiner.scratch);
    db_free(reader->joiner.reader);
    free(reader);
}
