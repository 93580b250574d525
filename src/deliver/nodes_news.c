/* nodes_news.c - who must hear of a delivery that is not ours, and what we hear
 *
 * News of deliveries that others serve are told to them in the words
 *
 *     news <lane> <brand> <campaign> <priority> <due> <domain> <bucket>...     a delivery is due there; behind the
 *                                     priority `=` and the source that its lane keeps to, and `w`: it waives TLS
 *     look <64 hexadecimal digits>                                             in these buckets there may be something
 *     keep                                                                     a bucket or a share is free
 *     handed                                                                   the table handoff has changed
 *     holds                                                                    the table hold has changed
 *     recall <brand> <campaign> <domain, or nothing>                           such mail was held or cancelled
 *
 * Whoever loses buckets says `look` once it has stopped putting news there into its own lanes: so nothing is left
 * between two. Who starts says `look` for all: its earlier life may have died between a commit and its news. */
#include "deliver/engine_inside.h"

#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    NEWS_TOLD_MOST = 512, /* in one go; more of them: `look` */
};

struct told { /* words that were heard, for the dispatcher's thread */
    struct mail_item item;
    struct slice words;
};

/* ── telling ── */

void nodes_tell(struct dispatcher *dispatcher, struct slice words)
{
    store_tell(dispatcher->engine->options.store, words);
}

void nodes_tell_look(struct dispatcher *dispatcher, const struct bucket_set *buckets)
{
    char text[80];
    int at = snprintf(text, sizeof(text), "look ");
    for (size_t i = 0; i < COUNT_OF(buckets->bits); i++)
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%016llx", (unsigned long long)buckets->bits[i]);
    nodes_tell(dispatcher, slice_of(text, (size_t)at));
}

static int by_lane(const void *a, const void *b)
{
    const struct nodes_news *one = a, *other = b;
    return one->lane.id < other->lane.id ? -1 : one->lane.id > other->lane.id;
}

static void news_words(const struct nodes_news *news, struct buf *out)
{
    const struct lane_key *lane = &news->lane;
    char pin[24] = "";
    if (lane->source_id)
        snprintf(pin, sizeof(pin), "=%llx", (unsigned long long)lane->source_id);
    buf_printf(out, "news %llx %llx %llx %d%s%s %lld %.*s", (unsigned long long)lane->id,
               (unsigned long long)lane->brand_id, (unsigned long long)lane->campaign_id, lane->priority, pin,
               lane->waives_tls ? "w" : "", (long long)news->due, SLICE_ARG(lane->domain));
}

/* One line for each lane and due time, with all its buckets. */
static void tell_news(struct dispatcher *dispatcher, struct nodes_news *news, size_t count)
{
    enum { LINE_MOST = 2000 };
    SCOPED(buf) words = BUF(LINE_MOST);
    qsort(news, count, sizeof(*news), by_lane);
    for (size_t i = 0; i < count; i++) {
        bool is_same = i && news[i].lane.id == news[i - 1].lane.id && news[i].due == news[i - 1].due;
        if (!is_same) {
            if (words.len)
                nodes_tell(dispatcher, buf_slice(&words));
            buf_reset(&words);
            news_words(&news[i], &words);
        }
        buf_printf(&words, " %x", news[i].bucket);
    }
    if (words.len)
        nodes_tell(dispatcher, buf_slice(&words));
}

/* Collected for the end of the turn. */
void nodes_elsewhere(void *context, const struct lane_key *key, unsigned bucket, time_ms due)
{
    struct dispatcher *dispatcher = context;
    struct nodes *nodes = &dispatcher->nodes;
    if (!store_has_others(dispatcher->engine->options.store))
        return;
    if (nodes->news_count == NEWS_TOLD_MOST) { /* a campaign: whoever owns them reads the lanes */
        for (size_t i = 0; i < nodes->news_count; i++)
            bucket_set_add(&nodes->unsaid, nodes->news[i].bucket);
        arena_reset(&nodes->arena);
        nodes->news_count = 0;
        nodes->is_flood = true;
    }
    if (nodes->is_flood) {
        bucket_set_add(&nodes->unsaid, bucket);
    } else {
        if (!nodes->news_count)
            nodes->news = ARENA_ARRAY(&nodes->arena, struct nodes_news, NEWS_TOLD_MOST);
        struct nodes_news *news = &nodes->news[nodes->news_count++];
        *news = (struct nodes_news){*key, bucket, due};
        news->lane.domain = arena_copy(&nodes->arena, key->domain);
    }
    deferred_ask(&nodes->flush);
}

static void flush(struct deferred *deferred)
{
    struct dispatcher *dispatcher = deferred->owner;
    struct nodes *nodes = &dispatcher->nodes;
    if (nodes->is_flood)
        nodes_tell_look(dispatcher, &nodes->unsaid);
    else if (nodes->news_count)
        tell_news(dispatcher, nodes->news, nodes->news_count);
    nodes->unsaid = (struct bucket_set){0};
    nodes->is_flood = false;
    nodes->news_count = 0;
    arena_reset(&nodes->arena);
}

void nodes_recall(struct engine *engine, const struct lane_key *whose)
{
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_control_recall(&engine->workers[i], whose);
}

void engine_recall(struct engine *engine, const struct lane_key *whose)
{
    SCOPED(buf) words = BUF(400);
    nodes_recall(engine, whose);
    buf_printf(&words, "recall %llx %llx %.*s", (unsigned long long)whose->brand_id,
               (unsigned long long)whose->campaign_id, SLICE_ARG(whose->domain));
    store_tell(engine->options.store, buf_slice(&words));
}

