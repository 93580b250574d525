#include "app/queue_order.h"

#include "app/change.h"
#include "app/config.h"
#include "base/json.h"
#include "campaign/campaign.h"
#include "campaign/queue_order.h"
#include "mail/address.h"
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

enum { ORDERS_SHOWN = 200 };

/* Who sits at this terminal. */
static struct slice person(struct desk *desk)
{
    const struct passwd *entry = getpwuid(getuid());
    SCOPED(buf) text = BUF(300);
    if (entry)
        buf_printf(&text, "user %.200s", entry->pw_name);
    else
        buf_printf(&text, "user id %lu", (unsigned long)getuid());
    return arena_copy(&desk->arena, buf_slice(&text));
}

static bool order_read(struct desk *desk, const struct queue_order_arguments *arguments, enum order_verb verb,
                       struct queue_order *order, struct fault *why)
{
    time_ms now = world_wall(&desk->world), age = 0;
    struct campaign campaign = {0};
    *order = (struct queue_order){.at = now, .verb = verb, .who = person(desk)};
    if (arguments->brand && !desk_brand(desk, arguments->brand, &order->brand_id, why))
        return false;
    if (arguments->campaign &&
        !campaign_find(desk->reader, why, slice_str(arguments->campaign), &desk->arena, &campaign))
        return false;
    order->campaign_id = campaign.id;
    if (arguments->domain && !domain_normalise(slice_str(arguments->domain), &desk->arena, &order->domain, why))
        return fault_prefix(why, "--domain %.100s: ", arguments->domain);
    if (arguments->site)
        order->site = slice_str(arguments->site);
    if (arguments->older_than && (!config_duration(slice_str(arguments->older_than), &age) || age <= 0))
        return fault_set(why, FAULT_INPUT, "--older-than %.100s: a number and s, m, h or d, as in 2d",
                         arguments->older_than);
    order->accepted_until = now - age;
    order->why = arguments->why ? slice_str(arguments->why) : SLICE("by hand");
    if (order->why.len > 400)
        return fault_set(why, FAULT_INPUT, "--why: at most 400 octets");
    const struct {
        const char *option, *value;
    } texts[] = {{"--site", arguments->site},
                 {"--source", arguments->source},
                 {"--pool", arguments->pool},
                 {"--to", arguments->to}};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (texts[i].value && !*texts[i].value) /* a shell's variable that is not set: never "all" */
            return fault_set(why, FAULT_INPUT, "%s is empty", texts[i].option);
    if (arguments->source)
        order->source = slice_str(arguments->source);
    if (arguments->pool)
        order->pool = slice_str(arguments->pool);
    if ((verb == ORDER_MOVE) != (arguments->to != NULL))
        return fault_set(why, FAULT_INPUT,
                         "a move needs --to POOL (or --to brand: back to the brand's own), others none");
    if (arguments->to && strcmp(arguments->to, "brand") != 0)
        order->to_pool = slice_str(arguments->to);
    if (!arguments->brand && !arguments->campaign && !arguments->domain && !arguments->site && !arguments->source &&
        !arguments->pool && !age)
        return fault_set(why, FAULT_INPUT,
                         "say of which mails: --brand, --campaign, --domain, --site, --source, --pool or --older-than");
    return queue_order_ready(desk->reader, why, order, &desk->arena);
}

static bool give_run(struct db *db, struct fault *why, void *context)
{
    return queue_order_begin(db, why, context);
}

static bool count(struct desk *desk, const struct queue_order *order, bool is_json, struct fault *why)
{
    int64_t states[DELIVERY_STATE_COUNT], sum = 0;
    SCOPED(buf) out = BUF(4096);
    struct json json = {&out};
    if (!order_count(desk->reader, why, order, states))
        return false;
    json_object_begin(&json);
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
        sum += states[state];
        if (delivery_is_owed((enum delivery_state)state)) {
            json_key_slice(&json, delivery_word((enum delivery_state)state));
            json_int(&json, states[state]);
        }
    }
    json_put_int(&json, "all", sum);
    json_end(&json);
    if (is_json) {
        printf("%.*s\n", (int)out.len, out.ptr);
        return true;
    }
    printf("%.*s would concern %lld deliveries", SLICE_ARG(order_verb_word(order->verb)), (long long)sum);
    for (int state = 0, shown = 0; state < DELIVERY_STATE_COUNT; state++)
        if (states[state])
            printf("%s%lld %.*s", shown++ ? ", " : ": ", (long long)states[state],
                   SLICE_ARG(delivery_word((enum delivery_state)state)));
    puts("; nothing was changed");
    if (order_is_standing(order) && order->verb == ORDER_HOLD)
        puts("it would stand: mails that come later would wait too");
    return true;
}

