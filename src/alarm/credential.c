/* credential.c - what each access key hands in mail for, against its own past (S13)
 *
 * Recipients are counted by ten minutes (table alarm_tally, "key ID"), at the time they were accepted: a reader that
 * catches up after a stop sees no crowd. A key's usual is the busiest hour of its last seven days, so one big mailing a
 * week is usual. Above `key_times` that, and above `key_per_hour`, an alarm is raised; a key without a past is compared
 * with key_per_hour. The alarm ends when an hour has half of what raised it. It pauses a key once: a key that was
 * released goes on, until the matter has ended and begins anew. */
#include "alarm/watch.h"

#include "base/json.h"
#include <stdio.h>
#include <stdlib.h>

enum { SLOT_MIN = 10, SLOTS_OF_HOUR = 6, DAYS_KEPT = 8, DAYS_OF_BASE = 7, SLOTS_OF_BASE = DAYS_OF_BASE * 24 * 6 + 1 };
#define KEY_PREFIX "key "

static bool key_of(const struct event *event, uint64_t *key)
{
    return event->kind == EVENT_ACCEPTED && slice_starts(event->note, SLICE(KEY_PREFIX)) &&
           slice_to_u64(slice_from(event->note, sizeof(KEY_PREFIX) - 1), key);
}

static struct slice tally_of(uint64_t key, char name[40])
{
    return slice_of(name, (size_t)snprintf(name, 40, KEY_PREFIX "%llu", (unsigned long long)key));
}

static time_ms slot_of(time_ms at)
{
    return at / MINUTES_MS(SLOT_MIN) * MINUTES_MS(SLOT_MIN);
}

struct load {
    int64_t hour;  /* recipients of the running slot and the six before */
    int64_t usual; /* of the busiest hour of the seven days before that; 0: it has no past */
};

static bool load_read(struct db *db, struct fault *why, uint64_t key, time_ms now, struct load *load)
{
    char name[40];
    SCOPED(rows) rows = {0};
    struct {
        time_ms at;
        int64_t n;
    } slots[SLOTS_OF_BASE];
    size_t count = 0, first = 0; /* of the hour that ends with the newest slot */
    int64_t sum = 0;
    time_ms hour = slot_of(now) - SLOTS_OF_HOUR * MINUTES_MS(SLOT_MIN);
    *load = (struct load){0};
    if (!db_query(db, why, &rows,
                  "SELECT slot_ms, n FROM alarm_tally WHERE name = $1 AND slot_ms >= $2 ORDER BY slot_ms",
                  VALUES(V_TEXT(tally_of(key, name)), V_INT(hour - DAYS_MS(DAYS_OF_BASE)))))
        return false;
    while (rows_next(&rows)) {
        time_ms at = rows_int(&rows, 0);
        int64_t n = rows_int(&rows, 1);
        if (at >= hour) {
            load->hour += n;
            continue;
        }
        if (count == SLOTS_OF_BASE)
            continue;
        slots[count].at = at;
        slots[count++].n = n;
        for (sum += n; slots[first].at <= at - MINUTES_MS(60); first++)
            sum -= slots[first].n;
        load->usual = sum > load->usual ? sum : load->usual;
    }
    return rows_end(&rows);
}

static int64_t threshold_of(const struct alarm_watch *watch, int64_t usual)
{
    int64_t least = watch->options.key_per_hour ? watch->options.key_per_hour : 1000;
    int64_t times = watch->options.key_times ? watch->options.key_times : 5;
    return usual * times > least ? usual * times : least;
}

/* What people call it; *found: there is such a key. */
static bool about_of(struct db *db, struct fault *why, uint64_t key, struct arena *arena, struct slice *name,
                     struct slice *about, bool *found)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT name FROM access_key WHERE id = $1", VALUES(V_INT((int64_t)key))))
        return false;
    *found = rows_next(&rows);
    *name = *found ? arena_copy(arena, rows_text(&rows, 0)) : SLICE("");
    *about = arena_printf(arena, "%.*s (%llu)", SLICE_ARG(*name), (unsigned long long)key);
    return rows_end(&rows);
}

/* The open matter of a key: what was usual when it began, for its own hours would soon be usual. */
static bool open_matter(struct db *db, struct fault *why, struct slice about, bool *is_open, int64_t *usual)
{
    return db_query_ints(db, why, "SELECT normal FROM alarm WHERE kind = $1 AND about = $2 AND ended_ms = 0",
                         VALUES(V_TEXT(alarm_word(ALARM_CREDENTIAL)), V_TEXT(about)), usual, 1, is_open);
}

