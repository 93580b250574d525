/* door.h - where programs hand in mail by SMTP: receive/submission.h on a thread of its own, and who is who there
 *
 * A key that was taken away lets nobody send any more within a second, on connections that are open too. */
#ifndef TODOKE_APP_DOOR_H
#define TODOKE_APP_DOOR_H

#include "app/config.h"
#include "receive/submission.h"
#include "store/seal.h"

struct door_options {
    const struct config *config;
    struct store *store;
    struct world *world;
    const struct seal_key *seal;
    const char *host_name;
    struct tls_server *tls; /* not owned */
    int date_offset_minutes;
    struct recent_mails *recent; /* receive/submission.h */
    void (*submitted)(void *owner, const struct submit_news *news, size_t count);
    void *owner;
};

struct door;
/* *door stays NULL when no listener is set. Faults name the setting. */
NODISCARD bool door_start(const struct door_options *options, struct door **door, struct fault *why);
/* Waits for the mails under way. Before store_close. NULL is fine. */
void door_stop(struct door *door);

#endif
