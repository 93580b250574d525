#include "campaign/campaign.h"

#include "audience/audience.h"
#include "campaign/files.h"
#include <stdio.h>

#define STATE_WORD(NAME, word) SLICE_INIT(#word),
static const struct slice state_words[] = {CAMPAIGN_STATES(STATE_WORD)};

struct slice campaign_state_word(enum campaign_state state)
{
    return state_words[state];
}

static enum campaign_state state_of(struct slice word)
{
    for (int state = 0; state < CAMPAIGN_STATE_COUNT; state++)
        if (slice_equal(state_words[state], word))
            return (enum campaign_state)state;
    return CAMPAIGN_DRAFT;
}

static bool exists(struct db *db, struct fault *why, const char *sql, uint64_t id, const char *what)
{
    int64_t one;
    bool found;
    if (!db_query_ints(db, why, sql, VALUES(V_INT((int64_t)id)), &one, 1, &found))
        return false;
    return found || fault_set(why, FAULT_INPUT, "there is no %s %llu", what, (unsigned long long)id);
}

bool campaign_create(struct db *db, struct fault *why, struct campaign *campaign, time_ms now)
{
    if (!exists(db, why, "SELECT 1 FROM brand WHERE id = $1", campaign->brand_id, "brand") ||
        !exists(db, why, "SELECT 1 FROM content_version WHERE id = $1", campaign->content_version_id,
                "content version") ||
        !exists(db, why, "SELECT 1 FROM list WHERE id = $1", campaign->list_id, "list"))
        return false;
    campaign->id = id_make_anywhere(db_ids(db), now);
    campaign->created = now;
    campaign->state = CAMPAIGN_DRAFT;
    return db_do(db, why,
                 "INSERT INTO campaign (id, brand_id, name, content_version_id, list_id, state, priority, "
                 "expires_after_ms, created_ms) "
                 "VALUES ($1, $2, $3, $4, $5, 'draft', $6, $7, $8)",
                 VALUES(V_INT((int64_t)campaign->id), V_INT((int64_t)campaign->brand_id), V_TEXT(campaign->name),
                        V_INT((int64_t)campaign->content_version_id), V_INT((int64_t)campaign->list_id),
                        V_INT(campaign->priority), V_INT(campaign->expires_after), V_INT(now)),
                 NULL);
}

#define COLUMNS                                                                                                        \
    "SELECT c.id, c.brand_id, c.content_version_id, c.list_id, c.name, c.state, c.priority, c.expires_after_ms, "      \
    "c.expand_bucket, "                                                                                                \
    "c.expand_after, c.created_ms, c.started_ms, c.expanded_ms, c.finished_ms, v.subject, b.from_name, "               \
    "b.from_address, l.name FROM "                                                                                     \
    "campaign c LEFT JOIN content_version v ON v.id = c.content_version_id LEFT JOIN brand b ON b.id = c.brand_id "    \
    "LEFT JOIN list l ON "                                                                                             \
    "l.id = c.list_id "

static struct campaign campaign_of_row(const struct rows *rows, struct arena *arena)
{
    return (struct campaign){
        .id = (uint64_t)rows_int(rows, 0),
        .brand_id = (uint64_t)rows_int(rows, 1),
        .content_version_id = (uint64_t)rows_int(rows, 2),
        .list_id = (uint64_t)rows_int(rows, 3),
        .name = arena_copy(arena, rows_text(rows, 4)),
        .state = state_of(rows_text(rows, 5)),
        .priority = (int)rows_int(rows, 6),
        .expires_after = rows_int(rows, 7),
        .expand_bucket = (unsigned)rows_int(rows, 8),
        .expand_after = (uint64_t)rows_int(rows, 9),
        .created = rows_int(rows, 10),
        .started = rows_int(rows, 11),
        .expanded = rows_int(rows, 12),
        .finished = rows_int(rows, 13),
        .subject = arena_copy(arena, rows_text(rows, 14)),
        .from_name = arena_copy(arena, rows_text(rows, 15)),
        .from_address = arena_copy(arena, rows_text(rows, 16)),
        .list_name = arena_copy(arena, rows_text(rows, 17)),
    };
}

