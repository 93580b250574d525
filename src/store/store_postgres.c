/* store_postgres.c - the store on a PostgreSQL server, by libpq
 *
 * One connection belongs to one thread. Every statement is prepared once for each connection. Types of placeholders are
 * inferred by the server: numbers go as decimal text (they fit any integer column), text and bytes in binary with their
 * length; results come in binary. Many rows of one statement go in pipeline mode: one round trip for PIPELINE_ROWS of
 * them.
 *
 * A broken connection is a fault WORLD with is_lost. Outside a transaction the next use connects anew; inside one the
 * owner rolls back first (the writer repeats its group). */
#include "base/log.h"
#include "store/backend.h"
#include "store/store.h"

#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>

enum { PIPELINE_ROWS = 512, NUMBER_ROOM = 24 };
enum { OID_BYTEA = 17, OID_BIGINT = 20, OID_TEXT = 25, OID_NUMERIC = 1700 };

struct postgres_db {
    struct db db;
    PGconn *handle;
    char *url;
    enum db_use use;
    bool is_in_transaction;
};

static struct postgres_db *postgres_of(struct db *db)
{
    return (struct postgres_db *)db;
}

/* ── faults ── */

/* SQLSTATEs after which the same thing may work later: connection, resources, shutdown, I/O, read-only, idle for too
 * long in a transaction, deadlock, lock. */
