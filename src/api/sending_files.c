/* sending_files.c - the attachments of POST /messages: with the mail, or as links for download (S27)
 *
 * A link is an attachment that says `link: true`, one that is larger than content.attachment_link_bytes and does not
 * say `link: false`, and a file that was added before (`file_id`). Its bytes are written with the mail, in one
 * transaction, once for all its recipients. What the HTML shows inline (content_id) is never one. */
#include "api/sending.h"

#include "base/base64.h"
#include "hosted/name.h"
#include <stdio.h>

enum { LINK_BYTES_MAX = 32 << 20 /* more than fits into a request */ };

/* One attachment as it was given. */
struct given {
    struct content_file file;
    uint64_t file_id;
    bool is_link, is_no_link;
};

static void field_print(char field[BODY_FIELD_MAX], size_t index, const char *member)
{
    snprintf(field, BODY_FIELD_MAX, "attachments[%zu]%s%s", index, *member ? "." : "", member);
}

static void content_read(struct body *body, size_t index, const json_t *content, struct arena *arena,
                         struct given *given)
{
    char field[BODY_FIELD_MAX];
    SCOPED(buf) bytes = BUF(given->is_no_link ? CONTENT_FILES_BYTES_MAX + 4 : LINK_BYTES_MAX);
    field_print(field, index, "content");
    if (!json_is_string(content) ||
        !base64_decode(&bytes, slice_of(json_string_value(content), json_string_length(content))) || !buf_ok(&bytes))
        body_wrong(body, field, "content is the file in base64, at most %d MB; or file_id names one",
                   CONTENT_FILES_BYTES_MAX >> 20);
    else
        given->file.bytes = arena_copy(arena, buf_slice(&bytes));
}

static void given_read(struct body *body, size_t index, const json_t *value, struct arena *arena, struct given *given)
{
    static const char *const members[] = {"name", "type", "content_id"};
    struct slice *const texts[] = {&given->file.name, &given->file.type, &given->file.content_id};
    char field[BODY_FIELD_MAX];
    field_print(field, index, "");
    if (!json_is_object(value)) {
        body_wrong(body, field, "an attachment is an object with name, type and content (base64)");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const json_t *text = json_object_get(value, members[i]);
        field_print(field, index, members[i]);
        if (text && !json_is_null(text) && !body_line_of(body, field, text, 250, texts[i]))
            return;
        *texts[i] = arena_copy(arena, *texts[i]);
    }
    const json_t *link = json_object_get(value, "link"), *file_id = json_object_get(value, "file_id");
    given->is_link = json_is_true(link);
    given->is_no_link = json_is_false(link);
    if (link && !json_is_boolean(link) && !json_is_null(link)) {
        field_print(field, index, "link");
        body_wrong(body, field, "link is true or false");
    } else if (given->is_link && given->file.content_id.len) {
        field_print(field, index, "link");
        body_wrong(body, field, "what the HTML shows inline is no link");
    } else if (!file_id || json_is_null(file_id)) {
        content_read(body, index, json_object_get(value, "content"), arena, given);
    } else if (!json_is_string(file_id) ||
               !id_parse(slice_of(json_string_value(file_id), json_string_length(file_id)), &given->file_id) ||
               given->is_no_link || json_object_get(value, "content")) {
        field_print(field, index, "file_id");
        body_wrong(body, field, "file_id is the id of a file (GET /files), which goes as a link, without content");
    }
}

/* One that was added before. */
static void stored_take(struct api *api, struct body *body, size_t index, const struct given *given,
                        const struct sender *sender, struct sending *sending, struct sending_link *link)
{
    char field[BODY_FIELD_MAX];
    struct fault why = {0};
    bool found = false;
    bool is_read =
        hosted_find(api->db, &why, given->file_id, sending->message.due, &sending->arena, &link->file, &found);
    link->is_stored = true;
    field_print(field, index, "file_id");
    if (!is_read)
        body_wrong(body, field, "the file cannot be read now: %s", why.text);
    else if (!found || link->file.brand_id != sender->brand.id || link->file.state != HOSTED_THERE)
        body_wrong(body, field, "the brand has no such file when the mail goes");
}

