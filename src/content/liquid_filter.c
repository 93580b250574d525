#include "content/liquid_filter.h"

#include "base/utf8.h"

bool filter_keep(struct liquid_run *run, struct liquid_value *value, struct buf *made)
{
    char *room = buf_ok(made) ? liquid_room(run, made->len) : NULL;
    if (!buf_ok(made))
        return liquid_fault(run, FAULT_LIMIT, "a filter makes more than %d MB", LIQUID_OUTPUT_MAX >> 20);
    if (!room)
        return false;
    if (made->len)
        memcpy(room, made->ptr, made->len);
    *value = liquid_string(slice_of(room, made->len));
    return true;
}

bool filter_keep_safe(struct liquid_run *run, struct liquid_value *value, struct buf *made)
{
    if (!filter_keep(run, value, made))
        return false;
    value->is_safe = true;
    return true;
}

bool filter_number_of(struct liquid_run *run, const struct liquid_value *value, int64_t *number)
{
    struct liquid_value n;
    if (!liquid_number_of(value, &n))
        return liquid_fault(run, FAULT_INPUT, "this filter needs a number");
    *number = n.kind == LIQUID_INT ? n.integer
              : n.real > 1e15      ? (int64_t)1e15
              : n.real < -1e15     ? -(int64_t)1e15
                                   : (int64_t)n.real;
    return true;
}

struct slice filter_head(struct slice text, int64_t count)
{
    struct slice rest = text;
    while (count-- > 0 && utf8_next(&rest) >= 0)
        ;
    return slice_head(text, text.len - rest.len);
}

static const struct liquid_filter filters[] = {
#define FILTER(word, fewest, most) {SLICE_INIT(#word), fewest, most, filter_##word},
#include "content/liquid_filter.def"
#undef FILTER
};

const struct liquid_filter *liquid_filter_find(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (slice_equal(name, filters[i].name))
            return &filters[i];
    return NULL;
}
