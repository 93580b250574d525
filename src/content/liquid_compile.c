/* Source to nodes. Two levels: the outer one cuts the source into text, {{ output }} and {% tag %}; the inner one reads
 * words inside a tag. Errors stop at the first, which is the one a person mends first. */
#include "content/liquid_private.h"

#include "base/utf8.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct compiler {
    struct liquid *liquid;
    struct slice source;
    size_t at;         /* the outer level */
    size_t inner, end; /* inside a tag: where we read, and where it ends */
    size_t tag_at;
    bool is_trimming; /* the next text loses its white space in front */
    unsigned depth;
    size_t nodes;
    struct liquid_place *where;
    struct fault *why;
};

struct liquid_place liquid_place_of(struct slice source, size_t at)
{
    struct liquid_place place = {1, 1};
    for (size_t i = 0; i < at && i < source.len; i++) {
        if (source.ptr[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if ((source.ptr[i] & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

static bool PRINTF_LIKE(3, 4) compile_fault(struct compiler *c, size_t at, const char *format, ...)
{
    va_list args;
    char text[400];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct liquid_place place = liquid_place_of(c->source, at);
    if (c->where)
        *c->where = place;
    return fault_set(c->why, FAULT_INPUT, "line %u, column %u: %s", place.line, place.column, text);
}

#define ALLOC(c, type) ARENA_NEW(&(c)->liquid->arena, type)

/* --- the inner level: words of a tag --- */

enum word_kind { WORD_END, WORD_NAME, WORD_STRING, WORD_NUMBER, WORD_MARK };
struct word {
    enum word_kind kind;
    size_t at;
    struct slice text; /* STRING: without quotes */
};

static bool word_is(struct word word, const char *text)
{
    return (word.kind == WORD_MARK || word.kind == WORD_NAME) && slice_equal(word.text, slice_str(text));
}

/* Marks that Japanese keyboards make; they look right and are not. */
static const char *wide_mark(struct slice s)
{
    static const struct {
        struct slice wide;
        const char *narrow;
    } marks[] = {{SLICE_INIT("｜"), "|"}, {SLICE_INIT("："), ":"}, {SLICE_INIT("，"), ","},  {SLICE_INIT("．"), "."},
                 {SLICE_INIT("”"), "\""}, {SLICE_INIT("“"), "\""}, {SLICE_INIT("＂"), "\""}, {SLICE_INIT("’"), "'"},
                 {SLICE_INIT("‘"), "'"},  {SLICE_INIT("＝"), "="}, {SLICE_INIT("（"), "("},  {SLICE_INIT("）"), ")"}};
    for (size_t i = 0; i < COUNT_OF(marks); i++)
        if (slice_starts(s, marks[i].wide))
            return marks[i].narrow;
    return NULL;
}

static bool is_name_byte(struct slice s)
{
    char c = s.ptr[0];
    return ascii_is_alnum(c) || c == '_' || ((c & 0x80) && !wide_mark(s) && !slice_starts(s, SLICE("　")));
}

static struct slice inner_rest(const struct compiler *c)
{
    return slice_of(c->source.ptr + c->inner, c->end - c->inner);
}

static void skip_space(struct compiler *c)
{
    for (;;) {
        struct slice rest = inner_rest(c);
        if (rest.len && ascii_is_space(rest.ptr[0]))
            c->inner++;
        else if (slice_starts(rest, SLICE("　")))
            c->inner += 3;
        else
            return;
    }
}

static size_t number_len(struct slice rest)
{
    size_t len = rest.ptr[0] == '-' ? 1 : 0;
    while (len < rest.len && ascii_is_digit(rest.ptr[len]))
        len++;
    if (len + 1 < rest.len && rest.ptr[len] == '.' && ascii_is_digit(rest.ptr[len + 1]))
        for (len++; len < rest.len && ascii_is_digit(rest.ptr[len]);)
            len++;
    return len;
}

/* The word at the reading place, without moving on. False: a fault was set. */
static bool word_peek(struct compiler *c, struct word *word, size_t *next)
{
    skip_space(c);
    struct slice rest = inner_rest(c);
    *word = (struct word){WORD_END, c->inner, slice_head(rest, 0)};
    *next = c->inner;
    if (!rest.len)
        return true;
    char first = rest.ptr[0];
    size_t len = 0;
    if (first == '"' || first == '\'') {
        ptrdiff_t close = slice_find_byte(slice_from(rest, 1), first);
        if (close == SLICE_NPOS)
            return compile_fault(c, c->inner, "the quote %c is not closed", first);
        word->kind = WORD_STRING;
        word->text = slice_of(rest.ptr + 1, (size_t)close);
        *next = c->inner + (size_t)close + 2;
        return true;
    }
    if (ascii_is_digit(first) || (first == '-' && rest.len > 1 && ascii_is_digit(rest.ptr[1]))) {
        word->kind = WORD_NUMBER;
        len = number_len(rest);
    } else if (is_name_byte(rest)) {
        word->kind = WORD_NAME;
        while (len < rest.len && (is_name_byte(slice_from(rest, len)) || (rest.ptr[len] == '-' && len + 1 < rest.len &&
                                                                          is_name_byte(slice_from(rest, len + 1)))))
            len++;
        len += len < rest.len && rest.ptr[len] == '?';
    } else {
        const char *narrow = wide_mark(rest);
        if (narrow)
            return compile_fault(c, c->inner, "a full-width mark: write %s (half-width)", narrow);
        static const struct slice pairs[] = {SLICE_INIT("=="), SLICE_INIT("!="), SLICE_INIT("<>"),
                                             SLICE_INIT("<="), SLICE_INIT(">="), SLICE_INIT("..")};
        word->kind = WORD_MARK;
        len = 1;
        for (size_t i = 0; i < COUNT_OF(pairs); i++)
            if (slice_starts(rest, pairs[i]))
                len = 2;
        if (!memchr("|:,.[]()<>=!", first, 12))
            return compile_fault(c, c->inner, "\"%.*s\" means nothing here", SLICE_ARG(utf8_head(rest, 4)));
    }
    word->text = slice_head(rest, len);
    *next = c->inner + len;
    return true;
}

static bool word_next(struct compiler *c, struct word *word)
{
    size_t next;
    if (!word_peek(c, word, &next))
        return false;
    c->inner = next;
    return true;
}

/* Move past the word when it is `text`. */
static bool word_take(struct compiler *c, const char *text, bool *is_taken)
{
    struct word word;
    size_t next;
    if (!word_peek(c, &word, &next))
        return false;
    *is_taken = word_is(word, text);
    if (*is_taken)
        c->inner = next;
    return true;
}

static bool word_expect(struct compiler *c, const char *text, const char *after)
{
    struct word word;
    if (!word_next(c, &word))
        return false;
    if (word_is(word, text))
        return true;
    return compile_fault(c, word.at, "expected \"%s\" after %s", text, after);
}

static bool tag_end(struct compiler *c)
{
    struct word word;
    if (!word_next(c, &word))
        return false;
    return word.kind == WORD_END || compile_fault(c, word.at, "\"%.*s\" is too much here", SLICE_ARG(word.text));
}

/* --- expressions --- */

static bool parse_operand(struct compiler *c, struct operand *operand);

static bool parse_steps(struct compiler *c, struct operand *operand)
{
    struct step **end = &operand->steps;
    for (bool is_taken; word_take(c, ".", &is_taken);) {
        struct step *step;
        if (is_taken) {
            struct word name;
            if (!word_next(c, &name))
                return false;
            if (name.kind != WORD_NAME)
                return compile_fault(c, name.at, "a name must follow the dot");
            step = ALLOC(c, struct step);
            step->name = name.text;
        } else {
            if (!word_take(c, "[", &is_taken))
                return false;
            if (!is_taken)
                return true;
            step = ALLOC(c, struct step);
            step->index = ALLOC(c, struct operand);
            if (!parse_operand(c, step->index) || !word_expect(c, "]", "the index"))
                return false;
        }
        *end = step;
        end = &step->next;
    }
    return false;
}

static bool parse_named(struct compiler *c, struct word word, struct operand *operand)
{
    static const struct {
        struct slice word;
        enum operand_kind kind;
        struct liquid_value literal;
    } constants[] = {
        {SLICE_INIT("true"), OPERAND_LITERAL, {.kind = LIQUID_BOOL, .boolean = true}},
        {SLICE_INIT("false"), OPERAND_LITERAL, {.kind = LIQUID_BOOL}},
        {SLICE_INIT("nil"), OPERAND_LITERAL, {.kind = LIQUID_NIL}},
        {SLICE_INIT("null"), OPERAND_LITERAL, {.kind = LIQUID_NIL}},
        {SLICE_INIT("empty"), OPERAND_EMPTY, {.kind = LIQUID_NIL}},
        {SLICE_INIT("blank"), OPERAND_BLANK, {.kind = LIQUID_NIL}},
    };
    for (size_t i = 0; i < COUNT_OF(constants); i++) {
        if (slice_equal(word.text, constants[i].word)) {
            operand->kind = constants[i].kind;
            operand->literal = constants[i].literal;
            return true;
        }
    }
    operand->kind = OPERAND_PATH;
    operand->name = word.text;
    return parse_steps(c, operand);
}

static bool parse_range(struct compiler *c, struct operand *operand)
{
    operand->kind = OPERAND_RANGE;
    operand->bounds = ARENA_ARRAY(&c->liquid->arena, struct operand, 2);
    return parse_operand(c, &operand->bounds[0]) && word_expect(c, "..", "the first number of a range") &&
           parse_operand(c, &operand->bounds[1]) && word_expect(c, ")", "a range");
}

static bool parse_number(struct compiler *c, struct word word, struct operand *operand)
{
    struct liquid_value text = liquid_string(word.text);
    if (!liquid_number_of(&text, &operand->literal))
        return compile_fault(c, word.at, "\"%.*s\" is no number", SLICE_ARG(word.text));
    return true;
}

static bool parse_operand(struct compiler *c, struct operand *operand)
{
    struct word word;
    if (c->depth >= LIQUID_DEPTH_MAX)
        return compile_fault(c, c->inner, "nested deeper than %d", LIQUID_DEPTH_MAX);
    if (!word_next(c, &word))
        return false;
    *operand = (struct operand){.kind = OPERAND_LITERAL, .at = word.at};
    c->depth++;
    bool is_done = true;
    switch (word.kind) {
    case WORD_STRING: operand->literal = liquid_string(word.text); break;
    case WORD_NUMBER: is_done = parse_number(c, word, operand); break;
    case WORD_NAME: is_done = parse_named(c, word, operand); break;
    case WORD_END: is_done = compile_fault(c, word.at, "something is missing here"); break;
    case WORD_MARK:
        is_done = word_is(word, "(") ? parse_range(c, operand)
                                     : compile_fault(c, word.at, "\"%.*s\" cannot stand here", SLICE_ARG(word.text));
        break;
    }
    c->depth--;
    return is_done;
}

static bool parse_filter_args(struct compiler *c, struct filter_call *call)
{
    bool is_taken;
    if (!word_take(c, ":", &is_taken))
        return false;
    while (is_taken) {
        if (call->arg_count == LIQUID_ARGS_MAX)
            return compile_fault(c, call->at, "too many arguments for the filter \"%.*s\"",
                                 SLICE_ARG(call->filter->name));
        if (!parse_operand(c, &call->args[call->arg_count++]) || !word_take(c, ",", &is_taken))
            return false;
    }
    const struct liquid_filter *filter = call->filter;
    if (call->arg_count >= filter->args_min && call->arg_count <= filter->args_max)
        return true;
    return compile_fault(c, call->at, "the filter \"%.*s\" takes %u to %u arguments, not %zu", SLICE_ARG(filter->name),
                         filter->args_min, filter->args_max, call->arg_count);
}

static bool parse_expression(struct compiler *c, struct expression *expression)
{
    if (!parse_operand(c, &expression->operand))
        return false;
    struct filter_call **end = &expression->filters;
    for (bool is_taken; word_take(c, "|", &is_taken);) {
        struct word name;
        if (!is_taken)
            return true;
        if (!word_next(c, &name))
            return false;
        if (name.kind != WORD_NAME)
            return compile_fault(c, name.at, "a filter's name must follow |");
        struct filter_call *call = ALLOC(c, struct filter_call);
        call->filter = liquid_filter_find(name.text);
        call->at = name.at;
        if (!call->filter)
            return compile_fault(c, name.at, "there is no filter \"%.*s\"", SLICE_ARG(name.text));
        if (!parse_filter_args(c, call))
            return false;
        *end = call;
        end = &call->next;
    }
    return false;
}

static bool parse_condition(struct compiler *c, struct condition **to)
{
    static const struct {
        const char *word;
        enum comparison comparison;
    } comparisons[] = {{"==", IS_EQUAL},  {"!=", IS_NOT_EQUAL}, {"<>", IS_NOT_EQUAL}, {"<", IS_LESS},
                       {">", IS_GREATER}, {"<=", IS_AT_MOST},   {">=", IS_AT_LEAST},  {"contains", IS_CONTAINING}};
    for (;;) {
        struct condition *condition = ALLOC(c, struct condition);
        bool is_taken = false;
        *to = condition;
        to = &condition->next;
        if (++c->nodes > LIQUID_NODES_MAX)
            return compile_fault(c, c->inner, "more than %d parts in one template", LIQUID_NODES_MAX);
        if (!parse_operand(c, &condition->left))
            return false;
        for (size_t i = 0; i < COUNT_OF(comparisons) && !is_taken; i++) {
            if (!word_take(c, comparisons[i].word, &is_taken))
                return false;
            condition->comparison = is_taken ? comparisons[i].comparison : IS_TRUTHY;
        }
        if (is_taken && !parse_operand(c, &condition->right))
            return false;
        if (!word_take(c, "and", &is_taken))
            return false;
        condition->join = is_taken ? JOIN_AND : JOIN_END;
        if (!is_taken && !word_take(c, "or", &is_taken))
            return false;
        if (is_taken && condition->join == JOIN_END)
            condition->join = JOIN_OR;
        if (!is_taken)
            return tag_end(c);
    }
}

/* --- the outer level: text, outputs and tags --- */

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
            return tag_end(c);
        if (has_else)
            return compile_fault(c, closer.at, "nothing but %s may follow else", end_word);
        branch = branch->next = ALLOC(c, struct branch);
        has_else = word_is(closer, "else");
        if (has_else ? !tag_end(c) : !parse_condition(c, &branch->condition))
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
            return tag_end(c);
    }
}

static bool parse_case(struct compiler *c, struct node *node)
{
    static const char *const closers[] = {"when", "else", "endcase", NULL};
    struct branch before = {0}, *branch = &before; /* what stands before the first when is left out */
    node->kind = NODE_CASE;
    if (!parse_operand(c, &node->expression.operand) || !tag_end(c))
        return false;
    for (struct word closer;;) {
        if (!parse_block(c, &branch->body, closers, &closer))
            return false;
        if (word_is(closer, "endcase")) {
            node->branches = before.next;
            return tag_end(c);
        }
        branch = branch->next = ALLOC(c, struct branch);
        if (word_is(closer, "else") ? !tag_end(c) : !parse_when(c, branch))
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
    if (!word_expect(c, "in", "the name") || !parse_operand(c, &node->expression.operand) ||
        !parse_for_options(c, node) || !parse_block(c, &node->branches->body, closers, &closer))
        return false;
    if (word_is(closer, "else")) {
        node->branches->next = ALLOC(c, struct branch);
        if (!tag_end(c) || !parse_block(c, &node->branches->next->body, end, &closer))
            return false;
    }
    return tag_end(c);
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
    return true;
}

static bool parse_capture(struct compiler *c, struct node *node)
{
    static const char *const end[] = {"endcapture", NULL};
    struct word closer;
    return parse_name(c, node, NODE_CAPTURE, "capture") && tag_end(c) && parse_block(c, &node->body, end, &closer) &&
           tag_end(c);
}

static bool parse_word_only(struct compiler *c, struct node *node, enum node_kind kind)
{
    node->kind = kind;
    return tag_end(c);
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
        return parse_name(c, node, NODE_COUNT_UP, "increment") && tag_end(c);
    if (word_is(word, "decrement"))
        return parse_name(c, node, NODE_COUNT_DOWN, "decrement") && tag_end(c);
    if (word_is(word, "assign"))
        return parse_name(c, node, NODE_ASSIGN, "assign") && word_expect(c, "=", "the name") &&
               parse_expression(c, &node->expression) && tag_end(c);
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
    skip_space(c);
    *is_unseen = slice_starts(inner_rest(c), SLICE("#"));
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
            if (!parse_expression(c, &node->expression) || !tag_end(c))
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
