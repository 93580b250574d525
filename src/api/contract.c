/* contract.c - data/api/openapi.yaml as it is, as JSON, and as a page to read; no script, nothing from elsewhere */
#include "api/inside.h"

#include "base/embedded.h"
#include "base/tree.h"
#include <stdio.h>

enum { CONTRACT_MAX = 8 << 20, DEPTH_MAX = 60 };

#define POLICY                                                                                                         \
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const char style[] =
    "body{font:16px/1.6 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2733;"
    "background:#fff}h1{font-size:1.6rem}h2{margin-top:2.4rem;font-size:1.15rem;border-top:1px solid #d5dde5;"
    "padding-top:1rem}code,pre{font:14px/1.5 ui-monospace,monospace;background:#f2f5f8;border-radius:4px}code{padding:"
    "0 .3em}pre{padding:.8rem;overflow:auto}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-"
    "align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #e8edf2}.m{font-weight:700;color:#0b5cad}.s{color:"
    "#5a6b7b}nav a{display:inline-block;margin-right:1rem}@media(prefers-color-scheme:dark){body{background:#12181f;"
    "color:#dfe7ee}code,pre{background:#1d2630}td,th,h2{border-color:#2c3946}.m{color:#6cb4ff}.s{color:#93a4b5}a{color:"
    "#8cc4ff}}";

/* ── the document ── */

/* "#/components/schemas/x" followed to its end. */
static const yaml_node_t *resolved(const struct tree *tree, const yaml_node_t *node)
{
    for (int hops = 0; hops < 8; hops++) {
        struct slice ref = tree_text(tree_member(tree, node, "$ref")), rest = slice_from(ref, 2), piece;
        if (!ref.len)
            break;
        node = tree_root(tree);
        while (slice_split(&rest, '/', &piece)) {
            char key[100];
            snprintf(key, sizeof(key), "%.*s", piece.len < sizeof(key) ? (int)piece.len : 0, piece.ptr);
            node = tree_member(tree, node, key);
        }
    }
    return node;
}

static void json_of(struct json *json, const struct tree *tree, const yaml_node_t *node, unsigned depth)
{
    const yaml_node_t *key, *value;
    int64_t number;
    if (depth > DEPTH_MAX || !node || node->type == YAML_NO_NODE) {
        json_nothing(json);
    } else if (tree_is_list(node)) {
        json_array_begin(json);
        for (size_t i = 0; i < tree_count(node); i++)
            json_of(json, tree, tree_item(tree, node, i), depth + 1);
        json_end(json);
    } else if (tree_is_map(node)) {
        json_object_begin(json);
        for (size_t i = 0; tree_pair(tree, node, i, &key, &value); i++) {
            json_key_slice(json, tree_text(key));
            json_of(json, tree, value, depth + 1);
        }
        json_end(json);
    } else {
        struct slice text = tree_text(node);
        bool is_plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (is_plain && (slice_equal(text, SLICE("true")) || slice_equal(text, SLICE("false"))))
            json_bool(json, text.ptr[0] == 't');
        else if (is_plain && slice_equal(text, SLICE("null")))
            json_nothing(json);
        else if (is_plain && slice_to_i64(text, &number))
            json_int(json, number);
        else
            json_text(json, text);
    }
}

/* ── the page ── */

static void html_put(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '&': buf_text(out, "&amp;"); break;
        case '<': buf_text(out, "&lt;"); break;
        case '>': buf_text(out, "&gt;"); break;
        case '"': buf_text(out, "&quot;"); break;
        default: buf_byte(out, text.ptr[i]); break;
        }
    }
}

/* One line, code between backticks; *is_code runs on over line ends. */
static void line_put(struct buf *out, struct slice line, bool *is_code)
{
    for (struct slice rest = line, piece; slice_split(&rest, '`', &piece);) {
        html_put(out, piece);
        if (!rest.ptr)
            break;
        buf_str(out, *is_code ? "</code>" : "<code>");
        *is_code = !*is_code;
    }
    buf_byte(out, '\n');
}

