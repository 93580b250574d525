#include "queue/lanes.h"

#include "mail/address.h"
#include <assert.h>

struct domain;

struct lane {
    struct lane_key key;
    struct domain *domain;
    struct lane *of_domain;          /* next lane of the same domain */
    struct lane *before, *after;     /* ring of active lanes; NULL: not in one */
    size_t heap_at;                  /* 1..: place in the heap of the sleeping; 0: not there */
    time_ms next_due;                /* earliest instant at which a row is known to be due */
    uint64_t may_have[BUCKETS / 64]; /* active only: buckets not yet found drained */
    unsigned cursor;                 /* bucket to go on with */
    size_t claimed;                  /* rows of this lane in memory */
    bool is_held;
};

struct domain {
    struct slice name; /* the map's key */
    struct lane *lanes;
    struct lane_group *group;
    struct destination *destination;
    bool is_asked;
};

struct lanes {
    struct db *reader;
    lanes_want_route want_route;
    lanes_woken woken;
    void *owner;
    struct id_map by_id;   /* -> struct lane */
    struct map domains;    /* -> struct domain */
    struct id_map claimed; /* delivery id -> struct recipient */
    struct lane **heap;    /* sleeping lanes by next_due, from 1 */
    size_t heap_count, heap_room;
};

void recipient_free(struct recipient *recipient)
{
    free(recipient->outgoing);
    free(recipient->compose_fault);
    free(recipient);
}

/* --- the heap of sleeping lanes --- */

static void heap_put(struct lanes *lanes, size_t at, struct lane *lane)
{
    lanes->heap[at] = lane;
    lane->heap_at = at;
}

static void heap_sift(struct lanes *lanes, size_t at)
{
    struct lane *lane = lanes->heap[at];
    for (; at > 1 && lanes->heap[at / 2]->next_due > lane->next_due; at /= 2)
        heap_put(lanes, at, lanes->heap[at / 2]);
    for (size_t child; (child = at * 2) <= lanes->heap_count; at = child) {
        if (child < lanes->heap_count && lanes->heap[child + 1]->next_due < lanes->heap[child]->next_due)
            child++;
        if (lanes->heap[child]->next_due >= lane->next_due)
            break;
        heap_put(lanes, at, lanes->heap[child]);
    }
    heap_put(lanes, at, lane);
}

static void heap_remove(struct lanes *lanes, struct lane *lane)
{
    size_t at = lane->heap_at;
    if (!at)
        return;
    lane->heap_at = 0;
    struct lane *last = lanes->heap[lanes->heap_count--];
    if (last != lane) {
        heap_put(lanes, at, last);
        heap_sift(lanes, at);
    }
}

static void lane_sleep(struct lanes *lanes, struct lane *lane)
{
    if (lane->next_due == INT64_MAX)
        return heap_remove(lanes, lane);
    if (!lane->heap_at) {
        if (lanes->heap_count + 2 > lanes->heap_room) {
            lanes->heap_room = lanes->heap_room ? lanes->heap_room * 2 : 64;
            lanes->heap = memory_resize(lanes->heap, lanes->heap_room, sizeof(*lanes->heap));
        }
        heap_put(lanes, ++lanes->heap_count, lane);
    }
    heap_sift(lanes, lane->heap_at);
}

/* --- rings of active lanes --- */

static void ring_add(struct lane_group *group, struct lane *lane)
{
    struct lane **head = &group->active[lane->key.priority];
    if (!*head) {
        lane->before = lane->after = lane;
        *head = lane;
    } else {
        lane->after = *head;
        lane->before = (*head)->before;
        lane->before->after = lane->after->before = lane;
    }
    group->active_count++;
}

static void ring_remove(struct lane_group *group, struct lane *lane)
{
    struct lane **head = &group->active[lane->key.priority];
    if (*head == lane)
        *head = lane->after == lane ? NULL : lane->after;
    lane->before->after = lane->after;
    lane->after->before = lane->before;
    lane->before = lane->after = NULL;
    group->active_count--;
}

/* --- --- */

