#include "api/sending.h"

#include "api/body.h"
#include "base/utf8.h"
#include "mail/address.h"
#include <stdio.h>

enum {
    KEEP_BODY_MS = 3 * 24 * 3600 * 1000,
    ADDRESS_TEXT_MAX = 1000,
    NAME_MAX_OCTETS = 400,
    SUBJECT_KEPT = 500,
    TOGETHER_MS = 64
};

void sending_free(struct sending *sending)
{
    if (!sending)
        return;
    buf_release(&sending->answer);
    arena_release(&sending->arena);
    arena_release(&sending->work);
    free(sending);
}

/* ── people ── */

/* "name <a@b>", or {email, name}: the display name, and the bare address in `text`. */
static void mailbox_split(struct slice whole, struct slice *name, struct slice *text)
{
    *text = address_find(whole);
    *name = SLICE("");
    if (!text->len) {
        *text = whole;
        return;
    }
    ptrdiff_t at = slice_find_last_byte(whole, '<');
    if (at == SLICE_NPOS)
        return;
    *name = slice_trim(slice_head(whole, (size_t)at));
    if (name->len >= 2 && name->ptr[0] == '"' && name->ptr[name->len - 1] == '"')
        *name = slice_of(name->ptr + 1, name->len - 2);
}

/* What is common and what is the recipient's own, as one object; the own goes first. */
static bool data_read(struct body *body, const char *field, const json_t *common, const json_t *own,
                      struct arena *arena, struct slice *data)
{
    *data = SLICE("");
    if (own && !json_is_object(own)) {
        body_wrong(body, field, "%s is an object", field);
        return false;
    }
    if (!json_object_size(common) && !json_object_size(own))
        return true;
    json_t *both = json_object();
    if (common)
        json_object_update(both, (json_t *)(uintptr_t)common);
    if (own)
        json_object_update(both, (json_t *)(uintptr_t)own);
    char *text = json_dumps(both, JSON_COMPACT);
    json_decref(both);
    size_t len = text ? strlen(text) : 0;
    if (!text || len > SENDING_DATA_MAX)
        body_wrong(body, field, "%s is larger than %d bytes", field, SENDING_DATA_MAX);
    else
        *data = arena_copy(arena, slice_of(text, len));
    free(text);
    return data->len > 0;
}

static bool person_read(struct body *body, const char *field, const json_t *value, const json_t *common,
                        struct arena *arena, struct sending_person *person)
{
    char below[BODY_FIELD_MAX];
    struct slice whole, text;
    struct address address;
    const json_t *own = NULL;
    if (json_is_object(value)) {
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            if (strcmp(key, "email") != 0 && strcmp(key, "name") != 0 && strcmp(key, "data") != 0) {
                snprintf(below, sizeof(below), "%s.%.60s", field, key);
                body_wrong(body, below, "there is no such member here; a recipient has email, name and data");
                return false;
            }
        }
        snprintf(below, sizeof(below), "%s.email", field);
        if (!body_line_of(body, below, json_object_get(value, "email"), ADDRESS_TEXT_MAX, &text))
            return false;
        const json_t *name = json_object_get(value, "name");
        snprintf(below, sizeof(below), "%s.name", field);
        if (name && !json_is_null(name) && !body_line_of(body, below, name, NAME_MAX_OCTETS, &person->name))
            return false;
        own = json_object_get(value, "data");
        own = json_is_null(own) ? NULL : own;
    } else {
        if (!body_line_of(body, field, value, ADDRESS_TEXT_MAX, &whole))
            return false;
        mailbox_split(whole, &person->name, &text);
        person->name = utf8_head(person->name, NAME_MAX_OCTETS);
    }
    snprintf(below, sizeof(below), json_is_object(value) ? "%s.email" : "%s", field);
    if (!body_address(body, below, text, arena, &address))
        return false;
    person->email = arena_copy(arena, text);
    person->identity = address.identity;
    person->written = address.written;
    person->name = arena_copy(arena, person->name);
    snprintf(below, sizeof(below), json_is_object(value) ? "%s.data" : "data", field);
    data_read(body, below, common, own, arena, &person->data);
    return !body->is_wrong;
}

