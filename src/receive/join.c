#include "receive/join.h"

#include "base/log.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "mail/message_id.h"
#include "receive/kept_report.h"
#include "submit/message.h"

bool inbound_save(struct db *db, struct fault *why, struct inbound_row *mail, time_ms now)
{
    mail->id = id_make_anywhere(db_ids(db), now);
    mail->at = now;
    db_mark(db, STORE_MARK_INBOUND);
    return db_do(db, why,
                 "INSERT INTO inbound (bucket, id, at_ms, state, mail_from, rcpt_to, peer, raw, helo) VALUES ($1, $2, "
                 "$3, 0, $4, $5, $6, $7, $8)",
                 VALUES(V_INT(id_bucket(mail->id)), V_INT((int64_t)mail->id), V_INT(now), V_TEXT(mail->mail_from),
                        V_TEXT(mail->rcpt_to), V_TEXT(mail->peer), V_BYTES(mail->raw), V_TEXT(mail->helo)),
                 NULL);
}

/* A delivery as far as a claim needs it. */
struct subject {
    uint64_t id;
    bool is_found;
    bool was_sent; /* it was on the wire once: before that nobody knows its Message-ID */
    struct slice address, domain;
    uint64_t campaign_id, contact_id, brand_id;
    unsigned attempts;
};

static bool subject_find(struct db *db, struct fault *why, uint64_t delivery_id, struct arena *arena,
                         struct subject *subject)
{
    *subject = (struct subject){.id = delivery_id};
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT address, campaign_id, contact_id, brand_id, attempts, date_ms FROM delivery WHERE bucket = "
                  "$1 AND id = $2",
                  VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id))))
        return false;
    if (rows_next(&rows)) {
        subject->is_found = true;
        subject->address = arena_copy(arena, rows_text(&rows, 0));
        subject->domain = slice_from(subject->address, (size_t)slice_find_last_byte(subject->address, '@') + 1);
        subject->campaign_id = (uint64_t)rows_int(&rows, 1);
        subject->contact_id = (uint64_t)rows_int(&rows, 2);
        subject->brand_id = (uint64_t)rows_int(&rows, 3);
        subject->attempts = (unsigned)rows_int(&rows, 4);
        subject->was_sent = rows_int(&rows, 5) != 0;
    }
    return rows_end(&rows);
}

/* Is this claimed recipient the subject's address? A claim that names nobody contradicts nothing. */
static bool names_subject(const struct bounce_row *row, const struct subject *subject)
{
    return slice_equal_caseless(row->recipient, subject->address) ||
           slice_equal_caseless(row->original, subject->address);
}

/* The return path it came to; of a mail without envelope the best that its headers name. The signature is the proof,
 * wherever it stands. */
static enum token_result return_path_found(const struct joiner *joiner, const struct inbound_row *mail,
                                           const struct mail_record *record, time_ms now, struct return_path *path)
{
    *path = (struct return_path){0};
    if (mail->rcpt_to.len)
        return return_path_check(joiner->ring, mail->rcpt_to, now, path);
    enum token_result best = TOKEN_NONE;
    for (unsigned i = 0; i < record->address_count && best != TOKEN_GOOD; i++) {
        struct return_path found;
        enum token_result result = return_path_check(joiner->ring, record->addresses[i], now, &found);
        if (result < best) { /* good, expired, forged, none */
            best = result;
            *path = found;
        }
    }
    return best;
}

/* ── a return path that several share ── */

/* Who got this mail by it: the deliveries of the stored mail, in the order of their buckets. */
struct party {
    uint64_t *ids;
    size_t count;
};

static bool party_find(struct db *db, struct fault *why, const struct return_path *path, struct arena *arena,
                       struct party *party)
{
    *party = (struct party){0};
    return message_deliveries(db, why, path->message_id, arena, &party->ids, &party->count) ||
           why->kind == FAULT_INPUT; /* gone: too old to change anything */
}

