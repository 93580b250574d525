#include "audience/optin.h"

#include "suppress/suppress.h"

struct slice optin_topic(uint64_t list_id, struct arena *arena)
{
    return arena_printf(arena, "list:%llu", (unsigned long long)list_id);
}

/* ── rows ── */

#define OPTIN_COLUMNS                                                                                                  \
    "id, list_id, brand_id, address, written, name, lang, source, title, notice, asked_ms, expires_ms, confirmed_ms, " \
    "mailed_ms, mails, asked_ip, asked_agent, confirmed_ip, confirmed_agent"

static void optin_from_row(const struct rows *rows, struct arena *arena, struct optin *optin)
{
    *optin = (struct optin){
        .id = (uint64_t)rows_int(rows, 0),
        .list_id = (uint64_t)rows_int(rows, 1),
        .brand_id = (uint64_t)rows_int(rows, 2),
        .address = arena_copy(arena, rows_text(rows, 3)),
        .written = arena_copy(arena, rows_text(rows, 4)),
        .name = arena_copy(arena, rows_text(rows, 5)),
        .lang = arena_copy(arena, rows_text(rows, 6)),
        .source = arena_copy(arena, rows_text(rows, 7)),
        .title = arena_copy(arena, rows_text(rows, 8)),
        .notice = arena_copy(arena, rows_text(rows, 9)),
        .asked = rows_int(rows, 10),
        .expires = rows_int(rows, 11),
        .confirmed = rows_int(rows, 12),
        .mailed = rows_int(rows, 13),
        .mails = (int)rows_int(rows, 14),
        .asked_from = {arena_copy(arena, rows_text(rows, 15)), arena_copy(arena, rows_text(rows, 16))},
        .confirmed_from = {arena_copy(arena, rows_text(rows, 17)), arena_copy(arena, rows_text(rows, 18))},
    };
}

static bool optin_insert(struct db *db, struct fault *why, const struct optin *optin)
{
    return db_do(db, why,
                 "INSERT INTO optin (bucket, " OPTIN_COLUMNS
                 ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
                 VALUES(V_INT(id_bucket(optin->id)), V_INT((int64_t)optin->id), V_INT((int64_t)optin->list_id),
                        V_INT((int64_t)optin->brand_id), V_TEXT(optin->address), V_TEXT(optin->written),
                        V_TEXT(optin->name), V_TEXT(optin->lang), V_TEXT(optin->source), V_TEXT(optin->title),
                        V_TEXT(optin->notice), V_INT(optin->asked), V_INT(optin->expires), V_INT(optin->confirmed),
                        V_INT(optin->mailed), V_INT(optin->mails), V_TEXT(optin->asked_from.ip),
                        V_TEXT(slice_head(optin->asked_from.agent, OPTIN_AGENT_MAX)), V_TEXT(optin->confirmed_from.ip),
                        V_TEXT(slice_head(optin->confirmed_from.agent, OPTIN_AGENT_MAX))),
                 NULL);
}

