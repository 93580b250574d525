#include "content/letter.h"

#include "base/base64.h"
#include "base/json.h"
#include <jansson.h>
#include <stdio.h>

/* The texts of a letter, by the names they are kept under. */
#define LETTER_TEXTS(X)                                                                                                \
    X(subject)                                                                                                         \
    X(preheader)                                                                                                       \
    X(html)                                                                                                            \
    X(text)                                                                                                            \
    X(from_name)                                                                                                       \
    X(from_address)                                                                                                    \
    X(reply_to)

static void text_put(struct json *json, const char *key, struct slice value)
{
    if (!value.len)
        return;
    json_key_slice(json, slice_str(key));
    json_text(json, value);
}

void letter_write(const struct letter *letter, struct buf *out)
{
    const struct content_source *source = &letter->source;
    struct json json = {out};
    json_object_begin(&json);
#define PUT(field) text_put(&json, #field, source->field);
    LETTER_TEXTS(PUT)
#undef PUT
    if (letter->version_id) {
        char id[24];
        snprintf(id, sizeof(id), "%llu", (unsigned long long)letter->version_id);
        text_put(&json, "version", slice_str(id));
    }
    if (letter->wants_unsubscribe)
        json_put_bool(&json, "unsubscribe", true);
    if (source->header_count) {
        json_put_array(&json, "headers");
        for (size_t i = 0; i < source->header_count; i++) {
            json_text(&json, source->headers[i].name);
            json_text(&json, source->headers[i].value);
        }
        json_end(&json);
    }
    if (source->file_count) {
        json_put_array(&json, "files");
        for (size_t i = 0; i < source->file_count; i++) {
            SCOPED(buf) bytes = BUF(CONTENT_FILES_BYTES_MAX * 2);
            base64_encode(&bytes, source->files[i].bytes);
            json_object_begin(&json);
            text_put(&json, "name", source->files[i].name);
            text_put(&json, "type", source->files[i].type);
            text_put(&json, "content_id", source->files[i].content_id);
            json_put_string(&json, "bytes", buf_slice(&bytes));
            json_end(&json);
        }
        json_end(&json);
    }
    if (source->link_count) {
        json_put_array(&json, "links");
        for (size_t i = 0; i < source->link_count; i++) {
            json_object_begin(&json);
            json_put_id(&json, "id", source->links[i].file_id);
            text_put(&json, "name", source->links[i].name);
            json_put_int(&json, "size", (int64_t)source->links[i].size_bytes);
            json_put_int(&json, "expires", source->links[i].expires);
            json_end(&json);
        }
        json_end(&json);
    }
    json_end(&json);
}

static struct slice text_get(const json_t *object, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? arena_copy(arena, slice_of(json_string_value(value), json_string_length(value)))
                                 : SLICE("");
}

static struct slice item_get(const json_t *array, size_t index, struct arena *arena)
{
    const json_t *value = json_array_get(array, index);
    return json_is_string(value) ? arena_copy(arena, slice_of(json_string_value(value), json_string_length(value)))
                                 : SLICE("");
}

static bool files_read(const json_t *files, struct arena *arena, struct content_source *source)
{
    size_t count = json_array_size(files);
    struct content_file *list = ARENA_ARRAY(arena, struct content_file, count + 1);
    if (count > CONTENT_FILES_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *file = json_array_get(files, i);
        SCOPED(buf) bytes = BUF(CONTENT_FILES_BYTES_MAX + 4);
        list[i].name = text_get(file, "name", arena);
        list[i].type = text_get(file, "type", arena);
        list[i].content_id = text_get(file, "content_id", arena);
        if (!base64_decode(&bytes, text_get(file, "bytes", arena)) || !buf_ok(&bytes))
            return false;
        list[i].bytes = arena_copy(arena, buf_slice(&bytes));
    }
    source->files = list;
    source->file_count = count;
    return true;
}

static bool links_read(const json_t *links, struct arena *arena, struct content_source *source)
{
    size_t count = json_array_size(links);
    struct content_link *list = ARENA_ARRAY(arena, struct content_link, count + 1);
    if (count > CONTENT_FILES_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *link = json_array_get(links, i);
        list[i].name = text_get(link, "name", arena);
        list[i].size_bytes = (uint64_t)json_integer_value(json_object_get(link, "size"));
        list[i].expires = json_integer_value(json_object_get(link, "expires"));
        if (!slice_to_u64(text_get(link, "id", arena), &list[i].file_id))
            return false;
    }
    source->links = list;
    source->link_count = count;
    return true;
}

bool letter_read(struct slice text, struct arena *arena, struct letter *letter, struct fault *why)
{
    json_t *object = json_loadb(text.ptr, text.len, 0, NULL);
    struct content_source *source = &letter->source;
    *letter = (struct letter){0};
#define GET(field) source->field = text_get(object, #field, arena);
    LETTER_TEXTS(GET)
#undef GET
    struct slice version = text_get(object, "version", arena);
    const json_t *headers = json_object_get(object, "headers");
    source->header_count = json_array_size(headers) / 2;
    struct content_header *list = ARENA_ARRAY(arena, struct content_header, source->header_count + 1);
    for (size_t i = 0; i < source->header_count; i++)
        list[i] = (struct content_header){item_get(headers, 2 * i, arena), item_get(headers, 2 * i + 1, arena)};
    source->headers = list;
    letter->wants_unsubscribe = json_is_true(json_object_get(object, "unsubscribe"));
    bool ok = json_is_object(object) && (!version.len || slice_to_u64(version, &letter->version_id)) &&
              files_read(json_object_get(object, "files"), arena, source) &&
              links_read(json_object_get(object, "links"), arena, source);
    json_decref(object);
    return ok || fault_set(why, FAULT_INPUT, "the stored letter cannot be read");
}
