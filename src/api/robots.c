#include "api/robots_inside.h"

#include "base/data_files.h"
#include <stdlib.h>

enum { FILE_MOST = 16 << 20 };

/* ── asking ── */

static const struct robot_agent *agent_find(const struct robots *robots, struct slice words)
{
    const struct robot_agent *best = NULL;
    for (size_t i = 0; i < robots->whole_count; i++)
        if (slice_equal_caseless(robots->wholes[i]->text, words))
            return robots->wholes[i];
    unsigned state = 0;
    for (size_t i = 0; i < words.len; i++) {
        state = robots->next[state * robots->classes + robots->class_of[(unsigned char)words.ptr[i]]];
        const struct robot_agent *end = robots->ends[state];
        if (end && (!best || end->text.len > best->text.len))
            best = end;
    }
    return best;
}

static struct ip masked(struct ip ip, unsigned bits)
{
    for (unsigned i = 0; i < sizeof(ip.bytes); i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            ip.bytes[i] = (uint8_t)(ip.bytes[i] & (0xff00 >> kept));
    }
    return ip;
}

static int by_octets(const void *a, const void *b)
{
    const struct robot_network *left = a, *right = b;
    return memcmp(left->prefix.bytes, right->prefix.bytes, sizeof(left->prefix.bytes));
}

static const struct robot_network *network_find(const struct robots *robots, const struct ip *ip)
{
    for (size_t i = 0; i < robots->table_count; i++) {
        const struct robot_table *table = &robots->tables[i];
        if (table->family != ip->family)
            continue;
        const struct robot_network wanted = {.prefix = masked(*ip, table->bits)};
        const struct robot_network *found = bsearch(&wanted, table->networks, table->count, sizeof(wanted), by_octets);
        if (found)
            return found;
    }
    return NULL;
}

enum event_origin robots_who(const struct robots *robots, struct slice user_agent, const struct ip *ip)
{
    user_agent = slice_head(slice_trim(user_agent), ROBOT_AGENT_MOST);
    if (!user_agent.len)
        return EVENT_ORIGIN_ROBOT;
    const struct robot_agent *agent = agent_find(robots, user_agent);
    if (agent)
        return agent->who;
    const struct robot_network *network = ip ? network_find(robots, ip) : NULL;
    return network ? network->who : EVENT_ORIGIN_PERSON;
}

/* ── making the machine ── */

static size_t count_octets(const struct robots *robots, size_t *wholes)
{
    size_t octets = 0;
    *wholes = 0;
    for (size_t f = 0; f < robots->file_count; f++)
        for (size_t i = 0; i < robots->files[f].agent_count; i++) {
            *wholes += robots->files[f].agents[i].is_whole;
            octets += robots->files[f].agents[i].is_whole ? 0 : robots->files[f].agents[i].text.len;
        }
    return octets;
}

/* Octets that stand in no part are one class; a letter's two cases are one too. */
static void make_classes(struct robots *robots)
{
    robots->classes = 1;
    for (size_t f = 0; f < robots->file_count; f++)
        for (size_t i = 0; i < robots->files[f].agent_count; i++) {
            const struct robot_agent *agent = &robots->files[f].agents[i];
            for (size_t c = 0; c < agent->text.len && !agent->is_whole; c++) {
                unsigned char octet = (unsigned char)agent->text.ptr[c];
                if (!robots->class_of[octet])
                    robots->class_of[octet] = (uint8_t)robots->classes++;
            }
        }
    for (int octet = 'A'; octet <= 'Z'; octet++)
        robots->class_of[octet] = robots->class_of[(unsigned char)ascii_lower((char)octet)];
}

static void add_part(struct robots *robots, const struct robot_agent *agent)
{
    unsigned state = 0;
    for (size_t c = 0; c < agent->text.len; c++) {
        uint16_t *next = &robots->next[state * robots->classes + robots->class_of[(unsigned char)agent->text.ptr[c]]];
        if (!*next)
            *next = (uint16_t)robots->states++;
        state = *next;
    }
    robots->ends[state] = agent; /* of a part written twice, the later one: an operator's file comes last */
}

/* Breadth first: where a state has no move of its own it makes that of the longest end of it that is a beginning. */
static void make_moves(struct robots *robots)
{
    SCOPED(arena) arena = {0};
    uint16_t *queue = ARENA_ARRAY(&arena, uint16_t, robots->states);
    uint16_t *falls = ARENA_ARRAY(&arena, uint16_t, robots->states);
    size_t from = 0, to = 0;
    for (unsigned class = 0; class < robots->classes; class ++)
        if (robots->next[class])
            queue[to++] = robots->next[class];
    while (from < to) {
        unsigned state = queue[from++];
        if (!robots->ends[state])
            robots->ends[state] = robots->ends[falls[state]];
        for (unsigned class = 0; class < robots->classes; class ++) {
            uint16_t *next = &robots->next[state * robots->classes + class];
            uint16_t otherwise = robots->next[falls[state] * robots->classes + class];
            if (!*next) {
                *next = otherwise;
                continue;
            }
            falls[*next] = otherwise;
            queue[to++] = *next;
        }
    }
}

