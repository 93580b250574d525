/* contract_test.h - data/api/openapi.yaml as JSON, and whether an answer fits its schema (for *_test.c only) */
#ifndef TODOKE_API_CONTRACT_TEST_H
#define TODOKE_API_CONTRACT_TEST_H

#include "base/arena.h"
#include "base/embedded.h"
#include "base/test.h"
#include <jansson.h>
#include <yaml.h>

static inline json_t *contract_scalar(const yaml_node_t *node)
{
    struct slice text = slice_of(node->data.scalar.value, node->data.scalar.length);
    int64_t number;
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (slice_equal(text, SLICE("true")) || slice_equal(text, SLICE("false")))
            return json_boolean(text.ptr[0] == 't');
        if (slice_to_i64(text, &number))
            return json_integer(number);
    }
    return json_stringn(text.ptr, text.len);
}

static inline json_t *contract_node(yaml_document_t *document, yaml_node_t *node)
{
    json_t *value;
    switch (node->type) {
    case YAML_SEQUENCE_NODE:
        value = json_array();
        for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
            json_array_append_new(value, contract_node(document, yaml_document_get_node(document, *item)));
        return value;
    case YAML_MAPPING_NODE:
        value = json_object();
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
            yaml_node_t *key = yaml_document_get_node(document, pair->key);
            json_object_set_new(value, (const char *)key->data.scalar.value,
                                contract_node(document, yaml_document_get_node(document, pair->value)));
        }
        return value;
    case YAML_NO_NODE:
    case YAML_SCALAR_NODE: break;
    }
    return contract_scalar(node);
}

static inline json_t *contract_load(void)
{
    struct slice text;
    yaml_parser_t parser;
    yaml_document_t document;
    assert_true(embedded_find(SLICE("data/api/openapi.yaml"), &text));
    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    assert_true(yaml_parser_load(&parser, &document));
    json_t *contract = contract_node(&document, yaml_document_get_root_node(&document));
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return contract;
}

/* "#/components/schemas/x" */
static inline json_t *contract_ref(json_t *contract, json_t *schema)
{
    json_t *ref = json_object_get(schema, "$ref");
    while (ref) {
        struct slice rest = slice_from(slice_str(json_string_value(ref)), 2), piece;
        json_t *at = contract;
        while (slice_split(&rest, '/', &piece)) {
            char key[100];
            snprintf(key, sizeof(key), "%.*s", SLICE_ARG(piece));
            at = json_object_get(at, key);
        }
        assert_non_null(at);
        schema = at;
        ref = json_object_get(schema, "$ref");
    }
    return schema;
}

static inline bool contract_type_is(const char *type, json_t *value)
{
    return (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "object") == 0 && json_is_object(value)) || (strcmp(type, "null") == 0 && json_is_null(value));
}

/* Where the value does not fit, into `wrong`; "" when it fits. */
static inline bool contract_fits(json_t *contract, json_t *schema, json_t *value, const char *at, char wrong[400])
{
    schema = contract_ref(contract, schema);
    json_t *part, *type = json_object_get(schema, "type"), *all = json_object_get(schema, "allOf"),
                  *one = json_object_get(schema, "oneOf"), *words = json_object_get(schema, "enum");
    size_t i;
    const char *key;
    char below[300];
    json_array_foreach(all, i, part) if (!contract_fits(contract, part, value, at, wrong)) return false;
    if (one) {
        size_t fitting = 0;
        json_array_foreach(one, i, part) fitting += contract_fits(contract, part, value, at, wrong);
        if (fitting == 1)
            wrong[0] = '\0';
        return fitting == 1;
    }
    bool is = !type || (json_is_string(type) && contract_type_is(json_string_value(type), value));
    json_array_foreach(type, i, part) is = is || contract_type_is(json_string_value(part), value);
    if (!is) {
        snprintf(wrong, 400, "%s: of another type", at);
        return false;
    }
    bool is_word = !words;
    json_array_foreach(words, i, part) is_word = is_word || json_equal(part, value);
    if (!is_word) {
        snprintf(wrong, 400, "%s: \"%s\" is none of the words", at, json_string_value(value));
        return false;
    }
    json_array_foreach(json_object_get(schema, "required"), i,
                       part) if (json_is_object(value) && !json_object_get(value, json_string_value(part)))
    {
        snprintf(wrong, 400, "%s.%s: missing", at, json_string_value(part));
        return false;
    }
    json_object_foreach(json_object_get(schema, "properties"), key, part)
    {
        json_t *member = json_object_get(value, key);
        snprintf(below, sizeof(below), "%s.%s", at, key);
        if (member && !contract_fits(contract, part, member, below, wrong))
            return false;
    }
    json_t *items = json_object_get(schema, "items");
    json_array_foreach(value, i, part)
    {
        snprintf(below, sizeof(below), "%s[%zu]", at, i);
        if (items && !contract_fits(contract, items, part, below, wrong))
            return false;
    }
    return true;
}

/* The answer to "GET /campaigns/{id}" with this status and type is one that the contract knows, and fits. */
static inline void assert_contract(json_t *contract, const char *method, const char *path, int status, const char *type,
                                   json_t *body)
{
    char text[16], wrong[400] = "";
    snprintf(text, sizeof(text), "%d", status);
    json_t *operation = json_object_get(json_object_get(json_object_get(contract, "paths"), path), method);
    json_t *response = contract_ref(contract, json_object_get(json_object_get(operation, "responses"), text));
    if (!response)
        fail_msg("%s %s answers %d, which the contract does not know", method, path, status);
    json_t *content = json_object_get(json_object_get(response, "content"), type);
    if (!content)
        fail_msg("%s %s answers %d as \"%s\"", method, path, status, type);
    if (body && !contract_fits(contract, json_object_get(content, "schema"), body, "$", wrong))
        fail_msg("%s %s: %s", method, path, wrong);
}

#endif
