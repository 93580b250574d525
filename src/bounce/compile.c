/* YAML (libyaml's document tree, which knows the lines) -> the tables of blob.h.
 *
 * Collected in growing arrays, laid out one after another at the end. Everything is checked here, so that rules.c may
 * trust a blob: an unknown key, reason, stage or a pattern that could never be found is an error with its line. */
#include "bounce/compile.h"

#include "base/arena.h"
#include "base/map.h"
#include "bounce/blob.h"
#include <assert.h>
#include <hs/hs.h>
#include <yaml.h>

struct array {
    struct buf bytes;
    size_t size;
};

struct compiler {
    struct arena arena;
    struct buf strings;
    struct map string_at; /* text -> its offset + 1 */
    struct array providers, rules, bare, patterns, tokens, codes, statuses, hosts, fallback_statuses, fallback_codes;
    struct array words, examples, key_patterns, keys;
    struct array key_texts; /* struct blob_text for each key */
    struct map rule_ids;
    bool has_reason[REASON_COUNT];
    struct blob_reason reasons[REASON_COUNT];
    /* the file being read */
    const char *path;
    yaml_document_t *document;
    struct fault *why;
};

/* ---- arrays and strings ---- */

static void array_init(struct array *array, size_t size)
{
    buf_init(&array->bytes, COMPILE_BLOB_MAX);
    array->size = size;
}

static uint32_t array_count(const struct array *array)
{
    return (uint32_t)(array->bytes.len / array->size);
}

static uint32_t array_add(struct array *array, const void *item)
{
    buf_append(&array->bytes, slice_of(item, array->size));
    return array_count(array) - 1;
}

static struct blob_text text_add(struct compiler *c, struct slice s)
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

/* ---- YAML ---- */

static bool complain(struct compiler *c, const yaml_node_t *node, const char *format, ...) PRINTF_LIKE(3, 4);
static bool complain(struct compiler *c, const yaml_node_t *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char text[300];
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fault_set(c->why, FAULT_INPUT, "%s line %zu: %s", c->path, node ? node->start_mark.line + 1 : 0, text);
}

static yaml_node_t *node_at(struct compiler *c, int index)
{
    return yaml_document_get_node(c->document, index);
}

static struct slice scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? slice_of(node->data.scalar.value, node->data.scalar.length)
                                                  : (struct slice){0};
}

static yaml_node_t *member(struct compiler *c, const yaml_node_t *map, const char *name)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top; pair++)
        if (slice_equal(scalar(node_at(c, pair->key)), slice_str(name)))
            return node_at(c, pair->value);
    return NULL;
}

/* A sequence's items, or the scalar itself as the only one. */
static yaml_node_t *item(struct compiler *c, yaml_node_t *list, size_t i)
{
    if (!list)
        return NULL;
    if (list->type == YAML_SCALAR_NODE)
        return i == 0 ? list : NULL;
    if (list->type != YAML_SEQUENCE_NODE ||
        i >= (size_t)(list->data.sequence.items.top - list->data.sequence.items.start))
        return NULL;
    return node_at(c, list->data.sequence.items.start[i]);
}

static bool has_only(struct compiler *c, const yaml_node_t *map, const char *const *names)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return complain(c, map, "a list of \"key: value\" is wanted here");
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top; pair++) {
        struct slice key = scalar(node_at(c, pair->key));
        bool is_known = false;
        for (const char *const *name = names; *name; name++)
            is_known = is_known || slice_equal(key, slice_str(*name));
        if (!is_known)
            return complain(c, node_at(c, pair->key), "unknown key \"%.*s\"", SLICE_ARG(key));
    }
    return true;
}

/* ---- patterns ---- */

static void token_add(struct compiler *c, enum blob_token_kind kind, struct buf *text)
{
    struct blob_token token = {.kind = kind};
    if (kind == TOKEN_TEXT) {
        if (!text->len)
            return;
        blob_lower(text->ptr, text->len);
        token.text = text_add(c, buf_slice(text));
        buf_reset(text);
    }
    array_add(&c->tokens, &token);
}

