#include "queue/lanes_inside.h"

/* --- active lanes --- */

static void lane_join(struct lane_group *group, struct lane *lane)
{
    lane->turn = turns_add(group, &lane->key, &lane->link);
}

static void lane_leave(struct lane_group *group, struct lane *lane)
{
    turns_remove(group, lane->turn, &lane->link);
    lane->turn = NULL;
}

unsigned lanes_weight_of(void *lanes, uint64_t brand_id)
{
    uintptr_t weight = (uintptr_t)id_map_get(&((struct lanes *)lanes)->weights, brand_id);
    return weight ? (unsigned)weight : 1;
}

void lanes_weigh(struct lanes *lanes, uint64_t brand_id, unsigned weight)
{
    if (weight < 1 || weight > LANE_WEIGHT_MOST)
        weight = weight < 1 ? 1 : LANE_WEIGHT_MOST;
    if (brand_id && lanes_weight_of(lanes, brand_id) != weight)
        id_map_set(&lanes->weights, brand_id, (void *)(uintptr_t)weight);
}

void lanes_rank(struct lanes *lanes, uint64_t campaign_id, time_ms last)
{
    if (campaign_id && last > 0)
        id_map_set(&lanes->ranked, campaign_id, (void *)(uintptr_t)last);
}

/* The last rank of its campaign; 0: it has none. */
static time_ms last_rank_of(const struct lanes *lanes, const struct lane *lane)
{
    return lanes->ranked.count ? (time_ms)(uintptr_t)id_map_get(&lanes->ranked, lane->key.campaign_id) : 0;
}

/* --- lanes and domains --- */

struct lanes *lanes_new(struct db *reader, lanes_want_route want_route, lanes_woken woken, void *owner)
{
    struct lanes *lanes = NEW(struct lanes);
    lanes->reader = reader;
    lanes->want_route = want_route;
    lanes->woken = woken;
    lanes->owner = owner;
    lanes->load_at = BUCKETS;
    return lanes;
}

void lanes_free(struct lanes *lanes)
{
    if (!lanes)
        return;
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->claimed, &at));)
        recipient_free(entry->value);
    at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));) {
        struct lane *lane = entry->value;
        if (lane->turn)
            lane_leave(lane->domain->group, lane);
        free(lane);
    }
    at = 0;
    for (struct map_entry *entry; (entry = map_walk(&lanes->domains, &at));)
        free(entry->value);
    id_map_release(&lanes->claimed);
    id_map_release(&lanes->weights);
    id_map_release(&lanes->ranked);
    id_map_release(&lanes->by_id);
    map_release(&lanes->domains);
    free(lanes->heap);
    free(lanes);
}

static struct domain *domain_get(struct lanes *lanes, struct slice name)
{
    struct domain *domain = map_get(&lanes->domains, name);
    if (!domain) {
        domain = NEW(struct domain);
        domain->name = map_set(&lanes->domains, name, domain);
    }
    return domain;
}

/* Among the lanes of its route. */
static void lane_link(struct lanes *lanes, struct lane *lane)
{
    SCOPED(buf) name = BUF(512);
    if (lanes->namer)
        lanes->namer(lanes->names, &lane->key, &name);
    lane->domain = domain_get(lanes, lanes->namer ? buf_slice(&name) : lane->key.domain);
    lane->of_domain_before = NULL;
    lane->of_domain = lane->domain->lanes;
    if (lane->of_domain)
        lane->of_domain->of_domain_before = lane;
    lane->domain->lanes = lane;
}

static void lane_unlink(struct lane *lane)
{
    if (lane->of_domain_before)
        lane->of_domain_before->of_domain = lane->of_domain;
    else
        lane->domain->lanes = lane->of_domain;
    if (lane->of_domain)
        lane->of_domain->of_domain_before = lane->of_domain_before;
}

struct lane *lane_get(struct lanes *lanes, const struct lane_key *key)
{
    struct lane *lane = id_map_get(&lanes->by_id, key->id);
    if (lane)
        return lane;
    lane = memory_zero(1, sizeof(*lane) + key->domain.len);
    lane->key = *key;
    memcpy(lane + 1, key->domain.ptr, key->domain.len);
    lane->key.domain = slice_of(lane + 1, key->domain.len);
    lane->key.priority = key->priority <= 0 ? 0 : LANE_PRIORITIES - 1;
    lane_link(lanes, lane);
    lane->next_due = INT64_MAX;
    lane->is_held = lanes->is_held && lanes->is_held(lanes->holds, &lane->key);
    id_map_set(&lanes->by_id, key->id, lane);
    return lane;
}

void lane_forget_if_empty(struct lanes *lanes, struct lane *lane)
{
    if (lane->turn || lane->next_due != INT64_MAX || lane->claimed || !bits_are_clear(lane->owed))
        return;
    lane_unlink(lane);
    id_map_remove(&lanes->by_id, lane->key.id);
    free(lane);
}

bool lanes_forget(struct lanes *lanes, struct slice name)
{
    struct domain *domain = map_get(&lanes->domains, name);
    if (!domain)
        return true;
    if (domain->lanes)
        return false;
    map_remove(&lanes->domains, name);
    free(domain);
    return true;
}

