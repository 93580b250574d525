/* noticer.h - senders of handed-in mail are told what became of it (submit/notice.h), as soon as that is written */
#ifndef TODOKE_APP_NOTICER_H
#define TODOKE_APP_NOTICER_H

#include "net/world.h"
#include "submit/notice.h"

struct noticer_options {
    struct leases *leases; /* the leading node tells; NULL: there is only one */
    struct store *store;
    struct world *world;
    const char *host_name;
    time_ms expires_after;
    int date_offset_minutes;
    void (*submitted)(void *owner, const struct submit_news *news, size_t count);
    void *owner;
};
struct noticer;
struct noticer *noticer_start(const struct noticer_options *options);
/* Before store_close. NULL is fine. */
void noticer_stop(struct noticer *noticer);

#endif
