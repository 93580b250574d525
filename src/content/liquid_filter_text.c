/* Filters of text. */
#include "content/liquid_filter.h"

#include "base/utf8.h"

bool filter_default(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    if (!liquid_is_truthy(value) || liquid_is_blank(value))
        *value = args[0];
    return true;
}

/* Simple case pairs: ASCII, Latin-1, Latin Extended-A, Greek, Cyrillic, full-width Latin. */
static int32_t case_change(int32_t c, bool is_up)
{
    static const struct {
        int32_t first, last, to_lower;
    } ranges[] = {{'A', 'Z', 32},     {0xc0, 0xd6, 32},   {0xd8, 0xde, 32},    {0x391, 0x3a9, 32},
                  {0x400, 0x40f, 80}, {0x410, 0x42f, 32}, {0xff21, 0xff3a, 32}};
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        int32_t shift = is_up ? ranges[i].to_lower : 0;
        if (c >= ranges[i].first + shift && c <= ranges[i].last + shift)
            return is_up ? c - shift : c + ranges[i].to_lower;
    }
    bool is_even_upper = (c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177);
    bool is_odd_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    if (is_even_upper)
        return is_up ? c & ~1 : c | 1;
    if (is_odd_upper)
        return is_up ? ((c - 1) | 1) : (c & 1 ? c + 1 : c);
    return c;
}

static bool change_case(struct liquid_run *run, struct liquid_value *value, bool is_up, bool is_first_only)
{
    struct slice text;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text))
        return false;
    for (bool is_first = true; text.len; is_first = false) {
        int32_t c = utf8_next(&text);
        utf8_append(&out, (uint32_t)case_change(c, is_first_only ? is_first : is_up));
    }
    return filter_keep(run, value, &out);
}

bool filter_upcase(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return change_case(run, value, true, false);
}

bool filter_downcase(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return change_case(run, value, false, false);
}

bool filter_capitalize(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                       size_t count)
{
    return change_case(run, value, true, true);
}

static struct slice trim_ends(struct slice text, bool is_left, bool is_right)
{
    static const struct slice wide = SLICE_INIT("　");
    for (bool is_left_done = !is_left; !is_left_done;) {
        size_t width = text.len && ascii_is_space(text.ptr[0]) ? 1 : slice_starts(text, wide) ? wide.len : 0;
        text = slice_from(text, width);
        is_left_done = !width;
    }
    for (bool is_right_done = !is_right; !is_right_done;) {
        size_t width = text.len && ascii_is_space(text.ptr[text.len - 1]) ? 1 : slice_ends(text, wide) ? wide.len : 0;
        text.len -= width;
        is_right_done = !width;
    }
    return text;
}

static bool strip_ends(struct liquid_run *run, struct liquid_value *value, bool is_left, bool is_right)
{
    struct slice text;
    bool is_safe = value->is_safe;
    if (!liquid_text_of(run, value, &text))
        return false;
    *value = liquid_string(trim_ends(text, is_left, is_right));
    value->is_safe = is_safe;
    return true;
}

bool filter_strip(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return strip_ends(run, value, true, true);
}

bool filter_lstrip(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return strip_ends(run, value, true, false);
}

bool filter_rstrip(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return strip_ends(run, value, false, true);
}

bool filter_strip_newlines(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                           size_t count)
{
    struct slice rest, line;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &rest))
        return false;
    while (slice_line(&rest, &line))
        buf_append(&out, line);
    return value->is_safe ? filter_keep_safe(run, value, &out) : filter_keep(run, value, &out);
}

/* As Liquid does it: the length counts the ellipsis. */
bool filter_truncate(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    int64_t length = 50;
    struct slice text, end = SLICE("...");
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text) || (count > 0 && !filter_number_of(run, &args[0], &length)) ||
        (count > 1 && !liquid_text_of(run, &args[1], &end)))
        return false;
    struct liquid_value whole = liquid_string(text), mark = liquid_string(end);
    if ((int64_t)liquid_size(&whole) <= length) {
        *value = whole;
        return true;
    }
    buf_append(&out, filter_head(text, length - (int64_t)liquid_size(&mark)));
    buf_append(&out, end);
    return filter_keep(run, value, &out);
}

bool filter_truncatewords(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                          size_t count)
{
    int64_t words = 15;
    struct slice text, end = SLICE("...");
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text) || (count > 0 && !filter_number_of(run, &args[0], &words)) ||
        (count > 1 && !liquid_text_of(run, &args[1], &end)))
        return false;
    size_t at = 0;
    for (int64_t word = 0; word < words && at < text.len; word++) {
        while (at < text.len && ascii_is_space(text.ptr[at]))
            at++;
        while (at < text.len && !ascii_is_space(text.ptr[at]))
            at++;
    }
    buf_append(&out, slice_head(text, at));
    if (slice_trim(slice_from(text, at)).len)
        buf_append(&out, end);
    return filter_keep(run, value, &out);
}

static bool replace(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *what,
                    struct slice with, bool is_first_only)
{
    struct slice text, old;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text) || !liquid_text_of(run, what, &old))
        return false;
    while (old.len) {
        ptrdiff_t at = slice_find(text, old);
        if (at == SLICE_NPOS)
            break;
        buf_append(&out, slice_head(text, (size_t)at));
        buf_append(&out, with);
        text = slice_from(text, (size_t)at + old.len);
        if (is_first_only)
            break;
    }
    buf_append(&out, text);
    return filter_keep(run, value, &out);
}

bool filter_replace(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice with;
    return liquid_text_of(run, &args[1], &with) && replace(run, value, &args[0], with, false);
}

bool filter_replace_first(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                          size_t count)
{
    struct slice with;
    return liquid_text_of(run, &args[1], &with) && replace(run, value, &args[0], with, true);
}

bool filter_remove(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return replace(run, value, &args[0], SLICE(""), false);
}

bool filter_append(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice text, more;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text) || !liquid_text_of(run, &args[0], &more))
        return false;
    buf_append(&out, text);
    buf_append(&out, more);
    return filter_keep(run, value, &out);
}

bool filter_prepend(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct liquid_value behind = *value;
    *value = args[0];
    return filter_append(run, value, &behind, 1);
}