static bool means_lost(const char *state)
{
    static const char *const classes[] = {"08", "53", "58", "XX"};
    static const char *const states[] = {"57P01", "57P02", "57P03", "57014", "25006",
                                         "25P03", "40001", "40P01", "55P03"};
    if (!state)
        return true; /* libpq's own: the connection */
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    for (size_t i = 0; i < COUNT_OF(states); i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

/* Serialization failure, deadlock, lock not available: nothing is wrong with the connection. */
static bool means_conflict(const char *state)
{
    return state && (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0);
}

static struct slice first_line(const char *text)
{
    struct slice rest = slice_str(text), line = {0};
    return slice_line(&rest, &line) ? line : SLICE("no answer");
}

static bool connection_fault(struct postgres_db *pg, struct fault *why)
{
    pg->db.is_lost = pg->db.is_broken = true;
    SCOPED(buf) url = BUF(400);
    store_print_url(pg->url, &url);
    return fault_set(why, FAULT_WORLD, "store %s: %.*s", buf_cstr(&url),
                     SLICE_ARG(first_line(pg->handle ? PQerrorMessage(pg->handle) : "")));
}

static bool result_fault(struct postgres_db *pg, const PGresult *result, struct fault *why, const char *sql)
{
    if (!result || PQstatus(pg->handle) == CONNECTION_BAD)
        return connection_fault(pg, why);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    pg->db.is_lost = means_lost(state);
    pg->db.is_conflict = means_conflict(state);
    pg->db.is_lock_timeout = state && strcmp(state, "55P03") == 0;
    return fault_set(why, pg->db.is_lost ? FAULT_WORLD : FAULT_INPUT, "store: %.*s (%s) in \"%.160s\"",
                     SLICE_ARG(first_line(PQresultErrorMessage(result))), state ? state : "-", sql);
}

/* ── connecting ── */

static void notice(void *context, const char *message)
{
    log_debug("store", "PostgreSQL: %.*s", SLICE_ARG(first_line(message)));
}

static void statement_drop(struct db *db, struct statement *statement)
{
    free(statement->sql);
    free(statement);
}

static void disconnect(struct postgres_db *pg)
{
    statements_drop(&pg->db.statements, statement_drop, &pg->db);
    PQfinish(pg->handle);
    pg->handle = NULL;
    pg->is_in_transaction = false;
}

static bool postgres_script(struct db *db, struct fault *why, const char *sql);

static bool connect_server(struct postgres_db *pg, struct fault *why)
{
    /* what stands in the URL wins over what stands before it here */
    const char *names[] = {"connect_timeout",
                           "application_name",
                           "client_encoding",
                           "keepalives_idle",
                           "tcp_user_timeout",
                           "dbname",
                           NULL};
    const char *values[] = {"5", "todoke", "UTF8", "30", "30000", pg->url, NULL};
    pg->handle = PQconnectdbParams(names, values, 1);
    if (PQstatus(pg->handle) != CONNECTION_OK) {
        connection_fault(pg, why);
        disconnect(pg);
        return false;
    }
    PQsetNoticeProcessor(pg->handle, notice, NULL);
    pg->db.is_lost = false;
    /* a writer that stops in the middle (a machine that sleeps) must not keep its locks: others wait to take over */
    return postgres_script(&pg->db, why,
                           pg->use == DB_READER ? "SET default_transaction_read_only = on"
                                                : "SET idle_in_transaction_session_timeout = 3000");
}

static bool postgres_reconnect(struct db *db, struct fault *why)
{
    struct postgres_db *pg = postgres_of(db);
    disconnect(pg);
    return connect_server(pg, why);
}

/* A connection that works, as far as we know. */
static bool ensure(struct postgres_db *pg, struct fault *why)
{
    if (pg->handle && PQstatus(pg->handle) == CONNECTION_OK)
        return true;
    if (pg->is_in_transaction)
        return connection_fault(pg, why);
    return postgres_reconnect(&pg->db, why);
}

static bool postgres_script(struct db *db, struct fault *why, const char *sql)
{
    struct postgres_db *pg = postgres_of(db);
    if (!ensure(pg, why))
        return false;
    PGresult *result = PQexec(pg->handle, sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!ok)
        result_fault(pg, result, why, sql);
    PQclear(result);
    return ok;
}

/* ── statements ── */

static void statement_name(const struct statement *statement, char name[16])
{
    snprintf(name, 16, "s%u", statement->number);
}

static Oid type_of(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL: break;
    case VALUE_INT: return OID_BIGINT;
    case VALUE_TEXT: return OID_TEXT;
    case VALUE_BYTES: return OID_BYTEA;
    }
    return 0;
}

static struct statement *statement_get(struct postgres_db *pg, struct fault *why, const char *sql,
                                       const struct value *values, size_t width)
{
    struct statement *statement = statement_find(&pg->db.statements, sql);
    if (statement)
        return statement;
    if (statements_are_many(&pg->db.statements)) {
        statements_drop(&pg->db.statements, statement_drop, &pg->db);
        if (!postgres_script(&pg->db, why, "DEALLOCATE ALL"))
            return NULL;
    }
    statement = NEW(struct statement);
    statement->sql = slice_dup(slice_str(sql));
    statement->number = ++pg->db.statements.made;
    char name[16];
    statement_name(statement, name);
    Oid types[DB_VALUES_MAX];
    for (size_t i = 0; i < width; i++)
        types[i] = type_of(&values[i]);
    PGresult *result = PQprepare(pg->handle, name, sql, (int)width, types);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        result_fault(pg, result, why, sql);
        PQclear(result);
        statement_drop(NULL, statement);
        return NULL;
    }
    PQclear(result);
    statement_keep(&pg->db.statements, sql, statement);
    return statement;
}

/* One row of values as libpq wants them. */
struct parameters {
    const char *values[DB_VALUES_MAX];
    int lengths[DB_VALUES_MAX];
    int formats[DB_VALUES_MAX]; /* 0 text, 1 binary */
    char numbers[DB_VALUES_MAX][NUMBER_ROOM];
};

static void parameters_fill(struct parameters *to, const struct value *values, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        const struct value *value = &values[i];
        to->formats[i] = value->kind == VALUE_TEXT || value->kind == VALUE_BYTES;
        to->lengths[i] = (int)value->bytes.len;
        to->values[i] = NULL;
        switch (value->kind) {
        case VALUE_NULL: break;
        case VALUE_INT:
            snprintf(to->numbers[i], NUMBER_ROOM, "%lld", (long long)value->number);
            to->values[i] = to->numbers[i];
            break;
        case VALUE_TEXT:
        case VALUE_BYTES: to->values[i] = value->bytes.ptr ? value->bytes.ptr : ""; break;
        }
    }
}

