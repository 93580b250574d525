/* box_inside.h - one kind each (private to receive/box*.c) */
#ifndef TODOKE_RECEIVE_BOX_INSIDE_H
#define TODOKE_RECEIVE_BOX_INSIDE_H

#include "receive/box.h"

NODISCARD bool maildir_collect(struct box *box, const struct box_owner *owner, uint64_t *count, struct fault *why);

#endif
