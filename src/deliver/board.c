#include "deliver/board.h"

#include "base/json.h"
#include <jansson.h>
#include <stdlib.h>

enum { BODY_MAX = 32768, WISHES_MOST = 64 };

bool board_ask(struct db *db, struct fault *why, struct slice name, time_ms now, int64_t *wish)
{
    if (name.len > BOARD_NAME_MAX)
        return fault_set(why, FAULT_INPUT, "a domain has at most %d octets", BOARD_NAME_MAX);
    *wish = (int64_t)id_make_anywhere(db_ids(db), now);
    return db_do(db, why, "DELETE FROM board_wish WHERE until_ms < $1", VALUES(V_INT(now)), NULL) &&
           db_do(db, why,
                 "INSERT INTO board_wish (name, wish, until_ms) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET "
                 "wish = excluded.wish, until_ms = excluded.until_ms",
                 VALUES(V_TEXT(name), V_INT(*wish), V_INT(now + BOARD_WISH_MS)), NULL);
}

bool board_wishes(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct slice **names,
                  size_t *count, int64_t *wish)
{
    SCOPED(rows) rows = {0};
    *names = ARENA_ARRAY(arena, struct slice, WISHES_MOST);
    *count = 0;
    *wish = 0;
    if (!db_query(db, why, &rows, "SELECT name, wish FROM board_wish WHERE until_ms >= $1 ORDER BY wish DESC LIMIT $2",
                  VALUES(V_INT(now), V_INT(WISHES_MOST))))
        return false;
    while (*count < WISHES_MOST && rows_next(&rows)) {
        (*names)[(*count)++] = arena_copy(arena, rows_text(&rows, 0));
        if (rows_int(&rows, 1) > *wish)
            *wish = rows_int(&rows, 1);
    }
    return rows_end(&rows);
}

/* ── as JSON: one object for each row's body ── */

#define PUT_TEXT(name)   json_put_string(json, #name, from->name);
#define PUT_INT(name)    json_put_int(json, #name, from->name);
#define PUT_NUMBER(name) (json_key(json, #name), json_double(json, from->name));
#define GET_TEXT(name)   to->name = text_of(body, #name, arena);
#define GET_INT(name)    to->name = json_integer_value(json_object_get(body, #name));
#define GET_NUMBER(name) to->name = json_number_value(json_object_get(body, #name));

static struct slice text_of(const json_t *body, const char *name, struct arena *arena)
{
    const json_t *text = json_object_get(body, name);
    return text && json_is_string(text) ? arena_copy(arena, slice_of(json_string_value(text), json_string_length(text)))
                                        : SLICE("");
}

static void way_print(const struct board_way *from, struct json *json)
{
    json_object_begin(json);
    BOARD_WAY_TEXTS(PUT_TEXT)
    BOARD_WAY_INTS(PUT_INT)
    BOARD_WAY_NUMBERS(PUT_NUMBER)
    json_end(json);
}

static void way_read(const json_t *body, struct arena *arena, struct board_way *to)
{
    BOARD_WAY_TEXTS(GET_TEXT)
    BOARD_WAY_INTS(GET_INT)
    BOARD_WAY_NUMBERS(GET_NUMBER)
}

static void route_print(const struct board_route *from, struct json *json)
{
    json_object_begin(json);
    BOARD_ROUTE_TEXTS(PUT_TEXT)
    BOARD_ROUTE_INTS(PUT_INT)
    json_end(json);
}

static void route_read(const json_t *body, struct arena *arena, struct board_route *to)
{
    BOARD_ROUTE_TEXTS(GET_TEXT)
    BOARD_ROUTE_INTS(GET_INT)
}

static void figures_print(const struct board_figures *from, struct json *json)
{
    json_object_begin(json);
    BOARD_FIGURES(PUT_INT)
    json_end(json);
}

static void figures_read(const json_t *body, struct board_figures *to)
{
    BOARD_FIGURES(GET_INT)
}

/* ── the store ── */

enum board_kind { BOARD_WAY = 1, BOARD_ROUTE = 2, BOARD_NODE = 3 };

static bool row_write(struct db *db, struct fault *why, unsigned node, int64_t n, enum board_kind kind,
                      const struct buf *body)
{
    if (!buf_ok(body)) /* never: every text in it has a limit; a row that is not shown does no harm */
        return true;
    return db_do(db, why, "INSERT INTO board_row (node, n, kind, body) VALUES ($1, $2, $3, $4)",
                 VALUES(V_INT(node), V_INT(n), V_INT(kind), V_TEXT(buf_slice(body))), NULL);
}

