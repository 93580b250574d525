#include "http/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int spool_open(struct fault *why)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder)
        folder = "/tmp";
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) { /* a file system that knows only files with names */
        char path[4096];
        int len = snprintf(path, sizeof(path), "%s/todoke-body-XXXXXX", folder);
        file = len < (int)sizeof(path) ? mkostemp(path, O_CLOEXEC) : -1;
        if (file >= 0)
            unlink(path);
    }
    if (file < 0)
        fault_errno(why, "%s", folder);
    return file;
}

bool spool_append(int file, struct slice bytes, struct fault *why)
{
    while (bytes.len) {
        ssize_t written = write(file, bytes.ptr, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fault_errno(why, "a body's file");
        bytes = slice_from(bytes, (size_t)written);
    }
    return true;
}
