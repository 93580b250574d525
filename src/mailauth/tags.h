/* tags.h - "name=value; name=value" as DKIM and DMARC write it (RFC 6376 3.2) */
#ifndef TODOKE_MAILAUTH_TAGS_H
#define TODOKE_MAILAUTH_TAGS_H

#include "base/slice.h"

enum { TAGS_MAX = 40 };
struct tag {
    struct slice name, value; /* without white space around them; folds may still be inside the value */
    struct slice raw;         /* everything between "=" and ";" */
};
struct tags {
    struct tag tag[TAGS_MAX];
    size_t count;
};

/* False: a piece without "=", an empty name or one with odd bytes, the same name twice, more than TAGS_MAX. */
NODISCARD bool tags_read(struct slice text, struct tags *tags);
/* NULL: absent. Names are case-sensitive. */
const struct tag *tags_find(const struct tags *tags, const char *name);
/* The value, or `otherwise` when absent. */
struct slice tags_value(const struct tags *tags, const char *name, struct slice otherwise);
/* Does a colon-separated list hold the word (any case)? */
bool list_holds(struct slice list, char separator, struct slice word);

#endif
