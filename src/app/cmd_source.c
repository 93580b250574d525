/* cmd_source.c - todoke source: our own addresses, their pools, warm-up plans, and which brand sends by which */
#include "app/arguments.h"
#include "app/change.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/explain_site.h"
#include "app/site_name.h"
#include "app/usage.h"

#include "base/json.h"
#include "shape/allowance.h"
#include "shape/source.h"
#include "shape/stand_in.h"
#include <stdio.h>

static const char usage[] =
    "usage: todoke source add IP --ehlo NAME [--pool P] [--weight N] [--public-ip IP] [--node N] [--warm-up CAPS]\n"
    "       todoke source list [--json]\n"
    "       todoke source show IP [--json]              its warm-up plans, and what it sent today\n"
    "       todoke source change IP [--ehlo NAME] [--pool P] [--weight N]    what is not given stays as it is\n"
    "       todoke source drain IP                      nothing new leaves it; what is under way ends\n"
    "       todoke source activate IP\n"
    "       todoke source remove IP                     it must be draining\n"
    "       todoke source warm-up IP [CAPS] [--site S]  \"50,100,500\": mails a day, step by step; \"end\" ends the "
    "plan;\n"
    "                                                   without CAPS ours: 50 a day, then half as many more each day\n"
    "       todoke source assign BRAND [--pool P] [--weight N] [--recipients N]\n"
    "                                                   the pool a brand sends by, its share of a full site (1 to "
    "100),\n"
    "                                                   and how many recipients of the same mail go in one "
    "transaction\n"
    "                                                   (1 to 1000; docs/pace.md)\n"
    "       todoke source stand-in POOL --pool P        by which pool its mail leaves while it has no way: its sources "
    "drain,\n"
    "                                                   are in trouble, or their plan's day is used up; \"none\": by "
    "nobody\n"
    "\n"
    "Without a source the system chooses the address. A brand without a pool sends by the one named \"default\", once "
    "that\n"
    "has a source. A running server follows within a few seconds. docs/pace.md tells the whole story.\n"
    "  --ehlo NAME       the name said in EHLO: should resolve to the address, and the address back to it\n"
    "  --public-ip IP    what receivers see, when it is another one (NAT): health checks are about that\n"
    "  --site S          a plan for one site (google, docomo ..., or a domain whose mail goes there); without it for "
    "all\n"
    "                    sites together\n"
    "  --store URL       the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

struct source_arguments {
    const char *store, *ehlo, *pool, *weight, *public_ip, *node, *warm_up, *site, *recipients;
    bool is_json;
    struct arguments words;
};

struct source_change {
    struct desk *desk;
    const struct source_arguments *given;
    struct source source;
    struct slice caps, group, pool;
    struct brand_way way;
    uint64_t brand_id;
    time_ms now;
};

static bool number_of(const char *option, const char *text, uint64_t least, uint64_t most, unsigned *number,
                      struct fault *why)
{
    uint64_t value = *number;
    if (text && (!slice_to_u64(slice_str(text), &value) || value < least || value > most))
        return fault_set(why, FAULT_INPUT, "%s %s: a number from %llu to %llu", option, text, (unsigned long long)least,
                         (unsigned long long)most);
    *number = (unsigned)value;
    return true;
}

/* ── changing ── */

static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct source_change *change = context;
    return source_add(db, why, &change->source, change->now) &&
           (!change->given->warm_up ||
            warm_up_begin(db, why, change->source.id, change->group, change->caps, change->now));
}

static bool add(struct source_change *change, struct fault *why)
{
    const struct source_arguments *given = change->given;
    struct source *source = &change->source;
    *source = (struct source){.weight = 1};
    if (!ip_parse(slice_str(given->words.words[1]), &source->ip))
        return fault_set(why, FAULT_INPUT, "\"%s\" is not an IP address", given->words.words[1]);
    if (given->public_ip && !ip_parse(slice_str(given->public_ip), &source->public_ip))
        return fault_set(why, FAULT_INPUT, "--public-ip \"%s\" is not an IP address", given->public_ip);
    if (!given->ehlo)
        return fault_set(why, FAULT_INPUT, "--ehlo is missing: the name that this address says in EHLO");
    source->ehlo_name = slice_str(given->ehlo);
    source->pool = given->pool ? slice_str(given->pool) : SLICE(SOURCE_POOL_DEFAULT);
    change->caps = given->warm_up && strcmp(given->warm_up, "ours") != 0 ? slice_str(given->warm_up) : SLICE("");
    if (!number_of("--weight", given->weight, 1, SOURCE_WEIGHT_MOST, &source->weight, why) ||
        !number_of("--node", given->node, 0, STORE_NODE_MAX, &source->node, why) ||
        !store_change(change->desk->store, add_run, change, why))
        return false;
    printf("source %s in pool %.*s\n", given->words.words[1], SLICE_ARG(source->pool));
    return true;
}

