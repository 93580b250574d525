/* health.c - is a source fit to send from? Asked of the DNS now and then, on the dispatcher's loop
 *
 *     blocklists --> PTR --> its name leads back --> EHLO name leads back --> opinion
 *
 * A source that a list names, or that receivers would refuse (no PTR that leads back, an EHLO name that leads
 * elsewhere), is in trouble: nothing new leaves it until a later check finds nothing. A DNS that does not answer says
 * nothing, and the opinion stays; where nothing is checked any more it goes. Addresses of private networks cannot be
 * looked up: only lists are asked for them.
 *
 * Names are asked for where sources.check_names says so, and of IPv6 addresses always: great receivers take no mail
 * from one without (R17). So IPv6 addresses that are nobody's source, of which the system chooses one where there is
 * none, must have one too, each of them; until that is known no mail leaves by IPv6 from there. */
#include "deliver/engine_inside.h"

#include "base/log.h"
#include <stdio.h>

enum { CHECK_MS = 30000, TROUBLE_ROOM = 400 };

enum health_step { HEALTH_LIST, HEALTH_PTR, HEALTH_PTR_BACK, HEALTH_EHLO, HEALTH_DONE };

struct health {
    struct health *next;
    struct dispatcher *dispatcher;
    uint64_t source_id; /* 0: an address of our own that the system may choose */
    struct ip ip;
    bool is_proven; /* source_id 0: its name leads both ways */
    char ehlo_name[DNS_NAME_ROOM], ptr[DNS_NAME_ROOM];
    char trouble[TROUBLE_ROOM], found[TROUBLE_ROOM]; /* as the store has it; by this check */
    struct slice lists;                              /* those still to be asked */
    struct slice list;
    enum health_step step;
    bool is_unsure; /* a question had no answer */
    struct dns_query *query;
    time_ms check_at;
};

static void check_next(struct health *health);

static struct slice piece_of(struct slice *lists)
{
    struct slice one = {0};
    while (!one.len && slice_split(lists, ',', &one))
        one = slice_trim(one);
    return one;
}

static bool is_private(const struct ip *ip)
{
    static const struct {
        uint8_t family, bytes[2];
        unsigned bits;
    } nets[] = {{4, {10}, 8},  {4, {172, 16}, 12}, {4, {192, 168}, 16},  {4, {100, 64}, 10},
                {4, {127}, 8}, {6, {0xfc}, 7},     {6, {0xfe, 0x80}, 10}};
    for (size_t i = 0; i < COUNT_OF(nets); i++) {
        struct ip prefix = {.family = nets[i].family, .bytes = {nets[i].bytes[0], nets[i].bytes[1]}};
        if (ip_in_prefix(ip, &prefix, nets[i].bits))
            return true;
    }
    return false;
}

/* ── the opinion ── */

struct opinion_job {
    struct write_job job;
    uint64_t source_id;
    time_ms now;
    char trouble[TROUBLE_ROOM];
};

static bool opinion_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct opinion_job *opinion = (struct opinion_job *)job;
    return source_set_trouble(db, why, opinion->source_id, slice_str(opinion->trouble), opinion->now);
}

static void opinion_done(struct write_job *job, const struct fault *why)
{
    if (why)
        log_warn("deliver", "what a check of a source found cannot be written: %s", why->text);
    free(job);
}

/* One without a name is one too many: nobody knows which the system takes. */
static void own_check_ends(struct health *health)
{
    struct dispatcher *dispatcher = health->dispatcher;
    bool was_proven = health->is_proven, is_nameless = false;
    if (health->found[0] || !health->is_unsure)
        health->is_proven = !health->found[0];
    if (health->found[0] && (was_proven || !health->trouble[0]))
        log_warn("deliver", "no mail leaves by IPv6 without a source: %s", health->found);
    snprintf(health->trouble, sizeof(health->trouble), "%s", health->found);
    for (const struct health *own = dispatcher->healths; own; own = own->next)
        is_nameless |= !own->source_id && !own->is_proven;
    atomic_store(&dispatcher->engine->ipv6_is_nameless, is_nameless);
}

