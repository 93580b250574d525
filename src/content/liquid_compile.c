/* Source to nodes: cut the source into text, {{ output }} and {% tag %}; liquid_words.c and liquid_expression.c read
 * inside a tag. Errors stop at the first, which is the one a person mends first. */
#include "content/liquid_compile_private.h"

#include <assert.h>

static void text_add(struct compiler *c, struct node ***end, struct slice text)
{
    struct liquid *liquid = c->liquid;
    if (!text.len)
        return;
    if (liquid->text_count == liquid->text_room) {
        liquid->text_room = liquid->text_room ? liquid->text_room * 2 : 16;
        liquid->texts = memory_resize(liquid->texts, liquid->text_room, sizeof(*liquid->texts));
    }
    struct node *node = ALLOC(c, struct node);
    *node = (struct node){.kind = NODE_TEXT, .text = text, .text_index = liquid->text_count};
    liquid->texts[liquid->text_count++] = text;
    **end = node;
    *end = &node->next;
}

/* The next "{{" or "{%" from the outer place on; source.len when there is none. */
static size_t find_open(struct slice source, size_t at)
{
    for (; at + 1 < source.len; at++) {
        const char *brace = memchr(source.ptr + at, '{', source.len - at - 1);
        if (!brace)
            break;
        at = (size_t)(brace - source.ptr);
        if (brace[1] == '{' || brace[1] == '%')
            return at;
    }
    return source.len;
}

static bool close_after(struct slice tag, char close, bool do_quotes_hide, size_t *at)
{
    char quote = 0;
    for (size_t i = 2; i + 1 < tag.len; i++) {
        char c = tag.ptr[i];
        if (quote) {
            quote = c == quote ? 0 : quote;
        } else if (do_quotes_hide && (c == '"' || c == '\'')) {
            quote = c;
        } else if (c == close && tag.ptr[i + 1] == '}') {
            *at = i;
            return true;
        }
    }
    return false;
}

/* Where the tag that opened at `at` closes; quotes hide, unless one is left open or it is a remark. False: a fault was
 * set. */
static bool find_close(struct compiler *c, size_t at, char close, size_t *end)
{
    struct slice tag = slice_head(slice_from(c->source, at), LIQUID_TAG_MAX);
    struct slice inside = slice_trim(slice_from(tag, slice_starts(slice_from(tag, 2), SLICE("-")) ? 3 : 2));
    size_t len;
    if (!close_after(tag, close, !slice_starts(inside, SLICE("#")), &len) && !close_after(tag, close, false, &len))
        return compile_fault(c, at, close == '%' ? "{%% is not closed by %%}" : "{{ is not closed by }}");
    *end = at + len;
    return true;
}

static struct slice trim_left(struct slice text)
{
    while (text.len && ascii_is_space(text.ptr[0]))
        text = slice_from(text, 1);
    return text;
}

