/* contract.c - data/api/openapi.yaml as it is, as JSON, and as a page to read; no script, nothing from elsewhere */
#include "api/inside.h"

#include "base/embedded.h"
#include <stdio.h>
#include <yaml.h>

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

static yaml_node_t *member(yaml_document_t *document, yaml_node_t *node, const char *key)
{
    if (!node || node->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = yaml_document_get_node(document, pair->key);
        if (name->type == YAML_SCALAR_NODE && strcmp((const char *)name->data.scalar.value, key) == 0)
            return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

static struct slice scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? slice_of(node->data.scalar.value, node->data.scalar.length)
                                                  : SLICE("");
}

/* "#/components/schemas/x" followed to its end. */
static yaml_node_t *resolved(yaml_document_t *document, yaml_node_t *node)
{
    for (int hops = 0; hops < 8; hops++) {
        struct slice ref = scalar(member(document, node, "$ref")), rest = slice_from(ref, 2), piece;
        if (!ref.len)
            break;
        node = yaml_document_get_root_node(document);
        while (slice_split(&rest, '/', &piece)) {
            char key[100];
            snprintf(key, sizeof(key), "%.*s", piece.len < sizeof(key) ? (int)piece.len : 0, piece.ptr);
            node = member(document, node, key);
        }
    }
    return node;
}

static void json_of(struct json *json, yaml_document_t *document, yaml_node_t *node, unsigned depth)
{
    int64_t number;
    if (depth > DEPTH_MAX || !node || node->type == YAML_NO_NODE) {
        json_nothing(json);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        json_array_begin(json);
        for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
            json_of(json, document, yaml_document_get_node(document, *item), depth + 1);
        json_end(json);
    } else if (node->type == YAML_MAPPING_NODE) {
        json_object_begin(json);
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
            json_key_slice(json, scalar(yaml_document_get_node(document, pair->key)));
            json_of(json, document, yaml_document_get_node(document, pair->value), depth + 1);
        }
        json_end(json);
    } else {
        struct slice text = scalar(node);
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

static void example_put(struct buf *out, yaml_document_t *document, yaml_node_t *node)
{
    SCOPED(buf) text = BUF(65536);
    struct json json = {&text};
    if (!node)
        return;
    json_of(&json, document, node, 0);
    buf_text(out, "<pre>");
    html_put(out, buf_slice(&text));
    buf_text(out, "</pre>\n");
}

/* "string", "array of delivery", "one of a, b". */
static void type_put(struct buf *out, yaml_document_t *document, yaml_node_t *schema, unsigned depth)
{
    struct slice ref = scalar(member(document, schema, "$ref"));
    if (ref.len) {
        struct slice name = slice_from(ref, (size_t)slice_find_last_byte(ref, '/') + 1);
        buf_text(out, "<a href=\"#schema-");
        html_put(out, name);
        buf_text(out, "\">");
        html_put(out, name);
        buf_text(out, "</a>");
        return;
    }
    yaml_node_t *type = member(document, schema, "type"), *items = member(document, schema, "items"),
                *words = member(document, schema, "enum");
    if (items && depth < 4) {
        buf_text(out, "array of ");
        type_put(out, document, items, depth + 1);
    } else if (words && words->type == YAML_SEQUENCE_NODE) {
        buf_text(out, "one of ");
        const char *comma = "";
        for (yaml_node_item_t *item = words->data.sequence.items.start; item < words->data.sequence.items.top; item++) {
            buf_str(out, comma);
            buf_text(out, "<code>");
            html_put(out, scalar(yaml_document_get_node(document, *item)));
            buf_text(out, "</code>");
            comma = ", ";
        }
    } else if (type && type->type == YAML_SEQUENCE_NODE) {
        const char * or = "";
        for (yaml_node_item_t *item = type->data.sequence.items.start; item < type->data.sequence.items.top; item++) {
            buf_str(out, or);
            html_put(out, scalar(yaml_document_get_node(document, *item)));
            or = " or ";
        }
    } else {
        html_put(out, scalar(type));
    }
}

static bool is_among(yaml_document_t *document, yaml_node_t *list, struct slice name)
{
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return false;
    for (yaml_node_item_t *item = list->data.sequence.items.start; item < list->data.sequence.items.top; item++)
        if (slice_equal(scalar(yaml_document_get_node(document, *item)), name))
            return true;
    return false;
}

/* A table of an object's members. */
static void members_put(struct buf *out, yaml_document_t *document, yaml_node_t *schema, unsigned depth)
{
    yaml_node_t *all = member(document, schema, "allOf"), *properties = member(document, schema, "properties"),
                *required = member(document, schema, "required");
    if (all && all->type == YAML_SEQUENCE_NODE && depth < 4)
        for (yaml_node_item_t *item = all->data.sequence.items.start; item < all->data.sequence.items.top; item++)
            members_put(out, document, resolved(document, yaml_document_get_node(document, *item)), depth + 1);
    if (!properties || properties->type != YAML_MAPPING_NODE)
        return;
    buf_text(out, "<table>\n");
    for (yaml_node_pair_t *pair = properties->data.mapping.pairs.start; pair < properties->data.mapping.pairs.top;
         pair++) {
        struct slice name = scalar(yaml_document_get_node(document, pair->key));
        yaml_node_t *value = yaml_document_get_node(document, pair->value);
        buf_text(out, "<tr><td><code>");
        html_put(out, name);
        buf_text(out, "</code>");
        if (is_among(document, required, name))
            buf_text(out, " *");
        buf_text(out, "</td><td>");
        type_put(out, document, value, 0);
        buf_text(out, "</td><td>");
        html_put(out, scalar(member(document, value, "description")));
        buf_text(out, "</td></tr>\n");
    }
    buf_text(out, "</table>\n");
}

/* The first media type's schema of a body or an answer. */
static void content_put(struct buf *out, yaml_document_t *document, yaml_node_t *node)
{
    yaml_node_t *content = member(document, node, "content");
    if (!content || content->type != YAML_MAPPING_NODE ||
        content->data.mapping.pairs.start == content->data.mapping.pairs.top)
        return;
    yaml_node_pair_t *pair = content->data.mapping.pairs.start;
    yaml_node_t *media = yaml_document_get_node(document, pair->value), *schema = member(document, media, "schema");
    buf_text(out, " <code>");
    html_put(out, scalar(yaml_document_get_node(document, pair->key)));
    buf_text(out, "</code> ");
    type_put(out, document, schema, 0);
    if (!member(document, schema, "$ref"))
        members_put(out, document, schema, 0);
    example_put(out, document, member(document, media, "example"));
}

static void parameters_put(struct buf *out, yaml_document_t *document, yaml_node_t *list)
{
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return;
    buf_text(out, "<table>\n");
    for (yaml_node_item_t *item = list->data.sequence.items.start; item < list->data.sequence.items.top; item++) {
        yaml_node_t *parameter = resolved(document, yaml_document_get_node(document, *item));
        buf_text(out, "<tr><td><code>");
        html_put(out, scalar(member(document, parameter, "name")));
        buf_text(out, "</code></td><td class=\"s\">");
        html_put(out, scalar(member(document, parameter, "in")));
        buf_text(out, "</td><td>");
        type_put(out, document, member(document, parameter, "schema"), 0);
        buf_text(out, "</td><td>");
        html_put(out, scalar(member(document, parameter, "description")));
        buf_text(out, "</td></tr>\n");
    }
    buf_text(out, "</table>\n");
}

static void scope_put(struct buf *out, yaml_document_t *document, yaml_node_t *operation)
{
    yaml_node_t *security = member(document, operation, "security");
    if (!security || security->type != YAML_SEQUENCE_NODE) {
        buf_text(out, "<p class=\"s\">Any key.</p>\n");
        return;
    }
    if (security->data.sequence.items.start == security->data.sequence.items.top) {
        buf_text(out, "<p class=\"s\">No key.</p>\n");
        return;
    }
    yaml_node_t *scopes =
        member(document, yaml_document_get_node(document, *security->data.sequence.items.start), "key");
    if (scopes && scopes->type == YAML_SEQUENCE_NODE &&
        scopes->data.sequence.items.start < scopes->data.sequence.items.top) {
        buf_text(out, "<p class=\"s\">Scope <code>");
        html_put(out, scalar(yaml_document_get_node(document, *scopes->data.sequence.items.start)));
        buf_text(out, "</code></p>\n");
    }
}

static void operation_put(struct buf *out, yaml_document_t *document, struct slice path, struct slice method,
                          yaml_node_t *shared, yaml_node_t *operation)
{
    yaml_node_t *responses = member(document, operation, "responses"),
                *body = member(document, operation, "requestBody");
    buf_text(out, "<h2 id=\"");
    html_put(out, scalar(member(document, operation, "operationId")));
    buf_text(out, "\"><span class=\"m\">");
    for (size_t i = 0; i < method.len; i++)
        buf_byte(out, ascii_upper(method.ptr[i]));
    buf_text(out, "</span> <code>/api/v1");
    html_put(out, path);
    buf_text(out, "</code></h2>\n<p><b>");
    html_put(out, scalar(member(document, operation, "summary")));
    buf_text(out, "</b></p>\n");
    scope_put(out, document, operation);
    prose_put(out, scalar(member(document, operation, "description")));
    parameters_put(out, document, shared);
    parameters_put(out, document, member(document, operation, "parameters"));
    if (body) {
        buf_text(out, "<p>Body:");
        content_put(out, document, body);
        buf_text(out, "</p>\n");
    }
    if (!responses || responses->type != YAML_MAPPING_NODE)
        return;
    buf_text(out, "<table>\n");
    for (yaml_node_pair_t *pair = responses->data.mapping.pairs.start; pair < responses->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *response = resolved(document, yaml_document_get_node(document, pair->value));
        buf_text(out, "<tr><td><code>");
        html_put(out, scalar(yaml_document_get_node(document, pair->key)));
        buf_text(out, "</code></td><td>");
        html_put(out, scalar(member(document, response, "description")));
        content_put(out, document, response);
        buf_text(out, "</td></tr>\n");
    }
    buf_text(out, "</table>\n");
}

static void operations_put(struct buf *out, yaml_document_t *document, bool is_index)
{
    static const char *const methods[] = {"get", "post", "put", "patch", "delete"};
    yaml_node_t *paths = member(document, yaml_document_get_root_node(document), "paths");
    for (yaml_node_pair_t *pair = paths->data.mapping.pairs.start; pair < paths->data.mapping.pairs.top; pair++) {
        struct slice path = scalar(yaml_document_get_node(document, pair->key));
        yaml_node_t *node = yaml_document_get_node(document, pair->value);
        for (size_t i = 0; i < COUNT_OF(methods); i++) {
            yaml_node_t *operation = member(document, node, methods[i]);
            if (!operation)
                continue;
            if (!is_index) {
                operation_put(out, document, path, slice_str(methods[i]), member(document, node, "parameters"),
                              operation);
                continue;
            }
            buf_text(out, "<a href=\"#");
            html_put(out, scalar(member(document, operation, "operationId")));
            buf_printf(out, "\">%s ", methods[i]);
            html_put(out, path);
            buf_text(out, "</a>\n");
        }
    }
}

static void schemas_put(struct buf *out, yaml_document_t *document)
{
    yaml_node_t *schemas =
        member(document, member(document, yaml_document_get_root_node(document), "components"), "schemas");
    for (yaml_node_pair_t *pair = schemas->data.mapping.pairs.start; pair < schemas->data.mapping.pairs.top; pair++) {
        struct slice name = scalar(yaml_document_get_node(document, pair->key));
        yaml_node_t *schema = yaml_document_get_node(document, pair->value);
        buf_text(out, "<h2 id=\"schema-");
        html_put(out, name);
        buf_text(out, "\">");
        html_put(out, name);
        buf_text(out, "</h2>\n");
        prose_put(out, scalar(member(document, schema, "description")));
        if (!member(document, schema, "properties") && !member(document, schema, "allOf")) {
            buf_text(out, "<p>");
            type_put(out, document, schema, 0);
            buf_text(out, "</p>\n");
        }
        members_put(out, document, schema, 0);
    }
}

static void page_put(struct buf *out, yaml_document_t *document)
{
    yaml_node_t *info = member(document, yaml_document_get_root_node(document), "info");
    buf_text(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
                  "content=\"width=device-width\"><title>Todoke API</title><style>");
    buf_str(out, style);
    buf_text(out, "</style><main><h1>Todoke API</h1>\n<p><a href=\"/api/openapi.yaml\">openapi.yaml</a> · <a "
                  "href=\"/api/openapi.json\">openapi.json</a></p>\n");
    prose_put(out, scalar(member(document, info, "description")));
    buf_text(out, "<nav>\n");
    operations_put(out, document, true);
    buf_text(out, "</nav>\n");
    operations_put(out, document, false);
    buf_text(out, "<h1>Schemas</h1>\n<p class=\"s\">* is always there.</p>\n");
    schemas_put(out, document);
    buf_text(out, "</main></html>\n");
}

/* ── routes ── */

enum contract_form { CONTRACT_YAML, CONTRACT_JSON, CONTRACT_PAGE };

static bool contract_make(enum contract_form form, struct buf *out)
{
    struct slice text;
    yaml_parser_t parser;
    yaml_document_t document;
    if (!embedded_find(SLICE("data/api/openapi.yaml"), &text))
        return false;
    if (form == CONTRACT_YAML) {
        buf_append(out, text);
        return true;
    }
    if (!yaml_parser_initialize(&parser))
        return false;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    bool ok = yaml_parser_load(&parser, &document);
    if (ok) {
        struct json json = {out};
        if (form == CONTRACT_JSON)
            json_of(&json, &document, yaml_document_get_root_node(&document), 0);
        else
            page_put(out, &document);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return ok && buf_ok(out);
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
