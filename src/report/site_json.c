/* site_json.c - a site's story as JSON, and the sites that are busy */
#include "report/site_story.h"

#include <stdlib.h>

static void binding_json(struct json *json, const struct board_way *way, time_ms now, struct arena *arena)
{
    json_object_begin(json);
    json_put_string(json, "limit", way->binding);
    json_put_double(json, "value", way->binding_value);
    json_put_time(json, "since", way->binding_since);
    json_put_time(json, "until", way->binding_until);
    json_put_string(json, "reaction", way->reaction);
    json_put_string(json, "file", way->file);
    json_put_int(json, "line", way->line);
    json_put_words(json, "text", way_binding_text(way, now, LANG_JA, arena),
                   way_binding_text(way, now, LANG_EN, arena));
    json_end(json);
}

static void lowered_json(struct json *json, const struct board_way *way)
{
    if (!way->lowered_at)
        return json_nothing(json);
    json_object_begin(json);
    json_put_string(json, "by", way->lowered_by);
    json_put_time(json, "at", way->lowered_at);
    json_put_int(json, "times", way->lowered_times);
    json_put_double(json, "from", way->lowered_from);
    json_put_double(json, "to", way->lowered_to);
    json_put_string(json, "words", way->lowered_words);
    json_end(json);
}

void way_json(struct json *json, const struct board_way *way, time_ms now, struct arena *arena)
{
    json_object_begin(json);
    json_put_int(json, "node", way->node);
    json_put_string(json, "source", way->source);
    json_put_string(json, "pool", way->pool);
    json_put_bool(json, "is_usable", way->is_usable != 0);
    json_put_object(json, "connections");
    json_put_int(json, "open", way->connections);
    json_put_int(json, "talking", way->talking);
    json_put_int(json, "allowed", way->connections_allowed);
    json_put_int(json, "rule", way->connections_rule);
    json_end(json);
    json_put_object(json, "rate");
    json_put_double(json, "now", way->rate_now);
    json_put_double(json, "allowed", way->rate_allowed);
    json_put_double(json, "rule", way->rate_rule);
    json_put_double(json, "own", way->rate_own);
    json_put_double(json, "refused_at", way->rate_limit);
    json_end(json);
    json_put_int(json, "in_memory", way->in_memory);
    json_put_int(json, "sent", way->sent);
    json_key(json, "binds");
    binding_json(json, way, now, arena);
    json_key(json, "lowered");
    lowered_json(json, way);
    json_put_time(json, "suspended_until", way->suspended_until);
    json_put_time(json, "guarded_until", way->guarded_until);
    json_put_time(json, "ordered_until", way->ordered_until);
    json_put_time(json, "slowed_until", way->slowed_until);
    json_put_time(json, "narrowed_until", way->narrowed_until);
    json_put_string(json, "breaker", way->breaker.len ? way->breaker : SLICE("closed"));
    json_put_time(json, "breaker_until", way->breaker_until);
    json_key(json, "cap");
    if (way->cap_by.len) {
        json_object_begin(json);
        json_put_string(json, "by", way->cap_by);
        json_put_int(json, "a_day", way->cap);
        json_put_bool(json, "is_used_up", way->is_used_up != 0);
        json_end(json);
    } else {
        json_nothing(json);
    }
    json_end(json);
}

static void route_json(struct json *json, const struct board_route *route)
{
    if (!route)
        return json_nothing(json);
    json_object_begin(json);
    json_put_string(json, "domain", route->domain);
    json_put_string(json, "status", route->status);
    json_put_string(json, "hosts", route->hosts);
    json_put_string(json, "rule", route->rule);
    json_put_string(json, "file", route->file);
    json_put_string(json, "tls", route->tls);
    json_put_string(json, "relay", route->relay);
    json_put_time(json, "good_until", route->good_until);
    json_end(json);
}

static void owed_json(struct json *json, const struct site_story *story)
{
    json_object_begin(json);
    for (int state = 0; state <= DELIVERY_IN_DOUBT; state++) {
        json_key_slice(json, delivery_word((enum delivery_state)state));
        json_int(json, story->owed[state]);
    }
    json_end(json);
}

static void lanes_json(struct json *json, const struct site_story *story, struct arena *arena)
{
    json_put_array(json, "lanes");
    for (size_t i = 0; i < story->lane_count; i++)
        lane_wait_json(json, &story->lanes[i], story->now, arena);
    json_end(json);
    json_put_int(json, "lanes_left_out", story->lanes_left_out);
}

