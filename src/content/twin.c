/* HTML, perhaps with Liquid in it, to plain text. One pass over tags; blocks leave a note of how many line ends they
 * want before whatever text comes next, so empty blocks leave nothing behind. */
#include "content/twin.h"

#include "base/utf8.h"
#include "content/markup.h"

enum { LISTS_MAX = 8, LINKS_MAX = 4, RULE_COLUMNS = 40 };

struct link {
    struct slice url;
    size_t from; /* where its words begin in out */
};
struct twin {
    struct buf *out;
    struct slice html;
    size_t at;
    struct markup_ends ends;
    unsigned breaks;               /* line ends wanted before the next text */
    bool has_gap, has_newline_gap; /* white space was seen, with a line end in it */
    bool is_pre;
    unsigned lists[LISTS_MAX]; /* 0: ul; else the next number of an ol */
    size_t list_depth;
    struct link links[LINKS_MAX];
    size_t link_depth;
};

/* --- writing --- */

static void want_breaks(struct twin *twin, unsigned breaks)
{
    if (breaks > twin->breaks)
        twin->breaks = breaks;
    twin->has_gap = twin->has_newline_gap = false;
}

static bool is_wide_at(struct slice s)
{
    return s.len && utf8_columns(slice_head(s, s.len < 4 ? s.len : 4)) && (s.ptr[0] & 0x80) && utf8_next(&s) >= 0x2e80;
}

static bool ends_wide(const struct buf *out)
{
    size_t at = out->len;
    while (at && (out->ptr[at - 1] & 0xc0) == 0x80)
        at--;
    return at && is_wide_at(slice_from(buf_slice(out), at - 1));
}

/* What is between the last text and the next: line ends, or a space; a line end between Japanese is nothing. */
static void put_gap(struct twin *twin, struct slice next)
{
    bool is_start = twin->out->len == 0;
    for (; twin->breaks; twin->breaks--)
        if (!is_start)
            buf_byte(twin->out, '\n');
    if (twin->has_gap && !is_start && twin->out->ptr[twin->out->len - 1] != '\n' &&
        !(twin->has_newline_gap && is_wide_at(next) && ends_wide(twin->out)))
        buf_byte(twin->out, ' ');
    twin->has_gap = twin->has_newline_gap = false;
}

static void put(struct twin *twin, struct slice text)
{
    if (!text.len)
        return;
    put_gap(twin, text);
    buf_append(twin->out, text);
}

/* --- text --- */

static void put_text(struct twin *twin, struct slice text)
{
    SCOPED(buf) character = BUF(8);
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i];
        if (twin->is_pre && c == '\n') {
            want_breaks(twin, twin->breaks + 1);
            i++;
        } else if (!twin->is_pre && ascii_is_space(c)) {
            twin->has_gap = true;
            twin->has_newline_gap |= c == '\n';
            i++;
        } else if (c == '&') {
            buf_reset(&character);
            size_t len = markup_entity(slice_from(text, i), &character);
            put(twin, len ? buf_slice(&character) : SLICE("&"));
            i += len ? len : 1;
        } else {
            size_t end = i + 1;
            while (end < text.len && text.ptr[end] != '&' && text.ptr[end] != '\n' &&
                   (twin->is_pre || !ascii_is_space(text.ptr[end])))
                end++;
            put(twin, slice_of(text.ptr + i, end - i));
            i = end;
        }
    }
}

/* A Liquid output or tag goes through; filters that make HTML are taken out, and raw becomes strip_html. */
static void put_liquid(struct twin *twin, struct slice tag)
{
    static const struct {
        struct slice filter, instead;
    } changes[] = {{SLICE_INIT("newline_to_br"), SLICE_INIT("")},
                   {SLICE_INIT("escape"), SLICE_INIT("")},
                   {SLICE_INIT("escape_once"), SLICE_INIT("")},
                   {SLICE_INIT("raw"), SLICE_INIT("strip_html")}};
    bool is_output = tag.ptr[1] == '{';
    if (is_output)
        put_gap(twin, SLICE("x"));
    if (!is_output || slice_find_byte(tag, '|') == SLICE_NPOS) {
        buf_append(twin->out, tag);
        return;
    }
    struct slice rest = slice_head(slice_from(tag, 0), tag.len - 2), piece;
    for (bool is_first = true; slice_split(&rest, '|', &piece); is_first = false) {
        struct slice with = piece, name = slice_trim(piece);
        for (size_t i = 0; i < COUNT_OF(changes) && !is_first; i++)
            if (slice_equal(name, changes[i].filter))
                with = changes[i].instead;
        if (!with.len && !is_first)
            continue;
        if (!is_first)
            buf_append(twin->out, with.ptr == piece.ptr ? SLICE("|") : SLICE("| "));
        buf_append(twin->out, with);
    }
    if (twin->out->ptr[twin->out->len - 1] != ' ' && twin->out->ptr[twin->out->len - 1] != '-')
        buf_byte(twin->out, ' ');
    buf_append(twin->out, slice_from(tag, tag.len - 2));
}

