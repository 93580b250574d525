#include "app/mailer_inside.h"

#include <jansson.h>
#include <stdio.h>

struct mailer *mailer_new(const struct mailer_options *options)
{
    struct mailer *mailer = NEW(struct mailer);
    mailer->options = *options;
    return mailer;
}

static void release_thread(void *self, unsigned worker)
{
    struct mailer_thread *thread = &((struct mailer *)self)->threads[worker];
    if (!thread->reader)
        return;
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&thread->brands, &at)); free(entry->value)) {
        struct known_brand *known = entry->value;
        arena_release(&known->arena);
        dkim_signer_free(known->signer);
        stored_signers_release(&known->signers);
    }
    stored_mails_release(&thread->stored);
    letters_release(&thread->letters);
    known_files_release(thread);
    at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&thread->campaigns, &at));)
        free(entry->value);
    at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&thread->contents, &at)); free(entry->value))
        content_free(((struct known_content *)entry->value)->content);
    id_map_release(&thread->brands);
    id_map_release(&thread->campaigns);
    id_map_release(&thread->contents);
    composed_release(&thread->composed);
    struct buf *const bufs[] = {&thread->return_path, &thread->shared_path, &thread->url, &thread->mailto,
                                &thread->feedback};
    for (size_t i = 0; i < COUNT_OF(bufs); i++)
        buf_release(bufs[i]);
    db_free(thread->reader);
    thread->reader = NULL;
}

void mailer_free(struct mailer *mailer)
{
    if (!mailer)
        return;
    for (unsigned i = 0; i < MAILER_THREADS_MAX; i++)
        release_thread(mailer, i);
    free(mailer);
}

/* ── keys ── */

static void seal_context(struct buf *context, uint64_t key_id)
{
    buf_printf(context, "dkim_key.private_sealed %llu", (unsigned long long)key_id);
}

bool mailer_key_store(struct db *db, struct fault *why, const struct seal_key *seal_key, uint64_t brand_id,
                      struct slice domain, struct slice selector, const struct dkim_key *key, time_ms now,
                      struct buf *record)
{
    const struct dkim_identity identity = {domain, selector, key};
    struct dkim_signer *signer = NULL;
    if (!dkim_signer_new(&identity, 1, &signer, why)) /* what cannot sign must not be kept: every mail would fail */
        return false;
    dkim_signer_free(signer);
    uint64_t id = id_make_anywhere(db_ids(db), now);
    SCOPED(buf) pem = BUF(16384);
    SCOPED(buf) sealed = BUF(32768);
    SCOPED(buf) context = BUF(64);
    dkim_key_write(key, &pem);
    buf_reset(record);
    dkim_key_record(key, record);
    seal_context(&context, id);
    seal(seal_key, buf_slice(&context), buf_slice(&pem), &sealed);
    explicit_bzero(pem.ptr, pem.len);
    return db_do(db, why,
                 "INSERT INTO dkim_key (id, brand_id, domain, selector, algorithm, private_sealed, public_record, "
                 "is_active, created_ms) "
                 "VALUES ($1, $2, $3, $4, 'rsa-sha256', $5, $6, 1, $7)",
                 VALUES(V_INT((int64_t)id), V_INT((int64_t)brand_id), V_TEXT(domain), V_TEXT(selector),
                        V_BYTES(buf_slice(&sealed)), V_TEXT(buf_slice(record)), V_INT(now)),
                 NULL);
}

bool mailer_key_open(const struct seal_key *seal_key, const struct rows *row, struct dkim_key **key, struct fault *why)
{
    SCOPED(buf) context = BUF(64);
    SCOPED(buf) pem = BUF(16384);
    seal_context(&context, (uint64_t)rows_int(row, 0));
    *key = NULL;
    bool ok = seal_open(seal_key, buf_slice(&context), rows_bytes(row, 3), &pem, why) &&
              dkim_key_read(buf_slice(&pem), key, why);
    if (pem.ptr)
        explicit_bzero(pem.ptr, pem.len);
    return ok;
}

bool mailer_signer_open(const struct mailer *mailer, const struct rows *row, uint64_t *key_id,
                        struct dkim_signer **signer, struct fault *why)
{
    uint64_t id = (uint64_t)rows_int(row, 0);
    if (*signer && *key_id == id)
        return true;
    struct dkim_key *key;
    bool ok = mailer_key_open(mailer->options.seal, row, &key, why);
    if (ok) {
        const struct dkim_identity identity = {.domain = rows_text(row, 1), .selector = rows_text(row, 2), .key = key};
        dkim_signer_free(*signer);
        *signer = NULL;
        *key_id = id;
        ok = dkim_signer_new(&identity, 1, signer, why);
    }
    dkim_key_free(key);
    return ok;
}

