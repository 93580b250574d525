/* offer.h - files for download as one recipient's mail shows them (private to content/)
 *
 * {{ file["catalog.pdf"].url }} in a template, and the block at the end of a mail whose attachments go as links (S27).
 * A file that is not there is a fault of the rendering: a mail without its link must not go out. */
#ifndef TODOKE_CONTENT_OFFER_H
#define TODOKE_CONTENT_OFFER_H

#include "content/compose.h"

struct offer {
    const struct compose_job *job;
    const struct content_link *links; /* that came with the mail */
    size_t link_count;
    bool is_japanese; /* the mail is, where the recipient's data does not say */
    struct arena *arena;
    struct fault why; /* kind NONE: nothing was wrong */
};

/* The template variables of the block: SLICE("file_links_html") and SLICE("file_links_text"), and "file". False: none
 * of them. The data's own members go before `file`. */
bool offer_block(struct offer *offer, struct slice name, struct liquid_value *value);
bool offer_file(struct offer *offer, struct slice name, struct liquid_value *value);

/* Is there Japanese in it? */
bool text_is_japanese(struct slice text);

#endif
