/* dkim_rotate.h - todoke dkim rotate | list: a domain's key is changed without an unsigned or unverifiable mail between
 *
 *     (none) --rotate--> waiting --rotate, and the DNS has its record--> signing --the next one signs--> retired
 *                           '-- its record is not there, or another one: it stays waiting, and why --'
 *
 * A key signs only after a signature made with it was verified against the DNS, so a record with a slip of the pen
 * never costs a mail (M33). A retired key's record must stay published for DKIM_KEEP_DAYS: mail under way, and mail
 * that is tried again, carries its signature. Its private half goes with the first rotation behind that. */
#ifndef TODOKE_APP_DKIM_ROTATE_H
#define TODOKE_APP_DKIM_ROTATE_H

#include "base/fault.h"

enum { DKIM_KEEP_DAYS = 14 };

struct dkim_rotate_options {
    const char *store, *key_file, *dns; /* dns NULL: the real one */
    const char *domain, *selector;      /* NULL: the brand's own; made of the month */
    const char *brand;                  /* rotate: whose; list: NULL for all */
    bool is_json;
};
/* The exit status: 0 a key was made or now signs, 1 it waits for the DNS. -1: why. */
int dkim_rotate(const struct dkim_rotate_options *options, struct fault *why);
NODISCARD bool dkim_list(const struct dkim_rotate_options *options, struct fault *why);

#endif