/* The one of them that has this address, and did go. */
static bool party_member(struct db *db, struct fault *why, const struct return_path *path, const struct party *party,
                         struct slice named, struct arena *arena, struct subject *subject)
{
    struct address address;
    struct fault ignored;
    *subject = (struct subject){0};
    if (!named.len || !address_parse(named, arena, &address, &ignored) || !return_path_is_of(path, address.domain))
        return true;
    unsigned bucket = address_bucket(address.identity);
    for (size_t i = 0; i < party->count; i++) {
        if (id_bucket(party->ids[i]) != bucket)
            continue;
        if (!subject_find(db, why, party->ids[i], arena, subject))
            return false;
        if (subject->is_found && subject->was_sent && slice_equal(subject->address, address.identity))
            return true;
    }
    *subject = (struct subject){0};
    return true;
}

static bool row_member(struct db *db, struct fault *why, const struct return_path *path, const struct party *party,
                       const struct bounce_row *row, struct arena *arena, struct subject *subject)
{
    return party_member(db, why, path, party, row->recipient, arena, subject) &&
           (subject->is_found || party_member(db, why, path, party, row->original, arena, subject));
}

static bool party_names(struct db *db, struct fault *why, const struct return_path *path, const struct bounce *bounce,
                        struct arena *arena, struct subject *subject)
{
    struct party party;
    if (!party_find(db, why, path, arena, &party))
        return false;
    for (unsigned i = 0; i < bounce->row_count && !subject->is_found; i++)
        if (!row_member(db, why, path, &party, &bounce->rows[i], arena, subject))
            return false;
    return true;
}

/* What the mail is about, and whether that is proven. By a shared return path it is about whoever it names; subject is
 * the first of them. */
static bool authenticate(const struct joiner *joiner, const struct inbound_row *mail, const struct mail_record *record,
                         time_ms now, struct arena *arena, struct return_path *path, struct subject *subject,
                         enum authenticity *authenticity, struct fault *why)
{
    const struct bounce *bounce = &record->bounce;
    *subject = (struct subject){0};
    uint64_t id;
    enum token_result token = return_path_found(joiner, mail, record, now, path);
    bool is_in_header = token == TOKEN_FORGED && !mail->rcpt_to.len; /* strangers write what they like there */
    switch (is_in_header ? TOKEN_NONE : token) {
    case TOKEN_GOOD:
        *authenticity = AUTHENTICITY_GENUINE;
        if (path->message_id ? !party_names(joiner->reader, why, path, bounce, arena, subject)
                             : !subject_find(joiner->reader, why, path->delivery_id, arena, subject))
            return false;
        if (!subject->is_found) /* our signature, but the row is gone: too old to change anything */
            *authenticity = AUTHENTICITY_UNVERIFIED;
        return true;
    case TOKEN_FORGED: *authenticity = AUTHENTICITY_FORGED; return true;
    case TOKEN_EXPIRED: *authenticity = AUTHENTICITY_UNVERIFIED; return true;
    case TOKEN_NONE: break;
    }
    *authenticity = is_in_header ? AUTHENTICITY_FORGED : bounce->authenticity;
    if (bounce->authenticity == AUTHENTICITY_FORGED || !message_id_delivery(bounce->message_id, &id))
        return true;
    if (!subject_find(joiner->reader, why, id, arena, subject))
        return false;
    bool is_about_it = false;
    for (unsigned i = 0; subject->is_found && subject->was_sent && i < bounce->row_count; i++)
        is_about_it |= names_subject(&bounce->rows[i], subject);
    *authenticity = is_about_it ? AUTHENTICITY_GENUINE : is_in_header ? AUTHENTICITY_FORGED : AUTHENTICITY_BACKSCATTER;
    return true;
}

bool join_prove(const struct joiner *joiner, const struct mime_mail *mail, const struct bounce *bounce, time_ms now,
                struct arena *arena, enum authenticity *authenticity, struct fault *why)
{
    const struct inbound_row row = {.raw = mail->bytes};
    struct mail_record *record = ARENA_NEW(arena, struct mail_record);
    struct subject subject;
    struct return_path path;
    record->bounce = *bounce;
    record_addresses(mail, record);
    return authenticate(joiner, &row, record, now, arena, &path, &subject, authenticity, why);
}

