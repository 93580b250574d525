/* buf.h - bytes that we own, born with a ceiling
 *
 * Appending past the ceiling appends nothing and sticks: every later append does nothing either; ask once at the end
 * with buf_ok(). A zeroed buf has no ceiling yet and must be given one by buf_init before use. Not NUL-terminated. */
#ifndef TODOKE_BASE_BUF_H
#define TODOKE_BASE_BUF_H

#include "base/memory.h"
#include "base/slice.h"
#include <stdarg.h>

struct buf {
    char *ptr;
    size_t len;
    size_t room;  /* bytes allocated, less one kept for buf_cstr's NUL */
    size_t limit; /* ceiling for len, bytes */
    bool is_over; /* an append went past the ceiling */
};

#define BUF(limit_bytes)                                                                                               \
    {                                                                                                                  \
        NULL, 0, 0, (limit_bytes), false                                                                               \
    }

static inline void buf_init(struct buf *buf, size_t limit_bytes)
{
    *buf = (struct buf)BUF(limit_bytes);
}
void buf_release(struct buf *buf);
/* Empty it, forget an overflow, keep the memory. */
void buf_reset(struct buf *buf);

static inline bool buf_ok(const struct buf *buf)
{
    return !buf->is_over;
}
static inline struct slice buf_slice(const struct buf *buf)
{
    return slice_of(buf->ptr, buf->len);
}

/* Make room for `len` more bytes and point at it; NULL past the ceiling. Commit them with buf_advance. */
char *buf_reserve_slow(struct buf *buf, size_t len);
static inline char *buf_reserve(struct buf *buf, size_t len)
{
    if (len <= buf->room - buf->len && !buf->is_over)
        return buf->len ? buf->ptr + buf->len : buf->ptr; /* NULL + 0 is undefined */
    return buf_reserve_slow(buf, len);
}
static inline void buf_advance(struct buf *buf, size_t len)
{
    buf->len += len;
}
static inline void buf_append(struct buf *buf, struct slice s)
{
    char *to = buf_reserve(buf, s.len);
    if (to && s.len) {
        memcpy(to, s.ptr, s.len);
        buf->len += s.len;
    }
}
static inline void buf_byte(struct buf *buf, char c)
{
    char *to = buf_reserve(buf, 1);
    if (to) {
        *to = c;
        buf->len++;
    }
}
#define buf_text(buf, literal) buf_append((buf), SLICE(literal))
static inline void buf_str(struct buf *buf, const char *text)
{
    buf_append(buf, slice_str(text));
}
void buf_u64(struct buf *buf, uint64_t number);
void buf_i64(struct buf *buf, int64_t number);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);

/* Drop the first `len` bytes (moves the rest to the front). */
void buf_consume(struct buf *buf, size_t len);
/* Put a NUL behind the bytes (not counted in len) and give them as a C string; "" past the ceiling. */
const char *buf_cstr(struct buf *buf);

#endif
