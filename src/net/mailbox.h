/* mailbox.h - messages into a loop from any thread
 *
 * Many senders, one receiver, no locks: senders push onto an atomic list, the receiver takes all of it at once and
 * gets it in the order of sending (for each sender). An item is embedded in the message; it belongs to the receiver
 * from mailbox_post on. Posting to a mailbox that already has something costs one compare-and-swap; the first item
 * wakes the loop (coalesced, one eventfd for each loop). Items not received when the mailbox is released come back
 * from mailbox_take. */
#ifndef TODOKE_NET_MAILBOX_H
#define TODOKE_NET_MAILBOX_H

#include "net/loop.h"

struct mail_item {
    struct mail_item *next;
};

/* Items that any threads put and any thread takes, and nobody is woken: empty when zeroed. */
struct mail_pile {
    _Atomic(struct mail_item *) newest;
};
void mail_pile_put(struct mail_pile *pile, struct mail_item *item);
/* All that are there, oldest first (for each who put them); NULL when nothing. Two that take at once have a part each.
 */
struct mail_item *mail_pile_take(struct mail_pile *pile);

struct mailbox {
    struct loop *loop;
    /* Called on the loop's thread with a batch (a NULL-ended list, oldest first). Take `next` before freeing one. */
    void (*receive)(struct mailbox *mailbox, struct mail_item *batch);
    void *owner;
    struct mail_pile pile;
    struct mailbox *next_of_loop;
};

/* On the loop's thread, or before it runs. */
void mailbox_init(struct mailbox *mailbox, struct loop *loop,
                  void (*receive)(struct mailbox *mailbox, struct mail_item *batch), void *owner);
/* On the loop's thread, or after it has ended. Nobody may post any more. */
void mailbox_release(struct mailbox *mailbox);
/* From any thread. */
void mailbox_post(struct mailbox *mailbox, struct mail_item *item);
/* All of a list by ->next (NULL-ended, oldest first; NULL: nothing), with one wake-up and without others' between. */
void mailbox_post_all(struct mailbox *mailbox, struct mail_item *oldest);
/* What has arrived, oldest first; NULL when nothing. */
struct mail_item *mailbox_take(struct mailbox *mailbox);
/* On the receiver's thread: would mailbox_take give something? */
static inline bool mailbox_has_post(struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->pile.newest, memory_order_relaxed) != NULL;
}

#endif
