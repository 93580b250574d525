/* data_files.h - knowledge as data: the files that the binary carries, and those that an operator keeps in a folder
 *
 * First every .yaml file of the binary, then every one of the folder, each in the order of its name. A folder that
 * is not there is fine; one that cannot be read is not. */
#ifndef TODOKE_BASE_DATA_FILES_H
#define TODOKE_BASE_DATA_FILES_H

#include "base/arena.h"
#include "base/fault.h"

struct data_files {
    struct slice carried; /* "data/sites/" */
    const char *folder;   /* NULL or "": none */
    const char *what;     /* for faults: "site rules" */
    size_t most_bytes;    /* of one file of the folder */
    struct arena *arena;  /* paths live there */
    /* False stops, with its fault. */
    bool (*read)(void *owner, const char *path, struct slice text, bool is_operators, struct fault *why);
    void *owner;
};

/* INPUT: the folder or a file in it cannot be read, more than 1000 files, or what `read` says. */
NODISCARD bool data_files_read(const struct data_files *files, struct fault *why);

#endif
