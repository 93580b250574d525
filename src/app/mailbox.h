/* mailbox.h - mails from files, mbox files, Maildirs and pipes, one after another
 *
 * A path may be a file with one mail, an mbox (begins with "From "; mails are parted by such lines after a blank one),
 * a Maildir (cur/ and new/ below it), any other directory (its files, by name), or "-" for stdin (one mail, or an
 * mbox). Memory stays small: files are mapped and let go of as they are read; a pipe keeps one mail at a time. */
#ifndef TODOKE_APP_MAILBOX_H
#define TODOKE_APP_MAILBOX_H

#include "base/fault.h"

enum { MAILBOX_MAIL_MAX = 512 << 20 };

/* `file` is the argument, or the path below a directory; `number` counts mails within it from 0. False stops the walk.
 */
typedef bool mailbox_taker(void *context, struct slice file, size_t number, struct slice mail);

/* Fault INPUT: no such path; WORLD: it cannot be read. A taker that stops the walk: false without a fault (kind NONE).
 */
NODISCARD bool mailbox_walk(const char *path, mailbox_taker *take, void *context, struct fault *why);

#endif