static bool pattern_add(struct compiler *c, const yaml_node_t *node, uint32_t owner, bool is_mark)
{
    struct slice text = scalar(node);
    struct blob_pattern pattern = {.owner = owner, .is_mark = is_mark, .token_from = array_count(&c->tokens)};
    if (text.len && text.ptr[0] == '^') {
        pattern.is_anchored = true;
        text = slice_from(text, 1);
    }
    SCOPED(buf) literal = BUF(4096);
    for (size_t i = 0; i < text.len;) {
        struct slice rest = slice_from(text, i);
        enum blob_token_kind kind = rest.ptr[0] == '*'                      ? TOKEN_GAP
                                    : rest.ptr[0] == '#'                    ? TOKEN_DIGITS
                                    : slice_starts(rest, SLICE("{ip}"))     ? TOKEN_IP
                                    : slice_starts(rest, SLICE("{addr}"))   ? TOKEN_ADDRESS
                                    : slice_starts(rest, SLICE("{domain}")) ? TOKEN_DOMAIN
                                                                            : TOKEN_TEXT;
        if (slice_starts(rest, SLICE("{#}"))) {
            buf_byte(&literal, '#');
            i += 3;
            continue;
        }
        if (kind == TOKEN_TEXT) {
            bool is_space = ascii_is_space(rest.ptr[0]);
            if (!is_space || !literal.len || literal.ptr[literal.len - 1] != ' ')
                buf_byte(&literal, is_space ? ' ' : rest.ptr[0]);
            i++;
            continue;
        }
        token_add(c, TOKEN_TEXT, &literal);
        token_add(c, kind, NULL);
        i += kind == TOKEN_IP ? 4 : kind == TOKEN_ADDRESS ? 6 : kind == TOKEN_DOMAIN ? 8 : 1;
    }
    token_add(c, TOKEN_TEXT, &literal);
    pattern.token_count = array_count(&c->tokens) - pattern.token_from;
    const struct blob_token *tokens = (const void *)c->tokens.bytes.ptr;
    uint32_t longest = 0;
    for (uint32_t i = 0; i < pattern.token_count; i++) {
        const struct blob_token *token = &tokens[pattern.token_from + i];
        if (token->kind == TOKEN_TEXT && token->text.len > longest) {
            longest = token->text.len;
            pattern.key_token = i;
        }
    }
    if (longest < 2)
        return complain(c, node, "the text \"%.*s\" has no two fixed letters in a row", SLICE_ARG(text));
    array_add(&c->patterns, &pattern);
    return true;
}

/* ---- conditions ---- */

static bool code_parse(struct slice s, struct blob_codes *codes)
{
    if (s.len != 3 || s.ptr[0] < '2' || s.ptr[0] > '5')
        return false;
    int hundred = (s.ptr[0] - '0') * 100;
    if (slice_equal(slice_from(s, 1), SLICE("xx"))) {
        *codes = (struct blob_codes){(uint16_t)hundred, (uint16_t)(hundred + 99)};
        return true;
    }
    uint64_t number;
    if (!slice_to_u64(s, &number))
        return false;
    *codes = (struct blob_codes){(uint16_t)number, (uint16_t)number};
    return true;
}

static bool status_parse(struct slice s, struct blob_status *status)
{
    struct slice piece;
    *status = (struct blob_status){0};
    for (int i = 0; i < 3; i++) {
        uint64_t number = BLOB_ANY;
        if (!s.ptr || !slice_split(&s, '.', &piece) ||
            (!slice_equal(piece, SLICE("x")) && (!slice_to_u64(piece, &number) || number > 999)))
            return false;
        status->part[i] = (uint16_t)number;
    }
    return s.ptr == NULL;
}

static bool stages_parse(struct compiler *c, yaml_node_t *list, uint32_t *stages)
{
    *stages = 0;
    yaml_node_t *node;
    for (size_t i = 0; (node = item(c, list, i)); i++) {
        enum stage stage;
        if (!stage_of(scalar(node), &stage) || stage == STAGE_UNKNOWN)
            return complain(c, node, "unknown stage \"%.*s\"", SLICE_ARG(scalar(node)));
        *stages |= 1u << stage;
    }
    return true;
}

