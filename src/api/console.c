/* console.c - the console's files, out of the binary */
#include "api/inside.h"
#include "base/embedded.h"

#define POLICY                                                                                                         \
    "default-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "   \
    "form-action 'none'; frame-ancestors 'none'"

static const char *type_of(struct slice path)
{
    static const struct {
        struct slice ending;
        const char *type;
    } types[] = {
        {SLICE_INIT(".html"), "text/html; charset=utf-8"},
        {SLICE_INIT(".js"), "text/javascript; charset=utf-8"},
        {SLICE_INIT(".css"), "text/css; charset=utf-8"},
        {SLICE_INIT(".svg"), "image/svg+xml"},
        {SLICE_INIT(".png"), "image/png"},
        {SLICE_INIT(".ico"), "image/x-icon"},
        {SLICE_INIT(".woff2"), "font/woff2"},
        {SLICE_INIT(".json"), "application/json"},
        {SLICE_INIT(".txt"), "text/plain; charset=utf-8"},
    };
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (slice_ends(path, types[i].ending))
            return types[i].type;
    return "application/octet-stream";
}

static void set_policy(struct http_request *request)
{
    http_set(request, "Content-Security-Policy", SLICE(POLICY));
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    http_set(request, "Referrer-Policy", SLICE("no-referrer"));
    http_set(request, "Cross-Origin-Opener-Policy", SLICE("same-origin"));
}

static void console_page(struct http_request *request, void *user)
{
    struct slice bytes;
    set_policy(request);
    http_set(request, "Cache-Control", SLICE("no-store"));
    if (embedded_find(SLICE("console/index.html"), &bytes))
        http_respond(request, 200, "text/html; charset=utf-8", bytes);
    else
        http_respond(request, 404, "text/plain; charset=utf-8",
                     SLICE("This binary was built without the console: `./run build` puts it in. The API is at "
                           "/api/v1.\n"));
}

/* The name is looked up among the embedded files as it stands: no path can lead out of them. */
static void console_asset(struct http_request *request, void *user)
{
    struct slice bytes, name = http_param(request, "name");
    struct slice path = arena_printf(&request->arena, "console/assets/%.*s", SLICE_ARG(name));
    set_policy(request);
    if (!embedded_find(path, &bytes)) {
        http_set(request, "Cache-Control", SLICE("no-store"));
        http_respond(request, 404, "text/plain; charset=utf-8", SLICE("There is no such file.\n"));
        return;
    }
    http_set(request, "Cache-Control", SLICE("public, max-age=31536000, immutable")); /* its name carries a hash */
    http_respond(request, 200, type_of(path), bytes);
}

/* Nothing else is here; below /api/ that is told to those who may ask, as a problem. */
static void nothing_here(struct http_request *request, void *user)
{
    struct api *api = user;
    if (slice_starts(request->head.path, SLICE("/api/"))) {
        if (api_admits(api, request, NEEDS_SIGNED_IN))
            answer_no_such(request, "thing; data/api/openapi.yaml lists what there is");
        return;
    }
    set_policy(request);
    http_set(request, "Cache-Control", SLICE("no-store"));
    http_respond(request, 404, "text/plain; charset=utf-8", SLICE("There is nothing here. The console is at /\n"));
}

void console_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/", console_page, api, 0});
    http_router_add(api->router, &(struct http_route){"GET", "/assets/{name...}", console_asset, api, 0});
    http_router_fallback(api->router, nothing_here, api);
}
