#include "content/liquid_private.h"

#include "base/utf8.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>

typedef const struct liquid_value *values;

/* --- between buf and value --- */

static bool keep(struct liquid_run *run, struct liquid_value *value, struct buf *made)
{
    char *room = buf_ok(made) ? liquid_room(run, made->len) : NULL;
    if (!buf_ok(made))
        return liquid_fault(run, FAULT_LIMIT, "a filter makes more than %d MB", LIQUID_OUTPUT_MAX >> 20);
    if (!room)
        return false;
    if (made->len)
        memcpy(room, made->ptr, made->len);
    *value = liquid_string(slice_of(room, made->len));
    return true;
}

static bool keep_safe(struct liquid_run *run, struct liquid_value *value, struct buf *made)
{
    if (!keep(run, value, made))
        return false;
    value->is_safe = true;
    return true;
}

static bool arg_int(struct liquid_run *run, const struct liquid_value *value, int64_t *number)
{
    struct liquid_value n;
    if (!liquid_number_of(value, &n))
        return liquid_fault(run, FAULT_INPUT, "this filter needs a number");
    *number = n.kind == LIQUID_INT ? n.integer
              : n.real > 1e15      ? (int64_t)1e15
              : n.real < -1e15     ? -(int64_t)1e15
                                   : (int64_t)n.real;
    return true;
}

/* --- escaping --- */

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

static bool filter_escape(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice text;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (value->is_safe)
        return true;
    if (!liquid_text_of(run, value, &text))
        return false;
    html_escape(&out, text);
    return keep_safe(run, value, &out);
}

/* Is this & the start of an entity? */
static bool is_entity(struct slice text)
{
    size_t i = 1 + (text.len > 1 && text.ptr[1] == '#');
    while (i < text.len && i < 12 && ascii_is_alnum(text.ptr[i]))
        i++;
    return i > 1 && i < text.len && text.ptr[i] == ';';
}

static bool filter_escape_once(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
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
    return keep_safe(run, value, &out);
}

static bool filter_raw(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice text;
    if (!liquid_text_of(run, value, &text))
        return false;
    *value = liquid_string(text);
    value->is_safe = true;
    return true;
}

static bool filter_newline_to_br(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
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
    return keep_safe(run, value, &out);
}

/* Tags, and what stands in script and style, go; the rest stays as it is. */
static bool filter_strip_html(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
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
    return keep(run, value, &out);
}

static bool filter_url_encode(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    static const char hex[] = "0123456789ABCDEF";
    struct slice text;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (ascii_is_alnum((char)c) || (c && strchr("-_.~", c))) {
            buf_byte(&out, (char)c);
        } else {
            char three[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_append(&out, slice_of(three, 3));
        }
    }
    return keep(run, value, &out);
}

/* --- text --- */

static bool filter_default(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
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
    return keep(run, value, &out);
}

static bool filter_upcase(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return change_case(run, value, true, false);
}

static bool filter_downcase(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return change_case(run, value, false, false);
}

static bool filter_capitalize(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
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

static bool filter_strip(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return strip_ends(run, value, true, true);
}

static bool filter_lstrip(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return strip_ends(run, value, true, false);
}

static bool filter_rstrip(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return strip_ends(run, value, false, true);
}

static bool filter_strip_newlines(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice rest, line;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &rest))
        return false;
    while (slice_line(&rest, &line))
        buf_append(&out, line);
    return value->is_safe ? keep_safe(run, value, &out) : keep(run, value, &out);
}

/* The first `count` characters. */
static struct slice characters_head(struct slice text, int64_t count)
{
    struct slice rest = text;
    while (count-- > 0 && utf8_next(&rest) >= 0)
        ;
    return slice_head(text, text.len - rest.len);
}

/* As Liquid does it: the length counts the ellipsis. */
static bool filter_truncate(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    int64_t length = 50;
    struct slice text, end = SLICE("...");
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text) || (count > 0 && !arg_int(run, &args[0], &length)) ||
        (count > 1 && !liquid_text_of(run, &args[1], &end)))
        return false;
    struct liquid_value whole = liquid_string(text), mark = liquid_string(end);
    if ((int64_t)liquid_size(&whole) <= length) {
        *value = whole;
        return true;
    }
    buf_append(&out, characters_head(text, length - (int64_t)liquid_size(&mark)));
    buf_append(&out, end);
    return keep(run, value, &out);
}