static void waiting_json(struct json *json, const struct site_story *story)
{
    json_put_array(json, "retries");
    for (size_t i = 0; i < story->retry_count; i++) {
        json_object_begin(json);
        json_put_string(json, "reason", reason_word(story->retries[i].reason));
        json_put_int(json, "n", story->retries[i].n);
        json_put_string(json, "rule", story->retries[i].said.rule);
        json_end(json);
    }
    json_end(json);
    json_put_array(json, "replies");
    for (size_t i = 0; i < story->reply_count; i++) {
        json_object_begin(json);
        json_put_string(json, "words", story->replies[i].words);
        json_put_string(json, "remote", story->replies[i].remote);
        json_put_time(json, "at", story->replies[i].at);
        json_put_int(json, "n", story->replies[i].n);
        json_end(json);
    }
    json_end(json);
    json_put_array(json, "holds");
    for (size_t i = 0; i < story->hold_count; i++) {
        json_object_begin(json);
        json_put_string(json, "domain", story->holds[i].name);
        json_put_string(json, "why", story->holds[i].why);
        json_put_time(json, "since", story->holds[i].since);
        json_end(json);
    }
    json_end(json);
    json_put_array(json, "warm_ups");
    for (size_t i = 0; i < story->plan_count; i++) {
        json_object_begin(json);
        json_put_string(json, "source", story->plans[i].source);
        json_put_string(json, "site", story->plans[i].group);
        json_put_int(json, "step", story->plans[i].step);
        json_put_int(json, "cap", story->plans[i].cap);
        json_put_int(json, "reserved", story->plans[i].reserved);
        json_end(json);
    }
    json_end(json);
}

static void suspensions_json(struct json *json, const struct site_story *story, struct arena *arena)
{
    const struct queue_order *resumed = story->order && story->order->verb == ORDER_RESUME ? story->order : NULL;
    json_put_array(json, "suspensions");
    for (size_t i = 0; i < story->suspension_count; i++) {
        const struct suspension *suspension = &story->suspensions[i];
        json_object_begin(json);
        json_put_string(json, "source", suspension->source);
        json_put_time(json, "since", suspension->since);
        json_put_time(json, "until", suspension->until);
        json_put_string(json, "who", suspension->who);
        json_put_string(json, "why", suspension->why);
        json_put_words(json, "text", suspension_text(suspension, LANG_JA, arena),
                       suspension_text(suspension, LANG_EN, arena));
        json_end(json);
    }
    json_end(json);
    json_key(json, "resumed");
    if (!resumed)
        return json_nothing(json);
    json_object_begin(json);
    json_put_string(json, "source", resumed->source);
    json_put_time(json, "at", resumed->at);
    json_put_string(json, "who", resumed->who);
    json_put_string(json, "why", resumed->why);
    json_put_int(json, "ways", resumed->moved);
    json_end(json);
}

static void pauses_json(struct json *json, const struct site_story *story, struct arena *arena)
{
    json_put_array(json, "pauses");
    for (size_t i = 0; i < story->pause_count; i++) {
        const struct pause *pause = &story->pauses[i];
        json_object_begin(json);
        json_put_int(json, "node", pause->node);
        json_put_string(json, "source", pause->source);
        json_put_string(json, "by", pace_limit_word(pause->it.by));
        json_put_string(json, "reaction", pause->it.reaction);
        json_put_string(json, "file", pause->file);
        json_put_int(json, "line", pause->it.at.line);
        json_put_string(json, "words", pause->words);
        json_put_time(json, "since", pause->it.since);
        json_put_time(json, "until", pause->it.until);
        json_put_words(json, "text", pause_text(pause, LANG_JA, arena), pause_text(pause, LANG_EN, arena));
        json_end(json);
    }
    json_end(json);
}

static void stand_ins_json(struct json *json, const struct site_story *story, struct arena *arena)
{
    json_put_array(json, "stand_ins");
    for (size_t i = 0; i < story->stand_in_count; i++) {
        const struct story_stand_in *stand_in = &story->stand_ins[i];
        json_object_begin(json);
        json_put_string(json, "pool", stand_in->pool);
        json_put_string(json, "by", stand_in->by);
        json_put_bool(json, "is_used_up", stand_in->is_capped);
        json_put_words(json, "text", stand_in_text(stand_in, LANG_JA, arena), stand_in_text(stand_in, LANG_EN, arena));
        json_end(json);
    }
    json_end(json);
}

