/* owed_notice.h - outcomes of stored mails whose sender wants to hear of them: written down with the outcome itself
 *
 * Failures of every mail that wants reports; success, and being late, only where it was asked for (RFC 3461 4.1,
 * notice_wish). For the ledger; submit/notice.h makes mails of the rows. */
#ifndef TODOKE_QUEUE_OWED_NOTICE_H
#define TODOKE_QUEUE_OWED_NOTICE_H

#include "event/event.h"

enum { NOTICE_FLAG = 32 /* MESSAGE_REPORTS of submit/message.h, which checks that it is the same */ };

/* Numbers in the store, and the bits of NOTIFY (enum smtp_notify of smtp/server.h). */
enum notice_kind { NOTICE_RELAYED = 2, NOTICE_FAILED = 4, NOTICE_DELAYED = 8 };

/* In the transaction of these events, before they are appended. A failure that is taken back is owed no more, if nobody
 * was told of it yet. */
NODISCARD bool notice_owe(struct db *db, struct fault *why, const struct event *events, size_t count);

/* Inside the write job that stores the mail: some recipient's sender wants to hear of these kinds (RELAYED, DELAYED);
 * what is not delivered at delay_at is late. Kept until `until`. */
NODISCARD bool notice_wish(struct db *db, struct fault *why, uint64_t message_id, unsigned kinds, time_ms delay_at,
                           time_ms until);
/* Inside a write job: forget those whose time has come. */
NODISCARD bool notice_wishes_sweep(struct db *db, struct fault *why, time_ms now);

#endif
