/* content_compile.c - once for a content version: whatever does not depend on the recipient (compose.h) */
#include "content/content_inside.h"

#include "base/utf8.h"
#include "content/enclosed.h"
#include "content/links.h"
#include "content/liquid_private.h"
#include "content/offer.h"
#include "content/twin.h"
#include "mime/write.h"

static bool compile_one(struct slice source, bool is_html, struct liquid **liquid, const char *what, struct fault *why)
{
    return liquid_compile(source, is_html, liquid, NULL, why) || fault_prefix(why, "%s, ", what);
}

bool content_write_from(struct buf *out, const struct content *content, struct slice name, struct fault *why)
{
    return header_mailbox(out, SLICE("From"), name, slice_str(content->from_address)) ||
           fault_set(why, FAULT_INPUT, "from_address, line 1, column 1: \"%s\" is no address", content->from_address);
}

/* What is the same for everybody is written now; the sender's address is checked in any case. */
static bool compile_ready(struct content *content, struct fault *why)
{
    SCOPED(arena) arena = {0};
    SCOPED(buf) line = BUF(HEADER_MAX);
    const struct liquid_context nobody = {.arena = &arena};
    bool is_same_from = liquid_is_static(content->from.liquid),
         is_same_subject = liquid_is_static(content->subject.liquid);
    if (is_same_from && !liquid_render(content->from.liquid, &nobody, &line, why))
        return fault_prefix(why, "from_name, ");
    if (!content_write_from(&content->from.ready, content, buf_slice(&line), why))
        return false;
    if (!is_same_from)
        buf_reset(&content->from.ready);
    buf_reset(&line);
    if (!is_same_subject)
        return true;
    if (!liquid_render(content->subject.liquid, &nobody, &line, why))
        return fault_prefix(why, "subject, ");
    header_text(&content->subject.ready, SLICE("Subject"), buf_slice(&line));
    return true;
}

static bool compile_headers(struct content *content, const struct content_source *source, struct fault *why)
{
    content->from_address = slice_dup(source->from_address);
    buf_init(&content->from.ready, HEADER_MAX);
    buf_init(&content->subject.ready, HEADER_MAX);
    buf_init(&content->fixed, HEADER_MAX);
    if (!compile_one(source->from_name, false, &content->from.liquid, "from_name", why) ||
        !compile_one(source->subject, false, &content->subject.liquid, "subject", why) || !compile_ready(content, why))
        return false;
    if (source->reply_to.len && !header_mailbox(&content->fixed, SLICE("Reply-To"), SLICE(""), source->reply_to))
        return fault_set(why, FAULT_INPUT, "reply_to, line 1, column 1: \"%.*s\" is no address",
                         SLICE_ARG(source->reply_to));
    return true;
}

/* List-Id: name <id> (RFC 2919); the id is a name like a domain's. */
static bool compile_list_id(struct content *content, const struct content_source *source, struct fault *why)
{
    if (!source->list_id.len)
        return true;
    for (size_t i = 0; i < source->list_id.len; i++)
        if (!ascii_is_alnum(source->list_id.ptr[i]) && !memchr("-_.", source->list_id.ptr[i], 3))
            return fault_set(why, FAULT_INPUT,
                             "list_id, line 1, column %zu: only letters, digits, \"-\", \"_\" and \".\"", i + 1);
    if (source->list_id.len > 250)
        return fault_set(why, FAULT_INPUT, "list_id, line 1, column 1: longer than 250");
    buf_text(&content->fixed, "List-Id: ");
    size_t column = sizeof("List-Id: ") - 1;
    if (source->list_name.len)
        column = encoded_words(&content->fixed, utf8_head(source->list_name, 200), column, true);
    if (source->list_name.len)
        buf_append(&content->fixed, column + source->list_id.len + 3 > LINE_FOLD_COLUMNS ? SLICE("\r\n ") : SLICE(" "));
    buf_byte(&content->fixed, '<');
    buf_append(&content->fixed, source->list_id);
    buf_text(&content->fixed, ">\r\n");
    return true;
}

/* --- files --- */

static bool compile_files(struct content *content, const struct content_source *source, struct fault *why)
{
    size_t bytes = 0;
    if (source->file_count > CONTENT_FILES_MAX)
        return fault_set(why, FAULT_INPUT, "files: more than %d", CONTENT_FILES_MAX);
    content->files = NEW_ARRAY(struct buf, source->file_count + 1);
    for (; content->file_count < source->file_count; content->file_count++) {
        size_t index = content->file_count;
        bytes += source->files[index].bytes.len;
        if (bytes > CONTENT_FILES_BYTES_MAX)
            return fault_set(why, FAULT_INPUT, "files[%zu]: all files together are larger than %d MB", index,
                             CONTENT_FILES_BYTES_MAX >> 20);
        if (!enclosed_file(&source->files[index], index, &content->files[index], why)) {
            buf_release(&content->files[index]);
            return false;
        }
    }
    return true;
}

static bool compile_links(struct content *content, const struct content_source *source, struct fault *why)
{
    if (source->link_count > CONTENT_FILES_MAX)
        return fault_set(why, FAULT_INPUT, "files: more than %d", CONTENT_FILES_MAX);
    content->is_japanese =
        text_is_japanese(source->subject) || text_is_japanese(source->text) || text_is_japanese(source->html);
    content->links = NEW_ARRAY(struct content_link, source->link_count + 1);
    for (; content->link_count < source->link_count; content->link_count++) {
        struct content_link *link = &content->links[content->link_count];
        *link = source->links[content->link_count];
        link->name = slice_of(slice_dup(link->name), link->name.len);
    }
    return true;
}