static struct event event_of_row(const struct inbound_row *mail, const struct bounce_row *row,
                                 enum authenticity authenticity, time_ms now)
{
    struct event event = {
        .at = now,
        .origin = EVENT_ORIGIN_MAIL,
        .mail_id = mail->id,
        .bucket = id_bucket(mail->id),
        .address = row ? row->recipient : (struct slice){0},
        .state_before = DELIVERY_STATE_COUNT,
        .state_after = DELIVERY_STATE_COUNT,
        .authenticity = authenticity,
    };
    if (!row)
        return event;
    event.verdict = row->verdict;
    event.stage = row->stage;
    event.code = row->code;
    memcpy(event.status, row->status, sizeof(event.status));
    event.diagnostic = slice_head(row->diagnostic, EVENT_DIAGNOSTIC_MAX);
    event.verdict.mark_from = event.verdict.mark_to = 0;
    if (row->mark.len && row->mark.ptr >= row->diagnostic.ptr &&
        row->mark.ptr + row->mark.len <= event.diagnostic.ptr + event.diagnostic.len) {
        event.verdict.mark_from = (size_t)(row->mark.ptr - row->diagnostic.ptr);
        event.verdict.mark_to = event.verdict.mark_from + row->mark.len;
    }
    event.remote_mta = row->remote_mta.len ? row->remote_mta : row->reporting_mta;
    return event;
}

static void event_is_about(struct event *event, const struct subject *subject)
{
    event->delivery_id = subject->id;
    event->bucket = id_bucket(subject->id);
    event->address = subject->address;
    event->domain = subject->domain;
    event->campaign_id = subject->campaign_id;
    event->contact_id = subject->contact_id;
    event->brand_id = subject->brand_id;
    event->attempt = (int)subject->attempts;
}

/* What a genuine claim does. */
static void genuine_row(const struct inbound_row *mail, const struct bounce_row *row, const struct subject *subject,
                        time_ms now, struct join *join)
{
    struct event event = event_of_row(mail, row, AUTHENTICITY_GENUINE, now);
    event_is_about(&event, subject);
    switch (row->kind) {
    case KIND_BOUNCE:
        event.kind = EVENT_BOUNCED;
        event.state_after = DELIVERY_BOUNCED;
        join->moves[join->move_count++] = (struct ledger_move){
            .event = event,
            /* on the wire too: a quick receiver's error mail is here before its 250 is written down */
            .from = LEDGER_BIT(DELIVERY_DELIVERED) | LEDGER_OWED,
        };
        return;
    case KIND_DELAY: event.kind = EVENT_DELAY_NOTICE; break;
    case KIND_COMPLAINT:
        event.kind = EVENT_COMPLAINT;
        event.note = row->feedback_type;
        break;
    case KIND_AUTOREPLY: event.kind = EVENT_AUTOREPLY; break;
    case KIND_DELIVERED:
    case KIND_REPORT:
    case KIND_NONE:
    case KIND_COUNT: return; /* nothing follows from it */
    }
    join->events[join->event_count++] = event;
}

/* A report of several recipients is about ours: the row that names it, else the first. */
static void genuine(const struct inbound_row *mail, const struct bounce *bounce, const struct subject *subject,
                    time_ms now, struct join *join)
{
    const struct bounce_row *row = &bounce->rows[0];
    for (unsigned i = 0; i < bounce->row_count; i++) {
        if (names_subject(&bounce->rows[i], subject)) {
            row = &bounce->rows[i];
            break;
        }
    }
    genuine_row(mail, row, subject, now, join);
}

static bool is_joined(const struct join *join, uint64_t delivery_id)
{
    for (size_t i = 0; i < join->move_count; i++)
        if (join->moves[i].event.delivery_id == delivery_id)
            return true;
    for (size_t i = 0; i < join->event_count; i++)
        if (join->events[i].delivery_id == delivery_id)
            return true;
    return false;
}

/* To a shared return path: each row is about whom it names, once; a row that names nobody of them is about nobody. */
static bool genuine_shared(const struct joiner *joiner, const struct inbound_row *mail, const struct bounce *bounce,
                           const struct return_path *path, time_ms now, struct arena *arena, struct join *join,
                           struct fault *why)
{
    struct party party;
    if (!party_find(joiner->reader, why, path, arena, &party))
        return false;
    join->moves = ARENA_ARRAY(arena, struct ledger_move, bounce->row_count);
    join->events = ARENA_ARRAY(arena, struct event, bounce->row_count);
    for (unsigned i = 0; i < bounce->row_count; i++) {
        const struct bounce_row *row = &bounce->rows[i];
        struct subject subject;
        if (!row_member(joiner->reader, why, path, &party, row, arena, &subject))
            return false;
        if (subject.is_found && !is_joined(join, subject.id))
            genuine_row(mail, row, &subject, now, join);
    }
    return true;
}

