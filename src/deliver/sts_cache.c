#include "deliver/sts_cache.h"

#include "base/log.h"
#include "base/map.h"
#include "net/https.h"
#include <stdio.h>

/* What is known of a domain. */
struct sts_entry {
    struct slice domain; /* the map's key */
    struct sts_entry *older, *newer;
    struct arena arena;
    struct sts_policy policy;
    struct slice text; /* empty: none kept */
    char id[STS_ID_MAX + 1];
    time_ms fetched, expires; /* wall */
    time_ms again;            /* monotonic: a fetch failed, none before this */
    bool is_fetching;
};

/* A fetch; answers the queries that still wait for it. */
struct sts_fetch {
    struct sts_cache *cache;
    struct sts_query *queries;
    struct sts_fetch *next, *before;
    struct dns_query *dns;
    struct https_get *get;
    bool asked_ipv6;
    char domain[DNS_NAME_ROOM], id[STS_ID_MAX + 1];
};

struct sts_query {
    struct sts_cache *cache;
    sts_answered *on_answer;
    void *owner;
    struct dns_query *dns;
    struct sts_fetch *fetch; /* that it waits for */
    struct sts_query *next;  /* of those that wait for it, too */
    char domain[DNS_NAME_ROOM];
};

struct sts_cache {
    struct sts_cache_options options;
    struct map entries;
    struct sts_entry *oldest, *newest; /* by their last use */
    struct db *reader;
    bool has_more;       /* the store has policies that are not in memory */
    struct https *https; /* from the first fetch on */
    struct mailbox fetched;
    struct sts_fetch *fetches;
};

/* ── what is kept ── */

static time_ms wall(const struct sts_cache *cache)
{
    return world_wall(loop_world(cache->options.loop));
}

static bool entry_holds(const struct sts_cache *cache, const struct sts_entry *entry)
{
    return entry && entry->text.len && wall(cache) < entry->expires;
}

static bool entry_is_old(const struct sts_cache *cache, const struct sts_entry *entry)
{
    time_ms half = SECONDS_MS((time_ms)entry->policy.max_age_s) / 2;
    return wall(cache) >= entry->fetched + (half < DAYS_MS(1) ? half : DAYS_MS(1));
}

static bool entry_set(struct sts_entry *entry, struct slice id, struct slice text, time_ms fetched, struct fault *why)
{
    struct arena arena = {0};
    struct sts_policy policy;
    struct slice copy = arena_copy(&arena, text);
    if (!sts_policy_read(copy, &arena, &policy, why)) {
        arena_release(&arena);
        return false;
    }
    arena_release(&entry->arena);
    entry->arena = arena;
    entry->policy = policy;
    entry->text = copy;
    entry->fetched = fetched;
    entry->expires = fetched + SECONDS_MS((time_ms)policy.max_age_s);
    entry->again = 0;
    snprintf(entry->id, sizeof(entry->id), "%.*s", SLICE_ARG(slice_head(id, STS_ID_MAX)));
    return true;
}

