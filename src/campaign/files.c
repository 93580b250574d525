#include "campaign/files.h"

#include "base/utf8.h"
#include "campaign/brand.h"
#include "content/liquid.h"
#include "hosted/hosted.h"

static bool files_of_are_there(struct db *db, struct fault *why, struct slice template, uint64_t brand_id, time_ms now,
                               struct arena *arena)
{
    struct slice names[LIQUID_FILES_MAX];
    struct liquid *liquid;
    struct fault ignored;
    bool ok = true, found = true;
    if (slice_find(template, SLICE("file")) == SLICE_NPOS || !liquid_compile(template, true, &liquid, NULL, &ignored))
        return true; /* it was compiled when it was made */
    size_t count = liquid_files(liquid, names);
    for (size_t i = 0; ok && i < count; i++) {
        struct hosted_file file;
        ok = hosted_find_name(db, why, brand_id, names[i], now, arena, &file, &found);
        if (ok && !found)
            ok = fault_set(why, FAULT_INPUT,
                           "its content links to file[\"%.*s\"], and the brand has no such file for download: "
                           "`todoke file add` adds it",
                           SLICE_ARG(utf8_head(names[i], 200)));
    }
    liquid_free(liquid);
    return ok;
}

bool campaign_files_are_there(struct db *db, struct fault *why, uint64_t campaign_id, time_ms now)
{
    SCOPED(arena) arena = {0};
    struct content_version version;
    int64_t version_id;
    bool found;
    if (!db_query_ints(db, why, "SELECT content_version_id FROM campaign WHERE id = $1",
                       VALUES(V_INT((int64_t)campaign_id)), &version_id, 1, &found) ||
        !content_version_find(db, why, (uint64_t)version_id, &arena, &version))
        return false;
    const struct slice templates[] = {version.subject, version.preheader, version.html, version.text};
    for (size_t i = 0; i < COUNT_OF(templates); i++)
        if (!files_of_are_there(db, why, templates[i], version.brand_id, now, &arena))
            return false;
    return true;
}
