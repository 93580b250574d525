#include "http/router.h"

#include "base/percent.h"

#include <assert.h>

enum { SEGMENTS_MOST = 16 };

enum segment_kind { SEGMENT_FIXED, SEGMENT_PARAM, SEGMENT_REST };

struct segment {
    enum segment_kind kind;
    struct slice text; /* fixed text, or the parameter's name */
};
struct compiled_route {
    struct http_route route;
    uint64_t first; /* how its first segment begins, when that is fixed; else 0 */
    struct segment segments[SEGMENTS_MOST];
    size_t count;
};
struct http_router {
    struct compiled_route *routes;
    size_t count, room;
    struct http_route fallback; /* handler NULL: none */
};

struct http_router *http_router_new(void)
{
    return NEW(struct http_router);
}

void http_router_free(struct http_router *router)
{
    if (router)
        free(router->routes);
    free(router);
}

/* Its first octets as a number, to pass over most routes with one comparison. */
static uint64_t beginning_of(struct slice text)
{
    uint64_t number = 0;
    if (text.len)
        memcpy(&number, text.ptr, text.len < sizeof(number) ? text.len : sizeof(number));
    return number;
}

static struct segment segment_of(struct slice text)
{
    if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}')
        return (struct segment){SEGMENT_FIXED, text};
    text = slice_of(text.ptr + 1, text.len - 2);
    if (slice_ends(text, SLICE("...")))
        return (struct segment){SEGMENT_REST, slice_head(text, text.len - 3)};
    return (struct segment){SEGMENT_PARAM, text};
}

void http_router_add(struct http_router *router, const struct http_route *route)
{
    struct slice rest = slice_str(route->pattern), text;
    if (router->count == router->room) {
        router->room = router->room ? router->room * 2 : 32;
        router->routes = memory_resize(router->routes, router->room, sizeof(*router->routes));
    }
    struct compiled_route *compiled = &router->routes[router->count++];
    *compiled = (struct compiled_route){.route = *route};
    assert(rest.len && rest.ptr[0] == '/' && "a pattern begins with /");
    rest = slice_from(rest, 1);
    for (bool is_first = true; slice_split(&rest, '/', &text); is_first = false) {
        if (is_first && segment_of(text).kind == SEGMENT_FIXED)
            compiled->first = beginning_of(text);
        assert(compiled->count < SEGMENTS_MOST && "a pattern has at most 16 segments");
        assert((compiled->count == 0 || compiled->segments[compiled->count - 1].kind != SEGMENT_REST) &&
               "{name...} stands last");
        compiled->segments[compiled->count++] = segment_of(text);
    }
}

void http_router_fallback(struct http_router *router, http_handler *handler, void *user)
{
    router->fallback = (struct http_route){"GET", "", handler, user, 0};
}

/* The path's segments, decoded; and where in the path each begins, for {name...}. */
struct path {
    struct slice segments[SEGMENTS_MOST + 1];
    struct slice rests[SEGMENTS_MOST + 1]; /* decoded on demand */
    size_t count;
    bool is_longer;
};

static bool decode(struct arena *arena, struct slice text, struct slice *decoded)
{
    *decoded = text;
    if (slice_find_byte(text, '%') < 0)
        return true;
    char *to = arena_alloc(arena, text.len);
    decoded->ptr = to;
    return percent_decode(text, false, to, &decoded->len);
}

static bool path_split(struct slice path, struct arena *arena, struct path *split)
{
    struct slice rest = slice_from(path, 1), text, decoded;
    split->count = 0;
    split->is_longer = false;
    for (struct slice before = rest; slice_split(&rest, '/', &text); before = rest) {
        if (!decode(arena, text, &decoded))
            return false;
        if (split->count > SEGMENTS_MOST) {
            split->is_longer = true;
            continue;
        }
        split->rests[split->count] = before;
        split->segments[split->count++] = decoded;
    }
    return true;
}

/* How well a route fits: 0 not at all; the more fixed segments, and the earlier, the more. */
static uint64_t fit(const struct compiled_route *compiled, const struct path *path)
{
    uint64_t score = 1;
    size_t i = 0;
    for (; i < compiled->count; i++) {
        const struct segment *segment = &compiled->segments[i];
        if (i >= path->count)
            return 0;
        switch (segment->kind) {
        case SEGMENT_FIXED:
            if (!slice_equal(segment->text, path->segments[i]))
                return 0;
            score |= (uint64_t)2 << (2 * (SEGMENTS_MOST - i));
            break;
        case SEGMENT_PARAM:
            if (path->segments[i].len == 0)
                return 0;
            score |= (uint64_t)1 << (2 * (SEGMENTS_MOST - i));
            break;
        case SEGMENT_REST: return score;
        }
    }
    return i == path->count && !path->is_longer ? score : 0;
}

static bool take_params(const struct compiled_route *compiled, const struct path *path, struct arena *arena,
                        struct http_param *params, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < compiled->count; i++) {
        const struct segment *segment = &compiled->segments[i];
        if (segment->kind == SEGMENT_FIXED)
            continue;
        assert(*count < HTTP_PARAMS_MOST);
        struct http_param *param = &params[(*count)++];
        param->name = segment->text;
        param->value = path->segments[i];
        if (segment->kind == SEGMENT_REST && !decode(arena, path->rests[i], &param->value))
            return false;
    }
    return true;
}

static bool method_fits(const struct http_route *route, struct slice method)
{
    struct slice own = slice_str(route->method);
    return slice_equal(own, method) || (slice_equal(method, SLICE("HEAD")) && slice_equal(own, SLICE("GET")));
}

static void allow_method(struct buf *allow, const char *method)
{
    if (slice_find(buf_slice(allow), slice_str(method)) >= 0)
        return;
    if (allow->len)
        buf_text(allow, ", ");
    buf_str(allow, method);
    if (strcmp(method, "GET") == 0)
        buf_text(allow, ", HEAD");
}

const struct http_route *http_router_find(const struct http_router *router, const struct http_head *head,
                                          struct arena *arena, struct http_param *params, size_t *param_count,
                                          int *status, struct buf *allow)
{
    struct path path;
    const struct compiled_route *best = NULL;
    uint64_t best_fit = 0;
    bool has_path = false;
    *param_count = 0;
    *status = 400;
    if (slice_equal(head->path, SLICE("*"))) {
        *status = 404;
        return NULL;
    }
    if (!path_split(head->path, arena, &path))
        return NULL;
    uint64_t first = path.count ? beginning_of(path.segments[0]) : 0;
    for (size_t i = 0; i < router->count; i++) {
        const struct compiled_route *compiled = &router->routes[i];
        if (compiled->first && compiled->first != first)
            continue;
        uint64_t fits = fit(compiled, &path);
        if (!fits)
            continue;
        has_path = true;
        if (allow)
            allow_method(allow, compiled->route.method);
        if (fits > best_fit && method_fits(&compiled->route, head->method)) {
            best = compiled;
            best_fit = fits;
        }
    }
    if (best)
        return take_params(best, &path, arena, params, param_count) ? &best->route : NULL;
    if (!has_path && router->fallback.handler && method_fits(&router->fallback, head->method))
        return &router->fallback;
    *status = has_path ? 405 : 404;
    return NULL;
}
