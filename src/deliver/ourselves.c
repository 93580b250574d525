#include "deliver/ourselves.h"

#include "base/map.h"

static bool is_any(const struct ip *ip)
{
    const struct ip any = {.family = ip->family};
    return ip_equal(ip, &any);
}

/* Does a listener of ours answer there, if the address is one of this machine's? */
static bool is_listened_at(const struct engine_options *options, const struct ip *ip)
{
    for (size_t i = 0; i < options->listens_at_count; i++) {
        const struct ip *at = &options->listens_at[i];
        if (at->family == ip->family && (is_any(at) || ip_equal(at, ip)))
            return true;
    }
    return false;
}

struct us { /* what is being gathered, with its hash */
    struct slice *names;
    struct ip *addresses;
    size_t name_count, address_count;
    uint64_t mark;
};

static void add_name(struct us *us, struct slice name)
{
    for (size_t i = 0; i < us->name_count; i++)
        if (slice_equal_caseless(us->names[i], name))
            return;
    us->names[us->name_count++] = name;
    us->mark = hash_bytes(name, us->mark);
}

static void add_address(struct us *us, const struct ip *ip)
{
    for (size_t i = 0; i < us->address_count; i++)
        if (ip_equal(&us->addresses[i], ip))
            return;
    us->addresses[us->address_count++] = *ip;
    us->mark = hash_bytes(slice_of(ip->bytes, ip->family == 4 ? 4 : 16), hash_u64(ip->family, us->mark));
}

static void add_source(struct us *us, const struct engine_options *options, const struct source *source,
                       struct arena *arena)
{
    add_name(us, arena_copy(arena, source->ehlo_name));
    if ((source->node && source->node != options->ledger.node) || !is_listened_at(options, &source->ip))
        return;
    add_address(us, &source->ip);
    if (source->public_ip.family)
        add_address(us, &source->public_ip);
}

bool ourselves_are(struct ourselves *ourselves, const struct engine_options *options, const struct source *list,
                   size_t count, struct route_options *route)
{
    struct arena arena = {0};
    size_t addresses = options->listens_at_count + options->own_address_count + 2 * count;
    struct us us = {.names = ARENA_ARRAY(&arena, struct slice, count + 1),
                    .addresses = ARENA_ARRAY(&arena, struct ip, addresses + 1)};
    if (options->ehlo_name.len)
        add_name(&us, options->ehlo_name);
    for (size_t i = 0; i < options->listens_at_count; i++)
        if (!is_any(&options->listens_at[i]))
            add_address(&us, &options->listens_at[i]);
    for (size_t i = 0; i < options->own_address_count; i++)
        if (is_listened_at(options, &options->own_addresses[i]))
            add_address(&us, &options->own_addresses[i]);
    for (size_t i = 0; i < count; i++)
        add_source(&us, options, &list[i], &arena);
    bool is_other = us.mark != ourselves->mark;
    arena_release(&ourselves->arena);
    *ourselves = (struct ourselves){arena, us.mark};
    route->own_names = us.names;
    route->own_name_count = us.name_count;
    route->own_addresses = us.addresses;
    route->own_address_count = us.address_count;
    return is_other;
}

void ourselves_release(struct ourselves *ourselves)
{
    arena_release(&ourselves->arena);
}