struct lanes *lanes_new(struct db *reader, lanes_want_route want_route, lanes_woken woken, void *owner)
{
    struct lanes *lanes = NEW(struct lanes);
    lanes->reader = reader;
    lanes->want_route = want_route;
    lanes->woken = woken;
    lanes->owner = owner;
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
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));)
        free(entry->value);
    at = 0;
    for (struct map_entry *entry; (entry = map_walk(&lanes->domains, &at));)
        free(entry->value);
    id_map_release(&lanes->claimed);
    id_map_release(&lanes->by_id);
    map_release(&lanes->domains);
    free(lanes->heap);
    free(lanes);
}

static struct domain *domain_get(struct lanes *lanes, struct slice name)
{
    struct domain *domain = map_get(&lanes->domains, name);
    if (!domain) {
        domain = memory_zero(1, sizeof(*domain) + name.len);
        memcpy(domain + 1, name.ptr, name.len);
        domain->name = slice_of(domain + 1, name.len);
        map_set(&lanes->domains, name, domain);
    }
    return domain;
}

static struct lane *lane_get(struct lanes *lanes, const struct lane_key *key)
{
    struct lane *lane = id_map_get(&lanes->by_id, key->id);
    if (lane)
        return lane;
    lane = NEW(struct lane);
    lane->key = *key;
    lane->key.priority = key->priority <= 0 ? 0 : LANE_PRIORITIES - 1;
    lane->domain = domain_get(lanes, key->domain);
    lane->key.domain = lane->domain->name;
    lane->of_domain = lane->domain->lanes;
    lane->domain->lanes = lane;
    lane->next_due = INT64_MAX;
    id_map_set(&lanes->by_id, key->id, lane);
    return lane;
}

static void lane_activate(struct lanes *lanes, struct lane *lane)
{
    heap_remove(lanes, lane);
    lane->next_due = INT64_MAX;
    memset(lane->may_have, 0xff, sizeof(lane->may_have));
    if (!lane->before)
        ring_add(lane->domain->group, lane);
}

/* Something of this lane is due at `due`. Active lanes look at every bucket again only if it may be due before they are
 * drained. */
static void lane_due(struct lanes *lanes, struct lane *lane, time_ms due)
{
    if (due < lane->next_due) {
        lane->next_due = due;
        if (!lane->before)
            lane_sleep(lanes, lane);
    }
}

bool lanes_load(struct lanes *lanes, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(
            lanes->reader, why, &rows,
            "SELECT l.id, l.brand_id, l.campaign_id, l.priority, l.domain, d.due FROM lane l JOIN (SELECT lane_id, "
            "MIN(due_ms) AS due FROM delivery WHERE state <= 1 GROUP BY lane_id) d ON d.lane_id = l.id",
            NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        struct lane_key key = {
            .id = (uint64_t)rows_int(&rows, 0),
            .brand_id = (uint64_t)rows_int(&rows, 1),
            .campaign_id = (uint64_t)rows_int(&rows, 2),
            .priority = (int)rows_int(&rows, 3),
            .domain = rows_text(&rows, 4),
        };
        lanes_added(lanes, &key, BUCKETS, rows_int(&rows, 5));
    }
    return rows_end(&rows);
}

void lanes_added(struct lanes *lanes, const struct lane_key *key, unsigned bucket, time_ms due)
{
    struct lane *lane = lane_get(lanes, key);
    if (!lane->before)
        lane_due(lanes, lane, due);
    else if (bucket < BUCKETS) /* it may have been found drained already */
        lane->may_have[bucket / 64] |= 1ull << bucket % 64;
    else
        memset(lane->may_have, 0xff, sizeof(lane->may_have));
}

void lanes_route(struct lanes *lanes, struct slice name, struct lane_group *group, struct destination *destination)
{
    struct domain *domain = domain_get(lanes, name);
    domain->is_asked = false;
    domain->destination = destination;
    if (domain->group == group)
        return;
    for (struct lane *lane = domain->lanes; lane; lane = lane->of_domain) {
        if (!lane->before)
            continue;
        ring_remove(domain->group, lane);
        lane->next_due = 0;
        lane_sleep(lanes, lane);
    }
    domain->group = group;
}

