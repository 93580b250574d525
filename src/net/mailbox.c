#include "net/mailbox.h"

#include "net/loop_inside.h"

void mailbox_init(struct mailbox *mailbox, struct loop *loop,
                  void (*receive)(struct mailbox *mailbox, struct mail_item *batch), void *owner)
{
    mailbox->loop = loop;
    mailbox->receive = receive;
    mailbox->owner = owner;
    atomic_init(&mailbox->newest, NULL);
    mailbox->next_of_loop = loop->mailboxes;
    loop->mailboxes = mailbox;
}

void mailbox_release(struct mailbox *mailbox)
{
    struct loop *loop = mailbox->loop;
    if (!loop)
        return;
    for (struct mailbox **at = &loop->mailboxes; *at; at = &(*at)->next_of_loop)
        if (*at == mailbox) {
            *at = mailbox->next_of_loop;
            break;
        }
    if (loop->walking == mailbox)
        loop->walking = mailbox->next_of_loop;
    mailbox->loop = NULL;
}

void mailbox_post(struct mailbox *mailbox, struct mail_item *item)
{
    /* Read first: once the item is pushed the receiver may let the mailbox go. */
    struct loop *loop = mailbox->loop;
    struct mail_item *newest = atomic_load(&mailbox->newest);
    do {
        item->next = newest;
    } while (!atomic_compare_exchange_weak(&mailbox->newest, &newest, item));
    if (!newest) /* otherwise whoever posted that one has woken, or is waking, the loop */
        loop_wake(loop);
}

struct mail_item *mailbox_take(struct mailbox *mailbox)
{
    struct mail_item *newest = atomic_exchange(&mailbox->newest, NULL), *oldest = NULL;
    while (newest) {
        struct mail_item *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
