/* embedded.h - files that live in the binary: data/ and the built console, put there by tools/embed.py
 *
 * Paths are "data/schema/0001_begin.sql", "console/index.html" (what vite wrote to console/dist; absent when the
 * console was not built). Sorted by path, bytewise. The bytes live as long as the program, and a NUL stands behind
 * them. */
#ifndef TODOKE_BASE_EMBEDDED_H
#define TODOKE_BASE_EMBEDDED_H

#include "base/slice.h"

struct embedded_file {
    struct slice path;
    const char *bytes, *end; /* end: behind the NUL */
};
/* embedded_count files, and a row with an empty path behind them. */
extern const struct embedded_file embedded_table[];
extern const size_t embedded_count;

static inline struct slice embedded_bytes(const struct embedded_file *file)
{
    return slice_of(file->bytes, (size_t)(file->end - file->bytes) - 1);
}
/* False: no such file. */
NODISCARD bool embedded_find(struct slice path, struct slice *bytes);
/* The first file whose path begins so, or NULL; the others follow it in the table. For:
 * for (f = embedded_first(SLICE("data/schema/")); f && slice_starts(f->path, SLICE("data/schema/")); f++) */
const struct embedded_file *embedded_first(struct slice prefix);

#endif
