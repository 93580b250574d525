/* mailer_stored.c - a stored mail (submit/message.h) becomes what this recipient gets: his return path, the signature
 *
 * Where the mail is the same for all its recipients it is read and signed once for each composing thread; only with
 * List-Unsubscribe, which is each one's own, it is signed each time. t= of the signature is when the mail was accepted,
 * so a retry is the same mail, octet for octet. */
#include "app/mailer_inside.h"

#include "base/utf8.h"
#include "mime/write.h"
#include "submit/recent.h"

enum { SIGNERS_MOST = 1000 /* of one brand, before they are forgotten */ };

static void mail_forget(struct stored_mail *mail)
{
    shared_drop(mail->ready);
    shared_drop(mail->bytes);
    arena_release(&mail->arena);
    *mail = (struct stored_mail){0};
}

void stored_mails_release(struct stored_mails *mails)
{
    for (size_t i = 0; i < STORED_MAILS; i++)
        mail_forget(&mails->mails[i]);
    *mails = (struct stored_mails){0};
}

void stored_signers_release(struct map *signers)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_walk(signers, &at));) {
        struct known_signer *known = entry->value;
        dkim_signer_free(known->signer);
        free(known);
    }
    map_release(signers);
}

/* ── which key signs: the brand's active one of the From domain, or of the nearest domain above it (M33) ── */

static bool is_above(struct slice domain, struct slice below)
{
    if (slice_equal_caseless(domain, below))
        return true;
    return below.len > domain.len && slice_ends_caseless(below, domain) && below.ptr[below.len - domain.len - 1] == '.';
}

static bool signer_read(const struct mailer *mailer, struct mailer_thread *thread, uint64_t brand_id,
                        struct slice domain, struct known_signer *known, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(thread->reader, why, &rows,
                  "SELECT id, domain, selector, private_sealed FROM dkim_key WHERE brand_id = $1 AND is_active = 1 "
                  "ORDER BY length(domain) DESC, id DESC",
                  VALUES(V_INT((int64_t)brand_id))))
        return false;
    while (rows_next(&rows))
        if (is_above(rows_text(&rows, 1), domain))
            return mailer_signer_open(mailer, &rows, &known->key_id, &known->signer, why) && rows_end(&rows);
    dkim_signer_free(known->signer);
    known->signer = NULL;
    known->key_id = 0;
    return rows_end(&rows);
}

static struct known_signer *signer_get(const struct mailer *mailer, struct mailer_thread *thread,
                                       struct known_brand *brand, struct slice domain, time_ms now, struct fault *why)
{
    struct known_signer *known = map_get(&brand->signers, domain);
    if (known && now - known->read_at < MAILER_CACHE_MS)
        return known;
    if (!known) {
        if (brand->signers.count >= SIGNERS_MOST) {
            stored_signers_release(&brand->signers);
            brand->signers = (struct map){0};
        }
        known = NEW(struct known_signer);
        map_set(&brand->signers, domain, known);
    }
    if (!signer_read(mailer, thread, brand->brand.id, domain, known, why))
        return NULL;
    known->read_at = now;
    return known;
}

/* ── the mail ── */

/* Of those handed in last, without the store. */
static bool mail_recent(const struct mailer *mailer, uint64_t id, struct stored_mail *mail)
{
    struct recent_mail *recent = recent_mails_take(mailer->options.recent, id);
    if (!recent)
        return false;
    mail->bytes = shared_hold(recent->body);
    mail->unsigned_mail = shared_slice(mail->bytes);
    mail->from_domain = arena_copy(&mail->arena, recent->from_domain);
    mail->flags = recent->flags;
    mail->date = recent->accepted;
    mail->recipients = recent->recipients;
    mail->id = id;
    recent_mail_free(recent);
    return true;
}

static struct stored_mail *mail_get(const struct mailer *mailer, struct mailer_thread *thread, uint64_t id,
                                    struct fault *why)
{
    struct stored_mails *mails = &thread->stored;
    struct stored_mail *oldest = &mails->mails[0];
    for (size_t i = 0; i < STORED_MAILS; i++) {
        struct stored_mail *mail = &mails->mails[i];
        if (mail->id == id) {
            mail->used = ++mails->clock;
            return mail;
        }
        if (mail->used < oldest->used)
            oldest = mail;
    }
    struct message message;
    mail_forget(oldest);
    oldest->used = ++mails->clock;
    if (mail_recent(mailer, id, oldest))
        return oldest;
    if (!message_find(thread->reader, why, id, true, &oldest->arena, &message))
        return NULL;
    if (!message.body.len) {
        fault_set(why, FAULT_INPUT, "the mail's body has been removed");
        return NULL;
    }
    for (size_t i = 0; i < STORED_MAILS && message.body.len > STORED_BYTES_MAX; i++)
        if (&mails->mails[i] != oldest && mails->mails[i].unsigned_mail.len > STORED_BYTES_MAX)
            mail_forget(&mails->mails[i]);
    oldest->id = id;
    oldest->from_domain = message.from_domain;
    oldest->unsigned_mail = message.body;
    oldest->flags = message.flags;
    oldest->date = message.now;
    oldest->recipients = message.recipients;
    return oldest;
}

