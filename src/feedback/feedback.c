#include "feedback/feedback.h"

#include "feedback/private.h"
#include "feedback/unpack.h"

struct slice feedback_kind_word(enum feedback_kind kind)
{
#define FEEDBACK_WORD(NAME, word, number)                                                                              \
    case FEEDBACK_##NAME: return SLICE(#word);
    switch (kind) {
        FEEDBACK_KINDS(FEEDBACK_WORD)
    case FEEDBACK_NONE: break;
    }
    return SLICE("none");
}

struct slice feedback_lower(struct slice text, struct arena *arena)
{
    struct slice copy = arena_copy(arena, text);
    char *at = (char *)(uintptr_t)copy.ptr;
    for (size_t i = 0; i < copy.len; i++)
        at[i] = ascii_lower(at[i]);
    return copy;
}

uint64_t feedback_count(struct slice text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len && ascii_is_digit(text.ptr[i]); i++) {
        if (number > (uint64_t)INT64_MAX / 10 - 1)
            return INT64_MAX;
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return number;
}

struct slice feedback_domain(const struct feedback *feedback)
{
    switch (feedback->kind) {
    case FEEDBACK_DMARC: return feedback->policy.domain;
    case FEEDBACK_TLS: return feedback->policy_count ? feedback->policies[0].domain : SLICE("");
    case FEEDBACK_FAILURE:
    case FEEDBACK_ABUSE: return feedback_field(feedback, SLICE("Reported-Domain"));
    case FEEDBACK_NONE: break;
    }
    return SLICE("");
}

struct slice feedback_field(const struct feedback *feedback, struct slice name)
{
    for (unsigned i = 0; i < feedback->field_count; i++)
        if (slice_equal_caseless(feedback->fields[i].name, name))
            return feedback->fields[i].value;
    return (struct slice){0};
}

/* The first bytes behind byte order mark and white space. */
static struct slice beginning(struct slice bytes)
{
    if (slice_starts(bytes, SLICE("\xef\xbb\xbf")))
        bytes = slice_from(bytes, 3);
    while (bytes.len && ascii_is_space(bytes.ptr[0]))
        bytes = slice_from(bytes, 1);
    return slice_head(bytes, 4096);
}

static bool is_utf16(struct slice bytes)
{
    return slice_starts(bytes, SLICE("\xff\xfe<")) || slice_starts(bytes, SLICE("\xfe\xff\0<"));
}

static bool is_xml(struct slice bytes)
{
    struct slice head = beginning(bytes);
    return is_utf16(bytes) || slice_starts_caseless(head, SLICE("<?xml")) ||
           slice_starts_caseless(head, SLICE("<!DOCTYPE")) || slice_starts(head, SLICE("<!--")) ||
           (head.len && head.ptr[0] == '<' && slice_find_caseless(slice_head(head, 128), SLICE("feedback")) > 0);
}

static bool is_json(struct slice bytes)
{
    struct slice head = beginning(bytes);
    return head.len && head.ptr[0] == '{';
}

/* A report file: packed or not. */
static bool file_read(struct slice bytes, struct arena *arena, struct feedback *feedback, struct fault *why)
{
    SCOPED(buf) out = {0};
    struct slice content;
    if (!unpack(bytes, &out, &content, why))
        return false;
    if (is_json(content))
        return feedback_read_tls(content, arena, feedback, why);
    if (is_xml(content))
        return feedback_read_xml(content, arena, feedback, why);
    return fault_set(why, FAULT_INPUT, "what is in the archive is neither XML nor JSON");
}

/* Does the part look like a report, by its first bytes? Its type may say anything. */
static bool is_candidate(const struct mime_part *part, struct arena *arena)
{
    if (slice_equal_caseless(part->type, SLICE("multipart")) || part->body.len < 16)
        return false;
    struct mime_part front = *part;
    front.body = slice_head(part->body, 2048);
    struct slice head = mime_body(&front, 2048, arena);
    bool is_html = mime_is(part, "text", "html") || slice_find_caseless(slice_head(head, 256), SLICE("<html")) >= 0;
    return unpack_is_packed(head) || (is_xml(head) && !is_html) ||
           (is_json(head) && (slice_find(head, SLICE("-name\"")) >= 0 || slice_find(head, SLICE("report")) >= 0));
}

static bool mail_read(struct slice bytes, struct arena *arena, struct feedback *feedback, struct fault *why)
{
    struct mime_mail *mail = ARENA_NEW(arena, struct mime_mail);
    struct fault first = {0};
    mime_read(bytes, arena, mail);
    for (unsigned i = 0; i < mail->part_count; i++)
        if (mime_is(&mail->parts[i], "message", "feedback-report") && feedback_read_arf(mail, i, arena, feedback))
            return true;
    for (unsigned i = 0; i < mail->part_count; i++) {
        const struct mime_part *part = &mail->parts[i];
        if (!is_candidate(part, arena))
            continue;
        if (file_read(mime_body(part, FEEDBACK_INFLATED_MAX, arena), arena, feedback, why))
            return true;
        if (!first.kind)
            first = *why;
    }
    bool is_feedback = slice_equal_caseless(
        mime_param(mime_header(mail, 0, SLICE("Content-Type")), SLICE("report-type"), arena), SLICE("feedback-report"));
    for (unsigned i = 1; i < mail->part_count && is_feedback; i++) /* the fields in a part of another type */
        if (mime_is(&mail->parts[i], "text", "plain") && feedback_read_arf(mail, i, arena, feedback))
            return true;
    if (first.kind) {
        *why = first;
        return false;
    }
    *feedback = (struct feedback){.is_absent = true};
    return fault_set(why, FAULT_INPUT, "there is no report in this mail");
}

bool feedback_read(struct slice bytes, struct arena *arena, struct feedback *feedback, struct fault *why)
{
    *feedback = (struct feedback){0};
    if (!bytes.len)
        return fault_set(why, FAULT_INPUT, "the file is empty");
    SCOPED(buf) nothing = {0};
    struct slice content;
    if (unpack_is_packed(bytes) || is_xml(bytes) || is_json(bytes))
        return file_read(bytes, arena, feedback, why);
    if (!unpack(bytes, &nothing, &content, why)) /* 7z, rar: says so */
        return false;
    return mail_read(bytes, arena, feedback, why);
}
