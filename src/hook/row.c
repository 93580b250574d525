/* row.c - hooks as rows: who made it, how far it has come, how the last attempts went */
#include "hook/inside.h"

#include "base/base64.h"
#include "base/random.h"
#include <stdio.h>

enum { SECRET_OCTETS = 32 };

struct slice hook_state_word(enum hook_state state)
{
#define STATE_WORD(NAME, word) SLICE_INIT(#word),
    static const struct slice words[] = {HOOK_STATES(STATE_WORD)};
    return words[state];
}

static bool state_of(struct slice word, enum hook_state *state)
{
    for (int i = 0; i < HOOK_STATE_COUNT; i++) {
        *state = (enum hook_state)i;
        if (slice_equal(word, hook_state_word(*state)))
            return true;
    }
    return false;
}

bool hook_kinds_parse(struct slice words, uint64_t *kinds, struct fault *why)
{
    struct slice word;
    *kinds = 0;
    while (words.len && slice_split(&words, ',', &word)) {
        enum event_kind kind;
        word = slice_trim(word);
        if (!event_of(word, &kind))
            return fault_set(why, FAULT_INPUT, "\"%.*s\" is no kind of event; kinds are words like delivered,bounced",
                             (int)(word.len < 60 ? word.len : 60), word.ptr);
        *kinds |= EVENT_BIT(kind);
    }
    return true;
}

/* ── making and changing ── */

static void context_of(uint64_t id, struct buf *context)
{
    buf_printf(context, "hook secret %llu", (unsigned long long)id);
}

static void secret_make(struct buf *secret)
{
    unsigned char bytes[SECRET_OCTETS];
    random_bytes(bytes, sizeof(bytes));
    buf_text(secret, "whsec_");
    base64_encode(secret, slice_of(bytes, sizeof(bytes)));
    explicit_bzero(bytes, sizeof(bytes));
}

bool hook_add(struct db *db, struct fault *why, const struct seal_key *seal_key, struct hook *hook, struct buf *secret,
              time_ms now)
{
    SCOPED(buf) sealed = BUF(4096);
    SCOPED(buf) context = BUF(512);
    SCOPED(buf) place = BUF(EVENT_CURSOR_MAX);
    int64_t count, brand_found = 1;
    bool found = true;
    if (!hook_url_check(slice_str(hook->url), why) ||
        !db_query_ints(db, why, "SELECT COUNT(*) FROM hook", NO_VALUES, &count, 1, NULL))
        return false;
    if (count >= HOOKS_MOST)
        return fault_set(why, FAULT_INPUT, "there are %d webhooks already", HOOKS_MOST);
    if (hook->brand_id && !db_query_ints(db, why, "SELECT 1 FROM brand WHERE id = $1",
                                         VALUES(V_INT((int64_t)hook->brand_id)), &brand_found, 1, &found))
        return false;
    if (!found)
        return fault_set(why, FAULT_INPUT, "there is no such brand");
    hook->id = id_make_anywhere(db_ids(db), now);
    hook->state = HOOK_ENABLED;
    hook->created = now;
    secret_make(secret);
    context_of(hook->id, &context);
    seal(seal_key, buf_slice(&context), buf_slice(secret), &sealed);
    event_place_print(&hook->place, &place);
    return db_do(db, why,
                 "INSERT INTO hook (id, brand_id, url, kinds, secret_sealed, state, place, created_ms) VALUES ($1, $2, "
                 "$3, $4, $5, 'enabled', $6, $7)",
                 VALUES(V_INT((int64_t)hook->id), V_INT((int64_t)hook->brand_id), V_STR(hook->url),
                        V_INT((int64_t)hook->kinds), V_BYTES(buf_slice(&sealed)), V_TEXT(buf_slice(&place)),
                        V_INT(now)),
                 NULL);
}

bool hook_secret(struct db *db, struct fault *why, const struct seal_key *seal_key, uint64_t id, struct buf *secret)
{
    SCOPED(rows) rows = {0};
    SCOPED(buf) context = BUF(512);
    SCOPED(buf) sealed = BUF(4096);
    if (!db_query(db, why, &rows, "SELECT secret_sealed FROM hook WHERE id = $1", VALUES(V_INT((int64_t)id))))
        return false;
    if (rows_next(&rows))
        buf_append(&sealed, rows_bytes(&rows, 0));
    context_of(id, &context);
    return rows_end(&rows) && (seal_open(seal_key, buf_slice(&context), buf_slice(&sealed), secret, why) ||
                               fault_prefix(why, "webhook %llu: ", (unsigned long long)id));
}

