#include "queue/lanes.h"

#include "mail/address.h"
#include "queue/turns.h"
#include <assert.h>

struct domain;

struct lane {
    struct lane_key key;
    struct domain *domain;
    struct lane *of_domain, *of_domain_before; /* lanes of the same domain */
    struct ring_link link;                     /* in its campaign's ring of active lanes */
    struct campaign_turn *turn;                /* NULL: not active */
    size_t heap_at;                            /* 1..: place in the heap of the sleeping; 0: not there */
    time_ms next_due;                          /* earliest instant at which a row is known to be due */
    time_ms upto;                              /* active: only what is due until then, as its campaign is ranked */
    time_ms look_again;                        /* active: not before this for what has become due meanwhile */
    uint64_t owed[BUCKETS / 64];               /* buckets that may have rows which are not in memory */
    uint64_t may_have[BUCKETS / 64];           /* active: of these, buckets not yet found drained of what is due */
    unsigned cursor;                           /* bucket to go on with */
    time_ms after_due;                         /* in that bucket, rows up to here (due, then id) have been seen */
    uint64_t after_id;
    size_t claimed; /* rows of this lane in memory */
    bool is_held;
};

struct domain {
    struct slice name; /* the map's key */
    struct lane *lanes;
    struct lane_group *group;
    struct destination *destination;
    bool is_asked, is_asked_urgently;
};

struct lanes {
    struct db *reader;
    lanes_want_route want_route;
    lanes_woken woken;
    void *owner;
    struct id_map by_id;   /* -> struct lane */
    struct map domains;    /* -> struct domain */
    struct id_map claimed; /* delivery id -> struct recipient */
    struct id_map weights; /* brand id -> its weight */
    struct id_map ranked;  /* campaign id -> the last of its ranks (an instant) */
    struct lane **heap;    /* sleeping lanes by next_due, from 1 */
    size_t heap_count, heap_room;
    bool (*is_held)(void *context, const struct lane_key *key);
    void *holds;
    lanes_namer namer;
    void *names;
    struct lanes_share share;
    uint64_t queries, rows_read;
};

enum { LOOK_AGAIN_MS = 10000 };

static void bit_set(uint64_t *bits, unsigned bucket)
{
    bits[bucket / 64] |= 1ull << bucket % 64;
}
static void bit_clear(uint64_t *bits, unsigned bucket)
{
    bits[bucket / 64] &= ~(1ull << bucket % 64);
}
static bool bit_is_set(const uint64_t *bits, unsigned bucket)
{
    return bits[bucket / 64] >> bucket % 64 & 1;
}
static bool bits_are_clear(const uint64_t *bits)
{
    for (size_t i = 0; i < BUCKETS / 64; i++)
        if (bits[i])
            return false;
    return true;
}