/* Paragraphs at empty lines, items at lines that begin with "- ". */
static void prose_put(struct buf *out, struct slice text)
{
    struct slice line;
    bool is_code = false;
    enum { OUTSIDE, PARAGRAPH, ITEM } at = OUTSIDE;
    while (text.len && slice_line(&text, &line)) {
        bool is_item = slice_starts(line, SLICE("- ")), is_empty = slice_trim(line).len == 0;
        if ((is_item || is_empty) && at != OUTSIDE) {
            buf_str(out, is_code ? "</code>" : "");
            buf_str(out, at == PARAGRAPH ? "</p>\n" : is_item ? "</li>\n" : "</li></ul>\n");
            is_code = false;
        }
        if (is_item)
            buf_str(out, at == ITEM ? "<li>" : "<ul><li>");
        else if (!is_empty && at == OUTSIDE)
            buf_text(out, "<p>");
        at = is_item ? ITEM : is_empty ? OUTSIDE : at == OUTSIDE ? PARAGRAPH : at;
        if (!is_empty)
            line_put(out, is_item ? slice_from(line, 2) : line, &is_code);
    }
    buf_str(out, is_code ? "</code>" : "");
    buf_str(out, at == PARAGRAPH ? "</p>\n" : at == ITEM ? "</li></ul>\n" : "");
}

static void example_put(struct buf *out, const struct tree *tree, const yaml_node_t *node)
{
    SCOPED(buf) text = BUF(65536);
    struct json json = {&text};
    if (!node)
        return;
    json_of(&json, tree, node, 0);
    buf_text(out, "<pre>");
    html_put(out, buf_slice(&text));
    buf_text(out, "</pre>\n");
}

/* "string", "array of delivery", "one of a, b". */
static void type_put(struct buf *out, const struct tree *tree, const yaml_node_t *schema, unsigned depth)
{
    struct slice ref = tree_text(tree_member(tree, schema, "$ref"));
    if (ref.len) {
        struct slice name = slice_from(ref, (size_t)slice_find_last_byte(ref, '/') + 1);
        buf_text(out, "<a href=\"#schema-");
        html_put(out, name);
        buf_text(out, "\">");
        html_put(out, name);
        buf_text(out, "</a>");
        return;
    }
    const yaml_node_t *type = tree_member(tree, schema, "type"), *items = tree_member(tree, schema, "items"),
                      *words = tree_member(tree, schema, "enum");
    if (items && depth < 4) {
        buf_text(out, "array of ");
        type_put(out, tree, items, depth + 1);
    } else if (words) {
        buf_text(out, "one of ");
        for (size_t i = 0; i < tree_count(words); i++) {
            buf_str(out, i ? ", <code>" : "<code>");
            html_put(out, tree_text(tree_item(tree, words, i)));
            buf_text(out, "</code>");
        }
    } else {
        for (size_t i = 0; i < tree_count(type); i++) {
            buf_str(out, i ? " or " : "");
            html_put(out, tree_text(tree_item(tree, type, i)));
        }
    }
}

static bool is_among(const struct tree *tree, const yaml_node_t *list, struct slice name)
{
    for (size_t i = 0; i < tree_count(list); i++)
        if (slice_equal(tree_text(tree_item(tree, list, i)), name))
            return true;
    return false;
}

/* A table of an object's members. */
static void members_put(struct buf *out, const struct tree *tree, const yaml_node_t *schema, unsigned depth)
{
    const yaml_node_t *all = tree_member(tree, schema, "allOf"), *properties = tree_member(tree, schema, "properties"),
                      *required = tree_member(tree, schema, "required");
    for (size_t i = 0; i < tree_count(all) && depth < 4; i++)
        members_put(out, tree, resolved(tree, tree_item(tree, all, i)), depth + 1);
    if (!tree_is_map(properties))
        return;
    buf_text(out, "<table>\n");
    const yaml_node_t *key, *value;
    for (size_t i = 0; tree_pair(tree, properties, i, &key, &value); i++) {
        struct slice name = tree_text(key);
        buf_text(out, "<tr><td><code>");
        html_put(out, name);
        buf_text(out, "</code>");
        if (is_among(tree, required, name))
            buf_text(out, " *");
        buf_text(out, "</td><td>");
        type_put(out, tree, value, 0);
        buf_text(out, "</td><td>");
        html_put(out, tree_text(tree_member(tree, value, "description")));
        buf_text(out, "</td></tr>\n");
    }
    buf_text(out, "</table>\n");
}