static void entry_link(struct sts_cache *cache, struct sts_entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void entry_unlink(struct sts_cache *cache, struct sts_entry *entry)
{
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
}

static size_t entries_most(const struct sts_cache *cache)
{
    return cache->options.entries_most ? cache->options.entries_most : STS_ENTRIES_MOST;
}

/* Room for one more: the least lately used goes. What it knew of a policy is in the store. */
static bool make_room(struct sts_cache *cache)
{
    enum { LOOKED_AT_MOST = 64 };
    struct sts_entry *entry = cache->oldest, *newer;
    for (int looked = 0; entry && cache->entries.count >= entries_most(cache) && looked < LOOKED_AT_MOST;
         looked++, entry = newer) {
        newer = entry->newer;
        if (entry->is_fetching)
            continue;
        cache->has_more |= entry->text.len != 0;
        entry_unlink(cache, entry);
        map_remove(&cache->entries, entry->domain);
        arena_release(&entry->arena);
        free(entry);
    }
    return cache->entries.count < entries_most(cache);
}

static struct sts_entry *entry_new(struct sts_cache *cache, struct slice domain)
{
    if (!make_room(cache))
        return NULL;
    struct sts_entry *entry = NEW(struct sts_entry);
    entry->domain = map_set(&cache->entries, domain, entry);
    entry_link(cache, entry);
    return entry;
}

/* Of a domain that had to go from memory. */
static struct sts_entry *recall(struct sts_cache *cache, struct slice domain)
{
    struct fault why;
    struct sts_entry *entry = NULL;
    SCOPED(rows) rows = {0};
    if (!db_query(cache->reader, &why, &rows,
                  "SELECT id, policy, fetched_ms FROM sts_policy WHERE domain = $1 AND expires_ms > $2",
                  VALUES(V_TEXT(domain), V_INT(wall(cache))))) {
        log_warn("deliver", "the kept MTA-STS policy of %.*s cannot be read: %s", SLICE_ARG(domain), why.text);
        return NULL;
    }
    while (rows_next(&rows)) {
        if (!entry)
            entry = entry_new(cache, domain);
        if (entry && !entry_set(entry, rows_text(&rows, 0), rows_bytes(&rows, 1), rows_int(&rows, 2), &why))
            log_warn("deliver", "the kept MTA-STS policy of %.*s: %s", SLICE_ARG(domain), why.text);
    }
    if (!rows_end(&rows))
        log_warn("deliver", "the kept MTA-STS policy of %.*s cannot be read: %s", SLICE_ARG(domain), why.text);
    return entry;
}

static struct sts_entry *entry_get(struct sts_cache *cache, struct slice domain, bool makes)
{
    struct sts_entry *entry = map_get(&cache->entries, domain);
    if (entry) {
        entry_unlink(cache, entry);
        entry_link(cache, entry);
        return entry;
    }
    if (cache->has_more && (entry = recall(cache, domain)))
        return entry;
    return makes ? entry_new(cache, domain) : NULL;
}

static bool load(struct sts_cache *cache, struct fault *why)
{
    SCOPED(rows) rows = {0};
    size_t most = entries_most(cache);
    if (!db_query(cache->reader, why, &rows,
                  "SELECT domain, id, policy, fetched_ms FROM sts_policy WHERE expires_ms > $1 LIMIT $2",
                  VALUES(V_INT(wall(cache)), V_INT((int64_t)most))))
        return false;
    while (rows_next(&rows)) {
        struct fault unsound;
        struct sts_entry *entry = entry_new(cache, rows_text(&rows, 0));
        if (entry && !entry_set(entry, rows_text(&rows, 1), rows_bytes(&rows, 2), rows_int(&rows, 3), &unsound))
            log_warn("deliver", "the kept MTA-STS policy of %.*s: %s", SLICE_ARG(rows_text(&rows, 0)), unsound.text);
    }
    cache->has_more = cache->entries.count >= most;
    return rows_end(&rows);
}

struct keep_job {
    struct write_job job;
    struct slice domain, id, text;
    time_ms fetched, expires;
};

static bool keep_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct keep_job *keep = (struct keep_job *)job;
    return db_do(db, why, "DELETE FROM sts_policy WHERE expires_ms <= $1", VALUES(V_INT(keep->fetched)), NULL) &&
           db_do(db, why,
                 "INSERT INTO sts_policy (domain, id, policy, fetched_ms, expires_ms) VALUES ($1, $2, $3, $4, $5) ON "
                 "CONFLICT (domain) DO UPDATE SET id = excluded.id, policy = excluded.policy, fetched_ms = "
                 "excluded.fetched_ms, expires_ms = excluded.expires_ms",
                 VALUES(V_TEXT(keep->domain), V_TEXT(keep->id), V_BYTES(keep->text), V_INT(keep->fetched),
                        V_INT(keep->expires)),
                 NULL);
}

static void keep_done(struct write_job *job, const struct fault *why)
{
    if (why)
        log_warn("deliver", "an MTA-STS policy could not be kept: %s", why->text);
    free(job);
}

static void keep(struct sts_cache *cache, const char *domain, const struct sts_entry *entry)
{
    struct slice name = slice_str(domain), id = slice_str(entry->id);
    struct keep_job *job = memory_zero(1, sizeof(*job) + name.len + id.len + entry->text.len);
    char *to = (char *)(job + 1);
    job->job.run = keep_run;
    job->job.done = keep_done;
    job->job.fails_fast = true; /* it is in memory, and can be fetched again */
    job->fetched = entry->fetched;
    job->expires = entry->expires;
    struct slice *const places[] = {&job->domain, &job->id, &job->text};
    const struct slice texts[] = {name, id, entry->text};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        memcpy(to, texts[i].ptr, texts[i].len);
        *places[i] = slice_of(to, texts[i].len);
        to += texts[i].len;
    }
    store_write(cache->options.store, &job->job);
}

/* ── answering ── */

static void query_free(struct sts_query *query)
{
    dns_cancel(query->dns);
    if (query->fetch) { /* it goes on by itself */
        struct sts_query **at = &query->fetch->queries;
        while (*at != query)
            at = &(*at)->next;
        *at = query->next;
    }
    free(query);
}

