#include "app/inert.h"

#include "base/utf8.h"
#include <stdio.h>
#include <unistd.h>

enum { CODE_POINT_MOST = 4 };

struct outlet {
    struct buf kept; /* the beginning of a code point whose end comes with the next write */
};

/* May these bytes be the beginning of one? */
static bool is_begun(struct slice s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
    return s.len < len && s.len < CODE_POINT_MOST;
}

static bool write_all(struct slice s)
{
    while (s.len) {
        ssize_t n = write(STDOUT_FILENO, s.ptr, s.len);
        if (n <= 0)
            return false;
        s = slice_from(s, (size_t)n);
    }
    return true;
}

size_t inert_take(struct buf *out, struct slice s)
{
    size_t len = s.len;
    while (s.len && !is_begun(s)) {
        int32_t c = utf8_next(&s);
        if (c == '\n' || c == '\t' || utf8_is_inert(c))
            utf8_append(out, (uint32_t)c);
        else
            buf_printf(out, "\\u%04x", (unsigned)c);
    }
    return len - s.len;
}

static ssize_t outlet_write(void *context, const char *ptr, size_t size)
{
    struct outlet *outlet = context;
    SCOPED(buf) all = BUF(size + CODE_POINT_MOST);
    SCOPED(buf) out = BUF((size + CODE_POINT_MOST) * 6);
    buf_append(&all, buf_slice(&outlet->kept));
    buf_append(&all, slice_of(ptr, size));
    size_t taken = inert_take(&out, buf_slice(&all));
    outlet->kept.len = 0;
    buf_append(&outlet->kept, slice_from(buf_slice(&all), taken));
    return write_all(buf_slice(&out)) ? (ssize_t)size : -1;
}

void inert_stdout(void)
{
    static struct outlet outlet = {.kept = BUF(CODE_POINT_MOST)};
    FILE *file = fopencookie(&outlet, "w", (cookie_io_functions_t){.write = outlet_write});
    if (!file)
        return;
    setvbuf(file, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, 1 << 16);
    stdout = file;
}
