/* content_inside.h - a compiled content, for content_compile.c, which makes it, and compose.c, which writes mails of it
 */
#ifndef TODOKE_CONTENT_CONTENT_INSIDE_H
#define TODOKE_CONTENT_CONTENT_INSIDE_H

#include "content/body.h"
#include "content/compose.h"

enum { HEADER_MAX = 64 * 1024 };

/* One-line templates (subject, sender's name): the finished header when it is the same for everybody. */
struct header_template {
    struct liquid *liquid;
    struct buf ready; /* empty: rendered for each recipient */
};
struct content {
    struct header_template from, subject;
    char *from_address;
    struct buf fixed; /* Reply-To, List-Id: ready */
    struct body *html, *text;
    struct buf text_template;
    struct buf *files; /* each with its headers, encoded */
    size_t file_count;
    struct content_link *links;
    size_t link_count;
    bool is_japanese;
};

/* The From header. INPUT: the address is none. */
NODISCARD bool content_write_from(struct buf *out, const struct content *content, struct slice name, struct fault *why);

#endif