/* For what follows from it in the same transaction: the row is ours until then, so that two schedulers take turns. */
static bool campaign_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena,
                           struct campaign *campaign)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, db_pick(db, COLUMNS "WHERE c.id = $1", COLUMNS "WHERE c.id = $1 FOR UPDATE OF c"),
                  VALUES(V_INT((int64_t)id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) && fault_set(why, FAULT_INPUT, "there is no campaign %llu", (unsigned long long)id);
    *campaign = campaign_of_row(&rows, arena);
    return rows_end(&rows);
}

/* Move between states; INPUT names the state it is in instead. */
static bool change_state(struct db *db, struct fault *why, uint64_t id, const char *sql, const struct value *values,
                         size_t count, const char *verb)
{
    int64_t changed = 0;
    if (!db_do(db, why, sql, values, count, &changed))
        return false;
    if (changed)
        return true;
    SCOPED(arena) arena = {0};
    struct campaign campaign;
    if (!campaign_by_id(db, why, id, &arena, &campaign))
        return false;
    return fault_set(why, FAULT_INPUT, "the campaign \"%.*s\" is %.*s: it cannot be %s", SLICE_ARG(campaign.name),
                     SLICE_ARG(campaign_state_word(campaign.state)), verb);
}

bool campaign_send(struct db *db, struct fault *why, uint64_t id, time_ms now)
{
    db_mark(db, STORE_MARK_CAMPAIGNS);
    return change_state(db, why, id,
                        "UPDATE campaign SET state = 'expanding', started_ms = $2 WHERE id = $1 AND state = 'draft'",
                        VALUES(V_INT((int64_t)id), V_INT(now)), "sent") &&
           campaign_files_are_there(db, why, id, now);
}

/* A hold's name is the id in decimal. */
static struct value hold_name(uint64_t id, char name[24])
{
    snprintf(name, 24, "%llu", (unsigned long long)id);
    return V_STR(name);
}

bool campaign_pause(struct db *db, struct fault *why, uint64_t id, struct slice reason, time_ms now)
{
    char name[24];
    db_mark(db, STORE_MARK_HOLDS);
    return change_state(db, why, id,
                        "UPDATE campaign SET state = 'paused' WHERE id = $1 AND state IN ('expanding', 'sending')",
                        VALUES(V_INT((int64_t)id)), "paused") &&
           db_do(db, why,
                 "INSERT INTO hold (kind, name, why, since_ms) VALUES ('campaign', $1, $2, $3) ON CONFLICT DO NOTHING",
                 VALUES(hold_name(id, name), V_TEXT(reason), V_INT(now)), NULL);
}

bool campaign_resume(struct db *db, struct fault *why, uint64_t id, time_ms now)
{
    char name[24];
    db_mark(db, STORE_MARK_HOLDS | STORE_MARK_DELIVERIES | STORE_MARK_CAMPAIGNS);
    return change_state(db, why, id,
                        "UPDATE campaign SET state = CASE WHEN expanded_ms > 0 THEN 'sending' ELSE 'expanding' END "
                        "WHERE id = $1 AND "
                        "state = 'paused'",
                        VALUES(V_INT((int64_t)id)), "resumed") &&
           db_do(db, why, "DELETE FROM hold WHERE kind = 'campaign' AND name = $1", VALUES(hold_name(id, name)), NULL);
}

bool campaign_cancel(struct db *db, struct fault *why, uint64_t id, time_ms now)
{
    char name[24];
    db_mark(db, STORE_MARK_HOLDS);
    return change_state(
               db, why, id,
               "UPDATE campaign SET state = 'cancelled', finished_ms = $2 WHERE id = $1 AND state IN ('draft', "
               "'expanding', 'sending', 'paused')",
               VALUES(V_INT((int64_t)id), V_INT(now)), "cancelled") &&
           db_do(db, why,
                 "INSERT INTO hold (kind, name, why, since_ms) VALUES ('campaign', $1, 'cancelled', $2) ON CONFLICT "
                 "(kind, name) DO UPDATE SET why = 'cancelled'",
                 VALUES(hold_name(id, name), V_INT(now)), NULL);
}

