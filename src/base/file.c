#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

bool file_read(const char *path, size_t most, struct buf *out, struct fault *why)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fault_errno(why, "%s", path);
        why->kind = errno == ENOMEM || errno == EMFILE || errno == ENFILE ? FAULT_WORLD : FAULT_INPUT;
        return false;
    }
    enum { CHUNK = 65536 };
    buf_init(out, most + 1); /* one more, so that a file of exactly `most` is told from a larger one */
    while (out->len <= most) {
        size_t room = most + 1 - out->len < CHUNK ? most + 1 - out->len : CHUNK;
        size_t got = fread(buf_reserve(out, room), 1, room, file);
        buf_advance(out, got);
        if (got == 0)
            break;
    }
    bool ok = !ferror(file) && out->len <= most;
    fclose(file);
    return ok || fault_set(why, FAULT_INPUT, "%s: cannot be read, or is over %zu bytes", path, most);
}

bool file_folder_sync(const char *path, struct fault *why)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = !slash ? snprintf(folder, sizeof(folder), ".")
                     : snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int file = len < (int)sizeof(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (file < 0)
        return true;
    bool ok = fsync(file) == 0 || errno == EINVAL || errno == EROFS || fault_errno(why, "%s", folder);
    close(file);
    return ok;
}

bool file_write(const char *path, struct slice bytes, struct fault *why)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return fault_errno(why, "%s", path);
    bool ok = fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len;
    ok &= fclose(file) == 0;
    return ok ? true : fault_errno(why, "%s", path);
}
