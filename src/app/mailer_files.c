/* mailer_files.c - {{ file["catalog.pdf"] }}: the brand's newest file of that name, read again each second
 *
 * Names may come out of a recipient's data; so what a thread remembers is bounded: at FILES_KNOWN it forgets all. */
#include "app/mailer_inside.h"

#include "hosted/hosted.h"

void known_files_release(struct mailer_thread *thread)
{
    map_release(&thread->files);
    arena_release(&thread->files_arena);
}

bool mailer_find_file(void *files, struct slice name, struct content_link *link, struct fault *why)
{
    const struct mailer_files *of = files;
    struct mailer_thread *thread = of->thread;
    SCOPED(buf) key = BUF(HOSTED_NAME_MAX + 32);
    SCOPED(arena) arena = {0};
    if (!name.len || name.len > HOSTED_NAME_MAX)
        return false;
    buf_printf(&key, "%llu/", (unsigned long long)of->brand_id);
    buf_append(&key, name);
    struct known_file *known = map_get(&thread->files, buf_slice(&key));
    if (!known || of->now - known->read_at >= MAILER_CACHE_MS || (known->is_there && known->link.expires <= of->now)) {
        struct hosted_file file;
        bool found;
        if (!hosted_find_name(thread->reader, why, of->brand_id, name, of->now, &arena, &file, &found))
            return false;
        if (!known && thread->files.count >= FILES_KNOWN)
            known_files_release(thread);
        if (!known) {
            known = ARENA_NEW(&thread->files_arena, struct known_file);
            known->link.name = arena_copy(&thread->files_arena, name);
            map_set(&thread->files, arena_copy(&thread->files_arena, buf_slice(&key)), known);
        }
        known->read_at = of->now;
        known->is_there = found;
        known->link.file_id = found ? file.id : 0;
        known->link.size_bytes = found ? file.body.size_bytes : 0;
        known->link.expires = found ? file.expires : 0;
    }
    *link = known->link;
    return known->is_there;
}