bool hook_remove(struct db *db, struct fault *why, uint64_t id, bool *found)
{
    int64_t gone = 0;
    bool ok = db_do(db, why, "DELETE FROM hook_delivery WHERE hook_id = $1", VALUES(V_INT((int64_t)id)), NULL) &&
              db_do(db, why, "DELETE FROM hook WHERE id = $1", VALUES(V_INT((int64_t)id)), &gone);
    *found = gone > 0;
    return ok;
}

bool hook_enable(struct db *db, struct fault *why, uint64_t id, bool is_enabled, bool *found)
{
    int64_t changed = 0;
    bool ok = db_do(db, why,
                    is_enabled ? "UPDATE hook SET state = 'enabled', attempts = 0, failing_since_ms = 0, next_ms = 0, "
                                 "fault = '' WHERE id = $1"
                               : "UPDATE hook SET state = 'disabled' WHERE id = $1",
                    VALUES(V_INT((int64_t)id)), &changed);
    *found = changed > 0;
    return ok;
}

bool hook_replay(struct db *db, struct fault *why, uint64_t id, const struct event_place *place, bool *found)
{
    SCOPED(buf) text = BUF(EVENT_CURSOR_MAX);
    int64_t changed = 0;
    event_place_print(place, &text);
    bool ok = db_do(db, why,
                    "UPDATE hook SET place = $2, batch_id = 0, attempts = 0, failing_since_ms = 0, next_ms = 0 WHERE "
                    "id = $1",
                    VALUES(V_INT((int64_t)id), V_TEXT(buf_slice(&text))), &changed);
    *found = changed > 0;
    return ok;
}

bool hook_test(struct db *db, struct fault *why, uint64_t id, time_ms now, uint64_t *test_id, bool *found)
{
    int64_t changed = 0;
    *test_id = id_make_anywhere(db_ids(db), now);
    bool ok = db_do(db, why, "UPDATE hook SET test_id = $2 WHERE id = $1",
                    VALUES(V_INT((int64_t)id), V_INT((int64_t)*test_id)), &changed);
    *found = changed > 0;
    return ok;
}

/* ── reading ── */

static bool row_read(const struct rows *rows, struct hook *hook)
{
    struct slice end = rows_text(rows, 7);
    *hook = (struct hook){
        .id = (uint64_t)rows_int(rows, 0),
        .brand_id = (uint64_t)rows_int(rows, 1),
        .kinds = (uint64_t)rows_int(rows, 3),
        .batch_id = (uint64_t)rows_int(rows, 6),
        .batch_at = rows_int(rows, 8),
        .attempts = (unsigned)rows_int(rows, 9),
        .failing_since = rows_int(rows, 10),
        .next = rows_int(rows, 11),
        .told_at = rows_int(rows, 12),
        .told = (uint64_t)rows_int(rows, 13),
        .test_id = (uint64_t)rows_int(rows, 15),
        .created = rows_int(rows, 16),
    };
    snprintf(hook->url, sizeof(hook->url), "%.*s", SLICE_ARG(slice_head(rows_text(rows, 2), HOOK_URL_MAX)));
    snprintf(hook->fault, sizeof(hook->fault), "%.*s", SLICE_ARG(slice_head(rows_text(rows, 14), HOOK_FAULT_MAX)));
    return state_of(rows_text(rows, 4), &hook->state) && event_place_parse(rows_text(rows, 5), &hook->place) &&
           (!end.len || event_place_parse(end, &hook->batch_end));
}

bool hook_list(struct db *db, struct fault *why, uint64_t id, struct hook **hooks, size_t *count)
{
    SCOPED(rows) rows = {0};
    size_t room = 0;
    *hooks = NULL;
    *count = 0;
    bool ok = db_query(db, why, &rows,
                       "SELECT id, brand_id, url, kinds, state, place, batch_id, batch_end, batch_ms, attempts, "
                       "failing_since_ms, next_ms, told_ms, told, fault, test_id, created_ms FROM hook WHERE $1 = 0 OR "
                       "id = $1 ORDER BY id LIMIT $2",
                       VALUES(V_INT((int64_t)id), V_INT(HOOKS_MOST)));
    while (ok && rows_next(&rows)) {
        if (*count == room) {
            room = room ? 2 * room : 4;
            *hooks = memory_resize(*hooks, room, sizeof(**hooks));
        }
        *count += row_read(&rows, &(*hooks)[*count]); /* a newer program's are left alone */
    }
    if (ok && rows_end(&rows))
        return true;
    free(*hooks);
    *hooks = NULL;
    *count = 0;
    return false;
}