/* --- tags --- */

static bool is_hidden(const struct tag *tag)
{
    struct slice style = tag_attribute(tag, "style");
    ptrdiff_t at = slice_find_caseless(style, SLICE("display"));
    if (at == SLICE_NPOS)
        return false;
    struct slice rest = slice_trim(slice_from(style, (size_t)at + 7));
    return slice_starts(rest, SLICE(":")) && slice_starts_caseless(slice_trim(slice_from(rest, 1)), SLICE("none"));
}

static bool is_void(const struct tag *tag)
{
    static const char *const names[] = {"br",  "img",  "hr",   "meta",   "link", "input",
                                        "col", "area", "base", "source", "wbr",  NULL};
    return tag_is_one_of(tag, names);
}

/* Past the element that has just opened, its children counted. Liquid inside goes with it. */
static void skip_element(struct twin *twin, const struct tag *opened, bool is_raw)
{
    for (size_t depth = 1; depth && twin->at < twin->html.len;) {
        struct slice rest = slice_from(twin->html, twin->at);
        const char *open = memchr(rest.ptr, '<', rest.len);
        if (!open) {
            twin->at = twin->html.len;
            return;
        }
        twin->at = (size_t)(open - twin->html.ptr);
        rest = slice_from(twin->html, twin->at);
        struct tag tag;
        size_t len = is_raw && !slice_starts(rest, SLICE("</")) ? 1 : markup_tag_len(&twin->ends, rest);
        markup_tag_read(slice_head(rest, len), &tag);
        twin->at += len;
        if (slice_equal_caseless(tag.name, opened->name) && tag.name.len)
            depth = tag.is_end ? depth - 1 : is_raw ? depth : depth + 1;
    }
}

static void close_link(struct twin *twin)
{
    if (!twin->link_depth)
        return;
    struct link link = twin->links[--twin->link_depth];
    SCOPED(buf) url = BUF(64 * 1024);
    markup_text(&url, slice_trim(link.url));
    struct slice target = buf_slice(&url);
    bool is_mailto = slice_starts_caseless(target, SLICE("mailto:"));
    if (is_mailto)
        target = slice_from(target, 7);
    bool is_idle = !target.len || target.ptr[0] == '#' || slice_starts_caseless(target, SLICE("tel:")) ||
                   slice_starts_caseless(target, SLICE("javascript:"));
    struct slice words = slice_trim(slice_from(buf_slice(twin->out), link.from));
    if (is_idle || slice_equal(words, target))
        return;
    twin->has_gap = false;
    if (!words.len) {
        put(twin, target);
        return;
    }
    bool is_bare = slice_ends(words, SLICE("\n"));
    buf_append(twin->out, is_bare ? SLICE("<") : SLICE(" <"));
    buf_append(twin->out, target);
    buf_text(twin->out, ">");
}

static void open_link(struct twin *twin, const struct tag *tag)
{
    struct slice url = tag_attribute(tag, "href");
    if (twin->link_depth == LINKS_MAX)
        return;
    put_gap(twin, SLICE("x"));
    twin->links[twin->link_depth++] = (struct link){url, twin->out->len};
}

static void list_item(struct twin *twin)
{
    want_breaks(twin, 1);
    put_gap(twin, SLICE("x"));
    for (size_t i = 1; i < twin->list_depth; i++)
        buf_text(twin->out, "  ");
    unsigned *number = twin->list_depth ? &twin->lists[twin->list_depth - 1] : NULL;
    if (number && *number)
        buf_printf(twin->out, "%u. ", (*number)++);
    else
        buf_text(twin->out, "- ");
}

