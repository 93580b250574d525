#include "content/links.h"

#include "base/percent.h"
#include "content/markup.h"

static const struct slice VARIABLE = SLICE_INIT("click_url_");

/* The address is fit to be a Location header: http or https, a host, at most LINK_LENGTH_MAX. */
static bool target_read(struct slice written, struct buf *url)
{
    SCOPED(buf) text = BUF(LINK_LENGTH_MAX);
    markup_text(&text, slice_trim(written));
    struct slice all = buf_slice(&text);
    size_t scheme = slice_starts_caseless(all, SLICE("https://"))  ? 8
                    : slice_starts_caseless(all, SLICE("http://")) ? 7
                                                                   : 0;
    if (!buf_ok(&text) || !scheme || all.len == scheme || memchr("/?#", all.ptr[scheme], 3))
        return false;
    buf_reset(url);
    for (size_t i = 0; i < all.len; i++) {
        unsigned char c = (unsigned char)all.ptr[i];
        if (c < ' ' || c == 0x7f)
            return false;
        if (c > ' ' && c < 0x7f && !memchr("\"<>\\^`{|}", c, 9))
            buf_byte(url, (char)c);
        else
            percent_byte(url, (char)c);
    }
    return buf_ok(url);
}

static bool has_liquid(struct slice text)
{
    struct markup_ends ends = {0};
    for (size_t i = 0; i < text.len; i++)
        if (markup_liquid(&ends, slice_from(text, i)))
            return true;
    return false;
}

struct walk {
    struct slice html;
    size_t at;
    struct markup_ends ends;
};
/* The next counted link: where its address stands as written, and what it is. */
static bool next_link(struct walk *walk, struct slice *written, struct buf *url)
{
    static const char *const names[] = {"a", "area", NULL};
    while (walk->at < walk->html.len) {
        struct slice rest = slice_from(walk->html, walk->at);
        size_t len = markup_liquid(&walk->ends, rest);
        if (len && slice_starts(slice_trim(slice_from(rest, rest.ptr[2] == '-' ? 3 : 2)), SLICE("raw"))) {
            ptrdiff_t end = slice_find(rest, SLICE("endraw")); /* what stands there is nobody's template */
            len = end == SLICE_NPOS ? rest.len : (size_t)end;
        } else if (!len && slice_starts(rest, SLICE("<!--"))) {
            ptrdiff_t end = slice_find(rest, SLICE("-->"));
            len = end == SLICE_NPOS ? rest.len : (size_t)end + 3;
        } else if (!len && rest.ptr[0] == '<' && rest.len > 1 && ascii_is_alpha(rest.ptr[1])) {
            struct tag tag;
            len = markup_tag_len(&walk->ends, rest);
            markup_tag_read(slice_head(rest, len), &tag);
            *written = tag_attribute(&tag, "href");
            if (rest.ptr[len - 1] == '>' && tag_is_one_of(&tag, names) && written->len && !has_liquid(*written) &&
                !slice_equal_caseless(tag_attribute(&tag, "data-track"), SLICE("no")) && target_read(*written, url)) {
                walk->at += len;
                return true;
            }
        }
        if (!len) {
            for (len = 1; len < rest.len && rest.ptr[len] != '<' && rest.ptr[len] != '{';)
                len++;
        }
        walk->at += len;
    }
    return false;
}

size_t links_rewrite(struct buf *out, struct slice html)
{
    SCOPED(buf) url = BUF(3 * LINK_LENGTH_MAX);
    struct slice written;
    struct walk walk = {.html = html};
    size_t done = 0, count = 0;
    while (count < LINKS_MAX && next_link(&walk, &written, &url)) {
        size_t from = (size_t)(written.ptr - html.ptr);
        bool is_bare = from == 0 || !memchr("\"'", html.ptr[from - 1], 2); /* href=https://... */
        buf_append(out, slice_of(html.ptr + done, from - done));
        buf_printf(out, is_bare ? "\"{{ %.*s%zu }}\"" : "{{ %.*s%zu }}", SLICE_ARG(VARIABLE), count++);
        done = from + written.len;
    }
    buf_append(out, slice_from(html, done));
    return count;
}

struct slice *links_targets(struct slice html, struct arena *arena, size_t *count)
{
    SCOPED(buf) url = BUF(3 * LINK_LENGTH_MAX);
    struct slice written, *targets = ARENA_ARRAY(arena, struct slice, LINKS_MAX);
    struct walk walk = {.html = html};
    for (*count = 0; *count < LINKS_MAX && next_link(&walk, &written, &url); ++*count)
        targets[*count] = arena_copy(arena, buf_slice(&url));
    return targets;
}

bool links_number_of(struct slice variable, unsigned *number)
{
    if (!slice_starts(variable, VARIABLE) || variable.len == VARIABLE.len || variable.len > VARIABLE.len + 4)
        return false;
    *number = 0;
    for (size_t i = VARIABLE.len; i < variable.len; i++) {
        if (!ascii_is_digit(variable.ptr[i]))
            return false;
        *number = *number * 10 + (unsigned)(variable.ptr[i] - '0');
    }
    return true;
}
