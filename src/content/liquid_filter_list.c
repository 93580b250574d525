/* Filters of lists. */
#include "content/liquid_filter.h"

bool filter_size(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    *value = liquid_int((int64_t)liquid_size(value));
    return true;
}

bool filter_first(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct liquid_value list = *value;
    *value = (struct liquid_value){.kind = LIQUID_NIL};
    if (list.kind == LIQUID_LIST && liquid_size(&list))
        liquid_item(&list, 0, value);
    return true;
}

bool filter_last(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct liquid_value list = *value;
    *value = (struct liquid_value){.kind = LIQUID_NIL};
    if (list.kind == LIQUID_LIST && liquid_size(&list))
        liquid_item(&list, liquid_size(&list) - 1, value);
    return true;
}

bool filter_join(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice between = SLICE(" "), piece;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (count && !liquid_text_of(run, &args[0], &between))
        return false;
    if (value->kind != LIQUID_LIST)
        return true;
    for (size_t i = 0; i < liquid_size(value); i++) {
        struct liquid_value item;
        liquid_item(value, i, &item);
        if (!liquid_text_of(run, &item, &piece))
            return false;
        if (i)
            buf_append(&out, between);
        buf_append(&out, piece);
    }
    return filter_keep(run, value, &out);
}

/* Room for `count` values on the rendering's memory. */
static struct liquid_value *list_room(struct liquid_run *run, size_t count)
{
    if (count > LIQUID_ROUNDS_MAX) {
        liquid_fault(run, FAULT_LIMIT, "a list of more than %d", LIQUID_ROUNDS_MAX);
        return NULL;
    }
    return (struct liquid_value *)(void *)liquid_room(run, (count + 1) * sizeof(struct liquid_value));
}

bool filter_split(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice text, by;
    if (!liquid_text_of(run, value, &text) || !liquid_text_of(run, &args[0], &by))
        return false;
    size_t pieces = text.len ? 1 : 0;
    for (struct slice rest = text; rest.len;) { /* an empty separator cuts at every character */
        ptrdiff_t at = by.len ? slice_find(rest, by) : 0;
        if (at == SLICE_NPOS)
            break;
        rest = slice_from(rest, by.len ? (size_t)at + by.len : filter_head(rest, 1).len);
        pieces++;
    }
    struct liquid_value *list = list_room(run, pieces);
    if (!list)
        return false;
    size_t filled = 0;
    while (filled < pieces && (text.len || (by.len && filled))) {
        ptrdiff_t at = by.len ? slice_find(text, by) : (ptrdiff_t)filter_head(text, 1).len;
        size_t len = at == SLICE_NPOS ? text.len : (size_t)at;
        list[filled++] = liquid_string(slice_head(text, len));
        text = slice_from(text, at == SLICE_NPOS ? text.len : len + by.len);
    }
    while (filled && !list[filled - 1].string.len) /* as Ruby does: no empty ones at the end */
        filled--;
    *value = liquid_list(run, list, filled);
    return true;
}

/* A copy that may be put in another order. */
static struct liquid_value *list_copy(struct liquid_run *run, const struct liquid_value *value, size_t *count)
{
    *count = value->kind == LIQUID_LIST ? liquid_size(value) : 0;
    struct liquid_value *copy = list_room(run, *count);
    for (size_t i = 0; copy && i < *count; i++)
        liquid_item(value, i, &copy[i]);
    return copy;
}

static int sort_order(const void *a, const void *b)
{
    int order = 0;
    const struct liquid_value *x = a, *y = b;
    return liquid_order(x, y, &order) ? order : (int)x->kind - (int)y->kind;
}

bool filter_sort(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t unused)
{
    size_t count;
    struct liquid_value *copy = list_copy(run, value, &count);
    if (!copy)
        return false;
    qsort(copy, count, sizeof(*copy), sort_order);
    *value = liquid_list(run, copy, count);
    return true;
}

bool filter_reverse(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t unused)
{
    size_t count;
    struct liquid_value *copy = list_copy(run, value, &count);
    if (!copy)
        return false;
    for (size_t i = 0; i < count / 2; i++) {
        struct liquid_value swap = copy[i];
        copy[i] = copy[count - 1 - i];
        copy[count - 1 - i] = swap;
    }
    *value = liquid_list(run, copy, count);
    return true;
}

bool filter_uniq(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t unused)
{
    size_t count, kept = 0;
    struct liquid_value *copy = list_copy(run, value, &count);
    if (!copy)
        return false;
    if (count > 1000)
        return liquid_fault(run, FAULT_LIMIT, "uniq takes at most 1000 items");
    for (size_t i = 0; i < count; i++) {
        bool is_seen = false;
        for (size_t j = 0; j < kept && !is_seen; j++)
            is_seen = liquid_equal(&copy[i], &copy[j]);
        if (!is_seen)
            copy[kept++] = copy[i];
    }
    *value = liquid_list(run, copy, kept);
    return true;
}

/* slice: offset, length in characters, or in items of a list. */
bool filter_slice(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    int64_t from = 0, length = 1;
    if (!filter_number_of(run, &args[0], &from) || (count > 1 && !filter_number_of(run, &args[1], &length)))
        return false;
    if (value->kind == LIQUID_LIST) {
        size_t size;
        struct liquid_value *copy = list_copy(run, value, &size);
        if (!copy)
            return false;
        from = from < 0 ? from + (int64_t)size : from;
        if (from < 0 || from > (int64_t)size || length < 0)
            from = length = 0;
        int64_t left = (int64_t)size - from;
        *value = liquid_list(run, copy + from, (size_t)(length < left ? length : left));
        return true;
    }
    struct slice text;
    if (!liquid_text_of(run, value, &text))
        return false;
    struct liquid_value whole = liquid_string(text);
    if (from < 0)
        from += (int64_t)liquid_size(&whole);
    text = from < 0 ? slice_head(text, 0) : slice_from(text, filter_head(text, from).len);
    *value = liquid_string(filter_head(text, length));
    return true;
}
