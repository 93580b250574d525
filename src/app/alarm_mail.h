/* alarm_mail.h - the mail to the operator that an alarm was raised: stored with the alarm's own transaction
 *
 * Sent as the oldest brand, in Japanese and English, to the setting alarm.mail_to; without that setting, or without any
 * brand, nothing is sent. */
#ifndef TODOKE_APP_ALARM_MAIL_H
#define TODOKE_APP_ALARM_MAIL_H

#include "alarm/alarm.h"

/* As alarm_options.mail; mail_to: one address. INPUT never: what cannot be sent is logged, and *is_sent is false. */
NODISCARD bool alarm_mail_send(struct db *db, struct fault *why, const struct alarm_row *row, const char *mail_to,
                               time_ms now, struct arena *arena, struct submit_news **news, size_t *news_count,
                               bool *is_sent);

#endif
