/* compile_read.c - the YAML of rules, reasons and words (libyaml's document tree, which knows the lines)
 *
 * Everything is checked here, so that rules.c may trust a blob: an unknown key, reason, stage or a pattern that could
 * never be found is an error with its line. */
#include "bounce/compile_private.h"

#include <assert.h>

static bool has_only(struct compiler *c, const yaml_node_t *map, const char *const *names)
{
    const yaml_node_t *key, *value;
    if (!tree_is_map(map))
        return tree_complain(c->tree, map, "a list of \"key: value\" is wanted here");
    for (size_t i = 0; tree_pair(c->tree, map, i, &key, &value); i++) {
        bool is_known = false;
        for (const char *const *name = names; *name; name++)
            is_known = is_known || slice_equal(tree_text(key), slice_str(*name));
        if (!is_known)
            return tree_complain(c->tree, key, "unknown key \"%.*s\"", SLICE_ARG(tree_text(key)));
    }
    return true;
}

/* The text of a member; empty when it is not there. */
static struct slice text_of(struct compiler *c, const yaml_node_t *map, const char *key)
{
    return tree_text(tree_member(c->tree, map, key));
}

/* ---- patterns ---- */

static void token_add(struct compiler *c, enum blob_token_kind kind, struct buf *text)
{
    struct blob_token token = {.kind = kind};
    if (kind == TOKEN_TEXT) {
        if (!text->len)
            return;
        blob_lower(text->ptr, text->len);
        token.text = compile_text_add(c, buf_slice(text));
        buf_reset(text);
    }
    compile_array_add(&c->tokens, &token);
}

