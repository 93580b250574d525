#include "app/file_alarm.h"

#include "alarm/alarm.h"
#include "app/change.h"
#include "base/json.h"

enum { DETAIL_MAX = 8192 };

struct telling {
    const struct file_alarm *alarm;
    const char *why;
};

/* Each node has a file of its own; the first needs no number. */
static struct slice about(const struct file_alarm *alarm, struct arena *arena)
{
    unsigned node = store_node(alarm->store);
    return node > 1 ? arena_printf(arena, "events.file (node %u)", node) : SLICE("events.file");
}

static bool tell_run(struct db *db, struct fault *why, void *context)
{
    const struct telling *telling = context;
    time_ms now = world_wall(telling->alarm->world);
    SCOPED(arena) arena = {0};
    SCOPED(buf) detail = BUF(DETAIL_MAX);
    struct json json = {&detail};
    if (!telling->why)
        return alarm_end(db, why, ALARM_EVENT_FILE, about(telling->alarm, &arena), now);
    json_object_begin(&json);
    json_put_string(&json, "path", slice_str(telling->alarm->path));
    json_put_string(&json, "why", slice_str(telling->why));
    json_end(&json);
    return alarm_raise(db, why, ALARM_EVENT_FILE, about(telling->alarm, &arena), 0, 0, buf_slice(&detail), now);
}

bool file_alarm_tell(void *owner, const char *reason)
{
    const struct file_alarm *alarm = owner;
    struct telling telling = {.alarm = alarm, .why = reason};
    struct fault ignored;
    return store_change(alarm->store, tell_run, &telling, &ignored);
}