bool optin_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct optin *optin, bool *found)
{
    SCOPED(rows) rows = {0};
    *found = false;
    if (!db_query(db, why, &rows, "SELECT " OPTIN_COLUMNS " FROM optin WHERE bucket = $1 AND id = $2",
                  VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
        return false;
    if (rows_next(&rows)) {
        *found = true;
        optin_from_row(&rows, arena, optin);
    }
    return rows_end(&rows);
}

bool optin_list(struct db *db, struct fault *why, struct slice identity, struct arena *arena, struct optin **optins,
                size_t *count)
{
    enum { MOST = 1000 };
    SCOPED(rows) rows = {0};
    *count = 0;
    *optins = ARENA_ARRAY(arena, struct optin, MOST);
    if (!db_query(db, why, &rows,
                  "SELECT " OPTIN_COLUMNS
                  " FROM optin WHERE bucket = $1 AND address = $2 ORDER BY asked_ms DESC, id DESC LIMIT 1000",
                  VALUES(V_INT(address_bucket(identity)), V_TEXT(identity))))
        return false;
    while (*count < MOST && rows_next(&rows))
        optin_from_row(&rows, arena, &(*optins)[(*count)++]);
    return rows_end(&rows);
}

/* ── asking ── */

/* Would a mail be wrong: excluded by an error, a complaint or a person in charge? Who left himself may come back. */
static bool is_excluded(struct db *db, struct fault *why, const struct optin *asked, time_ms now, bool *is_so)
{
    return db_query_ints(db, why,
                         "SELECT 1 FROM suppression WHERE bucket = $1 AND address = $2 AND brand_id IN (0, $3) AND "
                         "topic = '' AND why <> 'unsubscribed' AND (expires_ms = 0 OR expires_ms > $4) LIMIT 1",
                         VALUES(V_INT(address_bucket(asked->address)), V_TEXT(asked->address),
                                V_INT((int64_t)asked->brand_id), V_INT(now)),
                         (int64_t[1]){0}, 1, is_so);
}

/* On the list, confirmed, and nothing refused: there is nothing to ask. */
static bool is_there(struct db *db, struct fault *why, const struct optin *asked, const struct contact *contact,
                     time_ms now, struct arena *arena, bool *is_so)
{
    int64_t one[1];
    bool is_refused;
    *is_so = false;
    if (contact->is_unconfirmed)
        return true;
    if (!db_query_ints(db, why, "SELECT 1 FROM list_member WHERE bucket = $1 AND list_id = $2 AND contact_id = $3",
                       VALUES(V_INT(contact->bucket), V_INT((int64_t)asked->list_id), V_INT((int64_t)contact->id)), one,
                       1, is_so) ||
        !suppress_check(db, why, asked->address, asked->brand_id, optin_topic(asked->list_id, arena), now, &is_refused,
                        arena, NULL))
        return false;
    *is_so = *is_so && !is_refused;
    return true;
}

/* The contact that asking and confirming speak of: as the brand knows him, or else the house's that is on nobody's
 * list. Whom only other brands know is a stranger here, and what they know is not made this brand's by a link that he
 * follows (X17): *is_stranger, and the brand makes a contact of its own when he confirms, not before. */
static bool contact_meant(struct db *db, struct fault *why, uint64_t brand_id, struct slice identity,
                          struct arena *arena, struct contact *contact, bool *found, bool *is_stranger)
{
    int64_t one;
    *is_stranger = false;
    if (!contact_of_brand(db, why, brand_id, identity, arena, contact, found))
        return false;
    if (*found)
        return true;
    if (!contact_by_address(db, why, identity, arena, contact, found) ||
        (*found && !db_query_ints(db, why,
                                  "SELECT 1 FROM list l JOIN list_member m ON m.bucket = $1 AND m.list_id = l.id AND "
                                  "m.contact_id = $2 LIMIT 1",
                                  VALUES(V_INT(contact->bucket), V_INT((int64_t)contact->id)), &one, 1, is_stranger)))
        return false;
    *found = *found && !*is_stranger;
    return true;
}

static bool contact_begin(struct db *db, struct fault *why, const struct optin *asked, time_ms now)
{
    struct contact contact = {
        .address = asked->address, .written = asked->written, .name = asked->name, .is_unconfirmed = true};
    return contact_save(db, why, &contact, 1, now, NULL);
}

/* The request that is still open for this list, and how many mails the address has got today. */
static bool open_request(struct db *db, struct fault *why, const struct optin *asked, time_ms now, struct arena *arena,
                         struct optin *open, int64_t *mails_today)
{
    *open = (struct optin){0};
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT " OPTIN_COLUMNS
                      " FROM optin WHERE bucket = $1 AND address = $2 AND list_id = $3 AND confirmed_ms = 0 AND "
                      "expires_ms > $4 ORDER BY asked_ms DESC LIMIT 1",
                      VALUES(V_INT(address_bucket(asked->address)), V_TEXT(asked->address),
                             V_INT((int64_t)asked->list_id), V_INT(now))))
            return false;
        if (rows_next(&rows))
            optin_from_row(&rows, arena, open);
        if (!rows_end(&rows))
            return false;
    }
    return db_query_ints(db, why,
                         "SELECT CAST(COALESCE(SUM(mails), 0) AS BIGINT) FROM optin WHERE bucket = $1 AND address = $2 "
                         "AND mailed_ms > $3",
                         VALUES(V_INT(address_bucket(asked->address)), V_TEXT(asked->address), V_INT(now - DAYS_MS(1))),
                         mails_today, 1, NULL);
}