static bool settle_agents(struct robots *robots, struct fault *why)
{
    size_t wholes, octets = count_octets(robots, &wholes);
    if (octets > ROBOT_STATES_MOST)
        return fault_set(why, FAULT_INPUT, "data/robots: more than %d octets of agents", ROBOT_STATES_MOST);
    make_classes(robots);
    robots->states = 1;
    robots->next = ARENA_ARRAY(&robots->arena, uint16_t, (octets + 1) * robots->classes);
    robots->ends = ARENA_ARRAY(&robots->arena, const struct robot_agent *, octets + 1);
    robots->wholes = ARENA_ARRAY(&robots->arena, const struct robot_agent *, wholes + 1);
    for (size_t f = 0; f < robots->file_count; f++)
        for (size_t i = 0; i < robots->files[f].agent_count; i++) {
            const struct robot_agent *agent = &robots->files[f].agents[i];
            if (agent->is_whole)
                robots->wholes[robots->whole_count++] = agent;
            else
                add_part(robots, agent);
        }
    make_moves(robots);
    return true;
}

static int by_length(const void *a, const void *b)
{
    const struct robot_network *left = a, *right = b;
    if (left->bits != right->bits)
        return left->bits > right->bits ? -1 : 1;
    if (left->prefix.family != right->prefix.family)
        return left->prefix.family < right->prefix.family ? -1 : 1;
    return by_octets(a, b);
}

static bool settle_networks(struct robots *robots, struct fault *why)
{
    size_t count = 0, at = 0;
    for (size_t f = 0; f < robots->file_count; f++)
        count += robots->files[f].network_count;
    if (count > ROBOT_NETWORKS_MOST)
        return fault_set(why, FAULT_INPUT, "data/robots: more than %d networks", ROBOT_NETWORKS_MOST);
    struct robot_network *all = ARENA_ARRAY(&robots->arena, struct robot_network, count + 1);
    for (size_t f = 0; f < robots->file_count; f++)
        for (size_t i = 0; i < robots->files[f].network_count; i++) {
            all[at] = robots->files[f].networks[i];
            all[at].prefix = masked(all[at].prefix, all[at].bits);
            at++;
        }
    qsort(all, count, sizeof(*all), by_length);
    robots->tables = ARENA_ARRAY(&robots->arena, struct robot_table, 33 + 129);
    for (size_t i = 0; i < count; i++) {
        struct robot_table *table = robots->table_count ? &robots->tables[robots->table_count - 1] : NULL;
        if (!table || table->bits != all[i].bits || table->family != all[i].prefix.family) {
            table = &robots->tables[robots->table_count++];
            *table = (struct robot_table){all[i].prefix.family, all[i].bits, &all[i], 0};
        }
        table->count++;
    }
    return true;
}

static const char *word_of(enum event_origin who)
{
    return who == EVENT_ORIGIN_ROBOT ? "robot" : who == EVENT_ORIGIN_PROXY ? "proxy" : "person";
}

static bool settle_examples(const struct robots *robots, struct fault *why)
{
    for (size_t f = 0; f < robots->file_count; f++)
        for (size_t i = 0; i < robots->files[f].example_count; i++) {
            const struct robot_example *example = &robots->files[f].examples[i];
            enum event_origin who = robots_who(robots, example->agent, example->ip.family ? &example->ip : NULL);
            if (who != example->who)
                return fault_set(why, FAULT_INPUT, "%s line %u: this is a %s, by the rows", robots->files[f].path,
                                 example->line, word_of(who));
        }
    return true;
}

bool robots_settle(struct robots *robots, struct fault *why)
{
    return settle_agents(robots, why) && settle_networks(robots, why) && settle_examples(robots, why);
}

/* ── where they come from ── */

struct robots *robots_new(void)
{
    return NEW(struct robots);
}

void robots_free(struct robots *robots)
{
    if (robots)
        arena_release(&robots->arena);
    free(robots);
}

static bool read_file(void *robots, const char *path, struct slice text, bool is_operators, struct fault *why)
{
    return robots_read(robots, path, text, is_operators, why);
}

bool robots_open(const char *folder, struct robots **robots_out, struct fault *why)
{
    struct robots *robots = robots_new();
    const struct data_files files = {.carried = SLICE("data/robots/"),
                                     .folder = folder,
                                     .what = "robots",
                                     .most_bytes = FILE_MOST,
                                     .arena = &robots->arena,
                                     .read = read_file,
                                     .owner = robots};
    if (!data_files_read(&files, why) || !robots_settle(robots, why)) {
        robots_free(robots);
        return false;
    }
    *robots_out = robots;
    return true;
}
