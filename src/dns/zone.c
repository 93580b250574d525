/* zone.c - the names and their answers; zone_json.c fills it */
#include "dns/zone_inside.h"

#include "dns/request.h"

enum { CNAME_HOPS_MOST = 16 };

struct zone *zone_new(void)
{
    struct zone *zone = NEW(struct zone);
    zone->ttl_seconds = 300;
    return zone;
}

void zone_free(struct zone *zone)
{
    map_release(&zone->names);
    arena_release(&zone->arena);
    free(zone);
}

struct zone_name *zone_name_add(struct zone *zone, const char *normal)
{
    struct zone_name *name = map_get(&zone->names, slice_str(normal));
    if (name)
        return name;
    name = ARENA_NEW(&zone->arena, struct zone_name);
    name->ttl_seconds = zone->ttl_seconds;
    map_set(&zone->names, slice_str(normal), name);
    return name;
}

void zone_record_add(struct zone *zone, struct zone_name *name, enum dns_type type, const struct dns_record *record)
{
    struct zone_record *added = ARENA_NEW(&zone->arena, struct zone_record), **last = &name->records;
    added->type = type;
    added->record = *record;
    added->record.name = arena_copy(&zone->arena, record->name);
    added->record.text = arena_copy(&zone->arena, record->text);
    added->record.tlsa.data = arena_copy(&zone->arena, record->tlsa.data);
    while (*last)
        last = &(*last)->next;
    *last = added;
}

/* The name itself, or the wildcard nearest above it (RFC 4592: an existing name in between hides it). */
static const struct zone_name *find_name(const struct zone *zone, struct slice name)
{
    const struct zone_name *found = map_get(&zone->names, name);
    while (!found) {
        ptrdiff_t dot = slice_find_byte(name, '.');
        SCOPED(buf) wild = BUF(DNS_NAME_ROOM + 2);
        if (dot < 0)
            return NULL;
        name = slice_from(name, (size_t)dot + 1);
        buf_text(&wild, "*.");
        buf_append(&wild, name);
        found = map_get(&zone->names, buf_slice(&wild));
        if (!found && map_get(&zone->names, name))
            return NULL;
    }
    return found;
}

static const struct zone_record *find_record(const struct zone_name *name, enum dns_type type)
{
    for (const struct zone_record *record = name->records; record; record = record->next)
        if (record->type == type)
            return record;
    return NULL;
}

static void answer_error(const struct zone_name *name, struct dns_answer *answer)
{
    switch (name->error) {
    case ZONE_NO_ERROR: return;
    case ZONE_TIMEOUT: *answer = (struct dns_answer){.status = DNS_TRY_LATER, .why = SLICE("timeout")}; break;
    case ZONE_SERVFAIL: *answer = (struct dns_answer){.status = DNS_TRY_LATER, .why = SLICE("SERVFAIL")}; break;
    case ZONE_BOGUS:
        *answer = (struct dns_answer){.status = DNS_BOGUS, .why = SLICE("DNSSEC validation failed")};
        break;
    }
    answer->ttl_seconds = DNS_FAILURE_TTL_MS / 1000;
}

static void answer_found(const struct zone_name *name, enum dns_type type, struct arena *arena,
                         struct dns_answer *answer)
{
    size_t count = 0;
    for (const struct zone_record *record = name->records; record; record = record->next)
        count += record->type == type;
    answer->records = ARENA_ARRAY(arena, struct dns_record, count + 1);
    for (const struct zone_record *record = name->records; record && answer->count < DNS_RECORDS_MOST;
         record = record->next)
        if (record->type == type)
            answer->records[answer->count++] = record->record;
    answer->status = answer->count ? DNS_FOUND : DNS_NO_DATA;
}

static void zone_answer(const struct zone *zone, struct slice asked, enum dns_type type, struct arena *arena,
                        struct dns_answer *answer)
{
    *answer = (struct dns_answer){.is_secure = true, .ttl_seconds = zone->ttl_seconds};
    for (int hops = 0; hops <= CNAME_HOPS_MOST; hops++) {
        const struct zone_name *name = find_name(zone, asked);
        if (!name) {
            answer->status = DNS_NO_NAME;
            answer->is_secure &= hops > 0;
            return;
        }
        if (name->error != ZONE_NO_ERROR && !find_record(name, type)) {
            answer_error(name, answer);
            return;
        }
        answer->is_secure &= name->is_secure;
        if (name->ttl_seconds < answer->ttl_seconds)
            answer->ttl_seconds = name->ttl_seconds;
        const struct zone_record *alias = find_record(name, DNS_CNAME);
        if (!alias || type == DNS_CNAME) {
            answer_found(name, type, arena, answer);
            answer->canonical = answer->status == DNS_FOUND ? arena_copy(arena, asked) : SLICE("");
            return;
        }
        asked = alias->record.name;
    }
    *answer = (struct dns_answer){.status = DNS_TRY_LATER, .why = SLICE("CNAME loop")};
}

static void zone_ask(struct resolver *resolver, struct dns_request *request)
{
    const struct zone *zone = (const struct zone *)resolver;
    zone_answer(zone, slice_str(request->name), request->type, &request->arena, &request->answer);
    dns_request_answered(request);
}

static void zone_resolver_free(struct resolver *resolver)
{
    zone_free((struct zone *)resolver);
}

struct resolver *zone_resolver(struct zone *zone)
{
    zone->resolver = (struct resolver){zone_ask, zone_resolver_free};
    return &zone->resolver;
}
