#include "base/buf.h"

#include <assert.h>
#include <stdio.h>

void buf_release(struct buf *buf)
{
    free(buf->ptr);
    buf->ptr = NULL;
    buf->len = buf->room = 0;
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->is_over = false;
}

char *buf_reserve_slow(struct buf *buf, size_t len)
{
    assert(buf->limit > 0 && "a buf is born with a ceiling");
    if (buf->is_over || len > buf->limit - buf->len) {
        buf->is_over = true;
        return NULL;
    }
    if (len > buf->room - buf->len) {
        size_t room = buf->room ? buf->room : 64;
        while (room - buf->len < len)
            room *= 2;
        buf->room = room < buf->limit ? room : buf->limit;
        buf->ptr = memory_resize(buf->ptr, buf->room + 1, 1); /* one more for buf_cstr's NUL */
    }
    return buf->len ? buf->ptr + buf->len : buf->ptr;
}

void buf_u64(struct buf *buf, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    buf_append(buf, slice_of(digits + at, sizeof(digits) - at));
}

void buf_i64(struct buf *buf, int64_t number)
{
    if (number < 0)
        buf_byte(buf, '-');
    buf_u64(buf, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    char small[256];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, sizeof(small), format, args);
    assert(len >= 0);
    if ((size_t)len < sizeof(small)) {
        buf_append(buf, slice_of(small, (size_t)len));
    } else {
        char *big = memory_alloc((size_t)len + 1);
        vsnprintf(big, (size_t)len + 1, format, again);
        buf_append(buf, slice_of(big, (size_t)len));
        free(big);
    }
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_consume(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    if (len < buf->len)
        memmove(buf->ptr, buf->ptr + len, buf->len - len);
    buf->len -= len;
}

const char *buf_cstr(struct buf *buf)
{
    if (buf->is_over)
        return "";
    if (!buf->ptr)
        buf->ptr = memory_resize(NULL, 1, 1);
    buf->ptr[buf->len] = '\0';
    return buf->ptr;
}
