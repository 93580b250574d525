/* site.c - the reader's half of the guard (suppress/guard.h): counts, takes back, tries again, ends
 *
 * Sites are written in the order of their names, so that two nodes cannot deadlock. A site whose answers are all good
 * is one blind addition; only those with an unknown user are read and judged. */
#include "alarm/watch.h"

#include "base/json.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    SITE_MAX = 255,
    TAKE_BACK_MOST = 5000,
    DOMAINS_OF_SITE = 200,
    RELEASE_MOST = 500, /* deliveries in one tick */
    LATE_MS = 5000,
    SPREAD_MS = 20, /* between two that are tried again */
};

/* ── answers of a batch ── */

struct answers {
    struct slice site;
    int64_t tried, unknown;
    time_ms first, last; /* when */
};

static bool is_held_answer(const struct event *event)
{
    return event->kind == EVENT_DEFERRED && event->state_after == DELIVERY_HELD &&
           event->verdict.reason == REASON_ON_HOLD && delivery_is_owed(event->state_before);
}

/* Does this event say what a receiver thinks of a person? */
static bool is_answer(const struct event *event, bool *is_try, bool *is_unknown)
{
    bool is_mail = event->origin == EVENT_ORIGIN_MAIL;
    *is_try = event->kind == EVENT_DELIVERED || (event->kind == EVENT_BOUNCED && !is_mail && event->code >= 500) ||
              is_held_answer(event);
    *is_unknown = guard_is_about(event) || is_held_answer(event) ||
                  (is_mail && event->kind == EVENT_BOUNCED && event->verdict.reason == REASON_ON_HOLD &&
                   event->state_before != DELIVERY_BOUNCED);
    if (event->kind == EVENT_BOUNCED && event->state_before == DELIVERY_BOUNCED)
        *is_try = *is_unknown = false; /* taken back: counted before */
    return *is_try || *is_unknown;
}

static struct answers *answers_of(struct map *by_site, struct arena *arena, struct slice site, time_ms at)
{
    struct answers *answers = map_get(by_site, site);
    if (!answers) {
        answers = ARENA_NEW(arena, struct answers);
        *answers = (struct answers){.site = arena_copy(arena, site), .first = at, .last = at};
        map_set(by_site, site, answers);
    }
    answers->first = at < answers->first ? at : answers->first;
    answers->last = at > answers->last ? at : answers->last;
    return answers;
}

/* Which site a domain was met at, for the error mails of tomorrow. */
static bool remember_domain(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *event)
{
    if (event->kind != EVENT_DELIVERED || !event->site.len || !event->domain.len ||
        slice_equal(event->site, event->domain) || map_get(&watch->domains, event->domain) ||
        map_get(&watch->fresh, event->domain))
        return true;
    map_set(&watch->fresh, event->domain, watch);
    return db_do(db, why,
                 "INSERT INTO site_domain (domain, site) VALUES ($1, $2) ON CONFLICT (domain) DO UPDATE SET site = "
                 "excluded.site",
                 VALUES(V_TEXT(event->domain), V_TEXT(event->site)), NULL);
}

static bool site_of(struct db *db, struct fault *why, const struct event *event, struct arena *arena,
                    struct slice *site)
{
    *site = event->site;
    if (site->len)
        return true;
    bool ignored;
    return guard_holds(db, why, event, arena, site, &ignored);
}

static int by_name(const void *a, const void *b)
{
    const struct answers *const *one = a, *const *other = b;
    return slice_compare((*one)->site, (*other)->site);
}

/* Those without an unknown user, in one go. What is good while the site holds counts into its round. */
static bool add_good(struct db *db, struct fault *why, struct answers *const *rows, size_t count)
{
    enum { WIDTH = 3 };
    struct value *values = NEW_ARRAY(struct value, count * WIDTH + 1);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i]->unknown)
            continue;
        values[n * WIDTH] = V_TEXT(rows[i]->site);
        values[n * WIDTH + 1] = V_INT(rows[i]->first);
        values[n++ * WIDTH + 2] = V_INT(rows[i]->tried);
    }
    bool ok = n == 0 ||
              db_do_many(db, why,
                         "INSERT INTO site_guard (site, window_ms, tried) VALUES ($1, $2, $3) ON CONFLICT (site) DO "
                         "UPDATE SET tried = site_guard.tried + CASE WHEN site_guard.is_holding = 1 THEN 0 ELSE "
                         "excluded.tried END, round_tried = site_guard.round_tried + CASE WHEN site_guard.is_holding = "
                         "1 THEN excluded.tried ELSE 0 END",
                         values, WIDTH, n, NULL);
    free(values);
    return ok;
}

