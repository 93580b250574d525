/* private.h - what the readers of one form share (private to feedback/) */
#ifndef TODOKE_FEEDBACK_PRIVATE_H
#define TODOKE_FEEDBACK_PRIVATE_H

#include "feedback/feedback.h"
#include "mime/read.h"

/* A copy with ASCII letters in lower case. */
struct slice feedback_lower(struct slice text, struct arena *arena);
/* The decimal number that the text begins with ("86400", "86400.0"); 0 without, and no more than INT64_MAX. */
uint64_t feedback_count(struct slice text);

/* A mail whose part `part` is message/feedback-report, or is to be taken for one. False: it has no Feedback-Type. */
bool feedback_read_arf(const struct mime_mail *mail, unsigned part, struct arena *arena, struct feedback *feedback);

#endif
