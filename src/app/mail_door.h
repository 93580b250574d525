/* mail_door.h - the listener for error mail (setting mail_in.listen), on a thread of its own
 *
 * What comes to a return path of ours, or to postmaster, abuse, fbl or one of report.addresses at its domain, is in the
 * store before its sender hears 250; he hears 451 when that failed. The brands' domains are read again every 5 s. */
#ifndef TODOKE_APP_MAIL_DOOR_H
#define TODOKE_APP_MAIL_DOOR_H

#include "app/config.h"
#include "net/tls.h"
#include "receive/mail_in.h"

struct mail_door_options {
    const struct config *config;
    struct store *store;
    struct world *world;
    const struct token_ring *ring;
    const char *host_name;
    struct tls_server *tls;
};

struct mail_door;
/* Listens when it returns. NULL: the address cannot be had (INPUT, with the setting), or the store. */
NODISCARD struct mail_door *mail_door_start(const struct mail_door_options *options, struct fault *why);
/* Nobody comes in any more; mails that wait for their commit have had their answer. NULL is fine. */
void mail_door_stop(struct mail_door *door);
/* After it was stopped; NULL is fine. */
void mail_door_free(struct mail_door *door);
/* From any thread. */
struct mail_in_counts mail_door_counts(const struct mail_door *door);

#endif