bool hook_log(struct db *db, struct fault *why, uint64_t id, uint64_t batch_id, size_t limit, struct arena *arena,
              struct hook_attempt **attempts, size_t *count)
{
    SCOPED(rows) rows = {0};
    *attempts = ARENA_ARRAY(arena, struct hook_attempt, limit);
    *count = 0;
    if (!db_query(
            db, why, &rows,
            "SELECT id, batch_id, is_test, at_ms, took_ms, events, status, fault, answer FROM hook_delivery WHERE "
            "hook_id = $1 AND ($2 = 0 OR batch_id = $2) ORDER BY id DESC LIMIT $3",
            VALUES(V_INT((int64_t)id), V_INT((int64_t)batch_id), V_INT((int64_t)limit))))
        return false;
    while (*count < limit && rows_next(&rows))
        (*attempts)[(*count)++] = (struct hook_attempt){
            .id = (uint64_t)rows_int(&rows, 0),
            .batch_id = (uint64_t)rows_int(&rows, 1),
            .is_test = rows_int(&rows, 2) != 0,
            .at = rows_int(&rows, 3),
            .took = rows_int(&rows, 4),
            .events = (unsigned)rows_int(&rows, 5),
            .status = (int)rows_int(&rows, 6),
            .fault = arena_copy(arena, rows_text(&rows, 7)),
            .answer = arena_copy(arena, rows_text(&rows, 8)),
        };
    return rows_end(&rows);
}

/* ── as JSON ── */

void hook_write(struct json *json, const struct hook *hook)
{
    SCOPED(buf) place = BUF(EVENT_CURSOR_MAX);
    event_place_print(&hook->place, &place);
    json_put_id(json, "id", hook->id);
    json_put_id(json, "brand_id", hook->brand_id);
    json_put_string(json, "url", slice_str(hook->url));
    json_put_array(json, "kinds");
    for (int kind = 1; kind < EVENT_KIND_END; kind++)
        if (hook->kinds & EVENT_BIT(kind))
            json_text(json, event_word((enum event_kind)kind));
    json_end(json);
    json_put_string(json, "state", hook_state_word(hook->state));
    json_put_string(json, "cursor", buf_slice(&place));
    json_put_int(json, "told", (int64_t)hook->told);
    json_put_time(json, "told_at", hook->told_at);
    json_put_int(json, "attempts", hook->attempts);
    json_put_time(json, "failing_since", hook->failing_since);
    json_put_time(json, "next_attempt_at", hook->attempts ? hook->next : 0);
    json_put_string(json, "fault", slice_str(hook->fault));
    json_put_time(json, "created_at", hook->created);
}

void hook_attempt_write(struct json *json, const struct hook_attempt *attempt)
{
    char id[32];
    snprintf(id, sizeof(id), "msg_%llu", (unsigned long long)attempt->batch_id);
    json_object_begin(json);
    json_put_id(json, "id", attempt->id);
    json_put_string(json, "webhook_id", slice_str(id));
    json_put_bool(json, "is_test", attempt->is_test);
    json_put_time(json, "at", attempt->at);
    json_put_int(json, "took_ms", attempt->took);
    json_put_int(json, "events", attempt->events);
    json_put_int(json, "status", attempt->status);
    json_put_string(json, "fault", attempt->fault);
    json_put_string(json, "answer", attempt->answer);
    json_end(json);
}

/* ── the runner's moves ── */