/* ── beginning ── */

static void detail_of(const struct guard_site *row, struct buf *out)
{
    struct json json = {out};
    json_object_begin(&json);
    json_put_string(&json, "site", row->site);
    json_put_int(&json, "answers", row->tried + row->tried_before);
    json_put_int(&json, "unknown", row->unknown + row->unknown_before);
    json_put_int(&json, "answers_ever", row->tried_ever);
    json_put_int(&json, "unknown_ever", row->unknown_ever);
    json_end(&json);
}

/* The exclusion that this event made, and the strike. */
static bool forget(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *event)
{
    struct brand_policy chosen;
    int points, after_points;
    const struct value key[] = {V_INT(event->bucket), V_TEXT(event->address), V_INT((int64_t)event->id)};
    if (!suppress_brand_policy(db, why, watch->options.ledger.policy.policies, event->brand_id, &chosen) ||
        !db_do(db, why,
               "DELETE FROM suppression WHERE bucket = $1 AND address = $2 AND why = 'error' AND event_id = $3", key,
               COUNT_OF(key), NULL))
        return false;
    if (policy_decide(chosen.policy, &event->verdict, &points, &after_points) != POLICY_EXCLUDE_COUNT)
        return true;
    return db_do(db, why,
                 "UPDATE strike SET count = CASE WHEN count > $3 THEN count - $3 ELSE 0 END WHERE bucket = $1 AND "
                 "address = $2",
                 VALUES(V_INT(event->bucket), V_TEXT(event->address), V_INT(points)), NULL);
}

/* What was decided at this site since `from` is held after all: the ledger asks the guard, which holds by now. */
static bool take_back(struct alarm_watch *watch, struct db *db, struct fault *why, struct event_filter *filter,
                      size_t *taken)
{
    struct event_page page = {.has_more = true};
    while (page.has_more && *taken < TAKE_BACK_MOST) {
        SCOPED(arena) arena = {0};
        if (!event_problems(db, why, filter, EVENT_PAGE_MAX / 2, &arena, &page))
            return false;
        struct ledger_move *moves = ARENA_ARRAY(&arena, struct ledger_move, page.count + 1);
        size_t count = 0;
        for (size_t i = 0; i < page.count; i++) {
            struct event *event = &page.events[i];
            filter->before_id = event->id;
            if (!guard_is_about(event) || !event->delivery_id || (filter->domain.len && event->site.len))
                continue;
            if (!forget(watch, db, why, event))
                return false;
            moves[count] = (struct ledger_move){.event = *event, .from = LEDGER_BIT(DELIVERY_BOUNCED)};
            moves[count].event.at = watch_now(watch);
            moves[count++].event.seq = 0;
        }
        if (!ledger_settle(&watch->options.ledger, db, why, moves, count))
            return false;
        *taken += count;
    }
    return true;
}

static bool take_back_all(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice site, time_ms from,
                          size_t *taken)
{
    struct event_filter filter = {.by_reason = true,
                                  .reason = REASON_USER_UNKNOWN,
                                  .kinds = EVENT_BIT(EVENT_BOUNCED),
                                  .site = site,
                                  .since = from};
    if (!take_back(watch, db, why, &filter, taken))
        return false;
    SCOPED(arena) arena = {0};
    struct slice *domains = ARENA_ARRAY(&arena, struct slice, DOMAINS_OF_SITE + 1);
    size_t count = 0;
    domains[count++] = site; /* a site that is a domain */
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT domain FROM site_domain WHERE site = $1 LIMIT $2",
                  VALUES(V_TEXT(site), V_INT(DOMAINS_OF_SITE))))
        return false;
    while (rows_next(&rows))
        domains[count++] = arena_copy(&arena, rows_text(&rows, 0));
    if (!rows_end(&rows))
        return false;
    for (size_t i = 0; i < count; i++) {
        filter.site = SLICE("");
        filter.domain = domains[i];
        filter.before_id = 0;
        if (!take_back(watch, db, why, &filter, taken))
            return false;
    }
    return true;
}

static time_ms wait_of(const struct alarm_watch *watch, time_ms wait)
{
    double scale = watch->options.time_scale > 0 ? watch->options.time_scale : 1.0;
    return (time_ms)((double)wait * scale) + 1;
}