void recipient_free(struct recipient *recipient)
{
    free(recipient->outgoing);
    shared_drop(recipient->body);
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

static struct lane *lane_of_link(struct ring_link *link)
{
    return (struct lane *)((char *)link - offsetof(struct lane, link));
}

static unsigned weight_of(void *lanes, uint64_t brand_id)
{
    uintptr_t weight = (uintptr_t)id_map_get(&((struct lanes *)lanes)->weights, brand_id);
    return weight ? (unsigned)weight : 1;
}

void lanes_weigh(struct lanes *lanes, uint64_t brand_id, unsigned weight)
{
    if (weight < 1 || weight > LANE_WEIGHT_MOST)
        weight = weight < 1 ? 1 : LANE_WEIGHT_MOST;
    if (brand_id && weight_of(lanes, brand_id) != weight)
        id_map_set(&lanes->weights, brand_id, (void *)(uintptr_t)weight);
}

void lanes_rank(struct lanes *lanes, uint64_t campaign_id, time_ms last)
{
    if (campaign_id && last > 0)
        id_map_set(&lanes->ranked, campaign_id, (void *)(uintptr_t)last);
}

/* Awake by what is due at `due`: a rank of its campaign goes alone. */
static time_ms rank_of(const struct lanes *lanes, const struct lane *lane, time_ms due)
{
    time_ms last = lanes->ranked.count ? (time_ms)(uintptr_t)id_map_get(&lanes->ranked, lane->key.campaign_id) : 0;
    return due < last ? due : INT64_MAX;
}

/* --- lanes and domains --- */

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
        domain = memory_zero(1, sizeof(*domain) + name.len);
        memcpy(domain + 1, name.ptr, name.len);
        domain->name = slice_of(domain + 1, name.len);
        map_set(&lanes->domains, name, domain);
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

static struct lane *lane_get(struct lanes *lanes, const struct lane_key *key)
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

/* Nothing is owed and nothing is in memory: the lane need not be remembered. */
static void lane_forget_if_empty(struct lanes *lanes, struct lane *lane)
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

static void look_from_the_start(struct lane *lane)
{
    lane->after_due = 0;
    lane->after_id = 0;
}

/* Every bucket that may have something is to be looked at. */
static void look_everywhere(struct lane *lane)
{
    memcpy(lane->may_have, lane->owed, sizeof(lane->may_have));
    lane->next_due = INT64_MAX;
    look_from_the_start(lane);
}

static void lane_activate(struct lanes *lanes, struct lane *lane)
{
    heap_remove(lanes, lane);
    lane->upto = rank_of(lanes, lane, lane->next_due);
    look_everywhere(lane);
    lane->look_again = 0;
    if (!lane->turn)
        lane_join(lane->domain->group, lane);
}

/* Something of this lane is due at `due`. */
static void lane_due(struct lanes *lanes, struct lane *lane, time_ms due)
{
    if (due < lane->next_due) {
        lane->next_due = due;
        if (!lane->turn)
            lane_sleep(lanes, lane);
    }
}

/* This bucket has something that can be claimed now, perhaps in front of what was seen. */
static void lane_has_now(struct lane *lane, unsigned bucket)
{
    bit_set(lane->may_have, bucket);
    if (bucket == lane->cursor)
        look_from_the_start(lane);
}

/* Is this lane's mail in this bucket ours to claim? */
static bool is_served(const struct lanes *lanes, const struct lane_key *key, unsigned bucket)
{
    struct bucket_set set;
    if (!lanes->share.served)
        return true;
    lanes->share.served(lanes->share.context, key, &set);
    return bucket_set_has(&set, bucket);
}

/* Rows of this lane are owed in this bucket. */
static void lane_owes(struct lanes *lanes, struct lane *lane, unsigned bucket, time_ms due)
{
    assert(bucket < BUCKETS);
    bit_set(lane->owed, bucket);
    if (lane->turn)
        lane_has_now(lane, bucket);
    else
        lane_due(lanes, lane, due);
}

/* A lane that was not in memory; NULL and why->kind FAULT_NONE: there is no such lane. */
static struct lane *lane_read(struct lanes *lanes, uint64_t id, struct fault *why)
{
    struct lane *lane = NULL;
    SCOPED(rows) rows = {0};
    *why = (struct fault){0};
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT brand_id, campaign_id, priority, domain, waives_tls FROM lane WHERE id = $1",
                  VALUES(V_INT((int64_t)id))))
        return NULL;
    if (rows_next(&rows)) {
        struct lane_key key = {
            .id = id,
            .brand_id = (uint64_t)rows_int(&rows, 0),
            .campaign_id = (uint64_t)rows_int(&rows, 1),
            .priority = (int)rows_int(&rows, 2),
            .domain = rows_text(&rows, 3),
            .waives_tls = rows_int(&rows, 4) != 0,
        };
        lane = lane_get(lanes, &key);
    }
    return rows_end(&rows) ? lane : NULL;
}

/* From the index alone; each lane is looked up once, not for each of its buckets. */
static bool load_bucket(struct lanes *lanes, unsigned bucket, struct fault *why)
{
    struct met {
        uint64_t id;
        time_ms due;
    } *fresh = NULL;
    size_t count = 0, room = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT lane_id, MIN(due_ms) FROM delivery WHERE bucket = $1 AND state <= 1 GROUP BY bucket, lane_id",
                  VALUES(V_INT(bucket))))
        return false;
    while (rows_next(&rows)) {
        uint64_t id = (uint64_t)rows_int(&rows, 0);
        struct lane *lane = id_map_get(&lanes->by_id, id);
        if (lane) {
            if (is_served(lanes, &lane->key, bucket))
                lane_owes(lanes, lane, bucket, rows_int(&rows, 1));
            continue;
        }
        if (count == room)
            fresh = memory_resize(fresh, room = room ? room * 2 : 64, sizeof(*fresh));
        fresh[count++] = (struct met){id, rows_int(&rows, 1)};
    }
    bool ok = rows_end(&rows);
    for (size_t i = 0; ok && i < count; i++) {
        struct lane *lane = lane_read(lanes, fresh[i].id, why);
        if (lane && is_served(lanes, &lane->key, bucket))
            lane_owes(lanes, lane, bucket, fresh[i].due);
        else if (lane)
            lane_forget_if_empty(lanes, lane);
        ok = why->kind == FAULT_NONE;
    }
    free(fresh);
    return ok;
}

