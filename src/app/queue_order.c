#include "app/queue_order.h"

#include "app/change.h"
#include "app/config.h"
#include "app/explain_site.h"
#include "app/site_name.h"
#include "base/json.h"
#include "campaign/campaign.h"
#include "campaign/queue_order.h"
#include "mail/address.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ORDERS_SHOWN = 200, WAIT_MS = 3000, WAIT_LOOK_MS = 50 };

/* A shell's variable that is not set: never "all". */
static bool none_is_empty(const struct queue_order_arguments *arguments, struct fault *why)
{
    const struct {
        const char *option, *value;
    } texts[] = {{"--brand", arguments->brand}, {"--campaign", arguments->campaign}, {"--domain", arguments->domain},
                 {"--site", arguments->site},   {"--source", arguments->source},     {"--pool", arguments->pool},
                 {"--to", arguments->to},       {"--for", arguments->for_}};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (texts[i].value && !*texts[i].value)
            return fault_set(why, FAULT_INPUT, "%s is empty", texts[i].option);
    return true;
}

/* A site of data/sites, of the settings' folder, or one that a running server knows by whatever folder it was given. */
static bool site_check(struct desk *desk, struct slice site, struct fault *why)
{
    struct board board;
    struct fault said = {0};
    if (site_name_check(site, NULL, NULL, "--domain", &said))
        return true;
    if (said.kind == FAULT_INPUT && site.len <= BOARD_NAME_MAX) {
        if (!desk_board(desk, &site, 1, &board, why))
            return false;
        for (size_t i = 0; i < board.way_count; i++)
            if (slice_equal_caseless(board.ways[i].site, site))
                return true;
        if (board.is_late)
            return desk_board_late(site, why);
    }
    *why = said;
    return false;
}

bool queue_filter_read(struct desk *desk, const struct queue_order_arguments *arguments, struct queue_order *order,
                       struct fault *why)
{
    time_ms now = world_wall(&desk->world), age = 0;
    struct campaign campaign = {0};
    *order = (struct queue_order){.at = now};
    if (!none_is_empty(arguments, why) ||
        (arguments->brand && !desk_brand(desk, arguments->brand, &order->brand_id, why)) ||
        (arguments->campaign &&
         !campaign_find(desk->reader, why, slice_str(arguments->campaign), &desk->arena, &campaign)))
        return false;
    order->campaign_id = campaign.id;
    if (arguments->domain && !domain_normalise(slice_str(arguments->domain), &desk->arena, &order->domain, why))
        return fault_prefix(why, "--domain %.100s: ", arguments->domain);
    if (arguments->site) {
        order->site = arena_lower(&desk->arena, slice_str(arguments->site));
        if (!site_check(desk, order->site, why))
            return false;
    }
    if (arguments->older_than && (!config_duration(slice_str(arguments->older_than), &age) || age <= 0))
        return fault_set(why, FAULT_INPUT, "--older-than %.100s: a number and s, m, h or d, as in 2d",
                         arguments->older_than);
    order->accepted_until = now - age;
    if (arguments->source)
        order->source = slice_str(arguments->source);
    if (arguments->pool)
        order->pool = slice_str(arguments->pool);
    return queue_filter_ready(desk->reader, why, order, &desk->arena);
}

/* What suspend and resume have, and the others have not. */
static bool pace_read(struct desk *desk, const struct queue_order_arguments *arguments, struct queue_order *order,
                      struct fault *why)
{
    time_ms wait = 0;
    if (!order_is_of_pace(order->verb))
        return true;
    if (!arguments->site)
        return fault_set(why, FAULT_INPUT, "say which receiver: --site SITE, as `todoke explain site` names it");
    if (order->verb == ORDER_SUSPEND &&
        (!arguments->for_ || !config_duration(slice_str(arguments->for_), &wait) || wait <= 0))
        return fault_set(why, FAULT_INPUT, "for how long: --for 2h (s, m, h, d)");
    order->until = wait ? order->at + wait : 0;
    return desk_site_of(desk, &order->site, why);
}