static const struct policy_guard *limits_of(const struct alarm_watch *watch)
{
    return &policies_chosen(watch->options.ledger.policy.policies)->guard;
}

static bool begin(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, time_ms now)
{
    const struct policy_guard *limits = limits_of(watch);
    int share = guard_share(row), limit = guard_limit(row, limits);
    bool has_before = row->tried_before || row->unknown_before;
    time_ms from = has_before ? row->window - limits->window / 2 : row->window;
    size_t taken = 0;
    SCOPED(buf) detail = BUF(4096);
    detail_of(row, &detail);
    row->is_holding = true;
    row->since = row->window = now;
    row->probe = now + wait_of(watch, guard_probe_wait(limits, 0));
    row->rounds = row->asked = 0;
    row->tried = row->unknown = row->tried_before = row->unknown_before = row->round_tried = row->round_unknown = 0;
    if (!guard_write(db, why, row) || !take_back_all(watch, db, why, row->site, from, &taken) ||
        !alarm_raise(db, why, ALARM_SITE_GUARD, row->site, share, limit, buf_slice(&detail), now))
        return false;
    log_warn("alarm",
             "%.*s says \"no such user\" to %d %% of the mail (up to %d %% is normal): held, nobody is excluded; %zu "
             "verdicts were taken back",
             SLICE_ARG(row->site), share, limit, taken);
    return true;
}

/* It held already, and yet somebody was bounced: another node wrote that down while this one began to hold. */
static bool take_back_late(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice site,
                           const struct event *events, size_t count, struct arena *arena)
{
    struct ledger_move *moves = ARENA_ARRAY(arena, struct ledger_move, count + 1);
    size_t late = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice of;
        if (!guard_is_about(&events[i]) || !events[i].delivery_id || events[i].state_before == DELIVERY_BOUNCED)
            continue;
        if (!site_of(db, why, &events[i], arena, &of))
            return false;
        if (!slice_equal(of, site))
            continue;
        if (!forget(watch, db, why, &events[i]))
            return false;
        moves[late] = (struct ledger_move){.event = events[i], .from = LEDGER_BIT(DELIVERY_BOUNCED)};
        moves[late].event.at = watch_now(watch);
        moves[late++].event.seq = 0;
    }
    return ledger_settle(&watch->options.ledger, db, why, moves, late);
}

bool site_take(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events, size_t count)
{
    const struct policy_guard *limits = limits_of(watch);
    if (!limits->share_percent)
        return true;
    SCOPED(arena) arena = {0};
    struct map by_site = {0};
    time_ms now = watch_now(watch);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        bool is_try, is_unknown;
        struct slice site;
        if (!is_answer(&events[i], &is_try, &is_unknown))
            continue;
        ok = remember_domain(watch, db, why, &events[i]) && site_of(db, why, &events[i], &arena, &site);
        if (!ok || !site.len || site.len > SITE_MAX)
            continue;
        struct answers *answers = answers_of(&by_site, &arena, site, events[i].at);
        answers->tried += is_try;
        answers->unknown += is_unknown;
    }
    struct answers **rows = ARENA_ARRAY(&arena, struct answers *, by_site.count + 1);
    size_t n = 0, at = 0;
    for (struct map_entry *entry; ok && (entry = map_walk(&by_site, &at));)
        rows[n++] = entry->value;
    map_release(&by_site);
    qsort(rows, n, sizeof(*rows), by_name);
    ok = ok && add_good(db, why, rows, n);
    for (size_t i = 0; ok && i < n; i++) {
        if (!rows[i]->unknown)
            continue;
        struct guard_site row;
        ok = guard_read(db, why, rows[i]->site, rows[i]->first, &row);
        if (ok && row.is_holding && !take_back_late(watch, db, why, rows[i]->site, events, count, &arena))
            return false;
        bool begins = ok && guard_count(&row, limits, rows[i]->tried, rows[i]->unknown, rows[i]->last);
        ok = ok && (begins ? begin(watch, db, why, &row, now) : guard_write(db, why, &row));
    }
    return ok;
}

/* ── trying again, and ending ── */

struct held {
    unsigned bucket;
    uint64_t delivery_id;
    bool is_owed;
    struct event event;   /* what the delivery is about */
    struct lane_key lane; /* of an owed one */
};