static bool permanent_parse(struct slice s, uint8_t *permanent)
{
    if (slice_equal(s, SLICE("always")) || slice_equal(s, SLICE("true")))
        *permanent = PERMANENT_ALWAYS;
    else if (slice_equal(s, SLICE("on_5xx")))
        *permanent = PERMANENT_ON_5XX;
    else if (slice_equal(s, SLICE("never")) || slice_equal(s, SLICE("false")))
        *permanent = PERMANENT_NEVER;
    else
        return false;
    return true;
}

/* ---- the files ---- */

static bool reasons_read(struct compiler *c, const yaml_node_t *root)
{
    static const char *const keys[] = {"fault", "action", "scope", "retry", "permanent", "label", NULL};
    yaml_node_t *map = member(c, root, "reasons");
    if (!map || map->type != YAML_MAPPING_NODE)
        return complain(c, root, "\"reasons\" is missing");
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = node_at(c, pair->key), *row = node_at(c, pair->value);
        enum reason reason;
        if (!reason_of(scalar(name), &reason))
            return complain(c, name, "unknown reason \"%.*s\"", SLICE_ARG(scalar(name)));
        if (!has_only(c, row, keys))
            return false;
        enum action action;
        enum scope scope;
        enum whose_fault whose;
        enum retry retry;
        struct blob_reason *to = &c->reasons[reason];
        if (!action_of(scalar(member(c, row, "action")), &action) ||
            !scope_of(scalar(member(c, row, "scope")), &scope) || !whose_of(scalar(member(c, row, "fault")), &whose) ||
            !retry_of(scalar(member(c, row, "retry")), &retry) ||
            !permanent_parse(scalar(member(c, row, "permanent")), &to->permanent))
            return complain(c, row, "fault, action, scope, retry or permanent is missing or unknown");
        to->action = (uint8_t)action;
        to->scope = (uint8_t)scope;
        to->whose = (uint8_t)whose;
        to->retry = (uint8_t)retry;
        c->has_reason[reason] = true;
    }
    return true;
}

static bool fallback_read(struct compiler *c, const yaml_node_t *root)
{
    static const char *const keys[] = {"status", "code", "stage", "reason", NULL};
    static const char *const tables[] = {"status", "code"};
    for (int table = 0; table < 2; table++) {
        yaml_node_t *list = member(c, root, tables[table]), *row;
        for (size_t i = 0; (row = item(c, list, i)); i++) {
            struct blob_fallback fallback = {0};
            struct blob_codes codes = {0};
            enum reason reason;
            if (!has_only(c, row, keys) || !stages_parse(c, member(c, row, "stage"), &fallback.stages))
                return false;
            if (!reason_of(scalar(member(c, row, "reason")), &reason))
                return complain(c, row, "unknown reason");
            if (table == 0 ? !status_parse(scalar(member(c, row, "status")), &fallback.status)
                           : !code_parse(scalar(member(c, row, "code")), &codes))
                return complain(c, row, "bad %s", tables[table]);
            fallback.reason = (uint16_t)reason;
            fallback.code = codes.low;
            array_add(table == 0 ? &c->fallback_statuses : &c->fallback_codes, &fallback);
        }
    }
    return true;
}

static bool examples_read(struct compiler *c, yaml_node_t *list, uint32_t rule, bool is_not)
{
    yaml_node_t *node;
    for (size_t i = 0; (node = item(c, list, i)); i++) {
        struct blob_example example = {rule, is_not, text_add(c, scalar(node))};
        array_add(&c->examples, &example);
    }
    return true;
}

