#include "app/site_name.h"

#include "app/arguments.h"
#include "app/config.h"
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

bool site_name_check(struct slice name, const char *folder, const char *settings, const char *of_domain,
                     struct fault *why)
{
    SCOPED(config) config = {0};
    struct sites *sites;
    const char *file = arguments_config(settings);
    config_init(&config);
    if (!folder && file && !config_load(&config, file, why))
        return false;
    const struct sites_options options = {.folder = folder ? folder : config.sites_folder.text};
    if (!sites_open(&options, &sites, why))
        return false;
    bool is_known = sites_rule_named(sites, name) != NULL || slice_find_byte(name, '.') != SLICE_NPOS;
    const struct site_rule *nearest = is_known ? NULL : nearest_to(name, sites);
    if (nearest)
        fault_set(why, FAULT_INPUT, "there is no site \"%.*s\"; did you mean \"%.*s\"?", SLICE_ARG(name),
                  SLICE_ARG(nearest->name));
    else if (!is_known)
        fault_set(why, FAULT_INPUT, "there is no site \"%.*s\" in data/sites or %s%s%s", SLICE_ARG(name),
                  options.folder, of_domain ? "; for a receiver's domain: " : "", of_domain ? of_domain : "");
    sites_free(sites);
    return is_known;
}