bool campaign_get(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct campaign *campaign,
                  bool *found)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, COLUMNS "WHERE c.id = $1", VALUES(V_INT((int64_t)id))))
        return false;
    *found = rows_next(&rows);
    if (*found)
        *campaign = campaign_of_row(&rows, arena);
    return rows_end(&rows);
}

bool campaign_finish(struct db *db, struct fault *why, uint64_t id, time_ms now)
{
    return db_do(db, why,
                 "UPDATE campaign SET state = 'finished', finished_ms = $2 WHERE id = $1 AND state = 'sending'",
                 VALUES(V_INT((int64_t)id), V_INT(now)), NULL);
}

bool campaign_find(struct db *db, struct fault *why, struct slice name_or_id, struct arena *arena,
                   struct campaign *campaign)
{
    int64_t id;
    if (!slice_to_i64(name_or_id, &id))
        id = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, COLUMNS "WHERE c.name = $1 OR c.id = $2 ORDER BY c.id DESC LIMIT 1",
                  VALUES(V_TEXT(name_or_id), V_INT(id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) && fault_set(why, FAULT_INPUT, "there is no campaign \"%.*s\"", SLICE_ARG(name_or_id));
    *campaign = campaign_of_row(&rows, arena);
    return rows_end(&rows);
}

bool campaign_list(struct db *db, struct fault *why, uint64_t before_id, size_t limit, struct arena *arena,
                   struct campaign_page *page)
{
    return campaign_list_of(db, why, NULL, before_id, limit, arena, page);
}

bool campaign_list_of(struct db *db, struct fault *why, const struct brands *brands, uint64_t before_id, size_t limit,
                      struct arena *arena, struct campaign_page *page)
{
    SCOPED(buf) sql = BUF(4096);
    buf_text(&sql, COLUMNS "WHERE c.id < $1");
    if (brands)
        brands_condition(brands, "c.brand_id", &sql);
    buf_text(&sql, " ORDER BY c.id DESC LIMIT $2");
    *page = (struct campaign_page){0};
    if (limit > CAMPAIGN_PAGE_MAX)
        limit = CAMPAIGN_PAGE_MAX;
    page->campaigns = ARENA_ARRAY(arena, struct campaign, limit);
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, buf_cstr(&sql),
                  VALUES(V_INT(before_id ? (int64_t)before_id : INT64_MAX), V_INT((int64_t)limit + 1))))
        return false;
    while (rows_next(&rows)) {
        if (page->count == limit) {
            page->has_more = true;
            break;
        }
        page->campaigns[page->count++] = campaign_of_row(&rows, arena);
    }
    return rows_end(&rows);
}

bool campaign_in_state(struct db *db, struct fault *why, enum campaign_state state, uint64_t *ids, size_t most,
                       size_t *count)
{
    *count = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT id FROM campaign WHERE state = $1 ORDER BY id LIMIT $2",
                  VALUES(V_TEXT(campaign_state_word(state)), V_INT((int64_t)most))))
        return false;
    while (*count < most && rows_next(&rows))
        ids[(*count)++] = (uint64_t)rows_int(&rows, 0);
    return rows_end(&rows);
}

/* ── expansion ── */

/* Over a source that warms up, those who read what comes go first (S50): deliveries are due in ranks, a ms apart, from
 * a moment on at which the claimers have heard of it; they wait until all of them are there (deliver/dispatch.c). */
enum { RANKS = 4, RANKS_AFTER_MS = 2000, READS_DAYS = 30, HAS_READ_DAYS = 180 };