static void link_take(struct api *api, struct body *body, size_t index, const struct given *given,
                      const struct sender *sender, struct sending *sending, struct sending_link *link)
{
    char field[BODY_FIELD_MAX];
    SCOPED(buf) name = BUF(HOSTED_NAME_MAX + 1);
    struct slice type;
    field_print(field, index, "type");
    hosted_name_clean(given->file.name, &name);
    if (!hosted_type_of(given->file.type, buf_slice(&name), &type))
        body_wrong(body, field, "this is no media type; application/pdf is one");
    link->bytes = given->file.bytes;
    link->file = (struct hosted_file){
        .id = id_make_anywhere(store_ids(api->options.store), sending->message.now),
        .brand_id = sender->brand.id,
        .key_id = sending->key_id,
        .name = arena_copy(&sending->arena, buf_slice(&name)),
        .type = type,
        .body = {.size_bytes = given->file.bytes.len},
        .created = sending->message.now,
        .expires = sending->message.due + api->options.file_expires_after,
    };
}

/* Links need a link address, and keys for their tokens. */
static bool can_link(const struct api *api, const struct sender *sender)
{
    return sender->brand.link_base.len && token_ring_has(api->options.ring, TOKEN_FILE);
}

static bool is_link(const struct api *api, const struct sender *sender, const struct given *given)
{
    if (given->is_link || given->file_id)
        return true;
    return api->options.attachment_link && !given->is_no_link && !given->file.content_id.len &&
           given->file.bytes.len > api->options.attachment_link && can_link(api, sender);
}

static void one_take(struct api *api, struct body *body, size_t index, const json_t *value, const struct sender *sender,
                     struct sending *sending, struct content_file *files, size_t *file_count)
{
    char field[BODY_FIELD_MAX];
    struct given given = {0};
    given_read(body, index, value, &sending->arena, &given);
    if (body->is_wrong)
        return;
    field_print(field, index, "link");
    if (!is_link(api, sender, &given)) {
        files[(*file_count)++] = given.file;
        return;
    }
    struct sending_link *link = &sending->links[sending->link_count++];
    if (!can_link(api, sender))
        body_wrong(body, field, "the brand has no address for links");
    else if (given.file_id)
        stored_take(api, body, index, &given, sender, sending, link);
    else
        link_take(api, body, index, &given, sender, sending, link);
}

void sending_files_read(struct api *api, struct body *body, const struct sender *sender, struct sending *sending,
                        struct content_source *source)
{
    json_t *list = body_member(body, "attachments");
    size_t count = json_array_size(list);
    if (!list)
        return;
    if (!json_is_array(list) || count > CONTENT_FILES_MAX) {
        body_wrong(body, "attachments", "attachments is an array of at most %d files", CONTENT_FILES_MAX);
        return;
    }
    struct content_file *files = ARENA_ARRAY(&sending->arena, struct content_file, count + 1);
    struct content_link *links = ARENA_ARRAY(&sending->arena, struct content_link, count + 1);
    sending->links = ARENA_ARRAY(&sending->arena, struct sending_link, count + 1);
    for (size_t i = 0; i < count && !body->is_wrong; i++)
        one_take(api, body, i, json_array_get(list, i), sender, sending, files, &source->file_count);
    for (size_t i = 0; i < sending->link_count; i++) {
        const struct hosted_file *file = &sending->links[i].file;
        links[i] = (struct content_link){file->id, file->name, file->body.size_bytes, file->expires};
    }
    source->files = files;
    source->links = links;
    source->link_count = sending->link_count;
}

bool sending_files_keep(struct sending *sending, struct db *db, struct fault *why)
{
    for (size_t i = 0; i < sending->link_count; i++) {
        struct sending_link *link = &sending->links[i];
        if (link->is_stored)
            continue;
        link->file.message_id = sending->message.id;
        if (!hosted_body_put(db, why, link->bytes, sending->message.now, &link->file.body) ||
            !hosted_add(db, why, &link->file))
            return false;
    }
    return true;
}
