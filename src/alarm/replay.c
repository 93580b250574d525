/* replay.c - mail of ours that somebody sends again: what passes with our DKIM signature, from where we never send (X5)
 *
 * A signature stays good on whatever copy of the mail, so who has one mail of ours can send it to millions. Nobody sees
 * that but the receivers, and they say it in DMARC reports: source address, DKIM passed, how many. A domain is looked
 * at when a report about it has come (once for all that came within a second), and once an hour while its matter is
 * open:
 *
 *     mails of the last WINDOW_DAYS whose aligned DKIM passed
 *       from networks (/24, /48) that are known: SPF passed, a source of ours is in it, or it was there in the
 *         PAST_DAYS before (forwarders and lists are: they come every week)
 *       from others: more than `replay_networks` of them, MAILS_LEAST mails and the share below: the alarm
 *
 * A report whose mail failed DMARC is not believed: anybody may write one. It runs on the writer's thread, so it reads
 * at most ADDRESSES_MOST addresses, of DOMAINS_MOST domains a second. */
#include "alarm/watch.h"

#include "base/json.h"
#include "feedback/feedback.h"
#include "net/ip.h"
#include <stdio.h>

enum {
    WINDOW_DAYS = 7,
    PAST_DAYS = 28,
    SHARE_WITH_PAST = 10, /* percent of what passed */
    SHARE_WITHOUT = 50,   /* the domain is new to us: its forwarders are, too */
    MAILS_LEAST = 100,
    NETWORKS_USUAL = 20,
    ADDRESSES_MOST = 50000,
    REPORTS_MOST = 200,
    DOMAINS_MOST = 20,
    SHOWN_MOST = 10,
};

#define BELIEVED                                                                                                       \
    "FROM feedback_report r JOIN feedback_source s ON s.report_id = r.id LEFT JOIN inbound i ON i.id = r.mail_id AND " \
    "i.bucket = (r.mail_id & 255) WHERE r.domain = $1 AND r.kind = $2 AND r.received_ms >= $3 AND r.received_ms < $4 " \
    "AND s.dkim = 'pass' AND COALESCE(i.dmarc, '') <> 'fail' "

struct seen {
    struct slice ip, detail;
    int64_t n;
};
struct look {
    struct slice domain;
    struct arena arena;
    struct map known; /* network -> (non-NULL) */
    struct map strange;
    struct seen most[SHOWN_MOST]; /* most mails first */
    int64_t addresses, mails, total;
    bool has_past;
};

/* "192.0.2", "20010db80001": /24 or /48; what is no address is itself. */
static struct slice network_of(struct slice text, char room[64])
{
    struct ip ip;
    if (!ip_parse(text, &ip))
        return slice_of(room, (size_t)snprintf(room, 64, "%.*s", SLICE_ARG(slice_head(text, 60))));
    int len = ip.family == 4 ? snprintf(room, 64, "%u.%u.%u", ip.bytes[0], ip.bytes[1], ip.bytes[2])
                             : snprintf(room, 64, "%02x%02x%02x%02x%02x%02x", ip.bytes[0], ip.bytes[1], ip.bytes[2],
                                        ip.bytes[3], ip.bytes[4], ip.bytes[5]);
    return slice_of(room, (size_t)len);
}

static void know(struct look *look, struct slice ip)
{
    char room[64];
    if (ip.len)
        map_set(&look->known, network_of(ip, room), look);
}

static bool sources_know(struct look *look, struct db *db, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT ip, public_ip FROM source", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        know(look, rows_text(&rows, 0));
        know(look, rows_text(&rows, 1));
    }
    return rows_end(&rows);
}

static bool past_know(struct look *look, struct db *db, struct fault *why, time_ms now)
{
    SCOPED(rows) rows = {0};
    time_ms to = now - DAYS_MS(WINDOW_DAYS);
    if (!db_query(db, why, &rows, "SELECT DISTINCT s.ip " BELIEVED "LIMIT $5",
                  VALUES(V_TEXT(look->domain), V_INT(FEEDBACK_DMARC), V_INT(to - DAYS_MS(PAST_DAYS)), V_INT(to),
                         V_INT(ADDRESSES_MOST))))
        return false;
    while (rows_next(&rows)) {
        look->has_past = true;
        know(look, rows_text(&rows, 0));
    }
    return rows_end(&rows);
}

static void strange_add(struct look *look, struct slice network, const struct seen *seen)
{
    map_set(&look->strange, network, look);
    look->addresses++;
    look->mails += seen->n;
    for (size_t i = 0; i < SHOWN_MOST; i++) {
        if (seen->n <= look->most[i].n)
            continue;
        memmove(look->most + i + 1, look->most + i, (SHOWN_MOST - 1 - i) * sizeof(*look->most));
        look->most[i] =
            (struct seen){arena_copy(&look->arena, seen->ip), arena_copy(&look->arena, seen->detail), seen->n};
        return;
    }
}