static bool change_run(struct db *db, struct fault *why, void *context)
{
    return source_change(db, why, &((struct source_change *)context)->source);
}

/* What is not given stays as it is. */
static bool change_source(struct source_change *change, struct fault *why)
{
    const struct source_arguments *given = change->given;
    struct source *source = &change->source;
    if (!given->ehlo && !given->pool && !given->weight)
        return fault_set(why, FAULT_INPUT, "change what? --ehlo, --pool or --weight");
    if (given->ehlo)
        source->ehlo_name = slice_str(given->ehlo);
    if (given->pool)
        source->pool = slice_str(given->pool);
    if (!number_of("--weight", given->weight, 1, SOURCE_WEIGHT_MOST, &source->weight, why) ||
        !store_change(change->desk->store, change_run, change, why))
        return false;
    printf("source %s in pool %.*s, weight %u, EHLO %.*s\n", given->words.words[1], SLICE_ARG(source->pool),
           source->weight, SLICE_ARG(source->ehlo_name));
    return true;
}

static bool drain_run(struct db *db, struct fault *why, void *context)
{
    struct source_change *change = context;
    return source_set_state(db, why, change->source.id, change->source.state, change->now);
}

static bool set_state(struct source_change *change, enum source_state state, struct fault *why)
{
    change->source.state = state;
    if (!store_change(change->desk->store, drain_run, change, why))
        return false;
    printf("%.*s\n", SLICE_ARG(source_state_word(state)));
    return true;
}

static bool drain(struct source_change *change, struct fault *why)
{
    return set_state(change, SOURCE_DRAINING, why);
}

static bool activate(struct source_change *change, struct fault *why)
{
    return set_state(change, SOURCE_ACTIVE, why);
}

static bool remove_run(struct db *db, struct fault *why, void *context)
{
    return source_remove(db, why, ((struct source_change *)context)->source.id);
}

static bool remove_source(struct source_change *change, struct fault *why)
{
    if (change->source.state != SOURCE_DRAINING)
        return fault_set(why, FAULT_INPUT, "%s is in use: drain it first", change->given->words.words[1]);
    if (!store_change(change->desk->store, remove_run, change, why))
        return false;
    puts("removed");
    return true;
}

static bool warm_up_run(struct db *db, struct fault *why, void *context)
{
    struct source_change *change = context;
    if (slice_equal(change->caps, SLICE("end")))
        return warm_up_end(db, why, change->source.id, change->group);
    return warm_up_begin(db, why, change->source.id, change->group, change->caps, change->now);
}

static bool warm_up(struct source_change *change, struct fault *why)
{
    const struct source_arguments *given = change->given;
    bool has_caps = given->words.word_count > 2;
    change->caps = has_caps ? slice_str(given->words.words[2]) : SLICE("");
    if (has_caps && !change->caps.len)
        return fault_set(why, FAULT_INPUT, "CAPS is empty: as in 50,100,500, or leave it out for ours");
    bool ends = slice_equal(change->caps, SLICE("end"));
    if (given->site) {
        change->group = arena_lower(&change->desk->arena, slice_str(given->site));
        if ((!ends && (!site_name_check(change->group, NULL, NULL, NULL, why) ||
                       !desk_site_of(change->desk, &change->group, why))))
            return false;
    }
    if (!store_change(change->desk->store, warm_up_run, change, why))
        return false;
    printf("the plan for %.*s %s\n",
           SLICE_ARG(slice_equal(change->group, SLICE("*")) ? SLICE("all sites") : change->group),
           ends ? "has ended" : "begins at its first step");
    return true;
}

/* A pool may be named before its sources are there; but a slip of the pen should be seen. */
static bool pool_tell(struct desk *desk, struct slice pool, const char *what_follows, struct fault *why)
{
    int64_t one;
    bool found;
    if (!db_query_ints(desk->reader, why, "SELECT 1 FROM source WHERE pool = $1 LIMIT 1", VALUES(V_TEXT(pool)), &one, 1,
                       &found))
        return false;
    if (!found)
        printf("the pool %.*s has no source yet: %s\n", SLICE_ARG(pool), what_follows);
    return true;
}

static bool assign_run(struct db *db, struct fault *why, void *context)
{
    struct source_change *change = context;
    return brand_way_set(db, why, change->brand_id, &change->way);
}

