/* auth_results.h - whose verdict an Authentication-Results field says it is (RFC 8601 2.2)
 *
 * What we find out about mail that comes in is kept beside it (arrivals.h), not written into it; so a field with our
 * own name in a mail that somebody hands us is a forgery, and is taken out before anybody believes it (RFC 8601 5;
 * M37). */
#ifndef TODOKE_MAILAUTH_AUTH_RESULTS_H
#define TODOKE_MAILAUTH_AUTH_RESULTS_H

#include "base/slice.h"

/* Does the field's value say that it is by the server of this name? Comments, folds, quotes and the version behind the
 * name are understood; any case; a dot behind the name is not looked at. Also true when nobody can say whose it is (a
 * comment or a quote without end, no name at all): a reader more lenient than we are might see ours. Linear. */
bool auth_results_claims(struct slice value, struct slice host_name);

#endif