static bool order_read(struct desk *desk, const struct queue_order_arguments *arguments, enum order_verb verb,
                       struct queue_order *order, struct fault *why)
{
    if (!queue_filter_read(desk, arguments, order, why))
        return false;
    order->verb = verb;
    order->who = desk_person(&desk->arena);
    order->why = arguments->why ? slice_str(arguments->why) : SLICE("by hand");
    if (order->why.len > 400)
        return fault_set(why, FAULT_INPUT, "--why: at most 400 octets");
    if ((verb == ORDER_MOVE) != (arguments->to != NULL))
        return fault_set(why, FAULT_INPUT,
                         "a move needs --to POOL (or --to brand: back to the brand's own), others none");
    if (!pace_read(desk, arguments, order, why))
        return false;
    if (arguments->to && strcmp(arguments->to, "brand") != 0)
        order->to_pool = slice_str(arguments->to);
    if (!arguments->brand && !arguments->campaign && !arguments->domain && !arguments->site && !arguments->source &&
        !arguments->pool && !arguments->older_than)
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

static bool some_node_lives(struct desk *desk, bool *lives, struct fault *why)
{
    int64_t one;
    return db_query_ints(desk->reader, why, "SELECT 1 FROM node WHERE until_ms > $1 LIMIT 1",
                         VALUES(V_INT(world_wall(&desk->world))), &one, 1, lives);
}

/* "gmail.com" is no site, but a domain of one. */
static bool is_domain_of_ours(struct desk *desk, struct slice name)
{
    struct fault ignored;
    int64_t one;
    bool found;
    return name.len &&
           db_query_ints(desk->reader, &ignored, "SELECT 1 FROM lane WHERE domain = $1 LIMIT 1", VALUES(V_TEXT(name)),
                         &one, 1, &found) &&
           found;
}

/* What came of an order that is done. */
static void outcome_say(struct desk *desk, const struct queue_order *order)
{
    long long moved = order->moved;
    unsigned long long id = order->id;
    struct slice verb = order_verb_word(order->verb);
    if (order->verb == ORDER_SUSPEND)
        printf("order %llu: the site %.*s is suspended until %.*s; ways of it now: %lld\n", id, SLICE_ARG(order->site),
               SLICE_ARG(desk_time(desk, order->until)), moved);
    else if (order->verb == ORDER_RESUME && moved)
        printf("order %llu: the site %.*s goes on: nothing is held against it any more (ways: %lld). What is deferred "
               "waits for its hour; at once: todoke queue retry --site %.*s\n",
               id, SLICE_ARG(order->site), moved, SLICE_ARG(order->site));
    else if (order->verb == ORDER_RESUME)
        printf("order %llu: done, and there was nothing to lift: no way to the site %.*s is suspended or slowed; what "
               "binds there: todoke explain site %.*s\n",
               id, SLICE_ARG(order->site), SLICE_ARG(order->site));
    else if (!moved) {
        printf("order %llu: done, and nothing was changed: no mail that is owed now matches and may be %.*s", id,
               SLICE_ARG(order->verb == ORDER_HOLD      ? SLICE("held")
                         : order->verb == ORDER_RELEASE ? SLICE("released")
                         : order->verb == ORDER_PURGE   ? SLICE("purged")
                         : order->verb == ORDER_RETRY   ? SLICE("tried again (retry is for deferred mail)")
                                                        : SLICE("moved")));
        if (is_domain_of_ours(desk, order->site))
            printf("; %.*s is a receiver's domain: --domain %.*s", SLICE_ARG(order->site), SLICE_ARG(order->site));
        puts("");
    } else
        printf("order %llu: done, %.*s: %lld %s\n", id, SLICE_ARG(verb), moved,
               order->verb == ORDER_MOVE ? "lanes" : "deliveries");
}

/* Most orders are done in a second: then what came of it can be said. */
static bool queue_order_wait(struct desk *desk, const struct queue_order *given, struct fault *why)
{
    time_ms begun = world_monotonic(&desk->world);
    struct queue_order *orders;
    size_t count;
    do {
        world_pause(&desk->world, WAIT_LOOK_MS);
        if (!order_list(desk->reader, why, given->id, 0, 1, &desk->arena, &orders, &count))
            return false;
        if (count && orders[0].done) {
            outcome_say(desk, &orders[0]);
            return true;
        }
    } while (count && world_monotonic(&desk->world) - begun < WAIT_MS);
    printf("order %llu: the server carries it out; `todoke queue orders` tells how far it is\n",
           (unsigned long long)given->id);
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
    bool is_served;
    if (!store_change(desk->store, give_run, &order, why) || !some_node_lives(desk, &is_served, why))
        return false;
    if (!arguments->is_json && is_served && !(order_is_standing(&order) && verb == ORDER_HOLD))
        return queue_order_wait(desk, &order, why);
    if (arguments->is_json)
        printf("{\"order\":\"%llu\",\"verb\":\"%.*s\"}\n", (unsigned long long)order.id,
               SLICE_ARG(order_verb_word(verb)));
    else if (order_is_standing(&order) && verb == ORDER_HOLD)
        printf("order %llu: held from now on, mails that come later too\n", (unsigned long long)order.id);
    else
        printf("order %llu: no server runs, %s\n", (unsigned long long)order.id,
               verb == ORDER_RESUME ? "and nothing else is held against the site"
               : verb == ORDER_SUSPEND
                   ? "the site is suspended when one starts"
                   : "it is carried out when one starts; `todoke queue orders` tells how far it is");
    return true;
}

/* ── the record ── */

/* " brand Shop"; its id when it is there no more. */
static bool named_write(struct desk *desk, const char *what, const char *sql, uint64_t id, struct buf *out,
                        struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!id)
        return true;
    if (!db_query(desk->reader, why, &rows, sql, VALUES(V_INT((int64_t)id))))
        return false;
    if (rows_next(&rows))
        buf_printf(out, " %s %.*s", what, SLICE_ARG(rows_text(&rows, 0)));
    else
        buf_printf(out, " %s %llu", what, (unsigned long long)id);
    return rows_end(&rows);
}

