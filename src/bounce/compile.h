/* compile.h - turn the YAML of data/bounce and data/words into a blob (private to bounce/ and its build tool)
 *
 * The first file named fallback.yaml, reasons.yaml, ja.yaml and en.yaml is taken for what its name says; every other
 * one is a provider's (general.yaml: everybody's). Order of files does not matter, except that an operator's own file
 * with the name of a known provider is an error (ids must be unique). Faults name file and line. */
#ifndef TODOKE_BOUNCE_COMPILE_H
#define TODOKE_BOUNCE_COMPILE_H

#include "base/buf.h"
#include "base/fault.h"

struct compile_file {
    const char *path;
    struct slice text;
};

enum { COMPILE_BLOB_MAX = 64 << 20 };

struct blob;
/* `blob` must have a ceiling of COMPILE_BLOB_MAX. `base` is NULL for the whole set, or the blob whose reasons an
 * operator's own provider files refer to. */
NODISCARD bool rules_compile(const struct compile_file *files, size_t count, const struct blob *base, struct buf *blob,
                             struct fault *why);

/* The database for the keys of a blob, serialised, for this very machine: where the embedded one does not fit. */
NODISCARD bool rules_database(const struct blob *blob, struct buf *bytes, struct fault *why);

#endif
