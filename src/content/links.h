/* links.h - the links of a content whose clicks are counted, in the order they stand
 *
 * A link is counted when it is an <a href="http..."> or <area> of the HTML whose address is the same for everybody (no
 * Liquid in it) and that does not say data-track="no". Links are numbered from 0; the number and the content version
 * lead back to the address, so that a click goes nowhere but where the mail said (X6). Others stay as they are. */
#ifndef TODOKE_CONTENT_LINKS_H
#define TODOKE_CONTENT_LINKS_H

#include "base/arena.h"
#include "base/buf.h"

enum { LINKS_MAX = 1000, LINK_LENGTH_MAX = 4096 /* octets of an address; a longer one stays as it is */ };

/* The HTML template with each counted address replaced by {{ click_url_N }}. Gives how many. */
size_t links_rewrite(struct buf *out, struct slice html);
/* Where they lead, in their order: absolute http or https URLs, printable ASCII (others percent-encoded). */
struct slice *links_targets(struct slice html, struct arena *arena, size_t *count);

/* The N of a template variable click_url_N; false: it is none. */
bool links_number_of(struct slice variable, unsigned *number);

#endif
