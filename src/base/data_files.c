#include "base/data_files.h"

#include "base/embedded.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MOST = 1000 };

static bool is_data(struct slice name)
{
    return name.len && name.ptr[0] != '.' && slice_ends(name, SLICE(".yaml"));
}

static bool read_carried(const struct data_files *files, struct fault *why)
{
    for (const struct embedded_file *file = embedded_first(files->carried);
         file && slice_starts(file->path, files->carried); file++)
        if (is_data(file->path) &&
            !files->read(files->owner, arena_str(files->arena, file->path), embedded_bytes(file), false, why))
            return false;
    return true;
}

static bool read_one(const struct data_files *files, const char *path, struct fault *why)
{
    SCOPED(buf) text = {0};
    return file_read(path, files->most_bytes, &text, why) &&
           files->read(files->owner, path, buf_slice(&text), true, why);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool read_folder(const struct data_files *files, struct fault *why)
{
    DIR *folder = opendir(files->folder);
    if (!folder && errno == ENOENT)
        return true;
    if (!folder)
        return fault_errno(why, "the folder of %s, %s", files->what, files->folder) || (why->kind = FAULT_INPUT, false);
    const char *paths[FILES_MOST];
    size_t count = 0;
    bool has_more = false;
    for (struct dirent *entry; !has_more && (entry = readdir(folder));)
        if (is_data(slice_str(entry->d_name))) {
            has_more = count == FILES_MOST;
            if (!has_more)
                paths[count++] = arena_printf(files->arena, "%s/%s", files->folder, entry->d_name).ptr;
        }
    closedir(folder);
    if (has_more)
        return fault_set(why, FAULT_INPUT, "the folder of %s, %s: more than %d files", files->what, files->folder,
                         FILES_MOST);
    qsort(paths, count, sizeof(*paths), by_text);
    for (size_t i = 0; i < count; i++)
        if (!read_one(files, paths[i], why))
            return false;
    return true;
}

bool data_files_read(const struct data_files *files, struct fault *why)
{
    return read_carried(files, why) && (!files->folder || !files->folder[0] || read_folder(files, why));
}