time_ms lanes_next_due(const struct lanes *lanes, struct slice name)
{
    const struct domain *domain = map_get(&lanes->domains, name);
    time_ms next = INT64_MAX;
    if (domain && domain->is_asked)
        return 0;
    for (const struct lane *lane = domain ? domain->lanes : NULL; lane; lane = lane->of_domain) {
        if (lane->turn || lane->claimed)
            return 0;
        if (lane->next_due < next)
            next = lane->next_due;
    }
    return next;
}

void lane_look_everywhere(struct lane *lane)
{
    memcpy(lane->may_have, lane->owed, sizeof(lane->may_have));
    lane->next_due = INT64_MAX;
    lane_look_from_the_start(lane);
}

static void lane_activate(struct lanes *lanes, struct lane *lane)
{
    lane_stop_sleeping(lanes, lane);
    lane->upto = lane->next_due < last_rank_of(lanes, lane) ? lane->next_due : INT64_MAX; /* a rank goes alone */
    lane_look_everywhere(lane);
    lane->look_again = 0;
    if (!lane->turn)
        lane_join(lane->domain->group, lane);
}

void lane_due(struct lanes *lanes, struct lane *lane, time_ms due)
{
    if (due < lane->next_due) {
        lane->next_due = due;
        if (!lane->turn)
            lane_sleep(lanes, lane);
    }
}

void lane_has_now(struct lane *lane, unsigned bucket)
{
    bit_set(lane->may_have, bucket);
    if (bucket == lane->cursor)
        lane_look_from_the_start(lane);
}

void lanes_route(struct lanes *lanes, struct slice name, struct lane_group *group, struct destination *destination)
{
    struct domain *domain = domain_get(lanes, name);
    domain->is_asked = domain->is_asked_urgently = false;
    domain->destination = destination;
    if (domain->group == group)
        return;
    for (struct lane *lane = domain->lanes; lane; lane = lane->of_domain) {
        if (lane->turn) {
            lane_leave(domain->group, lane);
            lane->next_due = 0;
        }
        lane_sleep(lanes, lane); /* those that waited for the route too */
    }
    domain->group = group;
}

void lanes_name_routes(struct lanes *lanes, lanes_namer namer, void *context)
{
    size_t at = 0;
    lanes->namer = namer;
    lanes->names = context;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));) {
        struct lane *lane = entry->value;
        SCOPED(buf) name = BUF(512);
        namer(context, &lane->key, &name);
        if (slice_equal(buf_slice(&name), lane->domain->name))
            continue;
        if (lane->turn) {
            lane_leave(lane->domain->group, lane);
            lane->next_due = 0;
        }
        lane_unlink(lane);
        lane_link(lanes, lane);
        lane_sleep(lanes, lane); /* wakes, and asks for its route */
    }
}

static void want_route(struct lanes *lanes, const struct lane *lane)
{
    struct domain *domain = lane->domain;
    bool is_urgent = lane->key.priority == 0;
    if (domain->is_asked && (domain->is_asked_urgently || !is_urgent))
        return;
    domain->is_asked = true;
    domain->is_asked_urgently = is_urgent;
    lanes->want_route(lanes->owner, domain->name, is_urgent);
}

time_ms lanes_wake(struct lanes *lanes, time_ms now)
{
    while (lanes->heap_count && lanes->heap[1]->next_due <= now) {
        struct lane *lane = lanes->heap[1];
        if (!lanes->has_read_all && last_rank_of(lanes, lane)) {
            lane_stop_sleeping(lanes, lane); /* an earlier rank may be in a bucket not read yet */
        } else if (lane->domain->group) {
            lane_activate(lanes, lane);
            lanes->woken(lanes->owner, lane->domain->group);
        } else {
            lane_stop_sleeping(lanes, lane); /* lanes_route puts it back, or lanes_hold */
            if (!lane->is_held)
                want_route(lanes, lane);
        }
    }
    return lanes->heap_count ? lanes->heap[1]->next_due : INT64_MAX;
}

void lane_rests(struct lanes *lanes, struct lane *lane)
{
    lane_leave(lane->domain->group, lane);
    lane_sleep(lanes, lane);
    lane_forget_if_empty(lanes, lane);
}

void lanes_sleep_again(struct lanes *lanes)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));) {
        struct lane *lane = entry->value;
        if (!lane->turn)
            lane_sleep(lanes, lane);
    }
}

void lanes_hold(struct lanes *lanes, bool (*is_held)(void *context, const struct lane_key *key), void *context)
{
    lanes->is_held = is_held;
    lanes->holds = context;
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));) {
        struct lane *lane = entry->value;
        bool was_held = lane->is_held;
        lane->is_held = is_held(context, &lane->key);
        if (!was_held || lane->is_held)
            continue;
        if (lane->turn)
            lanes->woken(lanes->owner, lane->domain->group);
        else
            lane_sleep(lanes, lane); /* wakes, and asks for its route */
    }
}

struct lanes_figures lanes_figures(const struct lanes *lanes)
{
    return (struct lanes_figures){lanes->by_id.count, lanes->domains.count, lanes->claimed.count, lanes->queries,
                                  lanes->rows_read};
}
