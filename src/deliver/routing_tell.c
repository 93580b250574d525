/* routing_tell.c - routes as people read them: the board (board.h), `todoke explain site` */
#include "deliver/board.h"
#include "deliver/destination.h"
#include "deliver/directions.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"

/* " 10:mx1.example.jp  20:mx2.example.jp !..." as "10 mx1.example.jp, 20 mx2.example.jp". */
static struct slice hosts_text(struct slice key, struct arena *arena)
{
    SCOPED(buf) text = BUF(16384);
    struct slice rest = key, word;
    while (rest.len && slice_split(&rest, ' ', &word)) {
        ptrdiff_t colon = slice_find_byte(word, ':');
        if (word.len && word.ptr[0] == '!')
            break;
        if (colon == SLICE_NPOS)
            continue;
        buf_printf(&text, "%s%.*s %.*s", text.len ? ", " : "", (int)colon, word.ptr,
                   SLICE_ARG(slice_from(word, (size_t)colon + 1)));
    }
    return arena_copy(arena, buf_slice(&text));
}

static void route_tell(struct dispatcher *dispatcher, const struct domain_route *known, struct arena *arena,
                       struct board_route *route)
{
    const struct engine_options *options = &dispatcher->engine->options;
    const struct destination *destination = known->destination;
    const struct relay *relay = known->domain.len ? NULL : directions_relay(dispatcher->directions, known->brand_id);
    time_ms now = loop_now(dispatcher->loop);
    *route = (struct board_route){
        .node = options->ledger.node,
        .domain = arena_copy(arena, known->domain),
        .pool = arena_copy(arena, known->pool),
        .relay = relay ? arena_copy(arena, relay->host) : SLICE(""),
        .brand_id = (int64_t)known->brand_id,
        .status = destination ? route_status_word(known->status) : SLICE("asked"),
    };
    if (!destination)
        return;
    const struct site_rule *rule = destination->site->rule;
    const char *file = rule->place.file;
    route->site = arena_copy(arena, destination->site->name);
    route->label = rule->is_default ? SLICE("") : arena_copy(arena, rule->label);
    route->rule = arena_copy(arena, rule->name);
    route->file = file ? arena_copy(arena, slice_str(file)) : SLICE("");
    route->hosts = hosts_text(destination->key, arena);
    route->tls = slice_str(known->tls ? known->tls : "");
    route->good_until = world_wall(options->world) + known->good_until - now;
    route->outstanding = (int64_t)destination->site->outstanding;
}

/* Of a domain that nobody is owed mail at: DNS is asked, and the route forgotten again. */
static void tell_later(struct dispatcher *dispatcher, struct slice domain)
{
    SCOPED(buf) name = BUF(1024);
    const struct lane_key key = {.domain = domain, .priority = 1};
    directions_name(dispatcher->directions, &key, &name);
    routing_want(dispatcher, buf_slice(&name), true);
}

void routing_tell(struct dispatcher *dispatcher, struct slice name, struct arena *arena, struct board_route **routes,
                  size_t *count)
{
    size_t at = 0;
    bool is_domain_known = false;
    *routes = ARENA_ARRAY(arena, struct board_route, dispatcher->routes.count + 1);
    *count = 0;
    for (struct map_entry *entry; (entry = map_walk(&dispatcher->routes, &at));) {
        const struct domain_route *known = entry->value;
        bool is_it = slice_equal_caseless(known->domain, name);
        is_domain_known |= is_it;
        if (is_it || (known->destination && slice_equal_caseless(known->destination->site->name, name)))
            route_tell(dispatcher, known, arena, &(*routes)[(*count)++]);
    }
    if (!is_domain_known && !*count && slice_find(name, SLICE(".")) != SLICE_NPOS)
        tell_later(dispatcher, name);
}