static struct slice trim_right(struct slice text)
{
    while (text.len && ascii_is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* Text up to the next tag, and the tag's bounds. *is_tag false: the source ended. */
static bool outer_next(struct compiler *c, struct node ***end, bool *is_tag, char *kind)
{
    size_t open = find_open(c->source, c->at), close = 0;
    struct slice text = slice_of(c->source.ptr + c->at, open - c->at);
    if (c->is_trimming)
        text = trim_left(text);
    c->is_trimming = false;
    *is_tag = open < c->source.len;
    if (!*is_tag) {
        c->at = open;
        text_add(c, end, text);
        return true;
    }
    *kind = c->source.ptr[open + 1];
    if (!find_close(c, open, *kind == '{' ? '}' : '%', &close))
        return false;
    c->tag_at = open;
    c->inner = open + 2;
    c->end = close;
    c->at = close + 2;
    if (c->inner < c->end && c->source.ptr[c->inner] == '-') {
        text = trim_right(text);
        c->inner++;
    }
    if (c->end > c->inner && c->source.ptr[c->end - 1] == '-') {
        c->end--;
        c->is_trimming = true;
    }
    text_add(c, end, text);
    if (++c->nodes > LIQUID_NODES_MAX)
        return compile_fault(c, open, "more than %d parts in one template", LIQUID_NODES_MAX);
    return true;
}

/* raw and comment: everything up to {% word %} is one text. */
static bool verbatim(struct compiler *c, const char *word, struct slice *text)
{
    size_t from = c->at, opened = c->tag_at, close;
    bool is_trimming = c->is_trimming;
    for (size_t at = from; (at = find_open(c->source, at)) < c->source.len; at++) {
        if (c->source.ptr[at + 1] != '%')
            continue;
        struct slice rest = slice_from(c->source, at + 2);
        bool trims = slice_starts(rest, SLICE("-"));
        rest = trim_left(slice_from(rest, trims));
        if (!slice_starts(rest, slice_str(word)))
            continue;
        rest = trim_left(slice_from(rest, strlen(word)));
        c->is_trimming = slice_starts(rest, SLICE("-"));
        rest = slice_from(rest, c->is_trimming);
        if (!slice_starts(rest, SLICE("%}")))
            continue;
        close = (size_t)(rest.ptr - c->source.ptr);
        *text = slice_of(c->source.ptr + from, at - from);
        if (is_trimming)
            *text = trim_left(*text);
        if (trims)
            *text = trim_right(*text);
        c->at = close + 2;
        return true;
    }
    return compile_fault(c, opened, "this tag is not closed by {%% %s %%}", word);
}

/* What ended a block: the word of the closing tag. */
static bool parse_block(struct compiler *c, struct node **first, const char *const *closers, struct word *closer);

static bool parse_branches(struct compiler *c, struct node *node, struct branch *branch, const char *end_word)
{
    const char *const closers[] = {"elsif", "else", end_word, NULL};
    bool has_else = false;
    for (struct word closer;;) {
        if (!parse_block(c, &branch->body, closers, &closer))
            return false;
        if (word_is(closer, end_word))
            return word_end(c);
        if (has_else)
            return compile_fault(c, closer.at, "nothing but %s may follow else", end_word);
        branch = branch->next = ALLOC(c, struct branch);
        has_else = word_is(closer, "else");
        if (has_else ? !word_end(c) : !parse_condition(c, &branch->condition))
            return false;
    }
}

static bool parse_if(struct compiler *c, struct node *node, bool is_unless)
{
    node->kind = NODE_IF;
    node->branches = ALLOC(c, struct branch);
    node->branches->is_negated = is_unless;
    return parse_condition(c, &node->branches->condition) &&
           parse_branches(c, node, node->branches, is_unless ? "endunless" : "endif");
}

static bool parse_when(struct compiler *c, struct branch *branch)
{
    for (;;) {
        struct operand operand;
        bool is_comma, is_or = false;
        if (!parse_operand(c, &operand))
            return false;
        struct operand *more = ARENA_ARRAY(&c->liquid->arena, struct operand, branch->value_count + 1);
        for (size_t i = 0; i < branch->value_count; i++)
            more[i] = branch->values[i];
        more[branch->value_count++] = operand;
        branch->values = more;
        if (branch->value_count > 100)
            return compile_fault(c, operand.at, "more than 100 values in one when");
        if (!word_take(c, ",", &is_comma) || (!is_comma && !word_take(c, "or", &is_or)))
            return false;
        if (!is_comma && !is_or)
            return word_end(c);
    }
}

static bool parse_case(struct compiler *c, struct node *node)
{
    static const char *const closers[] = {"when", "else", "endcase", NULL};
    struct branch before = {0}, *branch = &before; /* what stands before the first when is left out */
    node->kind = NODE_CASE;
    if (!parse_operand(c, &node->expression.operand) || !word_end(c))
        return false;
    for (struct word closer;;) {
        if (!parse_block(c, &branch->body, closers, &closer))
            return false;
        if (word_is(closer, "endcase")) {
            node->branches = before.next;
            return word_end(c);
        }
        branch = branch->next = ALLOC(c, struct branch);
        if (word_is(closer, "else") ? !word_end(c) : !parse_when(c, branch))
            return false;
    }
}

static bool parse_for_options(struct compiler *c, struct node *node)
{
    for (struct word word;;) {
        if (!word_next(c, &word))
            return false;
        if (word.kind == WORD_END)
            return true;
        if (word_is(word, "reversed")) {
            node->is_reversed = true;
            continue;
        }
        struct operand **to = word_is(word, "limit") ? &node->limit : word_is(word, "offset") ? &node->offset : NULL;
        if (!to)
            return compile_fault(c, word.at, "for knows limit:, offset: and reversed, not \"%.*s\"",
                                 SLICE_ARG(word.text));
        *to = ALLOC(c, struct operand);
        if (!word_expect(c, ":", "limit or offset") || !parse_operand(c, *to))
            return false;
    }
}

/* Its own `file` is no file for download. */
static void note_local(struct liquid *liquid, struct slice name)
{
    liquid->has_own_file |= slice_equal(name, SLICE("file"));
}

static bool parse_for(struct compiler *c, struct node *node)
{
    static const char *const closers[] = {"else", "endfor", NULL};
    static const char *const end[] = {"endfor", NULL};
    struct word name, closer;
    node->kind = NODE_FOR;
    node->branches = ALLOC(c, struct branch);
    if (!word_next(c, &name))
        return false;
    if (name.kind != WORD_NAME)
        return compile_fault(c, name.at, "for needs a name: {%% for item in list %%}");
    node->text = name.text;
    note_local(c->liquid, name.text);
    if (!word_expect(c, "in", "the name") || !parse_operand(c, &node->expression.operand) ||
        !parse_for_options(c, node) || !parse_block(c, &node->branches->body, closers, &closer))
        return false;
    if (word_is(closer, "else")) {
        node->branches->next = ALLOC(c, struct branch);
        if (!word_end(c) || !parse_block(c, &node->branches->next->body, end, &closer))
            return false;
    }
    return word_end(c);
}

static bool parse_name(struct compiler *c, struct node *node, enum node_kind kind, const char *tag)
{
    struct word name;
    node->kind = kind;
    if (!word_next(c, &name))
        return false;
    if (name.kind != WORD_NAME)
        return compile_fault(c, name.at, "%s needs a name", tag);
    node->text = name.text;
    note_local(c->liquid, name.text);
    return true;
}

static bool parse_capture(struct compiler *c, struct node *node)
{
    static const char *const end[] = {"endcapture", NULL};
    struct word closer;
    return parse_name(c, node, NODE_CAPTURE, "capture") && word_end(c) && parse_block(c, &node->body, end, &closer) &&
           word_end(c);
}

static bool parse_word_only(struct compiler *c, struct node *node, enum node_kind kind)
{
    node->kind = kind;
    return word_end(c);
}

static bool parse_tag(struct compiler *c, struct word word, struct node *node)
{
    if (word_is(word, "if"))
        return parse_if(c, node, false);
    if (word_is(word, "unless"))
        return parse_if(c, node, true);
    if (word_is(word, "case"))
        return parse_case(c, node);
    if (word_is(word, "for"))
        return parse_for(c, node);
    if (word_is(word, "capture"))
        return parse_capture(c, node);
    if (word_is(word, "break"))
        return parse_word_only(c, node, NODE_BREAK);
    if (word_is(word, "continue"))
        return parse_word_only(c, node, NODE_CONTINUE);
    if (word_is(word, "increment"))
        return parse_name(c, node, NODE_COUNT_UP, "increment") && word_end(c);
    if (word_is(word, "decrement"))
        return parse_name(c, node, NODE_COUNT_DOWN, "decrement") && word_end(c);
    if (word_is(word, "assign"))
        return parse_name(c, node, NODE_ASSIGN, "assign") && word_expect(c, "=", "the name") &&
               parse_expression(c, &node->expression) && word_end(c);
    return compile_fault(c, word.at, "there is no tag \"%.*s\" here", SLICE_ARG(word.text));
}

static bool is_closer(struct word word, const char *const *closers)
{
    for (; closers && *closers; closers++)
        if (word_is(word, *closers))
            return true;
    return false;
}

/* {% # a remark %}, comment and raw make no node of their own. */
static bool parse_unseen(struct compiler *c, struct node ***end, bool *is_unseen)
{
    struct slice text;
    word_skip_space(c);
    *is_unseen = slice_starts(word_rest(c), SLICE("#"));
    if (*is_unseen)
        return true;
    if (!word_take(c, "comment", is_unseen))
        return false;
    if (*is_unseen)
        return verbatim(c, "endcomment", &text);
    if (!word_take(c, "raw", is_unseen))
        return false;
    if (!*is_unseen)
        return true;
    if (!verbatim(c, "endraw", &text))
        return false;
    text_add(c, end, text);
    return true;
}

static bool parse_block(struct compiler *c, struct node **first, const char *const *closers, struct word *closer)
{
    struct node **end = first;
    size_t opened = c->tag_at;
    if (++c->depth > LIQUID_DEPTH_MAX)
        return compile_fault(c, opened, "nested deeper than %d", LIQUID_DEPTH_MAX);
    for (;;) {
        bool is_tag, is_unseen = false;
        char kind;
        struct word word;
        if (!outer_next(c, &end, &is_tag, &kind))
            return false;
        if (!is_tag) {
            c->depth--;
            return !closers || compile_fault(c, opened, "this tag is not closed: {%% %s %%} is missing",
                                             closers[1] ? (closers[2] ? closers[2] : closers[1]) : closers[0]);
        }
        if (kind == '%' && !parse_unseen(c, &end, &is_unseen))
            return false;
        if (is_unseen)
            continue;
        struct node *node = ALLOC(c, struct node);
        node->at = c->tag_at;
        if (kind == '{') {
            node->kind = NODE_OUTPUT;
            if (!parse_expression(c, &node->expression) || !word_end(c))
                return false;
        } else {
            if (!word_next(c, &word))
                return false;
            if (is_closer(word, closers)) {
                *closer = word;
                c->depth--;
                return true;
            }
            if (!parse_tag(c, word, node))
                return false;
        }
        *end = node;
        end = &node->next;
    }
}

bool liquid_compile(struct slice source, bool is_html, struct liquid **liquid, struct liquid_place *where,
                    struct fault *why)
{
    struct compiler compiler = {.where = where, .why = why};
    if (where)
        *where = (struct liquid_place){1, 1};
    if (source.len > LIQUID_SOURCE_MAX)
        return fault_set(why, FAULT_INPUT, "line 1, column 1: a template of %zu bytes; at most %d", source.len,
                         LIQUID_SOURCE_MAX);
    struct liquid *made = NEW(struct liquid);
    *why = (struct fault){0};
    made->is_html = is_html;
    made->source = compiler.source = arena_copy(&made->arena, source);
    compiler.liquid = made;
    if (!parse_block(&compiler, &made->body, NULL, NULL)) {
        liquid_free(made);
        return false;
    }
    *liquid = made;
    return true;
}

void liquid_free(struct liquid *liquid)
{
    if (!liquid)
        return;
    arena_release(&liquid->arena);
    free(liquid->texts);
    free(liquid);
}

size_t liquid_files(const struct liquid *liquid, struct slice names[LIQUID_FILES_MAX])
{
    if (liquid->has_own_file)
        return 0;
    memcpy(names, liquid->files, liquid->file_count * sizeof(*names));
    return liquid->file_count;
}

size_t liquid_text_count(const struct liquid *liquid)
{
    return liquid->text_count;
}

struct slice liquid_text(const struct liquid *liquid, size_t index)
{
    assert(index < liquid->text_count);
    return liquid->texts[index];
}

bool liquid_is_static(const struct liquid *liquid)
{
    for (const struct node *node = liquid->body; node; node = node->next)
        if (node->kind != NODE_TEXT)
            return false;
    return true;
}