/* The oldest verdicts held for a site; only_owed: those whose mail can be tried again. */
static bool held_read(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice site, bool only_owed,
                      size_t most, struct arena *arena, struct held **out, size_t *count)
{
    SCOPED(rows) rows = {0};
    *out = ARENA_ARRAY(arena, struct held, most);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT h.bucket, h.delivery_id, h.is_owed, h.address, h.brand_id, h.campaign_id, h.rule, "
                  "d.contact_id, d.attempts, l.id, l.priority, l.domain, d.state, l.waives_tls, l.source_id FROM "
                  "held_verdict h LEFT JOIN "
                  "delivery d ON d.bucket = h.bucket AND d.id = h.delivery_id LEFT JOIN lane l ON l.id = d.lane_id "
                  "WHERE h.site = $1 AND h.is_owed >= $2 ORDER BY h.since_ms, h.bucket, h.delivery_id",
                  VALUES(V_TEXT(site), V_INT(only_owed))))
        return false;
    while (*count < most && rows_next(&rows)) {
        struct held *held = &(*out)[*count];
        held->bucket = (unsigned)rows_int(&rows, 0);
        ++*count;
        held->delivery_id = (uint64_t)rows_int(&rows, 1);
        held->is_owed = rows_int(&rows, 2) && rows_int(&rows, 12) == DELIVERY_HELD;
        held->event = (struct event){.bucket = held->bucket,
                                     .delivery_id = held->delivery_id,
                                     .address = arena_copy(arena, rows_text(&rows, 3)),
                                     .brand_id = (uint64_t)rows_int(&rows, 4),
                                     .campaign_id = (uint64_t)rows_int(&rows, 5),
                                     .verdict = {.rule = arena_copy(arena, rows_text(&rows, 6))},
                                     .contact_id = (uint64_t)rows_int(&rows, 7),
                                     .attempt = (int)rows_int(&rows, 8),
                                     .domain = arena_copy(arena, rows_text(&rows, 11)),
                                     .site = site};
        held->lane = (struct lane_key){.id = (uint64_t)rows_int(&rows, 9),
                                       .brand_id = held->event.brand_id,
                                       .campaign_id = held->event.campaign_id,
                                       .priority = (int)rows_int(&rows, 10),
                                       .waives_tls = rows_int(&rows, 13) != 0,
                                       .source_id = (uint64_t)rows_int(&rows, 14),
                                       .domain = held->event.domain};
    }
    return rows_end(&rows);
}

static bool held_forget(struct db *db, struct fault *why, const struct held *held, size_t count)
{
    struct value *values = NEW_ARRAY(struct value, count * 2 + 1);
    for (size_t i = 0; i < count; i++) {
        values[i * 2] = V_INT(held[i].bucket);
        values[i * 2 + 1] = V_INT((int64_t)held[i].delivery_id);
    }
    bool ok = count == 0 || db_do_many(db, why, "DELETE FROM held_verdict WHERE bucket = $1 AND delivery_id = $2",
                                       values, 2, count, NULL);
    free(values);
    return ok;
}

