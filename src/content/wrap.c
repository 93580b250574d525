/* Text wrapped for reading (S47): width-aware, with 禁則. One pass; a line that offers no place to break stays long. */
#include "content/twin.h"

#include "base/utf8.h"

/* May not begin a line: closing brackets, stops, small kana, prolonged sounds, and ASCII's closers. */
static bool is_no_start(int32_t c)
{
    static const char closers[] = "、。，．・：；？！ー）］｝」』】〉》〕〗”’…‥々ゝゞヽヾ〜～％℃"
                                  "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ､｡｣ｧｨｩｪｫｬｭｮｯｰﾞﾟ!),.:;?]}%>»";
    struct slice rest = slice_of(closers, sizeof(closers) - 1);
    if (c < 0x80)
        return c && strchr("!),.:;?]}%>", (int)c);
    if (c >= 0x3100 && c < 0xff00) /* kanji and hangul, the common case */
        return false;
    for (int32_t closer; (closer = utf8_next(&rest)) >= 0;)
        if (closer == c)
            return true;
    return false;
}

/* May not end a line: opening brackets, and signs that belong to the number behind them. */
static bool is_no_end(int32_t c)
{
    struct slice rest = SLICE("（［｛「『【〈《〔〖“‘￥＄£€«");
    if (c < 0x80)
        return c && strchr("([{<$", (int)c);
    if (c >= 0x3020 && c < 0xff00)
        return false;
    for (int32_t opener; (opener = utf8_next(&rest)) >= 0;)
        if (opener == c)
            return true;
    return false;
}

static bool is_ideographic(int32_t c, size_t width)
{
    return width == 2 || (c >= 0xff61 && c <= 0xff9f);
}

enum { ZERO_WIDTH_JOINER = 0x200d };

/* May a line end between these two? */
static bool is_break(int32_t before, size_t before_width, int32_t after, size_t after_width)
{
    if (after == ' ' || after_width == 0 || before == ZERO_WIDTH_JOINER)
        return false;
    if (before == ' ')
        return true;
    if (!is_ideographic(before, before_width) && !is_ideographic(after, after_width))
        return false;
    return !is_no_end(before) && !is_no_start(after);
}

static void put_line(struct buf *out, struct slice line)
{
    while (line.len && (line.ptr[line.len - 1] == ' ' || line.ptr[line.len - 1] == '\t'))
        line.len--;
    buf_append(out, line);
}

static void wrap_line(struct buf *out, struct slice line, size_t columns)
{
    struct slice rest = line;
    size_t start = 0, column = 0, break_at = 0, break_column = 0, before_width = 0;
    int32_t before = 0;
    while (rest.len) {
        size_t at = line.len - rest.len;
        int32_t c = utf8_next(&rest);
        size_t width = c < 0x80 ? 1 : utf8_columns(slice_of(line.ptr + at, line.len - rest.len - at));
        if (at > start && is_break(before, before_width, c, width)) {
            break_at = at;
            break_column = column;
        }
        if (column + width > columns && break_at > start && c != ' ') {
            put_line(out, slice_of(line.ptr + start, break_at - start));
            buf_byte(out, '\n');
            start = break_at;
            column -= break_column;
            break_column = 0;
        }
        column += width;
        before = c;
        before_width = width;
    }
    put_line(out, slice_from(line, start));
}

void text_wrap(struct buf *out, struct slice text, size_t columns)
{
    while (text.len) {
        ptrdiff_t end = slice_find_byte(text, '\n');
        struct slice line = end == SLICE_NPOS ? text : slice_head(text, (size_t)end);
        text = slice_from(text, end == SLICE_NPOS ? text.len : (size_t)end + 1);
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        wrap_line(out, line, columns);
        if (end != SLICE_NPOS)
            buf_byte(out, '\n');
    }
}
