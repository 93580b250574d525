/* name.h - what a file is called, and of what type it is; both come from strangers */
#ifndef TODOKE_HOSTED_NAME_H
#define TODOKE_HOSTED_NAME_H

#include "base/buf.h"

/* Append a name that is safe to show and to save: what stands behind the last slash or backslash, without controls,
 * without marks that turn the direction of writing ("exe.fdp" that reads "pdf.exe"), without spaces and dots at its
 * ends; at most HOSTED_NAME_MAX octets of valid UTF-8, an ending of up to 16 octets kept. "file" when nothing is
 * left. */
void hosted_name_clean(struct slice name, struct buf *out);

/* The media type as given ("application/pdf", parameters dropped); by the name's ending where none is given, or one
 * that says nothing (application/x-www-form-urlencoded, which curl sends of itself, and application/octet-stream).
 * False: what was given is no media type. *type is a part of `given`, or constant. */
NODISCARD bool hosted_type_of(struct slice given, struct slice name, struct slice *type);

/* A browser would run what is in it (HTML, SVG, XML, scripts): it is sent as application/octet-stream. */
bool hosted_type_is_active(struct slice type);

/* "1.2 MB", "640 KB", "12 B": for people, in powers of 1,000. */
void hosted_size_print(uint64_t bytes, struct buf *out);

#endif
