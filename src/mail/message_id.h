/* message_id.h - the Message-ID of our mails: made from the delivery's id, so that a retry is the same mail (R22) and
 * an answer that quotes nothing but the Message-ID still finds its delivery. It proves nothing by itself: ids can be
 * guessed. */
#ifndef TODOKE_MAIL_MESSAGE_ID_H
#define TODOKE_MAIL_MESSAGE_ID_H

#include "base/buf.h"

/* "<todoke.0123456789abcdef@domain>": the same for the same id (a delivery's, or a notice's of our own). */
void message_id_make(struct buf *out, uint64_t id, struct slice domain);
/* With or without brackets; false when it is not of that form. */
NODISCARD bool message_id_delivery(struct slice message_id, uint64_t *delivery_id);

#endif
