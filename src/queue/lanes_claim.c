#include "queue/lanes_inside.h"

enum { LOOK_AGAIN_MS = 10000 };

void recipient_free(struct recipient *recipient)
{
    free(recipient->outgoing);
    shared_drop(recipient->body);
    free(recipient->compose_fault);
    free(recipient);
}

static struct lane *lane_of_link(struct ring_link *link)
{
    return (struct lane *)((char *)link - offsetof(struct lane, link));
}

static struct slice tail_copy(char **to, struct slice s)
{
    if (s.len)
        memcpy(*to, s.ptr, s.len);
    struct slice copy = slice_of(*to, s.len);
    *to += s.len;
    return copy;
}

#define RECIPIENT_COLUMNS                                                                                              \
    "SELECT d.id, d.state, d.due_ms, d.attempts, d.contact_id, d.message_id, d.version_id, d.date_ms, d.accepted_ms, " \
    "d.expires_ms, d.source_id, d.address, d.written, c.name, c.fields FROM delivery d LEFT JOIN contact c ON "        \
    "c.bucket = d.bucket AND c.id = d.contact_id "

static struct recipient *recipient_of_row(struct lane *lane, const struct rows *rows)
{
    struct slice address = rows_text(rows, 11), written = rows_text(rows, 12), name = rows_text(rows, 13),
                 fields = rows_text(rows, 14);
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
    recipient->source_id = (uint64_t)rows_int(rows, 10);
    recipient->address = tail_copy(&to, address);
    recipient->written = tail_copy(&to, written);
    recipient->name = tail_copy(&to, name);
    recipient->fields = tail_copy(&to, fields);
    return recipient;
}

static void take(struct lanes *lanes, struct recipient *recipient, struct recipient ***tail, size_t *count)
{
    id_map_set(&lanes->claimed, recipient->id, recipient);
    recipient->lane->claimed++;
    **tail = recipient;
    *tail = &recipient->next;
    ++*count;
}

/* Due rows of the lane's current bucket, behind those seen; clears the bucket's bit when it is drained of them. */
static bool claim_bucket(struct lanes *lanes, struct lane *lane, time_ms now, size_t most, struct recipient ***tail,
                         size_t *count, struct fault *why)
{
    size_t seen = 0;
    bool has_later = false;
    SCOPED(rows) rows = {0};
    if (!db_query(lanes->reader, why, &rows,
                  RECIPIENT_COLUMNS "WHERE d.bucket = $1 AND d.lane_id = $2 AND d.state <= 1 AND (d.due_ms, d.id) > "
                                    "($3, $4) ORDER BY d.due_ms, d.id LIMIT $5",
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
        take(lanes, recipient_of_row(lane, &rows), tail, count);
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
        lane_look_everywhere(lane);
        lane->look_again = now + LOOK_AGAIN_MS;
    }
    for (unsigned step = 0; step < BUCKETS && *count < end;) {
        if (bit_is_set(lane->may_have, lane->cursor)) {
            if (!claim_bucket(lanes, lane, until, end - *count, tail, count, why))
                return false;
            continue;
        }
        lane->cursor = (lane->cursor + 1) % BUCKETS;
        lane_look_from_the_start(lane);
        step++;
    }
    return true;
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
        struct ring_link *link = turns_next(group, priority, lanes_weight_of, lanes, quantum, &campaign, &turn);
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

/* The store failed: what was claimed goes back as it was. */
static void put_back(struct lanes *lanes, struct recipient **list, size_t *count)
{
    while (*list) {
        struct recipient *recipient = *list;
        *list = recipient->next;
        recipient->next_due = recipient->due;
        lanes_return(lanes, recipient);
    }
    *count = 0;
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
    put_back(lanes, list, count);
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

/* --- rows whose end has come, where nothing goes --- */

static bool is_shut(const struct lane *lane, const struct lanes_ended *ended)
{
    return lane->turn && !lane->is_held && ended->is_shut(ended->context, lane->domain->group);
}

/* The lane that the walk is in, or the next one; NULL: the walk is at its end, or has gone far enough for now. */
static struct lane *ended_lane(struct lanes *lanes, const struct lanes_ended *ended)
{
    enum { PASSED_MOST = 10000 };
    struct lane *lane = lanes->ended_lane ? id_map_get(&lanes->by_id, lanes->ended_lane) : NULL;
    if (lane && lanes->ended_bucket < BUCKETS && is_shut(lane, ended))
        return lane;
    lanes->ended_lane = 0;
    lanes->ended_bucket = 0;
    for (int passed = 0; passed < PASSED_MOST; passed++) {
        struct id_map_entry *entry = id_map_walk(&lanes->by_id, &lanes->ended_at);
        if (!entry) {
            lanes->ended_at = 0;
            return NULL;
        }
        lane = entry->value;
        if (!is_shut(lane, ended))
            continue;
        lanes->ended_lane = lane->key.id;
        return lane;
    }
    return NULL;
}

static bool claim_ended_of_bucket(struct lanes *lanes, struct lane *lane, unsigned bucket,
                                  const struct lanes_ended *ended, struct recipient **list, size_t *count,
                                  struct fault *why)
{
    SCOPED(rows) rows = {0};
    struct recipient **tail = list;
    if (!db_query(lanes->reader, why, &rows,
                  RECIPIENT_COLUMNS "WHERE d.bucket = $1 AND d.lane_id = $2 AND d.state <= 1 AND d.due_ms <= $3 AND "
                                    "d.expires_ms <= $3 AND d.expires_ms - d.accepted_ms < $4 ORDER BY d.due_ms, d.id "
                                    "LIMIT $5",
                  VALUES(V_INT(bucket), V_INT((int64_t)lane->key.id), V_INT(ended->now), V_INT(ended->house),
                         V_INT(LANES_ENDED_MOST))))
        return false;
    lanes->queries++;
    while (rows_next(&rows)) {
        lanes->rows_read++;
        if (!id_map_get(&lanes->claimed, (uint64_t)rows_int(&rows, 0)))
            take(lanes, recipient_of_row(lane, &rows), &tail, count);
    }
    if (rows_end(&rows))
        return true;
    put_back(lanes, list, count);
    return false;
}

bool lanes_claim_ended(struct lanes *lanes, const struct lanes_ended *ended, struct recipient **list, size_t *count,
                       bool *is_round, struct fault *why)
{
    *list = NULL;
    *count = 0;
    struct lane *lane = ended_lane(lanes, ended);
    *is_round = !lane && !lanes->ended_at;
    if (!lane)
        return true;
    while (lanes->ended_bucket < BUCKETS && !bit_is_set(lane->owed, lanes->ended_bucket))
        lanes->ended_bucket++;
    return lanes->ended_bucket == BUCKETS ||
           claim_ended_of_bucket(lanes, lane, lanes->ended_bucket++, ended, list, count, why);
}

void lanes_return(struct lanes *lanes, struct recipient *recipient)
{
    struct lane *lane = recipient->lane;
    id_map_remove(&lanes->claimed, recipient->id);
    lane->claimed--;
    unsigned bucket = recipient_bucket(recipient);
    if (recipient->next_due && !lanes_are_served(lanes, &lane->key, bucket)) {
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
