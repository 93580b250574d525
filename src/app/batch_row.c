#include "app/batch_row.h"

static void row_open(struct json *json, struct slice id)
{
    json_object_begin(json);
    if (id.len) {
        json_key(json, "id");
        json_raw(json, id);
    }
}

void batch_row(struct buf *out, struct slice id, const json_t *line, batch_row_writer *write, batch_row_also *also,
               void *context)
{
    size_t before = out->len;
    struct fault why = {0};
    struct json json = {out}, error = {out};
    row_open(&json, id);
    if (write(context, line, &json, &why)) {
        json_end(&json);
    } else {
        out->len = before;
        row_open(&error, id);
        json_put_string(&error, "error", slice_str(why.text));
        if (also)
            also(context, &error);
        json_end(&error);
    }
    buf_byte(out, '\n');
}

bool batch_row_text(const json_t *line, const char *key, struct slice *text, struct fault *why)
{
    const json_t *value = json_object_get(line, key);
    *text = batch_text(line, key);
    return !value || json_is_null(value) || json_is_string(value) ||
           fault_set(why, FAULT_INPUT, "%s must be a string", key);
}

bool batch_row_need(const json_t *line, const char *key, struct slice *text, struct fault *why)
{
    if (!json_object_get(line, key))
        return fault_set(why, FAULT_INPUT, "%s is missing", key);
    return batch_row_text(line, key, text, why);
}

bool batch_row_number(const json_t *line, const char *key, int64_t *number, struct fault *why)
{
    const json_t *value = json_object_get(line, key);
    if (!value || json_is_null(value))
        return true;
    if (json_is_real(value) && json_real_value(value) > -9e15 && json_real_value(value) < 9e15) {
        *number = (int64_t)json_real_value(value);
        return true;
    }
    if (!json_is_integer(value))
        return fault_set(why, FAULT_INPUT, "%s must be a number", key);
    *number = json_integer_value(value);
    return true;
}
