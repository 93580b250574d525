/* site_inside.h - the set of rules from the inside, for site.c and site_file*.c only */
#ifndef TODOKE_SHAPE_SITE_INSIDE_H
#define TODOKE_SHAPE_SITE_INSIDE_H

#include "base/map.h"
#include "shape/site.h"

struct site_host {
    struct slice suffix; /* lower-case, without a dot in front */
    struct site_place at;
};

/* A rule as its file says it, before the default's figures fill what it leaves open. */
struct site_entry {
    struct site_rule rule;
    struct site_host *hosts;
    size_t host_count;
    struct site_reaction *own;
    size_t own_count;
    unsigned given; /* bits of enum site_limit */
};

enum { SITES_MOST = 500 };
struct sites {
    struct arena arena;
    struct site_entry *entries[SITES_MOST];
    size_t count;
    const struct site_rule *base; /* whose figures fill gaps, and who is everybody else */
    const struct site_rule **rules;
    struct map by_host; /* suffix -> its entry */
};

#endif