time_ms lanes_wake(struct lanes *lanes, time_ms now)
{
    while (lanes->heap_count && lanes->heap[1]->next_due <= now) {
        struct lane *lane = lanes->heap[1];
        struct domain *domain = lane->domain;
        if (domain->group) {
            lane_activate(lanes, lane);
            lanes->woken(lanes->owner, domain->group);
            continue;
        }
        /* nobody knows where it goes yet: it sleeps a little while the question is under way */
        lane->next_due = now + 100;
        lane_sleep(lanes, lane);
        if (!domain->is_asked) {
            domain->is_asked = true;
            lanes->want_route(lanes->owner, domain->name);
        }
    }
    return lanes->heap_count ? lanes->heap[1]->next_due : INT64_MAX;
}

static struct slice tail_copy(char **to, struct slice s)
{
    if (s.len)
        memcpy(*to, s.ptr, s.len);
    struct slice copy = slice_of(*to, s.len);
    *to += s.len;
    return copy;
}

static struct recipient *recipient_of_row(struct lane *lane, const struct rows *rows)
{
    struct slice address = rows_text(rows, 10), written = rows_text(rows, 11), name = rows_text(rows, 12),
                 fields = rows_text(rows, 13);
    struct recipient *recipient =
        memory_zero(1, sizeof(*recipient) + address.len + written.len + name.len + fields.len);
    char *to = (char *)(recipient + 1);
    recipient->lane = lane;
    recipient->destination = lane->domain->destination;
    recipient->lane_id = lane->key.id;
    recipient->brand_id = lane->key.brand_id;
    recipient->campaign_id = lane->key.campaign_id;
    recipient->domain = lane->domain->name;
    recipient->id = (uint64_t)rows_int(rows, 0);
    recipient->state = (enum delivery_state)rows_int(rows, 1);
    recipient->due = rows_int(rows, 2);
    recipient->attempts = (unsigned)rows_int(rows, 3);
    recipient->contact_id = (uint64_t)rows_int(rows, 4);
    recipient->message_id = (uint64_t)rows_int(rows, 5);
    recipient->version_id = (uint64_t)rows_int(rows, 6);
    recipient->date = rows_int(rows, 7);
    recipient->accepted = rows_int(rows, 8);
    recipient->expires = rows_int(rows, 9);
    recipient->address = tail_copy(&to, address);
    recipient->written = tail_copy(&to, written);
    recipient->name = tail_copy(&to, name);
    recipient->fields = tail_copy(&to, fields);
    return recipient;
}

/* Due rows of one bucket of a lane; clears the bucket's bit when it is drained. */
static bool claim_bucket(struct lanes *lanes, struct lane *lane, unsigned bucket, time_ms now, size_t most,
                         struct recipient ***tail, size_t *count, struct fault *why)
{
    size_t limit = most + lane->claimed + 1, seen = 0, taken = 0;
    bool is_drained = true;
    SCOPED(rows) rows = {0};
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT d.id, d.state, d.due_ms, d.attempts, d.contact_id, d.message_id, d.version_id, d.date_ms, "
                  "d.accepted_ms, "
                  "d.expires_ms, d.address, d.written, c.name, c.fields FROM delivery d LEFT JOIN contact c ON "
                  "c.bucket = d.bucket "
                  "AND c.id = d.contact_id WHERE d.bucket = $1 AND d.lane_id = $2 AND d.state <= 1 ORDER BY d.due_ms, "
                  "d.id LIMIT $3",
                  VALUES(V_INT(bucket), V_INT((int64_t)lane->key.id), V_INT((int64_t)limit))))
        return false;
    while (rows_next(&rows)) {
        seen++;
        time_ms due = rows_int(&rows, 2);
        if (id_map_get(&lanes->claimed, (uint64_t)rows_int(&rows, 0)))
            continue;
        if (due > now) {
            if (due < lane->next_due)
                lane->next_due = due;
            break;
        }
        if (taken == most) {
            is_drained = false;
            break;
        }
        struct recipient *recipient = recipient_of_row(lane, &rows);
        id_map_set(&lanes->claimed, recipient->id, recipient);
        lane->claimed++;
        **tail = recipient;
        *tail = &recipient->next;
        taken++;
    }
    *count += taken;
    if (!rows_end(&rows))
        return false;
    if (is_drained && seen == limit)
        is_drained = false; /* all we saw was claimed already: there may be more behind */
    if (is_drained)
        lane->may_have[bucket / 64] &= ~(1ull << bucket % 64);
    return true;
}