/* With what holds now. */
static void query_answer(struct sts_query *query)
{
    struct sts_cache *cache = query->cache;
    struct sts_entry *entry = entry_get(cache, slice_str(query->domain), false);
    struct sts_found found = {0};
    if (entry_holds(cache, entry))
        found = (struct sts_found){&entry->policy, entry->text};
    query->on_answer(query->owner, found.policy ? &found : NULL);
    query_free(query);
}

/* ── fetching ── */

static void fetch_end(struct sts_fetch *fetch)
{
    struct sts_entry *entry = entry_get(fetch->cache, slice_str(fetch->domain), false);
    if (entry)
        entry->is_fetching = false;
    if (fetch->before)
        fetch->before->next = fetch->next;
    else
        fetch->cache->fetches = fetch->next;
    if (fetch->next)
        fetch->next->before = fetch->before;
    dns_cancel(fetch->dns);
    for (struct sts_query *query; (query = fetch->queries);) { /* an answer may cancel others of them */
        fetch->queries = query->next;
        query->fetch = NULL;
        query_answer(query);
    }
    free(fetch);
}

static void fetch_failed(struct sts_fetch *fetch, enum tls_result result, const char *why)
{
    struct sts_cache *cache = fetch->cache;
    struct sts_entry *entry = entry_get(cache, slice_str(fetch->domain), true);
    log_warn("deliver", "the MTA-STS policy of %s: %s", fetch->domain, why);
    if (entry)
        entry->again = loop_now(cache->options.loop) + STS_AGAIN_MS;
    if (cache->options.failed)
        cache->options.failed(cache->options.owner, slice_str(fetch->domain), result, slice_str(why));
    fetch_end(fetch);
}

static void fetch_taken(struct sts_fetch *fetch, struct slice text)
{
    struct fault why;
    struct sts_entry *entry = entry_get(fetch->cache, slice_str(fetch->domain), true);
    if (!entry)
        return fetch_end(fetch);
    if (!entry_set(entry, slice_str(fetch->id), text, wall(fetch->cache), &why))
        return fetch_failed(fetch, TLS_RESULT_STS_POLICY_INVALID, why.text);
    keep(fetch->cache, fetch->domain, entry);
    fetch_end(fetch);
}

static void came_back(struct mailbox *mailbox, struct mail_item *items)
{
    static const enum tls_result results[] = {[HTTPS_CERTIFICATE] = TLS_RESULT_STS_WEBPKI_INVALID,
                                              [HTTPS_UNSUITABLE] = TLS_RESULT_STS_POLICY_FETCH_ERROR,
                                              [HTTPS_FAILED] = TLS_RESULT_STS_POLICY_FETCH_ERROR};
    (void)mailbox;
    while (items) {
        struct https_get *get = (struct https_get *)items;
        struct sts_fetch *fetch = get->owner;
        items = items->next;
        fetch->get = NULL;
        if (get->end == HTTPS_FETCHED)
            fetch_taken(fetch, buf_slice(&get->body));
        else
            fetch_failed(fetch, results[get->end], get->why);
        https_get_free(get);
    }
}

static void on_addresses(void *owner, const struct dns_answer *answer)
{
    struct sts_fetch *fetch = owner;
    struct sts_cache *cache = fetch->cache;
    fetch->dns = NULL;
    if (answer->status == DNS_NO_DATA && cache->options.uses_ipv6 && !fetch->asked_ipv6) {
        fetch->asked_ipv6 = true;
        fetch->dns = dns_ask(cache->options.dns, slice_str(fetch->get->host), DNS_AAAA, on_addresses, fetch);
        return;
    }
    if (answer->status != DNS_FOUND) {
        SCOPED(buf) why = BUF(400);
        buf_printf(&why, "%s: no address (%.*s)", fetch->get->host, SLICE_ARG(dns_status_word(answer->status)));
        https_get_free(fetch->get);
        fetch->get = NULL;
        return fetch_failed(fetch, TLS_RESULT_STS_POLICY_FETCH_ERROR, buf_cstr(&why));
    }
    for (size_t i = 0; i < answer->count && i < HTTPS_ADDRESSES_MOST; i++)
        fetch->get->addresses[fetch->get->address_count++] = answer->records[i].ip;
    if (!cache->https)
        cache->https = https_new(loop_world(cache->options.loop), cache->options.roots);
    https_ask(cache->https, fetch->get);
}

static void fetch_await(struct sts_fetch *fetch, struct sts_query *query)
{
    query->fetch = fetch;
    query->next = fetch->queries;
    fetch->queries = query;
}

