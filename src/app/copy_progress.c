#include "app/copy_progress.h"

#include "hosted/name.h"
#include <stdio.h>
#include <unistd.h>

static void show(struct backup_watch *watch, uint64_t rows, uint64_t octets)
{
    struct copy_progress *progress = (struct copy_progress *)watch;
    SCOPED(buf) line = BUF(200);
    buf_printf(&line, "%s: %llu rows, ", progress->doing, (unsigned long long)rows);
    hosted_size_print(octets, &line);
    if (progress->size)
        buf_printf(&line, ", %u %%", (unsigned)(octets * 100 / progress->size));
    fprintf(stderr, "\r%.*s  ", SLICE_ARG(buf_slice(&line)));
    progress->has_printed = true;
}

struct backup_watch *copy_progress_begin(struct copy_progress *progress, const char *doing, uint64_t size)
{
    *progress = (struct copy_progress){.watch.progress = show, .size = size, .doing = doing};
    return isatty(STDERR_FILENO) ? &progress->watch : NULL;
}

void copy_progress_end(struct copy_progress *progress)
{
    if (progress->has_printed)
        fputs("\r\033[K", stderr);
}
