/* client.c - one loop's way to the DNS: joined questions and a bounded cache
 *
 * An entry is one question (type, name). While asked: `request` is on its way and `queries` wait for it. Then it holds
 * the answer until it expires; queries that find it are called in the next turn. Always true: an entry in `by_key` is
 * in the list of entries too, oldest first; an entry with queries is never dropped. */
#include "base/log.h"
#include "base/map.h"
#include "dns/request.h"
#include "net/world.h"

#include <assert.h>
#include <sched.h>

struct dns_entry {
    struct dns_client *client;
    struct slice key; /* "type/name" */
    struct dns_request *request;
    struct dns_answer answer;
    void *memory; /* of the answer */
    time_ms expires;
    struct dns_query *queries;
    struct deferred soon;
    bool is_calling;
    struct dns_entry *older, *newer;
};

struct dns_query {
    struct dns_entry *entry;
    dns_answered *on_answer;
    void *owner;
    struct dns_query *next, **link; /* *link is what points here */
};

struct dns_client {
    struct loop *loop;
    struct mailbox home;
    struct map by_key;
    struct dns_entry *oldest, *newest;
    size_t asked; /* requests on their way */
};

static void entry_unlist(struct dns_entry *entry)
{
    struct dns_client *client = entry->client;
    *(entry->older ? &entry->older->newer : &client->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &client->newest) = entry->older;
    entry->older = entry->newer = NULL;
}

static void entry_list(struct dns_entry *entry)
{
    struct dns_client *client = entry->client;
    entry->older = client->newest;
    entry->newer = NULL;
    *(client->newest ? &client->newest->newer : &client->oldest) = entry;
    client->newest = entry;
}

static void entry_free(struct dns_entry *entry)
{
    deferred_clear(&entry->soon);
    while (entry->queries) {
        struct dns_query *query = entry->queries;
        entry->queries = query->next;
        free(query);
    }
    map_remove(&entry->client->by_key, entry->key);
    entry_unlist(entry);
    free(entry->memory);
    free((void *)(uintptr_t)entry->key.ptr);
    free(entry);
}

static void query_list(struct dns_query *query, struct dns_query **list)
{
    query->next = *list;
    query->link = list;
    if (query->next)
        query->next->link = &query->next;
    *list = query;
}

/* Those that ask the same again from inside a callback wait for the next turn. */
static void on_soon(struct deferred *soon)
{
    struct dns_entry *entry = soon->owner;
    struct dns_query *calling = entry->queries;
    entry->queries = NULL;
    if (calling)
        calling->link = &calling;
    entry->is_calling = true;
    while (calling) {
        struct dns_query query = *calling;
        dns_cancel(calling);
        query.on_answer(query.owner, &entry->answer);
    }
    entry->is_calling = false;
}

/* Room for one more: those that are idle go, the oldest first; a look at a few is enough. */
static void keep_bounded(struct dns_client *client)
{
    struct dns_entry *entry = client->oldest, *newer;
    for (int looked = 0; entry && client->by_key.count >= DNS_CACHE_MOST && looked < 64; looked++, entry = newer) {
        newer = entry->newer;
        if (!entry->request && !entry->queries && !entry->is_calling)
            entry_free(entry);
    }
}

static void entry_settle(struct dns_entry *entry, const struct dns_answer *answer)
{
    time_ms ttl = SECONDS_MS((time_ms)answer->ttl_seconds);
    free(entry->memory);
    entry->memory = memory_alloc(dns_answer_bytes(answer) + 1);
    dns_answer_pack(answer, entry->memory, &entry->answer);
    entry->expires = loop_now(entry->client->loop) + ttl;
}

static void on_answers(struct mailbox *home, struct mail_item *batch)
{
    struct dns_client *client = home->owner;
    while (batch) {
        struct dns_request *request = (struct dns_request *)batch;
        SCOPED(buf) key = BUF(DNS_NAME_ROOM + 16);
        batch = batch->next;
        buf_printf(&key, "%d/%s", request->type, request->name);
        struct dns_entry *entry = map_get(&client->by_key, buf_slice(&key));
        assert(entry && entry->request == request);
        entry->request = NULL;
        client->asked--;
        entry_settle(entry, &request->answer);
        dns_request_free(request);
        if (entry->queries)
            deferred_ask(&entry->soon);
    }
}