static bool conditions_read(struct compiler *c, yaml_node_t *node, struct blob_rule *rule)
{
    yaml_node_t *one;
    yaml_node_t *codes = member(c, node, "code"), *statuses = member(c, node, "status");
    rule->codes.at = array_count(&c->codes);
    for (size_t i = 0; (one = item(c, codes, i)); i++) {
        struct blob_codes range;
        if (!code_parse(scalar(one), &range))
            return complain(c, one, "bad code \"%.*s\"", SLICE_ARG(scalar(one)));
        array_add(&c->codes, &range);
        rule->codes.count++;
    }
    rule->statuses.at = array_count(&c->statuses);
    for (size_t i = 0; (one = item(c, statuses, i)); i++) {
        struct blob_status status;
        if (!status_parse(scalar(one), &status))
            return complain(c, one, "bad status \"%.*s\"", SLICE_ARG(scalar(one)));
        array_add(&c->statuses, &status);
        rule->statuses.count++;
    }
    return stages_parse(c, member(c, node, "stage"), &rule->stages);
}

static bool rule_read(struct compiler *c, yaml_node_t *node, uint32_t provider)
{
    static const char *const keys[] = {"id",    "text",      "code",  "status",   "stage", "reason", "action",
                                       "scope", "permanent", "words", "examples", "not",   NULL};
    struct blob_rule rule = {.provider = (uint16_t)provider};
    uint32_t index = array_count(&c->rules);
    if (!has_only(c, node, keys) || !conditions_read(c, node, &rule))
        return false;
    struct slice id = scalar(member(c, node, "id"));
    enum reason reason;
    if (!id.len)
        return complain(c, node, "the rule has no id");
    if (map_get(&c->rule_ids, id))
        return complain(c, node, "the id \"%.*s\" is used twice", SLICE_ARG(id));
    map_set(&c->rule_ids, id, c);
    if (!reason_of(scalar(member(c, node, "reason")), &reason))
        return complain(c, node, "rule %.*s: unknown reason", SLICE_ARG(id));
    const struct blob_reason *defaults = &c->reasons[reason];
    enum action action = defaults->action;
    enum scope scope = defaults->scope;
    rule.permanent = defaults->permanent;
    yaml_node_t *given;
    if ((given = member(c, node, "action")) && !action_of(scalar(given), &action))
        return complain(c, given, "unknown action");
    if ((given = member(c, node, "scope")) && !scope_of(scalar(given), &scope))
        return complain(c, given, "unknown scope");
    if ((given = member(c, node, "permanent")) && !permanent_parse(scalar(given), &rule.permanent))
        return complain(c, given, "permanent is true, false or on_5xx");
    if (rule.permanent != PERMANENT_NEVER && defaults->permanent == PERMANENT_NEVER)
        return complain(c, given, "a rule of this reason is never permanent");
    yaml_node_t *texts = member(c, node, "text"), *text;
    for (size_t i = 0; (text = item(c, texts, i)); i++) {
        rule.has_text = true;
        if (!pattern_add(c, text, index, false))
            return false;
    }
    if (!rule.has_text && !rule.codes.count && !rule.statuses.count)
        return complain(c, node, "rule %.*s needs text, code or status", SLICE_ARG(id));
    rule.id = text_add(c, id);
    rule.words = text_add(c, scalar(member(c, node, "words")));
    rule.reason = (uint8_t)reason;
    rule.action = (uint8_t)action;
    rule.scope = (uint8_t)scope;
    rule.whose = defaults->whose;
    rule.retry = defaults->retry;
    array_add(&c->rules, &rule);
    if (!rule.has_text)
        array_add(&c->bare, &index);
    return examples_read(c, member(c, node, "examples"), index, false) &&
           examples_read(c, member(c, node, "not"), index, true);
}

