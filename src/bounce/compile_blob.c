/* compile_blob.c - what was collected, laid out one after another as blob.h has it, with its database */
#include "bounce/compile_private.h"

#include <assert.h>
#include <hs/hs.h>

/* ---- keys and layout ---- */

static int by_key(const void *a, const void *b, void *context)
{
    const struct compiler *c = context;
    const struct blob_pattern *patterns = (const void *)c->patterns.bytes.ptr;
    const struct blob_token *tokens = (const void *)c->tokens.bytes.ptr;
    const struct blob_pattern *pa = &patterns[*(const uint32_t *)a], *pb = &patterns[*(const uint32_t *)b];
    struct blob_text ta = tokens[pa->token_from + pa->key_token].text, tb = tokens[pb->token_from + pb->key_token].text;
    int order = slice_compare(slice_of(c->strings.ptr + ta.at, ta.len), slice_of(c->strings.ptr + tb.at, tb.len));
    return order ? order : *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static void keys_make(struct compiler *c)
{
    uint32_t count = compile_array_count(&c->patterns);
    for (uint32_t i = 0; i < count; i++)
        compile_array_add(&c->key_patterns, &i);
    if (!count)
        return;
    uint32_t *order = (uint32_t *)(void *)c->key_patterns.bytes.ptr;
    qsort_r(order, count, sizeof(*order), by_key, c);
    const struct blob_pattern *patterns = (const void *)c->patterns.bytes.ptr;
    const struct blob_token *tokens = (const void *)c->tokens.bytes.ptr;
    for (uint32_t i = 0; i < count; i++) {
        struct blob_text text = tokens[patterns[order[i]].token_from + patterns[order[i]].key_token].text;
        uint32_t have = compile_array_count(&c->keys);
        struct blob_key *last = have ? (struct blob_key *)(void *)c->keys.bytes.ptr + have - 1 : NULL;
        struct blob_text *last_text = have ? (struct blob_text *)(void *)c->key_texts.bytes.ptr + have - 1 : NULL;
        if (last && last_text->at == text.at && last_text->len == text.len) {
            last->pattern_count++;
            continue;
        }
        struct blob_key key = {text.len, i, 1};
        compile_array_add(&c->keys, &key);
        compile_array_add(&c->key_texts, &text);
    }
}

static int by_host(const void *a, const void *b, void *context)
{
    const struct compiler *c = context;
    struct blob_text ta = ((const struct blob_host *)a)->suffix, tb = ((const struct blob_host *)b)->suffix;
    return slice_compare(slice_of(c->strings.ptr + ta.at, ta.len), slice_of(c->strings.ptr + tb.at, tb.len));
}

static int by_words(const void *a, const void *b, void *context)
{
    const struct compiler *c = context;
    struct blob_text ta = ((const struct blob_words *)a)->key, tb = ((const struct blob_words *)b)->key;
    return slice_compare(slice_of(c->strings.ptr + ta.at, ta.len), slice_of(c->strings.ptr + tb.at, tb.len));
}

static struct blob_list section(struct buf *blob, const struct array *array)
{
    while (blob->len % 8)
        buf_byte(blob, 0);
    struct blob_list list = {(uint32_t)blob->len, compile_array_count(array)};
    buf_append(blob, buf_slice(&array->bytes));
    return list;
}

bool compile_database_make(struct compiler *c, bool is_generic, struct buf *bytes)
{
    uint32_t count = compile_array_count(&c->keys);
    if (!count)
        return true;
    const struct blob_text *texts = (const void *)c->key_texts.bytes.ptr;
    const char **literals = ARENA_ARRAY(&c->arena, const char *, count);
    size_t *lens = ARENA_ARRAY(&c->arena, size_t, count);
    unsigned *ids = ARENA_ARRAY(&c->arena, unsigned, count), *flags = ARENA_ARRAY(&c->arena, unsigned, count);
    for (uint32_t i = 0; i < count; i++) {
        literals[i] = arena_str(&c->arena, slice_of(c->strings.ptr + texts[i].at, texts[i].len));
        lens[i] = texts[i].len;
        ids[i] = i;
    }
    hs_platform_info_t generic = {0};
    hs_database_t *database;
    hs_compile_error_t *error;
    if (hs_compile_lit_multi(literals, flags, ids, lens, count, HS_MODE_BLOCK, is_generic ? &generic : NULL, &database,
                             &error) != HS_SUCCESS) {
        fault_set(c->why, FAULT_WORLD, "vectorscan: %s", error->message);
        hs_free_compile_error(error);
        return false;
    }
    char *serialised;
    size_t size;
    bool ok = hs_serialize_database(database, &serialised, &size) == HS_SUCCESS;
    hs_free_database(database);
    if (!ok)
        return fault_set(c->why, FAULT_WORLD, "vectorscan cannot serialise its database");
    buf_append(bytes, slice_of(serialised, size));
    free(serialised);
    return true;
}

/* All strings lie behind the tables; until then texts count from the beginning of the strings. */
static void texts_move(struct blob_text *text, size_t stride, size_t count, uint32_t by)
{
    for (size_t i = 0; i < count; i++, text = (struct blob_text *)(void *)((char *)text + stride))
        text->at += by;
}

bool compile_blob_make(struct compiler *c, struct buf *out)
{
    keys_make(c);
    if (compile_array_count(&c->hosts))
        qsort_r(c->hosts.bytes.ptr, compile_array_count(&c->hosts), sizeof(struct blob_host), by_host, c);
    if (compile_array_count(&c->words))
        qsort_r(c->words.bytes.ptr, compile_array_count(&c->words), sizeof(struct blob_words), by_words, c);
    SCOPED(buf) database = BUF(COMPILE_BLOB_MAX);
    if (!compile_database_make(c, true, &database))
        return false;
    struct blob blob = {.magic = BLOB_MAGIC};
    memcpy(blob.reasons, c->reasons, sizeof(blob.reasons));
    struct array key_texts_after = c->key_texts;
    buf_append(out, slice_of(&blob, sizeof(blob)));
    blob.providers = section(out, &c->providers);
    blob.rules = section(out, &c->rules);
    blob.bare_rules = section(out, &c->bare);
    blob.patterns = section(out, &c->patterns);
    blob.tokens = section(out, &c->tokens);
    blob.keys = section(out, &c->keys);
    blob.key_patterns = section(out, &c->key_patterns);
    blob.codes = section(out, &c->codes);
    blob.statuses = section(out, &c->statuses);
    blob.hosts = section(out, &c->hosts);
    blob.fallback_statuses = section(out, &c->fallback_statuses);
    blob.fallback_codes = section(out, &c->fallback_codes);
    blob.words = section(out, &c->words);
    blob.examples = section(out, &c->examples);
    blob.key_texts = section(out, &key_texts_after);
    while (out->len % 64)
        buf_byte(out, 0);
    blob.database = (struct blob_text){(uint32_t)out->len, (uint32_t)database.len};
    buf_append(out, buf_slice(&database));
    uint32_t strings = (uint32_t)out->len;
    buf_append(out, buf_slice(&c->strings));
    if (!buf_ok(out))
        return fault_set(c->why, FAULT_LIMIT, "the rules are larger than %d MB", COMPILE_BLOB_MAX >> 20);
    char *base = out->ptr;
#define MOVE(list, type, field)                                                                                        \
    texts_move((struct blob_text *)(void *)(base + blob.list.at + offsetof(type, field)), sizeof(type),                \
               blob.list.count, strings)
    MOVE(providers, struct blob_provider, name);
    MOVE(rules, struct blob_rule, id);
    MOVE(rules, struct blob_rule, words);
    MOVE(tokens, struct blob_token, text);
    MOVE(hosts, struct blob_host, suffix);
    MOVE(examples, struct blob_example, line);
    MOVE(words, struct blob_words, key);
    for (uint32_t i = 0; i < blob.words.count; i++) {
        struct blob_words *row = (struct blob_words *)(void *)(base + blob.words.at) + i;
        texts_move(&row->text[0][0], sizeof(struct blob_text), (size_t)BLOB_LANGS * BLOB_WORDS, strings);
    }
    texts_move((struct blob_text *)(void *)(base + blob.key_texts.at), sizeof(struct blob_text), blob.key_texts.count,
               strings);
#undef MOVE
    blob.size = (uint32_t)out->len;
    memcpy(base, &blob, sizeof(blob));
    return true;
}
