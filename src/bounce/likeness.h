/* likeness.h - which texts say the same: for grouping words that no rule knows, so that rules are learned from them
 *
 * A text becomes its likeness: lower case, one space for any white space, and a placeholder for what differs from mail
 * to mail: <addr> addresses, <url>, <ip>, <host> names with a dot, <id> words of letters mixed with digits (queue ids,
 * hashes), <n> numbers. Code and status stay, they are part of what is said. Linear; looks at the first
 * LIKENESS_TEXT_MAX bytes. Same bytes, same likeness, on every machine. */
#ifndef TODOKE_BOUNCE_LIKENESS_H
#define TODOKE_BOUNCE_LIKENESS_H

#include "base/buf.h"

enum { LIKENESS_TEXT_MAX = 1024, LIKENESS_FINGERPRINT = 17 };

/* Appends the likeness of `text` to `out`, which should have room for LIKENESS_TEXT_MAX. */
void likeness_write(struct slice text, struct buf *out);
/* 16 hex digits and a NUL. */
void likeness_fingerprint(struct slice likeness, char fingerprint[LIKENESS_FINGERPRINT]);

#endif
