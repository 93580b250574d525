/* Operands, filters and conditions inside a tag. */
#include "content/liquid_compile_private.h"

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

/* file["a.pdf"] */
static void note_file(struct liquid *liquid, const struct operand *operand)
{
    const struct step *step = operand->steps;
    if (!slice_equal(operand->name, SLICE("file")) || !step || liquid->file_count == LIQUID_FILES_MAX)
        return;
    if (!step->index)
        liquid->files[liquid->file_count++] = step->name;
    else if (step->index->kind == OPERAND_LITERAL && step->index->literal.kind == LIQUID_STRING)
        liquid->files[liquid->file_count++] = step->index->literal.string;
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
    if (!parse_steps(c, operand))
        return false;
    note_file(c->liquid, operand);
    return true;
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

bool parse_operand(struct compiler *c, struct operand *operand)
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

bool parse_expression(struct compiler *c, struct expression *expression)
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

bool parse_condition(struct compiler *c, struct condition **to)
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
            return word_end(c);
    }
}
