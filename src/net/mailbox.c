#include "net/mailbox.h"

#include "net/loop_inside.h"

void mailbox_init(struct mailbox *mailbox, struct loop *loop,
                  void (*receive)(struct mailbox *mailbox, struct mail_item *batch), void *owner)
{
    mailbox->loop = loop;
    mailbox->receive = receive;
    mailbox->owner = owner;
    atomic_init(&mailbox->pile.newest, NULL);
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

/* A list from newest to oldest in front of what is there. False: nothing was. */
static bool push(struct mail_pile *pile, struct mail_item *newest, struct mail_item *oldest)
{
    struct mail_item *before = atomic_load(&pile->newest);
    do {
        oldest->next = before;
    } while (!atomic_compare_exchange_weak(&pile->newest, &before, newest));
    return before != NULL;
}

static void push_and_wake(struct mailbox *mailbox, struct mail_item *newest, struct mail_item *oldest)
{
    /* Read first: once the items are pushed the receiver may let the mailbox go. */
    struct loop *loop = mailbox->loop;
    if (!push(&mailbox->pile, newest,
              oldest)) /* otherwise whoever posted the first has woken, or is waking, the loop */
        loop_wake(loop);
}

void mailbox_post(struct mailbox *mailbox, struct mail_item *item)
{
    push_and_wake(mailbox, item, item);
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

void mail_pile_put(struct mail_pile *pile, struct mail_item *item)
{
    push(pile, item, item);
}

struct mail_item *mail_pile_take(struct mail_pile *pile)
{
    return reversed(atomic_exchange(&pile->newest, NULL));
}

void mailbox_post_all(struct mailbox *mailbox, struct mail_item *oldest)
{
    if (oldest)
        push_and_wake(mailbox, reversed(oldest), oldest);
}

struct mail_item *mailbox_take(struct mailbox *mailbox)
{
    return mail_pile_take(&mailbox->pile);
}