static bool ranks_begin(struct db *db, struct fault *why, const struct campaign *campaign, time_ms now, time_ms *last)
{
    bool is_first = campaign->expand_bucket == 0 && campaign->expand_after == 0;
    return (!is_first ||
            db_do(
                db, why,
                "UPDATE campaign SET ranked_ms = $2 WHERE id = $1 AND ranked_ms = 0 AND EXISTS (SELECT 1 FROM brand b "
                "JOIN source s ON s.pool = CASE WHEN b.pool = '' THEN 'default' ELSE b.pool END JOIN warm_up w ON "
                "w.source_id = s.id WHERE b.id = campaign.brand_id)",
                VALUES(V_INT((int64_t)campaign->id), V_INT(now + RANKS_AFTER_MS + RANKS - 1)), NULL)) &&
           db_query_ints(db, why, "SELECT ranked_ms FROM campaign WHERE id = $1", VALUES(V_INT((int64_t)campaign->id)),
                         last, 1, NULL);
}

static int rank_of(const struct audience_row *member, time_ms now)
{
    if (member->engaged > now - DAYS_MS(READS_DAYS))
        return 0;
    return member->engaged > now - DAYS_MS(HAS_READ_DAYS) ? 1 : 2;
}

static bool struck(void *context, size_t index, const struct rows *row, struct fault *why)
{
    int **ranks = context;
    *ranks[index] = RANKS - 1;
    return true;
}

/* Of those who have read nothing, whose mail came back lately is the last. */
static bool ranks_of(struct db *db, struct fault *why, const struct audience_row *members, size_t count, time_ms now,
                     struct arena *arena, int *ranks)
{
    struct value *values = ARENA_ARRAY(arena, struct value, count * 2 + 1);
    int **asked = ARENA_ARRAY(arena, int *, count + 1);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        ranks[i] = rank_of(&members[i], now);
        if (ranks[i] < RANKS - 2)
            continue;
        values[rows * 2] = V_INT(id_bucket(members[i].contact_id));
        values[rows * 2 + 1] = V_TEXT(members[i].address);
        asked[rows++] = &ranks[i];
    }
    return db_query_many(db, why, "SELECT 1 FROM strike WHERE bucket = $1 AND address = $2 AND count > 0", values, 2,
                         rows, struck, asked);
}

static void news_add(struct arena *arena, struct submit_news **all, size_t *all_count, size_t *room,
                     const struct submit_news *news, size_t count)
{
    if (*all_count + count > *room) {
        *room = (*all_count + count) * 2;
        struct submit_news *bigger = ARENA_ARRAY(arena, struct submit_news, *room);
        if (*all_count)
            memcpy(bigger, *all, *all_count * sizeof(**all));
        *all = bigger;
    }
    if (count)
        memcpy(*all + *all_count, news, count * sizeof(*news));
    *all_count += count;
}

/* Rank by rank. */
static bool submit_ranked(struct db *db, struct fault *why, const struct submit_order *order, time_ms last,
                          const struct submit_row *rows, const int *ranks, size_t count, struct arena *arena,
                          struct submit_news **news, size_t *news_count)
{
    size_t room = 0;
    struct submit_row *of_rank = ARENA_ARRAY(arena, struct submit_row, count + 1);
    *news = NULL;
    *news_count = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        struct submit_order now = *order;
        struct submit_news *fresh;
        size_t found = 0, fresh_count;
        now.due = last - (RANKS - 1) + rank;
        for (size_t i = 0; i < count; i++)
            if (ranks[i] == rank)
                of_rank[found++] = rows[i];
        if (!found)
            continue;
        if (!submit_rows(db, why, &now, of_rank, found, arena, &fresh, &fresh_count))
            return false;
        news_add(arena, news, news_count, &room, fresh, fresh_count);
    }
    return true;
}

