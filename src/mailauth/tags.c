#include "mailauth/tags.h"

const struct tag *tags_find(const struct tags *tags, const char *name)
{
    for (size_t i = 0; i < tags->count; i++)
        if (slice_equal(tags->tag[i].name, slice_str(name)))
            return &tags->tag[i];
    return NULL;
}

struct slice tags_value(const struct tags *tags, const char *name, struct slice otherwise)
{
    const struct tag *tag = tags_find(tags, name);
    return tag ? tag->value : otherwise;
}

static bool is_name(struct slice name)
{
    if (!name.len || !ascii_is_alpha(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '_')
            return false;
    return true;
}

bool tags_read(struct slice text, struct tags *tags)
{
    struct slice rest = text, piece;
    tags->count = 0;
    while (slice_split(&rest, ';', &piece)) {
        if (!slice_trim(piece).len && !rest.ptr)
            break; /* the last ";" may stand alone */
        ptrdiff_t equals = slice_find_byte(piece, '=');
        struct slice name = slice_trim(slice_head(piece, equals == SLICE_NPOS ? 0 : (size_t)equals));
        if (equals == SLICE_NPOS || !is_name(name) || tags->count == TAGS_MAX)
            return false;
        for (size_t i = 0; i < tags->count; i++)
            if (slice_equal(tags->tag[i].name, name))
                return false;
        struct slice raw = slice_from(piece, (size_t)equals + 1);
        tags->tag[tags->count++] = (struct tag){name, slice_trim(raw), raw};
    }
    return tags->count > 0;
}

bool list_holds(struct slice list, char separator, struct slice word)
{
    struct slice piece;
    while (slice_split(&list, separator, &piece))
        if (slice_equal_caseless(slice_trim(piece), word))
            return true;
    return false;
}
