#include "content/liquid_private.h"

#include "base/utf8.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* --- JSON as values --- */

static bool json_member(const void *self, struct slice name, struct liquid_value *value)
{
    const json_t *found = json_object_getn(self, name.ptr, name.len);
    if (!found)
        return false;
    *value = liquid_json(found);
    return true;
}

static size_t json_list_size(const void *self)
{
    return json_array_size(self);
}

static void json_list_item(const void *self, size_t index, struct liquid_value *value)
{
    *value = liquid_json(json_array_get(self, index));
}

static const struct liquid_type json_object_type = {.member = json_member};
static const struct liquid_type json_list_type = {.size = json_list_size, .item = json_list_item};

struct liquid_value liquid_json(const void *json)
{
    const json_t *from = json;
    if (!from)
        return (struct liquid_value){.kind = LIQUID_NIL};
    switch (json_typeof(from)) {
    case JSON_OBJECT: return liquid_object(&json_object_type, from);
    case JSON_ARRAY: return (struct liquid_value){.kind = LIQUID_LIST, .ref = {&json_list_type, from}};
    case JSON_STRING: return liquid_string(slice_of(json_string_value(from), json_string_length(from)));
    case JSON_INTEGER: return liquid_int(json_integer_value(from));
    case JSON_REAL: return (struct liquid_value){.kind = LIQUID_REAL, .real = json_real_value(from)};
    case JSON_TRUE: return (struct liquid_value){.kind = LIQUID_BOOL, .boolean = true};
    case JSON_FALSE: return (struct liquid_value){.kind = LIQUID_BOOL};
    case JSON_NULL: break;
    }
    return (struct liquid_value){.kind = LIQUID_NIL};
}

/* --- lists that filters make --- */

struct array {
    const struct liquid_value *values;
    size_t count;
};

static size_t array_size(const void *self)
{
    return ((const struct array *)self)->count;
}

static void array_item(const void *self, size_t index, struct liquid_value *value)
{
    *value = ((const struct array *)self)->values[index];
}

static const struct liquid_type array_type = {.size = array_size, .item = array_item};

struct liquid_value liquid_list(struct liquid_run *run, const struct liquid_value *values, size_t count)
{
    struct array *array = ARENA_NEW(run->context->arena, struct array);
    *array = (struct array){values, count};
    return (struct liquid_value){.kind = LIQUID_LIST, .ref = {&array_type, array}};
}

size_t liquid_size(const struct liquid_value *value)
{
    if (value->kind == LIQUID_LIST)
        return value->ref.type->size(value->ref.self);
    if (value->kind != LIQUID_STRING)
        return 0;
    size_t count = 0;
    for (struct slice rest = value->string; utf8_next(&rest) >= 0;)
        count++;
    return count;
}

void liquid_item(const struct liquid_value *list, size_t index, struct liquid_value *value)
{
    list->ref.type->item(list->ref.self, index, value);
}

/* --- what a value is, as text, number, truth --- */

bool liquid_is_truthy(const struct liquid_value *value)
{
    return value->kind != LIQUID_NIL && (value->kind != LIQUID_BOOL || value->boolean);
}

bool liquid_is_empty(const struct liquid_value *value)
{
    return (value->kind == LIQUID_STRING && !value->string.len) || (value->kind == LIQUID_LIST && !liquid_size(value));
}

bool liquid_is_blank(const struct liquid_value *value)
{
    if (value->kind != LIQUID_STRING)
        return !liquid_is_truthy(value) || liquid_is_empty(value);
    struct slice rest = value->string;
    for (int32_t c; (c = utf8_next(&rest)) >= 0;)
        if (!(c < 0x80 && ascii_is_space((char)c)) && c != 0x3000 && c != 0xa0)
            return false;
    return true;
}

double liquid_real(const struct liquid_value *number)
{
    return number->kind == LIQUID_REAL ? number->real : (double)number->integer;
}

bool liquid_number_of(const struct liquid_value *value, struct liquid_value *number)
{
    if (value->kind == LIQUID_INT || value->kind == LIQUID_REAL) {
        *number = *value;
        return true;
    }
    if (value->kind != LIQUID_STRING)
        return false;
    struct slice text = slice_trim(value->string);
    int64_t integer;
    if (slice_to_i64(text, &integer)) {
        *number = liquid_int(integer);
        return true;
    }
    char digits[40];
    if (!text.len || text.len >= sizeof(digits))
        return false;
    for (size_t i = 0; i < text.len; i++) /* strtod would take "inf", "nan" and hexadecimal too */
        if (!ascii_is_digit(text.ptr[i]) && text.ptr[i] != '.' && !(i == 0 && text.ptr[i] == '-' && text.len > 1))
            return false;
    memcpy(digits, text.ptr, text.len);
    digits[text.len] = '\0';
    char *end;
    double real = strtod(digits, &end);
    if (*end || end == digits || !isfinite(real))
        return false;
    *number = (struct liquid_value){.kind = LIQUID_REAL, .real = real};
    return true;
}

