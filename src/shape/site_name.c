#include "mail/address.h"
#include "shape/site.h"

enum { FAR = 4 };

static const struct site_rule *nearest_to(struct slice name, const struct sites *sites)
{
    size_t count, least = FAR;
    const struct site_rule *const *rules = sites_rules(sites, &count), *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t far = slice_distance(rules[i]->name, name);
        if (far < least) {
            least = far;
            nearest = rules[i];
        }
    }
    return nearest;
}

bool sites_name_check(const struct sites *sites, struct slice name, struct fault *why)
{
    struct arena arena = {0};
    struct slice host;
    struct fault said = {0};
    if (sites_rule_named(sites, name))
        return true;
    if (slice_find_byte(name, '.') != SLICE_NPOS) {
        bool is_host = domain_normalise(name, &arena, &host, &said);
        arena_release(&arena);
        return is_host || fault_set(why, FAULT_INPUT, "\"%.*s\" is no host's name, and no site: %s",
                                    SLICE_ARG(slice_head(name, 255)), said.text);
    }
    const struct site_rule *nearest = nearest_to(name, sites);
    if (nearest)
        return fault_set(why, FAULT_INPUT, "there is no site \"%.*s\"; did you mean \"%.*s\"?", SLICE_ARG(name),
                         SLICE_ARG(nearest->name));
    return fault_set(why, FAULT_INPUT, "there is no site \"%.*s\" in data/sites", SLICE_ARG(name));
}
