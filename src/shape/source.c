#include "shape/source.h"

enum { NAME_MOST = 253, POOL_MOST = 40 };

struct slice source_state_word(enum source_state state)
{
    static const struct slice words[] = {
        [SOURCE_ACTIVE] = SLICE_INIT("active"), [SOURCE_DRAINING] = SLICE_INIT("draining")};
    return words[state];
}

static bool is_word(struct slice text, size_t most, bool has_dots)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && text.ptr[i] != '-' && !(has_dots ? text.ptr[i] == '.' : text.ptr[i] == '_'))
            return false;
    return text.len > 0 && text.len <= most;
}

static bool source_check(const struct source *source, struct fault *why)
{
    if (!is_word(source->ehlo_name, NAME_MOST, true) || slice_find_byte(source->ehlo_name, '.') < 0)
        return fault_set(why, FAULT_INPUT, "\"%.*s\" is not a host's name", SLICE_ARG(source->ehlo_name));
    if (!is_word(source->pool, POOL_MOST, false))
        return fault_set(why, FAULT_INPUT, "\"%.*s\": a pool's name is letters, digits, - and _",
                         SLICE_ARG(source->pool));
    if (source->weight < 1 || source->weight > SOURCE_WEIGHT_MOST)
        return fault_set(why, FAULT_INPUT, "weight: 1 to %d", SOURCE_WEIGHT_MOST);
    return true;
}

bool source_add(struct db *db, struct fault *why, struct source *source, time_ms now)
{
    char ip[IP_TEXT_ROOM], public_ip[IP_TEXT_ROOM];
    bool found;
    int64_t one;
    if (!source_check(source, why))
        return false;
    ip_text(&source->ip, ip);
    if (!db_query_ints(db, why, "SELECT 1 FROM source WHERE ip = $1", VALUES(V_STR(ip)), &one, 1, &found))
        return false;
    if (found)
        return fault_set(why, FAULT_INPUT, "%s is a source already", ip);
    source->id = id_make_anywhere(db_ids(db), now);
    return db_do(db, why,
                 "INSERT INTO source (id, ip, public_ip, ehlo_name, pool, weight, node, state, since_ms, created_ms) "
                 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
                 VALUES(V_INT((int64_t)source->id), V_STR(ip),
                        V_STR(source->public_ip.family ? ip_text(&source->public_ip, public_ip) : ""),
                        V_TEXT(source->ehlo_name), V_TEXT(source->pool), V_INT(source->weight), V_INT(source->node),
                        V_TEXT(source_state_word(source->state)), V_INT(now)),
                 NULL);
}

static struct source source_of_row(const struct rows *rows, struct arena *arena)
{
    struct source source = {
        .id = (uint64_t)rows_int(rows, 0),
        .ehlo_name = arena_copy(arena, rows_text(rows, 3)),
        .pool = arena_copy(arena, rows_text(rows, 4)),
        .weight = (unsigned)rows_int(rows, 5),
        .node = (unsigned)rows_int(rows, 6),
        .state = slice_equal(rows_text(rows, 7), SLICE("active")) ? SOURCE_ACTIVE : SOURCE_DRAINING,
        .trouble = arena_copy(arena, rows_text(rows, 8)),
        .since = rows_int(rows, 9),
    };
    if (!ip_parse(rows_text(rows, 1), &source.ip))
        source.ip = (struct ip){0};
    if (!ip_parse(rows_text(rows, 2), &source.public_ip))
        source.public_ip = (struct ip){0};
    return source;
}
#define SOURCE_COLUMNS "SELECT id, ip, public_ip, ehlo_name, pool, weight, node, state, trouble, since_ms FROM source "

