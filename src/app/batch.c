#include "app/batch.h"

#include "base/base64.h"
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct slice batch_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value)) : SLICE("");
}

void batch_error(struct buf *out, struct slice id, const char *what)
{
    struct json json = {out};
    json_object_begin(&json);
    if (id.len) {
        json_key(&json, "id");
        json_raw(&json, id);
    }
    json_put_string(&json, "error", slice_str(what));
    json_end(&json);
    buf_byte(out, '\n');
}

bool batch_message(const json_t *object, struct slice id, struct buf *mail, struct buf *out)
{
    if (!json_is_string(json_object_get(object, "message_b64"))) {
        batch_error(out, id, "message_b64 is missing");
        return false;
    }
    if (base64_decode(mail, batch_text(object, "message_b64")))
        return true;
    batch_error(out, id, "message_b64 is not base64");
    return false;
}

static void line_take(struct slice line, batch_taker *take, void *context, struct buf *out)
{
    json_error_t error;
    json_t *object = json_loadb(line.ptr, line.len, 0, &error);
    if (!json_is_object(object)) {
        batch_error(out, SLICE(""), object ? "not a JSON object" : error.text);
        json_decref(object);
        return;
    }
    const json_t *given = json_object_get(object, "id");
    char number[32];
    if (json_is_integer(given)) { /* the common case, without an allocation */
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(given));
        take(context, slice_str(number), object, out);
    } else {
        char *text = given ? json_dumps(given, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        take(context, slice_str(text), object, out);
        free(text);
    }
    json_decref(object);
}

static bool out_flush(struct buf *out)
{
    size_t done = 0;
    while (done < out->len) {
        ssize_t wrote = write(STDOUT_FILENO, out->ptr + done, out->len - done);
        if (wrote < 0 && errno != EINTR)
            return false;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    buf_reset(out);
    return true;
}

int batch_run(const char *command, batch_taker *take, void *context)
{
    enum { CHUNK = 1 << 18, FLUSH_BYTES = 1 << 18 };
    SCOPED(buf) in = BUF(BATCH_LINE_MAX);
    SCOPED(buf) out = BUF(BATCH_LINE_MAX);
    size_t searched = 0;
    for (bool is_over = false; !is_over;) {
        char *room = buf_reserve(&in, CHUNK);
        ssize_t got = room ? read(STDIN_FILENO, room, CHUNK) : -1;
        if (got < 0 && room && errno == EINTR)
            continue;
        if (got < 0) {
            fprintf(stderr, "todoke %s: %s\n", command, room ? strerror(errno) : "a line of the batch is too long");
            return 3;
        }
        is_over = got == 0;
        buf_advance(&in, (size_t)got);
        struct slice rest = buf_slice(&in);
        while (rest.len) {
            const char *end = memchr(rest.ptr + searched, '\n', rest.len - searched);
            if (!end && !is_over)
                break;
            struct slice line = slice_head(rest, end ? (size_t)(end - rest.ptr) : rest.len);
            rest = slice_from(rest, line.len + 1);
            searched = 0;
            if (slice_trim(line).len)
                line_take(slice_trim(line), take, context, &out);
            if (out.len > FLUSH_BYTES && !out_flush(&out))
                return 3;
        }
        searched = rest.len; /* no newline in these bytes */
        buf_consume(&in, in.len - rest.len);
        if (!out_flush(&out))
            return 3;
    }
    return 0;
}
