/* compose.c - a compiled content and a recipient become the complete mail (compose.h) */
#include "content/content_inside.h"

#include "content/links.h"
#include "content/offer.h"
#include "mail/message_id.h"
#include "mime/write.h"

enum { WIRE_MAX = 32 * 1024 * 1024, LINE_MAX = 4 * 1024 * 1024 };

void composed_release(struct composed *composed)
{
    buf_release(&composed->wire);
    buf_release(&composed->line);
    buf_release(&composed->scratch);
    buf_release(&composed->fields);
    arena_release(&composed->arena);
}

static void composed_begin(struct composed *composed, size_t signature_room)
{
    if (!composed->wire.limit) {
        buf_init(&composed->wire, WIRE_MAX);
        buf_init(&composed->line, LINE_MAX);
        buf_init(&composed->scratch, LINE_MAX);
        buf_init(&composed->fields, HEADER_MAX);
    }
    buf_reset(&composed->wire);
    arena_reset(&composed->arena);
    if (buf_reserve(&composed->wire, signature_room))
        buf_advance(&composed->wire, signature_room);
    composed->start = composed->unsigned_start = signature_room;
}

struct job_root {
    const struct compose_job *job;
    struct arena *arena;
    struct offer *offer;
};

static struct liquid_value counted_url(const struct job_root *root, enum token_kind kind, struct slice path,
                                       unsigned number)
{
    const struct compose_job *job = root->job;
    SCOPED(buf) url = BUF(2048);
    buf_append(&url, job->link_base);
    buf_append(&url, path);
    token_make(job->ring, kind, &(struct token){job->delivery_id, number}, job->links_expire, &url);
    return liquid_string(arena_copy(root->arena, buf_slice(&url)));
}

/* The templates' root: the caller's data, then what every mail knows. */
static bool job_member(const void *self, struct slice name, struct liquid_value *value)
{
    const struct job_root *root = self;
    const struct compose_job *job = root->job;
    const struct liquid_value *data = &job->data;
    unsigned number;
    if (job->ring && links_number_of(name, &number)) {
        *value = counted_url(root, TOKEN_CLICK, SLICE("/c/"), number);
        return true;
    }
    if (job->ring && slice_equal(name, SLICE("open_url"))) {
        *value = counted_url(root, TOKEN_OPEN, SLICE("/o/"), 0);
        return true;
    }
    if (offer_block(root->offer, name, value) ||
        (data->kind == LIQUID_OBJECT && data->ref.type->member(data->ref.self, name, value)) ||
        offer_file(root->offer, name, value))
        return true;
    if (job->ring && slice_equal(name, SLICE("preferences_url"))) {
        *value = counted_url(root, TOKEN_PREFERENCES, SLICE("/p/"), 0);
        return true;
    }
    if (slice_equal(name, SLICE("unsubscribe_url")))
        *value = liquid_string(job->unsubscribe_url);
    else if (slice_equal(name, SLICE("email")))
        *value = liquid_string(job->to_address);
    else
        return false;
    return true;
}

static const struct liquid_type job_type = {.member = job_member};

/* Render a one-line template into the scratch. */
static bool render_line(const struct liquid *liquid, const struct liquid_context *context, struct composed *composed,
                        const char *what, struct fault *why)
{
    buf_reset(&composed->scratch);
    return liquid_render(liquid, context, &composed->scratch, why) || fault_prefix(why, "%s, ", what);
}

static bool write_people(const struct content *content, const struct compose_job *job,
                         const struct liquid_context *context, struct composed *composed, struct fault *why)
{
    struct buf *out = &composed->wire;
    if (content->from.ready.len) {
        buf_append(out, buf_slice(&content->from.ready));
    } else if (!render_line(content->from.liquid, context, composed, "from_name", why) ||
               !content_write_from(out, content, buf_slice(&composed->scratch), why)) {
        return false;
    }
    return header_mailbox(out, SLICE("To"), job->to_name, job->to_address) ||
           fault_set(why, FAULT_INPUT, "to_address: \"%.*s\" cannot stand in a header", SLICE_ARG(job->to_address));
}

static bool is_uri(struct slice uri)
{
    for (size_t i = 0; i < uri.len; i++)
        if (uri.ptr[i] <= ' ' || uri.ptr[i] == '<' || uri.ptr[i] == '>' || uri.ptr[i] == 0x7f)
            return false;
    return true;
}

