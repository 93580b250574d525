/* import_inside.h - one import under way, for import.c and import_read.c */
#ifndef TODOKE_AUDIENCE_IMPORT_INSIDE_H
#define TODOKE_AUDIENCE_IMPORT_INSIDE_H

#include "audience/csv.h"
#include "audience/import.h"
#include "audience/mapped.h"

#include <stdio.h>

enum { IMPORT_SHA_BYTES = 32, IMPORT_FORGET_ROWS = 50000 };

struct import {
    struct store *store;
    const struct import_options *options;
    struct import_result *result;
    struct arena *arena; /* the result's */
    struct mapped file;
    struct csv *csv;
    struct slice *headers;
    size_t header_count;
    unsigned char sha256[IMPORT_SHA_BYTES];
    FILE *rejects;
    size_t batch_most; /* rows: IMPORT_BATCH, or less beside a server */
};

/* import_read.c - what stands in the file */

/* The columns' names, and which of them are the person's. */
NODISCARD bool import_header_read(struct import *import, struct fault *why);
/* Every record once: everything that would be a fault later is one now. */
NODISCARD bool import_check(struct import *import, struct fault *why);
/* A person, or why there is none in this row. */
NODISCARD bool import_contact_of(const struct import *import, const struct csv_record *record, struct arena *arena,
                                 struct contact *contact, struct slice *reason);

#endif