/* The newest active key of the brand as a signer; keeps the old one while the key is the same. */
static bool read_signer(struct mailer *mailer, struct mailer_thread *thread, struct known_brand *known,
                        struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(thread->reader, why, &rows,
                  "SELECT id, domain, selector, private_sealed FROM dkim_key WHERE brand_id = $1 AND is_active = 1 "
                  "ORDER BY id DESC LIMIT 1",
                  VALUES(V_INT((int64_t)known->brand.id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows);
    return mailer_signer_open(mailer, &rows, &known->key_id, &known->signer, why) && rows_end(&rows);
}

/* ── what a thread knows ── */

struct known_brand *mailer_brand(struct mailer *mailer, struct mailer_thread *thread, uint64_t id, time_ms now,
                                 struct fault *why)
{
    struct known_brand *known = id_map_get(&thread->brands, id);
    if (known && now - known->read_at < MAILER_CACHE_MS)
        return known;
    if (!known) {
        known = NEW(struct known_brand);
        id_map_set(&thread->brands, id, known);
    }
    char number[24];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)id);
    arena_reset(&known->arena);
    if (!brand_find(thread->reader, why, slice_str(number), &known->arena, &known->brand) ||
        !read_signer(mailer, thread, known, why))
        return NULL;
    known->read_at = now;
    return known;
}

static bool campaign_version(struct mailer_thread *thread, uint64_t id, time_ms now, uint64_t *version_id,
                             struct fault *why)
{
    struct known_campaign *known = id_map_get(&thread->campaigns, id);
    if (!known) {
        known = NEW(struct known_campaign);
        id_map_set(&thread->campaigns, id, known);
    }
    if (known->read_at == 0 || now - known->read_at >= MAILER_CACHE_MS) {
        int64_t version = 0;
        if (!db_query_ints(thread->reader, why, "SELECT content_version_id FROM campaign WHERE id = $1",
                           VALUES(V_INT((int64_t)id)), &version, 1, NULL))
            return false;
        known->version_id = (uint64_t)version;
        known->read_at = now;
    }
    *version_id = known->version_id;
    return true;
}

static const struct content *content_get(const struct mailer *mailer, struct mailer_thread *thread, uint64_t version_id,
                                         const struct brand *brand, struct fault *why)
{
    struct known_content *known = id_map_get(&thread->contents, version_id);
    if (!known) {
        SCOPED(arena) arena = {0};
        struct content_version version;
        if (!content_version_find(thread->reader, why, version_id, &arena, &version))
            return NULL;
        struct slice list_id =
            arena_printf(&arena, "b%llu.%.*s", (unsigned long long)brand->id, SLICE_ARG(brand_domain(brand)));
        const struct content_source source = {
            .subject = version.subject,
            .preheader = version.preheader,
            .html = version.html,
            .text = version.text,
            .counts_clicks = version.counts_clicks,
            .counts_opens = version.counts_opens,
            .from_name = brand->from_name,
            .from_address = brand->from_address,
            .reply_to = brand->reply_to,
            .list_id = list_id,
            .list_name = brand->name,
        };
        known = NEW(struct known_content);
        if (!content_compile(&source, &known->content, &known->why))
            known->content = NULL;
        id_map_set(&thread->contents, version_id, known);
    }
    if (!known->content)
        *why = known->why;
    return known->content;
}

/* ── the data that templates see ── */

struct contact_data {
    const struct recipient *recipient;
    json_t *fields; /* NULL: none */
};

static bool contact_member(const void *self, struct slice name, struct liquid_value *value)
{
    const struct contact_data *contact = self;
    if (slice_equal(name, SLICE("name"))) {
        *value = liquid_string(contact->recipient->name);
        return contact->recipient->name.len > 0;
    }
    if (slice_equal(name, SLICE("email"))) {
        *value = liquid_string(contact->recipient->address);
        return true;
    }
    json_t *field = contact->fields ? json_object_getn(contact->fields, name.ptr, name.len) : NULL;
    if (!field)
        return false;
    *value = liquid_json(field);
    return true;
}
static const struct liquid_type contact_type = {.member = contact_member};

static bool brand_member(const void *self, struct slice name, struct liquid_value *value)
{
    const struct brand *brand = self;
    const struct {
        const char *name;
        struct slice text;
    } members[] = {{"name", brand->name},
                   {"footer", brand->footer},
                   {"from_name", brand->from_name},
                   {"from_address", brand->from_address}};
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (slice_equal(name, slice_str(members[i].name))) {
            *value = liquid_string(members[i].text);
            return true;
        }
    }
    return false;
}
static const struct liquid_type brand_type = {.member = brand_member};

struct liquid_value mailer_brand_value(const struct brand *brand)
{
    return liquid_object(&brand_type, brand);
}