/* The token of a u-<token>@ address; empty for any other. */
static struct slice unsubscribe_token(struct slice address)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    struct slice local = at >= 0 ? slice_head(address, (size_t)at) : SLICE("");
    return slice_starts_caseless(local, SLICE("u-")) ? slice_from(local, 2) : SLICE("");
}

/* A mail to u-<token>@: who has it asks to hear no more. False: it is no such mail. */
static bool unsubscribes(const struct joiner *joiner, const struct inbound_row *mail, const struct mail_record *record,
                         time_ms now, struct arena *arena, struct join *join, struct fault *why)
{
    struct slice token = unsubscribe_token(mail->rcpt_to);
    for (unsigned i = 0; !mail->rcpt_to.len && !token.len && i < record->address_count; i++)
        token = unsubscribe_token(record->addresses[i]);
    if (!token.len)
        return false;
    struct token checked = {0};
    struct subject subject = {0};
    enum token_result result = token_check(joiner->ring, TOKEN_UNSUBSCRIBE, token, now, &checked);
    bool is_ours = result == TOKEN_GOOD || result == TOKEN_EXPIRED; /* a refusal is never too late */
    if (is_ours && !subject_find(joiner->reader, why, checked.id, arena, &subject))
        return true;
    struct event *event = &join->events[join->event_count++];
    *event = event_of_row(mail, NULL, subject.is_found ? AUTHENTICITY_GENUINE : AUTHENTICITY_FORGED, now);
    event->kind = subject.is_found ? EVENT_UNSUBSCRIBED : EVENT_UNVERIFIED;
    if (subject.is_found)
        event_is_about(event, &subject);
    else
        event->note = SLICE("unsubscribe");
    return true;
}

/* What a reader could not do with a mail, or would not, is said once. */
static void limits_tell(const struct inbound_row *mail, const struct mail_record *record)
{
    static const char *const over[] = {NULL, "nested too deep", "too many parts", "too many header lines"};
    if (record->over)
        log_warn("receive", "received mail %llu is read only in part: %s", (unsigned long long)mail->id,
                 over[record->over]);
    if (record->report_why.len)
        log_warn("receive", "received mail %llu has a report that is not read: %.*s", (unsigned long long)mail->id,
                 SLICE_ARG(record->report_why));
}

bool join_record(const struct joiner *joiner, const struct inbound_row *mail, const struct mail_record *record,
                 time_ms now, struct arena *arena, struct join *join, struct fault *why)
{
    const struct bounce *bounce = &record->bounce;
    *join = (struct join){.mail_id = mail->id, .from_domain = record->from_domain};
    *why = (struct fault){0};
    join->moves = ARENA_ARRAY(arena, struct ledger_move, 1);
    join->events = ARENA_ARRAY(arena, struct event, 1);
    limits_tell(mail, record);
    if (unsubscribes(joiner, mail, record, now, arena, join, why))
        return why->kind == FAULT_NONE;

    struct subject subject;
    struct return_path path;
    enum authenticity authenticity;
    if (!authenticate(joiner, mail, record, now, arena, &path, &subject, &authenticity, why))
        return false;
    if (record->report.kind != FEEDBACK_NONE)
        join->report = &record->report;
    bool is_report = join->report && bounce->kind != KIND_BOUNCE && bounce->kind != KIND_DELAY;
    if (authenticity == AUTHENTICITY_GENUINE && bounce->row_count && !is_report) {
        if (path.message_id)
            return genuine_shared(joiner, mail, bounce, &path, now, arena, join, why);
        genuine(mail, bounce, &subject, now, join);
        return true;
    }
    if (bounce->kind == KIND_REPORT || is_report)
        return true;
    if (bounce->kind == KIND_NONE && authenticity == AUTHENTICITY_UNVERIFIED)
        return true; /* a letter to postmaster: it claims nothing, and is kept for people */
    struct event *event = &join->events[join->event_count++];
    *event = event_of_row(mail, bounce->row_count ? &bounce->rows[0] : NULL, authenticity, now);
    event->kind = EVENT_UNVERIFIED;
    event->note = kind_word(bounce->kind);
    return true;
}

