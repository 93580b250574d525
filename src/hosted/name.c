#include "hosted/name.h"

#include "base/utf8.h"
#include "hosted/hosted.h"

enum { ENDING_MAX = 16 };

static bool is_harmful(int32_t c)
{
    return c < ' ' || (c >= 0x7f && c <= 0x9f) ||         /* controls */
           c == 0x061c || (c >= 0x200b && c <= 0x200f) || /* nothing to see, or turns the direction */
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffd) || (c >= 0xe0000 && c <= 0xe0fff) || (c & 0xfffe) == 0xfffe;
}

static struct slice ends_trimmed(struct slice name)
{
    while (name.len && (name.ptr[0] == ' ' || name.ptr[0] == '.'))
        name = slice_from(name, 1);
    while (name.len && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '.'))
        name.len--;
    return name;
}

/* Not longer than allowed, its ending kept. */
static void put_short(struct slice name, struct buf *out)
{
    ptrdiff_t dot = slice_find_last_byte(name, '.');
    struct slice ending = dot > 0 ? slice_from(name, (size_t)dot) : SLICE("");
    if (ending.len > ENDING_MAX)
        ending = SLICE("");
    if (name.len > HOSTED_NAME_MAX) {
        buf_append(out, utf8_head(name, HOSTED_NAME_MAX - ending.len));
        buf_append(out, ending);
    } else {
        buf_append(out, name);
    }
}

void hosted_name_clean(struct slice name, struct buf *out)
{
    SCOPED(buf) clean = BUF(64 << 10);
    for (size_t i = name.len; i > 0; i--) {
        if (name.ptr[i - 1] == '/' || name.ptr[i - 1] == '\\') {
            name = slice_from(name, i);
            break;
        }
    }
    name = slice_head(name, 16 << 10);
    for (int32_t c; (c = utf8_next(&name)) >= 0;)
        if (!is_harmful(c))
            utf8_append(&clean, (uint32_t)c);
    struct slice left = ends_trimmed(buf_slice(&clean));
    put_short(left.len ? left : SLICE("file"), out);
}

static bool is_token(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && !memchr("!#$&-^_.+", text.ptr[i], 9))
            return false;
    return text.len > 0;
}

static struct slice type_by_ending(struct slice name)
{
    static const struct {
        const char *ending, *type;
    } table[] = {
        {".pdf", "application/pdf"},
        {".zip", "application/zip"},
        {".csv", "text/csv"},
        {".txt", "text/plain"},
        {".ics", "text/calendar"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".mp3", "audio/mpeg"},
        {".mp4", "video/mp4"},
        {".epub", "application/epub+zip"},
        {".doc", "application/msword"},
        {".xls", "application/vnd.ms-excel"},
        {".ppt", "application/vnd.ms-powerpoint"},
        {".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
        {".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
        {".pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (slice_ends_caseless(name, slice_str(table[i].ending)))
            return slice_str(table[i].type);
    return SLICE("application/octet-stream");
}

bool hosted_type_of(struct slice given, struct slice name, struct slice *type)
{
    ptrdiff_t end = slice_find_byte(given, ';');
    given = slice_trim(end == SLICE_NPOS ? given : slice_head(given, (size_t)end));
    if (!given.len || slice_equal_caseless(given, SLICE("application/x-www-form-urlencoded")) ||
        slice_equal_caseless(given, SLICE("application/octet-stream"))) {
        *type = type_by_ending(name);
        return true;
    }
    ptrdiff_t slash = slice_find_byte(given, '/');
    *type = given;
    return given.len <= HOSTED_TYPE_MAX && slash != SLICE_NPOS && is_token(slice_head(given, (size_t)slash)) &&
           is_token(slice_from(given, (size_t)slash + 1));
}

bool hosted_type_is_active(struct slice type)
{
    static const char *const parts[] = {"html", "xml", "svg", "script", "xsl", "x-shockwave", "x-mhtml", "message/"};
    static const struct slice office = SLICE_INIT("application/vnd.openxmlformats-officedocument.");
    static const char *const packages[] = {
        /* zip files: what is XML by itself ends with "+xml" */
        "wordprocessingml.document",   "wordprocessingml.template", "spreadsheetml.sheet",  "spreadsheetml.template",
        "presentationml.presentation", "presentationml.slideshow",  "presentationml.slide", "presentationml.template"};
    if (slice_starts_caseless(type, office))
        for (size_t i = 0; i < COUNT_OF(packages); i++)
            if (slice_equal_caseless(slice_from(type, office.len), slice_str(packages[i])))
                return false;
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (slice_find_caseless(type, slice_str(parts[i])) != SLICE_NPOS)
            return true;
    return false;
}

void hosted_size_print(uint64_t bytes, struct buf *out)
{
    static const char *const units[] = {"KB", "MB", "GB", "TB"};
    if (bytes < 1000) {
        buf_printf(out, "%llu B", (unsigned long long)bytes);
        return;
    }
    size_t unit = 0;
    uint64_t step = 1000;
    while (unit + 1 < COUNT_OF(units) && (bytes + step / 2) / step >= 1000) {
        step *= 1000;
        unit++;
    }
    uint64_t tenths = (bytes * 10 + step / 2) / step;
    if (tenths < 100 && tenths % 10)
        buf_printf(out, "%llu.%llu %s", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10),
                   units[unit]);
    else
        buf_printf(out, "%llu %s", (unsigned long long)((bytes + step / 2) / step), units[unit]);
}
