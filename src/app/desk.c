#include "app/desk.h"

#include "app/arguments.h"
#include "base/utf8.h"
#include "campaign/brand.h"
#include "mail/address.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct store *desk_store(const char *store_url, struct fault *why)
{
    const struct store_options options = {.role = STORE_COMMAND, .patience_ms = STORE_PATIENCE_MS};
    return store_open(arguments_store(store_url), &options, why);
}

bool desk_open(struct desk *desk, const char *store_url, struct fault *why)
{
    *desk = (struct desk){0};
    world_init(&desk->world, NETWORK_LOOPBACK);
    desk->store = desk_store(store_url, why);
    desk->reader = desk->store ? store_reader_open(desk->store, why) : NULL;
    if (desk->reader)
        return true;
    desk_release(desk);
    return false;
}

bool desk_look(struct desk *desk, const char *store_url, struct fault *why)
{
    const char *url = arguments_store(store_url);
    *desk = (struct desk){0};
    if (*url && !slice_starts(slice_str(url), SLICE("postgres")) && access(url, F_OK) != 0 && errno == ENOENT)
        return fault_set(why, FAULT_INPUT,
                         "there is no store at %s; say where it is with --store, or with $TODOKE_STORE", url);
    return desk_open(desk, store_url, why);
}

void desk_release(struct desk *desk)
{
    db_free(desk->reader);
    store_close(desk->store);
    arena_release(&desk->arena);
    *desk = (struct desk){0};
}

bool desk_brand(struct desk *desk, const char *given, uint64_t *brand_id, struct fault *why)
{
    *brand_id = 0;
    if (given) {
        struct brand brand;
        if (!brand_find(desk->reader, why, slice_str(given), &desk->arena, &brand))
            return false;
        *brand_id = brand.id;
        return true;
    }
    int64_t found[2] = {0};
    if (!db_query_ints(desk->reader, why, "SELECT COUNT(*), COALESCE(MAX(id), 0) FROM brand", NO_VALUES, found, 2,
                       NULL))
        return false;
    if (found[0] > 1)
        return fault_set(why, FAULT_INPUT, "there are %lld brands: say which with --brand", (long long)found[0]);
    *brand_id = (uint64_t)found[1];
    return true;
}

bool desk_identity(struct desk *desk, const char *text, struct slice *identity, struct fault *why)
{
    struct address address;
    if (!address_parse(slice_trim(slice_str(text)), &desk->arena, &address, why))
        return fault_prefix(why, "\"%.100s\": ", text);
    *identity = address.identity;
    return true;
}

struct slice desk_time(struct desk *desk, time_ms at)
{
    if (!at)
        return SLICE("-");
    SCOPED(buf) text = BUF(64);
    time_rfc3339(&text, at);
    text.ptr[10] = ' ';
    return arena_copy(&desk->arena, slice_head(buf_slice(&text), 16));
}

void desk_cell(struct slice text, size_t columns)
{
    struct slice shown = text;
    while (utf8_columns(shown) > columns)
        shown = utf8_head(shown, shown.len - 1);
    printf("%.*s%*s", SLICE_ARG(shown), (int)(columns - utf8_columns(shown)), "");
}

struct slice desk_person(struct arena *arena)
{
    const struct passwd *entry = getpwuid(getuid());
    const char *before = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    SCOPED(buf) text = BUF(300);
    if (before && *before)
        buf_printf(&text, "user %.200s (sudo)", before);
    else if (entry)
        buf_printf(&text, "user %.200s", entry->pw_name);
    else
        buf_printf(&text, "user id %lu", (unsigned long)getuid());
    return arena_copy(arena, buf_slice(&text));
}
