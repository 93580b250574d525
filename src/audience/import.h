/* import.h - a CSV file of people into a list (U19)
 *
 * The whole file is read once before anything is written: a wrong encoding, a missing address column or a broken row is
 * a fault INPUT that names the line and the cure, and nothing has been done then. Rows that are sound as CSV but not as
 * people (no address, an impossible one, more fields than columns) are left out, each written with its line and reason
 * into a reject file that can be corrected and imported again. Runs in batches, each with the run's progress in its
 * transaction (table import_run): the same file into the same list after a crash goes on where it stopped. Beside a
 * server on SQLite, where one writes at a time, batches take some 15 ms (IMPORT_BATCH_BESIDE rows at most), and the
 * server has its turn after each.
 *
 * Memory: two batches of at most IMPORT_BATCH rows or some 4 MB, whatever the file's size; pages of the file are let go
 * behind the reader.
 *
 * Columns are found by their names, Japanese or English (メールアドレス, email, 氏名, 姓, 名, name ...); all others
 * become the contact's fields under their own names. */
#ifndef TODOKE_AUDIENCE_IMPORT_H
#define TODOKE_AUDIENCE_IMPORT_H

#include "audience/contact.h"

struct import_columns { /* indexes into the header; -1: there is none */
    int email, name, family_name, given_name, consent;
};

struct import_progress {
    uint64_t rows, total; /* people looked at, and in the file */
    uint64_t fresh, updated, rejected;
};
struct import_options {
    const char *path;          /* how faults call it */
    int file;                  /* open already, with `path` only its name; 0: the path is opened */
    struct slice encoding;     /* "" or "auto": detected */
    struct slice email_column; /* "" : by its name; else the header's text */
    struct slice list_name;    /* made when there is none */
    uint64_t brand_id;         /* of the list */
    bool is_brands_own;        /* whom the brand does not know becomes a contact of its own (contact_belong) */
    struct slice consent;      /* for all rows that say nothing of their own (L2) */
    const char *reject_path;   /* NULL: path + ".rejected.csv" */
    time_ms now;
    bool checks_only; /* read, map, count, find bad rows; write nothing */
    void (*progress)(void *context, const struct import_progress *progress); /* after each batch; may be NULL */
    void *context;
};

enum { IMPORT_REJECTS_SHOWN = 5, IMPORT_BATCH = 10000, IMPORT_BATCH_BESIDE = 2000 };
struct import_result {
    uint64_t run_id, list_id;
    struct import_progress progress;
    uint64_t resumed_at; /* rows that an earlier run had done */
    struct slice encoding;
    char delimiter;
    struct import_columns columns;
    struct slice *headers; /* of the file; in the arena */
    size_t header_count;
    struct {
        uint64_t line;
        struct slice reason;
    } rejects[IMPORT_REJECTS_SHOWN]; /* the first ones */
    struct slice reject_path;        /* empty: no rejects */
};

/* store may be NULL when checks_only. */
NODISCARD bool import_file(struct store *store, const struct import_options *options, struct arena *arena,
                           struct import_result *result, struct fault *why);

/* Find the columns by their names. False when there is none for the address. */
bool import_columns_find(const struct slice *headers, size_t count, struct import_columns *columns);

#endif