bool optin_ask(struct db *db, struct fault *why, struct optin *asked, time_ms now, struct arena *arena,
               bool *wants_mail)
{
    struct list list;
    struct contact contact = {0};
    struct optin open;
    int64_t mails_today;
    bool found, is_stranger = false, is_member = false, is_out;
    *wants_mail = false;
    if (!list_by_id(db, why, asked->list_id, arena, &list, &found))
        return false;
    if (!found)
        return fault_set(why, FAULT_INPUT, "there is no such list");
    asked->brand_id = list.brand_id;
    asked->title = list.title.len ? list.title : list.name;
    if (!asked->notice.len)
        asked->notice = list.notice;
    if (!is_excluded(db, why, asked, now, &is_out) ||
        !contact_meant(db, why, asked->brand_id, asked->address, arena, &contact, &found, &is_stranger) ||
        (found && !is_there(db, why, asked, &contact, now, arena, &is_member)) ||
        !open_request(db, why, asked, now, arena, &open, &mails_today))
        return false;
    if (is_out || is_member || mails_today >= OPTIN_DAY_MAX)
        return true;
    if (open.id && (open.mails >= OPTIN_MAILS_MAX || now - open.mailed < OPTIN_AGAIN_MS))
        return true;
    *wants_mail = true;
    if (open.id) { /* the same link again */
        asked->id = open.id;
        asked->expires = open.expires;
        return true;
    }
    asked->id = id_make(db_ids(db), now, address_bucket(asked->address));
    asked->asked = now;
    asked->expires = now + OPTIN_LIFE_MS;
    return (found || is_stranger || contact_begin(db, why, asked, now)) && optin_insert(db, why, asked);
}

bool optin_mailed(struct db *db, struct fault *why, const struct optin *asked, uint64_t message_id, time_ms now)
{
    return db_do(
        db, why, "UPDATE optin SET mails = mails + 1, mailed_ms = $3, message_id = $4 WHERE bucket = $1 AND id = $2",
        VALUES(V_INT(id_bucket(asked->id)), V_INT((int64_t)asked->id), V_INT(now), V_INT((int64_t)message_id)), NULL);
}

/* ── being on a list ── */

/* What he refused himself is taken back. *was_refused: all of the brand was. */
static bool refusal_ends(struct db *db, struct fault *why, struct slice address, uint64_t brand_id, struct slice topic,
                         bool *was_refused)
{
    int64_t removed;
    if (!db_do(db, why,
               "DELETE FROM suppression WHERE bucket = $1 AND address = $2 AND brand_id = $3 AND topic = $4 AND why = "
               "'unsubscribed'",
               VALUES(V_INT(address_bucket(address)), V_TEXT(address), V_INT((int64_t)brand_id), V_TEXT(topic)),
               &removed))
        return false;
    *was_refused = removed > 0;
    return true;
}

/* He had refused the brand and wants one list of it now: the others are not asked for. */
static bool others_left(struct db *db, struct fault *why, uint64_t contact_id, uint64_t brand_id)
{
    return db_do(db, why,
                 "DELETE FROM list_member WHERE bucket = $1 AND contact_id = $2 AND list_id IN (SELECT id FROM list "
                 "WHERE brand_id = $3)",
                 VALUES(V_INT(id_bucket(contact_id)), V_INT((int64_t)contact_id), V_INT((int64_t)brand_id)), NULL);
}