static bool lane_is_drained(const struct lane *lane)
{
    for (size_t i = 0; i < COUNT_OF(lane->may_have); i++)
        if (lane->may_have[i])
            return false;
    return true;
}

/* One lane's turn: at most `most` rows. */
static bool claim_lane(struct lanes *lanes, struct lane *lane, time_ms now, size_t most, struct recipient ***tail,
                       size_t *count, struct fault *why)
{
    size_t before = *count;
    for (unsigned step = 0; step < BUCKETS && *count - before < most; step++) {
        unsigned bucket = lane->cursor;
        if (lane->may_have[bucket / 64] >> bucket % 64 & 1) {
            if (!claim_bucket(lanes, lane, bucket, now, most - (*count - before), tail, count, why))
                return false;
            if (lane->may_have[bucket / 64] >> bucket % 64 & 1 && *count - before >= most)
                break; /* this bucket has more: go on with it next time */
        }
        lane->cursor = (lane->cursor + 1) % BUCKETS;
    }
    if (lane_is_drained(lane)) {
        ring_remove(lane->domain->group, lane);
        lane_sleep(lanes, lane);
    }
    return true;
}

bool lanes_claim(struct lanes *lanes, struct lane_group *group, time_ms now, size_t most, struct recipient **list,
                 size_t *count, struct fault *why)
{
    struct recipient **tail = list;
    *list = NULL;
    *count = 0;
    *why = (struct fault){0};
    for (int priority = 0; priority < LANE_PRIORITIES; priority++) {
        size_t idle = 0; /* lanes in a row that gave nothing */
        while (*count < most && group->active[priority] && idle <= group->active_count) {
            struct lane *lane = group->active[priority];
            group->active[priority] = lane->after;
            size_t before = *count, turn = most - *count < LANE_TURN ? most - *count : LANE_TURN;
            if (!lane->is_held && !claim_lane(lanes, lane, now, turn, &tail, count, why))
                break;
            idle = *count == before ? idle + 1 : 0;
        }
    }
    if (why->kind == FAULT_NONE)
        return true;
    while (*list) { /* the store failed: what was claimed goes back as it was */
        struct recipient *recipient = *list;
        *list = recipient->next;
        recipient->next_due = recipient->due;
        lanes_return(lanes, recipient);
    }
    *count = 0;
    return false;
}

void lanes_return(struct lanes *lanes, struct recipient *recipient)
{
    struct lane *lane = recipient->lane;
    id_map_remove(&lanes->claimed, recipient->id);
    lane->claimed--;
    if (recipient->next_due) {
        unsigned bucket = recipient_bucket(recipient);
        if (lane->before && recipient->next_due <= recipient->due)
            lane->may_have[bucket / 64] |= 1ull << bucket % 64;
        else
            lane_due(lanes, lane, recipient->next_due);
    }
    recipient_free(recipient);
}

void lanes_hold(struct lanes *lanes, bool (*is_held)(void *context, const struct lane_key *key), void *context)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));) {
        struct lane *lane = entry->value;
        bool was_held = lane->is_held;
        lane->is_held = is_held(context, &lane->key);
        if (was_held && !lane->is_held && lane->before)
            lanes->woken(lanes->owner, lane->domain->group);
    }
}

struct lanes_figures lanes_figures(const struct lanes *lanes)
{
    return (struct lanes_figures){lanes->by_id.count, lanes->domains.count, lanes->claimed.count};
}
