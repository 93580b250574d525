#include "deliver/idle.h"

#include <assert.h>

enum { LOOKED_AT_MOST = 4 /* of those that must stay, in one look */ };

static void link_in(struct idle_list *list, struct idle_link *link, time_ms now)
{
    link->state = IDLE_RESTS;
    link->since = now;
    link->next = NULL;
    link->before = list->newest;
    *(list->newest ? &list->newest->next : &list->oldest) = link;
    list->newest = link;
    list->count++;
}

static void link_out(struct idle_list *list, struct idle_link *link)
{
    *(link->before ? &link->before->next : &list->oldest) = link->next;
    *(link->next ? &link->next->before : &list->newest) = link->before;
    link->before = link->next = NULL;
    list->count--;
}

void idle_rests(struct idle_list *list, struct idle_link *link, time_ms now)
{
    if (link->state == IDLE_USED)
        link_in(list, link, now);
}

void idle_used(struct idle_list *list, struct idle_link *link)
{
    if (link->state == IDLE_RESTS) {
        link_out(list, link);
        link->state = IDLE_USED;
    }
    link->was_used = true;
}

struct idle_link *idle_next(struct idle_list *list, time_ms now, bool *is_pressed)
{
    *is_pressed = list->count > list->most;
    for (int looked = 0; looked < LOOKED_AT_MOST; looked++) {
        struct idle_link *link = list->oldest;
        if (!link || (!*is_pressed && now - link->since < list->after))
            return NULL;
        link_out(list, link);
        if (link->stays_until <= now) {
            link->state = IDLE_ASKED;
            link->was_used = false;
            return link;
        }
        link_in(list, link, now);
    }
    return NULL;
}

bool idle_answered(struct idle_list *list, struct idle_link *link, bool may_go, bool is_in_use, time_ms stays_until,
                   time_ms now)
{
    assert(link->state == IDLE_ASKED);
    link->state = IDLE_USED;
    link->stays_until = stays_until;
    if (is_in_use)
        return false;
    if (may_go && !link->was_used)
        return true;
    link_in(list, link, now);
    return false;
}