/* What one batch of members becomes: rows to submit, and events for those left out. */
static bool expand_batch(struct db *db, struct fault *why, const struct campaign *campaign,
                         const struct audience_row *members, size_t count, time_ms now, time_ms ranked,
                         struct arena *arena, struct submit_news **news, size_t *news_count)
{
    const struct submit_order order = {
        .brand_id = campaign->brand_id,
        .campaign_id = campaign->id,
        .priority = campaign->priority,
        .now = now,
        .due = now,
        .expires = now + campaign->expires_after,
    };
    struct submit_row *rows = ARENA_ARRAY(arena, struct submit_row, count);
    struct event *left_out = ARENA_ARRAY(arena, struct event, count);
    size_t row_count = 0, left_count = 0;
    int *all_ranks = ARENA_ARRAY(arena, int, count + 1), *ranks = ARENA_ARRAY(arena, int, count + 1);
    if (ranked && !ranks_of(db, why, members, count, now, arena, all_ranks))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct audience_row *member = &members[i];
        if (!member->is_suppressed && !member->is_unconfirmed) {
            ranks[row_count] = all_ranks[i];
            rows[row_count++] = (struct submit_row){
                .contact_id = member->contact_id, .address = member->address, .written = member->written};
            continue;
        }
        left_out[left_count++] = (struct event){
            .bucket = id_bucket(member->contact_id),
            .kind = EVENT_LEFT_OUT,
            .at = now,
            .campaign_id = campaign->id,
            .brand_id = campaign->brand_id,
            .contact_id = member->contact_id,
            .address = member->address,
            .domain = slice_from(member->address, (size_t)slice_find_last_byte(member->address, '@') + 1),
            .verdict = {.reason = member->reason},
            .note = member->is_suppressed ? suppress_word(member->why) : SLICE("unconfirmed"),
            .state_before = DELIVERY_STATE_COUNT,
            .state_after = DELIVERY_STATE_COUNT,
        };
    }
    bool ok = ranked ? submit_ranked(db, why, &order, ranked, rows, ranks, row_count, arena, news, news_count)
                     : submit_rows(db, why, &order, rows, row_count, arena, news, news_count);
    return ok && event_append(db, why, left_out, left_count);
}

bool campaign_expand_step(struct db *db, struct fault *why, uint64_t id, size_t most, time_ms now, struct arena *arena,
                          struct submit_news **news, size_t *news_count, bool *is_done)
{
    struct campaign campaign;
    *news = NULL;
    *news_count = 0;
    *is_done = false;
    size_t room = 0;
    if (!campaign_by_id(db, why, id, arena, &campaign))
        return false;
    if (campaign.state != CAMPAIGN_EXPANDING) {
        *is_done = true;
        return true;
    }
    time_ms ranked;
    if (!ranks_begin(db, why, &campaign, now, &ranked))
        return false;
    for (size_t done = 0; done < most && campaign.expand_bucket < ID_BUCKETS;) {
        struct audience_row *members;
        size_t count, batch = most - done, fresh_count;
        struct submit_news *fresh;
        if (!audience_next_batch(db, why, campaign.list_id, campaign.brand_id, campaign.expand_bucket,
                                 campaign.expand_after, batch, now, arena, &members, &count) ||
            !expand_batch(db, why, &campaign, members, count, now, ranked, arena, &fresh, &fresh_count))
            return false;
        news_add(arena, news, news_count, &room, fresh, fresh_count);
        done += count + 1;
        if (count < batch) {
            campaign.expand_bucket++;
            campaign.expand_after = 0;
        } else {
            campaign.expand_after = members[count - 1].contact_id;
        }
    }
    bool is_last = campaign.expand_bucket >= ID_BUCKETS;
    if (!db_do(db, why,
               "UPDATE campaign SET expand_bucket = $2, expand_after = $3, expanded_ms = $4, state = $5 WHERE id = "
               "$1 AND state = "
               "'expanding'",
               VALUES(V_INT((int64_t)id), V_INT(campaign.expand_bucket), V_INT((int64_t)campaign.expand_after),
                      V_INT(is_last ? now : 0), V_STR(is_last ? "sending" : "expanding")),
               NULL))
        return false;
    *is_done = is_last;
    return true;
}
