/* enclosed.h - what a sender adds to a mail: headers of his own, and files (private to content/) */
#ifndef TODOKE_CONTENT_ENCLOSED_H
#define TODOKE_CONTENT_ENCLOSED_H

#include "content/compose.h"

/* Check the source's own headers and write them behind `fixed`. INPUT: "headers[2]: ...". */
NODISCARD bool enclosed_headers(const struct content_source *source, struct buf *fixed, struct fault *why);
/* One file as a part: its headers and encoded bytes, the same for every recipient. INPUT: "files[0]: ...". */
NODISCARD bool enclosed_file(const struct content_file *file, size_t index, struct buf *out, struct fault *why);

#endif
