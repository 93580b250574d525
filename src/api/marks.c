#include "api/marks.h"

#include "base/utf8.h"

size_t utf16_offset(struct slice text, size_t bytes)
{
    size_t units = 0;
    struct slice rest = text;
    while (rest.len && text.len - rest.len < bytes) {
        int32_t code_point = utf8_next(&rest);
        units += code_point > 0xffff ? 2 : 1;
    }
    return units;
}

void json_put_marks(struct json *json, struct slice text, size_t from, size_t to)
{
    json_put_array(json, "marks");
    if (from < to && to <= text.len) {
        json_array_begin(json);
        json_int(json, (int64_t)utf16_offset(text, from));
        json_int(json, (int64_t)utf16_offset(text, to));
        json_end(json);
    }
    json_end(json);
}
