#include "store/backup.h"
#include "base/arena.h"
#include "store/backup_inside.h"
#include "store/schema.h"

#include <stdio.h>
#include <stdlib.h>

enum { FETCH_ROWS = 500, PUT_BYTES = 64 * 1024 };

/* Of processes that live now; and the list of migrations, which a restore writes itself. */
static bool is_left_out(struct slice table)
{
    static const char *const names[] = {"lease",     "node",        "handoff",    "site_total", "site_permit",
                                        "board_row", "writer_mark", "board_node", "board_wish", "schema_version"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_equal(table, slice_str(names[i])))
            return true;
    return false;
}

void backup_quote(struct buf *sql, const char *name)
{
    buf_byte(sql, '"');
    buf_str(sql, name);
    buf_byte(sql, '"');
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!(name.ptr[i] >= 'a' && name.ptr[i] <= 'z') && !(name.ptr[i] >= '0' && name.ptr[i] <= '9') &&
            name.ptr[i] != '_')
            return false;
    return name.len > 0 && name.len <= BACKUP_NAME_MAX;
}

/* ── writing ── */

struct dump {
    struct db *db;
    struct backup_out *out;
    struct backup_watch *watch;
    struct backup_facts *facts;
    struct buf record;
    uint64_t seen; /* when the watch was called last */
};

static void varint(struct buf *to, uint64_t number)
{
    for (; number >= 128; number >>= 7)
        buf_byte(to, (char)(128 | (number & 127)));
    buf_byte(to, (char)number);
}

static void short_text(struct buf *to, const char *text)
{
    buf_byte(to, (char)strlen(text));
    buf_str(to, text);
}

/* What has gathered goes to the file. */
static bool flush(struct dump *dump, size_t from, struct fault *why)
{
    if (dump->record.len < from)
        return true;
    bool ok = backup_out_put(dump->out, buf_slice(&dump->record), why);
    buf_reset(&dump->record);
    return ok;
}

static char type_of(struct slice said)
{
    static const struct {
        const char *name;
        char type;
    } types[] = {{"bigint", 'i'}, {"integer", 'i'}, {"text", 't'}, {"bytea", 'b'}};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (slice_equal_caseless(said, slice_str(types[i].name)))
            return types[i].type;
    return 0;
}

static bool columns_read(struct db *db, struct fault *why, struct backup_table *table)
{
    SCOPED(rows) rows = {0};
    const char *sql = db_pick(db, "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
                              "SELECT CAST(attname AS TEXT), format_type(atttypid, NULL) FROM pg_attribute WHERE "
                              "attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum");
    if (!db_query(db, why, &rows, sql, VALUES(V_STR(table->name))))
        return false;
    while (rows_next(&rows)) {
        struct slice name = rows_text(&rows, 0);
        char type = type_of(rows_text(&rows, 1));
        if (!type || !is_name(name) || table->width == BACKUP_COLUMNS_MAX)
            return fault_set(why, FAULT_INPUT, "table %s, column %.*s: of no type that a backup knows", table->name,
                             SLICE_ARG(name));
        struct backup_column *column = &table->columns[table->width++];
        *column = (struct backup_column){.type = type};
        memcpy(column->name, name.ptr, name.len);
    }
    return rows_end(&rows);
}

/* Those of ours: a PostgreSQL database may hold others. */
static bool tables_read(struct db *db, struct fault *why, struct arena *arena, struct backup_table **tables,
                        size_t *count)
{
    enum { TABLES_MAX = 256 };
    *tables = ARENA_ARRAY(arena, struct backup_table, TABLES_MAX);
    *count = 0;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      db_pick(db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
                              "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relnamespace = "
                              "CAST(current_schema() AS regnamespace) AND relkind IN ('r', 'p') AND NOT relispartition "
                              "ORDER BY 1"),
                      NO_VALUES))
            return false;
        while (rows_next(&rows)) {
            struct slice name = rows_text(&rows, 0);
            if (!is_name(name) || !schema_has_table(name) || is_left_out(name) || *count == TABLES_MAX)
                continue;
            memcpy((*tables)[(*count)++].name, name.ptr, name.len);
        }
        if (!rows_end(&rows))
            return false;
    }
    for (size_t i = 0; i < *count; i++)
        if (!columns_read(db, why, &(*tables)[i]))
            return false;
    return true;
}

