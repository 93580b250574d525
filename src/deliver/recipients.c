#include "deliver/recipients.h"

void recipients_init(struct recipients *queue)
{
    *queue = (struct recipients){.last = &queue->first, .urgent_end = &queue->first};
}

/* Hang it in where *at is. */
static void hang_in(struct recipients *queue, struct recipient **at, struct recipient *recipient)
{
    recipient->next = *at;
    *at = recipient;
    if (queue->last == at)
        queue->last = &recipient->next;
    queue->count++;
}

void recipients_push(struct recipients *queue, struct recipient *recipient)
{
    if (recipient->priority == 0) {
        hang_in(queue, queue->urgent_end, recipient);
        queue->urgent_end = &recipient->next;
    } else {
        hang_in(queue, queue->last, recipient);
    }
}

void recipients_push_front(struct recipients *queue, struct recipient *recipient)
{
    bool is_urgent = recipient->priority == 0;
    hang_in(queue, is_urgent ? &queue->first : queue->urgent_end, recipient);
    if (is_urgent && queue->urgent_end == &queue->first)
        queue->urgent_end = &recipient->next;
}

struct recipient *recipients_take(struct recipients *queue, struct recipient **at)
{
    struct recipient *recipient = *at;
    *at = recipient->next;
    if (queue->last == &recipient->next)
        queue->last = at;
    if (queue->urgent_end == &recipient->next)
        queue->urgent_end = at;
    queue->count--;
    recipient->next = NULL;
    return recipient;
}

struct recipient *recipients_pop(struct recipients *queue)
{
    return queue->first ? recipients_take(queue, &queue->first) : NULL;
}
