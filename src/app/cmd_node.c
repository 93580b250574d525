/* cmd_node.c - `todoke node`: the servers on this store (store/lease.h) */
#include "app/arguments.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "base/json.h"
#include "store/lease.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke node list [--json]\n"
    "\n"
    "The servers that work on this store, or did: since when this life of each lasts, its version, how many of the 256 "
    "buckets of\n"
    "addresses it owns, what it has on the wire, and the sources (our addresses) that are its own. A node is alive, "
    "late (it has\n"
    "not said so in time, and others take over at any moment) or stopped. One of them leads: what must be done by one "
    "only is its\n"
    "work. A source of no node is everybody's (docs/nodes.md).\n"
    "  --store URL   the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n"
    "\n"
    "Exit status 1: none is alive.\n";

struct node_row {
    int64_t number, life, buckets, on_wire;
    time_ms since, until;
    struct slice version;
    bool leads;
    const char *state;
};

static bool nodes_read(struct desk *desk, struct node_row **nodes, size_t *count, struct fault *why)
{
    SCOPED(rows) rows = {0};
    time_ms now;
    *nodes = ARENA_ARRAY(&desk->arena, struct node_row, LEASE_NODES);
    *count = 0;
    if (!db_now(desk->reader, why, &now) ||
        !db_query(
            desk->reader, why, &rows,
            "SELECT n.node, n.life, n.since_ms, n.until_ms, n.version, (SELECT COUNT(*) FROM lease l WHERE l.node "
            "= n.node AND l.until_ms > $1), (SELECT COUNT(*) FROM lease l WHERE l.node = n.node AND l.until_ms > "
            "$1 AND l.bucket = $2), (SELECT COUNT(*) FROM delivery d WHERE ((28 >> d.state) & 1) = 1 AND d.state "
            "= 3 AND d.node = n.node) FROM node n ORDER BY n.node",
            VALUES(V_INT(now), V_INT(LEASE_LEADER))))
        return false;
    while (*count < LEASE_NODES && rows_next(&rows)) {
        time_ms until = rows_int(&rows, 3);
        (*nodes)[(*count)++] = (struct node_row){
            .number = rows_int(&rows, 0),
            .life = rows_int(&rows, 1),
            .since = rows_int(&rows, 2),
            .until = until,
            .version = arena_copy(&desk->arena, rows_text(&rows, 4)),
            .buckets = rows_int(&rows, 5),
            .leads = rows_int(&rows, 6) != 0,
            .on_wire = rows_int(&rows, 7),
            .state = until > now ? "alive"
                     : until     ? "late"
                                 : "stopped",
        };
    }
    return rows_end(&rows);
}

/* Its own addresses; node 0: those that are everybody's. */
static bool sources_print(struct desk *desk, int64_t node, struct json *json, struct fault *why)
{
    SCOPED(rows) rows = {0};
    bool any = false;
    if (!db_query(desk->reader, why, &rows, "SELECT ip FROM source WHERE node = $1 ORDER BY ip", VALUES(V_INT(node))))
        return false;
    while (rows_next(&rows)) {
        struct slice ip = rows_text(&rows, 0);
        if (json)
            json_text(json, ip);
        else
            printf("%s%.*s", any ? ", " : "", SLICE_ARG(ip));
        any = true;
    }
    if (!any && !json)
        putchar('-');
    return rows_end(&rows);
}

static bool print_json(struct desk *desk, const struct node_row *node, struct fault *why)
{
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_int(&json, "node", node->number);
    json_put_string(&json, "state", slice_str(node->state));
    json_put_time(&json, "since", node->since);
    json_put_time(&json, "until", node->until);
    json_put_int(&json, "life", node->life);
    json_put_string(&json, "version", node->version);
    json_put_bool(&json, "leads", node->leads);
    json_put_int(&json, "buckets", node->buckets);
    json_put_int(&json, "on_wire", node->on_wire);
    for (int shared = 0; shared < 2; shared++) {
        json_key_slice(&json, shared ? SLICE("shared_sources") : SLICE("sources"));
        json_array_begin(&json);
        if (!sources_print(desk, shared ? 0 : node->number, &json, why))
            return false;
        json_end(&json);
    }
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
    return true;
}

static bool print_table(struct desk *desk, const struct node_row *nodes, size_t count, struct fault *why)
{
    if (!count) {
        puts("no server has worked on this store yet");
        return true;
    }
    puts("node  state    since (UTC)       version     buckets  on wire  sources");
    for (size_t i = 0; i < count; i++) {
        const struct node_row *node = &nodes[i];
        printf("%4lld  %-7s  ", (long long)node->number, node->state);
        desk_cell(desk_time(desk, node->since), 16);
        printf("  ");
        desk_cell(node->version, 10);
        printf("  %7lld  %7lld  ", (long long)node->buckets, (long long)node->on_wire);
        if (!sources_print(desk, node->number, NULL, why))
            return false;
        puts(node->leads ? "  (leads)" : "");
    }
    printf("sources that are everybody's: ");
    if (!sources_print(desk, 0, NULL, why))
        return false;
    putchar('\n');
    return true;
}

static bool list(struct desk *desk, bool is_json, bool *any_alive, struct fault *why)
{
    struct node_row *nodes;
    size_t count;
    if (!nodes_read(desk, &nodes, &count, why))
        return false;
    for (size_t i = 0; i < count; i++) {
        *any_alive |= strcmp(nodes[i].state, "alive") == 0;
        if (is_json && !print_json(desk, &nodes[i], why))
            return false;
    }
    return is_json || print_table(desk, nodes, count, why);
}

int cmd_node(int argc, char **argv)
{
    const char *store = NULL;
    bool is_json = false, any_alive = false;
    const struct argument table[] = {{"--store", &store, NULL}, {"--json", NULL, &is_json}, {NULL, NULL, NULL}};
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("node", &why);
    if (words.wants_help || words.word_count != 1 || strcmp(words.words[0], "list") != 0)
        return usage_tell("node", usage, &words);
    SCOPED(desk) desk;
    if (!desk_look(&desk, store, &why) || !list(&desk, is_json, &any_alive, &why))
        return command_fail("node", &why);
    return any_alive ? 0 : 1;
}
