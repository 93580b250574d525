/* twin.h - the plain-text twin of an HTML part, and text wrapped for reading (S47, S59)
 *
 * Works on templates too: Liquid tags and outputs go through untouched, in their places. */
#ifndef TODOKE_CONTENT_TWIN_H
#define TODOKE_CONTENT_TWIN_H

#include "base/buf.h"

enum { TWIN_COLUMNS = 72 };

/* HTML to text: blocks become lines, headings and lists are marked, links keep their URL behind their words, images
 * their alt text; head, style, script and comments are left out. Linear; never fails. Not wrapped. */
void twin_from_html(struct buf *out, struct slice html);

/* Wrap each line at `columns`: East Asian wide characters count two, Japanese breaks anywhere except where 禁則 forbids
 * (no closing bracket, stop or small kana first; no opening bracket last), other text at spaces; URLs are never broken.
 * Line ends are LF. Trailing spaces are dropped. */
void text_wrap(struct buf *out, struct slice text, size_t columns);

#endif