static void list_tag(struct twin *twin, const struct tag *tag)
{
    want_breaks(twin, twin->list_depth > (tag->is_end ? 1u : 0u) ? 1 : 2);
    if (tag->is_end)
        twin->list_depth -= twin->list_depth > 0;
    else if (twin->list_depth < LISTS_MAX)
        twin->lists[twin->list_depth++] = tag_is(tag, "ol");
}

static void rule(struct twin *twin)
{
    want_breaks(twin, 1);
    put_gap(twin, SLICE("-"));
    for (int i = 0; i < RULE_COLUMNS; i++)
        buf_byte(twin->out, '-');
    want_breaks(twin, 1);
}

static void image(struct twin *twin, const struct tag *tag)
{
    SCOPED(buf) words = BUF(16 * 1024);
    markup_text(&words, tag_attribute(tag, "alt"));
    put(twin, slice_trim(buf_slice(&words)));
}

static void read_tag(struct twin *twin, const struct tag *tag)
{
    static const char *const unseen[] = {"head", "title", "noscript", "svg", "template", "select", NULL};
    static const char *const raw[] = {"script", "style", NULL};
    static const char *const paragraphs[] = {"p",  "h1",         "h2",  "h3", "h4",     "h5",
                                             "h6", "blockquote", "pre", "dl", "figure", NULL};
    static const char *const lines[] = {"div",     "tr",         "table", "section", "article", "header", "footer",
                                        "address", "dt",         "dd",    "center",  "main",    "nav",    "aside",
                                        "form",    "figcaption", "body",  "caption", NULL};
    bool is_heading = tag->name.len == 2 && ascii_lower(tag->name.ptr[0]) == 'h' && tag->name.ptr[1] >= '1' &&
                      tag->name.ptr[1] <= '3';
    if (!tag->is_end && tag_is_one_of(tag, raw)) {
        skip_element(twin, tag, true);
    } else if (!tag->is_end && !is_void(tag) && (tag_is_one_of(tag, unseen) || is_hidden(tag))) {
        skip_element(twin, tag, false);
    } else if (tag_is(tag, "br")) {
        want_breaks(twin, twin->breaks + 1);
    } else if (tag_is(tag, "hr")) {
        rule(twin);
    } else if (tag_is(tag, "img")) {
        if (!is_hidden(tag))
            image(twin, tag);
    } else if (tag_is(tag, "a")) {
        if (tag->is_end)
            close_link(twin);
        else
            open_link(twin, tag);
    } else if (tag_is(tag, "li")) {
        if (!tag->is_end)
            list_item(twin);
    } else if (tag_is(tag, "ul") || tag_is(tag, "ol")) {
        list_tag(twin, tag);
    } else if (tag_is(tag, "td") || tag_is(tag, "th")) {
        twin->has_gap = twin->breaks == 0;
    } else if (tag_is_one_of(tag, paragraphs)) {
        want_breaks(twin, 2);
        if (tag_is(tag, "pre"))
            twin->is_pre = !tag->is_end;
        if (is_heading && !tag->is_end) {
            put(twin, SLICE("■"));
            twin->has_gap = true;
        }
    } else if (tag_is_one_of(tag, lines)) {
        want_breaks(twin, 1);
    }
}

void twin_from_html(struct buf *out, struct slice html)
{
    struct twin twin = {.out = out, .html = html};
    while (twin.at < html.len) {
        struct slice rest = slice_from(html, twin.at);
        size_t len = markup_liquid(&twin.ends, rest);
        if (len) {
            twin.at += len;
            put_liquid(&twin, slice_head(rest, len));
            continue;
        }
        if (slice_starts(rest, SLICE("<!--"))) {
            ptrdiff_t end = slice_find(rest, SLICE("-->"));
            twin.at = end == SLICE_NPOS ? html.len : twin.at + (size_t)end + 3;
            continue;
        }
        if (rest.ptr[0] == '<' && rest.len > 1 &&
            (ascii_is_alpha(rest.ptr[1]) || rest.ptr[1] == '/' || rest.ptr[1] == '!')) {
            struct tag tag;
            len = markup_tag_len(&twin.ends, rest);
            markup_tag_read(slice_head(rest, len), &tag);
            twin.at += len;
            read_tag(&twin, &tag);
            continue;
        }
        for (len = 1; len < rest.len && rest.ptr[len] != '<' && !markup_liquid(&twin.ends, slice_from(rest, len));)
            len++;
        twin.at += len;
        put_text(&twin, slice_head(rest, len));
    }
    if (out->len && out->ptr[out->len - 1] != '\n')
        buf_byte(out, '\n');
}