static void table_put(struct dump *dump, const struct backup_table *table)
{
    buf_byte(&dump->record, 'T');
    short_text(&dump->record, table->name);
    buf_byte(&dump->record, (char)table->width);
    for (size_t i = 0; i < table->width; i++) {
        buf_byte(&dump->record, table->columns[i].type);
        short_text(&dump->record, table->columns[i].name);
    }
}

/* 0 NULL; 1 a number, zigzag; 2 text; 3 bytes, with their length */
static bool row_put(struct dump *dump, const struct backup_table *table, const struct rows *rows, struct fault *why)
{
    struct buf *to = &dump->record;
    buf_byte(to, 'R');
    for (size_t i = 0; i < table->width; i++) {
        char type = table->columns[i].type;
        if (rows_is_null(rows, (int)i)) {
            buf_byte(to, 0);
        } else if (type == 'i') {
            uint64_t number = (uint64_t)rows_int(rows, (int)i);
            buf_byte(to, 1);
            varint(to, number << 1 ^ (number >> 63 ? UINT64_MAX : 0));
        } else {
            struct slice bytes = rows_bytes(rows, (int)i);
            buf_byte(to, type == 't' ? 2 : 3);
            varint(to, bytes.len);
            if (bytes.len < PUT_BYTES) {
                buf_append(to, bytes);
            } else if (!flush(dump, 0, why) || !backup_out_put(dump->out, bytes, why)) {
                return false;
            }
        }
    }
    dump->facts->rows++;
    if (dump->watch && dump->facts->rows - dump->seen >= BACKUP_WATCH_ROWS) {
        dump->seen = dump->facts->rows;
        dump->watch->progress(dump->watch, dump->facts->rows, backup_out_octets(dump->out));
    }
    return flush(dump, PUT_BYTES, why);
}

/* The rows of one statement. */
static bool rows_put(struct dump *dump, const struct backup_table *table, const char *sql, uint64_t *count,
                     struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(dump->db, why, &rows, sql, NO_VALUES))
        return false;
    for (; rows_next(&rows); (*count)++)
        if (!row_put(dump, table, &rows, why))
            return false;
    return rows_end(&rows);
}

/* PostgreSQL gives a whole result at once; a cursor gives it piece by piece. */
static bool fetched_put(struct dump *dump, const struct backup_table *table, const char *select, uint64_t *count,
                        struct fault *why)
{
    SCOPED(buf) declare = BUF(16384);
    SCOPED(buf) fetch = BUF(256);
    SCOPED(buf) end = BUF(256);
    buf_printf(&declare, "DECLARE backup_%s NO SCROLL CURSOR FOR %s", table->name, select);
    buf_printf(&fetch, "FETCH %d FROM backup_%s", FETCH_ROWS, table->name);
    buf_printf(&end, "CLOSE backup_%s", table->name);
    if (!db_do(dump->db, why, buf_cstr(&declare), NO_VALUES, NULL))
        return false;
    for (uint64_t before = UINT64_MAX; before != *count;) {
        before = *count;
        if (!rows_put(dump, table, buf_cstr(&fetch), count, why))
            return false;
    }
    return db_do(dump->db, why, buf_cstr(&end), NO_VALUES, NULL);
}

static bool table_dump(struct dump *dump, const struct backup_table *table, struct fault *why)
{
    SCOPED(buf) select = BUF(16384);
    uint64_t count = 0;
    table_put(dump, table);
    buf_text(&select, "SELECT ");
    for (size_t i = 0; i < table->width; i++) {
        buf_str(&select, i ? ", " : "");
        backup_quote(&select, table->columns[i].name);
    }
    buf_text(&select, " FROM ");
    backup_quote(&select, table->name);
    bool ok = db_is_postgres(dump->db) ? fetched_put(dump, table, buf_cstr(&select), &count, why)
                                       : rows_put(dump, table, buf_cstr(&select), &count, why);
    if (!ok)
        return false;
    dump->facts->tables++;
    buf_byte(&dump->record, 'E');
    varint(&dump->record, count);
    return flush(dump, 0, why);
}