/* Most mails first; where SPF passed, it is we or whom we have told of. */
static bool window_read(struct look *look, struct db *db, struct fault *why, time_ms now)
{
    SCOPED(rows) rows = {0};
    const struct value values[] = {V_TEXT(look->domain), V_INT(FEEDBACK_DMARC), V_INT(now - DAYS_MS(WINDOW_DAYS)),
                                   V_INT(now + DAYS_MS(1)), V_INT(ADDRESSES_MOST)};
    if (!db_query(db, why, &rows, "SELECT DISTINCT s.ip " BELIEVED "AND s.spf = 'pass' LIMIT $5", values,
                  COUNT_OF(values)))
        return false;
    while (rows_next(&rows))
        know(look, rows_text(&rows, 0));
    if (!rows_end(&rows))
        return false;
    if (!db_query(db, why, &rows,
                  "SELECT s.ip, CAST(SUM(s.n) AS BIGINT), MIN(s.detail) " BELIEVED
                  "GROUP BY s.ip ORDER BY 2 DESC, 1 LIMIT $5",
                  values, COUNT_OF(values)))
        return false;
    while (rows_next(&rows)) {
        char room[64];
        const struct seen seen = {rows_text(&rows, 0), rows_text(&rows, 2), rows_int(&rows, 1)};
        struct slice network = network_of(seen.ip, room);
        look->total += seen.n;
        if (!map_get(&look->known, network))
            strange_add(look, network, &seen);
    }
    return rows_end(&rows);
}

static void detail_write(const struct look *look, struct buf *out)
{
    struct json json = {out};
    json_object_begin(&json);
    json_put_string(&json, "domain", look->domain);
    json_put_int(&json, "addresses", look->addresses);
    json_put_int(&json, "networks", (int64_t)look->strange.count);
    json_put_int(&json, "mails", look->mails);
    json_put_int(&json, "passed", look->total);
    json_put_array(&json, "most");
    for (size_t i = 0; i < SHOWN_MOST && look->most[i].n; i++) {
        json_object_begin(&json);
        json_put_string(&json, "ip", look->most[i].ip);
        json_put_int(&json, "mails", look->most[i].n);
        json_put_string(&json, "said", look->most[i].detail);
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
}

static int64_t networks_usual(const struct alarm_watch *watch)
{
    return watch->options.replay_networks ? watch->options.replay_networks : NETWORKS_USUAL;
}

static bool is_replay(const struct alarm_watch *watch, const struct look *look)
{
    int64_t share = look->has_past ? SHARE_WITH_PAST : SHARE_WITHOUT;
    return (int64_t)look->strange.count > networks_usual(watch) && look->mails >= MAILS_LEAST &&
           look->mails / share >= look->total / 100;
}

static bool domain_judge(struct alarm_watch *watch, struct db *db, struct fault *why, struct slice domain, time_ms now)
{
    struct look look = {.domain = domain};
    SCOPED(buf) detail = BUF(65536);
    bool ok = sources_know(&look, db, why) && past_know(&look, db, why, now) && window_read(&look, db, why, now);
    if (ok && is_replay(watch, &look)) {
        detail_write(&look, &detail);
        ok = alarm_raise(db, why, ALARM_REPLAY, domain, (int64_t)look.strange.count, networks_usual(watch),
                         buf_slice(&detail), now);
    } else if (ok) {
        ok = alarm_end(db, why, ALARM_REPLAY, domain, now);
    }
    map_release(&look.known);
    map_release(&look.strange);
    arena_release(&look.arena);
    return ok;
}

/* Where the watch begins: two days back, so that what came while nobody watched is seen. */
static bool begin(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now)
{
    int64_t last = 0;
    bool found;
    if (!db_query_ints(db, why, "SELECT COALESCE(MAX(id), 0) FROM feedback_report WHERE received_ms < $1",
                       VALUES(V_INT(now - DAYS_MS(2))), &last, 1, &found))
        return false;
    watch->replay_seen = (uint64_t)last;
    watch->replay_begun = true;
    return true;
}

/* The domains that reports have come about since; *last: the newest report among them. */
static bool news_read(struct alarm_watch *watch, struct db *db, struct fault *why, struct arena *arena,
                      struct slice *domains, size_t *count, uint64_t *last)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT id, domain FROM feedback_report WHERE id > $1 AND kind = $2 ORDER BY id LIMIT $3",
                  VALUES(V_INT((int64_t)watch->replay_seen), V_INT(FEEDBACK_DMARC), V_INT(REPORTS_MOST))))
        return false;
    while (rows_next(&rows)) {
        struct slice domain = rows_text(&rows, 1);
        bool is_new = true;
        for (size_t i = 0; i < *count && is_new; i++)
            is_new = !slice_equal(domains[i], domain);
        if (is_new && *count == DOMAINS_MOST)
            break; /* the others a second later */
        if (is_new)
            domains[(*count)++] = arena_copy(arena, domain);
        *last = (uint64_t)rows_int(&rows, 0);
    }
    return rows_end(&rows);
}

/* Those whose matter is open: seven days pass without a report, too. */
static bool open_read(struct db *db, struct fault *why, struct arena *arena, struct slice *domains, size_t *count)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT about FROM alarm WHERE kind = $1 AND ended_ms = 0 ORDER BY last_ms LIMIT $2",
                  VALUES(V_TEXT(alarm_word(ALARM_REPLAY)), V_INT(DOMAINS_MOST))))
        return false;
    while (rows_next(&rows))
        domains[(*count)++] = arena_copy(arena, rows_text(&rows, 0));
    return rows_end(&rows);
}

bool replay_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now)
{
    SCOPED(arena) arena = {0};
    struct slice domains[2 * DOMAINS_MOST];
    size_t count = 0;
    if (!watch->replay_begun && !begin(watch, db, why, now))
        return false;
    uint64_t last = watch->replay_seen;
    if (!news_read(watch, db, why, &arena, domains, &count, &last))
        return false;
    bool is_hour = now - watch->replay_looked >= HOURS_MS(1);
    if (is_hour && !open_read(db, why, &arena, domains, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!domain_judge(watch, db, why, domains[i], now))
            return false;
    watch->replay_seen = last;
    if (is_hour)
        watch->replay_looked = now;
    return true;
}
