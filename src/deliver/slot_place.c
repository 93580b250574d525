/* slot_place.c - at which host of its route, by which address, a slot connects next (RFC 5321 5.1, R17)
 *
 * Hosts in the order of preference, equals in turns (next_host); of each, its addresses, likewise (slot_address).
 * A family that does not connect, or is refused in the first words, is left out for a while where there is the other;
 * hosts that policy refuses are passed over (deliver/security.h). */
#include "deliver/engine_inside.h"
#include "deliver/slot.h"
#include "deliver/tls_seen.h"

enum { FAMILY_DEAD_MS = 600000 };

const struct ip *slot_address(const struct slot *slot, const struct route_host *host, size_t address)
{
    const struct ip *all = host->addresses;
    size_t other = address ^ 1, of_family = 0, place = 0;
    if (slot->begins_other && other < host->address_count && all[other].family != all[address].family)
        address = other;
    for (size_t i = 0; i < host->address_count; i++) {
        place += i < address && all[i].family == all[address].family;
        of_family += all[i].family == all[address].family;
    }
    place = (place + slot->round / 2) % of_family;
    for (size_t i = 0;; i++)
        if (all[i].family == all[address].family && place-- == 0)
            return &all[i];
}

/* ── hosts: those of the best preference, round, from another one for each connection; then those of the next ── */

static size_t end_of_equals(const struct route *route, size_t begin)
{
    size_t end = begin;
    while (end < route->host_count && route->hosts[end].preference == route->hosts[begin].preference)
        end++;
    return end;
}

static size_t first_of_equals(const struct slot *slot, size_t begin)
{
    size_t end = end_of_equals(&slot->kept->route, begin);
    return begin < end ? begin + slot->spin % (end - begin) : begin;
}

void slot_place_begin(struct slot *slot)
{
    size_t equals = end_of_equals(&slot->kept->route, 0);
    slot->spin = slot->destination->spin++;
    slot->round = equals ? slot->spin / (unsigned)equals : 0;
    slot->begins_other = slot->round % 2;
    slot->host = first_of_equals(slot, 0);
}

/* Behind the last one: host_count. */
static void next_host(struct slot *slot)
{
    const struct route *route = &slot->kept->route;
    unsigned preference = route->hosts[slot->host].preference;
    size_t begin = slot->host, end = end_of_equals(route, begin);
    while (begin > 0 && route->hosts[begin - 1].preference == preference)
        begin--;
    slot->address = 0;
    slot->host = slot->host + 1 < end ? slot->host + 1 : begin;
    if (slot->host == first_of_equals(slot, begin))
        slot->host = first_of_equals(slot, end);
}

/* R17: while a family does not connect at this destination, its addresses are left out where the host has others that
 * our source can reach. */
static bool is_dead_family(const struct slot *slot, const struct route_host *host, size_t address)
{
    if (slot->egress->from.family)
        return false;
    const time_ms *dead = slot->destination->dead_until, now = loop_now(slot->worker->loop);
    uint8_t family = slot_address(slot, host, address)->family;
    if (now >= dead[family == 6])
        return false;
    for (size_t i = 0; i < host->address_count; i++)
        if (host->addresses[i].family != family && now >= dead[family != 6])
            return true;
    return false;
}

bool slot_other_family(struct slot *slot)
{
    const struct route_host *host = &slot->kept->route.hosts[slot->host];
    bool is_early = slot->last_words.stage == STAGE_CONNECT || slot->last_words.stage == STAGE_EHLO;
    if (slot->last_words.code < 500 || !is_early || slot->egress->from.family || slot->address >= host->address_count)
        return false;
    time_ms now = loop_now(slot->worker->loop), *dead = slot->destination->dead_until;
    uint8_t family = slot_address(slot, host, slot->address)->family;
    bool has_other = false;
    for (size_t i = 0; i < host->address_count; i++)
        has_other |= host->addresses[i].family != family;
    if (!has_other || now < dead[family != 6])
        return false;
    dead[family == 6] = now + FAMILY_DEAD_MS;
    slot->address = 0; /* the first that is left */
    return true;
}

bool slot_next_address(struct slot *slot, bool is_host_wide)
{
    const struct route *route = &slot->kept->route;
    const struct route_host *host = &route->hosts[slot->host];
    do
        slot->address++;
    while (slot->address < host->address_count && is_dead_family(slot, host, slot->address));
    if (is_host_wide || slot->address >= route->hosts[slot->host].address_count)
        next_host(slot);
    return slot->host < route->host_count;
}

/* The first host that policy allows, by an address of a family that connects. */
static bool find_place(struct slot *slot)
{
    const struct route *route = &slot->kept->route;
    while (slot->host < route->host_count) {
        bool was_seen = tls_was_seen(slot->kept, slot->host, world_wall(slot->worker->engine->options.world));
        slot->security = security_of(&slot->kept->policy, &route->hosts[slot->host], was_seen);
        if (slot->security.level == TLS_LEVEL_REFUSED) {
            slot_tls_refused(slot);
            next_host(slot);
            continue;
        }
        const struct route_host *host = &route->hosts[slot->host];
        while (slot->address < host->address_count && is_dead_family(slot, host, slot->address))
            slot->address++;
        if (slot->address < host->address_count)
            return true;
        next_host(slot);
    }
    return false;
}

/* A source can only reach addresses of its own kind; and where the system chooses one, no IPv6 leaves without a name
 * that leads both ways (R17, health.c). */
static bool is_other_kind(struct slot *slot)
{
    static const struct reply none = {.text = SLICE_INIT("no address of the kind that our source has (IPv4, IPv6)")},
                              nameless = {.text = SLICE_INIT("our IPv6 address has no name that leads both ways")};
    uint8_t from = slot->egress->from.family,
            to = slot_address(slot, &slot->kept->route.hosts[slot->host], slot->address)->family;
    bool is_nameless = !from && to == 6 && atomic_load(&slot->worker->engine->ipv6_is_nameless);
    if (!is_nameless && (!from || to == from))
        return false;
    slot_keep_last_words(slot, is_nameless ? &nameless : &none, STAGE_CONNECT);
    return true;
}

bool slot_place(struct slot *slot)
{
    while (find_place(slot)) {
        if (!is_other_kind(slot))
            return true;
        slot_next_address(slot, false);
    }
    return false;
}

void slot_family_is_dead(struct slot *slot)
{
    const struct route_host *host = &slot->kept->route.hosts[slot->host];
    slot->destination->dead_until[slot_address(slot, host, slot->address)->family == 6] =
        loop_now(slot->worker->loop) + FAMILY_DEAD_MS;
}
