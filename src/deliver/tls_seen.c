#include "deliver/tls_seen.h"
#include "deliver/engine_inside.h"
#include "deliver/slot.h"

#include "base/log.h"

enum { NOTED_MS = 86400000, SAID_MS = 3600000, NOT_READ_MS = 300000 };

static bool seen_read(struct db *db, struct slice host, time_ms *at, struct fault *why)
{
    int64_t seen = 0;
    bool found;
    *at = 0;
    if (!db_query_ints(db, why, "SELECT seen_ms FROM tls_seen WHERE host = $1", VALUES(V_TEXT(host)), &seen, 1, &found))
        return false;
    *at = found ? seen : 0;
    return true;
}

uint64_t tls_seen_read(struct dispatcher *dispatcher, struct route_kept *kept)
{
    const struct engine_options *options = &dispatcher->engine->options;
    const struct route *route = &kept->route;
    time_ms now = world_wall(options->world);
    uint64_t hash = 0;
    if (kept->policy.rule != TLS_RULE_SEEN || kept->policy.relay || !route->host_count)
        return 0;
    kept->seen_until = arena_zero(&kept->arena, sizeof(*kept->seen_until) * route->host_count);
    for (size_t i = 0; i < route->host_count; i++) {
        struct fault why;
        time_ms at;
        if (!seen_read(dispatcher->reader, route->hosts[i].name, &at, &why)) { /* then nothing goes in clear for now */
            log_warn("deliver", "hosts that had TLS cannot be read: %s", why.text);
            kept->seen_until[i] = now + NOT_READ_MS;
        } else if (at) {
            kept->seen_until[i] = at + options->tls_remember;
        }
        hash += hash_u64((uint64_t)kept->seen_until[i], hash_bytes(route->hosts[i].name, 11));
    }
    return hash;
}

bool tls_was_seen(const struct route_kept *kept, size_t host, time_ms now)
{
    return kept->seen_until && now < kept->seen_until[host];
}

/* ── noting ── */

struct seen_job {
    struct write_job job;
    struct slice host; /* behind it */
    time_ms now, forgotten;
};

static bool seen_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct seen_job *seen = (struct seen_job *)job;
    return db_do(db, why,
                 "INSERT INTO tls_seen (host, seen_ms) VALUES ($1, $2) ON CONFLICT (host) DO UPDATE SET seen_ms = "
                 "excluded.seen_ms",
                 VALUES(V_TEXT(seen->host), V_INT(seen->now)), NULL) &&
           db_do(db, why, "DELETE FROM tls_seen WHERE seen_ms < $1", VALUES(V_INT(seen->forgotten)), NULL);
}

static void seen_done(struct write_job *job, const struct fault *why)
{
    if (why)
        log_warn("deliver", "that a host had TLS could not be written: %s", why->text);
    free(job);
}

/* An alarm of it may stand, perhaps of an earlier run. */
static void say_back(struct slot *slot)
{
    struct route_kept *kept = slot->kept;
    const struct engine_options *options = &slot->worker->engine->options;
    if (!kept->seen_until || !kept->seen_until[slot->host] || (kept->is_back_said && !kept->vanished_said))
        return;
    kept->is_back_said = true;
    kept->vanished_said = 0;
    if (options->tls_told)
        options->tls_told(options->owner, kept->route.hosts[slot->host].name, false);
}

void tls_seen_note(struct slot *slot)
{
    struct route_kept *kept = slot->kept;
    const struct engine_options *options = &slot->worker->engine->options;
    time_ms now = world_wall(options->world);
    say_back(slot);
    if (!kept->seen_until || now + options->tls_remember - kept->seen_until[slot->host] < NOTED_MS)
        return;
    struct slice host = kept->route.hosts[slot->host].name;
    struct seen_job *seen = memory_zero(1, sizeof(*seen) + host.len);
    memcpy(seen + 1, host.ptr, host.len);
    *seen = (struct seen_job){.job = {.run = seen_run, .done = seen_done, .rows = 1},
                              .host = slice_of(seen + 1, host.len),
                              .now = now,
                              .forgotten = now - options->tls_remember};
    kept->seen_until[slot->host] = now + options->tls_remember;
    store_write(options->store, &seen->job);
}

void tls_seen_vanished(struct slot *slot)
{
    struct route_kept *kept = slot->kept;
    const struct engine_options *options = &slot->worker->engine->options;
    time_ms now = loop_now(slot->worker->loop);
    struct slice host = kept->route.hosts[slot->host].name;
    if (!tls_was_seen(kept, slot->host, world_wall(slot->worker->engine->options.world)) ||
        (kept->vanished_said && now - kept->vanished_said < SAID_MS))
        return;
    kept->vanished_said = now ? now : 1;
    log_warn(
        "deliver",
        "%.*s had TLS lately and offers it no more: its mail waits (rule: seen). Somebody may be in between; if the "
        "receiver has really given TLS up: todoke tls forget %.*s",
        SLICE_ARG(host), SLICE_ARG(host));
    if (options->tls_told)
        options->tls_told(options->owner, host, true);
}

bool tls_seen_forget(struct db *db, struct fault *why, struct slice host, time_ms now, int64_t *changed)
{
    /* that a rule has changed is what running servers look for */
    return db_do(db, why, "DELETE FROM tls_seen WHERE host = $1", VALUES(V_TEXT(host)), changed) &&
           (!*changed ||
            db_do(db, why, "UPDATE tls_rule SET since_ms = $1 WHERE rule = 'seen'", VALUES(V_INT(now)), NULL));
}
