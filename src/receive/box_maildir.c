/* box_maildir.c - new/ of a Maildir: each file is kept, then moved to cur/ (or deleted)
 *
 * A delivering program puts a file into new/ only when it is whole, so what is there may be read. */
#include "base/log.h"
#include "receive/box_inside.h"

#include "base/arena.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_A_ROUND = 10000 };

static bool names_read(const struct box *box, struct arena *arena, struct slice **names, size_t *count,
                       struct fault *why)
{
    DIR *dir = opendir(arena_printf(arena, "%s/new", box->folder).ptr);
    size_t room = 0;
    *names = NULL;
    *count = 0;
    if (!dir)
        return fault_errno(why, "%s/new", box->folder);
    for (const struct dirent *entry; *count < FILES_A_ROUND && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        if (*count == room) {
            room = room ? room * 2 : 64;
            struct slice *wider = ARENA_ARRAY(arena, struct slice, room);
            if (*count)
                memcpy(wider, *names, *count * sizeof(*wider));
            *names = wider;
        }
        (*names)[(*count)++] = arena_copy(arena, slice_str(entry->d_name));
    }
    closedir(dir);
    return true;
}

/* False without a fault (kind NONE): it is gone, or no file; go on with the next. */
static bool file_take(const char *path, struct buf *bytes, struct box_mail *mail, struct fault *why)
{
    struct stat st;
    why->kind = FAULT_NONE;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno != ENOENT && errno != ELOOP && fault_errno(why, "%s", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return false;
    }
    mail->is_too_large = st.st_size > BOX_MAIL_MAX;
    buf_reset(bytes);
    bool ok = true;
    while (ok && !mail->is_too_large) {
        char *room = buf_reserve(bytes, 65536);
        ssize_t got = room ? read(fd, room, 65536) : -1;
        mail->is_too_large = !room;
        ok = got >= 0 || !room || fault_errno(why, "%s", path);
        if (got <= 0)
            break;
        buf_advance(bytes, (size_t)got);
    }
    close(fd);
    mail->bytes = mail->is_too_large ? SLICE("") : buf_slice(bytes);
    return ok;
}

/* To cur/, seen; or away. */
static bool file_finish(const struct box *box, struct slice name, const char *path, bool is_left, struct arena *arena,
                        struct fault *why)
{
    if (box->deletes && !is_left)
        return unlink(path) == 0 || errno == ENOENT || fault_errno(why, "%s", path);
    struct slice to = arena_printf(arena, "%s/cur/%.*s%s", box->folder, SLICE_ARG(name),
                                   slice_find(name, SLICE(":2,")) >= 0 ? "" : ":2,S");
    return rename(path, to.ptr) == 0 || errno == ENOENT || fault_errno(why, "%s", to.ptr);
}

bool maildir_collect(struct box *box, const struct box_owner *owner, uint64_t *count, struct fault *why)
{
    SCOPED(arena) arena = {0};
    SCOPED(buf) bytes = BUF((size_t)BOX_MAIL_MAX + 65536);
    struct slice *names;
    size_t found;
    *count = 0;
    if (!names_read(box, &arena, &names, &found, why))
        return false;
    if (!owner) {
        *count = found;
        return true;
    }
    enum box_mark *marks = ARENA_ARRAY(&arena, enum box_mark, found + 1);
    if (!owner->listed(owner->self, names, found, marks, why))
        return false;
    for (size_t i = 0; i < found && !*owner->is_stopping; i++) {
        struct slice path = arena_printf(&arena, "%s/new/%.*s", box->folder, SLICE_ARG(names[i]));
        struct box_mail mail = {.uid = names[i]};
        if (!file_take(path.ptr, &bytes, &mail, why)) {
            if (why->kind != FAULT_NONE)
                return false;
            continue;
        }
        if (marks[i] == BOX_NEW) {
            if (!owner->keep(owner->self, box, &mail, why))
                return false;
            ++*count;
        }
        if (!file_finish(box, names[i], path.ptr, mail.is_too_large, &arena, why))
            return false;
    }
    return true;
}
