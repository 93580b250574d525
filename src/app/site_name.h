/* site_name.h - is it a site that somebody names on the command line? */
#ifndef TODOKE_APP_SITE_NAME_H
#define TODOKE_APP_SITE_NAME_H

#include "base/fault.h"
#include "base/slice.h"

/* A rule for a site that is none would hold for nobody, and look as if; an order about it would find nothing. A site is
 * a rule of data/sites, or of the server's own folder of them (`folder`; NULL: the setting sites.folder of its settings
 * file, --config or NULL). A host's name is as good: what no file knows is called by its MX host. `of_domain`: the
 * command, or the option, for who means a receiver's domain (NULL: there is none). INPUT: none; which one may be meant.
 */
NODISCARD bool site_name_check(struct slice name, const char *folder, const char *settings, const char *of_domain,
                               struct fault *why);

#endif
