/* health.c - is a source fit to send from? Asked of the DNS now and then, on the dispatcher's loop
 *
 *     blocklists --> PTR --> its name leads back --> EHLO name leads back --> opinion
 *
 * A source that a list names, or that receivers would refuse (no PTR that leads back, an EHLO name that leads
 * elsewhere), is in trouble: nothing new leaves it until a later check finds nothing. A DNS that does not answer says
 * nothing, and the opinion stays. Addresses of private networks cannot be looked up: only lists are asked for them. */
#include "deliver/parts.h"

#include "base/log.h"
#include <stdio.h>

enum { CHECK_MS = 30000, LISTS_MOST = 32, TROUBLE_ROOM = 400 };

enum health_step { HEALTH_LIST, HEALTH_PTR, HEALTH_PTR_BACK, HEALTH_EHLO, HEALTH_DONE };

struct health {
    struct health *next;
    struct dispatcher *dispatcher;
    uint64_t source_id;
    struct ip ip;
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

static void check_ends(struct health *health)
{
    struct engine *engine = health->dispatcher->engine;
    char ip[IP_TEXT_ROOM];
    health->step = HEALTH_DONE;
    if ((health->is_unsure && !health->found[0]) || strcmp(health->found, health->trouble) == 0)
        return;
    if (health->found[0])
        log_warn("deliver", "source %s is in trouble, nothing new leaves it: %s", ip_text(&health->ip, ip),
                 health->found);
    else
        log_info("deliver", "source %s is well again", ip_text(&health->ip, ip));
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

static void check_next(struct health *health)
{
    const struct engine_options *options = &health->dispatcher->engine->options;
    enum dns_type type = health->ip.family == 6 ? DNS_AAAA : DNS_A;
    if (health->step == HEALTH_LIST) {
        health->list = piece_of(&health->lists);
        if (health->list.len)
            return ask_list(health);
    }
    if (health->step == HEALTH_LIST && options->checks_names && !is_private(&health->ip)) {
        SCOPED(buf) reverse = BUF(100);
        ip_reverse_name(&health->ip, &reverse);
        health->step = HEALTH_PTR;
        return question(health, buf_slice(&reverse), DNS_PTR);
    }
    if (health->step == HEALTH_PTR && health->ptr[0]) {
        health->step = HEALTH_PTR_BACK;
        return question(health, slice_str(health->ptr), type);
    }
    if (health->step == HEALTH_PTR || health->step == HEALTH_PTR_BACK) {
        health->step = HEALTH_EHLO;
        return question(health, slice_str(health->ehlo_name), type);
    }
    check_ends(health);
}

/* ── now and then ── */

static struct health *health_get(struct dispatcher *dispatcher, const struct source *source)
{
    struct health *health = dispatcher->healths;
    while (health && health->source_id != source->id)
        health = health->next;
    if (!health) {
        health = NEW(struct health);
        health->dispatcher = dispatcher;
        health->source_id = source->id;
        health->step = HEALTH_DONE;
        health->next = dispatcher->healths;
        dispatcher->healths = health;
    }
    return health;
}

void health_check(struct dispatcher *dispatcher, const struct source *list, size_t count)
{
    const struct engine_options *options = &dispatcher->engine->options;
    time_ms now = loop_now(dispatcher->loop), again = (time_ms)(CHECK_MS * options->retry.scale) + 1;
    if (!options->blocklists.len && !options->checks_names)
        return;
    for (size_t i = 0; i < count; i++) {
        struct health *health = health_get(dispatcher, &list[i]);
        if (health->step != HEALTH_DONE || now < health->check_at)
            continue;
        health->check_at = now + again;
        health->ip = source_seen_ip(&list[i]);
        health->lists = options->blocklists;
        health->step = HEALTH_LIST;
        health->is_unsure = false;
        health->found[0] = health->ptr[0] = '\0';
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
