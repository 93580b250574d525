/* box.c - mailboxes as rows, and what of them is known already */
#include "receive/box.h"

#include "base/log.h"
#include "base/map.h"
#include "base/utf8.h"
#include "receive/join.h"
#include <openssl/sha.h>
#include <stdio.h>

enum { CONTENT_DAYS = 60 /* of what is deleted on the server */ };

struct slice box_kind_word(enum box_kind kind)
{
#define BOX_WORD(NAME, word) SLICE_INIT(#word),
    static const struct slice words[] = {BOX_KINDS(BOX_WORD)};
    return words[kind];
}
struct slice box_tls_word(enum box_tls tls)
{
    static const struct slice words[] = {BOX_TLS(BOX_WORD)};
    return words[tls];
}
bool box_kind_of(struct slice word, enum box_kind *kind)
{
    for (unsigned i = 0; i < BOX_KIND_COUNT; i++)
        if (slice_equal(word, box_kind_word((enum box_kind)i))) {
            *kind = (enum box_kind)i;
            return true;
        }
    return false;
}
bool box_tls_of(struct slice word, enum box_tls *tls)
{
    for (unsigned i = 0; i < BOX_TLS_COUNT; i++)
        if (slice_equal(word, box_tls_word((enum box_tls)i))) {
            *tls = (enum box_tls)i;
            return true;
        }
    return false;
}

/* ── rows ── */

static bool is_plain(const char *text)
{
    return utf8_is_valid(slice_str(text)) && utf8_is_line(slice_str(text));
}

bool box_check(struct box *box, struct fault *why)
{
    static const unsigned ports[BOX_KIND_COUNT][BOX_TLS_COUNT] = {{993, 143, 143}, {995, 110, 110}, {0, 0, 0}};
    if (!box->name[0] || !is_plain(box->name))
        return fault_set(why, FAULT_INPUT, "a mailbox needs a name, one line of text");
    if (!is_plain(box->host) || !is_plain(box->user) || !is_plain(box->folder) || !is_plain(box->ca_file))
        return fault_set(why, FAULT_INPUT, "mailbox %s: control characters and line ends are not allowed", box->name);
    if (box->poll_s < BOX_POLL_MIN_S)
        return fault_set(why, FAULT_INPUT, "mailbox %s: --every is at least %d s", box->name, BOX_POLL_MIN_S);
    if (box->kind == BOX_MAILDIR && box->folder[0] != '/')
        return fault_set(why, FAULT_INPUT, "mailbox %s: --folder is the Maildir's path, from /", box->name);
    if (box->kind == BOX_MAILDIR)
        return true;
    for (const char *at = box->host; *at; at++)
        if (!ascii_is_alnum(*at) && !strchr("-.:[]_", *at))
            return fault_set(why, FAULT_INPUT, "mailbox %s: --host %s is no host name", box->name, box->host);
    if (!box->host[0] || !box->user[0])
        return fault_set(why, FAULT_INPUT, "mailbox %s: --host and --user are needed", box->name);
    box->port = box->port ? box->port : ports[box->kind][box->tls];
    if (box->port > 65535)
        return fault_set(why, FAULT_INPUT, "mailbox %s: --port is 1 to 65535", box->name);
    if (box->kind == BOX_IMAP && !box->folder[0])
        snprintf(box->folder, sizeof(box->folder), "INBOX");
    return true;
}

static void context_of(const struct box *box, struct buf *context)
{
    buf_printf(context, "mailbox password %s", box->name);
}

bool box_add(struct db *db, struct fault *why, const struct seal_key *seal_key, struct box *box, struct slice password,
             time_ms now)
{
    SCOPED(buf) sealed = BUF(4096);
    SCOPED(buf) context = BUF(512);
    context_of(box, &context);
    seal(seal_key, buf_slice(&context), password, &sealed);
    box->id = id_make_anywhere(db_ids(db), now);
    int64_t added = 0;
    if (!db_do(db, why,
               "INSERT INTO mailbox (id, name, kind, tls, host, port, user_name, password_sealed, folder, ca_file, "
               "deletes, poll_s, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON "
               "CONFLICT (name) DO NOTHING",
               VALUES(V_INT((int64_t)box->id), V_STR(box->name), V_TEXT(box_kind_word(box->kind)),
                      V_TEXT(box_tls_word(box->tls)), V_STR(box->host), V_INT(box->port), V_STR(box->user),
                      V_BYTES(buf_slice(&sealed)), V_STR(box->folder), V_STR(box->ca_file), V_INT(box->deletes),
                      V_INT(box->poll_s), V_INT(now)),
               &added))
        return false;
    return added || fault_set(why, FAULT_INPUT, "there is a mailbox %s already", box->name);
}

