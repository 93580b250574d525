/* file.h - whole files, read and written */
#ifndef TODOKE_BASE_FILE_H
#define TODOKE_BASE_FILE_H

#include "base/buf.h"
#include "base/fault.h"

/* INPUT: it cannot be read, or is larger than `most` octets. Gives `out` that ceiling. */
NODISCARD bool file_read(const char *path, size_t most, struct buf *out, struct fault *why);

/* Names that were made or changed in the folder where `path` stands survive a power cut from here on. Nothing is done
 * where the folder may not be read, or is not on a disk. WORLD. */
NODISCARD bool file_folder_sync(const char *path, struct fault *why);

/* Write a whole file anew. WORLD. */
NODISCARD bool file_write(const char *path, struct slice bytes, struct fault *why);

#endif
