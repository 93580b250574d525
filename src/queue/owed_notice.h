/* owed_notice.h - failures of stored mails whose sender wants to hear of them: written down with the failure itself
 *
 * For the ledger only; submit/failure.h makes mails of the rows. */
#ifndef TODOKE_QUEUE_OWED_NOTICE_H
#define TODOKE_QUEUE_OWED_NOTICE_H

#include "event/event.h"

enum { NOTICE_FLAG = 32 /* MESSAGE_REPORTS of submit/message.h, which checks that it is the same */ };

/* In the transaction of these events. */
NODISCARD bool notice_owe(struct db *db, struct fault *why, const struct event *events, size_t count);

#endif
