#include "app/site_name.h"

#include "app/arguments.h"
#include "app/config.h"
#include "shape/site.h"

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
    struct fault said = {0};
    bool is_known = sites_name_check(sites, name, &said);
    if (!is_known && slice_ends(slice_str(said.text), SLICE("in data/sites")))
        fault_set(why, FAULT_INPUT, "%s or %s%s%s", said.text, options.folder,
                  of_domain ? "; for a receiver's domain: " : "", of_domain ? of_domain : "");
    else if (!is_known)
        *why = said;
    sites_free(sites);
    return is_known;
}
