#include "app/mailbox.h"

#include "base/arena.h"
#include "base/buf.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
    mailbox_taker *take;
    void *context;
    struct fault *why;
};

/* "From sender Thu Oct 13 15:22:22 2015": a time of day is what tells it from a sentence. */
static bool is_separator(struct slice rest)
{
    if (!slice_starts(rest, SLICE("From ")))
        return false;
    const char *end = memchr(rest.ptr, '\n', rest.len);
    struct slice line = slice_head(rest, end ? (size_t)(end - rest.ptr) : rest.len);
    for (size_t i = 5; i + 5 < line.len && line.len < 400; i++)
        if (line.ptr[i] == ':' && ascii_is_digit(line.ptr[i - 1]) && ascii_is_digit(line.ptr[i + 1]))
            return true;
    return false;
}

/* Where the next mail of an mbox begins, from `at` on (inside the first mail); the length of the text when nowhere. */
static size_t separator_next(struct slice text, size_t at)
{
    for (;;) {
        ptrdiff_t found = slice_find_pair(slice_from(text, at), "\nF");
        if (found < 0)
            break;
        size_t line = at + (size_t)found + 1;
        bool is_after_blank = line >= 2 && (text.ptr[line - 2] == '\n' ||
                                            (line >= 4 && text.ptr[line - 2] == '\r' && text.ptr[line - 3] == '\n'));
        if (is_after_blank && is_separator(slice_from(text, line)))
            return line;
        at = line;
    }
    return text.len;
}

static bool is_mbox(struct slice text)
{
    return slice_starts(text, SLICE("From "));
}

/* All mails of a text that lies in memory. With `release`, pages that were read are given back now and then. */
static bool text_walk(struct walk *w, struct slice file, struct slice text, bool release)
{
    enum { RELEASE_BYTES = 4 << 20 };
    if (!is_mbox(text))
        return w->take(w->context, file, 0, text);
    size_t number = 0, at = 0, released = 0;
    while (at < text.len) {
        size_t next = separator_next(text, at + 5);
        if (!w->take(w->context, file, number++, slice_of(text.ptr + at, next - at)))
            return false;
        at = next;
        if (release && at - released > RELEASE_BYTES) {
            size_t until = at & ~(size_t)4095;
            madvise((void *)(uintptr_t)(text.ptr + released), until - released, MADV_DONTNEED);
            released = until;
        }
    }
    return true;
}

static bool stream_walk(struct walk *w, struct slice file, int fd)
{
    SCOPED(buf) held = BUF(MAILBOX_MAIL_MAX);
    size_t number = 0, searched = 0;
    bool is_over = false, is_first = true, has_many = false;
    while (!is_over) {
        enum { CHUNK = 1 << 18 };
        char *room = buf_reserve(&held, CHUNK);
        if (!room)
            return fault_set(w->why, FAULT_LIMIT, "stdin: a mail is longer than %d MB", MAILBOX_MAIL_MAX >> 20);
        ssize_t got = read(fd, room, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_errno(w->why, "stdin");
        is_over = got == 0;
        buf_advance(&held, (size_t)got);
        if (is_first && held.len >= 5) {
            has_many = is_mbox(buf_slice(&held));
            is_first = false;
        }
        if (!has_many && !is_over)
            continue;
        size_t at = 0;
        while (at < held.len) {
            struct slice text = buf_slice(&held);
            size_t next = has_many ? separator_next(text, searched > at + 5 ? searched : at + 5) : text.len;
            if (next == text.len && !is_over) {
                searched = text.len > 400 ? text.len - 400 : 0;
                searched = searched > at ? searched - at : 0;
                break;
            }
            searched = 0;
            if (!w->take(w->context, file, number++, slice_of(text.ptr + at, next - at)))
                return false;
            at = next;
        }
        buf_consume(&held, at);
    }
    return true;
}

static bool file_walk(struct walk *w, struct slice name, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        if (fd >= 0)
            close(fd);
        fault_errno(w->why, "%s", path);
        w->why->kind = errno == ENOENT ? FAULT_INPUT : FAULT_WORLD;
        return false;
    }
    enum { SMALL = 1 << 20 };
    bool ok = true;
    if (!S_ISREG(st.st_mode)) {
        ok = stream_walk(w, name, fd);
    } else if (st.st_size == 0) {
        ok = w->take(w->context, name, 0, SLICE(""));
    } else if (st.st_size <= SMALL) { /* reading is cheaper than mapping */
        char *text = memory_alloc((size_t)st.st_size);
        ssize_t got = read(fd, text, (size_t)st.st_size);
        ok = got < 0 ? fault_errno(w->why, "%s", path) : text_walk(w, name, slice_of(text, (size_t)got), false);
        free(text);
    } else {
        void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (text == MAP_FAILED) {
            ok = fault_errno(w->why, "%s", path);
        } else {
            madvise(text, (size_t)st.st_size, MADV_SEQUENTIAL);
            ok = text_walk(w, name, slice_of(text, (size_t)st.st_size), true);
            munmap(text, (size_t)st.st_size);
        }
    }
    close(fd);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The regular files of a directory, in order of name. `below` goes before their names. */
static bool directory_walk(struct walk *w, const char *directory, const char *below)
{
    DIR *open = opendir(directory);
    if (!open)
        return fault_errno(w->why, "%s", directory);
    struct arena arena = {0};
    size_t count = 0, room = 0;
    char **names = NULL;
    struct dirent *entry;
    while ((entry = readdir(open))) {
        if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
            continue;
        if (count == room) {
            room = room ? room * 2 : 256;
            names = memory_resize(names, room, sizeof(*names));
        }
        names[count++] = arena_str(&arena, slice_str(entry->d_name));
    }
    closedir(open);
    if (count)
        qsort(names, count, sizeof(*names), by_name);
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        struct slice path = arena_printf(&arena, "%s/%s", directory, names[i]);
        ok = file_walk(w, arena_printf(&arena, "%s%s", below, names[i]), path.ptr);
    }
    free(names);
    arena_release(&arena);
    return ok;
}

bool mailbox_walk(const char *path, mailbox_taker *take, void *context, struct fault *why)
{
    struct walk w = {take, context, why};
    *why = (struct fault){0};
    struct stat st;
    if (slice_equal(slice_str(path), SLICE("-")))
        return stream_walk(&w, SLICE("-"), STDIN_FILENO);
    if (stat(path, &st) < 0)
        return fault_set(why, FAULT_INPUT, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return file_walk(&w, slice_str(path), path);
    struct arena arena = {0};
    static const char *const below[] = {"cur", "new"};
    bool is_maildir = false, ok = true;
    for (size_t i = 0; i < COUNT_OF(below) && ok; i++) {
        struct slice folder = arena_printf(&arena, "%s/%s", path, below[i]);
        if (stat(folder.ptr, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        is_maildir = true;
        ok = directory_walk(&w, folder.ptr, arena_printf(&arena, "%s/", below[i]).ptr);
    }
    if (!is_maildir)
        ok = directory_walk(&w, path, "");
    arena_release(&arena);
    return ok;
}