bool hook_begin(struct db *db, struct fault *why, struct hook_beginning *beginning)
{
    SCOPED(buf) place = BUF(EVENT_CURSOR_MAX);
    SCOPED(buf) from = BUF(EVENT_CURSOR_MAX);
    SCOPED(buf) until = BUF(EVENT_CURSOR_MAX);
    const struct value id = V_INT((int64_t)beginning->id), node = V_INT((int64_t)beginning->node);
    int64_t changed = 0;
    bool ok;
    if (beginning->test_id) {
        ok = db_do(db, why, "UPDATE hook SET test_id = 0 WHERE id = $1 AND test_id = $2",
                   VALUES(id, V_INT((int64_t)beginning->test_id)), &changed);
    } else if (beginning->is_new) {
        event_place_print(&beginning->place, &place);
        event_place_print(&beginning->from, &from);
        event_place_print(&beginning->until, &until);
        ok = db_do(db, why,
                   "UPDATE hook SET holder = $2, holder_until_ms = $3, batch_id = $5, batch_ms = $4, place = $7, "
                   "batch_end = $8 WHERE id = $1 AND state = 'enabled' AND batch_id = 0 AND place = $6 AND (holder = "
                   "$2 OR holder_until_ms <= $4)",
                   VALUES(id, node, V_INT(beginning->hold_until), V_INT(beginning->now),
                          V_INT((int64_t)beginning->batch_id), V_TEXT(buf_slice(&place)), V_TEXT(buf_slice(&from)),
                          V_TEXT(buf_slice(&until))),
                   &changed);
    } else {
        ok = db_do(
            db, why,
            "UPDATE hook SET holder = $2, holder_until_ms = $3 WHERE id = $1 AND state = 'enabled' AND batch_id "
            "= $5 AND (holder = $2 OR holder_until_ms <= $4)",
            VALUES(id, node, V_INT(beginning->hold_until), V_INT(beginning->now), V_INT((int64_t)beginning->batch_id)),
            &changed);
    }
    beginning->taken = changed > 0;
    return ok;
}

static bool log_put(struct db *db, struct fault *why, const struct hook_ending *ending)
{
    const struct hook_attempt *attempt = &ending->attempt;
    const struct value hook = V_INT((int64_t)ending->id);
    uint64_t id = id_make_anywhere(db_ids(db), ending->now);
    return db_do(db, why,
                 "INSERT INTO hook_delivery (id, hook_id, batch_id, is_test, at_ms, took_ms, events, status, fault, "
                 "answer) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 WHERE EXISTS (SELECT 1 FROM hook WHERE id = "
                 "$2)",
                 VALUES(V_INT((int64_t)id), hook, V_INT((int64_t)ending->batch_id), V_INT(ending->is_test),
                        V_INT(attempt->at), V_INT(attempt->took), V_INT(attempt->events), V_INT(attempt->status),
                        V_TEXT(attempt->fault), V_TEXT(attempt->answer)),
                 NULL) &&
           db_do(db, why,
                 "DELETE FROM hook_delivery WHERE hook_id = $1 AND id <= (SELECT id FROM hook_delivery WHERE hook_id = "
                 "$1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
                 VALUES(hook, V_INT(HOOK_LOG_MOST)), NULL);
}

bool hook_end(struct db *db, struct fault *why, struct hook_ending *ending)
{
    const struct value id = V_INT((int64_t)ending->id), batch = V_INT((int64_t)ending->batch_id);
    ending->is_given_up = false;
    if (!log_put(db, why, ending))
        return false;
    if (ending->is_test)
        return true;
    if (ending->is_told)
        return db_do(db, why,
                     "UPDATE hook SET place = batch_end, batch_id = 0, attempts = 0, failing_since_ms = 0, next_ms = "
                     "0, fault = '', told_ms = $3, told = told + $4, holder_until_ms = 0 WHERE id = $1 AND batch_id = "
                     "$2",
                     VALUES(id, batch, V_INT(ending->now), V_INT(ending->attempt.events)), NULL);
    int64_t since = 0;
    bool found = false;
    if (!db_do(db, why,
               "UPDATE hook SET attempts = attempts + 1, failing_since_ms = CASE failing_since_ms WHEN 0 THEN $3 ELSE "
               "failing_since_ms END, next_ms = $4, fault = $5, holder_until_ms = 0 WHERE id = $1 AND batch_id = $2",
               VALUES(id, batch, V_INT(ending->attempt.at), V_INT(ending->next), V_TEXT(ending->attempt.fault)),
               NULL) ||
        !db_query_ints(db, why,
                       "SELECT failing_since_ms FROM hook WHERE id = $1 AND batch_id = $2 AND state = 'enabled'",
                       VALUES(id, batch), &since, 1, &found))
        return false;
    ending->is_given_up = found && (ending->is_gone || ending->now - since >= ending->patience);
    return !ending->is_given_up || db_do(db, why, "UPDATE hook SET state = 'failed' WHERE id = $1", VALUES(id), NULL);
}