/* Held mails are due again; verdicts without a mail are dropped: the next mail decides. */
static bool retry(struct alarm_watch *watch, struct db *db, struct fault *why, const struct held *held, size_t count,
                  time_ms now)
{
    SCOPED(arena) arena = {0};
    struct ledger_move *moves = ARENA_ARRAY(&arena, struct ledger_move, count + 1);
    struct submit_news *news = ARENA_ARRAY(&arena, struct submit_news, count + 1);
    size_t n = 0, told = 0;
    for (size_t i = 0; i < count; i++) {
        if (!held[i].is_owed)
            continue;
        struct ledger_move *move = &moves[n];
        *move = (struct ledger_move){.event = held[i].event,
                                     .from = LEDGER_BIT(DELIVERY_HELD),
                                     .is_before_known = true,
                                     .due = now + (time_ms)n * SPREAD_MS};
        move->event.kind = EVENT_RELEASED;
        move->event.at = now;
        move->event.state_before = DELIVERY_HELD;
        move->event.state_after = DELIVERY_DEFERRED;
        move->event.verdict = (struct verdict){0};
        move->event.note = SLICE("site_guard");
        news[n++] = (struct submit_news){.lane = held[i].lane, .bucket = held[i].bucket, .due = move->due, .count = 1};
    }
    if (!held_forget(db, why, held, count) || !ledger_settle(&watch->options.ledger, db, why, moves, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (moves[i].is_moved)
            news[told++] = news[i];
    watch_tell(watch, news, told);
    return true;
}

/* The words were true: the mails are bounced, the people excluded as the policy wants it. */
static bool believe(struct alarm_watch *watch, struct db *db, struct fault *why, const struct held *held, size_t count,
                    time_ms now)
{
    SCOPED(arena) arena = {0};
    struct ledger_move *moves = ARENA_ARRAY(&arena, struct ledger_move, count + 1);
    struct event *ended = ARENA_ARRAY(&arena, struct event, count + 1);
    struct event *extra = ARENA_ARRAY(&arena, struct event, count + 1);
    size_t n = 0, ended_count = 0, extra_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct event event = held[i].event;
        struct slice rule = event.verdict.rule;
        rules_verdict_of_reason(watch->options.rules, REASON_USER_UNKNOWN, true, &event.verdict);
        event.verdict.rule = rule;
        policy_adjust(policies_chosen(watch->options.ledger.policy.policies), &event.verdict);
        event.kind = EVENT_BOUNCED;
        event.at = now;
        event.origin = EVENT_ORIGIN_REPLY;
        event.note = SLICE("site_guard");
        event.state_before = held[i].is_owed ? DELIVERY_HELD : DELIVERY_STATE_COUNT;
        event.state_after = held[i].is_owed ? DELIVERY_BOUNCED : DELIVERY_STATE_COUNT;
        if (held[i].is_owed)
            moves[n++] =
                (struct ledger_move){.event = event, .from = LEDGER_BIT(DELIVERY_HELD), .is_before_known = true};
        else
            ended[ended_count++] = event;
    }
    return held_forget(db, why, held, count) &&
           suppress_apply(db, why, ended, ended_count, &watch->options.ledger.policy, extra, &extra_count) &&
           ledger_settle(&watch->options.ledger, db, why, moves, n) && event_append(db, why, extra, extra_count);
}

static bool end(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, int wish,
                time_ms now)
{
    log_info("alarm", "%.*s: %s", SLICE_ARG(row->site),
             wish == GUARD_RETRY ? "its share of unknown users is normal again, or a person said so: what was held is "
                                   "tried again"
                                 : "what it says is believed: the held verdicts are carried out");
    row->is_holding = false;
    row->asked = wish;
    row->window = now;
    row->tried_ever += row->round_tried;
    row->unknown_ever += row->round_unknown;
    row->round_tried = row->round_unknown = row->rounds = 0;
    return guard_write(db, why, row) && alarm_end(db, why, ALARM_SITE_GUARD, row->site, now);
}

static bool probe(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, time_ms now)
{
    const struct policy_guard *limits = limits_of(watch);
    SCOPED(arena) arena = {0};
    struct held *held;
    size_t count;
    row->round_tried = row->round_unknown = 0;
    row->probe = now + wait_of(watch, guard_probe_wait(limits, ++row->rounds));
    return guard_write(db, why, row) &&
           held_read(watch, db, why, row->site, true, (size_t)limits->probes, &arena, &held, &count) &&
           retry(watch, db, why, held, count, now);
}

/* Some of those still held, now that it is decided. */
static bool carry_out(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, time_ms now)
{
    SCOPED(arena) arena = {0};
    struct held *held;
    size_t count;
    if (!held_read(watch, db, why, row->site, false, RELEASE_MOST, &arena, &held, &count))
        return false;
    if (count == 0) {
        if (now - row->window < LATE_MS) /* since it ended: another node may be writing one down that it held */
            return true;
        row->asked = 0;
        return guard_write(db, why, row);
    }
    return row->asked == GUARD_EXCLUDE ? believe(watch, db, why, held, count, now)
                                       : retry(watch, db, why, held, count, now);
}

bool site_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now)
{
    const struct policy_guard *limits = limits_of(watch);
    struct guard_site *rows;
    size_t count;
    if (!guard_busy(db, why, &watch->arena, &rows, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct guard_site *row = &rows[i];
        bool ok = true;
        int wish = row->asked;
        /* before the first round only those answer who were on the wire when it began: good ones come later than bad */
        if (!wish && row->is_holding && row->rounds > 0 && guard_is_normal_again(row, limits))
            wish = GUARD_RETRY;
        if (!wish && row->is_holding && now - row->since >= wait_of(watch, limits->believe_after))
            wish = GUARD_EXCLUDE;
        if (row->is_holding && wish)
            ok = end(watch, db, why, row, wish, now);
        else if (row->is_holding && now >= row->probe)
            ok = probe(watch, db, why, row, now);
        if (ok && !row->is_holding && row->asked)
            ok = carry_out(watch, db, why, row, now);
        if (!ok)
            return false;
    }
    return true;
}