bool join_read(const struct joiner *joiner, const struct inbound_row *mail, time_ms now, struct arena *arena,
               struct join *join, struct fault *why)
{
    struct mail_record *record = ARENA_NEW(arena, struct mail_record);
    record_read(mail->raw, joiner->rules, joiner->scratch, now / 1000, arena, record);
    return join_record(joiner, mail, record, now, arena, join, why);
}

/* A node moves deliveries of its own buckets only; the mail stays new for the node that owns this one. */
static bool is_ours(const struct ledger *ledger, struct db *db, struct fault *why, const struct join *join, bool *ours)
{
    *ours = true;
    if (!ledger->leases || join->move_count == 0)
        return true;
    struct bucket_set asked = {0}, held;
    for (size_t i = 0; i < join->move_count; i++)
        bucket_set_add(&asked, id_bucket(join->moves[i].event.delivery_id));
    if (!leases_check(db, why, ledger->leases, &asked, &held))
        return false;
    *ours = bucket_set_count(&held) == bucket_set_count(&asked);
    return true;
}

bool join_write(const struct ledger *ledger, struct db *db, struct fault *why, struct join *join)
{
    int64_t changed = 0;
    bool ours;
    if (join->put_aside.len)
        return join_give_up(db, why, join->mail_id, join->put_aside);
    if (!is_ours(ledger, db, why, join, &ours))
        return false;
    if (!ours)
        return true;
    if (!db_do(db, why, "UPDATE inbound SET state = 1, from_domain = $3 WHERE bucket = $1 AND id = $2 AND state = 0",
               VALUES(V_INT(id_bucket(join->mail_id)), V_INT((int64_t)join->mail_id), V_TEXT(join->from_domain)),
               &changed))
        return false;
    if (!changed)
        return true; /* read already, by an earlier life */
    time_ms now;
    if (join->report && (!db_now(db, why, &now) || !kept_report_add(db, why, join->report, join->mail_id, now)))
        return false;
    for (size_t i = 0; i < join->move_count; i++)
        policy_adjust(policies_chosen(ledger->policy.policies), &join->moves[i].event.verdict);
    if (!ledger_settle(ledger, db, why, join->moves, join->move_count))
        return false;
    struct event *events = NEW_ARRAY(struct event, join->event_count * 2 + 1);
    size_t extra = 0;
    for (size_t i = 0; i < join->event_count; i++) {
        events[i] = join->events[i];
        events[i].id = 0;
    }
    bool ok = suppress_apply(db, why, events, join->event_count, &ledger->policy, events + join->event_count, &extra) &&
              event_append(db, why, events, join->event_count + extra);
    free(events);
    return ok;
}

bool join_give_up(struct db *db, struct fault *why, uint64_t mail_id, struct slice reason)
{
    return db_do(db, why, "UPDATE inbound SET state = 2, why = $3 WHERE bucket = $1 AND id = $2 AND state = 0",
                 VALUES(V_INT(id_bucket(mail_id)), V_INT((int64_t)mail_id), V_TEXT(utf8_head(reason, 500))), NULL);
}

bool join_unsubscribe(const struct ledger *ledger, struct db *db, struct fault *why, uint64_t delivery_id, time_ms now,
                      bool *found)
{
    SCOPED(arena) arena = {0};
    struct subject subject;
    if (!subject_find(db, why, delivery_id, &arena, &subject))
        return false;
    *found = subject.is_found;
    if (!subject.is_found)
        return true;
    struct event events[2] = {{
        .kind = EVENT_UNSUBSCRIBED,
        .at = now,
        .state_before = DELIVERY_STATE_COUNT,
        .state_after = DELIVERY_STATE_COUNT,
        .authenticity = AUTHENTICITY_GENUINE,
    }};
    event_is_about(&events[0], &subject);
    size_t extra = 0;
    return suppress_apply(db, why, events, 1, &ledger->policy, events + 1, &extra) &&
           event_append(db, why, events, 1 + extra);
}