static bool filter_truncatewords(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    int64_t words = 15;
    struct slice text, end = SLICE("...");
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text) || (count > 0 && !arg_int(run, &args[0], &words)) ||
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
    return keep(run, value, &out);
}

static bool replace(struct liquid_run *run, struct liquid_value *value, values what, struct slice with,
                    bool is_first_only)
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
    return keep(run, value, &out);
}

static bool filter_replace(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice with;
    return liquid_text_of(run, &args[1], &with) && replace(run, value, &args[0], with, false);
}

static bool filter_replace_first(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice with;
    return liquid_text_of(run, &args[1], &with) && replace(run, value, &args[0], with, true);
}

static bool filter_remove(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return replace(run, value, &args[0], SLICE(""), false);
}

static bool filter_append(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice text, more;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (!liquid_text_of(run, value, &text) || !liquid_text_of(run, &args[0], &more))
        return false;
    buf_append(&out, text);
    buf_append(&out, more);
    return keep(run, value, &out);
}

static bool filter_prepend(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct liquid_value behind = *value;
    *value = args[0];
    return filter_append(run, value, &behind, 1);
}

/* --- lists --- */

static bool filter_size(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    *value = liquid_int((int64_t)liquid_size(value));
    return true;
}

static bool filter_first(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct liquid_value list = *value;
    *value = (struct liquid_value){.kind = LIQUID_NIL};
    if (list.kind == LIQUID_LIST && liquid_size(&list))
        liquid_item(&list, 0, value);
    return true;
}

static bool filter_last(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct liquid_value list = *value;
    *value = (struct liquid_value){.kind = LIQUID_NIL};
    if (list.kind == LIQUID_LIST && liquid_size(&list))
        liquid_item(&list, liquid_size(&list) - 1, value);
    return true;
}

static bool filter_join(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice between = SLICE(" "), piece;
    SCOPED(buf) out = BUF(LIQUID_OUTPUT_MAX);
    if (count && !liquid_text_of(run, &args[0], &between))
        return false;
    if (value->kind != LIQUID_LIST)
        return true;
    for (size_t i = 0; i < liquid_size(value); i++) {
        struct liquid_value item;
        liquid_item(value, i, &item);
        if (!liquid_text_of(run, &item, &piece))
            return false;
        if (i)
            buf_append(&out, between);
        buf_append(&out, piece);
    }
    return keep(run, value, &out);
}

/* Room for `count` values on the rendering's memory. */
static struct liquid_value *list_room(struct liquid_run *run, size_t count)
{
    if (count > LIQUID_ROUNDS_MAX) {
        liquid_fault(run, FAULT_LIMIT, "a list of more than %d", LIQUID_ROUNDS_MAX);
        return NULL;
    }
    return (struct liquid_value *)(void *)liquid_room(run, (count + 1) * sizeof(struct liquid_value));
}

static bool filter_split(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice text, by;
    if (!liquid_text_of(run, value, &text) || !liquid_text_of(run, &args[0], &by))
        return false;
    size_t pieces = text.len ? 1 : 0;
    for (struct slice rest = text; rest.len;) { /* an empty separator cuts at every character */
        ptrdiff_t at = by.len ? slice_find(rest, by) : 0;
        if (at == SLICE_NPOS)
            break;
        rest = slice_from(rest, by.len ? (size_t)at + by.len : characters_head(rest, 1).len);
        pieces++;
    }
    struct liquid_value *list = list_room(run, pieces);
    if (!list)
        return false;
    size_t filled = 0;
    while (filled < pieces && (text.len || (by.len && filled))) {
        ptrdiff_t at = by.len ? slice_find(text, by) : (ptrdiff_t)characters_head(text, 1).len;
        size_t len = at == SLICE_NPOS ? text.len : (size_t)at;
        list[filled++] = liquid_string(slice_head(text, len));
        text = slice_from(text, at == SLICE_NPOS ? text.len : len + by.len);
    }
    while (filled && !list[filled - 1].string.len) /* as Ruby does: no empty ones at the end */
        filled--;
    *value = liquid_list(run, list, filled);
    return true;
}