/* `fields` in front of the mail, and the signature in front of them. */
static bool sign(struct dkim_signer *signer, const struct stored_mail *mail, struct slice fields, struct arena *arena,
                 struct slice *ready, struct fault *why)
{
    struct slice whole = mail->unsigned_mail;
    if (fields.len) {
        SCOPED(buf) joined = BUF(fields.len + whole.len);
        buf_append(&joined, fields);
        buf_append(&joined, whole);
        whole = arena_copy(arena, buf_slice(&joined));
    }
    *ready = whole;
    if (!signer)
        return true;
    SCOPED(buf) signature = BUF(dkim_signer_count(signer) * DKIM_HEADER_ROOM * 4);
    if (!dkim_sign(signer, whole, mail->date / 1000, &signature, why))
        return false;
    char *start = arena_alloc(arena, signature.len + whole.len);
    memcpy(start, signature.ptr, signature.len);
    memcpy(start + signature.len, whole.ptr, whole.len);
    *ready = slice_of(start, signature.len + whole.len);
    return true;
}

/* RFC 2369 and 8058, for him alone. */
static bool unsubscribe_fields(const struct mailer_thread *thread, struct buf *fields, struct fault *why)
{
    SCOPED(buf) value = BUF(2048);
    buf_printf(&value, "<%.*s>, <%.*s>", SLICE_ARG(buf_slice(&thread->url)), SLICE_ARG(buf_slice(&thread->mailto)));
    if (!buf_ok(&value) || !header_tokens(fields, SLICE("List-Unsubscribe"), buf_slice(&value)))
        return fault_set(why, FAULT_INPUT, "the unsubscribe address cannot stand in a header");
    buf_text(fields, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
    return true;
}

/* The mail for this recipient: mail->ready when it is the same for all, else *own in the arena. */
static bool ready_for(struct mailer_thread *thread, struct stored_mail *mail, const struct known_signer *signer,
                      struct arena *arena, struct slice *own, struct fault *why)
{
    if (mail->flags & MESSAGE_UNSUBSCRIBE) {
        SCOPED(buf) fields = BUF(4096);
        return unsubscribe_fields(thread, &fields, why) &&
               sign(signer->signer, mail, buf_slice(&fields), arena, own, why);
    }
    if (mail->ready && mail->key_id == signer->key_id)
        return true;
    if (!signer->signer && mail->bytes) {
        shared_drop(mail->ready);
        mail->ready = shared_hold(mail->bytes);
        mail->key_id = signer->key_id;
        return true;
    }
    struct slice ready;
    if (!sign(signer->signer, mail, SLICE(""), arena, &ready, why))
        return false;
    shared_drop(mail->ready);
    mail->ready = shared_new(ready.len);
    memcpy(mail->ready->bytes, ready.ptr, ready.len);
    mail->key_id = signer->key_id;
    return true;
}

static void addresses_make(const struct mailer *mailer, struct mailer_thread *thread, const struct recipient *recipient,
                           const struct brand *brand, const struct stored_mail *mail)
{
    if (mail->flags & MESSAGE_UNSUBSCRIBE) {
        mailer_addresses(mailer, thread, recipient, brand, mail->date);
        return;
    }
    if (!thread->return_path.limit)
        buf_init(&thread->return_path, 2048);
    buf_reset(&thread->return_path);
    return_path_make(mailer->options.ring, recipient->id, mail->date + DAYS_MS(MAILER_TOKEN_DAYS),
                     brand->return_path_domain, &thread->return_path);
}

/* The same octets go to others: as many of them in one transaction as the brand wants (R20), by a return path that is
 * theirs together. */
static struct outgoing *outgoing_together(const struct mailer *mailer, struct mailer_thread *thread,
                                          const struct recipient *recipient, const struct brand *brand,
                                          const struct stored_mail *mail, struct slice mail_from)
{
    if (!thread->shared_path.limit)
        buf_init(&thread->shared_path, 2048);
    buf_reset(&thread->shared_path);
    if (mail_from.len)
        shared_path_make(mailer->options.ring, mail->id, recipient->domain, mail->date + DAYS_MS(MAILER_TOKEN_DAYS),
                         brand->return_path_domain, &thread->shared_path);
    struct outgoing *out =
        outgoing_share_from(mail_from, buf_slice(&thread->shared_path), recipient->written, mail->ready);
    out->alike = mail->id;
    out->recipients_most = brand->recipients_per_transaction;
    return out;
}

bool mailer_compose_stored(struct mailer *mailer, struct mailer_thread *thread, const struct recipient *recipient,
                           time_ms now, struct outgoing **out, struct fault *why)
{
    SCOPED(arena) arena = {0};
    struct slice ready = {0};
    struct known_brand *brand = mailer_brand(mailer, thread, recipient->brand_id, now, why);
    struct stored_mail *mail = brand ? mail_get(mailer, thread, recipient->message_id, why) : NULL;
    struct known_signer *signer = mail ? signer_get(mailer, thread, brand, mail->from_domain, now, why) : NULL;
    if (!signer)
        return false;
    if (mail->flags & MESSAGE_LETTER)
        return mailer_compose_letter(mailer, thread, recipient, &brand->brand, mail, signer->signer, now, out, why);
    addresses_make(mailer, thread, recipient, &brand->brand, mail);
    if (!ready_for(thread, mail, signer, &arena, &ready, why))
        return false;
    struct slice mail_from = mail->flags & MESSAGE_NULL_SENDER ? SLICE("") : buf_slice(&thread->return_path);
    if (mail->ready && mail->recipients > 1 && brand->brand.recipients_per_transaction > 1)
        *out = outgoing_together(mailer, thread, recipient, &brand->brand, mail, mail_from);
    else
        *out = mail->ready ? outgoing_share(mail_from, recipient->written, mail->ready)
                           : outgoing_new(mail_from, recipient->written, ready);
    (*out)->date = mail->date;
    (*out)->needs_smtputf8 = (mail->flags & MESSAGE_NEEDS_SMTPUTF8) || !slice_is_ascii(recipient->written);
    (*out)->needs_8bit = (mail->flags & MESSAGE_NEEDS_8BIT) || (*out)->needs_smtputf8;
    return true;
}