static bool people_differ(struct body *body, const struct sending *sending)
{
    SCOPED(map) seen = {0};
    if (sending->count == 1)
        return true;
    for (size_t i = 0; i < sending->count; i++) {
        if (map_get(&seen, sending->people[i].identity)) {
            char field[40];
            snprintf(field, sizeof(field), "to[%zu]", i);
            body_wrong(body, field, "%s: this address is there twice", field);
            return false;
        }
        map_set(&seen, sending->people[i].identity, &sending->people[i]);
    }
    return true;
}

static void people_read(struct body *body, struct sending *sending)
{
    const json_t *to = body_member(body, "to"), *common = body_member(body, "data");
    if (common && !json_is_object(common)) {
        body_wrong(body, "data", "data is an object");
        return;
    }
    if (!to || (json_is_array(to) && json_array_size(to) == 0)) {
        body_wrong(body, "to", "to is missing: an address, {email, name, data}, or an array of them");
        return;
    }
    sending->count = json_is_array(to) ? json_array_size(to) : 1;
    if (sending->count > SENDING_RECIPIENTS_MAX) {
        body_wrong(body, "to", "to has more than %d recipients; send several requests", SENDING_RECIPIENTS_MAX);
        return;
    }
    sending->people = ARENA_ARRAY(&sending->arena, struct sending_person, sending->count);
    for (size_t i = 0; i < sending->count; i++) {
        char field[40] = "to";
        if (json_is_array(to))
            snprintf(field, sizeof(field), "to[%zu]", i);
        if (!person_read(body, field, json_is_array(to) ? json_array_get(to, i) : to, common, &sending->arena,
                         &sending->people[i]))
            return;
    }
    people_differ(body, sending);
}

/* ── what is sent ── */

/* From: the brand's, or one at a domain of the brand. */
static void from_read(struct body *body, const struct sender *sender, struct arena *arena,
                      struct content_source *source, struct slice *domain)
{
    struct slice text = sender->brand.from_address, name = sender->brand.from_name;
    struct address address;
    const json_t *value = body_member(body, "from");
    const char *field = json_is_object(value) ? "from.email" : "from";
    if (json_is_object(value)) {
        const json_t *named = json_object_get(value, "name");
        name = SLICE("");
        if (!body_line_of(body, field, json_object_get(value, "email"), ADDRESS_TEXT_MAX, &text) ||
            (named && !json_is_null(named) && !body_line_of(body, "from.name", named, NAME_MAX_OCTETS, &name)))
            return;
    } else if (value) {
        struct slice whole;
        if (!body_line_of(body, field, value, ADDRESS_TEXT_MAX, &whole))
            return;
        mailbox_split(whole, &name, &text);
    }
    if (!body_address(body, field, text, arena, &address))
        return;
    if (!sender_has_domain(sender, address.domain))
        body_wrong(body, field,
                   "the brand does not send from %.*s; its domains are those of its From and of its DKIM keys",
                   SLICE_ARG(slice_head(address.domain, 100)));
    source->from_address = address.written;
    source->from_name = arena_copy(arena, name);
    *domain = address.domain;
}

static void reply_to_read(struct body *body, const struct sender *sender, struct arena *arena,
                          struct content_source *source)
{
    struct address address;
    struct slice text = body_line(body, "reply_to", ADDRESS_TEXT_MAX);
    if (!text.len)
        source->reply_to = arena_copy(arena, sender->brand.reply_to);
    else if (body_address(body, "reply_to", text, arena, &address))
        source->reply_to = address.written;
}

