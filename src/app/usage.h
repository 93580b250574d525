/* usage.h - a command's page of help, and the one line for somebody who used it wrongly
 *
 * The page opens with its forms, one a line, until the first empty line:
 *     usage: todoke queue list [--state STATE] ...
 *            todoke queue hold|release|purge FILTER... */
#ifndef TODOKE_APP_USAGE_H
#define TODOKE_APP_USAGE_H

#include "app/arguments.h"
#include "base/buf.h"

/* What a command does with --help (the page on stdout, 0) and with words that are none of its forms (one line on
 * stderr, 2). */
int usage_tell(const char *command, const char *page, const struct arguments *words);

/* The line: the form that was probably meant, or the words that the command knows. */
void usage_line(const char *command, const char *page, const struct arguments *words, struct buf *out);

#endif
