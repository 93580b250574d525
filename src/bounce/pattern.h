/* pattern.h - does the whole of a rule's pattern stand where its key was found? (private to bounce/) */
#ifndef TODOKE_BOUNCE_PATTERN_H
#define TODOKE_BOUNCE_PATTERN_H

#include "bounce/blob.h"

/* `text`: in lower case, white space collapsed, as the pattern is. The key ends before byte key_to of it. Gives what
 * the pattern covers, from *from up to *to. */
bool pattern_meets(struct slice text, const struct blob *blob, const struct blob_pattern *pattern, size_t key_to,
                   size_t *from, size_t *to);

#endif
