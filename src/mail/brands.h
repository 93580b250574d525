/* brands.h - whose things somebody may see: some brands, or all of them */
#ifndef TODOKE_MAIL_BRANDS_H
#define TODOKE_MAIL_BRANDS_H

#include "base/buf.h"

struct brands {
    const uint64_t *ids;
    size_t count; /* 0: every brand */
};

/* id 0 is what belongs to no brand: only those who may see all have it. */
static inline bool brands_have(const struct brands *brands, uint64_t id)
{
    for (size_t i = 0; i < brands->count; i++)
        if (id && brands->ids[i] == id)
            return true;
    return brands->count == 0;
}

/* " AND <column> IN (7, 8)" behind a WHERE; nothing for every brand. */
static inline void brands_condition(const struct brands *brands, const char *column, struct buf *sql)
{
    if (brands->count)
        buf_printf(sql, " AND %s IN (", column);
    for (size_t i = 0; i < brands->count; i++)
        buf_printf(sql, "%s%llu", i ? ", " : "", (unsigned long long)brands->ids[i]);
    if (brands->count)
        buf_byte(sql, ')');
}

#endif