struct root_data {
    struct contact_data contact;
    const struct brand *brand;
};

static bool root_member(const void *self, struct slice name, struct liquid_value *value)
{
    const struct root_data *root = self;
    if (slice_equal(name, SLICE("contact")))
        *value = liquid_object(&contact_type, &root->contact);
    else if (slice_equal(name, SLICE("brand")))
        *value = liquid_object(&brand_type, root->brand);
    else
        return false;
    return true;
}
static const struct liquid_type root_type = {.member = root_member};

/* ── composing ── */

static void reset(struct buf *buf)
{
    if (!buf->limit)
        buf_init(buf, 2048);
    buf_reset(buf);
}

void mailer_addresses(const struct mailer *mailer, struct mailer_thread *thread, const struct recipient *recipient,
                      const struct brand *brand, time_ms date)
{
    time_ms expires = date + DAYS_MS(MAILER_TOKEN_DAYS);
    struct buf *const bufs[] = {&thread->return_path, &thread->url, &thread->mailto, &thread->feedback};
    for (size_t i = 0; i < COUNT_OF(bufs); i++)
        reset(bufs[i]);
    return_path_make(mailer->options.ring, recipient->id, expires, brand->return_path_domain, &thread->return_path);
    buf_append(&thread->url, brand->link_base);
    buf_text(&thread->url, "/u/");
    token_make(mailer->options.ring, TOKEN_UNSUBSCRIBE, &(struct token){.id = recipient->id}, expires, &thread->url);
    buf_text(&thread->mailto, "mailto:u-");
    buf_append(&thread->mailto, slice_from(buf_slice(&thread->url), thread->url.len - TOKEN_LEN));
    buf_printf(&thread->mailto, "@%.*s?subject=unsubscribe", SLICE_ARG(brand->return_path_domain));
    buf_printf(&thread->feedback, "%llu:%llu:campaign:%.*s", (unsigned long long)recipient->campaign_id,
               (unsigned long long)brand->id, SLICE_ARG(brand_domain(brand)));
}

static bool compose(void *self, unsigned worker, const struct recipient *recipient, struct outgoing **out,
                    struct fault *why)
{
    struct mailer *mailer = self;
    struct mailer_thread *thread = &mailer->threads[worker];
    if (!thread->reader && !(thread->reader = store_reader_open(mailer->options.store, why)))
        return false;
    time_ms now = world_wall(mailer->options.world);
    if (recipient->message_id)
        return mailer_compose_stored(mailer, thread, recipient, now, out, why);
    struct known_brand *known = mailer_brand(mailer, thread, recipient->brand_id, now, why);
    uint64_t version_id = recipient->version_id;
    if (!known || (!version_id && !campaign_version(thread, recipient->campaign_id, now, &version_id, why)))
        return false;
    const struct content *content = content_get(mailer, thread, version_id, &known->brand, why);
    if (!content)
        return false;

    time_ms date = recipient->date ? recipient->date : now;
    mailer_addresses(mailer, thread, recipient, &known->brand, date);
    struct mailer_files files = {thread, known->brand.id, now};
    struct root_data root = {.contact = {.recipient = recipient}, .brand = &known->brand};
    if (recipient->fields.len > 2)
        root.contact.fields = json_loadb(recipient->fields.ptr, recipient->fields.len, 0, NULL);
    const struct compose_job job = {
        .delivery_id = recipient->id,
        .date = date,
        .date_offset_minutes = mailer->options.date_offset_minutes,
        .to_address = recipient->written,
        .to_name = recipient->name,
        .message_domain = brand_domain(&known->brand),
        .unsubscribe_url = buf_slice(&thread->url),
        .unsubscribe_mailto = buf_slice(&thread->mailto),
        .feedback_id = buf_slice(&thread->feedback),
        .ring = mailer->options.ring,
        .link_base = known->brand.link_base,
        .links_expire = date + DAYS_MS(MAILER_LINK_DAYS),
        .data = liquid_object(&root_type, &root),
        .find_file = mailer_find_file,
        .file_context = &files,
    };
    bool ok = compose_mail(content, &job, known->signer, &thread->composed, why);
    json_decref(root.contact.fields);
    if (!ok) {
        if (why->kind == FAULT_LIMIT)
            why->kind = FAULT_INPUT; /* a template that prints without end is a fault of the content */
        return false;
    }
    *out = outgoing_new(buf_slice(&thread->return_path), recipient->written, composed_mail(&thread->composed));
    (*out)->version_id = version_id;
    (*out)->date = date;
    return true;
}

struct composer mailer_composer(struct mailer *mailer)
{
    return (struct composer){.self = mailer, .compose = compose, .release_worker = release_thread};
}