static int64_t changed_rows(PGresult *result)
{
    int64_t number;
    return slice_to_i64(slice_str(PQcmdTuples(result)), &number) ? number : 0;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* The result, or NULL with the fault. */
static PGresult *run_once(struct postgres_db *pg, struct fault *why, const char *sql, const struct value *values,
                          size_t width)
{
    if (!ensure(pg, why))
        return NULL;
    struct statement *statement = statement_get(pg, why, sql, values, width);
    if (!statement)
        return NULL;
    char name[16];
    statement_name(statement, name);
    struct parameters parameters;
    parameters_fill(&parameters, values, width);
    PGresult *result =
        PQexecPrepared(pg->handle, name, (int)width, parameters.values, parameters.lengths, parameters.formats, 1);
    if (is_good(result)) {
        pg->db.is_lost = false;
        return result;
    }
    result_fault(pg, result, why, sql);
    PQclear(result);
    return NULL;
}

/* ── pipelines ── */

/* Read what one pipeline answers: for each row of values its result, then the sync. All of it is read even after a
 * fault. */
static bool pipeline_read(struct postgres_db *pg, struct fault *why, const char *sql, size_t first, size_t rows,
                          int64_t *changed, db_take take, void *context)
{
    bool ok = true;
    for (size_t i = 0; i < rows; i++) {
        PGresult *result = PQgetResult(pg->handle);
        if (!result)
            return ok && connection_fault(pg, why);
        if (ok && !is_good(result)) /* those behind it are PGRES_PIPELINE_ABORTED */
            ok = result_fault(pg, result, why, sql);
        if (ok && changed)
            changed[first + i] = changed_rows(result);
        struct rows cursor = {.db = &pg->db, .why = why, .result = result};
        for (cursor.count = ok && take ? PQntuples(result) : 0; ok && cursor.at < cursor.count; cursor.at++)
            ok = take(context, first + i, &cursor, why);
        PQclear(result);
        PQclear(PQgetResult(pg->handle)); /* the NULL that ends each statement's results */
    }
    PGresult *sync = PQgetResult(pg->handle);
    if (PQresultStatus(sync) != PGRES_PIPELINE_SYNC && ok)
        ok = result_fault(pg, sync, why, sql);
    PQclear(sync);
    return ok;
}

static bool pipeline_send(struct postgres_db *pg, const char *name, const struct value *values, size_t width,
                          size_t rows)
{
    struct parameters parameters;
    for (size_t i = 0; i < rows; i++) {
        parameters_fill(&parameters, values + i * width, width);
        if (!PQsendQueryPrepared(pg->handle, name, (int)width, parameters.values, parameters.lengths,
                                 parameters.formats, 1))
            return false;
    }
    return PQpipelineSync(pg->handle);
}

static bool run_many(struct postgres_db *pg, struct fault *why, const char *sql, const struct value *values,
                     size_t width, size_t rows, int64_t *changed, db_take take, void *context)
{
    if (!ensure(pg, why))
        return false;
    struct statement *statement = statement_get(pg, why, sql, values, width);
    if (!statement)
        return false;
    char name[16];
    statement_name(statement, name);
    if (!PQenterPipelineMode(pg->handle))
        return connection_fault(pg, why);
    bool ok = true;
    for (size_t at = 0; ok && at < rows;) {
        size_t count = rows - at < PIPELINE_ROWS ? rows - at : PIPELINE_ROWS;
        if (!pipeline_send(pg, name, values + at * width, width, count)) {
            ok = connection_fault(pg, why);
            break;
        }
        ok = pipeline_read(pg, why, sql, at, count, changed, take, context);
        at += count;
    }
    if (!PQexitPipelineMode(pg->handle) && ok)
        ok = connection_fault(pg, why);
    if (ok)
        pg->db.is_lost = false;
    return ok;
}

/* ── the door ── */

static bool postgres_run(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t width,
                         size_t rows, int64_t *changed)
{
    struct postgres_db *pg = postgres_of(db);
    if (rows > 1)
        return run_many(pg, why, sql, values, width, rows, changed, NULL, NULL);
    PGresult *result = run_once(pg, why, sql, values, width);
    if (!result)
        return false;
    if (changed)
        *changed = changed_rows(result);
    PQclear(result);
    return true;
}

static bool postgres_query(struct db *db, struct fault *why, struct rows *rows, const char *sql,
                           const struct value *values, size_t width)
{
    PGresult *result = run_once(postgres_of(db), why, sql, values, width);
    if (!result)
        return false;
    rows->result = result;
    rows->count = PQntuples(result);
    return true;
}

static bool postgres_query_many(struct db *db, struct fault *why, const char *sql, const struct value *values,
                                size_t width, size_t rows, db_take take, void *context)
{
    return run_many(postgres_of(db), why, sql, values, width, rows, NULL, take, context);
}

static bool postgres_next(struct rows *rows)
{
    return ++rows->at < rows->count;
}

static void postgres_end(struct rows *rows)
{
    PQclear(rows->result);
    rows->result = NULL;
}

static bool postgres_is_null(const struct rows *rows, int column)
{
    return PQgetisnull(rows->result, rows->at, column);
}

static int64_t postgres_integer(const struct rows *rows, int column)
{
    if (PQgetisnull(rows->result, rows->at, column))
        return 0;
    assert(PQftype(rows->result, column) != OID_NUMERIC); /* write CAST(SUM(n) AS BIGINT) */
    const unsigned char *bytes = (const unsigned char *)PQgetvalue(rows->result, rows->at, column);
    int len = PQgetlength(rows->result, rows->at, column);
    assert(len == 8 || len == 4 || len == 2 || len == 1);
    uint64_t number = len > 1 && bytes[0] & 0x80 ? UINT64_MAX : 0;
    for (int i = 0; i < len; i++)
        number = number << 8 | bytes[i];
    return (int64_t)number;
}

static struct slice postgres_text(const struct rows *rows, int column)
{
    return slice_of(PQgetvalue(rows->result, rows->at, column), (size_t)PQgetlength(rows->result, rows->at, column));
}

/* ── transactions ── */

static bool postgres_begin(struct db *db, struct fault *why, bool for_writing)
{
    struct postgres_db *pg = postgres_of(db);
    assert(!pg->is_in_transaction);
    if (!postgres_script(db, why, for_writing ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return false;
    pg->is_in_transaction = true;
    return true;
}

static bool postgres_commit(struct db *db, struct fault *why)
{
    struct postgres_db *pg = postgres_of(db);
    if (!ensure(pg, why))
        return false;
    PGresult *result = PQexec(pg->handle, "COMMIT");
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!ok)
        result_fault(pg, result, why, "COMMIT");
    else if (strcmp(PQcmdStatus(result), "COMMIT") != 0) /* COMMIT of a failed transaction answers ROLLBACK */
        ok = fault_set(why, FAULT_INPUT, "store: COMMIT after a failed statement");
    PQclear(result);
    if (ok)
        pg->is_in_transaction = false;
    return ok;
}

static void postgres_rollback(struct db *db)
{
    struct postgres_db *pg = postgres_of(db);
    bool was_lost = db->is_lost;
    if (pg->handle && pg->is_in_transaction && PQtransactionStatus(pg->handle) != PQTRANS_IDLE) {
        struct fault ignored;
        was_lost |= !postgres_script(db, &ignored, "ROLLBACK");
    }
    pg->is_in_transaction = false;
    db->is_lost = was_lost;
}

static void postgres_close(struct db *db)
{
    struct postgres_db *pg = postgres_of(db);
    disconnect(pg);
    free(pg->url);
    free(pg);
}

static const struct backend postgres_backend = {
    .is_postgres = true,
    .script = postgres_script,
    .run = postgres_run,
    .query = postgres_query,
    .query_many = postgres_query_many,
    .next = postgres_next,
    .end = postgres_end,
    .is_null = postgres_is_null,
    .integer = postgres_integer,
    .text = postgres_text,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .reconnect = postgres_reconnect,
    .close = postgres_close,
};

struct db *postgres_db_open(const char *url, enum db_use use, struct fault *why)
{
    struct postgres_db *pg = NEW(struct postgres_db);
    pg->db.backend = &postgres_backend;
    pg->url = slice_dup(slice_str(url));
    pg->use = use;
    if (!connect_server(pg, why)) {
        free(pg->url);
        free(pg);
        return NULL;
    }
    return &pg->db;
}
