#include "queue/turns.h"

#include <assert.h>

static void link_in(struct ring_link **head, struct ring_link *link)
{
    if (!*head) {
        link->before = link->after = link;
        *head = link;
        return;
    }
    link->after = *head;
    link->before = (*head)->before;
    link->before->after = link->after->before = link;
}

static void link_out(struct ring_link **head, struct ring_link *link)
{
    if (*head == link)
        *head = link->after == link ? NULL : link->after;
    link->before->after = link->after;
    link->after->before = link->before;
    link->before = link->after = NULL;
}

static struct brand_turn *brand_get(struct lane_group *group, const struct lane_key *key)
{
    struct ring_link **head = &group->brands[key->priority], *at = *head;
    if (at) {
        do {
            if (((struct brand_turn *)at)->brand_id == key->brand_id)
                return (struct brand_turn *)at;
            at = at->after;
        } while (at != *head);
    }
    struct brand_turn *brand = NEW(struct brand_turn);
    brand->brand_id = key->brand_id;
    brand->priority = key->priority;
    link_in(head, &brand->link);
    return brand;
}

static struct campaign_turn *campaign_get(struct brand_turn *brand, uint64_t campaign_id)
{
    struct ring_link *at = brand->campaigns;
    if (at) {
        do {
            if (((struct campaign_turn *)at)->campaign_id == campaign_id)
                return (struct campaign_turn *)at;
            at = at->after;
        } while (at != brand->campaigns);
    }
    struct campaign_turn *campaign = NEW(struct campaign_turn);
    campaign->campaign_id = campaign_id;
    campaign->brand = brand;
    link_in(&brand->campaigns, &campaign->link);
    return campaign;
}

struct campaign_turn *turns_add(struct lane_group *group, const struct lane_key *key, struct ring_link *lane)
{
    struct campaign_turn *campaign = campaign_get(brand_get(group, key), key->campaign_id);
    link_in(&campaign->lanes, lane);
    campaign->brand->lane_count++;
    group->active_count++;
    return campaign;
}

void turns_remove(struct lane_group *group, struct campaign_turn *campaign, struct ring_link *lane)
{
    struct brand_turn *brand = campaign->brand;
    link_out(&campaign->lanes, lane);
    brand->lane_count--;
    group->active_count--;
    if (campaign->lanes)
        return;
    link_out(&brand->campaigns, &campaign->link);
    free(campaign);
    if (brand->campaigns)
        return;
    link_out(&group->brands[brand->priority], &brand->link);
    free(brand);
}

struct ring_link *turns_next(struct lane_group *group, int priority, unsigned (*weight)(void *lanes, uint64_t brand_id),
                             void *lanes, unsigned quantum, struct campaign_turn **campaign, size_t *most)
{
    struct brand_turn *brand = (struct brand_turn *)group->brands[priority];
    if (!brand)
        return NULL;
    if (!brand->in_turn) {
        brand->in_turn = true;
        brand->deficit += (int64_t)weight(lanes, brand->brand_id) * quantum;
    }
    assert(brand->deficit > 0);
    *campaign = (struct campaign_turn *)brand->campaigns;
    *most = (size_t)brand->deficit;
    brand->campaigns = brand->campaigns->after; /* the next one is the next campaign's */
    struct ring_link *lane = (*campaign)->lanes;
    (*campaign)->lanes = lane->after;
    return lane;
}

void turns_gave(struct lane_group *group, struct campaign_turn *campaign, size_t rows)
{
    struct brand_turn *brand = campaign->brand;
    brand->deficit -= (int64_t)rows;
    brand->idle = rows ? 0 : brand->idle + 1;
    if (brand->deficit > 0 && brand->idle < brand->lane_count)
        return;
    brand->in_turn = false;
    brand->idle = 0;
    brand->deficit = 0; /* nothing is saved up by those who had nothing to give */
    if (group->brands[brand->priority] == &brand->link)
        group->brands[brand->priority] = brand->link.after;
}