bool box_remove(struct db *db, struct fault *why, struct slice name, bool *found)
{
    int64_t gone = 0;
    bool ok = db_do(db, why, "DELETE FROM mailbox_seen WHERE mailbox_id IN (SELECT id FROM mailbox WHERE name = $1)",
                    VALUES(V_TEXT(name)), NULL) &&
              db_do(db, why, "DELETE FROM mailbox_content WHERE mailbox_id IN (SELECT id FROM mailbox WHERE name = $1)",
                    VALUES(V_TEXT(name)), NULL) &&
              db_do(db, why, "DELETE FROM mailbox WHERE name = $1", VALUES(V_TEXT(name)), &gone);
    *found = gone > 0;
    return ok;
}

bool box_is_due(const struct box *box, time_ms now)
{
    return now < box->checked || now - box->checked >= SECONDS_MS((time_ms)box->poll_s);
}

bool box_checked(struct db *db, struct fault *why, uint64_t id, time_ms now, const char *fault)
{
    return db_do(db, why,
                 "DELETE FROM mailbox_content WHERE mailbox_id = $1 AND at_ms < $2 AND EXISTS (SELECT 1 FROM mailbox "
                 "WHERE id = $1 AND deletes <> 0)",
                 VALUES(V_INT((int64_t)id), V_INT(now - DAYS_MS(CONTENT_DAYS))), NULL) &&
           db_do(db, why, "UPDATE mailbox SET checked_ms = $2, fault = $3 WHERE id = $1",
                 VALUES(V_INT((int64_t)id), V_INT(now), V_TEXT(utf8_head(slice_str(fault), BOX_TEXT_MAX))), NULL);
}

static void take(char to[BOX_TEXT_MAX + 1], const struct rows *rows, int column)
{
    struct slice text = rows_text(rows, column);
    snprintf(to, BOX_TEXT_MAX + 1, "%.*s", SLICE_ARG(slice_head(text, BOX_TEXT_MAX)));
}

bool box_list(struct db *db, struct fault *why, struct slice name, struct box **boxes, size_t *count)
{
    SCOPED(rows) rows = {0};
    size_t room = 0;
    *boxes = NULL;
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT id, name, kind, tls, host, port, user_name, folder, ca_file, deletes, poll_s, uid_validity, "
                  "last_uid, checked_ms, fetched, fault FROM mailbox WHERE $1 = '' OR name = $1 ORDER BY name",
                  VALUES(V_TEXT(name))))
        return false;
    while (rows_next(&rows)) {
        if (*count == room) {
            room = room ? room * 2 : 8;
            *boxes = memory_resize(*boxes, room, sizeof(**boxes));
        }
        struct box *box = &(*boxes)[(*count)++];
        *box = (struct box){.id = (uint64_t)rows_int(&rows, 0),
                            .port = (unsigned)rows_int(&rows, 5),
                            .deletes = rows_int(&rows, 9) != 0,
                            .poll_s = (unsigned)rows_int(&rows, 10),
                            .uid_validity = (uint64_t)rows_int(&rows, 11),
                            .last_uid = (uint64_t)rows_int(&rows, 12),
                            .checked = rows_int(&rows, 13),
                            .fetched = (uint64_t)rows_int(&rows, 14)};
        take(box->name, &rows, 1);
        take(box->host, &rows, 4);
        take(box->user, &rows, 6);
        take(box->folder, &rows, 7);
        take(box->ca_file, &rows, 8);
        take(box->fault, &rows, 15);
        if (!box_kind_of(rows_text(&rows, 2), &box->kind) || !box_tls_of(rows_text(&rows, 3), &box->tls))
            --*count; /* a newer program's */
    }
    if (rows_end(&rows))
        return true;
    free(*boxes);
    *boxes = NULL;
    return false;
}

bool box_password(struct db *db, struct fault *why, const struct seal_key *seal_key, const struct box *box,
                  struct buf *password)
{
    SCOPED(rows) rows = {0};
    SCOPED(buf) context = BUF(512);
    SCOPED(buf) sealed = BUF(4096);
    if (!db_query(db, why, &rows, "SELECT password_sealed FROM mailbox WHERE id = $1", VALUES(V_INT((int64_t)box->id))))
        return false;
    if (rows_next(&rows))
        buf_append(&sealed, rows_bytes(&rows, 0));
    context_of(box, &context);
    return rows_end(&rows) && (seal_open(seal_key, buf_slice(&context), buf_slice(&sealed), password, why) ||
                               fault_prefix(why, "mailbox %s: ", box->name));
}

