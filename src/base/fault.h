/* fault.h - what went wrong outside our own code, said once, in one line
 *
 * A function that can fail returns bool: true means done; false means *why says what, where, and which kind. Our own
 * mistakes are assert()s; a refusal of mail is a verdict, which is data; neither is a fault. */
#ifndef TODOKE_BASE_FAULT_H
#define TODOKE_BASE_FAULT_H

#include "base/slice.h"
#include <stdarg.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_INPUT, /* the caller gave something wrong: tell him what and where */
    FAULT_WORLD, /* network, disk, store: try later */
    FAULT_LIMIT, /* too much or too fast: slow down */
};

struct fault {
    enum fault_kind kind;
    char text[492]; /* one line, no newline, cut at the end when longer */
};

/* Both return false, so that a failing function ends with `return fault_set(...)`. */
bool fault_set(struct fault *why, enum fault_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);
/* Put words in front of what is already said: `fault_prefix(why, "contacts.csv line 12: ")`. */
bool fault_prefix(struct fault *why, const char *format, ...) PRINTF_LIKE(2, 3);
/* "No such file or directory" and kin, from errno. */
bool fault_errno(struct fault *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* The exit status that the command line promises: INPUT 2, WORLD and LIMIT 3, NONE 0. */
int fault_exit_status(const struct fault *why);

#endif