static void headers_read(struct body *body, struct arena *arena, struct content_source *source)
{
    json_t *headers = body_member(body, "headers"), *value;
    const char *key;
    if (headers && !json_is_object(headers)) {
        body_wrong(body, "headers", "headers is an object of names and values");
        return;
    }
    if (json_object_size(headers) > CONTENT_HEADERS_MAX) {
        body_wrong(body, "headers", "headers has more than %d members", CONTENT_HEADERS_MAX);
        return;
    }
    struct content_header *list = ARENA_ARRAY(arena, struct content_header, json_object_size(headers) + 1);
    source->headers = list;
    json_object_foreach(headers, key, value)
    {
        char field[BODY_FIELD_MAX];
        struct content_header *header = &list[source->header_count++];
        snprintf(field, sizeof(field), "headers.%.80s", key);
        if (!content_header_is_free(slice_str(key)))
            body_wrong(body, field, "this header is ours, or no header's name");
        if (!body_line_of(body, field, value, CONTENT_HEADER_VALUE_MAX, &header->value))
            return;
        header->name = arena_copy(arena, slice_str(key));
        header->value = arena_copy(arena, header->value);
    }
}

static bool waives_tls(const struct content_source *source)
{
    struct tls_required seen = {0};
    for (size_t i = 0; i < source->header_count; i++)
        if (slice_equal_caseless(source->headers[i].name, SLICE("TLS-Required")))
            tls_required_take(&seen, source->headers[i].value);
    return tls_required_is_waived(&seen);
}

static void tags_read(struct body *body, struct arena *arena, struct message *message)
{
    json_t *tags = body_member(body, "tags");
    SCOPED(buf) lines = BUF((MESSAGE_TAG_MAX + 1) * MESSAGE_TAGS_MAX);
    if (tags && (!json_is_array(tags) || json_array_size(tags) > MESSAGE_TAGS_MAX)) {
        body_wrong(body, "tags", "tags is an array of at most %d words", MESSAGE_TAGS_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(tags); i++) {
        char field[40];
        struct slice tag;
        snprintf(field, sizeof(field), "tags[%zu]", i);
        if (!body_line_of(body, field, json_array_get(tags, i), MESSAGE_TAG_MAX, &tag))
            return;
        if (!tag.len)
            body_wrong(body, field, "a tag is not empty");
        if (i)
            buf_byte(&lines, '\n');
        buf_append(&lines, tag);
    }
    message->tags = arena_copy(arena, buf_slice(&lines));
    message->label = arena_copy(arena, body_line(body, "label", MESSAGE_TAG_MAX));
}

/* "subject, line 1, column 9: ..." names the member first. */
static void compile_check(struct body *body, const struct letter *letter)
{
    struct content *content;
    struct fault why = {0};
    if (content_compile(&letter->source, &content, &why)) {
        content_free(content);
        return;
    }
    struct slice text = slice_str(why.text), field = text;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ',' || text.ptr[i] == ':') {
            field = slice_head(text, i);
            break;
        }
    }
    char name[BODY_FIELD_MAX];
    snprintf(name, sizeof(name), "%.*s", field.len < sizeof(name) ? (int)field.len : 0, field.ptr);
    body_wrong(body, strncmp(name, "files[", 6) == 0 ? "attachments" : name, "%s", why.text);
}

