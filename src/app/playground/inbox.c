#include "app/playground/inbox.h"

#include "base/memory.h"
#include "base/time.h"
#include "mime/read.h"
#include <time.h>

struct inbox_entry {
    struct inbox_row row; /* texts lie behind the struct */
    struct slice mail;
    size_t bytes; /* of the whole block */
};

bool inbox_open(struct inbox *inbox, const char *path, struct fault *why)
{
    *inbox = (struct inbox){NULL};
    if (path && !(inbox->file = fopen(path, "we")))
        return fault_errno(why, "%s", path);
    inbox->ring = NEW_ARRAY(struct inbox_entry *, PLAYGROUND_INBOX_MOST);
    inbox->oldest = 1;
    return true;
}

void inbox_release(struct inbox *inbox)
{
    for (size_t i = 0; inbox->ring && i < PLAYGROUND_INBOX_MOST; i++)
        free(inbox->ring[i]);
    free(inbox->ring);
    if (inbox->file)
        fclose(inbox->file);
    *inbox = (struct inbox){NULL};
}

static struct inbox_entry **slot_of(const struct inbox *inbox, uint64_t id)
{
    return &inbox->ring[id % PLAYGROUND_INBOX_MOST];
}

static void drop_oldest(struct inbox *inbox)
{
    struct inbox_entry **slot = slot_of(inbox, inbox->oldest++);
    inbox->bytes -= (*slot)->bytes;
    free(*slot);
    *slot = NULL;
}

/* mboxrd: lines that begin with ">*From " get one ">" more; line ends are LF. */
static void append_to_file(FILE *file, const struct inbox_mail *mail)
{
    time_t seconds = (time_t)(mail->at / 1000);
    char when[32];
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", &utc);
    fprintf(file, "From %.*s %s\n",
            SLICE_ARG(slice_is_empty(mail->envelope_from) ? SLICE("MAILER-DAEMON") : mail->envelope_from), when);
    struct slice parts[] = {mail->top, mail->mail}, line;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        while (slice_line(&parts[i], &line)) {
            struct slice bare = line;
            while (slice_starts(bare, SLICE(">")))
                bare = slice_from(bare, 1);
            if (slice_starts(bare, SLICE("From ")))
                fputc('>', file);
            fwrite(line.ptr, 1, line.len, file);
            fputc('\n', file);
        }
    }
    fputc('\n', file);
}

static struct slice put(char **to, struct slice s)
{
    struct slice copy = slice_of(*to, s.len);
    if (s.len)
        memcpy(*to, s.ptr, s.len);
    *to += s.len;
    return copy;
}

void inbox_add(struct inbox *inbox, const struct inbox_mail *mail)
{
    if (inbox->file)
        append_to_file(inbox->file, mail);

    struct arena arena = {NULL};
    struct mime_mail read;
    mime_read_head(mail->mail, &arena, &read);
    struct slice from = slice_head(mime_text(mime_header(&read, 0, SLICE("From")), &arena), 500);
    struct slice subject = slice_head(mime_text(mime_header(&read, 0, SLICE("Subject")), &arena), 1000);
    size_t bytes = sizeof(struct inbox_entry) + from.len + mail->to.len + subject.len + mail->top.len + mail->mail.len;
    if (bytes <= PLAYGROUND_INBOX_BYTES_MOST / 2) {
        while (inbox->oldest <= inbox->newest && (inbox->newest - inbox->oldest + 1 >= PLAYGROUND_INBOX_MOST ||
                                                  inbox->bytes + bytes > PLAYGROUND_INBOX_BYTES_MOST))
            drop_oldest(inbox);
        struct inbox_entry *entry = memory_alloc(bytes);
        char *to = (char *)(entry + 1);
        uint64_t id = ++inbox->newest;
        struct slice from_copy = put(&to, from), to_copy = put(&to, mail->to), subject_copy = put(&to, subject);
        struct slice top = put(&to, mail->top), body = put(&to, mail->mail);
        entry->row = (struct inbox_row){.id = id,
                                        .at = mail->at,
                                        .from = from_copy,
                                        .to = to_copy,
                                        .subject = subject_copy,
                                        .is_error = mail->is_error,
                                        .label = mail->label,
                                        .size_bytes = mail->mail.len};
        entry->mail = slice_of(top.ptr, top.len + body.len);
        entry->bytes = bytes;
        inbox->bytes += bytes;
        *slot_of(inbox, id) = entry;
    }
    arena_release(&arena);
}

static void copy_row(const struct inbox_row *from, struct arena *arena, struct inbox_row *to)
{
    *to = *from;
    to->from = arena_copy(arena, from->from);
    to->to = arena_copy(arena, from->to);
    to->subject = arena_copy(arena, from->subject);
}

static bool row_matches(const struct inbox_row *row, struct slice q)
{
    return slice_is_empty(q) || slice_find_caseless(row->from, q) >= 0 || slice_find_caseless(row->to, q) >= 0 ||
           slice_find_caseless(row->subject, q) >= 0;
}

void inbox_list(const struct inbox *inbox, struct slice q, uint64_t before, unsigned limit, struct arena *arena,
                struct inbox_row **rows, size_t *count, uint64_t *next, uint64_t *total)
{
    *rows = ARENA_ARRAY(arena, struct inbox_row, limit + 1);
    *count = 0;
    *next = *total = 0;
    for (uint64_t id = inbox->newest; id >= inbox->oldest && id > 0; id--) {
        const struct inbox_row *row = &(*slot_of(inbox, id))->row;
        if (!row_matches(row, q))
            continue;
        ++*total;
        if (before && id >= before)
            continue;
        if (*count < limit)
            copy_row(row, arena, &(*rows)[(*count)++]);
        else if (*next == 0 && *count > 0)
            *next = (*rows)[*count - 1].id;
    }
}

bool inbox_get(const struct inbox *inbox, uint64_t id, struct arena *arena, struct inbox_row *row, struct slice *mail)
{
    if (id == 0 || id < inbox->oldest || id > inbox->newest)
        return false;
    const struct inbox_entry *entry = *slot_of(inbox, id);
    copy_row(&entry->row, arena, row);
    *mail = arena_copy(arena, entry->mail);
    return true;
}
