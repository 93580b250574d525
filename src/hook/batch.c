/* batch.c - what a batch of events says, and where the next one ends */
#include "hook/courier.h"

static struct brands brands_of(const struct hook *hook)
{
    return (struct brands){&hook->brand_id, hook->brand_id ? 1 : 0};
}

static void event_take(void *context, const struct event *event)
{
    event_write(context, event);
}

static void head_write(struct json *json, struct slice type, time_ms at)
{
    json_object_begin(json);
    json_put_string(json, "type", type);
    json_put_time(json, "timestamp", at);
    json_put_object(json, "data");
}

bool batch_write(struct db *db, struct fault *why, const struct hook *hook, struct buf *body, unsigned *events)
{
    struct event_wish wish = {.kinds = hook->kinds, .place = hook->place};
    const struct brands brands = brands_of(hook);
    SCOPED(buf) end = BUF(EVENT_CURSOR_MAX);
    struct json json = {body};
    size_t count;
    bool has_more = true;
    head_write(&json, SLICE("todoke.events"), hook->batch_at);
    json_put_array(&json, "events");
    *events = 0;
    while (has_more) {
        if (!event_page_next(db, &wish, &brands, &hook->batch_end, HOOK_BATCH_MOST, event_take, &json, &count,
                             &has_more, why))
            return false;
        *events += (unsigned)count;
    }
    json_end(&json);
    event_place_print(&hook->batch_end, &end);
    json_put_string(&json, "cursor", buf_slice(&end));
    json_end(&json);
    json_end(&json);
    return buf_ok(body) || fault_set(why, FAULT_INPUT, "a batch of more than %d octets", HOOK_BODY_MOST);
}

void batch_write_test(const struct hook *hook, time_ms now, struct buf *body)
{
    struct json json = {body};
    head_write(&json, SLICE("todoke.test"), now);
    json_put_id(&json, "hook_id", hook->id);
    json_end(&json);
    json_end(&json);
}

static void count_one(void *context, const struct event *event)
{
    (void)event;
    ++*(size_t *)context;
}

bool batch_scan(struct db *db, struct fault *why, const struct hook *hook, struct event_place *place, size_t *count,
                bool *has_more)
{
    struct event_wish wish = {.kinds = hook->kinds, .place = *place};
    const struct brands brands = brands_of(hook);
    size_t seen = 0;
    bool ok = event_page_next(db, &wish, &brands, NULL, HOOK_BATCH_MOST, count_one, &seen, count, has_more, why);
    *place = wish.place;
    return ok;
}
