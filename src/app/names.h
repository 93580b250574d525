/* names.h - answers for the checks of mailauth: from data (--dns, `dns` in a batch line) or from the real DNS
 *
 * One loop and, when it is first needed, one libunbound; a batch line's data replaces it for that line only. */
#ifndef TODOKE_APP_NAMES_H
#define TODOKE_APP_NAMES_H

#include "mailauth/lookup.h"
#include "net/world.h"

struct json_t;
struct names;
struct names *names_new(void);
/* NULL is fine. */
void names_free(struct names *names);
/* From now on answer from this object (json_t *, CLI.md's shape); NULL: from the real DNS. INPUT: what is wrong in it;
 * WORLD: the resolver does not start. */
NODISCARD bool names_from(struct names *names, const struct json_t *object, struct fault *why);
NODISCARD bool names_from_file(struct names *names, const char *path, struct fault *why);
/* Answer every open question. */
void names_answer(struct names *names, struct lookup *lookup);
/* Seconds since 1970 by the real clock. */
int64_t names_now(const struct names *names);

#endif
