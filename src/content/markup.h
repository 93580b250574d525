/* markup.h - tags, attributes and entities of HTML that may have Liquid in it; linear, never fails
 *
 * What twin.c (the text of it) and links.c (its links) share. Liquid outputs and tags hide whatever stands in them. */
#ifndef TODOKE_CONTENT_MARKUP_H
#define TODOKE_CONTENT_MARKUP_H

#include "base/buf.h"

struct tag {
    struct slice name; /* as written */
    struct slice attributes;
    bool is_end;
};

/* Where the next ends of Liquid stand, so that braces that never end cost one look through the text and not one each.
 * One for each text, {0} at first; asked from its front to its end, with slices that all reach to its end. */
struct markup_ends {
    struct markup_end {
        const char *from, *at; /* none from `from` up to `at`, where one is, or where the text ends */
    } output, tag;
};

/* The octets of the tag that begins at s ('<'): past its '>'; quotes and Liquid hide. */
size_t markup_tag_len(struct markup_ends *ends, struct slice s);
void markup_tag_read(struct slice s, struct tag *tag);
bool tag_is(const struct tag *tag, const char *name);
bool tag_is_one_of(const struct tag *tag, const char *const *names); /* NULL ends them */
/* The value of an attribute, as written, a part of the tag; empty when absent. */
struct slice tag_attribute(const struct tag *tag, const char *name);

/* The octets of the Liquid output or tag that begins at s; 0: none does. */
size_t markup_liquid(struct markup_ends *ends, struct slice s);
/* The character an entity stands for is appended; its octets in the source, 0 when it is none. */
size_t markup_entity(struct slice s, struct buf *out);
/* An attribute's value with its entities decoded. */
void markup_text(struct buf *out, struct slice value);

#endif