/* The first media type's schema of a body or an answer. */
static void content_put(struct buf *out, const struct tree *tree, const yaml_node_t *node)
{
    const yaml_node_t *type, *media;
    if (!tree_pair(tree, tree_member(tree, node, "content"), 0, &type, &media))
        return;
    const yaml_node_t *schema = tree_member(tree, media, "schema");
    buf_text(out, " <code>");
    html_put(out, tree_text(type));
    buf_text(out, "</code> ");
    type_put(out, tree, schema, 0);
    if (!tree_member(tree, schema, "$ref"))
        members_put(out, tree, schema, 0);
    example_put(out, tree, tree_member(tree, media, "example"));
}

static void parameters_put(struct buf *out, const struct tree *tree, const yaml_node_t *list)
{
    if (!tree_is_list(list))
        return;
    buf_text(out, "<table>\n");
    for (size_t i = 0; i < tree_count(list); i++) {
        const yaml_node_t *parameter = resolved(tree, tree_item(tree, list, i));
        buf_text(out, "<tr><td><code>");
        html_put(out, tree_text(tree_member(tree, parameter, "name")));
        buf_text(out, "</code></td><td class=\"s\">");
        html_put(out, tree_text(tree_member(tree, parameter, "in")));
        buf_text(out, "</td><td>");
        type_put(out, tree, tree_member(tree, parameter, "schema"), 0);
        buf_text(out, "</td><td>");
        html_put(out, tree_text(tree_member(tree, parameter, "description")));
        buf_text(out, "</td></tr>\n");
    }
    buf_text(out, "</table>\n");
}

static void scope_put(struct buf *out, const struct tree *tree, const yaml_node_t *operation)
{
    const yaml_node_t *security = tree_member(tree, operation, "security");
    if (!tree_is_list(security)) {
        buf_text(out, "<p class=\"s\">Any key.</p>\n");
        return;
    }
    if (tree_count(security) == 0) {
        buf_text(out, "<p class=\"s\">No key.</p>\n");
        return;
    }
    struct slice scope = tree_text(tree_item(tree, tree_member(tree, tree_item(tree, security, 0), "key"), 0));
    if (scope.len) {
        buf_text(out, "<p class=\"s\">Scope <code>");
        html_put(out, scope);
        buf_text(out, "</code></p>\n");
    }
}

static void operation_put(struct buf *out, const struct tree *tree, struct slice path, struct slice method,
                          const yaml_node_t *shared, const yaml_node_t *operation)
{
    const yaml_node_t *responses = tree_member(tree, operation, "responses"),
                      *body = tree_member(tree, operation, "requestBody");
    buf_text(out, "<h2 id=\"");
    html_put(out, tree_text(tree_member(tree, operation, "operationId")));
    buf_text(out, "\"><span class=\"m\">");
    for (size_t i = 0; i < method.len; i++)
        buf_byte(out, ascii_upper(method.ptr[i]));
    buf_text(out, "</span> <code>/api/v1");
    html_put(out, path);
    buf_text(out, "</code></h2>\n<p><b>");
    html_put(out, tree_text(tree_member(tree, operation, "summary")));
    buf_text(out, "</b></p>\n");
    scope_put(out, tree, operation);
    prose_put(out, tree_text(tree_member(tree, operation, "description")));
    parameters_put(out, tree, shared);
    parameters_put(out, tree, tree_member(tree, operation, "parameters"));
    if (body) {
        buf_text(out, "<p>Body:");
        content_put(out, tree, body);
        buf_text(out, "</p>\n");
    }
    if (!tree_is_map(responses))
        return;
    buf_text(out, "<table>\n");
    const yaml_node_t *code, *answer;
    for (size_t i = 0; tree_pair(tree, responses, i, &code, &answer); i++) {
        const yaml_node_t *response = resolved(tree, answer);
        buf_text(out, "<tr><td><code>");
        html_put(out, tree_text(code));
        buf_text(out, "</code></td><td>");
        html_put(out, tree_text(tree_member(tree, response, "description")));
        content_put(out, tree, response);
        buf_text(out, "</td></tr>\n");
    }
    buf_text(out, "</table>\n");
}