static bool judge(struct alarm_watch *watch, struct db *db, struct fault *why, uint64_t key, time_ms now)
{
    SCOPED(arena) arena = {0};
    struct load load;
    struct slice name, about;
    bool found, was_open;
    if (!load_read(db, why, key, now, &load))
        return false;
    if (load.hour <= threshold_of(watch, 0)) /* not even the least */
        return true;
    if (!about_of(db, why, key, &arena, &name, &about, &found) || !open_matter(db, why, about, &was_open, &load.usual))
        return false;
    if (!found || load.hour <= threshold_of(watch, load.usual))
        return true;
    bool pauses = watch->options.pause && !was_open;
    if (pauses && !watch->options.pause(watch->options.owner, db, why, key, now))
        return false;
    SCOPED(buf) detail = BUF(4096);
    struct json json = {&detail};
    char id[24];
    snprintf(id, sizeof(id), "%llu", (unsigned long long)key);
    json_object_begin(&json);
    json_put_string(&json, "key", name);
    json_put_string(&json, "key_id", slice_str(id));
    json_put_int(&json, "hour", load.hour);
    json_put_int(&json, "usual", load.usual);
    json_put_bool(&json, "paused", watch->options.pause != NULL);
    json_end(&json);
    return alarm_raise(db, why, ALARM_CREDENTIAL, about, load.hour, load.usual, buf_slice(&detail), now);
}

struct tally {
    uint64_t key;
    time_ms slot;
    int64_t n;
};

static int by_key(const void *a, const void *b)
{
    const struct tally *one = a, *other = b;
    if (one->key != other->key)
        return one->key < other->key ? -1 : 1;
    return (one->slot > other->slot) - (one->slot < other->slot);
}

static bool tally_add(struct db *db, struct fault *why, const struct tally *tally)
{
    char name[40];
    return db_do(db, why,
                 "INSERT INTO alarm_tally (name, slot_ms, n) VALUES ($1, $2, $3) ON CONFLICT (name, slot_ms) DO "
                 "UPDATE SET n = alarm_tally.n + excluded.n",
                 VALUES(V_TEXT(tally_of(tally->key, name)), V_INT(tally->slot), V_INT(tally->n)), NULL);
}

bool credential_take(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events,
                     size_t count)
{
    size_t n = 0, kept = 0;
    uint64_t key;
    for (size_t i = 0; i < count; i++)
        n += key_of(&events[i], &key);
    if (!n)
        return true;
    struct tally *tallies = NEW_ARRAY(struct tally, n);
    for (size_t i = 0; i < count; i++)
        if (key_of(&events[i], &key))
            tallies[kept++] = (struct tally){key, slot_of(events[i].at), events[i].n ? events[i].n : 1};
    qsort(tallies, kept, sizeof(*tallies), by_key); /* in one order, so that two nodes cannot deadlock */
    bool ok = true;
    for (size_t i = 0, last; i < kept && ok; i = last) {
        struct tally sum = tallies[i];
        for (last = i + 1; last < kept && by_key(&tallies[i], &tallies[last]) == 0; last++)
            sum.n += tallies[last].n;
        bool is_last_of_key = last == kept || tallies[last].key != sum.key;
        ok = tally_add(db, why, &sum) && (!is_last_of_key || judge(watch, db, why, sum.key, sum.slot));
    }
    free(tallies);
    return ok;
}

struct matter {
    uint64_t key;
    struct slice about;
    int64_t usual;
    time_ms since;
    bool is_ours; /* a person saw it */
};

/* It has ended. What nobody said was ours shall not be what is usual for the key. */
static bool matter_end(struct db *db, struct fault *why, const struct matter *matter, time_ms now)
{
    char name[40];
    return alarm_end(db, why, ALARM_CREDENTIAL, matter->about, now) &&
           (matter->is_ours ||
            db_do(db, why, "DELETE FROM alarm_tally WHERE name = $1 AND slot_ms >= $2",
                  VALUES(V_TEXT(tally_of(matter->key, name)), V_INT(matter->since - MINUTES_MS(70))), NULL));
}

/* Those that are quiet again; and, once an hour, what is too old to say what is usual. */
bool credential_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now)
{
    enum { MATTERS_MOST = 100 };
    struct matter matters[MATTERS_MOST];
    size_t count = 0;
    SCOPED(arena) arena = {0};
    SCOPED(rows) rows = {0};
    if (now - watch->cleaned > HOURS_MS(1)) {
        if (!db_do(db, why, "DELETE FROM alarm_tally WHERE slot_ms < $1", VALUES(V_INT(now - DAYS_MS(DAYS_KEPT))),
                   NULL))
            return false;
        watch->cleaned = now;
    }
    if (!db_query(db, why, &rows,
                  "SELECT about, normal, since_ms, acked_ms FROM alarm WHERE kind = $1 AND ended_ms = 0 ORDER BY id "
                  "LIMIT 100",
                  VALUES(V_TEXT(alarm_word(ALARM_CREDENTIAL)))))
        return false;
    while (count < MATTERS_MOST && rows_next(&rows)) {
        struct matter *matter = &matters[count];
        *matter = (struct matter){.about = arena_copy(&arena, rows_text(&rows, 0)),
                                  .usual = rows_int(&rows, 1),
                                  .since = rows_int(&rows, 2),
                                  .is_ours = rows_int(&rows, 3) != 0};
        struct slice id = slice_from(matter->about, (size_t)(slice_find_last_byte(matter->about, '(') + 1));
        count += id.len && slice_to_u64(slice_head(id, id.len - 1), &matter->key); /* "name (id)" */
    }
    if (!rows_end(&rows))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct load load;
        if (!load_read(db, why, matters[i].key, now, &load))
            return false;
        if (load.hour * 2 <= threshold_of(watch, matters[i].usual) && !matter_end(db, why, &matters[i], now))
            return false;
    }
    return true;
}
