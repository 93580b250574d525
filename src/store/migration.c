#include "store/migration.h"

#include "store/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool versions_read(struct db *db, struct migration *migration, struct fault *why)
{
    migration->to = schema_file_count;
    if (!schema_version(db, why, &migration->from))
        return false;
    return migration->from <= migration->to ||
           fault_set(why, FAULT_INPUT,
                     "the store has schema %lld, this program knows only up to %lld: use a newer todoke",
                     (long long)migration->from, (long long)migration->to);
}

static bool place_read(const char *url, struct store_place *place, struct fault *why)
{
    struct stat there;
    if (!store_place_read(url, place, why))
        return false;
    if (!place->is_postgres && stat(place->where, &there) != 0) {
        fault_errno(why, "store %s", place->where);
        if (errno == ENOENT)
            why->kind = FAULT_INPUT;
        free(place->where);
        return false;
    }
    return true;
}

static struct db *place_open(const struct store_place *place, enum db_use use, struct fault *why)
{
    return (place->is_postgres ? postgres_db_open : sqlite_db_open)(place->where, use, why);
}

bool migration_look(const char *url, struct migration *migration, struct fault *why)
{
    struct store_place place = {0};
    if (!place_read(url, &place, why))
        return false;
    struct db *db = place_open(&place, DB_READER, why);
    bool ok = db && versions_read(db, migration, why);
    db_free(db);
    free(place.where);
    return ok;
}

bool migration_run(const char *url, struct migration *migration, struct fault *why)
{
    struct store_place place = {0};
    int lock = -1;
    if (!migration_look(url, migration, why))
        return false;
    if (migration->from == migration->to)
        return true;
    if (!place_read(url, &place, why))
        return false;
    bool ok = place.is_postgres || store_serve_lock(place.where, &lock, why);
    struct db *db = ok ? place_open(&place, DB_WRITER, why) : NULL;
    ok = db && (!place.is_postgres || store_is_idle(db, why)) && versions_read(db, migration, why) &&
         schema_migrate(db, why);
    db_free(db);
    if (lock >= 0)
        close(lock);
    free(place.where);
    return ok;
}