void site_story_json(struct json *json, const struct site_story *story, struct arena *arena)
{
    const struct board_way *best = site_story_best(story);
    const struct board_route *route = story->route;
    json_object_begin(json);
    json_put_string(json, "name", story->name);
    json_put_string(json, "site", story->site);
    json_put_string(json, "label", route ? route->label : best ? best->label : SLICE(""));
    json_put_bool(json, "is_live", story->is_live);
    json_put_time(json, "at", story->now);
    json_key(json, "binds");
    if (best)
        binding_json(json, best, story->now, arena);
    else
        json_nothing(json);
    json_key(json, "route");
    route_json(json, route);
    json_put_array(json, "domains");
    for (size_t i = 0; i < story->domain_count && i < STORY_DOMAINS_SHOWN; i++)
        json_text(json, story->domains[i]);
    json_end(json);
    json_put_int(json, "domain_count", (int64_t)story->domain_count + story->domains_left_out);
    json_key(json, "owed");
    owed_json(json, story);
    json_put_int(json, "held_by_guard", story->guarded);
    json_put_words(json, "waits_for", site_story_waits_text(story, LANG_JA, arena),
                   site_story_waits_text(story, LANG_EN, arena));
    lanes_json(json, story, arena);
    waiting_json(json, story);
    stand_ins_json(json, story, arena);
    suspensions_json(json, story, arena);
    pauses_json(json, story, arena);
    json_put_array(json, "ways");
    for (size_t i = 0; i < story->way_count; i++)
        way_json(json, story->ways[i], story->now, arena);
    json_end(json);
    json_put_object(json, "done");
    json_put_time(json, "at", story->done_at);
    json_put_double(json, "rate", story->rate);
    json_put_bool(json, "is_measured", story->is_rate_measured);
    json_put_int(json, "held", story->held);
    json_put_int(json, "without_way", story->stuck);
    json_put_time(json, "next_retry_at", story->next_retry);
    json_put_time(json, "last_retry_at", story->last_retry);
    json_put_words(json, "text", site_story_done_text(story, LANG_JA, arena),
                   site_story_done_text(story, LANG_EN, arena));
    json_end(json);
    json_end(json);
}

static int by_site(const void *a, const void *b)
{
    const struct board_way *left = *(const struct board_way *const *)a, *right = *(const struct board_way *const *)b;
    int order = slice_compare(left->site, right->site);
    return order                       ? order
           : left->node != right->node ? (left->node < right->node ? -1 : 1)
                                       : slice_compare(left->source, right->source);
}

static int busiest_first(const void *a, const void *b)
{
    const struct busy_site *left = a, *right = b;
    if (left->rate != right->rate)
        return left->rate < right->rate ? 1 : -1;
    if (left->in_memory != right->in_memory)
        return left->in_memory < right->in_memory ? 1 : -1;
    return slice_compare(left->ways[0]->site, right->ways[0]->site);
}

void sites_busy(const struct board *board, struct arena *arena, struct busy_site **list, size_t *count)
{
    const struct board_way **ways = ARENA_ARRAY(arena, const struct board_way *, board->way_count + 1);
    struct busy_site *sites = ARENA_ARRAY(arena, struct busy_site, board->way_count + 1);
    *list = sites;
    *count = 0;
    for (size_t i = 0; i < board->way_count; i++)
        ways[i] = &board->ways[i];
    qsort(ways, board->way_count, sizeof(ways[0]), by_site);
    for (size_t i = 0; i < board->way_count; i++) {
        if (!i || !slice_equal(ways[i]->site, ways[i - 1]->site))
            sites[(*count)++] = (struct busy_site){.ways = &ways[i]};
        struct busy_site *site = &sites[*count - 1];
        site->way_count++;
        site->rate += ways[i]->rate_now;
        site->connections += ways[i]->connections;
        if (ways[i]->in_memory > site->in_memory) /* each way of a worker's site says the whole site's */
            site->in_memory = ways[i]->in_memory;
    }
    for (size_t i = 0; i < *count; i++) {
        const struct site_story story = {.ways = sites[i].ways, .way_count = sites[i].way_count};
        sites[i].best = site_story_best(&story);
    }
    qsort(sites, *count, sizeof(sites[0]), busiest_first);
}

void sites_json(struct json *json, const struct board *board, time_ms now, struct arena *arena)
{
    struct busy_site *sites;
    size_t count;
    sites_busy(board, arena, &sites, &count);
    json_put_array(json, "items");
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        json_put_string(json, "site", sites[i].best->site);
        json_put_string(json, "label", sites[i].best->label);
        json_put_double(json, "rate", sites[i].rate);
        json_put_int(json, "connections", sites[i].connections);
        json_put_int(json, "in_memory", sites[i].in_memory);
        json_key(json, "binds");
        binding_json(json, sites[i].best, now, arena);
        json_put_array(json, "ways");
        for (size_t w = 0; w < sites[i].way_count; w++)
            way_json(json, sites[i].ways[w], now, arena);
        json_end(json);
        json_end(json);
    }
    json_end(json);
}