static bool dump_all(struct dump *dump, const struct seal_key *key, int file, struct fault *why)
{
    SCOPED(arena) arena = {0};
    struct backup_head *head = &dump->facts->head;
    struct backup_table *tables;
    int64_t schema;
    size_t count;
    if (!db_query_ints(dump->db, why, "SELECT COALESCE(MAX(version), 0) FROM schema_version", NO_VALUES, &schema, 1,
                       NULL) ||
        !db_now(dump->db, why, &head->created) || !secret_sealed_by(dump->db, why, &head->key_id) ||
        !tables_read(dump->db, why, &arena, &tables, &count))
        return false;
    if (key && head->key_id && head->key_id != key->id)
        return fault_set(why, FAULT_INPUT,
                         "the key file holds %08x, but the store's secrets are sealed by %08x: name that one by "
                         "--key-file",
                         key->id, head->key_id);
    head->schema = (int)schema;
    head->is_sealed = key != NULL;
    head->key_id = key ? key->id : head->key_id;
    dump->out = backup_out_new(file, head, key);
    for (size_t i = 0; i < count; i++)
        if (!table_dump(dump, &tables[i], why))
            return fault_prefix(why, "table %s: ", tables[i].name);
    buf_byte(&dump->record, 'Z');
    varint(&dump->record, dump->facts->rows);
    return flush(dump, 0, why) && backup_out_end(dump->out, why);
}

bool backup_write(struct db *reader, int file, const struct seal_key *key, backup_check check, void *context,
                  struct backup_watch *watch, struct backup_facts *facts, struct fault *why)
{
    *facts = (struct backup_facts){0};
    struct dump dump = {.db = reader, .watch = watch, .facts = facts, .record = BUF((size_t)BACKUP_VALUE_MAX)};
    if (!db_read(reader, why))
        return false;
    bool ok = dump_all(&dump, key, file, why) && (!check || check(context, reader, why));
    db_rollback(reader);
    if (dump.out)
        facts->octets = backup_out_octets(dump.out);
    backup_out_free(dump.out);
    buf_release(&dump.record);
    return ok;
}

/* ── reading ── */

struct walk {
    struct backup_in *in;
    struct backup_facts *facts;
    struct backup_taker *taker;
    struct backup_table table;
    struct value values[BACKUP_COLUMNS_MAX];
    struct buf bytes[BACKUP_COLUMNS_MAX];
};

static bool damaged(struct fault *why, const char *what)
{
    return fault_set(why, FAULT_INPUT, "the backup is damaged: %s", what);
}

static bool octet(struct walk *walk, unsigned *value, struct fault *why)
{
    unsigned char one;
    if (!backup_in_take(walk->in, &one, 1, why))
        return false;
    *value = one;
    return true;
}

static bool varint_take(struct walk *walk, uint64_t *number, struct fault *why)
{
    *number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned one;
        if (!octet(walk, &one, why))
            return false;
        *number |= (uint64_t)(one & 127) << shift;
        if (one < 128)
            return true;
    }
    return damaged(why, "a number has no end");
}

static bool name_take(struct walk *walk, char name[BACKUP_NAME_MAX + 1], struct fault *why)
{
    unsigned len;
    if (!octet(walk, &len, why))
        return false;
    if (len > BACKUP_NAME_MAX)
        return damaged(why, "a name is too long");
    if (!backup_in_take(walk->in, name, len, why))
        return false;
    name[len] = 0;
    return is_name(slice_of(name, len)) || damaged(why, "a name is none");
}

static bool table_take(struct walk *walk, struct fault *why)
{
    struct backup_table *table = &walk->table;
    unsigned width, type;
    if (!name_take(walk, table->name, why) || !octet(walk, &width, why))
        return false;
    if (!width || width > BACKUP_COLUMNS_MAX || !schema_has_table(slice_str(table->name)) ||
        is_left_out(slice_str(table->name)))
        return damaged(why, "a table is none of ours");
    for (table->width = 0; table->width < width; table->width++) {
        struct backup_column *column = &table->columns[table->width];
        if (!octet(walk, &type, why) || !name_take(walk, column->name, why))
            return false;
        column->type = (char)type;
        if (column->type != 'i' && column->type != 't' && column->type != 'b')
            return damaged(why, "a column has no type");
    }
    walk->facts->tables++;
    return !walk->taker || walk->taker->table(walk->taker, table, why);
}