static bool provider_read(struct compiler *c, const yaml_node_t *root, uint32_t number)
{
    static const char *const keys[] = {"provider", "hosts", "marks", "rules", NULL};
    if (!has_only(c, root, keys))
        return false;
    struct blob_provider *provider = (struct blob_provider *)(void *)c->providers.bytes.ptr + number;
    provider->name = text_add(c, scalar(member(c, root, "provider")));
    provider->rule_from = array_count(&c->rules);
    provider->bare_from = array_count(&c->bare);
    yaml_node_t *hosts = member(c, root, "hosts"), *marks = member(c, root, "marks"), *rules = member(c, root, "rules");
    yaml_node_t *node;
    for (size_t i = 0; (node = item(c, hosts, i)); i++) {
        struct slice name = scalar(node);
        if (name.len && name.ptr[0] == '.')
            name = slice_from(name, 1);
        char *lower = arena_str(&c->arena, name);
        for (char *at = lower; *at; at++)
            *at = ascii_lower(*at);
        struct blob_host host = {text_add(c, slice_str(lower)), number};
        if (!name.len)
            return complain(c, node, "an empty host");
        array_add(&c->hosts, &host);
    }
    for (size_t i = 0; (node = item(c, marks, i)); i++)
        if (!pattern_add(c, node, number, true))
            return false;
    for (size_t i = 0; (node = item(c, rules, i)); i++)
        if (!rule_read(c, node, number))
            return false;
    provider = (struct blob_provider *)(void *)c->providers.bytes.ptr + number;
    provider->rule_count = array_count(&c->rules) - provider->rule_from;
    provider->bare_count = array_count(&c->bare) - provider->bare_from;
    return true;
}

static struct blob_words *words_row(struct compiler *c, struct slice key)
{
    for (uint32_t i = 0; i < array_count(&c->words); i++) {
        struct blob_words *row = (struct blob_words *)(void *)c->words.bytes.ptr + i;
        if (slice_equal(slice_of(c->strings.ptr + row->key.at, row->key.len), key))
            return row;
    }
    struct blob_words fresh = {.key = text_add(c, key)};
    array_add(&c->words, &fresh);
    return (struct blob_words *)(void *)c->words.bytes.ptr + array_count(&c->words) - 1;
}

/* reasons: and rules: of one language; keys of rules get a "/" in front, so that they never meet a reason's. */
static bool words_read(struct compiler *c, const yaml_node_t *root, int lang)
{
    static const char *const sections[] = {"reasons", "rules"};
    static const char *const names[BLOB_WORDS] = {"label", "cause", "remedy", "operator", "did"};
    for (int section = 0; section < 2; section++) {
        yaml_node_t *map = member(c, root, sections[section]);
        if (!map || map->type != YAML_MAPPING_NODE)
            continue;
        for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top; pair++) {
            struct slice key = scalar(node_at(c, pair->key));
            if (section)
                key = arena_printf(&c->arena, "/%.*s", SLICE_ARG(key));
            for (int i = 0; i < BLOB_WORDS; i++) {
                struct blob_text text = text_add(c, slice_trim(scalar(member(c, node_at(c, pair->value), names[i]))));
                words_row(c, key)->text[lang][i] = text;
            }
        }
    }
    return true;
}

enum file_kind { FILE_REASONS, FILE_FALLBACK, FILE_JA, FILE_EN, FILE_GENERAL, FILE_PROVIDER };

static enum file_kind kind_of_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct slice name = slice_str(slash ? slash + 1 : path);
    static const struct slice names[] = {SLICE_INIT("reasons.yaml"), SLICE_INIT("fallback.yaml"), SLICE_INIT("ja.yaml"),
                                         SLICE_INIT("en.yaml"), SLICE_INIT("general.yaml")};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_equal(name, names[i]))
            return (enum file_kind)i;
    return FILE_PROVIDER;
}