static void check_ends(struct health *health)
{
    struct engine *engine = health->dispatcher->engine;
    char ip[IP_TEXT_ROOM];
    health->step = HEALTH_DONE;
    if (!health->source_id)
        return own_check_ends(health);
    if ((health->is_unsure && !health->found[0]) || strcmp(health->found, health->trouble) == 0)
        return;
    if (health->found[0])
        log_warn("deliver", "a source is in trouble, nothing new leaves it source=%s trouble=%s",
                 ip_text(&health->ip, ip), health->found);
    else
        log_info("deliver", "a source is well again source=%s", ip_text(&health->ip, ip));
    struct opinion_job *opinion = NEW(struct opinion_job);
    opinion->job.run = opinion_run;
    opinion->job.done = opinion_done;
    opinion->source_id = health->source_id;
    opinion->now = world_wall(engine->options.world);
    snprintf(opinion->trouble, sizeof(opinion->trouble), "%s", health->found);
    store_write(engine->options.store, &opinion->job);
}

/* ── questions ── */

static bool leads_back(const struct health *health, const struct dns_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        if (ip_equal(&answer->records[i].ip, &health->ip))
            return true;
    return false;
}

/* 127.255.255.x is how lists say that they were asked wrongly, not that we are listed. */
static bool is_listed(const struct dns_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        const struct ip *ip = &answer->records[i].ip;
        if (ip->family == 4 && ip->bytes[0] == 127 && ip->bytes[1] != 255)
            return true;
    }
    return false;
}

static void on_answer(void *owner, const struct dns_answer *answer)
{
    struct health *health = owner;
    char ip[IP_TEXT_ROOM];
    ip_text(&health->ip, ip);
    health->query = NULL;
    bool has_none = answer->status == DNS_NO_NAME || answer->status == DNS_NO_DATA, found = answer->status == DNS_FOUND;
    health->is_unsure = health->is_unsure || !(has_none || found);
    switch (health->step) {
    case HEALTH_LIST:
        if (found && is_listed(answer))
            snprintf(health->found, sizeof(health->found), "listed by %.*s", SLICE_ARG(health->list));
        break;
    case HEALTH_PTR:
        if (has_none)
            snprintf(health->found, sizeof(health->found), "%s has no PTR record", ip);
        if (found && answer->count)
            snprintf(health->ptr, sizeof(health->ptr), "%.*s", SLICE_ARG(answer->records[0].name));
        break;
    case HEALTH_PTR_BACK:
        if (has_none || (found && !leads_back(health, answer)))
            snprintf(health->found, sizeof(health->found), "its PTR %.150s does not lead back to %s", health->ptr, ip);
        break;
    case HEALTH_EHLO:
        if (has_none || (found && !leads_back(health, answer)))
            snprintf(health->found, sizeof(health->found), "its EHLO name %.150s does not lead to %s",
                     health->ehlo_name, ip);
        break;
    case HEALTH_DONE: break;
    }
    if (health->found[0])
        check_ends(health);
    else
        check_next(health);
}

static void question(struct health *health, struct slice name, enum dns_type type)
{
    health->query = dns_ask(health->dispatcher->dns, name, type, on_answer, health);
}

/* "4.3.2.1.list.example" from "4.3.2.1.in-addr.arpa". */
static void ask_list(struct health *health)
{
    SCOPED(buf) name = BUF(DNS_NAME_ROOM + 100);
    SCOPED(buf) reverse = BUF(100);
    ip_reverse_name(&health->ip, &reverse);
    struct slice arpa = health->ip.family == 6 ? SLICE(".ip6.arpa") : SLICE(".in-addr.arpa");
    buf_printf(&name, "%.*s.%.*s", (int)(reverse.len - arpa.len), reverse.ptr, SLICE_ARG(health->list));
    question(health, buf_slice(&name), DNS_A);
}

static bool wants_names(const struct engine_options *options, const struct ip *ip)
{
    return (options->checks_names || ip->family == 6) && !is_private(ip);
}

