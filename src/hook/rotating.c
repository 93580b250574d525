#include "hook/rotating.h"

#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = 0640, NAME_ROOM = ROTATING_PATH_MAX + 300 };

void rotating_close(struct rotating *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

static bool adopt(struct rotating *file, int fd, const char *path, struct fault *why)
{
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0) {
        fault_errno(why, "events.file %s", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    rotating_close(file);
    file->fd = fd;
    file->inode = (uint64_t)stat.st_ino;
    file->size = S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : 0;
    return true;
}

bool rotating_open(struct rotating *file, struct fault *why)
{
    return adopt(file, open(file->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, MODE), file->path, why) &&
           file_folder_sync(file->path, why);
}

/* ── making room ── */

static void name_of(const struct rotating *file, unsigned number, char name[NAME_ROOM])
{
    snprintf(name, NAME_ROOM, "%s.%u", file->path, number);
}

static bool is_there(const struct rotating *file, unsigned number)
{
    char name[NAME_ROOM];
    struct stat stat;
    name_of(file, number, name);
    return lstat(name, &stat) == 0;
}

/* PATH.1 -> PATH.2 ... up to the first gap, which an interrupted turn may have left; without one the oldest goes. */
static bool shift(const struct rotating *file, struct fault *why)
{
    char from[NAME_ROOM], to[NAME_ROOM];
    struct stat stat;
    unsigned gap = 1;
    if (lstat(file->path, &stat) != 0 || (uint64_t)stat.st_ino != file->inode)
        return true; /* moved away already, by us or by others */
    while (gap < file->keep && is_there(file, gap))
        gap++;
    for (unsigned number = gap; number > 1; number--) {
        name_of(file, number - 1, from);
        name_of(file, number, to);
        if (rename(from, to) != 0 && errno != ENOENT)
            return fault_errno(why, "events.file: %s to %s", from, to);
    }
    name_of(file, 1, to);
    if (file->keep ? rename(file->path, to) != 0 : unlink(file->path) != 0)
        return fault_errno(why, "events.file: %s to %s", file->path, file->keep ? to : "nowhere");
    return true;
}

bool rotating_turn(struct rotating *file, struct fault *why)
{
    if (!file->size_most || file->size < file->size_most)
        return true;
    return shift(file, why) && rotating_open(file, why);
}

/* ── writing ── */

bool rotating_append(struct rotating *file, struct slice bytes, size_t *done, struct fault *why)
{
    while (*done < bytes.len) {
        struct slice rest = slice_from(bytes, *done);
        ssize_t wrote = file->write ? file->write(file->fd, rest.ptr, rest.len) : write(file->fd, rest.ptr, rest.len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fault_errno(why, "events.file %s", file->path);
        *done += (size_t)wrote;
        file->size += (uint64_t)wrote;
    }
    if (fdatasync(file->fd) != 0 && errno != EINVAL && errno != EROFS) /* these: it is no file on a disk */
        return fault_errno(why, "events.file %s", file->path);
    return true;
}

/* ── after a crash ── */

static bool has_inode(struct rotating *file, const char *path, uint64_t inode)
{
    struct fault ignored;
    struct stat at;
    return stat(path, &at) == 0 && S_ISREG(at.st_mode) && (uint64_t)at.st_ino == inode &&
           adopt(file, open(path, O_RDWR | O_APPEND | O_CLOEXEC), path, &ignored);
}

bool rotating_find(struct rotating *file, uint64_t inode)
{
    char folder[NAME_ROOM], name[NAME_ROOM + 300];
    if (has_inode(file, file->path, inode))
        return true;
    snprintf(folder, sizeof(folder), "%s", file->path);
    char *slash = strrchr(folder, '/');
    const char *base = slash ? slash + 1 : file->path;
    size_t base_len = strlen(base);
    char own[NAME_ROOM];
    snprintf(own, sizeof(own), "%s", base);
    if (slash)
        *slash = '\0';
    const char *where = !slash ? "." : folder[0] ? folder : "/";
    DIR *open_folder = opendir(where);
    bool is_found = false;
    for (struct dirent *entry; open_folder && !is_found && (entry = readdir(open_folder));) {
        if (strncmp(entry->d_name, own, base_len) != 0)
            continue;
        snprintf(name, sizeof(name), "%s/%s", where, entry->d_name);
        is_found = has_inode(file, name, inode);
    }
    if (open_folder)
        closedir(open_folder);
    return is_found;
}

/* A line is a line, whatever a newer program would say in it: how much of `lines` as many of them are. */
static size_t lines_passed(struct slice lines, struct slice there)
{
    size_t passed = 0;
    for (size_t i = 0; i < there.len && passed < lines.len; i++) {
        if (there.ptr[i] != '\n')
            continue;
        ptrdiff_t end = slice_find_byte(slice_from(lines, passed), '\n');
        passed = end < 0 ? lines.len : passed + (size_t)end + 1;
    }
    return passed;
}

bool rotating_resume(struct rotating *file, uint64_t octets, struct slice lines, size_t *done, struct fault *why)
{
    *done = 0;
    if (file->size <= octets) /* nothing of it, or cut short by others */
        return true;
    uint64_t left = file->size - octets;
    if (left > lines.len) { /* others have written behind it */
        *done = lines.len;
        return true;
    }
    SCOPED(buf) tail = BUF(lines.len + 1);
    char *to = buf_reserve(&tail, (size_t)left);
    ssize_t got = to ? pread(file->fd, to, (size_t)left, (off_t)octets) : -1;
    if (got < 0)
        return fault_errno(why, "events.file %s", file->path);
    buf_advance(&tail, (size_t)got);
    struct slice there = buf_slice(&tail);
    ptrdiff_t last = slice_find_last_byte(there, '\n');
    struct slice torn = slice_from(there, (size_t)(last + 1));
    *done = lines_passed(lines, slice_head(there, (size_t)(last + 1)));
    if (!torn.len || slice_starts(slice_from(lines, *done), torn)) {
        *done += torn.len;
        return true;
    }
    if (ftruncate(file->fd, (off_t)(file->size - torn.len)) != 0)
        return fault_errno(why, "events.file %s", file->path);
    file->size -= torn.len;
    return true;
}
