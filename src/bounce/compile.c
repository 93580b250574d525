/* compile.c - the YAML of data/bounce and data/words -> the tables of blob.h
 *
 * Collected in growing arrays (compile_read.c), laid out one after another at the end (compile_blob.c). */
#include "bounce/compile_private.h"

/* ---- arrays and strings ---- */

void compile_array_init(struct array *array, size_t size)
{
    buf_init(&array->bytes, COMPILE_BLOB_MAX);
    array->size = size;
}

uint32_t compile_array_count(const struct array *array)
{
    return (uint32_t)(array->bytes.len / array->size);
}

uint32_t compile_array_add(struct array *array, const void *item)
{
    buf_append(&array->bytes, slice_of(item, array->size));
    return compile_array_count(array) - 1;
}

struct blob_text compile_text_add(struct compiler *c, struct slice s)
{
    void *known = map_get(&c->string_at, s);
    if (known)
        return (struct blob_text){(uint32_t)((uintptr_t)known - 1), (uint32_t)s.len};
    struct blob_text text = {(uint32_t)c->strings.len, (uint32_t)s.len};
    buf_append(&c->strings, s);
    if (s.len)
        map_set(&c->string_at, s, (void *)(uintptr_t)(text.at + 1));
    return text;
}

/* ---- the whole ---- */

static bool files_read(struct compiler *c, const struct compile_file *files, size_t count)
{
    struct blob_provider general = {0};
    compile_array_add(&c->providers, &general);
    for (int kind = FILE_REASONS; kind <= FILE_PROVIDER; kind++)
        for (size_t i = 0; i < count; i++)
            if ((int)compile_kind_of(files[i].path) == kind && !compile_file_read(c, &files[i], (enum file_kind)kind))
                return false;
    for (int reason = 0; reason < REASON_COUNT; reason++)
        if (!c->has_reason[reason])
            return fault_set(c->why, FAULT_INPUT, "reasons.yaml: the reason %.*s is missing",
                             SLICE_ARG(reason_word((enum reason)reason)));
    return true;
}

bool rules_compile(const struct compile_file *files, size_t count, const struct blob *base, struct buf *blob,
                   struct fault *why)
{
    struct compiler *c = NEW(struct compiler);
    c->why = why;
    if (base) {
        memcpy(c->reasons, base->reasons, sizeof(c->reasons));
        memset(c->has_reason, true, sizeof(c->has_reason));
    }
    buf_init(&c->strings, COMPILE_BLOB_MAX);
    struct {
        struct array *array;
        size_t size;
    } arrays[] = {
        {&c->providers, sizeof(struct blob_provider)},
        {&c->rules, sizeof(struct blob_rule)},
        {&c->bare, sizeof(uint32_t)},
        {&c->patterns, sizeof(struct blob_pattern)},
        {&c->tokens, sizeof(struct blob_token)},
        {&c->codes, sizeof(struct blob_codes)},
        {&c->statuses, sizeof(struct blob_status)},
        {&c->hosts, sizeof(struct blob_host)},
        {&c->fallback_statuses, sizeof(struct blob_fallback)},
        {&c->fallback_codes, sizeof(struct blob_fallback)},
        {&c->words, sizeof(struct blob_words)},
        {&c->examples, sizeof(struct blob_example)},
        {&c->key_patterns, sizeof(uint32_t)},
        {&c->keys, sizeof(struct blob_key)},
        {&c->key_texts, sizeof(struct blob_text)},
    };
    for (size_t i = 0; i < COUNT_OF(arrays); i++)
        compile_array_init(arrays[i].array, arrays[i].size);
    bool ok = files_read(c, files, count) && compile_blob_make(c, blob);
    for (size_t i = 0; i < COUNT_OF(arrays); i++)
        buf_release(&arrays[i].array->bytes);
    buf_release(&c->strings);
    map_release(&c->string_at);
    map_release(&c->rule_ids);
    arena_release(&c->arena);
    free(c);
    return ok;
}

bool rules_database(const struct blob *blob, struct buf *bytes, struct fault *why)
{
    struct compiler *c = NEW(struct compiler);
    c->why = why;
    compile_array_init(&c->keys, sizeof(struct blob_key));
    compile_array_init(&c->key_texts, sizeof(struct blob_text));
    buf_init(&c->strings, COMPILE_BLOB_MAX);
    buf_append(&c->strings, slice_of(blob, blob->size)); /* the texts of a finished blob count from its beginning */
    buf_append(&c->keys.bytes, slice_of(BLOB_AT(blob, char, blob->keys), blob->keys.count * sizeof(struct blob_key)));
    buf_append(&c->key_texts.bytes,
               slice_of(BLOB_AT(blob, char, blob->key_texts), blob->key_texts.count * sizeof(struct blob_text)));
    bool ok = compile_database_make(c, false, bytes);
    buf_release(&c->keys.bytes);
    buf_release(&c->key_texts.bytes);
    buf_release(&c->strings);
    arena_release(&c->arena);
    free(c);
    return ok;
}