bool board_write(struct db *db, struct fault *why, unsigned node, time_ms now, int64_t wish, const struct board *answer,
                 const struct board_figures *figures)
{
    int64_t n = 0;
    if (!db_do(db, why, "DELETE FROM board_row WHERE node = $1", VALUES(V_INT(node)), NULL) ||
        !db_do(db, why,
               "INSERT INTO board_node (node, at_ms, wish, routes_left_out) VALUES ($1, $2, $3, $4) ON CONFLICT (node) "
               "DO UPDATE SET at_ms = excluded.at_ms, wish = excluded.wish, routes_left_out = excluded.routes_left_out",
               VALUES(V_INT(node), V_INT(now), V_INT(wish), V_INT(answer->routes_left_out)), NULL))
        return false;
    {
        SCOPED(buf) body = BUF(BODY_MAX);
        struct json json = {&body};
        figures_print(figures, &json);
        if (!row_write(db, why, node, ++n, BOARD_NODE, &body))
            return false;
    }
    for (size_t i = 0; i < answer->way_count; i++) {
        SCOPED(buf) body = BUF(BODY_MAX);
        struct json json = {&body};
        way_print(&answer->ways[i], &json);
        if (!row_write(db, why, node, ++n, BOARD_WAY, &body))
            return false;
    }
    for (size_t i = 0; i < answer->route_count; i++) {
        SCOPED(buf) body = BUF(BODY_MAX);
        struct json json = {&body};
        route_print(&answer->routes[i], &json);
        if (!row_write(db, why, node, ++n, BOARD_ROUTE, &body))
            return false;
    }
    return true;
}

/* Who has answered at some time, and who owns buckets now. */
static bool nodes_read(struct db *db, struct fault *why, struct arena *arena, struct board *board)
{
    enum { NODES_MOST = STORE_NODE_MAX + 1 };
    SCOPED(rows) rows = {0};
    time_ms now;
    board->nodes = ARENA_ARRAY(arena, struct board_node, NODES_MOST);
    if (!db_now(db, why, &now) || /* leases live by the database's clock */
        !db_query(db, why, &rows,
                  "SELECT l.node, COALESCE(b.at_ms, 0), COALESCE(b.wish, 0), COALESCE(b.routes_left_out, 0) FROM "
                  "(SELECT DISTINCT node FROM lease WHERE until_ms > $1) l LEFT JOIN board_node b ON b.node = l.node "
                  "ORDER BY l.node LIMIT $2",
                  VALUES(V_INT(now), V_INT(NODES_MOST))))
        return false;
    while (board->node_count < NODES_MOST && rows_next(&rows)) {
        board->nodes[board->node_count++] = (struct board_node){
            .node = (unsigned)rows_int(&rows, 0), .at = rows_int(&rows, 1), .wish = rows_int(&rows, 2)};
        board->routes_left_out += rows_int(&rows, 3);
    }
    return rows_end(&rows);
}

/* NULL: it does not live, or what it said last is of the past. */
static struct board_node *node_of(const struct board *board, unsigned node, time_ms now)
{
    for (size_t i = 0; i < board->node_count; i++)
        if (board->nodes[i].node == node && board->nodes[i].at > now - BOARD_WISH_MS)
            return &board->nodes[i];
    return NULL;
}

bool board_node_is_live(const struct board *board, unsigned node, time_ms now)
{
    return node_of(board, node, now) != NULL;
}

bool board_is_live(const struct board *board, time_ms now)
{
    for (size_t i = 0; i < board->node_count; i++)
        if (board_node_is_live(board, board->nodes[i].node, now))
            return true;
    return false;
}

static void row_take(struct board *board, struct board_node *node, enum board_kind kind, const json_t *body,
                     struct arena *arena)
{
    switch (kind) {
    case BOARD_WAY:
        board->ways[board->way_count].node = node->node;
        way_read(body, arena, &board->ways[board->way_count++]);
        break;
    case BOARD_ROUTE:
        board->routes[board->route_count].node = node->node;
        route_read(body, arena, &board->routes[board->route_count++]);
        break;
    case BOARD_NODE: figures_read(body, &node->figures); break;
    }
}

bool board_read(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct board *board)
{
    int64_t most;
    *board = (struct board){0};
    if (!nodes_read(db, why, arena, board) ||
        !db_query_ints(db, why, "SELECT COUNT(*) FROM board_row", NO_VALUES, &most, 1, NULL))
        return false;
    SCOPED(rows) rows = {0};
    board->ways = ARENA_ARRAY(arena, struct board_way, (size_t)most + 1);
    board->routes = ARENA_ARRAY(arena, struct board_route, (size_t)most + 1);
    if (!db_query(db, why, &rows, "SELECT node, kind, body FROM board_row ORDER BY node, n LIMIT $1",
                  VALUES(V_INT(most))))
        return false;
    while (rows_next(&rows)) {
        struct slice text = rows_text(&rows, 2);
        struct board_node *node = node_of(board, (unsigned)rows_int(&rows, 0), now);
        json_t *body = node ? json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, NULL) : NULL;
        if (body)
            row_take(board, node, (enum board_kind)rows_int(&rows, 1), body, arena);
        json_decref(body);
    }
    return rows_end(&rows);
}

bool board_is_answered(const struct board *board, int64_t wish)
{
    for (size_t i = 0; i < board->node_count; i++)
        if (board->nodes[i].wish < wish)
            return false;
    return board->node_count > 0;
}
