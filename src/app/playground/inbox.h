/* inbox.h - what receivers took, and the error mail that went to us: the newest in memory, all of it in a file
 *
 * Belongs to the playground's loop. Bounded by PLAYGROUND_INBOX_MOST mails and PLAYGROUND_INBOX_BYTES_MOST octets: the
 * oldest go first. */
#ifndef TODOKE_APP_PLAYGROUND_INBOX_H
#define TODOKE_APP_PLAYGROUND_INBOX_H

#include "app/playground.h"
#include <stdio.h>

struct inbox_entry;
struct inbox {
    struct inbox_entry **ring; /* id % PLAYGROUND_INBOX_MOST */
    uint64_t newest, oldest;   /* ids; newest 0: empty */
    size_t bytes;
    FILE *file; /* mboxrd; NULL: none */
};

/* WORLD: the file cannot be written. */
NODISCARD bool inbox_open(struct inbox *inbox, const char *path, struct fault *why);
void inbox_release(struct inbox *inbox);

struct inbox_mail {
    time_ms at;
    struct slice envelope_from, to;
    struct slice top;  /* header lines put in front of the mail, CRLF */
    struct slice mail; /* as received */
    bool is_error;
    struct slice label; /* lives longer than the inbox */
};
/* Copies. */
void inbox_add(struct inbox *inbox, const struct inbox_mail *mail);
/* As the functions of playground.h. */
void inbox_list(const struct inbox *inbox, struct slice q, uint64_t before, unsigned limit, struct arena *arena,
                struct inbox_row **rows, size_t *count, uint64_t *next, uint64_t *total);
NODISCARD bool inbox_get(const struct inbox *inbox, uint64_t id, struct arena *arena, struct inbox_row *row,
                         struct slice *mail);

#endif