/* ── what is known ── */

/* IMAP: is it a copy that an earlier counting of the server's (UIDVALIDITY) has shown us already? As many copies as
 * were kept then are known, one more is new. */
static bool content_is_known(struct db *db, struct fault *why, const struct box *box, struct slice bytes, time_ms now,
                             bool *is_known)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int64_t found[3] = {0}; /* the counting, kept, met */
    bool is_there;
    SHA256((const unsigned char *)bytes.ptr, bytes.len, digest);
    const struct value sha256 = V_BYTES(slice_of(digest, sizeof(digest))), id = V_INT((int64_t)box->id);
    if (!db_query_ints(db, why,
                       "SELECT uid_validity, kept, met FROM mailbox_content WHERE mailbox_id = $1 AND sha256 = $2",
                       VALUES(id, sha256), found, 3, &is_there))
        return false;
    int64_t met = (is_there && found[0] == (int64_t)box->uid_validity ? found[2] : 0) + 1;
    *is_known = met <= found[1];
    return db_do(db, why,
                 "INSERT INTO mailbox_content (mailbox_id, sha256, uid_validity, kept, met, at_ms) VALUES ($1, $2, $3, "
                 "$4, $5, $6) ON CONFLICT (mailbox_id, sha256) DO UPDATE SET uid_validity = excluded.uid_validity, "
                 "kept = excluded.kept, met = excluded.met, at_ms = excluded.at_ms",
                 VALUES(id, sha256, V_INT((int64_t)box->uid_validity), V_INT(*is_known ? found[1] : met), V_INT(met),
                        V_INT(now)),
                 NULL);
}

/* ── mails kept before their contents were remembered (schema 0036) ── */

struct recalling {
    const struct box *box;
    int64_t uid_validity; /* the counting that is over */
    struct map copies;    /* digest -> how many, as a pointer */
};

/* A copy that is still there, raw: how often this content was kept. */
static bool recall_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct recalling *recalling = context;
    unsigned char bytes[SHA256_DIGEST_LENGTH];
    struct slice raw = rows_bytes(row, 0), digest = slice_of(bytes, sizeof(bytes));
    SHA256((const unsigned char *)raw.ptr, raw.len, bytes);
    uintptr_t count = (uintptr_t)map_get(&recalling->copies, digest) + 1;
    map_set(&recalling->copies, digest, (void *)count);
    return true;
}

static bool recall_write(struct db *db, struct fault *why, const struct recalling *recalling, time_ms now)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(&recalling->copies, &at));)
        if (!db_do(db, why,
                   "INSERT INTO mailbox_content (mailbox_id, sha256, uid_validity, kept, met, at_ms) VALUES ($1, $2, "
                   "$3, $4, $4, $5) ON CONFLICT (mailbox_id, sha256) DO UPDATE SET kept = CASE WHEN excluded.kept > "
                   "mailbox_content.kept THEN excluded.kept ELSE mailbox_content.kept END",
                   VALUES(V_INT((int64_t)recalling->box->id), V_BYTES(entry->key), V_INT(recalling->uid_validity),
                          V_INT((int64_t)(uintptr_t)entry->value), V_INT(now)),
                   NULL))
            return false;
    return true;
}

/* The server is about to show all of them again: what was kept without a memory of its content gets one, from the mails
 * that still stand in `inbound` (retention.inbound). Bucket by bucket, and only where some were kept without. */
static bool contents_recall(struct db *db, struct fault *why, const struct box *box, time_ms now)
{
    char peer[BOX_TEXT_MAX + 16];
    int64_t was[4] = {0}; /* the counting, fetched, created, remembered */
    bool found;
    if (!db_query_ints(db, why,
                       "SELECT uid_validity, fetched, created_ms, (SELECT CAST(COALESCE(SUM(kept), 0) AS BIGINT) FROM "
                       "mailbox_content WHERE mailbox_id = $1) FROM mailbox WHERE id = $1",
                       VALUES(V_INT((int64_t)box->id)), was, COUNT_OF(was), &found))
        return false;
    if (!found || !was[0] || was[0] == (int64_t)box->uid_validity || was[1] <= was[3])
        return true;
    struct recalling recalling = {.box = box, .uid_validity = was[0]};
    snprintf(peer, sizeof(peer), "mailbox:%s", box->name);
    bool ok = true;
    for (unsigned bucket = 0; ok && bucket < ID_BUCKETS; bucket++) {
        const struct value values[] = {V_INT(bucket), V_STR(peer), V_INT(was[2])};
        ok = db_query_many(db, why, "SELECT raw FROM inbound WHERE bucket = $1 AND peer = $2 AND at_ms >= $3", values,
                           COUNT_OF(values), 1, recall_take, &recalling);
    }
    ok = ok && recall_write(db, why, &recalling, now);
    map_release(&recalling.copies);
    return ok;
}