/* Where the body's own markup begins: behind <body ...>; the start when there is none. */
static size_t body_start(struct slice html)
{
    ptrdiff_t at = slice_find_caseless(html, SLICE("<body"));
    if (at == SLICE_NPOS)
        return 0;
    ptrdiff_t end = slice_find_byte(slice_from(html, (size_t)at), '>');
    return end == SLICE_NPOS ? 0 : (size_t)(at + end) + 1;
}

/* The HTML as it will be sent: a document around a fragment, the preheader in its place. */
static void html_complete(struct buf *out, struct slice html, struct slice preheader)
{
    bool is_fragment = slice_find_caseless(html, SLICE("<html")) == SLICE_NPOS;
    size_t at = is_fragment ? 0 : body_start(html);
    if (is_fragment)
        buf_text(out, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head><body>\n");
    buf_append(out, slice_head(html, at));
    if (preheader.len) {
        buf_text(out, "<div style=\"display:none;max-height:0;overflow:hidden;mso-hide:all\">");
        buf_append(out, preheader);
        buf_text(out, "</div>\n");
    }
    buf_append(out, slice_from(html, at));
    if (is_fragment)
        buf_text(out, "\n</body></html>\n");
}

/* At the end of the body. */
static void put_last(struct buf *html, struct slice what)
{
    ptrdiff_t at = slice_find_caseless(buf_slice(html), SLICE("</body"));
    SCOPED(buf) tail = BUF(LIQUID_SOURCE_MAX);
    if (at != SLICE_NPOS) {
        buf_append(&tail, slice_from(buf_slice(html), (size_t)at));
        html->len = (size_t)at;
    }
    buf_append(html, what);
    buf_append(html, buf_slice(&tail));
}

static bool compile_html(struct content *content, const struct content_source *source, struct fault *why)
{
    struct liquid *alone;
    if (!compile_one(source->html, true, &alone, "html", why)) /* by itself, so that lines are the person's own */
        return false;
    liquid_free(alone);
    if (!compile_one(source->preheader, true, &alone, "preheader", why))
        return false;
    liquid_free(alone);
    SCOPED(buf) counted = BUF(LIQUID_SOURCE_MAX + HEADER_MAX);
    SCOPED(buf) whole = BUF(LIQUID_SOURCE_MAX + HEADER_MAX);
    if (source->counts_clicks)
        links_rewrite(&counted, source->html);
    html_complete(&whole, source->counts_clicks ? buf_slice(&counted) : source->html, source->preheader);
    if (source->link_count)
        put_last(&whole, SLICE("{{ file_links_html }}"));
    if (source->counts_opens)
        put_last(&whole, SLICE("<img src=\"{{ open_url }}\" width=\"1\" height=\"1\" alt=\"\" "
                               "style=\"display:block;border:0\">"));
    if (!compile_one(buf_slice(&whole), true, &alone, "html", why))
        return false;
    content->html = body_new(alone, 0);
    return true;
}

static bool compile_text(struct content *content, const struct content_source *source, struct fault *why)
{
    struct liquid *liquid;
    buf_init(&content->text_template, LIQUID_SOURCE_MAX);
    if (source->text.len)
        buf_append(&content->text_template, source->text);
    else
        twin_from_html(&content->text_template, source->html);
    if (source->link_count)
        buf_text(&content->text_template, "\n\n{{ file_links_text }}");
    if (!buf_ok(&content->text_template))
        return fault_set(why, FAULT_INPUT, "text, line 1, column 1: larger than %d MB", LIQUID_SOURCE_MAX >> 20);
    if (!compile_one(buf_slice(&content->text_template), false, &liquid,
                     source->text.len ? "text" : "text made from html", why))
        return false;
    content->text = body_new(liquid, TWIN_COLUMNS);
    return true;
}

bool content_compile(const struct content_source *source, struct content **content, struct fault *why)
{
    struct content *made = NEW(struct content);
    bool is_done = compile_headers(made, source, why) && compile_list_id(made, source, why) &&
                   enclosed_headers(source, &made->fixed, why) && compile_files(made, source, why) &&
                   compile_links(made, source, why) && (!source->html.len || compile_html(made, source, why)) &&
                   compile_text(made, source, why);
    if (!is_done) {
        content_free(made);
        return false;
    }
    *content = made;
    return true;
}

void content_free(struct content *content)
{
    if (!content)
        return;
    liquid_free(content->from.liquid);
    liquid_free(content->subject.liquid);
    buf_release(&content->from.ready);
    buf_release(&content->subject.ready);
    buf_release(&content->fixed);
    buf_release(&content->text_template);
    for (size_t i = 0; i < content->file_count; i++)
        buf_release(&content->files[i]);
    free(content->files);
    for (size_t i = 0; i < content->link_count; i++)
        free((char *)(uintptr_t)content->links[i].name.ptr);
    free(content->links);
    body_free(content->html);
    body_free(content->text);
    free(content->from_address);
    free(content);
}
