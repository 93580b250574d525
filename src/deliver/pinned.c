/* pinned.c - who was in doubt goes again by the source that was used then, while that source lives (R22)
 *
 * A receiver that knows a mail again by its Message-ID looks at who brings it, too. So a recipient that was in doubt
 * has a destination of its own beside the one it was claimed for: the same hosts and the same site, with its pace and
 * its turns, and connections from that one source only. When the source drains, is in trouble, was taken away or has
 * used up its day, any source of the pool will do, and the event of that attempt says why. One that another node alone
 * has is that node's to use (nodes_given.c). Such destinations are the worker's, and go with the one they stand
 * beside. */
#include "deliver/destination.h"
#include "deliver/egress.h"
#include "deliver/engine_inside.h"
#include "deliver/site.h"
#include "deliver/slot.h"

static struct destination *beside(struct worker *worker, struct destination *of, uint64_t source_id)
{
    struct destination *destination = NEW(struct destination);
    destination->key = of->key;
    destination->site = of->site;
    destination->kept = of->kept;
    destination->kept->held++;
    destination->of = of;
    destination->source_id = source_id;
    destination->next_pinned = of->pinned;
    of->pinned = destination;
    destination_meet(worker, destination);
    return destination;
}

struct destination *destination_for(struct worker *worker, struct destination *destination, uint64_t source_id)
{
    if (!source_id || !destination->site->pool.len)
        return destination;
    for (struct destination *pinned = destination->pinned; pinned; pinned = pinned->next_pinned)
        if (pinned->source_id == source_id)
            return pinned;
    return beside(worker, destination, source_id);
}

void destination_routed(struct destination *destination, struct route_kept *kept)
{
    route_kept_drop(destination->kept);
    destination->kept = kept;
    for (struct slot *slot = destination->slots; slot; slot = slot->next) {
        slot->is_outdated |= slot_is_outdated(slot);
        if (slot->is_outdated)
            slot_leave_if_idle(slot);
    }
    for (struct destination *pinned = destination->pinned; pinned; pinned = pinned->next_pinned) {
        kept->held++;
        destination_routed(pinned, kept);
    }
}

void destination_free(struct destination *destination)
{
    for (struct destination *pinned = destination->pinned, *next; pinned; pinned = next) {
        next = pinned->next_pinned;
        destination_free(pinned);
    }
    route_kept_drop(destination->kept);
    destination_left_free(destination);
    free(destination);
}

struct egress *destination_egress(const struct destination *destination, time_ms now)
{
    if (!destination->source_id)
        return NULL;
    for (struct egress *egress = destination->site->egresses; egress; egress = egress->next)
        if (egress->source_id == destination->source_id)
            return egress->is_usable && now >= egress->bad_until && !egress->allowance.is_used_up ? egress : NULL;
    return NULL;
}

/* Why it cannot be used, as a word; "then": it could by now. */
static const char *why_not(const struct worker *worker, const struct site *site, uint64_t source_id,
                           const struct set_source *source)
{
    if (!source)
        return "removed";
    if (!slice_equal(source->pool, site->pool))
        return "pool";
    if (!source->is_usable)
        return "unusable";
    if (!source->is_ours)
        return source->is_capped ? "day" : "node";
    for (const struct egress *egress = site->egresses; egress; egress = egress->next)
        if (egress->source_id == source_id)
            return egress->allowance.is_used_up                 ? "day"
                   : loop_now(worker->loop) < egress->bad_until ? "address"
                                                                : "then";
    return "then";
}

struct slice pinned_note(struct worker *worker, const struct recipient *recipient, struct arena *arena)
{
    const struct source_set *set = worker->sources;
    const struct set_source *source = NULL;
    char ip[IP_TEXT_ROOM] = "";
    if (!recipient->source_id || recipient->marked_id == recipient->source_id)
        return SLICE("");
    for (size_t i = 0; set && i < set->count && !source; i++)
        source = set->list[i].id == recipient->source_id ? &set->list[i] : NULL;
    if (source)
        ip_text(&source->ip, ip);
    return arena_printf(arena, EVENT_NOTE_OTHER_SOURCE "%s %s",
                        why_not(worker, recipient->destination->site, recipient->source_id, source), ip);
}