static bool pattern_add(struct compiler *c, const yaml_node_t *node, uint32_t owner, bool is_mark)
{
    struct slice text = tree_text(node);
    struct blob_pattern pattern = {.owner = owner, .is_mark = is_mark, .token_from = compile_array_count(&c->tokens)};
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
    pattern.token_count = compile_array_count(&c->tokens) - pattern.token_from;
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
        return tree_complain(c->tree, node, "the text \"%.*s\" has no two fixed letters in a row", SLICE_ARG(text));
    compile_array_add(&c->patterns, &pattern);
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

static bool stages_parse(struct compiler *c, const yaml_node_t *list, uint32_t *stages)
{
    *stages = 0;
    const yaml_node_t *node;
    for (size_t i = 0; (node = tree_item(c->tree, list, i)); i++) {
        enum stage stage;
        if (!stage_of(tree_text(node), &stage) || stage == STAGE_UNKNOWN)
            return tree_complain(c->tree, node, "unknown stage \"%.*s\"", SLICE_ARG(tree_text(node)));
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
    const yaml_node_t *map = tree_member(c->tree, root, "reasons");
    const yaml_node_t *name, *row;
    if (!tree_is_map(map))
        return tree_complain(c->tree, root, "\"reasons\" is missing");
    for (size_t i = 0; tree_pair(c->tree, map, i, &name, &row); i++) {
        enum reason reason;
        if (!reason_of(tree_text(name), &reason))
            return tree_complain(c->tree, name, "unknown reason \"%.*s\"", SLICE_ARG(tree_text(name)));
        if (!has_only(c, row, keys))
            return false;
        enum action action;
        enum scope scope;
        enum whose_fault whose;
        enum retry retry;
        struct blob_reason *to = &c->reasons[reason];
        if (!action_of(text_of(c, row, "action"), &action) || !scope_of(text_of(c, row, "scope"), &scope) ||
            !whose_of(text_of(c, row, "fault"), &whose) || !retry_of(text_of(c, row, "retry"), &retry) ||
            !permanent_parse(text_of(c, row, "permanent"), &to->permanent))
            return tree_complain(c->tree, row, "fault, action, scope, retry or permanent is missing or unknown");
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
        const yaml_node_t *list = tree_member(c->tree, root, tables[table]), *row;
        for (size_t i = 0; (row = tree_item(c->tree, list, i)); i++) {
            struct blob_fallback fallback = {0};
            struct blob_codes codes = {0};
            enum reason reason;
            if (!has_only(c, row, keys) || !stages_parse(c, tree_member(c->tree, row, "stage"), &fallback.stages))
                return false;
            if (!reason_of(text_of(c, row, "reason"), &reason))
                return tree_complain(c->tree, row, "unknown reason");
            if (table == 0 ? !status_parse(text_of(c, row, "status"), &fallback.status)
                           : !code_parse(text_of(c, row, "code"), &codes))
                return tree_complain(c->tree, row, "bad %s", tables[table]);
            fallback.reason = (uint16_t)reason;
            fallback.code = codes.low;
            compile_array_add(table == 0 ? &c->fallback_statuses : &c->fallback_codes, &fallback);
        }
    }
    return true;
}

static bool examples_read(struct compiler *c, const yaml_node_t *list, uint32_t rule, bool is_not)
{
    const yaml_node_t *node;
    for (size_t i = 0; (node = tree_item(c->tree, list, i)); i++) {
        struct blob_example example = {rule, is_not, compile_text_add(c, tree_text(node))};
        compile_array_add(&c->examples, &example);
    }
    return true;
}

static bool conditions_read(struct compiler *c, const yaml_node_t *node, struct blob_rule *rule)
{
    const yaml_node_t *one;
    const yaml_node_t *codes = tree_member(c->tree, node, "code"), *statuses = tree_member(c->tree, node, "status");
    rule->codes.at = compile_array_count(&c->codes);
    for (size_t i = 0; (one = tree_item(c->tree, codes, i)); i++) {
        struct blob_codes range;
        if (!code_parse(tree_text(one), &range))
            return tree_complain(c->tree, one, "bad code \"%.*s\"", SLICE_ARG(tree_text(one)));
        compile_array_add(&c->codes, &range);
        rule->codes.count++;
    }
    rule->statuses.at = compile_array_count(&c->statuses);
    for (size_t i = 0; (one = tree_item(c->tree, statuses, i)); i++) {
        struct blob_status status;
        if (!status_parse(tree_text(one), &status))
            return tree_complain(c->tree, one, "bad status \"%.*s\"", SLICE_ARG(tree_text(one)));
        compile_array_add(&c->statuses, &status);
        rule->statuses.count++;
    }
    return stages_parse(c, tree_member(c->tree, node, "stage"), &rule->stages);
}

static bool rule_read(struct compiler *c, const yaml_node_t *node, uint32_t provider)
{
    static const char *const keys[] = {"id",    "text",      "code",  "status",   "stage", "reason", "action",
                                       "scope", "permanent", "words", "examples", "not",   NULL};
    struct blob_rule rule = {.provider = (uint16_t)provider};
    uint32_t index = compile_array_count(&c->rules);
    if (!has_only(c, node, keys) || !conditions_read(c, node, &rule))
        return false;
    struct slice id = text_of(c, node, "id");
    enum reason reason;
    if (!id.len)
        return tree_complain(c->tree, node, "the rule has no id");
    if (map_get(&c->rule_ids, id))
        return tree_complain(c->tree, node, "the id \"%.*s\" is used twice", SLICE_ARG(id));
    map_set(&c->rule_ids, id, c);
    if (!reason_of(text_of(c, node, "reason"), &reason))
        return tree_complain(c->tree, node, "rule %.*s: unknown reason", SLICE_ARG(id));
    const struct blob_reason *defaults = &c->reasons[reason];
    enum action action = defaults->action;
    enum scope scope = defaults->scope;
    rule.permanent = defaults->permanent;
    const yaml_node_t *given;
    if ((given = tree_member(c->tree, node, "action")) && !action_of(tree_text(given), &action))
        return tree_complain(c->tree, given, "unknown action");
    if ((given = tree_member(c->tree, node, "scope")) && !scope_of(tree_text(given), &scope))
        return tree_complain(c->tree, given, "unknown scope");
    if ((given = tree_member(c->tree, node, "permanent")) && !permanent_parse(tree_text(given), &rule.permanent))
        return tree_complain(c->tree, given, "permanent is true, false or on_5xx");
    if (rule.permanent != PERMANENT_NEVER && defaults->permanent == PERMANENT_NEVER)
        return tree_complain(c->tree, given, "a rule of this reason is never permanent");
    const yaml_node_t *texts = tree_member(c->tree, node, "text"), *text;
    for (size_t i = 0; (text = tree_item(c->tree, texts, i)); i++) {
        rule.has_text = true;
        if (!pattern_add(c, text, index, false))
            return false;
    }
    if (!rule.has_text && !rule.codes.count && !rule.statuses.count)
        return tree_complain(c->tree, node, "rule %.*s needs text, code or status", SLICE_ARG(id));
    rule.id = compile_text_add(c, id);
    rule.words = compile_text_add(c, text_of(c, node, "words"));
    rule.reason = (uint8_t)reason;
    rule.action = (uint8_t)action;
    rule.scope = (uint8_t)scope;
    rule.whose = defaults->whose;
    rule.retry = defaults->retry;
    compile_array_add(&c->rules, &rule);
    if (!rule.has_text)
        compile_array_add(&c->bare, &index);
    return examples_read(c, tree_member(c->tree, node, "examples"), index, false) &&
           examples_read(c, tree_member(c->tree, node, "not"), index, true);
}

static bool provider_read(struct compiler *c, const yaml_node_t *root, uint32_t number)
{
    static const char *const keys[] = {"provider", "hosts", "marks", "rules", NULL};
    if (!has_only(c, root, keys))
        return false;
    struct blob_provider *provider = (struct blob_provider *)(void *)c->providers.bytes.ptr + number;
    provider->name = compile_text_add(c, text_of(c, root, "provider"));
    provider->rule_from = compile_array_count(&c->rules);
    provider->bare_from = compile_array_count(&c->bare);
    const yaml_node_t *hosts = tree_member(c->tree, root, "hosts"), *marks = tree_member(c->tree, root, "marks"),
                      *rules = tree_member(c->tree, root, "rules");
    const yaml_node_t *node;
    for (size_t i = 0; (node = tree_item(c->tree, hosts, i)); i++) {
        struct slice name = tree_text(node);
        if (name.len && name.ptr[0] == '.')
            name = slice_from(name, 1);
        char *lower = arena_str(&c->arena, name);
        for (char *at = lower; *at; at++)
            *at = ascii_lower(*at);
        struct blob_host host = {compile_text_add(c, slice_str(lower)), number};
        if (!name.len)
            return tree_complain(c->tree, node, "an empty host");
        compile_array_add(&c->hosts, &host);
    }
    for (size_t i = 0; (node = tree_item(c->tree, marks, i)); i++)
        if (!pattern_add(c, node, number, true))
            return false;
    for (size_t i = 0; (node = tree_item(c->tree, rules, i)); i++)
        if (!rule_read(c, node, number))
            return false;
    provider = (struct blob_provider *)(void *)c->providers.bytes.ptr + number;
    provider->rule_count = compile_array_count(&c->rules) - provider->rule_from;
    provider->bare_count = compile_array_count(&c->bare) - provider->bare_from;
    return true;
}

static struct blob_words *words_row(struct compiler *c, struct slice key)
{
    for (uint32_t i = 0; i < compile_array_count(&c->words); i++) {
        struct blob_words *row = (struct blob_words *)(void *)c->words.bytes.ptr + i;
        if (slice_equal(slice_of(c->strings.ptr + row->key.at, row->key.len), key))
            return row;
    }
    struct blob_words fresh = {.key = compile_text_add(c, key)};
    compile_array_add(&c->words, &fresh);
    return (struct blob_words *)(void *)c->words.bytes.ptr + compile_array_count(&c->words) - 1;
}

/* reasons:, rules: and standings: of one language; "/" before a rule's key and "//" before a standing's keep them
 * apart. */
static bool words_read(struct compiler *c, const yaml_node_t *root, int lang)
{
    static const char *const sections[] = {"reasons", "rules", "standings"};
    static const char *const names[BLOB_WORDS] = {"label", "cause", "remedy", "operator", "did", "returned"};
    for (size_t section = 0; section < COUNT_OF(sections); section++) {
        const yaml_node_t *map = tree_member(c->tree, root, sections[section]);
        const yaml_node_t *name, *row;
        for (size_t k = 0; tree_pair(c->tree, map, k, &name, &row); k++) {
            struct slice key = tree_text(name);
            key = arena_printf(&c->arena, "%.*s%.*s", (int)section, "//", SLICE_ARG(key));
            for (int i = 0; i < BLOB_WORDS; i++) {
                struct blob_text text = compile_text_add(c, slice_trim(text_of(c, row, names[i])));
                words_row(c, key)->text[lang][i] = text;
            }
        }
    }
    return true;
}

enum file_kind compile_kind_of(const char *path)
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

bool compile_file_read(struct compiler *c, const struct compile_file *file, enum file_kind kind)
{
    SCOPED(tree) tree = {0};
    if (!tree_read(&tree, file->path, file->text, c->why))
        return false;
    c->tree = &tree;
    const yaml_node_t *root = tree_root(&tree);
    bool ok = false;
    struct blob_provider fresh = {0};
    switch (kind) {
    case FILE_REASONS: ok = reasons_read(c, root); break;
    case FILE_FALLBACK: ok = fallback_read(c, root); break;
    case FILE_JA: ok = words_read(c, root, 0); break;
    case FILE_EN: ok = words_read(c, root, 1); break;
    case FILE_GENERAL: ok = provider_read(c, root, BLOB_GENERAL); break;
    case FILE_PROVIDER:
        ok = compile_array_count(&c->providers) < BLOB_PROVIDERS_MAX;
        if (!ok)
            tree_complain(c->tree, root, "more than %d providers", BLOB_PROVIDERS_MAX);
        ok = ok && provider_read(c, root, compile_array_add(&c->providers, &fresh));
        break;
    }
    return ok;
}
