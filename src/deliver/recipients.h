/* recipients.h - a queue of recipients by ->next: transactional ones (priority 0) stand in front of all others
 *
 * First in, first out among equals; each step costs the same however many wait. It owns nobody: whoever holds the queue
 * holds its recipients (queue/recipient.h). */
#ifndef TODOKE_DELIVER_RECIPIENTS_H
#define TODOKE_DELIVER_RECIPIENTS_H

#include "queue/recipient.h"

struct recipients {
    struct recipient *first, **last;
    struct recipient **urgent_end; /* where the first of the others hangs */
    size_t count;
};
void recipients_init(struct recipients *queue);
void recipients_push(struct recipients *queue, struct recipient *recipient);
void recipients_push_front(struct recipients *queue, struct recipient *recipient);
struct recipient *recipients_pop(struct recipients *queue);
/* Out of the middle: *at is one of the queue's pointers, and not its end. */
struct recipient *recipients_take(struct recipients *queue, struct recipient **at);
static inline bool recipients_has_urgent(const struct recipients *queue)
{
    return queue->first && queue->first->priority == 0;
}

#endif