bool source_list(struct db *db, struct fault *why, struct arena *arena, struct source **list, size_t *count)
{
    size_t room = 16;
    SCOPED(rows) rows = {0};
    *list = ARENA_ARRAY(arena, struct source, room);
    *count = 0;
    if (!db_query(db, why, &rows, SOURCE_COLUMNS "ORDER BY pool, ip", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        if (*count == room) {
            struct source *more = ARENA_ARRAY(arena, struct source, room * 2);
            memcpy(more, *list, room * sizeof(*more));
            *list = more;
            room *= 2;
        }
        (*list)[(*count)++] = source_of_row(&rows, arena);
    }
    return rows_end(&rows);
}

bool source_find(struct db *db, struct fault *why, const struct ip *ip, struct arena *arena, struct source *source)
{
    char text[IP_TEXT_ROOM];
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, SOURCE_COLUMNS "WHERE ip = $1", VALUES(V_STR(ip_text(ip, text)))))
        return false;
    bool found = rows_next(&rows);
    if (found)
        *source = source_of_row(&rows, arena);
    if (!rows_end(&rows))
        return false;
    return found || fault_set(why, FAULT_INPUT, "%s is not a source", text);
}

bool source_change(struct db *db, struct fault *why, const struct source *source)
{
    return source_check(source, why) &&
           db_do(db, why, "UPDATE source SET ehlo_name = $2, pool = $3, weight = $4 WHERE id = $1",
                 VALUES(V_INT((int64_t)source->id), V_TEXT(source->ehlo_name), V_TEXT(source->pool),
                        V_INT(source->weight)),
                 NULL);
}

bool source_set_state(struct db *db, struct fault *why, uint64_t id, enum source_state state, time_ms now)
{
    return db_do(db, why, "UPDATE source SET state = $2, since_ms = $3 WHERE id = $1 AND state <> $2",
                 VALUES(V_INT((int64_t)id), V_TEXT(source_state_word(state)), V_INT(now)), NULL);
}

bool source_set_trouble(struct db *db, struct fault *why, uint64_t id, struct slice trouble, time_ms now)
{
    return db_do(db, why, "UPDATE source SET trouble = $2, since_ms = $3 WHERE id = $1 AND trouble <> $2",
                 VALUES(V_INT((int64_t)id), V_TEXT(trouble), V_INT(now)), NULL);
}

bool source_remove(struct db *db, struct fault *why, uint64_t id)
{
    const struct value value[] = {V_INT((int64_t)id)};
    return db_do(db, why, "DELETE FROM warm_up WHERE source_id = $1", value, 1, NULL) &&
           db_do(db, why, "DELETE FROM daily_use WHERE source_id = $1", value, 1, NULL) &&
           db_do(db, why, "DELETE FROM pause WHERE source_id = $1", value, 1, NULL) &&
           db_do(db, why, "DELETE FROM source WHERE id = $1", value, 1, NULL);
}

bool pool_name_check(struct slice pool, struct fault *why)
{
    return is_word(pool, POOL_MOST, false) ||
           fault_set(why, FAULT_INPUT, "\"%.*s\": a pool's name is letters, digits, - and _", SLICE_ARG(pool));
}

bool brand_way_set(struct db *db, struct fault *why, uint64_t brand_id, const struct brand_way *way)
{
    if (way->pool.len && !pool_name_check(way->pool, why))
        return false;
    return db_do(
        db, why, "UPDATE brand SET pool = $2, weight = $3, recipients_per_transaction = $4 WHERE id = $1",
        VALUES(V_INT((int64_t)brand_id), V_TEXT(way->pool), V_INT(way->weight), V_INT(way->recipients_per_transaction)),
        NULL);
}

bool brand_way_find(struct db *db, struct fault *why, uint64_t brand_id, struct arena *arena, struct brand_way *way)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT pool, weight, recipients_per_transaction FROM brand WHERE id = $1 AND id > 0",
                  VALUES(V_INT((int64_t)brand_id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) && fault_set(why, FAULT_INPUT, "there is no such brand");
    *way = (struct brand_way){
        .pool = arena_copy(arena, rows_text(&rows, 0)),
        .weight = (unsigned)rows_int(&rows, 1),
        .recipients_per_transaction = (unsigned)rows_int(&rows, 2),
    };
    return rows_end(&rows);
}
