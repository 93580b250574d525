/* queue_order.h - `todoke queue hold | release | purge | move | orders` */
#ifndef TODOKE_APP_QUEUE_ORDER_H
#define TODOKE_APP_QUEUE_ORDER_H

#include "app/desk.h"
#include "queue/order.h"

struct queue_order_arguments {
    const char *brand, *campaign, *domain, *site, *older_than, *why, *source, *pool, *to, *for_;
    bool is_dry_run, is_json;
};
/* Which deliveries the filters mean: brand, campaign, domain ... found and checked. None at all is fine here. */
NODISCARD bool queue_filter_read(struct desk *desk, const struct queue_order_arguments *arguments,
                                 struct queue_order *order, struct fault *why);
/* Give the order and say what follows; with is_dry_run only count. */
NODISCARD bool queue_order_give(struct desk *desk, const struct queue_order_arguments *arguments, enum order_verb verb,
                                struct fault *why);
NODISCARD bool queue_order_list(struct desk *desk, bool is_json, struct fault *why);

#endif
