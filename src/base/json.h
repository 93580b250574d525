/* json.h - write JSON (RFC 8259) into a buf, fast; reading is jansson's
 *
 * Commas are put by the writer: it remembers whether the container it is in has something already. Depth at most 64.
 * Strings that are not UTF-8 are repaired (U+FFFD). Line breaks are the caller's.
 *
 *     struct json json = {&out};
 *     json_object_begin(&json); json_put_string(&json, "file", file); json_end(&json);     ->  {"file":"..."} */
#ifndef TODOKE_BASE_JSON_H
#define TODOKE_BASE_JSON_H

#include "base/buf.h"
#include "base/time.h"

struct json {
    struct buf *out;
    uint64_t has_item; /* bit for each depth */
    uint64_t is_object;
    unsigned depth;
    bool is_after_key;
};

void json_object_begin(struct json *json);
void json_array_begin(struct json *json);
void json_end(struct json *json); /* closes the innermost object or array */
void json_key_slice(struct json *json, struct slice key);
#define json_key(json, literal) json_key_slice((json), SLICE(literal))
void json_text(struct json *json, struct slice s);
void json_int(struct json *json, int64_t number);
void json_double(struct json *json, double number); /* %.6g; not finite becomes null */
void json_bool(struct json *json, bool value);
void json_nothing(struct json *json);
/* Bytes that are already JSON. */
void json_raw(struct json *json, struct slice ready);

/* key and value at once */
#define json_put_string(json, key, value) (json_key((json), key), json_text((json), (value)))
#define json_put_int(json, key, value)    (json_key((json), key), json_int((json), (value)))
#define json_put_bool(json, key, value)   (json_key((json), key), json_bool((json), (value)))
#define json_put_null(json, key)          (json_key((json), key), json_nothing(json))
#define json_put_double(json, key, value) (json_key((json), key), json_double((json), (value)))
/* A key whose object or array is begun; json_end ends it. */
#define json_put_object(json, key) (json_key((json), key), json_object_begin(json))
#define json_put_array(json, key)  (json_key((json), key), json_array_begin(json))

void json_put_id_of(struct json *json, struct slice key, uint64_t id); /* decimal in a string; 0 becomes null */
#define json_put_id(json, key, id) json_put_id_of((json), SLICE(key), (id))
void json_put_time_of(struct json *json, struct slice key, time_ms at); /* RFC 3339; 0 becomes null */
#define json_put_time(json, key, at) json_put_time_of((json), SLICE(key), (at))
/* The same thing said in both languages: {"ja":...,"en":...} */
void json_put_words_of(struct json *json, struct slice key, struct slice ja, struct slice en);
#define json_put_words(json, key, ja, en) json_put_words_of((json), SLICE(key), (ja), (en))

/* Only the escaped content of a string, without quotes. */
void json_escape(struct buf *out, struct slice s);

#endif
