/* unpack.h - one file out of a gz or zip, or the bytes themselves; bounded (X10)
 *
 * By what the bytes are, never by a name. Of a zip the first file is taken whose content looks like a report. */
#ifndef TODOKE_FEEDBACK_UNPACK_H
#define TODOKE_FEEDBACK_UNPACK_H

#include "base/buf.h"
#include "base/fault.h"

enum { UNPACK_ENTRIES_MAX = 100 };

bool unpack_is_packed(struct slice bytes); /* the first bytes of gz or zip */

/* `content` looks at `bytes` when they are not packed, else at `out`, which gets its ceiling here and is the caller's
 * to release. INPUT: broken, empty, encrypted, or an archive in an archive; LIMIT: over FEEDBACK_INFLATED_MAX or
 * FEEDBACK_RATIO_MAX. */
NODISCARD bool unpack(struct slice bytes, struct buf *out, struct slice *content, struct fault *why);

#endif