static struct event event_about(enum event_kind kind, struct slice address, uint64_t brand_id, uint64_t contact_id,
                                time_ms now)
{
    return (struct event){
        .kind = kind,
        .bucket = address_bucket(address),
        .at = now,
        .brand_id = brand_id,
        .contact_id = contact_id,
        .address = address,
        .domain = slice_from(address, (size_t)(slice_find_last_byte(address, '@') + 1)),
        .state_before = DELIVERY_STATE_COUNT,
        .state_after = DELIVERY_STATE_COUNT,
        .authenticity = AUTHENTICITY_GENUINE,
    };
}

/* The consent as one line, for those who look at the contact; the rows are the proof. */
static bool contact_confirm(struct db *db, struct fault *why, const struct optin *optin, uint64_t contact_id,
                            time_ms now)
{
    SCOPED(buf) consent = BUF(CONTACT_CONSENT_MAX * 2);
    buf_printf(&consent, "%s, \"%.*s\", asked ",
               slice_equal(optin->source, SLICE("preferences")) ? "preferences" : "double opt-in",
               SLICE_ARG(optin->title));
    time_rfc3339(&consent, optin->asked);
    buf_printf(&consent, " from %.*s, confirmed ", SLICE_ARG(optin->asked_from.ip));
    time_rfc3339(&consent, optin->confirmed);
    buf_printf(&consent, " from %.*s", SLICE_ARG(optin->confirmed_from.ip));
    return db_do(
        db, why,
        "UPDATE contact SET unconfirmed = 0, consent = $3, updated_ms = $4, name = CASE WHEN name = '' THEN $5 "
        "ELSE name END WHERE bucket = $1 AND id = $2",
        VALUES(V_INT(id_bucket(contact_id)), V_INT((int64_t)contact_id), V_TEXT(buf_slice(&consent)), V_INT(now),
               V_TEXT(optin->name)),
        NULL);
}

/* `optin` has been confirmed: its contact is on the list. */
static bool list_join(struct db *db, struct fault *why, const struct optin *optin, time_ms now, struct arena *arena)
{
    struct contact contact = {.address = optin->address, .written = optin->written, .name = optin->name};
    bool found, is_stranger, was_refused, ignored;
    struct slice topic = optin_topic(optin->list_id, arena);
    struct contact there;
    if (!contact_meant(db, why, optin->brand_id, optin->address, arena, &there, &found, &is_stranger))
        return false;
    if (found)
        contact = there;
    else if (is_stranger)
        contact.brand_id = optin->brand_id;
    if ((!found && !contact_save(db, why, &contact, 1, now, NULL)) ||
        !contact_confirm(db, why, optin, contact.id, now) ||
        !refusal_ends(db, why, optin->address, optin->brand_id, SLICE(""), &was_refused) ||
        (was_refused && !others_left(db, why, contact.id, optin->brand_id)) ||
        !refusal_ends(db, why, optin->address, optin->brand_id, topic, &ignored) ||
        !list_add(db, why, optin->list_id, &contact.id, 1, now))
        return false;
    struct event event = event_about(EVENT_SUBSCRIBED, optin->address, optin->brand_id, contact.id, now);
    event.note = topic;
    return event_append(db, why, &event, 1);
}

bool optin_confirm(struct db *db, struct fault *why, uint64_t id, const struct optin_from *from, time_ms now,
                   struct arena *arena, enum optin_end *end)
{
    struct optin optin;
    struct list list;
    bool found;
    *end = OPTIN_NONE;
    if (!optin_find(db, why, id, arena, &optin, &found))
        return false;
    if (found && !list_by_id(db, why, optin.list_id, arena, &list, &found))
        return false;
    if (!found)
        return true;
    *end = optin.confirmed ? OPTIN_WAS_CONFIRMED : now > optin.expires ? OPTIN_EXPIRED : OPTIN_CONFIRMED;
    if (*end != OPTIN_CONFIRMED)
        return true;
    optin.confirmed = now;
    optin.confirmed_from = *from;
    return db_do(db, why,
                 "UPDATE optin SET confirmed_ms = $3, confirmed_ip = $4, confirmed_agent = $5 WHERE bucket = $1 AND id "
                 "= $2",
                 VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id), V_INT(now), V_TEXT(from->ip),
                        V_TEXT(slice_head(from->agent, OPTIN_AGENT_MAX))),
                 NULL) &&
           list_join(db, why, &optin, now, arena);
}