static void operations_put(struct buf *out, const struct tree *tree, bool is_index)
{
    static const char *const methods[] = {"get", "post", "put", "patch", "delete"};
    const yaml_node_t *paths = tree_member(tree, tree_root(tree), "paths"), *key, *node;
    for (size_t at = 0; tree_pair(tree, paths, at, &key, &node); at++) {
        struct slice path = tree_text(key);
        for (size_t i = 0; i < COUNT_OF(methods); i++) {
            const yaml_node_t *operation = tree_member(tree, node, methods[i]);
            if (!operation)
                continue;
            if (!is_index) {
                operation_put(out, tree, path, slice_str(methods[i]), tree_member(tree, node, "parameters"), operation);
                continue;
            }
            buf_text(out, "<a href=\"#");
            html_put(out, tree_text(tree_member(tree, operation, "operationId")));
            buf_printf(out, "\">%s ", methods[i]);
            html_put(out, path);
            buf_text(out, "</a>\n");
        }
    }
}

static void schemas_put(struct buf *out, const struct tree *tree)
{
    const yaml_node_t *schemas = tree_member(tree, tree_member(tree, tree_root(tree), "components"), "schemas"), *key,
                      *schema;
    for (size_t i = 0; tree_pair(tree, schemas, i, &key, &schema); i++) {
        struct slice name = tree_text(key);
        buf_text(out, "<h2 id=\"schema-");
        html_put(out, name);
        buf_text(out, "\">");
        html_put(out, name);
        buf_text(out, "</h2>\n");
        prose_put(out, tree_text(tree_member(tree, schema, "description")));
        if (!tree_member(tree, schema, "properties") && !tree_member(tree, schema, "allOf")) {
            buf_text(out, "<p>");
            type_put(out, tree, schema, 0);
            buf_text(out, "</p>\n");
        }
        members_put(out, tree, schema, 0);
    }
}

static void page_put(struct buf *out, const struct tree *tree)
{
    const yaml_node_t *info = tree_member(tree, tree_root(tree), "info");
    buf_text(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
                  "content=\"width=device-width\"><title>Todoke API</title><style>");
    buf_str(out, style);
    buf_text(out, "</style><main><h1>Todoke API</h1>\n<p><a href=\"/api/openapi.yaml\">openapi.yaml</a> · <a "
                  "href=\"/api/openapi.json\">openapi.json</a></p>\n");
    prose_put(out, tree_text(tree_member(tree, info, "description")));
    buf_text(out, "<nav>\n");
    operations_put(out, tree, true);
    buf_text(out, "</nav>\n");
    operations_put(out, tree, false);
    buf_text(out, "<h1>Schemas</h1>\n<p class=\"s\">* is always there.</p>\n");
    schemas_put(out, tree);
    buf_text(out, "</main></html>\n");
}

/* ── routes ── */

enum contract_form { CONTRACT_YAML, CONTRACT_JSON, CONTRACT_PAGE };

static bool contract_make(enum contract_form form, struct buf *out)
{
    static const char path[] = "data/api/openapi.yaml";
    SCOPED(tree) tree = {0};
    struct fault ignored;
    struct slice text;
    if (!embedded_find(slice_str(path), &text))
        return false;
    if (form == CONTRACT_YAML) {
        buf_append(out, text);
        return true;
    }
    if (!tree_read(&tree, path, text, &ignored))
        return false;
    struct json json = {out};
    if (form == CONTRACT_JSON)
        json_of(&json, &tree, tree_root(&tree), 0);
    else
        page_put(out, &tree);
    return buf_ok(out);
}

static void contract_answer(struct http_request *request, enum contract_form form, const char *type)
{
    SCOPED(buf) out = BUF(CONTRACT_MAX);
    http_set(request, "Content-Security-Policy", SLICE(POLICY));
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    http_set(request, "Referrer-Policy", SLICE("no-referrer"));
    http_set(request, "Cache-Control", SLICE("no-cache"));
    if (contract_make(form, &out))
        http_respond(request, 200, type, buf_slice(&out));
    else
        http_respond(request, 500, "text/plain; charset=utf-8", SLICE("The contract of this build cannot be read.\n"));
}

static void contract_page(struct http_request *request, void *user)
{
    contract_answer(request, CONTRACT_PAGE, "text/html; charset=utf-8");
}
static void contract_yaml(struct http_request *request, void *user)
{
    contract_answer(request, CONTRACT_YAML, "application/yaml");
}
static void contract_json(struct http_request *request, void *user)
{
    contract_answer(request, CONTRACT_JSON, "application/json");
}

void contract_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/api", contract_page, api, 0});
    http_router_add(api->router, &(struct http_route){"GET", "/api/openapi.yaml", contract_yaml, api, 0});
    http_router_add(api->router, &(struct http_route){"GET", "/api/openapi.json", contract_json, api, 0});
}
