/* inbox.h - one mail of the playground as JSON */
#ifndef TODOKE_API_INBOX_H
#define TODOKE_API_INBOX_H

#include "api/api.h"
#include "base/json.h"

/* The `inbox_mail` object. Error mail has no html, whatever it holds (S16): all that can be read of it is text. */
void inbox_mail_write(struct json *json, const struct api_inbox_row *row, struct slice bytes, struct arena *arena);

#endif
