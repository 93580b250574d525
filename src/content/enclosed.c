#include "content/enclosed.h"

#include "base/utf8.h"
#include "mime/write.h"

static bool is_token(struct slice text, const char *besides)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && (text.ptr[i] == '\0' || !strchr(besides, text.ptr[i])))
            return false;
    return text.len > 0;
}

bool content_header_is_free(struct slice name)
{
    static const struct slice ours[] = {
        SLICE_INIT("From"),
        SLICE_INIT("To"),
        SLICE_INIT("Cc"),
        SLICE_INIT("Bcc"),
        SLICE_INIT("Sender"),
        SLICE_INIT("Reply-To"),
        SLICE_INIT("Subject"),
        SLICE_INIT("Date"),
        SLICE_INIT("Message-ID"),
        SLICE_INIT("Return-Path"),
        SLICE_INIT("Received"),
        SLICE_INIT("Received-SPF"),
        SLICE_INIT("Delivered-To"),
        SLICE_INIT("Feedback-ID"),
        SLICE_INIT("MIME-Version"),
        SLICE_INIT("List-Id"),
        SLICE_INIT("Authentication-Results"),
    };
    static const struct slice families[] = {
        SLICE_INIT("Content-"),         SLICE_INIT("Resent-"),   SLICE_INIT("DKIM-"),     SLICE_INIT("ARC-"),
        SLICE_INIT("List-Unsubscribe"), SLICE_INIT("X-Todoke-"), SLICE_INIT("DomainKey-")};
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (slice_equal_caseless(name, ours[i]))
            return false;
    for (size_t i = 0; i < COUNT_OF(families); i++)
        if (slice_starts_caseless(name, families[i]))
            return false;
    return name.len <= CONTENT_HEADER_NAME_MAX && is_token(name, "-_");
}

bool enclosed_headers(const struct content_source *source, struct buf *fixed, struct fault *why)
{
    if (source->header_count > CONTENT_HEADERS_MAX)
        return fault_set(why, FAULT_INPUT, "headers: more than %d", CONTENT_HEADERS_MAX);
    for (size_t i = 0; i < source->header_count; i++) {
        const struct content_header *header = &source->headers[i];
        if (!content_header_is_free(header->name))
            return fault_set(why, FAULT_INPUT, "headers[%zu]: \"%.*s\" is no header that may be set", i,
                             SLICE_ARG(slice_head(header->name, 60)));
        if (header->value.len > CONTENT_HEADER_VALUE_MAX)
            return fault_set(why, FAULT_INPUT, "headers[%zu]: longer than %d bytes", i, CONTENT_HEADER_VALUE_MAX);
        header_text(fixed, header->name, header->value);
    }
    return buf_ok(fixed) || fault_set(why, FAULT_INPUT, "headers: larger than %d KB", 64);
}

bool enclosed_file(const struct content_file *file, size_t index, struct buf *out, struct fault *why)
{
    struct slice type = file->type.len ? file->type : SLICE("application/octet-stream"), main_type, rest = type;
    if (type.len > 100 || !slice_split(&rest, '/', &main_type) || !is_token(main_type, "!#$&-^_.+") ||
        !is_token(rest, "!#$&-^_.+") || slice_equal_caseless(main_type, SLICE("multipart")) ||
        slice_equal_caseless(main_type, SLICE("message")))
        return fault_set(why, FAULT_INPUT, "files[%zu]: \"%.*s\" is no type of a file, like application/pdf", index,
                         SLICE_ARG(slice_head(type, 60)));
    if (file->content_id.len > 200 || (file->content_id.len && !is_token(file->content_id, "-_.@+")))
        return fault_set(why, FAULT_INPUT, "files[%zu]: a content id has letters, digits and -_.@+ only", index);
    const struct part part = {.kind = PART_FILE,
                              .type = type,
                              .parameters = slice_equal_caseless(main_type, SLICE("text")) && utf8_is_valid(file->bytes)
                                                ? SLICE("charset=utf-8")
                                                : SLICE(""),
                              .content = file->bytes,
                              .filename = utf8_head(file->name, 200),
                              .content_id = file->content_id};
    buf_init(out, CONTENT_FILES_BYTES_MAX * 2);
    return part_write(out, &part, 0, why) && (buf_ok(out) || fault_set(why, FAULT_INPUT, "files[%zu]: too big", index));
}
