#include "app/batch.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/utf8.h"
#include <assert.h>
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

struct batch {
    batch_taker *take;
    batch_flat_taker *take_flat; /* instead of take */
    const struct slice *keys;
    size_t count;
    void *context;
    struct buf unescaped; /* strings of one flat line that had escapes */
};

/* ---- one flat line, in one pass ---- */

struct flat {
    const char *at, *end;
    struct buf *unescaped;
};

static char flat_next(struct flat *f)
{
    while (f->at < f->end && (*f->at == ' ' || *f->at == '\t' || *f->at == '\r' || *f->at == '\n'))
        f->at++;
    return f->at < f->end ? *f->at : 0;
}

/* The escapes of one letter; \u and what is none are left to jansson. */
static char unescaped(char letter)
{
    switch (letter) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'b': return '\b';
    case 'f': return '\f';
    case '"':
    case '\\':
    case '/': return letter;
    default: return 0;
    }
}

/* A string whose opening quote is at f->at. */
static bool flat_string(struct flat *f, struct slice *value)
{
    static const bool is_plain[256] = {[0x20 ... 0x21] = true, [0x23 ... 0x5b] = true, [0x5d ... 0xff] = true};
    const char *from = ++f->at;
    while (f->at < f->end && is_plain[(unsigned char)*f->at])
        f->at++;
    if (f->at < f->end && *f->at == '"') {
        *value = slice_of(from, (size_t)(f->at++ - from));
        return utf8_is_valid(*value);
    }
    size_t start = f->unescaped->len;
    char *to =
        buf_reserve(f->unescaped, (size_t)(f->end - from)); /* there is room for the whole line: it stays where it is */
    if (!to)
        return false;
    size_t len = (size_t)(f->at - from);
    memcpy(to, from, len);
    for (; f->at < f->end && *f->at != '"'; f->at++) {
        char c = *f->at;
        if (c == '\\')
            c = ++f->at < f->end ? unescaped(*f->at) : 0;
        else if (!is_plain[(unsigned char)c])
            c = 0;
        if (!c)
            return false;
        to[len++] = c;
    }
    if (f->at == f->end)
        return false;
    f->at++;
    buf_advance(f->unescaped, len);
    *value = slice_of(f->unescaped->ptr + start, len);
    return utf8_is_valid(*value);
}

/* An id that jansson would print as it stands: a whole number, or a string of plain ASCII. */
static bool flat_id(struct flat *f, struct slice *id)
{
    const char *from = f->at;
    if (*f->at == '"') {
        struct slice value;
        if (!flat_string(f, &value) || value.ptr != from + 1 || !slice_is_ascii(value) ||
            memchr(value.ptr, 0x7f, value.len))
            return false;
    } else {
        f->at += *f->at == '-';
        const char *digits = f->at;
        while (f->at < f->end && ascii_is_digit(*f->at))
            f->at++;
        size_t count = (size_t)(f->at - digits);
        if (!count || count > 18 || (*digits == '0' && (count > 1 || digits > from)) ||
            (f->at < f->end && memchr(".eE", *f->at, 3)))
            return false;
    }
    *id = slice_of(from, (size_t)(f->at - from));
    return true;
}

/* {"id": 1, "text": "..."}: false for everything less plain, which jansson then reads. */
static bool flat_read(const struct batch *batch, struct flat *f, struct slice *id, struct slice *values)
{
    if (flat_next(f) != '{')
        return false;
    do {
        f->at++;
        struct slice key, value;
        if (flat_next(f) != '"' || !flat_string(f, &key) || flat_next(f) != ':')
            return false;
        f->at++;
        char first = flat_next(f);
        if (slice_equal(key, SLICE("id"))) {
            if (!first || !flat_id(f, id))
                return false;
            continue;
        }
        if (first != '"' || !flat_string(f, &value))
            return false;
        for (size_t i = 0; i < batch->count; i++)
            if (slice_equal(key, batch->keys[i]))
                values[i] = value;
    } while (flat_next(f) == ',');
    if (flat_next(f) != '}')
        return false;
    f->at++;
    return !flat_next(f) && f->at == f->end;
}

static bool flat_take(struct batch *batch, struct slice line, struct buf *out)
{
    struct slice id = {0}, values[BATCH_FLAT_KEYS] = {0};
    struct flat f = {line.ptr, line.ptr + line.len, &batch->unescaped};
    buf_reset(&batch->unescaped);
    if (memchr(line.ptr, '\\', line.len) && !buf_reserve(&batch->unescaped, line.len))
        return false;
    if (!flat_read(batch, &f, &id, values))
        return false;
    batch->take_flat(batch->context, id, values, out);
    return true;
}

/* ---- any line ---- */

static void object_take(const struct batch *batch, struct slice id, const json_t *object, struct buf *out)
{
    if (batch->take) {
        batch->take(batch->context, id, object, out);
        return;
    }
    struct slice values[BATCH_FLAT_KEYS] = {0};
    for (size_t i = 0; i < batch->count; i++) {
        const json_t *value = json_object_getn(object, batch->keys[i].ptr, batch->keys[i].len);
        if (json_is_string(value))
            values[i] = slice_of(json_string_value(value), json_string_length(value));
    }
    batch->take_flat(batch->context, id, values, out);
}

static void line_take(struct batch *batch, struct slice line, struct buf *out)
{
    if (batch->take_flat && flat_take(batch, line, out))
        return;
    json_error_t error;
    json_t *object = json_loadb(line.ptr, line.len, JSON_ALLOW_NUL, &error);
    if (!json_is_object(object)) {
        batch_error(out, SLICE(""), object ? "not a JSON object" : error.text);
        json_decref(object);
        return;
    }
    const json_t *given = json_object_get(object, "id");
    char number[32];
    if (json_is_integer(given)) { /* the common case, without an allocation */
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(given));
        object_take(batch, slice_str(number), object, out);
    } else {
        char *text = given ? json_dumps(given, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        object_take(batch, slice_str(text), object, out);
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

static int lines_run(const char *command, struct batch *batch)
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
                line_take(batch, slice_trim(line), &out);
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

int batch_run(const char *command, batch_taker *take, void *context)
{
    struct batch batch = {.take = take, .context = context};
    return lines_run(command, &batch);
}

int batch_run_flat(const char *command, const struct slice *keys, size_t count, batch_flat_taker *take, void *context)
{
    assert(count <= BATCH_FLAT_KEYS);
    struct batch batch = {.take_flat = take, .keys = keys, .count = count, .context = context};
    buf_init(&batch.unescaped, BATCH_LINE_MAX);
    int status = lines_run(command, &batch);
    buf_release(&batch.unescaped);
    return status;
}