static bool text_of_list(struct liquid_run *run, const struct liquid_value *list, struct slice *text)
{
    SCOPED(buf) joined = BUF(LIQUID_OUTPUT_MAX);
    for (size_t i = 0; i < liquid_size(list); i++) {
        struct liquid_value item;
        struct slice piece;
        liquid_item(list, i, &item);
        if (item.kind == LIQUID_LIST) /* one level: a list of lists prints nothing of the inner ones */
            continue;
        if (!liquid_text_of(run, &item, &piece))
            return false;
        buf_append(&joined, piece);
    }
    char *room = liquid_room(run, joined.len);
    if (!room)
        return false;
    if (joined.len)
        memcpy(room, joined.ptr, joined.len);
    *text = slice_of(room, joined.len);
    return true;
}

bool liquid_text_of(struct liquid_run *run, const struct liquid_value *value, struct slice *text)
{
    char digits[64];
    int len = 0;
    switch (value->kind) {
    case LIQUID_STRING: *text = value->string; return true;
    case LIQUID_BOOL: *text = value->boolean ? SLICE("true") : SLICE("false"); return true;
    case LIQUID_LIST: return text_of_list(run, value, text);
    case LIQUID_NIL:
    case LIQUID_OBJECT: *text = SLICE(""); return true;
    case LIQUID_INT: len = snprintf(digits, sizeof(digits), "%lld", (long long)value->integer); break;
    case LIQUID_REAL:
        len = snprintf(digits, sizeof(digits), "%.15g", value->real);
        if (!strpbrk(digits, ".en"))
            len += snprintf(digits + len, sizeof(digits) - (size_t)len, ".0");
        break;
    }
    char *room = liquid_room(run, (size_t)len);
    if (!room)
        return false;
    memcpy(room, digits, (size_t)len);
    *text = slice_of(room, (size_t)len);
    return true;
}

/* --- comparing --- */

static bool both_numbers(const struct liquid_value *a, const struct liquid_value *b, struct liquid_value *x,
                         struct liquid_value *y)
{
    bool is_one_number =
        a->kind == LIQUID_INT || a->kind == LIQUID_REAL || b->kind == LIQUID_INT || b->kind == LIQUID_REAL;
    return is_one_number && liquid_number_of(a, x) && liquid_number_of(b, y);
}

static int order_numbers(const struct liquid_value *x, const struct liquid_value *y)
{
    if (x->kind == LIQUID_INT && y->kind == LIQUID_INT)
        return (x->integer > y->integer) - (x->integer < y->integer);
    double a = liquid_real(x), b = liquid_real(y);
    return (a > b) - (a < b);
}

bool liquid_equal(const struct liquid_value *a, const struct liquid_value *b)
{
    struct liquid_value x, y;
    if (both_numbers(a, b, &x, &y))
        return order_numbers(&x, &y) == 0;
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case LIQUID_NIL: return true;
    case LIQUID_BOOL: return a->boolean == b->boolean;
    case LIQUID_STRING: return slice_equal(a->string, b->string);
    case LIQUID_LIST:
    case LIQUID_OBJECT: return a->ref.self == b->ref.self;
    case LIQUID_INT:
    case LIQUID_REAL: break; /* compared above */
    }
    return false;
}

bool liquid_order(const struct liquid_value *a, const struct liquid_value *b, int *order)
{
    struct liquid_value x, y;
    if (both_numbers(a, b, &x, &y)) {
        *order = order_numbers(&x, &y);
        return true;
    }
    if (a->kind != LIQUID_STRING || b->kind != LIQUID_STRING)
        return false;
    *order = slice_compare(a->string, b->string);
    return true;
}

bool liquid_contains(const struct liquid_value *whole, const struct liquid_value *part)
{
    if (whole->kind == LIQUID_STRING && part->kind == LIQUID_STRING)
        return slice_find(whole->string, part->string) != SLICE_NPOS;
    if (whole->kind != LIQUID_LIST)
        return false;
    for (size_t i = 0; i < liquid_size(whole); i++) {
        struct liquid_value item;
        liquid_item(whole, i, &item);
        if (liquid_equal(&item, part))
            return true;
    }
    return false;
}