bool queue_order_give(struct desk *desk, const struct queue_order_arguments *arguments, enum order_verb verb,
                      struct fault *why)
{
    struct queue_order order;
    if (!order_read(desk, arguments, verb, &order, why))
        return false;
    if (arguments->is_dry_run)
        return count(desk, &order, arguments->is_json, why);
    if (!store_change(desk->store, give_run, &order, why))
        return false;
    if (arguments->is_json)
        printf("{\"order\":\"%llu\",\"verb\":\"%.*s\"}\n", (unsigned long long)order.id,
               SLICE_ARG(order_verb_word(verb)));
    else if (order_is_standing(&order) && verb == ORDER_HOLD)
        printf("order %llu: held from now on, mails that come later too\n", (unsigned long long)order.id);
    else
        printf("order %llu: the server carries it out; `todoke queue orders` tells how far it is\n",
               (unsigned long long)order.id);
    return true;
}

/* ── the record ── */

static void filter_write(const struct queue_order *order, struct buf *out)
{
    if (order->brand_id)
        buf_printf(out, " brand %llu", (unsigned long long)order->brand_id);
    if (order->campaign_id)
        buf_printf(out, " campaign %llu", (unsigned long long)order->campaign_id);
    if (order->domain.len)
        buf_printf(out, " domain %.*s", SLICE_ARG(order->domain));
    if (order->site.len)
        buf_printf(out, " site %.*s", SLICE_ARG(order->site));
    if (order->source.len)
        buf_printf(out, " source %.*s", SLICE_ARG(order->source));
    else if (order->pool.len)
        buf_printf(out, " pool %.*s", SLICE_ARG(order->pool));
    if (order->verb == ORDER_MOVE)
        buf_printf(out, " to %.*s", SLICE_ARG(order->to_pool.len ? order->to_pool : SLICE("the brand's pool")));
    if (order->accepted_until < order->at) {
        buf_text(out, " accepted before ");
        time_rfc3339(out, order->accepted_until);
    }
}

/* RFC 3339; "" for 0. */
static struct slice stamp(struct desk *desk, time_ms at)
{
    SCOPED(buf) text = BUF(64);
    if (at)
        time_rfc3339(&text, at);
    return arena_copy(&desk->arena, buf_slice(&text));
}

static void order_json(struct desk *desk, const struct queue_order *order)
{
    SCOPED(buf) out = BUF(16384);
    struct json json = {&out};
    SCOPED(buf) id = BUF(24);
    buf_u64(&id, order->id);
    json_object_begin(&json);
    json_put_string(&json, "order", buf_slice(&id));
    json_put_string(&json, "at", stamp(desk, order->at));
    json_put_string(&json, "who", order->who);
    json_put_string(&json, "verb",
                    order->verb < ORDER_VERB_COUNT ? order_verb_word(order->verb) : SLICE("of a later version"));
    json_put_int(&json, "brand", (int64_t)order->brand_id);
    json_put_int(&json, "campaign", (int64_t)order->campaign_id);
    json_put_string(&json, "domain", order->domain);
    json_put_string(&json, "site", order->site);
    json_put_string(&json, "source", order->source);
    json_put_string(&json, "pool", order->pool);
    json_put_string(&json, "to_pool", order->to_pool);
    json_put_string(&json, "accepted_until", stamp(desk, order->accepted_until));
    json_put_string(&json, "why", order->why);
    json_put_int(&json, "moved", order->moved);
    json_put_bool(&json, "is_done", order->done != 0);
    json_put_string(&json, "done_at", stamp(desk, order->done));
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

bool queue_order_list(struct desk *desk, bool is_json, struct fault *why)
{
    struct queue_order *orders;
    size_t found;
    if (!order_list(desk->reader, why, 0, 0, ORDERS_SHOWN, &desk->arena, &orders, &found))
        return false;
    if (!found && !is_json)
        puts("nobody has ordered anything");
    for (size_t i = 0; i < found; i++) {
        const struct queue_order *order = &orders[i];
        SCOPED(buf) filter = BUF(4096);
        if (is_json) {
            order_json(desk, order);
            continue;
        }
        filter_write(order, &filter);
        printf("%llu  %.*s  %.*s  %.*s%.*s  (%.*s): %lld%s moved, ", (unsigned long long)order->id,
               SLICE_ARG(desk_time(desk, order->at)), SLICE_ARG(order->who),
               SLICE_ARG(order->verb < ORDER_VERB_COUNT ? order_verb_word(order->verb) : SLICE("?")),
               SLICE_ARG(buf_slice(&filter)), SLICE_ARG(order->why), (long long)order->moved,
               order->verb == ORDER_MOVE ? " lanes" : "");
        if (order->done)
            puts("done");
        else
            printf("under way, %lld of %d buckets left\n", (long long)order->buckets_left, ID_BUCKETS);
    }
    return true;
}
