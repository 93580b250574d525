/* Filters that make HTML, or take it away. */
#include "content/liquid_filter.h"

#include "base/percent.h"

static struct slice html_entity(char c)
{
    switch (c) {
    case '&': return SLICE("&amp;");
    case '<': return SLICE("&lt;");
    case '>': return SLICE("&gt;");
    case '"': return SLICE("&quot;");
    case '\'': return SLICE("&#39;");
    default: return SLICE("");
    }
}

static const unsigned char entity_len[256] = {['&'] = 5, ['<'] = 4, ['>'] = 4, ['"'] = 6, ['\''] = 5};

size_t html_escaped_len(struct slice text)
{
    size_t len = text.len;
    for (size_t i = 0; i < text.len; i++)
        if (entity_len[(unsigned char)text.ptr[i]])
            len += entity_len[(unsigned char)text.ptr[i]] - 1u;
    return len;
}

void html_escape(struct buf *out, struct slice text)
{
    size_t start = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!entity_len[(unsigned char)text.ptr[i]])
            continue;
        buf_append(out, slice_of(text.ptr + start, i - start));
        buf_append(out, html_entity(text.ptr[i]));
        start = i + 1;
    }
    buf_append(out, slice_from(text, start));
}

bool filter_escape(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice text;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (value->is_safe)
        return true;
    if (!liquid_text_of(run, value, &text))
        return false;
    html_escape(&out, text);
    return filter_keep_safe(run, value, &out);
}

/* Is this & the start of an entity? */
static bool is_entity(struct slice text)
{
    size_t i = 1 + (text.len > 1 && text.ptr[1] == '#');
    while (i < text.len && i < 12 && ascii_is_alnum(text.ptr[i]))
        i++;
    return i > 1 && i < text.len && text.ptr[i] == ';';
}

bool filter_escape_once(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                        size_t count)
{
    struct slice text;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        struct slice entity = html_entity(text.ptr[i]);
        if (entity.len && !(text.ptr[i] == '&' && is_entity(slice_from(text, i))))
            buf_append(&out, entity);
        else
            buf_byte(&out, text.ptr[i]);
    }
    return filter_keep_safe(run, value, &out);
}

bool filter_raw(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice text;
    if (!liquid_text_of(run, value, &text))
        return false;
    *value = liquid_string(text);
    value->is_safe = true;
    return true;
}

bool filter_newline_to_br(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                          size_t count)
{
    struct slice rest, line;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &rest))
        return false;
    while (slice_line(&rest, &line)) {
        if (value->is_safe || !run->liquid->is_html)
            buf_append(&out, line);
        else
            html_escape(&out, line);
        char before = line.ptr + line.len < rest.ptr ? line.ptr[line.len] : '\0';
        if (before == '\r' || before == '\n')
            buf_text(&out, "<br>\n");
    }
    return filter_keep_safe(run, value, &out);
}

/* Tags, and what stands in script and style, go; the rest stays as it is. */
bool filter_strip_html(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                       size_t count)
{
    struct slice rest;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &rest))
        return false;
    while (rest.len) {
        ptrdiff_t open = slice_find_byte(rest, '<');
        buf_append(&out, open == SLICE_NPOS ? rest : slice_head(rest, (size_t)open));
        if (open == SLICE_NPOS)
            break;
        rest = slice_from(rest, (size_t)open);
        struct slice until = SLICE(">");
        if (slice_starts(rest, SLICE("<!--")))
            until = SLICE("-->");
        else if (slice_starts_caseless(rest, SLICE("<script")))
            until = SLICE("</script>");
        else if (slice_starts_caseless(rest, SLICE("<style")))
            until = SLICE("</style>");
        ptrdiff_t close = slice_find_caseless(rest, until);
        if (close == SLICE_NPOS)
            break;
        rest = slice_from(rest, (size_t)close + until.len);
    }
    return filter_keep(run, value, &out);
}

bool filter_url_encode(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                       size_t count)
{
    struct slice text;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text))
        return false;
    percent_encode(&out, text);
    return filter_keep(run, value, &out);
}
