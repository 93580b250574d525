#include "app/tls_alarm.h"

#include "alarm/alarm.h"
#include "base/log.h"

struct telling {
    struct write_job job;
    struct slice host; /* behind it */
    bool is_gone;
    time_ms now;
};

static bool tell_run(struct write_job *job, struct db *db, struct fault *why)
{
    const struct telling *telling = (struct telling *)job;
    return telling->is_gone ? alarm_raise(db, why, ALARM_TLS_GONE, telling->host, 0, 0, SLICE("{}"), telling->now)
                            : alarm_end(db, why, ALARM_TLS_GONE, telling->host, telling->now);
}

static void tell_done(struct write_job *job, const struct fault *why)
{
    if (why) /* the log has said so, and in an hour it is said again */
        log_warn("alarm", "that a host has lost its TLS, or has it again, cannot be written: %s", why->text);
    free(job);
}

void tls_alarm_tell(void *owner, struct slice host, bool is_gone)
{
    const struct tls_alarm *alarm = owner;
    struct telling *telling = memory_zero(1, sizeof(*telling) + host.len);
    memcpy(telling + 1, host.ptr, host.len);
    *telling = (struct telling){.job = {.run = tell_run, .done = tell_done, .rows = 1},
                                .host = slice_of(telling + 1, host.len),
                                .is_gone = is_gone,
                                .now = world_wall(alarm->world)};
    store_write(alarm->store, &telling->job);
}
