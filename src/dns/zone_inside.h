/* zone_inside.h - a zone while it is filled */
#ifndef TODOKE_DNS_ZONE_INSIDE_H
#define TODOKE_DNS_ZONE_INSIDE_H

#include "base/map.h"
#include "dns/zone.h"

enum zone_error { ZONE_NO_ERROR, ZONE_TIMEOUT, ZONE_SERVFAIL, ZONE_BOGUS };

struct zone_record {
    struct zone_record *next;
    enum dns_type type;
    struct dns_record record;
};
struct zone_name {
    enum zone_error error;
    bool is_secure;
    uint32_t ttl_seconds;
    struct zone_record *records; /* in the order given */
};
struct zone {
    struct resolver resolver; /* first */
    struct map names;         /* by normalised name -> struct zone_name, in the arena */
    struct arena arena;
    uint32_t ttl_seconds; /* for what says nothing else */
};

struct zone *zone_new(void);
void zone_free(struct zone *zone);
/* The name, made when absent. */
struct zone_name *zone_name_add(struct zone *zone, const char *normal);
/* Copies. Names in the record must be normalised. */
void zone_record_add(struct zone *zone, struct zone_name *name, enum dns_type type, const struct dns_record *record);
struct resolver *zone_resolver(struct zone *zone);

#endif