/* ── preferences ── */

static bool refusals_read(struct db *db, struct fault *why, time_ms now, struct preferences *preferences,
                          uint64_t *refused, size_t *refused_count)
{
    SCOPED(rows) rows = {0};
    *refused_count = 0;
    if (!db_query(
            db, why, &rows,
            "SELECT topic, expires_ms FROM suppression WHERE bucket = $1 AND address = $2 AND brand_id IN (0, $3) "
            "AND (expires_ms = 0 OR expires_ms > $4)",
            VALUES(V_INT(address_bucket(preferences->address)), V_TEXT(preferences->address),
                   V_INT((int64_t)preferences->brand_id), V_INT(now))))
        return false;
    while (rows_next(&rows)) {
        struct slice topic = rows_text(&rows, 0);
        if (!topic.len)
            preferences->is_refused = true;
        else if (slice_equal(topic, SLICE(OPTIN_PAUSE)))
            preferences->paused_until = rows_int(&rows, 1);
        else if (slice_starts(topic, SLICE("list:")) && *refused_count < OPTIN_LISTS_MAX)
            *refused_count += slice_to_u64(slice_from(topic, 5), &refused[*refused_count]);
    }
    return rows_end(&rows);
}

static bool lists_read(struct db *db, struct fault *why, struct arena *arena, struct preferences *preferences)
{
    SCOPED(rows) rows = {0};
    preferences->lists = ARENA_ARRAY(arena, struct preference, OPTIN_LISTS_MAX);
    if (!db_query(db, why, &rows,
                  "SELECT l.id, l.brand_id, l.title, l.notice, m.contact_id FROM list l LEFT JOIN list_member m ON "
                  "m.bucket = $2 AND m.list_id = l.id AND m.contact_id = $3 WHERE l.brand_id = $1 AND l.title <> '' "
                  "ORDER BY l.title, l.id LIMIT 100",
                  VALUES(V_INT((int64_t)preferences->brand_id), V_INT(id_bucket(preferences->contact_id)),
                         V_INT((int64_t)preferences->contact_id))))
        return false;
    while (preferences->count < OPTIN_LISTS_MAX && rows_next(&rows))
        preferences->lists[preferences->count++] =
            (struct preference){.list = {.id = (uint64_t)rows_int(&rows, 0),
                                         .brand_id = (uint64_t)rows_int(&rows, 1),
                                         .title = arena_copy(arena, rows_text(&rows, 2)),
                                         .notice = arena_copy(arena, rows_text(&rows, 3))},
                                .is_wanted = preferences->contact_id && !rows_is_null(&rows, 4)};
    return rows_end(&rows);
}

bool preferences_read(struct db *db, struct fault *why, time_ms now, struct arena *arena,
                      struct preferences *preferences)
{
    struct contact contact = {0};
    uint64_t refused[OPTIN_LISTS_MAX + 1];
    size_t refused_count;
    bool found;
    if (!contact_of_brand(db, why, preferences->brand_id, preferences->address, arena, &contact, &found))
        return false;
    preferences->contact_id = found && !contact.moved_to ? contact.id : 0;
    preferences->name = found ? contact.name : SLICE("");
    preferences->lang = found ? contact.lang : SLICE("");
    preferences->count = 0;
    preferences->is_refused = false;
    preferences->paused_until = 0;
    if (!refusals_read(db, why, now, preferences, refused, &refused_count) || !lists_read(db, why, arena, preferences))
        return false;
    for (size_t i = 0; i < preferences->count; i++) {
        struct preference *one = &preferences->lists[i];
        one->is_wanted = one->is_wanted && !contact.is_unconfirmed && !preferences->is_refused;
        for (size_t n = 0; n < refused_count; n++)
            one->is_wanted = one->is_wanted && refused[n] != one->list.id;
    }
    return true;
}

