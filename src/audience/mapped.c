#include "audience/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool mapped_open(struct mapped *mapped, const char *path, int given, struct fault *why)
{
    int file = given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    *mapped = (struct mapped){0};
    if (file < 0)
        return fault_set(why, FAULT_INPUT, "%s: %s", path, strerror(errno));
    void *bytes = NULL;
    bool ok = fstat(file, &info) == 0 && S_ISREG(info.st_mode);
    if (!ok)
        fault_set(why, FAULT_INPUT, "%s: not a file", path);
    else if (info.st_size == 0)
        ok = fault_set(why, FAULT_INPUT, "%s: the file is empty", path);
    else
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (ok && bytes == MAP_FAILED)
        ok = fault_errno(why, "%s", path);
    close(file);
    if (ok)
        mapped->bytes = slice_of(bytes, (size_t)info.st_size);
    return ok;
}

void mapped_forget(const struct mapped *mapped, struct slice ahead)
{
    enum { PAGES = 1 << 16 }; /* whole pages, of any size that machines have */
    size_t len = (size_t)(ahead.ptr - mapped->bytes.ptr) / PAGES * PAGES;
    if (len)
        madvise((void *)(uintptr_t)mapped->bytes.ptr, len, MADV_DONTNEED);
}

void mapped_close(struct mapped *mapped)
{
    if (mapped->bytes.len)
        munmap((void *)(uintptr_t)mapped->bytes.ptr, mapped->bytes.len);
    *mapped = (struct mapped){0};
}