static void fetch_begin(struct sts_cache *cache, struct slice domain, struct slice id, struct sts_query *query)
{
    struct sts_entry *entry = entry_get(cache, domain, true);
    struct sts_fetch *fetch = NEW(struct sts_fetch);
    fetch->cache = cache;
    if (query)
        fetch_await(fetch, query);
    if (entry)
        entry->is_fetching = true;
    fetch->next = cache->fetches;
    if (fetch->next)
        fetch->next->before = fetch;
    cache->fetches = fetch;
    snprintf(fetch->domain, sizeof(fetch->domain), "%.*s", SLICE_ARG(domain));
    snprintf(fetch->id, sizeof(fetch->id), "%.*s", SLICE_ARG(id));
    fetch->get = NEW(struct https_get);
    fetch->get->home = &cache->fetched;
    fetch->get->owner = fetch;
    fetch->get->path = "/.well-known/mta-sts.txt";
    fetch->get->most_bytes = STS_POLICY_MAX;
    snprintf(fetch->get->host, sizeof(fetch->get->host), "mta-sts.%.*s", SLICE_ARG(domain));
    fetch->dns = dns_ask(cache->options.dns, slice_str(fetch->get->host), DNS_A, on_addresses, fetch);
}

/* ── asking ── */

static void on_txt(void *owner, const struct dns_answer *answer)
{
    struct sts_query *query = owner;
    struct sts_cache *cache = query->cache;
    struct slice texts[32], id, domain = slice_str(query->domain);
    size_t count = 0;
    query->dns = NULL;
    for (; answer->status == DNS_FOUND && count < answer->count && count < COUNT_OF(texts); count++)
        texts[count] = answer->records[count].text;
    if (answer->status != DNS_FOUND || !sts_record_id(texts, count, &id))
        return query_answer(query);
    struct sts_entry *entry = entry_get(cache, domain, false);
    bool is_kept = entry_holds(cache, entry) && slice_equal(slice_str(entry->id), id);
    if (entry && entry->is_fetching && !is_kept) /* another route to this domain has begun it */
        for (struct sts_fetch *fetch = cache->fetches; fetch; fetch = fetch->next)
            if (slice_equal(slice_str(fetch->domain), domain))
                return fetch_await(fetch, query);
    if (entry && (entry->is_fetching || loop_now(cache->options.loop) < entry->again))
        return query_answer(query);
    if (is_kept && entry_is_old(cache, entry))
        fetch_begin(cache, domain, id, NULL);
    else if (!is_kept)
        return fetch_begin(cache, domain, id, query);
    query_answer(query);
}

struct sts_query *sts_ask(struct sts_cache *cache, struct slice domain, sts_answered *on_answer, void *owner)
{
    char name[DNS_NAME_ROOM + 16];
    struct sts_query *query = NEW(struct sts_query);
    query->cache = cache;
    query->on_answer = on_answer;
    query->owner = owner;
    snprintf(query->domain, sizeof(query->domain), "%.*s", SLICE_ARG(slice_head(domain, DNS_NAME_ROOM - 1)));
    snprintf(name, sizeof(name), "_mta-sts.%s", query->domain);
    query->dns = dns_ask(cache->options.dns, slice_str(name), DNS_TXT, on_txt, query);
    return query;
}

void sts_cancel(struct sts_query *query)
{
    if (query)
        query_free(query);
}

/* ── its life ── */

struct sts_cache *sts_cache_new(const struct sts_cache_options *options, struct db *reader, struct fault *why)
{
    struct sts_cache *cache = NEW(struct sts_cache);
    cache->options = *options;
    cache->reader = reader;
    mailbox_init(&cache->fetched, options->loop, came_back, cache);
    if (load(cache, why))
        return cache;
    sts_cache_free(cache);
    return NULL;
}

void sts_cache_free(struct sts_cache *cache)
{
    if (!cache)
        return;
    https_free(cache->https);
    for (struct mail_item *item = mailbox_take(&cache->fetched), *next; item; item = next) {
        struct https_get *get = (struct https_get *)item;
        next = item->next;
        ((struct sts_fetch *)get->owner)->get = NULL;
        https_get_free(get);
    }
    while (cache->fetches) {
        struct sts_fetch *fetch = cache->fetches;
        cache->fetches = fetch->next;
        dns_cancel(fetch->dns);
        https_get_free(fetch->get);
        for (struct sts_query *query = fetch->queries; query; query = query->next)
            query->fetch = NULL;
        free(fetch);
    }
    mailbox_release(&cache->fetched);
    size_t at = 0;
    for (struct map_entry *known; (known = map_walk(&cache->entries, &at)); free(known->value))
        arena_release(&((struct sts_entry *)known->value)->arena);
    map_release(&cache->entries);
    free(cache);
}
