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

/* A campaign has one brand: with both it is the campaign alone that is meant, or a slip. */
static bool campaign_ready(struct db *db, struct fault *why, struct queue_order *order)
{
    int64_t brand_id = 0;
    if (!order->campaign_id || !order->brand_id)
        return true;
    if (!db_query_ints(db, why, "SELECT brand_id FROM campaign WHERE id = $1",
                       VALUES(V_INT((int64_t)order->campaign_id)), &brand_id, 1, NULL))
        return false;
    if ((uint64_t)brand_id != order->brand_id)
        return fault_set(why, FAULT_INPUT, "campaign: it is not of that brand");
    order->brand_id = 0;
    return true;
}

bool queue_filter_ready(struct db *db, struct fault *why, struct queue_order *order, struct arena *arena)
{
    if (!campaign_ready(db, why, order))
        return false;
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

/* A hold of a campaign alone is its pause, and its release goes on with it; what of its mail was held otherwise is
 * released then, too. */
static bool campaign_follows(struct db *db, struct fault *why, const struct queue_order *order, struct arena *arena)
{
    struct campaign campaign;
    SCOPED(buf) id = BUF(24);
    buf_u64(&id, order->campaign_id);
    if (!campaign_find(db, why, buf_slice(&id), arena, &campaign))
        return false;
    bool goes = campaign.state == CAMPAIGN_SENDING || campaign.state == CAMPAIGN_EXPANDING,
         is_paused = campaign.state == CAMPAIGN_PAUSED;
    if (order->verb == ORDER_RELEASE)
        return !is_paused || campaign_resume(db, why, campaign.id, order->at);
    if (goes)
        return campaign_pause(db, why, campaign.id, order->why, order->at);
    return is_paused || fault_set(why, FAULT_INPUT,
                                  "the campaign %.*s is %.*s: nothing of it goes out, and there is "
                                  "nothing to hold",
                                  SLICE_ARG(campaign.name), SLICE_ARG(campaign_state_word(campaign.state)));
}

bool queue_order_begin(struct db *db, struct fault *why, struct queue_order *order)
{
    struct arena arena = {0};
    bool ok = !order->campaign_id || !order_is_standing(order) || campaign_follows(db, why, order, &arena);
    arena_release(&arena);
    return ok && order_give(db, why, order);
}

bool campaign_order(struct db *db, struct fault *why, enum order_verb verb, uint64_t campaign_id, struct slice who,
                    struct slice reason, time_ms now)
{
    struct queue_order order = {
        .at = now, .who = who, .verb = verb, .campaign_id = campaign_id, .accepted_until = now, .why = reason};
    bool ok = verb == ORDER_HOLD      ? campaign_pause(db, why, campaign_id, reason, now)
              : verb == ORDER_RELEASE ? campaign_resume(db, why, campaign_id, now)
                                      : campaign_cancel(db, why, campaign_id, now);
    return ok && order_note(db, why, &order);
}