bool lanes_load(struct lanes *lanes, struct fault *why)
{
    *why = (struct fault){0};
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++)
        if ((!lanes->share.served || bucket_set_has(&lanes->share.buckets, bucket)) && !load_bucket(lanes, bucket, why))
            return false;
    return true;
}

void lanes_added(struct lanes *lanes, const struct lane_key *key, unsigned bucket, time_ms due)
{
    if (is_served(lanes, key, bucket))
        lane_owes(lanes, lane_get(lanes, key), bucket, due);
    else
        lanes->share.elsewhere(lanes->share.context, key, bucket, due);
}

void lanes_serve(struct lanes *lanes, const struct lanes_share *share)
{
    size_t at = 0;
    lanes->share = *share;
    for (struct id_map_entry *entry; (entry = id_map_walk(&lanes->by_id, &at));) {
        struct lane *lane = entry->value; /* one that is left without a bucket is forgotten when it wakes */
        struct bucket_set set;
        share->served(share->context, &lane->key, &set);
        for (size_t i = 0; i < BUCKETS / 64; i++) {
            lane->owed[i] &= set.bits[i];
            lane->may_have[i] &= set.bits[i];
        }
    }
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
        heap_remove(lanes, lane); /* lanes_route puts it back */
        bool is_urgent = lane->key.priority == 0;
        if (domain->is_asked && (domain->is_asked_urgently || !is_urgent))
            continue;
        domain->is_asked = true;
        domain->is_asked_urgently = is_urgent;
        lanes->want_route(lanes->owner, domain->name, is_urgent);
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
    recipient->priority = lane->key.priority;
    recipient->brand_id = lane->key.brand_id;
    recipient->campaign_id = lane->key.campaign_id;
    recipient->domain = lane->key.domain;
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

/* Due rows of the lane's current bucket, behind those seen; clears the bucket's bit when it is drained of them. */
static bool claim_bucket(struct lanes *lanes, struct lane *lane, time_ms now, size_t most, struct recipient ***tail,
                         size_t *count, struct fault *why)
{
    size_t seen = 0;
    bool has_later = false;
    SCOPED(rows) rows = {0};
    if (!db_query(lanes->reader, why, &rows,
                  "SELECT d.id, d.state, d.due_ms, d.attempts, d.contact_id, d.message_id, d.version_id, d.date_ms, "
                  "d.accepted_ms, d.expires_ms, d.address, d.written, c.name, c.fields FROM delivery d LEFT JOIN "
                  "contact c ON c.bucket = d.bucket AND c.id = d.contact_id WHERE d.bucket = $1 AND d.lane_id = $2 AND "
                  "d.state <= 1 AND (d.due_ms, d.id) > ($3, $4) ORDER BY d.due_ms, d.id LIMIT $5",
                  VALUES(V_INT(lane->cursor), V_INT((int64_t)lane->key.id), V_INT(lane->after_due),
                         V_INT((int64_t)lane->after_id), V_INT((int64_t)most))))
        return false;
    lanes->queries++;
    while (!has_later && rows_next(&rows)) {
        seen++;
        uint64_t id = (uint64_t)rows_int(&rows, 0);
        time_ms due = rows_int(&rows, 2);
        bool is_claimed = id_map_get(&lanes->claimed, id) != NULL;
        if (!is_claimed && due > now) {
            has_later = true;
            if (due < lane->next_due)
                lane->next_due = due;
            break;
        }
        lane->after_due = due;
        lane->after_id = id;
        if (is_claimed)
            continue;
        struct recipient *recipient = recipient_of_row(lane, &rows);
        id_map_set(&lanes->claimed, recipient->id, recipient);
        lane->claimed++;
        **tail = recipient;
        *tail = &recipient->next;
        ++*count;
    }
    lanes->rows_read += seen;
    if (!rows_end(&rows))
        return false;
    if (has_later || seen < most)
        bit_clear(lane->may_have, lane->cursor);
    if (!has_later && seen < most) /* whoever is in memory says so when coming home */
        bit_clear(lane->owed, lane->cursor);
    return true;
}

/* One lane's turn: at most `most` rows. */
static bool claim_lane(struct lanes *lanes, struct lane *lane, time_ms now, size_t most, struct recipient ***tail,
                       size_t *count, struct fault *why)
{
    size_t end = *count + most;
    time_ms until = now < lane->upto ? now : lane->upto;
    if (lane->next_due <= until && lane->look_again <= now) { /* retries need not wait for the end of a long lane */
        look_everywhere(lane);
        lane->look_again = now + LOOK_AGAIN_MS;
    }
    for (unsigned step = 0; step < BUCKETS && *count < end;) {
        if (bit_is_set(lane->may_have, lane->cursor)) {
            if (!claim_bucket(lanes, lane, until, end - *count, tail, count, why))
                return false;
            continue;
        }
        lane->cursor = (lane->cursor + 1) % BUCKETS;
        look_from_the_start(lane);
        step++;
    }
    return true;
}

/* Whatever was due is in memory. */
static void lane_rests(struct lanes *lanes, struct lane *lane)
{
    lane_leave(lane->domain->group, lane);
    lane_sleep(lanes, lane);
    lane_forget_if_empty(lanes, lane);
}

/* Of one priority, by turns. */
static void claim_priority(struct lanes *lanes, struct lane_group *group, int priority, time_ms now, size_t most,
                           struct recipient ***tail, size_t *count, struct fault *why)
{
    size_t idle = 0; /* lanes in a row that gave nothing */
    size_t part = most / 4 < LANE_TURN_LEAST ? LANE_TURN_LEAST : most / 4;
    unsigned quantum = part > LANE_TURN ? LANE_TURN : (unsigned)part;
    while (*count < most && idle <= group->active_count) {
        struct campaign_turn *campaign;
        size_t before = *count, turn;
        struct ring_link *link = turns_next(group, priority, weight_of, lanes, quantum, &campaign, &turn);
        if (!link)
            return;
        struct lane *lane = lane_of_link(link);
        if (turn > LANE_TURN)
            turn = LANE_TURN;
        if (turn > most - *count)
            turn = most - *count;
        if (!lane->is_held && !claim_lane(lanes, lane, now, turn, tail, count, why))
            return;
        turns_gave(group, campaign, *count - before);
        idle = *count == before ? idle + 1 : 0;
        if (!lane->is_held && bits_are_clear(lane->may_have))
            lane_rests(lanes, lane);
    }
}

static bool claim_up_to(struct lanes *lanes, struct lane_group *group, int last_priority, time_ms now, size_t most,
                        struct recipient **list, size_t *count, struct fault *why)
{
    struct recipient **tail = list;
    *list = NULL;
    *count = 0;
    *why = (struct fault){0};
    for (int priority = 0; priority <= last_priority && why->kind == FAULT_NONE; priority++)
        claim_priority(lanes, group, priority, now, most, &tail, count, why);
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

bool lanes_claim(struct lanes *lanes, struct lane_group *group, time_ms now, size_t most, struct recipient **list,
                 size_t *count, struct fault *why)
{
    return claim_up_to(lanes, group, LANE_PRIORITIES - 1, now, most, list, count, why);
}

bool lanes_claim_urgent(struct lanes *lanes, struct lane_group *group, time_ms now, size_t most,
                        struct recipient **list, size_t *count, struct fault *why)
{
    return claim_up_to(lanes, group, 0, now, most, list, count, why);
}

void lanes_return(struct lanes *lanes, struct recipient *recipient)
{
    struct lane *lane = recipient->lane;
    id_map_remove(&lanes->claimed, recipient->id);
    lane->claimed--;
    unsigned bucket = recipient_bucket(recipient);
    if (recipient->next_due && !is_served(lanes, &lane->key, bucket)) {
        lanes->share.elsewhere(lanes->share.context, &lane->key, bucket, recipient->next_due);
    } else if (recipient->next_due) {
        bit_set(lane->owed, bucket);
        if (lane->turn && recipient->next_due <= recipient->due)
            lane_has_now(lane, bucket);
        else
            lane_due(lanes, lane, recipient->next_due);
    }
    recipient_free(recipient);
    lane_forget_if_empty(lanes, lane);
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
        if (was_held && !lane->is_held && lane->turn)
            lanes->woken(lanes->owner, lane->domain->group);
    }
}

struct lanes_figures lanes_figures(const struct lanes *lanes)
{
    return (struct lanes_figures){lanes->by_id.count, lanes->domains.count, lanes->claimed.count, lanes->queries,
                                  lanes->rows_read};
}
