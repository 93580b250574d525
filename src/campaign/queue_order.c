#include "campaign/queue_order.h"

#include "campaign/campaign.h"
#include "shape/source.h"

/* A pool is there when a source is in it, or somebody sends by it. An order about a slip of the pen would find nothing,
 * and look as if. */
static bool pool_check(struct db *db, struct fault *why, struct slice pool)
{
    int64_t one;
    bool found;
    if (!pool.len || slice_equal(pool, SLICE(SOURCE_POOL_DEFAULT)))
        return true;
    return db_query_ints(db, why,
                         "SELECT 1 FROM source WHERE pool = $1 UNION ALL SELECT 1 FROM brand WHERE pool = $1 UNION ALL "
                         "SELECT 1 FROM lane WHERE pool = $1 LIMIT 1",
                         VALUES(V_TEXT(pool)), &one, 1, &found) &&
           (found || fault_set(why, FAULT_INPUT, "pool: there is no pool \"%.*s\"", SLICE_ARG(pool)));
}

bool queue_filter_ready(struct db *db, struct fault *why, struct queue_order *order, struct arena *arena)
{
    if (order->source.len) {
        struct source source;
        struct ip ip;
        if (!ip_parse(order->source, &ip))
            return fault_set(why, FAULT_INPUT, "source: \"%.*s\" is no IP address", SLICE_ARG(order->source));
        if (!source_find(db, why, &ip, arena, &source))
            return false;
        if (order->pool.len && !slice_equal(order->pool, source.pool))
            return fault_set(why, FAULT_INPUT, "source: %.*s is in the pool %.*s", SLICE_ARG(order->source),
                             SLICE_ARG(source.pool));
        order->pool = source.pool;
        order->source_id = source.id;
    }
    return pool_check(db, why, order->pool);
}

/* Of a site's pace: the source that is named alone, not its pool. */
static bool pace_ready(struct fault *why, struct queue_order *order)
{
    if (!order->site.len)
        return fault_set(why, FAULT_INPUT, "site: say which receiver's site, as `todoke explain site` names it");
    if (order->brand_id || order->campaign_id || order->domain.len || order->accepted_until < order->at)
        return fault_set(why, FAULT_INPUT,
                         "site: suspend and resume are of a site, by all sources or by one: no brand, campaign, domain "
                         "or age (hold, release and retry have those)");
    if (order->verb == ORDER_SUSPEND && order->until <= order->at)
        return fault_set(why, FAULT_INPUT, "until: a suspension needs an end, and one that is still to come");
    if (order->until > order->at + DAYS_MS(QUEUE_SUSPEND_DAYS_MOST))
        return fault_set(why, FAULT_INPUT, "until: at most %d days from now", QUEUE_SUSPEND_DAYS_MOST);
    order->pool = SLICE("");
    return true;
}

bool queue_order_ready(struct db *db, struct fault *why, struct queue_order *order, struct arena *arena)
{
    bool has_pool = order->pool.len > 0;
    if (!queue_filter_ready(db, why, order, arena))
        return false;
    if (order_is_of_pace(order->verb) && has_pool)
        return fault_set(why, FAULT_INPUT, "pool: suspend and resume are of one source, or of all");
    if (order_is_of_pace(order->verb))
        return pace_ready(why, order);
    order->source_id = 0;
    if (!order->brand_id && !order->campaign_id && !order->domain.len && !order->site.len && !order->pool.len &&
        order->accepted_until >= order->at)
        return fault_set(why, FAULT_INPUT,
                         "say of which mails: brand, campaign, domain, site, source, pool or how old");
    if (order->verb != ORDER_MOVE || !order->to_pool.len)
        return true;
    int64_t one;
    bool found;
    if (!db_query_ints(db, why, "SELECT 1 FROM source WHERE pool = $1 LIMIT 1", VALUES(V_TEXT(order->to_pool)), &one, 1,
                       &found))
        return false;
    return found || fault_set(why, FAULT_INPUT, "to: the pool \"%.*s\" has no source", SLICE_ARG(order->to_pool));
}

static bool is_only_campaign(const struct queue_order *order)
{
    return order->campaign_id && !order->brand_id && !order->domain.len && !order->site.len && !order->pool.len &&
           order->accepted_until == order->at;
}

bool queue_order_begin(struct db *db, struct fault *why, struct queue_order *order)
{
    struct campaign campaign = {0};
    struct arena arena = {0};
    bool ok = true;
    if (is_only_campaign(order) && (order->verb == ORDER_HOLD || order->verb == ORDER_RELEASE)) {
        SCOPED(buf) id = BUF(24);
        buf_u64(&id, order->campaign_id);
        ok = campaign_find(db, why, buf_slice(&id), &arena, &campaign);
    }
    if (ok && order->verb == ORDER_HOLD &&
        (campaign.state == CAMPAIGN_SENDING || campaign.state == CAMPAIGN_EXPANDING) && campaign.id)
        ok = campaign_pause(db, why, campaign.id, order->why, order->at);
    if (ok && order->verb == ORDER_RELEASE && campaign.state == CAMPAIGN_PAUSED && campaign.id)
        ok = campaign_resume(db, why, campaign.id, order->at);
    arena_release(&arena);
    return ok && order_give(db, why, order);
}