static void check_next(struct health *health)
{
    const struct engine_options *options = &health->dispatcher->engine->options;
    enum dns_type type = health->ip.family == 6 ? DNS_AAAA : DNS_A;
    if (health->step == HEALTH_LIST) {
        health->list = piece_of(&health->lists);
        if (health->list.len)
            return ask_list(health);
    }
    if (health->step == HEALTH_LIST && wants_names(options, &health->ip)) {
        SCOPED(buf) reverse = BUF(100);
        ip_reverse_name(&health->ip, &reverse);
        health->step = HEALTH_PTR;
        return question(health, buf_slice(&reverse), DNS_PTR);
    }
    if (health->step == HEALTH_PTR && health->ptr[0]) {
        health->step = HEALTH_PTR_BACK;
        return question(health, slice_str(health->ptr), type);
    }
    if (health->source_id && (health->step == HEALTH_PTR || health->step == HEALTH_PTR_BACK)) {
        health->step = HEALTH_EHLO;
        return question(health, slice_str(health->ehlo_name), type);
    }
    check_ends(health);
}

/* ── now and then ── */

/* Of this source; 0: of this address of ours. */
static struct health *health_get(struct dispatcher *dispatcher, uint64_t source_id, const struct ip *own)
{
    struct health *health = dispatcher->healths;
    while (health && (health->source_id != source_id || (!source_id && !ip_equal(&health->ip, own))))
        health = health->next;
    if (!health) {
        health = NEW(struct health);
        health->dispatcher = dispatcher;
        health->source_id = source_id;
        health->ip = *own;
        health->step = HEALTH_DONE;
        health->next = dispatcher->healths;
        dispatcher->healths = health;
    }
    return health;
}

static bool check_begins(struct health *health)
{
    const struct engine_options *options = &health->dispatcher->engine->options;
    time_ms now = loop_now(health->dispatcher->loop);
    if (health->step != HEALTH_DONE || now < health->check_at)
        return false;
    health->check_at = now + (time_ms)(CHECK_MS * options->retry.scale) + 1;
    health->step = HEALTH_LIST;
    health->is_unsure = false;
    health->found[0] = health->ptr[0] = '\0';
    return true;
}

/* IPv6 addresses of ours that the whole world can see. */
static void own_check(struct dispatcher *dispatcher)
{
    const struct engine_options *options = &dispatcher->engine->options;
    static const struct ip global = {.family = 6, .bytes = {0x20}};
    for (size_t i = 0; options->uses_ipv6 && i < options->own_address_count; i++) {
        const struct ip *ip = &options->own_addresses[i];
        if (ip->family != 6 || !ip_in_prefix(ip, &global, 3))
            continue;
        struct health *health = health_get(dispatcher, 0, ip);
        if (!check_begins(health))
            continue;
        if (!health->is_proven)
            atomic_store(&dispatcher->engine->ipv6_is_nameless, true);
        health->lists = SLICE("");
        check_next(health);
    }
}

void health_check(struct dispatcher *dispatcher, const struct source *list, size_t count)
{
    const struct engine_options *options = &dispatcher->engine->options;
    own_check(dispatcher);
    for (size_t i = 0; i < count; i++) {
        struct ip ip = source_seen_ip(&list[i]);
        bool is_checked = options->blocklists.len || wants_names(options, &ip);
        if (!is_checked && !list[i].trouble.len) /* what is not looked at any more is no trouble any more */
            continue;
        struct health *health = health_get(dispatcher, list[i].id, &ip);
        if (!check_begins(health))
            continue;
        health->ip = ip;
        health->lists = options->blocklists;
        snprintf(health->ehlo_name, sizeof(health->ehlo_name), "%.*s", SLICE_ARG(list[i].ehlo_name));
        snprintf(health->trouble, sizeof(health->trouble), "%.*s", SLICE_ARG(list[i].trouble));
        check_next(health);
    }
}

void health_release(struct dispatcher *dispatcher)
{
    for (struct health *health = dispatcher->healths, *next; health; health = next) {
        next = health->next;
        if (health->query)
            dns_cancel(health->query);
        free(health);
    }
    dispatcher->healths = NULL;
}
