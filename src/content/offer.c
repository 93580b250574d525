#include "content/offer.h"

#include "base/utf8.h"
#include "content/liquid_private.h"
#include "hosted/name.h"
#include <time.h>

enum { URL_MAX = 2048, BLOCK_MAX = 256 << 10 };

bool text_is_japanese(struct slice text)
{
    for (int32_t c; (c = utf8_next(&text)) >= 0;)
        if ((c >= 0x3041 && c <= 0x30ff) || (c >= 0x4e00 && c <= 0x9fff)) /* kana, kanji */
            return true;
    return false;
}

static bool member_of(const struct liquid_value *object, struct slice name, struct liquid_value *value)
{
    return object->kind == LIQUID_OBJECT && object->ref.type->member(object->ref.self, name, value);
}

/* What the recipient's data or fields say ("ja", "en-GB"), else the mail's. */
static bool wants_japanese(const struct offer *offer)
{
    static const char *const names[] = {"lang", "language"};
    const struct liquid_value *data = &offer->job->data;
    struct liquid_value contact = {0}, value;
    (void)member_of(data, SLICE("contact"), &contact);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if ((member_of(data, slice_str(names[i]), &value) || member_of(&contact, slice_str(names[i]), &value)) &&
            value.kind == LIQUID_STRING && value.string.len)
            return slice_starts_caseless(value.string, SLICE("ja"));
    return offer->is_japanese;
}

static struct slice kept(const struct offer *offer, const struct buf *made)
{
    return arena_copy(offer->arena, buf_slice(made));
}

static struct slice url_of(const struct offer *offer, const struct content_link *link)
{
    const struct compose_job *job = offer->job;
    SCOPED(buf) url = BUF(URL_MAX);
    if (!token_ring_has(job->ring, TOKEN_FILE) || !job->link_base.len)
        return SLICE("");
    buf_append(&url, job->link_base);
    buf_text(&url, "/f/");
    token_make(job->ring, TOKEN_FILE, &(struct token){job->delivery_id, link->file_id}, link->expires, &url);
    return kept(offer, &url);
}

static struct slice size_of(const struct offer *offer, const struct content_link *link)
{
    SCOPED(buf) size = BUF(40);
    hosted_size_print(link->size_bytes, &size);
    return kept(offer, &size);
}

/* As the mail's Date has it. */
static void until_print(const struct offer *offer, const struct content_link *link, bool is_japanese, struct buf *out)
{
    int offset = offer->job->date_offset_minutes, hours = offset < 0 ? -offset : offset;
    time_t at = (time_t)(link->expires / 1000 + offset * 60);
    struct tm tm;
    if (!gmtime_r(&at, &tm))
        return;
    if (is_japanese)
        buf_printf(out, "%d年%d月%d日 %d:%02d まで", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                   tm.tm_min);
    else
        buf_printf(out, "until %d-%02d-%02d %d:%02d (UTC%c%02d:%02d)", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                   tm.tm_hour, tm.tm_min, offset < 0 ? '-' : '+', hours / 60, hours % 60);
}

/* ── the block ── */

static void html_link(const struct offer *offer, const struct content_link *link, bool is_japanese, struct buf *out)
{
    buf_text(out, "<div style=\"margin:16px 0;padding:12px 16px;border:1px solid #d3cdc2;border-radius:6px;"
                  "font-family:sans-serif;line-height:1.6\"><a href=\"");
    html_escape(out, url_of(offer, link));
    buf_text(out, "\" style=\"font-weight:bold\">");
    html_escape(out, link->name);
    buf_text(out, "</a> (");
    buf_append(out, size_of(offer, link));
    buf_text(out, ")<br>");
    buf_append(out, is_japanese ? SLICE("ダウンロードは ") : SLICE("To be downloaded "));
    until_print(offer, link, is_japanese, out);
    buf_text(out, "</div>\n");
}