static bool filter_write(struct desk *desk, const struct queue_order *order, struct buf *out, struct fault *why)
{
    if (!named_write(desk, "brand", "SELECT name FROM brand WHERE id = $1", order->brand_id, out, why) ||
        !named_write(desk, "campaign", "SELECT name FROM campaign WHERE id = $1", order->campaign_id, out, why))
        return false;
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
    if (order->until) {
        buf_text(out, " until ");
        time_rfc3339(out, order->until);
    }
    if (order->accepted_until < order->at) {
        buf_text(out, " accepted before ");
        time_rfc3339(out, order->accepted_until);
    }
    return true;
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
    json_put_id(&json, "brand", order->brand_id); /* beyond 2^53: no number that a reader of JSON keeps */
    json_put_id(&json, "campaign", order->campaign_id);
    json_put_string(&json, "domain", order->domain);
    json_put_string(&json, "site", order->site);
    json_put_string(&json, "source", order->source);
    json_put_string(&json, "pool", order->pool);
    json_put_string(&json, "to_pool", order->to_pool);
    json_put_string(&json, "until", stamp(desk, order->until));
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
        if (!filter_write(desk, order, &filter, why))
            return false;
        printf("%llu  %.*s  %.*s  %.*s%.*s  (%.*s): %lld%s moved, ", (unsigned long long)order->id,
               SLICE_ARG(desk_time(desk, order->at)), SLICE_ARG(order->who),
               SLICE_ARG(order->verb < ORDER_VERB_COUNT ? order_verb_word(order->verb) : SLICE("?")),
               SLICE_ARG(buf_slice(&filter)), SLICE_ARG(order->why), (long long)order->moved,
               order->verb == ORDER_MOVE       ? " lanes"
               : order_is_of_pace(order->verb) ? " ways"
                                               : "");
        if (order->done && order->verb == ORDER_HOLD && order_is_standing(order))
            puts("it stands: what came later was held too, until a release");
        else if (order->done)
            puts("done");
        else if (order_is_of_pace(order->verb))
            printf("under way, %lld nodes left\n", (long long)order->buckets_left);
        else
            printf("under way, %lld of %d buckets left\n", (long long)order->buckets_left, ID_BUCKETS);
    }
    return true;
}