struct dns_client *dns_client_new(struct loop *loop)
{
    struct dns_client *client = NEW(struct dns_client);
    client->loop = loop;
    mailbox_init(&client->home, loop, on_answers, client);
    return client;
}

static void drop_arrived(struct dns_client *client)
{
    struct mail_item *batch = mailbox_take(&client->home);
    while (batch) {
        struct dns_request *request = (struct dns_request *)batch;
        batch = batch->next;
        dns_request_free(request);
        client->asked--;
    }
}

void dns_client_free(struct dns_client *client)
{
    if (!client)
        return;
    for (struct dns_entry *entry = client->oldest; entry; entry = entry->newer) {
        int waiting = REQUEST_WAITING;
        if (entry->request && atomic_compare_exchange_strong(&entry->request->state, &waiting, REQUEST_ABANDONED))
            client->asked--;
    }
    drop_arrived(client);
    while (client->asked) { /* answered a moment ago by another thread, which is about to post it */
        sched_yield();
        drop_arrived(client);
    }
    while (client->oldest)
        entry_free(client->oldest);
    map_release(&client->by_key);
    mailbox_release(&client->home);
    free(client);
}

struct loop *dns_client_loop(const struct dns_client *client)
{
    return client->loop;
}

static void entry_ask(struct dns_entry *entry, const char *name, bool is_name, enum dns_type type)
{
    struct resolver *resolver = loop_world(entry->client->loop)->resolver;
    if (!is_name || !resolver) {
        struct dns_answer answer = {.status = is_name ? DNS_TRY_LATER : DNS_NO_NAME,
                                    .why = is_name ? SLICE("no resolver") : SLICE("not a domain name")};
        entry_settle(entry, &answer);
        deferred_ask(&entry->soon);
        return;
    }
    struct dns_request *request = NEW(struct dns_request);
    request->home = &entry->client->home;
    request->type = type;
    memcpy(request->name, name, strlen(name) + 1);
    entry->request = request;
    entry->client->asked++;
    resolver->ask(resolver, request);
}

struct dns_query *dns_ask(struct dns_client *client, struct slice name, enum dns_type type, dns_answered *on_answer,
                          void *owner)
{
    char normal[DNS_NAME_ROOM];
    SCOPED(buf) key = BUF(DNS_NAME_ROOM + 16);
    bool is_name = dns_name_normalise(name, normal);
    if (!is_name)
        normal[0] = '\\', normal[1] = '\0'; /* no name has this key */
    buf_printf(&key, "%d/%s", type, normal);
    struct dns_entry *entry = map_get(&client->by_key, buf_slice(&key));
    bool is_fresh = !entry;
    if (is_fresh) {
        keep_bounded(client);
        entry = NEW(struct dns_entry);
        entry->client = client;
        entry->key = slice_of(slice_dup(buf_slice(&key)), key.len);
        deferred_init(&entry->soon, client->loop, on_soon, entry);
        map_set(&client->by_key, entry->key, entry);
        entry_list(entry);
    }
    struct dns_query *query = NEW(struct dns_query);
    query->entry = entry;
    query->on_answer = on_answer;
    query->owner = owner;
    query_list(query, &entry->queries);
    if (is_fresh ||
        (!entry->request && entry->expires <= loop_now(client->loop) && !entry->soon.is_waiting && !entry->is_calling))
        entry_ask(entry, normal, is_name, type);
    else if (!entry->request)
        deferred_ask(&entry->soon);
    return query;
}

void dns_cancel(struct dns_query *query)
{
    if (!query)
        return;
    *query->link = query->next;
    if (query->next)
        query->next->link = query->link;
    free(query);
}

struct waiting {
    struct arena *arena;
    struct dns_answer *answer;
    bool has_come;
};

static void on_waited(void *owner, const struct dns_answer *answer)
{
    struct waiting *waiting = owner;
    dns_answer_copy(waiting->arena, answer, waiting->answer);
    waiting->has_come = true;
}

void dns_ask_and_wait(struct dns_client *client, struct slice name, enum dns_type type, struct arena *arena,
                      struct dns_answer *answer)
{
    struct waiting waiting = {arena, answer, false};
    dns_ask(client, name, type, on_waited, &waiting);
    while (!waiting.has_come)
        loop_turn(client->loop, -1);
}