/* A list of the brand is left, or everything: UNSUBSCRIBED, and what follows from it. */
static bool refuse(struct db *db, struct fault *why, const struct preferences *now_is, const struct event *cause,
                   struct slice note, time_ms now)
{
    const struct suppress_policy policy = {0};
    struct event events[2] = {
        event_about(EVENT_UNSUBSCRIBED, now_is->address, now_is->brand_id, now_is->contact_id, now)};
    size_t extra = 0;
    events[0].delivery_id = cause->delivery_id;
    events[0].campaign_id = cause->campaign_id;
    events[0].note = note;
    return suppress_apply(db, why, events, 1, &policy, events + 1, &extra) && event_append(db, why, events, 1 + extra);
}

static bool want(struct db *db, struct fault *why, const struct preferences *wanted, const struct list *list,
                 const struct optin_from *from, time_ms now, struct arena *arena)
{
    const struct optin proof = {
        .id = id_make(db_ids(db), now, address_bucket(wanted->address)),
        .list_id = list->id,
        .brand_id = list->brand_id,
        .address = wanted->address,
        .written = wanted->written,
        .name = wanted->name,
        .lang = wanted->lang,
        .source = SLICE("preferences"),
        .title = list->title,
        .notice = list->notice,
        .asked = now,
        .expires = now,
        .confirmed = now,
        .asked_from = *from,
        .confirmed_from = *from,
    };
    return optin_insert(db, why, &proof) && list_join(db, why, &proof, now, arena);
}

static bool pause_write(struct db *db, struct fault *why, const struct preferences *wanted, time_ms now)
{
    const struct suppression row = {.address = wanted->address,
                                    .brand_id = wanted->brand_id,
                                    .topic = SLICE(OPTIN_PAUSE),
                                    .why = SUPPRESS_UNSUBSCRIBED,
                                    .since = now,
                                    .expires = wanted->paused_until};
    bool ignored;
    return wanted->paused_until
               ? suppress_add(db, why, &row, NULL)
               : refusal_ends(db, why, wanted->address, wanted->brand_id, SLICE(OPTIN_PAUSE), &ignored);
}

bool preferences_write(struct db *db, struct fault *why, const struct preferences *wanted, const struct event *cause,
                       const struct optin_from *from, time_ms now, struct arena *arena)
{
    struct preferences before = {.brand_id = wanted->brand_id, .address = wanted->address, .written = wanted->written};
    if (!preferences_read(db, why, now, arena, &before))
        return false;
    if (wanted->lang.len && before.contact_id && !contact_speaks(db, why, before.contact_id, wanted->lang, now))
        return false;
    if (wanted->is_refused)
        return refuse(db, why, &before, cause, SLICE(""), now);
    if (wanted->paused_until != before.paused_until && !pause_write(db, why, wanted, now))
        return false;
    for (size_t i = 0, left = 0; i < wanted->count; i++) {
        const struct preference *one = &wanted->lists[i], *was = NULL;
        for (size_t n = 0; n < before.count; n++)
            if (before.lists[n].list.id == one->list.id)
                was = &before.lists[n];
        if (!was || was->is_wanted == one->is_wanted)
            continue;
        if (one->is_wanted && !want(db, why, wanted, &was->list, from, now, arena))
            return false;
        /* a millisecond apart: pages of suppressions go by time and address */
        if (!one->is_wanted &&
            ((before.contact_id && !list_remove(db, why, one->list.id, before.contact_id, NULL)) ||
             !refuse(db, why, &before, cause, optin_topic(one->list.id, arena), now + (time_ms)left++)))
            return false;
    }
    return true;
}