bool box_keep(struct db *db, struct fault *why, const struct box *box, const struct box_mail *mail, time_ms now,
              bool *is_new)
{
    int64_t marked = 0;
    bool ok = box->kind != BOX_IMAP || contents_recall(db, why, box, now);
    if (ok && (box->kind != BOX_IMAP || mail->is_too_large))
        ok = db_do(db, why,
                   "INSERT INTO mailbox_seen (mailbox_id, uid, at_ms, is_left) VALUES ($1, $2, $3, $4) ON CONFLICT "
                   "(mailbox_id, uid) DO NOTHING",
                   VALUES(V_INT((int64_t)box->id), V_TEXT(mail->uid), V_INT(now), V_INT(mail->is_too_large)), &marked);
    if (ok && box->kind == BOX_IMAP)
        ok = db_do(db, why,
                   "UPDATE mailbox SET uid_validity = $2, last_uid = $3, fetched = fetched + 1 WHERE id = $1 AND "
                   "(uid_validity <> $2 OR last_uid < $3)",
                   VALUES(V_INT((int64_t)box->id), V_INT((int64_t)box->uid_validity), V_INT((int64_t)mail->number)),
                   &marked);
    else if (ok && marked)
        ok = db_do(db, why, "UPDATE mailbox SET fetched = fetched + 1 WHERE id = $1", VALUES(V_INT((int64_t)box->id)),
                   NULL);
    *is_new = marked > 0;
    if (!ok || !marked || mail->is_too_large)
        return ok;
    if (box->kind == BOX_IMAP) {
        bool is_known;
        if (!content_is_known(db, why, box, mail->bytes, now, &is_known))
            return false;
        *is_new = !is_known;
        if (is_known)
            return true;
    }
    char peer[BOX_TEXT_MAX + 16];
    snprintf(peer, sizeof(peer), "mailbox:%s", box->name);
    struct inbound_row row = {.peer = slice_str(peer), .raw = mail->bytes};
    return inbound_save(db, why, &row, now);
}

bool box_known(struct db *db, struct fault *why, const struct box *box, const struct slice *uids, size_t count,
               enum box_mark *marks)
{
    static enum box_mark kept = BOX_KEPT, left = BOX_LEFT;
    struct map seen = {0};
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT uid, is_left FROM mailbox_seen WHERE mailbox_id = $1",
                  VALUES(V_INT((int64_t)box->id))))
        return false;
    while (rows_next(&rows))
        map_set(&seen, rows_text(&rows, 0), rows_int(&rows, 1) ? &left : &kept);
    bool ok = rows_end(&rows);
    for (size_t i = 0; i < count; i++) {
        const enum box_mark *mark = map_get(&seen, uids[i]);
        marks[i] = mark ? *mark : BOX_NEW;
    }
    map_release(&seen);
    return ok;
}

bool box_forget(struct db *db, struct fault *why, const struct box *box, const struct slice *uids, size_t count)
{
    struct map there = {0}, gone = {0};
    SCOPED(rows) rows = {0};
    for (size_t i = 0; i < count; i++)
        map_set(&there, uids[i], &there);
    bool ok =
        db_query(db, why, &rows, "SELECT uid FROM mailbox_seen WHERE mailbox_id = $1", VALUES(V_INT((int64_t)box->id)));
    while (ok && rows_next(&rows))
        if (!map_get(&there, rows_text(&rows, 0)))
            map_set(&gone, rows_text(&rows, 0), &gone);
    ok = ok && rows_end(&rows);
    size_t at = 0;
    struct map_entry *entry;
    while (ok && (entry = map_walk(&gone, &at)))
        ok = db_do(db, why, "DELETE FROM mailbox_seen WHERE mailbox_id = $1 AND uid = $2",
                   VALUES(V_INT((int64_t)box->id), V_TEXT(entry->key)), NULL);
    map_release(&there);
    map_release(&gone);
    return ok;
}
