/* orders.h - what people told the queue to do (queue/order.h) is carried out, slice by slice, between other writes */
#ifndef TODOKE_APP_ORDERS_H
#define TODOKE_APP_ORDERS_H

#include "net/world.h"
#include "queue/order.h"
#include "submit/submit.h"

struct orders_options {
    struct store *store;
    struct world *world;
    struct ledger ledger;
    /* After a commit that released deliveries, on the writer's thread. */
    void (*submitted)(void *owner, const struct submit_news *news, size_t count);
    /* After one that held or cancelled some, likewise: what is in memory of such mail is claimed anew. */
    void (*recall)(void *owner, const struct order_reach *reach);
    void *owner;
};
struct orders;
struct orders *orders_start(const struct orders_options *options);
/* Before the engine is stopped, and before store_close. NULL is fine. */
void orders_stop(struct orders *orders);

#endif