/* A copy that may be put in another order. */
static struct liquid_value *list_copy(struct liquid_run *run, const struct liquid_value *value, size_t *count)
{
    *count = value->kind == LIQUID_LIST ? liquid_size(value) : 0;
    struct liquid_value *copy = list_room(run, *count);
    for (size_t i = 0; copy && i < *count; i++)
        liquid_item(value, i, &copy[i]);
    return copy;
}

static int sort_order(const void *a, const void *b)
{
    int order = 0;
    const struct liquid_value *x = a, *y = b;
    return liquid_order(x, y, &order) ? order : (int)x->kind - (int)y->kind;
}

static bool filter_sort(struct liquid_run *run, struct liquid_value *value, values args, size_t unused)
{
    size_t count;
    struct liquid_value *copy = list_copy(run, value, &count);
    if (!copy)
        return false;
    qsort(copy, count, sizeof(*copy), sort_order);
    *value = liquid_list(run, copy, count);
    return true;
}

static bool filter_reverse(struct liquid_run *run, struct liquid_value *value, values args, size_t unused)
{
    size_t count;
    struct liquid_value *copy = list_copy(run, value, &count);
    if (!copy)
        return false;
    for (size_t i = 0; i < count / 2; i++) {
        struct liquid_value swap = copy[i];
        copy[i] = copy[count - 1 - i];
        copy[count - 1 - i] = swap;
    }
    *value = liquid_list(run, copy, count);
    return true;
}

static bool filter_uniq(struct liquid_run *run, struct liquid_value *value, values args, size_t unused)
{
    size_t count, kept = 0;
    struct liquid_value *copy = list_copy(run, value, &count);
    if (!copy)
        return false;
    if (count > 1000)
        return liquid_fault(run, FAULT_LIMIT, "uniq takes at most 1000 items");
    for (size_t i = 0; i < count; i++) {
        bool is_seen = false;
        for (size_t j = 0; j < kept && !is_seen; j++)
            is_seen = liquid_equal(&copy[i], &copy[j]);
        if (!is_seen)
            copy[kept++] = copy[i];
    }
    *value = liquid_list(run, copy, kept);
    return true;
}

/* slice: offset, length in characters, or in items of a list. */
static bool filter_slice(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    int64_t from = 0, length = 1;
    if (!arg_int(run, &args[0], &from) || (count > 1 && !arg_int(run, &args[1], &length)))
        return false;
    if (value->kind == LIQUID_LIST) {
        size_t size;
        struct liquid_value *copy = list_copy(run, value, &size);
        if (!copy)
            return false;
        from = from < 0 ? from + (int64_t)size : from;
        if (from < 0 || from > (int64_t)size || length < 0)
            from = length = 0;
        int64_t left = (int64_t)size - from;
        *value = liquid_list(run, copy + from, (size_t)(length < left ? length : left));
        return true;
    }
    struct slice text;
    if (!liquid_text_of(run, value, &text))
        return false;
    struct liquid_value whole = liquid_string(text);
    if (from < 0)
        from += (int64_t)liquid_size(&whole);
    text = from < 0 ? slice_head(text, 0) : slice_from(text, characters_head(text, from).len);
    *value = liquid_string(characters_head(text, length));
    return true;
}

/* --- numbers --- */

enum operation { PLUS, MINUS, TIMES, DIVIDED, MODULO };

static bool operate_int(struct liquid_run *run, int64_t a, int64_t b, enum operation operation, int64_t *result)
{
    bool is_over = false;
    if ((operation == DIVIDED || operation == MODULO) && b == 0)
        return liquid_fault(run, FAULT_INPUT, "division by zero");
    if ((operation == DIVIDED || operation == MODULO) && b == -1) {
        *result = operation == MODULO ? 0 : a == INT64_MIN ? INT64_MAX : -a;
        return true;
    }
    switch (operation) {
    case PLUS: is_over = __builtin_add_overflow(a, b, result); break;
    case MINUS: is_over = __builtin_sub_overflow(a, b, result); break;
    case TIMES: is_over = __builtin_mul_overflow(a, b, result); break;
    case DIVIDED: *result = a / b - (a % b != 0 && (a < 0) != (b < 0)); break; /* rounds down, as Liquid does */
    case MODULO: *result = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); break;
    }
    return !is_over || liquid_fault(run, FAULT_INPUT, "a number became too big");
}

