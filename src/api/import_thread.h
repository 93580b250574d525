/* import_thread.h - news of imports on their way to the api's thread (private to api/) */
#ifndef TODOKE_API_IMPORT_THREAD_H
#define TODOKE_API_IMPORT_THREAD_H

#include "api/inside.h"

/* Of api->import_news. */
void import_news_came(struct mailbox *mailbox, struct mail_item *batch);

#endif
