/* optin_mail.h - the mail that asks whether it was really this person who asked to be on a list (S53, S54)
 *
 * A single mail of the brand, before all campaigns; in both languages, the reader's first. Its link leads to a page
 * with a button: opening it changes nothing. */
#ifndef TODOKE_CAMPAIGN_OPTIN_MAIL_H
#define TODOKE_CAMPAIGN_OPTIN_MAIL_H

#include "audience/optin.h"
#include "mailauth/token.h"
#include "submit/submit.h"

/* Inside a write job, behind optin_ask, last: makes the mail of `asked` and its delivery. *news as in submit.h. */
NODISCARD bool optin_mail_send(struct db *db, struct fault *why, const struct optin *asked,
                               const struct token_ring *ring, time_ms now, struct arena *arena,
                               struct submit_news **news, size_t *news_count);

#endif