static void text_link(const struct offer *offer, const struct content_link *link, bool is_japanese, struct buf *out)
{
    buf_append(out, link->name);
    buf_text(out, " (");
    buf_append(out, size_of(offer, link));
    buf_text(out, ")\n");
    buf_append(out, url_of(offer, link));
    buf_append(out, is_japanese ? SLICE("\nダウンロードは ") : SLICE("\nTo be downloaded "));
    until_print(offer, link, is_japanese, out);
    buf_text(out, "\n\n");
}

bool offer_block(struct offer *offer, struct slice name, struct liquid_value *value)
{
    bool is_html = slice_equal(name, SLICE("file_links_html"));
    if (!offer->link_count || (!is_html && !slice_equal(name, SLICE("file_links_text"))))
        return false;
    bool is_japanese = wants_japanese(offer);
    SCOPED(buf) block = BUF(BLOCK_MAX);
    for (size_t i = 0; i < offer->link_count; i++)
        (is_html ? html_link : text_link)(offer, &offer->links[i], is_japanese, &block);
    *value = liquid_string(kept(offer, &block));
    value->is_safe = is_html;
    return true;
}

/* ── {{ file["..."] }} ── */

struct offered {
    const struct offer *offer;
    struct content_link link;
};

static bool offered_member(const void *self, struct slice name, struct liquid_value *value)
{
    const struct offered *offered = self;
    SCOPED(buf) until = BUF(100);
    if (slice_equal(name, SLICE("url"))) {
        *value = liquid_string(url_of(offered->offer, &offered->link));
    } else if (slice_equal(name, SLICE("name"))) {
        *value = liquid_string(offered->link.name);
    } else if (slice_equal(name, SLICE("size"))) {
        *value = liquid_string(size_of(offered->offer, &offered->link));
    } else if (slice_equal(name, SLICE("bytes"))) {
        *value = liquid_int((int64_t)offered->link.size_bytes);
    } else if (slice_equal(name, SLICE("expires"))) {
        *value = liquid_int(offered->link.expires / 1000);
    } else if (slice_equal(name, SLICE("until"))) {
        until_print(offered->offer, &offered->link, wants_japanese(offered->offer), &until);
        *value = liquid_string(kept(offered->offer, &until));
    } else {
        return false;
    }
    return true;
}
static const struct liquid_type offered_type = {.member = offered_member};

static bool link_find(struct offer *offer, struct slice name, struct content_link *link)
{
    const struct compose_job *job = offer->job;
    struct fault why = {0};
    for (size_t i = 0; i < offer->link_count; i++) {
        if (slice_equal(offer->links[i].name, name)) {
            *link = offer->links[i];
            return true;
        }
    }
    if (job->find_file && job->find_file(job->file_context, name, link, &why))
        return true;
    if (offer->why.kind == FAULT_NONE && why.kind != FAULT_NONE)
        offer->why = why;
    else if (offer->why.kind == FAULT_NONE)
        fault_set(&offer->why, FAULT_INPUT, "file[\"%.*s\"]: the brand has no such file for download (any more)",
                  SLICE_ARG(utf8_head(name, 200)));
    return false;
}

static bool files_member(const void *self, struct slice name, struct liquid_value *value)
{
    struct offer *offer = *(struct offer *const *)self;
    struct offered *offered = ARENA_NEW(offer->arena, struct offered);
    offered->offer = offer;
    if (!link_find(offer, name, &offered->link))
        return false;
    offered->link.name = arena_copy(offer->arena, offered->link.name);
    *value = liquid_object(&offered_type, offered);
    return true;
}
static const struct liquid_type files_type = {.member = files_member};

bool offer_file(struct offer *offer, struct slice name, struct liquid_value *value)
{
    if (!slice_equal(name, SLICE("file")))
        return false;
    struct offer **self = ARENA_NEW(offer->arena, struct offer *); /* its faults are written */
    *self = offer;
    *value = liquid_object(&files_type, self);
    return true;
}
