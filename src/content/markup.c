#include "content/markup.h"

#include "base/utf8.h"

static const struct {
    struct slice name;
    const char *text;
} entities[] = {
    {SLICE_INIT("amp"), "&"},   {SLICE_INIT("lt"), "<"},     {SLICE_INIT("gt"), ">"},    {SLICE_INIT("quot"), "\""},
    {SLICE_INIT("apos"), "'"},  {SLICE_INIT("nbsp"), " "},   {SLICE_INIT("copy"), "©"},  {SLICE_INIT("reg"), "®"},
    {SLICE_INIT("trade"), "™"}, {SLICE_INIT("hellip"), "…"}, {SLICE_INIT("mdash"), "—"}, {SLICE_INIT("ndash"), "–"},
    {SLICE_INIT("lsquo"), "‘"}, {SLICE_INIT("rsquo"), "’"},  {SLICE_INIT("ldquo"), "“"}, {SLICE_INIT("rdquo"), "”"},
    {SLICE_INIT("bull"), "•"},  {SLICE_INIT("middot"), "·"}, {SLICE_INIT("yen"), "¥"},   {SLICE_INIT("pound"), "£"},
    {SLICE_INIT("euro"), "€"},  {SLICE_INIT("times"), "×"},  {SLICE_INIT("laquo"), "«"}, {SLICE_INIT("raquo"), "»"},
    {SLICE_INIT("rarr"), "→"},  {SLICE_INIT("larr"), "←"},   {SLICE_INIT("zwnj"), ""},   {SLICE_INIT("zwj"), ""},
    {SLICE_INIT("shy"), ""},    {SLICE_INIT("deg"), "°"},    {SLICE_INIT("hearts"), "♥"}};

size_t markup_entity(struct slice s, struct buf *out)
{
    size_t end = 1;
    while (end < s.len && end < 10 && (ascii_is_alnum(s.ptr[end]) || (end == 1 && s.ptr[1] == '#')))
        end++;
    if (end < 3 || end >= s.len || s.ptr[end] != ';')
        return 0;
    struct slice name = slice_of(s.ptr + 1, end - 1);
    if (name.ptr[0] == '#') {
        bool is_hex = name.len > 2 && ascii_lower(name.ptr[1]) == 'x';
        uint32_t c = 0;
        for (size_t i = is_hex ? 2 : 1; i < name.len; i++) {
            int digit = ascii_hex_value(name.ptr[i]);
            if (digit < 0 || (!is_hex && digit > 9))
                return 0;
            c = c * (is_hex ? 16u : 10u) + (uint32_t)digit;
        }
        if (c == 0xa0)
            c = ' ';
        if (c >= 0x20 && c != 0x7f && c != 0xad && (c < 0x200b || c > 0x200f) && c != 0xfeff && c != 0x34f)
            utf8_append(out, c);
        return end + 1;
    }
    for (size_t i = 0; i < COUNT_OF(entities); i++) {
        if (slice_equal(name, entities[i].name)) {
            buf_str(out, entities[i].text);
            return end + 1;
        }
    }
    return 0;
}

bool tag_is(const struct tag *tag, const char *name)
{
    return slice_equal_caseless(tag->name, slice_str(name));
}

bool tag_is_one_of(const struct tag *tag, const char *const *names)
{
    for (; *names; names++)
        if (tag_is(tag, *names))
            return true;
    return false;
}

size_t markup_liquid(struct markup_ends *ends, struct slice s)
{
    enum { LIQUID_MOST = 16 * 1024 };
    if (s.len < 4 || s.ptr[0] != '{' || (s.ptr[1] != '{' && s.ptr[1] != '%'))
        return 0;
    struct markup_end *end = s.ptr[1] == '{' ? &ends->output : &ends->tag;
    if (!end->from || s.ptr < end->from || s.ptr > end->at) {
        ptrdiff_t found = slice_find(s, s.ptr[1] == '{' ? SLICE("}}") : SLICE("%}"));
        end->from = s.ptr;
        end->at = s.ptr + (found == SLICE_NPOS ? s.len : (size_t)found);
    }
    size_t len = (size_t)(end->at - s.ptr) + 2;
    return len > s.len || len > LIQUID_MOST ? 0 : len;
}

size_t markup_tag_len(struct markup_ends *ends, struct slice s)
{
    char quote = 0;
    for (size_t i = 1; i < s.len;) {
        size_t liquid = markup_liquid(ends, slice_from(s, i));
        char c = s.ptr[i];
        if (liquid) {
            i += liquid;
            continue;
        }
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '>')
            return i + 1;
        i++;
    }
    return s.len;
}

void markup_tag_read(struct slice s, struct tag *tag)
{
    size_t at = 1, end;
    tag->is_end = s.len > 1 && s.ptr[1] == '/';
    at += tag->is_end;
    for (end = at; end < s.len && (ascii_is_alnum(s.ptr[end]) || s.ptr[end] == ':' || s.ptr[end] == '-');)
        end++;
    tag->name = slice_of(s.ptr + at, end - at);
    tag->attributes = slice_of(s.ptr + end, s.len > end ? s.len - end - 1 : 0);
}

struct slice tag_attribute(const struct tag *tag, const char *name)
{
    struct slice rest = tag->attributes;
    struct markup_ends ends = {0};
    while (rest.len) {
        while (rest.len && (ascii_is_space(rest.ptr[0]) || rest.ptr[0] == '/'))
            rest = slice_from(rest, 1);
        size_t end = 0;
        while (end < rest.len && !ascii_is_space(rest.ptr[end]) && rest.ptr[end] != '=')
            end++;
        struct slice key = slice_head(rest, end), value = slice_head(rest, 0);
        rest = slice_from(rest, end);
        while (rest.len && ascii_is_space(rest.ptr[0]))
            rest = slice_from(rest, 1);
        if (rest.len && rest.ptr[0] == '=') {
            rest = slice_from(rest, 1);
            while (rest.len && ascii_is_space(rest.ptr[0]))
                rest = slice_from(rest, 1);
            char quote = rest.len && (rest.ptr[0] == '"' || rest.ptr[0] == '\'') ? rest.ptr[0] : 0;
            rest = slice_from(rest, quote != 0);
            for (end = 0; end < rest.len && (quote ? rest.ptr[end] != quote : !ascii_is_space(rest.ptr[end]));) {
                size_t liquid = markup_liquid(&ends, slice_from(rest, end));
                end += liquid ? liquid : 1;
            }
            value = slice_head(rest, end);
            rest = slice_from(rest, end + (quote != 0));
        } else if (!key.len) {
            break;
        }
        if (slice_equal_caseless(key, slice_str(name)))
            return value;
    }
    return slice_of("", 0);
}

void markup_text(struct buf *out, struct slice value)
{
    for (size_t i = 0; i < value.len;) {
        size_t len = value.ptr[i] == '&' ? markup_entity(slice_from(value, i), out) : 0;
        if (!len)
            buf_byte(out, value.ptr[i]);
        i += len ? len : 1;
    }
}
