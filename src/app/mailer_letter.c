/* mailer_letter.c - a letter (content/letter.h) becomes this recipient's mail: compiled once, rendered with his own
 * data
 *
 * Letters are remembered compiled by what they say, not by their message: a program that sends the same receipt for
 * every order, with the order as merge data, has it compiled once for each composing thread.
 *
 * Templates see the merge data's members, then contact (name, email, and the data again, so that a campaign's content
 * works here too), brand, name, email and unsubscribe_url. */
#include "app/mailer_inside.h"

#include "base/utf8.h"
#include "content/letter.h"
#include "submit/message.h"
#include <jansson.h>

enum { LETTER_KEPT_MAX = 1 << 20 /* larger ones are compiled for each recipient */ };

static void letter_forget(struct known_letter *known)
{
    content_free(known->content);
    arena_release(&known->arena);
    *known = (struct known_letter){0};
}

void letters_release(struct known_letters *letters)
{
    for (size_t i = 0; i < LETTERS_KNOWN; i++)
        letter_forget(&letters->list[i]);
}

static bool letter_compile(struct mailer_thread *thread, const struct brand *brand, struct known_letter *known,
                           struct fault *why)
{
    struct letter letter;
    struct content_version version;
    if (!letter_read(known->text, &known->arena, &letter, why))
        return false;
    if (letter.version_id) {
        if (!content_version_find(thread->reader, why, letter.version_id, &known->arena, &version))
            return false;
        letter.source.subject = version.subject;
        letter.source.preheader = version.preheader;
        letter.source.html = version.html;
        letter.source.text = version.text;
    }
    known->wants_unsubscribe = letter.wants_unsubscribe;
    return content_compile(&letter.source, &known->content, why);
}

/* By what it says and for which brand; the one not used longest gives way. */
static struct known_letter *letter_get(struct mailer_thread *thread, const struct brand *brand, struct slice text,
                                       struct fault *why)
{
    struct known_letters *letters = &thread->letters;
    struct known_letter *oldest = &letters->list[0];
    uint64_t hash = hash_bytes(text, brand->id);
    for (size_t i = 0; i < LETTERS_KNOWN; i++) {
        struct known_letter *known = &letters->list[i];
        if (known->content && known->hash == hash && known->brand_id == brand->id && slice_equal(known->text, text)) {
            known->used = ++letters->clock;
            return known;
        }
        if (known->used < oldest->used)
            oldest = known;
    }
    letter_forget(oldest);
    oldest->hash = hash;
    oldest->brand_id = brand->id;
    oldest->used = ++letters->clock;
    oldest->text = arena_copy(&oldest->arena, text);
    if (letter_compile(thread, brand, oldest, why))
        return oldest;
    letter_forget(oldest);
    return NULL;
}

/* ── what templates see ── */

struct letter_data {
    struct slice name, email;
    const json_t *data; /* NULL: none */
    const struct brand *brand;
};

static bool data_member(const struct letter_data *letter, struct slice name, struct liquid_value *value)
{
    const json_t *member = letter->data ? json_object_getn(letter->data, name.ptr, name.len) : NULL;
    if (member)
        *value = liquid_json(member);
    return member != NULL;
}

static bool person_member(const struct letter_data *letter, struct slice name, struct liquid_value *value)
{
    if (slice_equal(name, SLICE("name")) && letter->name.len)
        *value = liquid_string(letter->name);
    else if (slice_equal(name, SLICE("email")))
        *value = liquid_string(letter->email);
    else
        return false;
    return true;
}

static bool contact_member(const void *self, struct slice name, struct liquid_value *value)
{
    return person_member(self, name, value) || data_member(self, name, value);
}
static const struct liquid_type contact_type = {.member = contact_member};

static bool root_member(const void *self, struct slice name, struct liquid_value *value)
{
    const struct letter_data *letter = self;
    if (data_member(letter, name, value) || person_member(letter, name, value))
        return true;
    if (slice_equal(name, SLICE("contact")))
        *value = liquid_object(&contact_type, letter);
    else if (slice_equal(name, SLICE("brand")))
        *value = mailer_brand_value(letter->brand);
    else
        return false;
    return true;
}
static const struct liquid_type root_type = {.member = root_member};

static bool data_read(struct mailer_thread *thread, const struct recipient *recipient, struct arena *arena,
                      struct letter_data *letter, json_t **data, struct fault *why)
{
    SCOPED(rows) rows = {0};
    *data = NULL;
    if (!db_query(thread->reader, why, &rows, "SELECT name, data FROM delivery_data WHERE bucket = $1 AND id = $2",
                  VALUES(V_INT(recipient_bucket(recipient)), V_INT((int64_t)recipient->id))))
        return false;
    if (rows_next(&rows)) {
        struct slice text = rows_text(&rows, 1);
        letter->name = arena_copy(arena, rows_text(&rows, 0));
        *data = text.len ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
        letter->data = *data;
    }
    if (rows_end(&rows))
        return true;
    json_decref(*data);
    *data = NULL;
    return false;
}

bool mailer_compose_letter(struct mailer *mailer, struct mailer_thread *thread, const struct recipient *recipient,
                           const struct brand *brand, const struct stored_mail *mail, struct dkim_signer *signer,
                           time_ms now, struct outgoing **out, struct fault *why)
{
    SCOPED(arena) arena = {0};
    json_t *data;
    struct known_letter *known = letter_get(thread, brand, mail->unsigned_mail, why);
    struct letter_data letter = {.email = recipient->written, .brand = brand};
    if (!known || !data_read(thread, recipient, &arena, &letter, &data, why))
        return false;
    time_ms date = recipient->date ? recipient->date : now;
    mailer_addresses(mailer, thread, recipient, brand, date);
    struct mailer_files files = {thread, brand->id, now};
    const struct compose_job job = {
        .delivery_id = recipient->id,
        .date = date,
        .date_offset_minutes = mailer->options.date_offset_minutes,
        .to_address = recipient->written,
        .to_name = letter.name,
        .message_domain = mail->from_domain,
        .unsubscribe_url = known->wants_unsubscribe ? buf_slice(&thread->url) : SLICE(""),
        .unsubscribe_mailto = known->wants_unsubscribe ? buf_slice(&thread->mailto) : SLICE(""),
        .ring = mailer->options.ring,
        .link_base = brand->link_base,
        .links_expire = date + DAYS_MS(MAILER_LINK_DAYS),
        .data = liquid_object(&root_type, &letter),
        .find_file = mailer_find_file,
        .file_context = &files,
    };
    bool ok = compose_mail(known->content, &job, signer, &thread->composed, why);
    json_decref(data);
    if (ok) {
        *out = outgoing_new(buf_slice(&thread->return_path), recipient->written, composed_mail(&thread->composed));
        (*out)->date = date;
        (*out)->needs_smtputf8 = !slice_is_ascii(recipient->written);
        (*out)->needs_8bit = (*out)->needs_smtputf8;
    } else if (why->kind == FAULT_LIMIT) {
        why->kind = FAULT_INPUT; /* a template that prints without end is a fault of the content */
    }
    if (mail->unsigned_mail.len > LETTER_KEPT_MAX)
        letter_forget(known);
    return ok;
}