static void letter_take(struct api *api, struct body *body, const struct sender *sender, struct sending *sending,
                        struct fault *why)
{
    struct arena *arena = &sending->arena;
    struct letter letter = {.wants_unsubscribe = body_bool(body, "unsubscribe", false)};
    struct content_source *source = &letter.source;
    uint64_t content_id = body_id(body, "content_id");
    source->subject = body_line(body, "subject", 2000);
    source->preheader = body_line(body, "preheader", 2000);
    source->html = body_text(body, "html", 2 << 20);
    source->text = body_text(body, "text", 2 << 20);
    from_read(body, sender, arena, source, &sending->message.from_domain);
    reply_to_read(body, sender, arena, source);
    headers_read(body, arena, source);
    sending_files_read(api, body, sender, sending, source);
    if (content_id && (source->subject.len || source->preheader.len || source->html.len || source->text.len))
        body_wrong(body, "content_id", "either content_id, or subject, html and text");
    if (!content_id && !body->is_wrong && !source->html.len && !source->text.len)
        body_wrong(body, "text", "the mail has neither html nor text nor a content_id");
    if (!content_id && !body->is_wrong && !source->subject.len)
        body_wrong(body, "subject", "subject is missing");
    if (body->is_wrong)
        return;
    sending->message.subject = utf8_head(source->subject, SUBJECT_KEPT);
    if (content_id) {
        struct content_version version;
        if (!content_version_find(api->db, why, content_id, arena, &version)) {
            if (why->kind != FAULT_INPUT)
                return;
            why->kind = FAULT_NONE;
            version.brand_id = 0;
        }
        if (version.brand_id != sender->brand.id) {
            body_wrong(body, "content_id", "the brand has no such content");
            return;
        }
        letter.version_id = content_id;
        sending->message.subject = utf8_head(version.subject, SUBJECT_KEPT);
        source->subject = SLICE("-"); /* only for the check of the rest; the version was checked when it was made */
        source->text = SLICE("-");
    }
    compile_check(body, &letter);
    if (content_id)
        source->subject = source->text = SLICE("");
    SCOPED(buf) text = BUF(CONTENT_FILES_BYTES_MAX * 2 + (8 << 20));
    letter_write(&letter, &text);
    if (!buf_ok(&text))
        body_wrong(body, "", "the mail is too large");
    sending->message.body = arena_copy(arena, buf_slice(&text));
    sending->message.mail_from = source->from_address;
    if (waives_tls(source))
        sending->message.flags |= MESSAGE_WAIVES_TLS;
    if (letter.wants_unsubscribe)
        sending->message.flags |= MESSAGE_UNSUBSCRIBE;
}

/* ── when, and how urgent ── */

static void times_read(struct api *api, struct body *body, struct sending *sending)
{
    struct message *message = &sending->message;
    time_ms now = api_now(api), send_at = body_time(body, "send_at"), expires_at = body_time(body, "expires_at");
    struct slice priority = body_line(body, "priority", 30);
    message->now = now;
    message->due = send_at > now ? send_at : now;
    sending->is_scheduled = message->due > now;
    message->expires = expires_at ? expires_at : message->due + api->options.expires_after;
    message->keep_until = message->due + KEEP_BODY_MS;
    message->priority = slice_equal(priority, SLICE("bulk"));
    if (message->due > now + DAYS_MS(SENDING_AHEAD_DAYS))
        body_wrong(body, "send_at", "send_at is more than %d days ahead", SENDING_AHEAD_DAYS);
    if (expires_at && expires_at <= message->due)
        body_wrong(body, "expires_at", "expires_at is not after the time of sending");
    if (expires_at > message->due + DAYS_MS(30))
        body_wrong(body, "expires_at", "expires_at is more than 30 days after the time of sending");
    if (priority.len && !message->priority && !slice_equal(priority, SLICE("transactional")))
        body_wrong(body, "priority", "priority is transactional or bulk");
}

/* ── all of it ── */

static bool read_all(struct api *api, struct http_request *request, struct sending *sending)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct sender *sender;
    if (!repeat_read(request, sending->key_id, &sending->arena, &sending->repeat) || !body_begin(&body, request))
        return false;
    if (!body_brand(api, &body, &sender, &why)) {
        answer_fault(request, &why, 400);
        return false;
    }
    if (!sender)
        return body_end(&body);
    sending->message.brand_id = sender->brand.id;
    sending->message.key_id = sending->key_id;
    sending->message.flags = MESSAGE_LETTER;
    people_read(&body, sending);
    times_read(api, &body, sending);
    tags_read(&body, &sending->arena, &sending->message);
    letter_take(api, &body, sender, sending, &why);
    if (why.kind != FAULT_NONE) {
        answer_fault(request, &why, 400);
        return false;
    }
    return body_end(&body);
}

struct sending *sending_read(struct api *api, struct http_request *request)
{
    struct sending *sending = NEW(struct sending);
    sending->api = api;
    sending->key_id = api_caller(request)->key.id;
    buf_init(&sending->answer, ANSWER_MAX);
    if (read_all(api, request, sending)) {
        /* mails accepted at about the same time lie together: a group commit writes fewer pages */
        time_ms now = sending->message.now;
        sending->message.id = id_make(store_ids(api->options.store), now, (unsigned)(now / TOGETHER_MS % ID_BUCKETS));
        return sending;
    }
    sending_free(sending);
    return NULL;
}