static bool operate(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *with,
                    enum operation operation)
{
    struct liquid_value a, b, zero = liquid_int(0);
    if (!liquid_number_of(value, &a)) /* as Liquid does: what is no number counts 0 */
        a = zero;
    if (!liquid_number_of(with, &b))
        return liquid_fault(run, FAULT_INPUT, "this filter needs a number");
    if (a.kind == LIQUID_INT && b.kind == LIQUID_INT) {
        *value = zero;
        return operate_int(run, a.integer, b.integer, operation, &value->integer);
    }
    double x = liquid_real(&a), y = liquid_real(&b), result = 0;
    if ((operation == DIVIDED || operation == MODULO) && y == 0)
        return liquid_fault(run, FAULT_INPUT, "division by zero");
    switch (operation) {
    case PLUS: result = x + y; break;
    case MINUS: result = x - y; break;
    case TIMES: result = x * y; break;
    case DIVIDED: result = x / y; break;
    case MODULO: result = x - y * floor(x / y); break;
    }
    *value = (struct liquid_value){.kind = LIQUID_REAL, .real = result};
    return isfinite(result) || liquid_fault(run, FAULT_INPUT, "a number became too big");
}

static bool filter_plus(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return operate(run, value, args, PLUS);
}

static bool filter_minus(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return operate(run, value, args, MINUS);
}

static bool filter_times(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return operate(run, value, args, TIMES);
}

static bool filter_divided_by(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return operate(run, value, args, DIVIDED);
}

static bool filter_modulo(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return operate(run, value, args, MODULO);
}

static void number_or_zero(struct liquid_value *value)
{
    struct liquid_value number = liquid_int(0);
    if (liquid_number_of(value, &number))
        *value = number;
    else
        *value = liquid_int(0);
}

static bool filter_abs(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    number_or_zero(value);
    if (value->kind == LIQUID_REAL)
        value->real = fabs(value->real);
    else if (value->integer < 0)
        value->integer = value->integer == INT64_MIN ? INT64_MAX : -value->integer;
    return true;
}

static void to_whole(struct liquid_value *value, double (*rounding)(double))
{
    number_or_zero(value);
    if (value->kind == LIQUID_REAL && fabs(value->real) < 9e15)
        *value = liquid_int((int64_t)rounding(value->real));
}

static bool filter_ceil(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    to_whole(value, ceil);
    return true;
}

static bool filter_floor(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    to_whole(value, floor);
    return true;
}

static bool filter_round(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    int64_t places = 0;
    if (count && !arg_int(run, &args[0], &places))
        return false;
    if (places <= 0) {
        to_whole(value, round);
        return true;
    }
    number_or_zero(value);
    double scale = pow(10, (double)(places < 12 ? places : 12));
    if (value->kind == LIQUID_REAL)
        value->real = round(value->real * scale) / scale;
    return true;
}

static bool pick(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *with, int sign)
{
    struct liquid_value bound;
    int order = 0;
    number_or_zero(value);
    if (!liquid_number_of(with, &bound))
        return liquid_fault(run, FAULT_INPUT, "this filter needs a number");
    if (liquid_order(value, &bound, &order) && order * sign < 0)
        *value = bound;
    return true;
}

static bool filter_at_least(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return pick(run, value, args, 1);
}

static bool filter_at_most(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    return pick(run, value, args, -1);
}