/* What is not given stays as it is. */
static bool assign(struct source_change *change, struct fault *why)
{
    const struct source_arguments *given = change->given;
    struct desk *desk = change->desk;
    struct brand_way *way = &change->way;
    if (!desk_brand(desk, given->words.words[1], &change->brand_id, why) ||
        !brand_way_find(desk->reader, why, change->brand_id, &desk->arena, way))
        return false;
    if (given->pool)
        way->pool = slice_str(given->pool);
    if (!number_of("--weight", given->weight, 1, SOURCE_WEIGHT_MOST, &way->weight, why) ||
        !number_of("--recipients", given->recipients, 1, BRAND_RECIPIENTS_MOST, &way->recipients_per_transaction,
                   why) ||
        !store_change(desk->store, assign_run, change, why))
        return false;
    printf("pool %.*s, weight %u, recipients a transaction %u\n",
           SLICE_ARG(way->pool.len ? way->pool : SLICE("default")), way->weight, way->recipients_per_transaction);
    return !way->pool.len || slice_equal(way->pool, SLICE(SOURCE_POOL_DEFAULT)) ||
           pool_tell(desk, way->pool, "the brand's mail waits until it has one", why);
}

static bool stand_in_run(struct db *db, struct fault *why, void *context)
{
    struct source_change *change = context;
    return stand_in_set(db, why, slice_str(change->given->words.words[1]), change->pool, change->now);
}

static bool stand_in(struct source_change *change, struct fault *why)
{
    const char *pool = change->given->words.words[1];
    if (!change->given->pool)
        return fault_set(why, FAULT_INPUT, "--pool: which one stands in for %s, or none", pool);
    change->pool = slice_str(change->given->pool);
    if (slice_equal(change->pool, SLICE("none")))
        change->pool = SLICE("");
    if (!store_change(change->desk->store, stand_in_run, change, why))
        return false;
    printf("%s: %.*s stands in\n", pool, SLICE_ARG(change->pool.len ? change->pool : SLICE("nobody")));
    return pool_tell(change->desk, slice_str(pool), "there is nothing to stand in for", why) &&
           (!change->pool.len || pool_tell(change->desk, change->pool, "it cannot stand in until it has one", why));
}

/* ── showing ── */

static void put_source(struct json *json, const struct source *source)
{
    char ip[IP_TEXT_ROOM];
    SCOPED(buf) since = BUF(64);
    json_put_string(json, "ip", slice_str(ip_text(&source->ip, ip)));
    json_put_string(json, "public_ip",
                    source->public_ip.family ? slice_str(ip_text(&source->public_ip, ip)) : SLICE(""));
    json_put_string(json, "ehlo", source->ehlo_name);
    json_put_string(json, "pool", source->pool);
    json_put_int(json, "weight", source->weight);
    json_put_int(json, "node", source->node);
    json_put_string(json, "state", source_state_word(source->state));
    json_put_string(json, "trouble", source->trouble);
    json_put_bool(json, "usable", source_is_usable(source));
    time_rfc3339(&since, source->since);
    json_put_string(json, "since", buf_slice(&since));
}

static void print_source(struct desk *desk, const struct source *source)
{
    char ip[IP_TEXT_ROOM];
    desk_cell(slice_str(ip_text(&source->ip, ip)), 18);
    desk_cell(source->pool, 12);
    desk_cell(source->ehlo_name, 28);
    printf(" weight %-3u %.*s since %.*s", source->weight, SLICE_ARG(source_state_word(source->state)),
           SLICE_ARG(desk_time(desk, source->since)));
    if (source->trouble.len)
        printf("; in trouble: %.*s", SLICE_ARG(source->trouble));
    puts("");
}

