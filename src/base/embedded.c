#include "base/embedded.h"

/* The first file whose path is not before `path`. */
static const struct embedded_file *lower_bound(struct slice path)
{
    size_t from = 0, to = embedded_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (slice_compare(embedded_table[middle].path, path) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return &embedded_table[from];
}

bool embedded_find(struct slice path, struct slice *bytes)
{
    const struct embedded_file *file = lower_bound(path);
    if (slice_is_empty(path) || !slice_equal(file->path, path))
        return false;
    *bytes = embedded_bytes(file);
    return true;
}

const struct embedded_file *embedded_first(struct slice prefix)
{
    const struct embedded_file *file = lower_bound(prefix);
    return !slice_is_empty(file->path) && slice_starts(file->path, prefix) ? file : NULL;
}