static bool bytes_take(struct walk *walk, size_t column, struct fault *why)
{
    uint64_t len;
    struct buf *bytes = &walk->bytes[column];
    if (!varint_take(walk, &len, why))
        return false;
    if (len > BACKUP_VALUE_MAX)
        return damaged(why, "a value is too long");
    buf_reset(bytes);
    while (bytes->len < len) { /* piece by piece: a length is only a claim */
        size_t some = len - bytes->len < PUT_BYTES ? (size_t)(len - bytes->len) : PUT_BYTES;
        if (!backup_in_take(walk->in, buf_reserve(bytes, some), some, why))
            return false;
        buf_advance(bytes, some);
    }
    return true;
}

static bool row_take(struct walk *walk, struct fault *why)
{
    static const char types[] = "?itb";
    for (size_t i = 0; i < walk->table.width; i++) {
        unsigned kind;
        uint64_t number;
        if (!octet(walk, &kind, why))
            return false;
        if (kind > 3 || (kind && types[kind] != walk->table.columns[i].type))
            return damaged(why, "a value is of another type");
        walk->values[i] = V_NULL;
        if (kind == 1) {
            if (!varint_take(walk, &number, why))
                return false;
            walk->values[i] = V_INT((int64_t)(number >> 1 ^ (number & 1 ? UINT64_MAX : 0)));
        } else if (kind) {
            if (!bytes_take(walk, i, why))
                return false;
            walk->values[i] = kind == 2 ? V_TEXT(buf_slice(&walk->bytes[i])) : V_BYTES(buf_slice(&walk->bytes[i]));
        }
    }
    return !walk->taker || walk->taker->row(walk->taker, walk->values, why);
}

static bool rows_take(struct walk *walk, struct backup_watch *watch, struct fault *why)
{
    uint64_t before = walk->facts->rows, said;
    unsigned kind;
    for (;;) {
        if (!octet(walk, &kind, why))
            return false;
        if (kind != 'R')
            break;
        if (!row_take(walk, why))
            return false;
        if (++walk->facts->rows % BACKUP_WATCH_ROWS == 0 && watch)
            watch->progress(watch, walk->facts->rows, backup_in_octets(walk->in));
    }
    if (kind != 'E' || !varint_take(walk, &said, why))
        return kind == 'E' ? false : damaged(why, "a table has no end");
    if (said != walk->facts->rows - before)
        return damaged(why, "rows are missing");
    return !walk->taker || walk->taker->table_end(walk->taker, why);
}

static bool walk_all(struct walk *walk, struct backup_watch *watch, struct fault *why)
{
    uint64_t said;
    unsigned kind;
    for (;;) {
        if (!octet(walk, &kind, why))
            return false;
        if (kind != 'T')
            break;
        if (!table_take(walk, why))
            return false;
        if (!rows_take(walk, watch, why))
            return fault_prefix(why, "table %s: ", walk->table.name);
    }
    if (kind != 'Z')
        return damaged(why, "neither a table nor the end");
    if (!varint_take(walk, &said, why))
        return false;
    if (said != walk->facts->rows)
        return damaged(why, "rows are missing");
    return backup_in_end(walk->in, why);
}

bool backup_walk(int file, const struct seal_key *key, struct backup_taker *taker, struct backup_watch *watch,
                 struct backup_facts *facts, struct fault *why)
{
    *facts = (struct backup_facts){0};
    struct backup_in *in = backup_in_new(file, key, &facts->head, why);
    if (!in)
        return false;
    struct walk *walk = NEW(struct walk);
    *walk = (struct walk){.in = in, .facts = facts, .taker = taker};
    for (size_t i = 0; i < BACKUP_COLUMNS_MAX; i++)
        buf_init(&walk->bytes[i], BACKUP_VALUE_MAX);
    bool ok = facts->head.schema > 0 && facts->head.schema <= (int)schema_file_count
                  ? walk_all(walk, watch, why)
                  : fault_set(why, FAULT_INPUT,
                              "the backup has schema %d, this program knows only up to %u: use a newer todoke",
                              facts->head.schema, schema_file_count);
    facts->octets = backup_in_octets(in);
    for (size_t i = 0; i < BACKUP_COLUMNS_MAX; i++)
        buf_release(&walk->bytes[i]);
    free(walk);
    backup_in_free(in);
    return ok;
}

bool backup_read(int file, const struct seal_key *key, struct backup_watch *watch, struct backup_facts *facts,
                 struct fault *why)
{
    return backup_walk(file, key, NULL, watch, facts, why);
}