/* ── hearing ── */

static void heard(struct store_listener *listener, unsigned node, struct slice words)
{
    struct nodes *nodes = (struct nodes *)((char *)listener - offsetof(struct nodes, listener));
    struct told *told = memory_zero(1, sizeof(*told) + words.len + 1);
    told->words = slice_of(told + 1, words.len);
    memcpy(told + 1, words.ptr, words.len);
    mailbox_post(&nodes->told, &told->item);
}

static void missed(struct store_listener *listener)
{
    heard(listener, 0, SLICE("look"));
    heard(listener, 0, SLICE("keep"));
    heard(listener, 0, SLICE("handed"));
    heard(listener, 0, SLICE("holds"));
}

static bool hex_take(struct slice *rest, uint64_t *number)
{
    struct slice word;
    *number = 0;
    if (!slice_split(rest, ' ', &word) || word.len == 0 || word.len > 16)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit > 15)
            return false;
        *number = *number << 4 | digit;
    }
    return true;
}

/* "1", "0w", "1=4d2", "1=4d2w". */
static bool hear_kind(struct slice word, struct lane_key *lane)
{
    struct slice first;
    lane->priority = slice_starts(word, SLICE("0")) ? 0 : 1;
    lane->waives_tls = slice_ends(word, SLICE("w"));
    word.len -= lane->waives_tls;
    slice_split(&word, '=', &first);
    return word.len == 0 || hex_take(&word, &lane->source_id);
}

static void hear_news(struct dispatcher *dispatcher, struct slice rest)
{
    struct lane_key lane = {0};
    struct slice kind, due_text;
    uint64_t due, bucket;
    if (!hex_take(&rest, &lane.id) || !hex_take(&rest, &lane.brand_id) || !hex_take(&rest, &lane.campaign_id) ||
        !slice_split(&rest, ' ', &kind) || !hear_kind(kind, &lane) || !slice_split(&rest, ' ', &due_text) ||
        !slice_to_u64(due_text, &due) || !slice_split(&rest, ' ', &lane.domain))
        return;
    while (hex_take(&rest, &bucket))
        if (bucket < ID_BUCKETS && nodes_serve(dispatcher, &lane, (unsigned)bucket))
            lanes_added(dispatcher->lanes, &lane, (unsigned)bucket, (time_ms)due);
}

static void hear_recall(struct dispatcher *dispatcher, struct slice rest)
{
    struct lane_key whose = {0};
    if (!hex_take(&rest, &whose.brand_id) || !hex_take(&rest, &whose.campaign_id))
        return;
    whose.domain = rest;
    nodes_recall(dispatcher->engine, &whose);
}

/* Does it speak of a bucket that we serve? */
static bool hear_look(struct dispatcher *dispatcher, struct slice digits)
{
    const struct nodes *nodes = &dispatcher->nodes;
    if (digits.len != 64)
        return true;
    for (size_t i = 0; i < 4; i++) {
        struct slice part = slice_head(slice_from(digits, i * 16), 16);
        uint64_t bits;
        if (!hex_take(&part, &bits) || (bits & nodes->served.bits[i]))
            return true;
    }
    return false;
}

static void told_arrived(struct mailbox *mailbox, struct mail_item *batch)
{
    struct dispatcher *dispatcher = mailbox->owner;
    struct nodes *nodes = &dispatcher->nodes;
    bool looks = false;
    while (batch) {
        struct told *told = (struct told *)batch;
        struct slice rest = told->words, word;
        batch = batch->next;
        slice_split(&rest, ' ', &word);
        if (dispatcher->is_stopping)
            ;
        else if (slice_equal(word, SLICE("news")))
            hear_news(dispatcher, rest);
        else if (slice_equal(word, SLICE("look")))
            looks |= hear_look(dispatcher, rest);
        else if (slice_equal(word, SLICE("keep")))
            nodes->is_asked = true;
        else if (slice_equal(word, SLICE("handed")))
            nodes->reads_handed = true;
        else if (slice_equal(word, SLICE("holds")))
            dispatcher_read_holds(dispatcher);
        else if (slice_equal(word, SLICE("recall")))
            hear_recall(dispatcher, rest);
        free(told);
    }
    if (dispatcher->is_stopping)
        return;
    if (looks)
        dispatcher_read_lanes(dispatcher);
    if (nodes->is_asked || nodes->reads_handed)
        nodes_look(dispatcher);
    dispatcher_wake(dispatcher);
}

/* ── beginning and end ── */

void nodes_listen(struct dispatcher *dispatcher)
{
    struct nodes *nodes = &dispatcher->nodes;
    struct bucket_set all = bucket_set_all();
    mailbox_init(&nodes->told, dispatcher->loop, told_arrived, dispatcher);
    deferred_init(&nodes->flush, dispatcher->loop, flush, dispatcher);
    nodes->listener.heard = heard;
    nodes->listener.missed = missed;
    store_listen(dispatcher->engine->options.store, &nodes->listener);
    nodes_tell(dispatcher, SLICE("keep")); /* we are here */
    nodes_tell_look(dispatcher, &all);
}

/* Nothing is heard any more. */
void nodes_end(struct dispatcher *dispatcher)
{
    store_unlisten(dispatcher->engine->options.store, &dispatcher->nodes.listener);
}