/* RFC 2369 and RFC 8058: the https address first, one click only when there is one (M46). */
static bool write_unsubscribe(const struct compose_job *job, struct composed *composed, struct fault *why)
{
    struct buf *value = &composed->scratch;
    if (!job->unsubscribe_url.len && !job->unsubscribe_mailto.len)
        return true;
    buf_reset(value);
    if (job->unsubscribe_url.len) {
        buf_byte(value, '<');
        buf_append(value, job->unsubscribe_url);
        buf_append(value, job->unsubscribe_mailto.len ? SLICE(">, ") : SLICE(">"));
    }
    if (job->unsubscribe_mailto.len) {
        buf_byte(value, '<');
        buf_append(value, job->unsubscribe_mailto);
        buf_byte(value, '>');
    }
    if (!is_uri(job->unsubscribe_url) || !is_uri(job->unsubscribe_mailto) ||
        !header_tokens(&composed->wire, SLICE("List-Unsubscribe"), buf_slice(value)))
        return fault_set(why, FAULT_INPUT, "the unsubscribe address cannot stand in a header");
    if (job->unsubscribe_url.len)
        buf_text(&composed->wire, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
    return true;
}

static bool write_headers(const struct content *content, const struct compose_job *job,
                          const struct liquid_context *context, struct composed *composed, struct fault *why)
{
    struct buf *out = &composed->wire;
    header_date(out, SLICE("Date"), job->date, job->date_offset_minutes);
    if (!write_people(content, job, context, composed, why))
        return false;
    if (content->subject.ready.len) {
        buf_append(out, buf_slice(&content->subject.ready));
    } else {
        if (!render_line(content->subject.liquid, context, composed, "subject", why))
            return false;
        header_text(out, SLICE("Subject"), buf_slice(&composed->scratch));
    }
    buf_text(out, "Message-ID: ");
    message_id_make(out, job->delivery_id, job->message_domain);
    buf_text(out, "\r\n");
    buf_append(out, buf_slice(&content->fixed));
    if (!write_unsubscribe(job, composed, why))
        return false;
    if (job->feedback_id.len && !header_tokens(out, SLICE("Feedback-ID"), job->feedback_id))
        return fault_set(why, FAULT_INPUT, "feedback_id cannot stand in a header");
    buf_text(out, "MIME-Version: 1.0\r\n");
    return true;
}

static bool write_part(const struct body *body, struct slice type, const struct liquid_context *context,
                       struct composed *composed, struct fault *why)
{
    struct buf *out = &composed->wire;
    buf_text(out, "Content-Type: ");
    buf_append(out, type);
    buf_text(out, "; charset=utf-8\r\nContent-Transfer-Encoding: ");
    buf_append(out, transfer_word(body_transfer(body)));
    buf_text(out, "\r\n\r\n");
    return body_render(body, context, out, &composed->line, &composed->scratch, why) ||
           fault_prefix(why, "%s, ", slice_equal(type, SLICE("text/html")) ? "html" : "text");
}

static void write_delimiter(struct buf *out, uint64_t id, unsigned place, struct slice end)
{
    buf_text(out, "--");
    boundary_make(out, id, place);
    buf_append(out, end);
}

static bool write_alternatives(const struct content *content, const struct compose_job *job,
                               const struct liquid_context *context, struct composed *composed, struct fault *why)
{
    struct buf *out = &composed->wire;
    if (!content->html)
        return write_part(content->text, SLICE("text/plain"), context, composed, why);
    buf_text(out, "Content-Type: multipart/alternative; boundary=\"");
    boundary_make(out, job->delivery_id, 0);
    buf_text(out, "\"\r\n\r\n");
    write_delimiter(out, job->delivery_id, 0, SLICE("\r\n"));
    if (!write_part(content->text, SLICE("text/plain"), context, composed, why))
        return false;
    write_delimiter(out, job->delivery_id, 0, SLICE("\r\n"));
    if (!write_part(content->html, SLICE("text/html"), context, composed, why))
        return false;
    write_delimiter(out, job->delivery_id, 0, SLICE("--\r\n"));
    return true;
}

static bool write_bodies(const struct content *content, const struct compose_job *job,
                         const struct liquid_context *context, struct composed *composed, struct fault *why)
{
    struct buf *out = &composed->wire;
    if (!content->file_count)
        return write_alternatives(content, job, context, composed, why);
    buf_text(out, "Content-Type: multipart/mixed; boundary=\"");
    boundary_make(out, job->delivery_id, 1);
    buf_text(out, "\"\r\n\r\n");
    write_delimiter(out, job->delivery_id, 1, SLICE("\r\n"));
    if (!write_alternatives(content, job, context, composed, why))
        return false;
    for (size_t i = 0; i < content->file_count; i++) {
        write_delimiter(out, job->delivery_id, 1, SLICE("\r\n"));
        buf_append(out, buf_slice(&content->files[i]));
        if (!slice_ends(buf_slice(&content->files[i]), SLICE("\r\n")))
            buf_text(out, "\r\n");
    }
    write_delimiter(out, job->delivery_id, 1, SLICE("--\r\n"));
    return true;
}

static bool sign(struct dkim_signer *signer, const struct compose_job *job, struct composed *composed,
                 struct fault *why)
{
    struct slice mail = slice_from(buf_slice(&composed->wire), composed->unsigned_start);
    buf_reset(&composed->fields);
    if (!dkim_sign(signer, mail, job->date / 1000, &composed->fields, why))
        return false;
    struct slice fields = buf_slice(&composed->fields);
    if (fields.len > composed->unsigned_start)
        return fault_set(why, FAULT_LIMIT, "the signatures do not fit in front of the mail");
    composed->start = composed->unsigned_start - fields.len;
    memcpy(composed->wire.ptr + composed->start, fields.ptr, fields.len);
    return true;
}

bool compose_mail(const struct content *content, const struct compose_job *job, struct dkim_signer *signer,
                  struct composed *composed, struct fault *why)
{
    composed_begin(composed, signer ? dkim_signer_count(signer) * DKIM_HEADER_ROOM : 0);
    struct offer offer = {.job = job,
                          .links = content->links,
                          .link_count = content->link_count,
                          .is_japanese = content->is_japanese,
                          .arena = &composed->arena};
    const struct job_root root = {job, &composed->arena, &offer};
    const struct liquid_context context = {.root = liquid_object(&job_type, &root),
                                           .now = job->date,
                                           .offset_minutes = job->date_offset_minutes,
                                           .arena = &composed->arena};
    if (!write_headers(content, job, &context, composed, why) || !write_bodies(content, job, &context, composed, why))
        return false;
    if (offer.why.kind != FAULT_NONE) {
        *why = offer.why;
        return false;
    }
    if (!buf_ok(&composed->wire))
        return fault_set(why, FAULT_LIMIT, "the mail is larger than %d MB", WIRE_MAX >> 20);
    return !signer || sign(signer, job, composed, why);
}