static bool print_stand_ins(const struct source_change *change, struct fault *why)
{
    struct stand_in *list;
    size_t count;
    if (!stand_in_list(change->desk->reader, why, change->now, &change->desk->arena, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct stand_in *one = &list[i];
        printf("pool %.*s: %.*s stands in%s\n", SLICE_ARG(one->pool), SLICE_ARG(one->by),
               one->has_way      ? " when it has no way of its own"
               : !one->is_usable ? ", and has no usable source either"
               : one->is_capped  ? " now: what its plans allow today is used up"
                                 : " now: it has no usable source");
    }
    return true;
}

static bool list(struct source_change *change, struct fault *why)
{
    struct desk *desk = change->desk;
    struct source *sources;
    size_t count;
    if (!source_list(desk->reader, why, &desk->arena, &sources, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        SCOPED(buf) line = BUF(4096);
        struct json json = {&line};
        if (!change->given->is_json) {
            print_source(desk, &sources[i]);
            continue;
        }
        json_object_begin(&json);
        put_source(&json, &sources[i]);
        json_end(&json);
        printf("%s\n", buf_cstr(&line));
    }
    return change->given->is_json || print_stand_ins(change, why);
}

static void print_plan(const struct warm_up *plan)
{
    printf("  warm-up %.*s: ", SLICE_ARG(plan->group));
    if (plan->cap < 0)
        printf("done");
    else
        printf("step %lld, %lld of %lld reserved today, %lld delivered, %lld deferred", (long long)plan->step + 1,
               (long long)plan->reserved, (long long)plan->cap, (long long)plan->delivered, (long long)plan->deferred);
    if (plan->why.len)
        printf("; not a step on: %.*s", SLICE_ARG(plan->why));
    puts("");
}

static void put_plan(struct json *json, const struct warm_up *plan)
{
    json_object_begin(json);
    json_put_string(json, "site", plan->group);
    json_put_string(json, "caps", plan->caps);
    json_put_int(json, "step", plan->step + 1);
    json_put_bool(json, "done", plan->cap < 0);
    json_put_int(json, "cap", plan->cap);
    json_put_int(json, "reserved", plan->reserved);
    json_put_int(json, "delivered", plan->delivered);
    json_put_int(json, "deferred", plan->deferred);
    json_put_string(json, "why", plan->why);
    json_end(json);
}

static bool show(struct source_change *change, struct fault *why)
{
    struct desk *desk = change->desk;
    struct warm_up *plans;
    size_t count;
    SCOPED(buf) line = BUF(1 << 20);
    struct json json = {&line};
    if (!warm_up_list(desk->reader, why, change->source.id, change->now, &desk->arena, &plans, &count))
        return false;
    if (!change->given->is_json) {
        print_source(desk, &change->source);
        for (size_t i = 0; i < count; i++)
            print_plan(&plans[i]);
        return true;
    }
    json_object_begin(&json);
    put_source(&json, &change->source);
    json_put_array(&json, "warm_up");
    for (size_t i = 0; i < count; i++)
        put_plan(&json, &plans[i]);
    json_end(&json);
    json_end(&json);
    printf("%s\n", buf_cstr(&line));
    return true;
}

/* ── the command ── */

/* The verb, how many words it takes, whether the second one is a source that is there, and its options: one that only
 * another verb has must not be read over. */
static const struct verb {
    const char *verb;
    bool (*run)(struct source_change *change, struct fault *why);
    int least, most;
    bool is_of_source;
    const char *options;
} verbs[] = {
    {"add", add, 2, 2, false, "--ehlo --pool --weight --public-ip --node --warm-up --store"},
    {"list", list, 1, 1, false, "--json --store"},
    {"show", show, 2, 2, true, "--json --store"},
    {"change", change_source, 2, 2, true, "--ehlo --pool --weight --store"},
    {"drain", drain, 2, 2, true, "--store"},
    {"activate", activate, 2, 2, true, "--store"},
    {"remove", remove_source, 2, 2, true, "--store"},
    {"warm-up", warm_up, 2, 3, true, "--site --store"},
    {"assign", assign, 2, 2, false, "--pool --weight --recipients --store"},
    {"stand-in", stand_in, 2, 2, false, "--pool --store"},
};

static const struct verb *verb_of(const struct arguments *words)
{
    for (size_t i = 0; words->word_count && i < COUNT_OF(verbs); i++)
        if (strcmp(words->words[0], verbs[i].verb) == 0 && words->word_count >= verbs[i].least &&
            words->word_count <= verbs[i].most)
            return &verbs[i];
    return NULL;
}

static bool run(const struct verb *verb, struct source_change *change, struct fault *why)
{
    const char *text = verb->is_of_source ? change->given->words.words[1] : NULL;
    struct ip ip;
    if (text && !ip_parse(slice_str(text), &ip))
        return fault_set(why, FAULT_INPUT, "\"%s\" is not an IP address", text);
    return (!text || source_find(change->desk->reader, why, &ip, &change->desk->arena, &change->source)) &&
           verb->run(change, why);
}

int cmd_source(int argc, char **argv)
{
    struct source_arguments given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},
        {"--ehlo", &given.ehlo, NULL},
        {"--pool", &given.pool, NULL},
        {"--weight", &given.weight, NULL},
        {"--public-ip", &given.public_ip, NULL},
        {"--node", &given.node, NULL},
        {"--warm-up", &given.warm_up, NULL},
        {"--site", &given.site, NULL},
        {"--recipients", &given.recipients, NULL},
        {"--json", NULL, &given.is_json},
        {NULL, NULL, NULL},
    };
    struct fault why = {0};
    struct desk desk = {0};
    if (!arguments_read(argc, argv, table, &given.words, &why))
        return command_fail("source", &why);
    const struct verb *verb = verb_of(&given.words);
    if (given.words.wants_help || !verb)
        return usage_tell("source", usage, &given.words);
    if (!arguments_only(table, verb->verb, verb->options, &why))
        return command_fail("source", &why);
    bool ok = desk_open(&desk, given.store, &why);
    if (ok) {
        struct source_change change = {.desk = &desk,
                                       .given = &given,
                                       .group = given.site ? slice_str(given.site) : SLICE("*"),
                                       .now = world_wall(&desk.world)};
        ok = run(verb, &change, &why);
    }
    desk_release(&desk);
    return ok ? 0 : command_fail("source", &why);
}