/* 1234567.5 -> 1,234,567.5 */
static bool filter_number(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice text;
    struct liquid_value number;
    SCOPED(buf) out = BUF(256);
    if (!liquid_number_of(value, &number))
        return true;
    if (!liquid_text_of(run, &number, &text))
        return false;
    bool is_negative = slice_starts(text, SLICE("-"));
    ptrdiff_t dot = slice_find_byte(text, '.');
    size_t whole = dot == SLICE_NPOS ? text.len : (size_t)dot;
    for (size_t i = 0; i < whole; i++) {
        if (i > is_negative && (whole - i) % 3 == 0)
            buf_byte(&out, ',');
        buf_byte(&out, text.ptr[i]);
    }
    buf_append(&out, slice_from(text, whole));
    return keep(run, value, &out);
}

static bool filter_date(struct liquid_run *run, struct liquid_value *value, values args, size_t count)
{
    struct slice format;
    SCOPED(buf) out = BUF(4096);
    if (!liquid_text_of(run, &args[0], &format))
        return false;
    if (!liquid_date(run, value, format, &out))
        return true; /* no date: left as it is */
    return keep(run, value, &out);
}

static const struct liquid_filter filters[] = {
    {SLICE_INIT("default"), 1, 1, filter_default},
    {SLICE_INIT("escape"), 0, 0, filter_escape},
    {SLICE_INIT("escape_once"), 0, 0, filter_escape_once},
    {SLICE_INIT("raw"), 0, 0, filter_raw},
    {SLICE_INIT("upcase"), 0, 0, filter_upcase},
    {SLICE_INIT("downcase"), 0, 0, filter_downcase},
    {SLICE_INIT("capitalize"), 0, 0, filter_capitalize},
    {SLICE_INIT("strip"), 0, 0, filter_strip},
    {SLICE_INIT("lstrip"), 0, 0, filter_lstrip},
    {SLICE_INIT("rstrip"), 0, 0, filter_rstrip},
    {SLICE_INIT("strip_newlines"), 0, 0, filter_strip_newlines},
    {SLICE_INIT("newline_to_br"), 0, 0, filter_newline_to_br},
    {SLICE_INIT("strip_html"), 0, 0, filter_strip_html},
    {SLICE_INIT("truncate"), 0, 2, filter_truncate},
    {SLICE_INIT("truncatewords"), 0, 2, filter_truncatewords},
    {SLICE_INIT("date"), 1, 1, filter_date},
    {SLICE_INIT("replace"), 2, 2, filter_replace},
    {SLICE_INIT("replace_first"), 2, 2, filter_replace_first},
    {SLICE_INIT("remove"), 1, 1, filter_remove},
    {SLICE_INIT("append"), 1, 1, filter_append},
    {SLICE_INIT("prepend"), 1, 1, filter_prepend},
    {SLICE_INIT("size"), 0, 0, filter_size},
    {SLICE_INIT("first"), 0, 0, filter_first},
    {SLICE_INIT("last"), 0, 0, filter_last},
    {SLICE_INIT("join"), 0, 1, filter_join},
    {SLICE_INIT("split"), 1, 1, filter_split},
    {SLICE_INIT("sort"), 0, 0, filter_sort},
    {SLICE_INIT("reverse"), 0, 0, filter_reverse},
    {SLICE_INIT("uniq"), 0, 0, filter_uniq},
    {SLICE_INIT("slice"), 1, 2, filter_slice},
    {SLICE_INIT("plus"), 1, 1, filter_plus},
    {SLICE_INIT("minus"), 1, 1, filter_minus},
    {SLICE_INIT("times"), 1, 1, filter_times},
    {SLICE_INIT("divided_by"), 1, 1, filter_divided_by},
    {SLICE_INIT("modulo"), 1, 1, filter_modulo},
    {SLICE_INIT("abs"), 0, 0, filter_abs},
    {SLICE_INIT("ceil"), 0, 0, filter_ceil},
    {SLICE_INIT("floor"), 0, 0, filter_floor},
    {SLICE_INIT("round"), 0, 1, filter_round},
    {SLICE_INIT("at_least"), 1, 1, filter_at_least},
    {SLICE_INIT("at_most"), 1, 1, filter_at_most},
    {SLICE_INIT("url_encode"), 0, 0, filter_url_encode},
    {SLICE_INIT("number"), 0, 0, filter_number},
};

const struct liquid_filter *liquid_filter_find(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (slice_equal(name, filters[i].name))
            return &filters[i];
    return NULL;
}
