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

/* A list from newest to oldest in front of what is there. */
static void push(struct mailbox *mailbox, struct mail_item *newest, struct mail_item *oldest)
{
    /* Read first: once the items are pushed the receiver may let the mailbox go. */
    struct loop *loop = mailbox->loop;
    struct mail_item *before = atomic_load(&mailbox->newest);
    do {
        oldest->next = before;
    } while (!atomic_compare_exchange_weak(&mailbox->newest, &before, newest));
    if (!before) /* otherwise whoever posted that one has woken, or is waking, the loop */
        loop_wake(loop);
}

void mailbox_post(struct mailbox *mailbox, struct mail_item *item)
{
    push(mailbox, item, item);
}

/* The other way round; gives the last, which is the first then. */
static struct mail_item *reversed(struct mail_item *list)
{
    struct mail_item *turned = NULL;
    while (list) {
        struct mail_item *next = list->next;
        list->next = turned;
        turned = list;
        list = next;
    }
    return turned;
}

void mailbox_post_all(struct mailbox *mailbox, struct mail_item *oldest)
{
    if (oldest)
        push(mailbox, reversed(oldest), oldest);
}

struct mail_item *mailbox_take(struct mailbox *mailbox)
{
    return reversed(atomic_exchange(&mailbox->newest, NULL));
}
