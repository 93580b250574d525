/* arrivals.h - SPF, DKIM and DMARC of mail that came in: checked beside its reading, written into its row
 *
 * What a mail means for our records is proven by tokens and by what we sent; these results say who sent it, for people
 * and for reports (inbound.spf, .dkim, .dmarc, in the manner of RFC 8601: "pass header.d=example.jp"). So nothing waits
 * for them: checks run on a thread of their own, ARRIVALS_AT_ONCE at a time; when more than ARRIVALS_WAITING wait, or
 * after a crash, a mail's results stay empty, which means "not looked at".
 *
 * The signatures' digests come from the jail (record.h); keys and policies are asked for here. */
#ifndef TODOKE_RECEIVE_ARRIVALS_H
#define TODOKE_RECEIVE_ARRIVALS_H

#include "receive/join.h"
#include "store/store.h"

enum { ARRIVALS_AT_ONCE = 64, ARRIVALS_WAITING = 2000 };

struct arrivals;
/* world->resolver must be there. */
struct arrivals *arrivals_start(struct store *store, struct world *world, struct slice host_name);
/* NULL is fine. */
void arrivals_stop(struct arrivals *arrivals);
/* From any thread. Copies what it needs. */
void arrivals_check(struct arrivals *arrivals, const struct inbound_row *mail, const struct mail_record *record);

#endif