static bool file_read(struct compiler *c, const struct compile_file *file, enum file_kind kind)
{
    yaml_parser_t parser;
    yaml_document_t document;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)file->text.ptr, file->text.len);
    c->path = file->path;
    bool ok = yaml_parser_load(&parser, &document);
    if (!ok) {
        fault_set(c->why, FAULT_INPUT, "%s line %zu: %s", file->path, parser.problem_mark.line + 1,
                  parser.problem ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return false;
    }
    c->document = &document;
    yaml_node_t *root = yaml_document_get_root_node(&document);
    struct blob_provider fresh = {0};
    switch (kind) {
    case FILE_REASONS: ok = reasons_read(c, root); break;
    case FILE_FALLBACK: ok = fallback_read(c, root); break;
    case FILE_JA: ok = words_read(c, root, 0); break;
    case FILE_EN: ok = words_read(c, root, 1); break;
    case FILE_GENERAL: ok = provider_read(c, root, BLOB_GENERAL); break;
    case FILE_PROVIDER:
        ok = array_count(&c->providers) < BLOB_PROVIDERS_MAX;
        if (!ok)
            complain(c, root, "more than %d providers", BLOB_PROVIDERS_MAX);
        ok = ok && provider_read(c, root, array_add(&c->providers, &fresh));
        break;
    }
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return ok;
}

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
    uint32_t count = array_count(&c->patterns);
    for (uint32_t i = 0; i < count; i++)
        array_add(&c->key_patterns, &i);
    if (!count)
        return;
    uint32_t *order = (uint32_t *)(void *)c->key_patterns.bytes.ptr;
    qsort_r(order, count, sizeof(*order), by_key, c);
    const struct blob_pattern *patterns = (const void *)c->patterns.bytes.ptr;
    const struct blob_token *tokens = (const void *)c->tokens.bytes.ptr;
    for (uint32_t i = 0; i < count; i++) {
        struct blob_text text = tokens[patterns[order[i]].token_from + patterns[order[i]].key_token].text;
        uint32_t have = array_count(&c->keys);
        struct blob_key *last = have ? (struct blob_key *)(void *)c->keys.bytes.ptr + have - 1 : NULL;
        struct blob_text *last_text = have ? (struct blob_text *)(void *)c->key_texts.bytes.ptr + have - 1 : NULL;
        if (last && last_text->at == text.at && last_text->len == text.len) {
            last->pattern_count++;
            continue;
        }
        struct blob_key key = {text.len, i, 1};
        array_add(&c->keys, &key);
        array_add(&c->key_texts, &text);
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
    struct blob_list list = {(uint32_t)blob->len, array_count(array)};
    buf_append(blob, buf_slice(&array->bytes));
    return list;
}

static bool database_make(struct compiler *c, bool is_generic, struct buf *bytes)
{
    uint32_t count = array_count(&c->keys);
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

static bool blob_make(struct compiler *c, struct buf *out)
{
    keys_make(c);
    if (array_count(&c->hosts))
        qsort_r(c->hosts.bytes.ptr, array_count(&c->hosts), sizeof(struct blob_host), by_host, c);
    if (array_count(&c->words))
        qsort_r(c->words.bytes.ptr, array_count(&c->words), sizeof(struct blob_words), by_words, c);
    SCOPED(buf) database = BUF(COMPILE_BLOB_MAX);
    if (!database_make(c, true, &database))
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

static bool files_read(struct compiler *c, const struct compile_file *files, size_t count)
{
    struct blob_provider general = {0};
    array_add(&c->providers, &general);
    for (int kind = FILE_REASONS; kind <= FILE_PROVIDER; kind++)
        for (size_t i = 0; i < count; i++)
            if ((int)kind_of_path(files[i].path) == kind && !file_read(c, &files[i], (enum file_kind)kind))
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
        array_init(arrays[i].array, arrays[i].size);
    bool ok = files_read(c, files, count) && blob_make(c, blob);
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
    array_init(&c->keys, sizeof(struct blob_key));
    array_init(&c->key_texts, sizeof(struct blob_text));
    buf_init(&c->strings, COMPILE_BLOB_MAX);
    buf_append(&c->strings, slice_of(blob, blob->size)); /* the texts of a finished blob count from its beginning */
    buf_append(&c->keys.bytes, slice_of(BLOB_AT(blob, char, blob->keys), blob->keys.count * sizeof(struct blob_key)));
    buf_append(&c->key_texts.bytes,
               slice_of(BLOB_AT(blob, char, blob->key_texts), blob->key_texts.count * sizeof(struct blob_text)));
    bool ok = database_make(c, false, bytes);
    buf_release(&c->keys.bytes);
    buf_release(&c->key_texts.bytes);
    buf_release(&c->strings);
    arena_release(&c->arena);
    free(c);
    return ok;
}
