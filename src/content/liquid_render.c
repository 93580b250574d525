#include "content/liquid_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

bool liquid_fault(struct liquid_run *run, enum fault_kind kind, const char *format, ...)
{
    va_list args;
    char text[400];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct liquid_place place = liquid_place_of(run->liquid->source, run->at);
    return fault_set(run->why, kind, "line %u, column %u: %s", place.line, place.column, text);
}

char *liquid_room(struct liquid_run *run, size_t len)
{
    if (len <= LIQUID_MEMORY_MAX && run->context->arena->used_bytes + len <= LIQUID_MEMORY_MAX)
        return arena_alloc(run->context->arena, len + 1);
    liquid_fault(run, FAULT_LIMIT, "the template needs more than %d MB to render", LIQUID_MEMORY_MAX >> 20);
    return NULL;
}

/* --- operands --- */

/* forloop: what {{ forloop.index }} asks. */
struct for_state {
    size_t index, length;
    const struct for_state *parent;
};

static bool for_state_member(const void *self, struct slice name, struct liquid_value *value)
{
    const struct for_state *loop = self;
    const struct {
        struct slice name;
        int64_t value;
    } numbers[] = {{SLICE_INIT("index"), (int64_t)loop->index + 1},
                   {SLICE_INIT("index0"), (int64_t)loop->index},
                   {SLICE_INIT("rindex"), (int64_t)(loop->length - loop->index)},
                   {SLICE_INIT("rindex0"), (int64_t)(loop->length - loop->index) - 1},
                   {SLICE_INIT("length"), (int64_t)loop->length}};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (slice_equal(name, numbers[i].name)) {
            *value = liquid_int(numbers[i].value);
            return true;
        }
    }
    bool is_first = slice_equal(name, SLICE("first"));
    if (!is_first && !slice_equal(name, SLICE("last")))
        return false;
    *value = (struct liquid_value){.kind = LIQUID_BOOL,
                                   .boolean = is_first ? loop->index == 0 : loop->index + 1 == loop->length};
    return true;
}

static const struct liquid_type for_state_type = {.member = for_state_member};

static void variable(struct liquid_run *run, struct slice name, struct liquid_value *value)
{
    *value = (struct liquid_value){.kind = LIQUID_NIL};
    for (struct local *local = run->locals; local; local = local->next) {
        if (slice_equal(local->name, name)) {
            *value = local->value;
            return;
        }
    }
    if (run->loop && slice_equal(name, SLICE("forloop"))) {
        *value = liquid_object(&for_state_type, run->loop);
        return;
    }
    const struct liquid_value *root = &run->context->root;
    if (root->kind == LIQUID_OBJECT && root->ref.type->member(root->ref.self, name, value))
        return;
    for (struct local *local = run->counters; local; local = local->next)
        if (slice_equal(local->name, name))
            *value = local->value;
}

static void list_item(const struct liquid_value *list, int64_t index, struct liquid_value *value)
{
    int64_t size = (int64_t)liquid_size(list);
    if (index < 0)
        index += size;
    if (index >= 0 && index < size)
        liquid_item(list, (size_t)index, value);
}

/* .size, .first and .last are there for lists (and size for strings) unless the value has such a member itself. */
static void member(const struct liquid_value *of, struct slice name, struct liquid_value *value)
{
    *value = (struct liquid_value){.kind = LIQUID_NIL};
    if (of->kind == LIQUID_OBJECT && of->ref.type->member(of->ref.self, name, value))
        return;
    if (of->kind != LIQUID_LIST && of->kind != LIQUID_STRING)
        return;
    if (slice_equal(name, SLICE("size")))
        *value = liquid_int((int64_t)liquid_size(of));
    else if (of->kind == LIQUID_LIST && slice_equal(name, SLICE("first")))
        list_item(of, 0, value);
    else if (of->kind == LIQUID_LIST && slice_equal(name, SLICE("last")))
        list_item(of, -1, value);
}

/* Whoever asks for a value may look at all of it: a long one is many steps. */
static void charge(struct liquid_run *run, const struct liquid_value *value)
{
    if (value->kind == LIQUID_STRING)
        run->steps += value->string.len / LIQUID_STEP_SIZE;
    else if (value->kind == LIQUID_LIST)
        run->steps += liquid_size(value) / LIQUID_STEP_SIZE;
}

static void evaluate(struct liquid_run *run, const struct operand *operand, struct liquid_value *value)
{
    if (operand->kind != OPERAND_PATH) {
        *value = operand->literal;
        return;
    }
    variable(run, operand->name, value);
    for (const struct step *step = operand->steps; step; step = step->next) {
        struct liquid_value of = *value, index;
        if (!step->index) {
            member(&of, step->name, value);
            continue;
        }
        evaluate(run, step->index, &index);
        *value = (struct liquid_value){.kind = LIQUID_NIL};
        if (of.kind == LIQUID_LIST && index.kind == LIQUID_INT)
            list_item(&of, index.integer, value);
        else if (index.kind == LIQUID_STRING)
            member(&of, index.string, value);
    }
    charge(run, value);
}

static bool evaluate_expression(struct liquid_run *run, const struct expression *expression, struct liquid_value *value)
{
    evaluate(run, &expression->operand, value);
    for (const struct filter_call *call = expression->filters; call; call = call->next) {
        struct liquid_value args[LIQUID_ARGS_MAX];
        for (size_t i = 0; i < call->arg_count; i++)
            evaluate(run, &call->args[i], &args[i]);
        run->at = call->at;
        if (!call->filter->run(run, value, args, call->arg_count))
            return false;
        charge(run, value);
    }
    return true;
}

/* --- conditions --- */

static bool operands_equal(struct liquid_run *run, const struct operand *left, const struct operand *right)
{
    struct liquid_value a, b;
    if (left->kind == OPERAND_EMPTY || left->kind == OPERAND_BLANK) {
        const struct operand *swap = left;
        left = right;
        right = swap;
    }
    evaluate(run, left, &a);
    if (right->kind == OPERAND_EMPTY)
        return liquid_is_empty(&a);
    if (right->kind == OPERAND_BLANK)
        return liquid_is_blank(&a);
    evaluate(run, right, &b);
    return liquid_equal(&a, &b);
}

static bool compare(struct liquid_run *run, const struct condition *condition)
{
    struct liquid_value a, b;
    int order = 0;
    if (condition->comparison == IS_EQUAL || condition->comparison == IS_NOT_EQUAL)
        return operands_equal(run, &condition->left, &condition->right) == (condition->comparison == IS_EQUAL);
    evaluate(run, &condition->left, &a);
    if (condition->comparison == IS_TRUTHY)
        return liquid_is_truthy(&a);
    evaluate(run, &condition->right, &b);
    if (condition->comparison == IS_CONTAINING)
        return liquid_contains(&a, &b);
    if (!liquid_order(&a, &b, &order))
        return false;
    switch (condition->comparison) {
    case IS_LESS: return order < 0;
    case IS_GREATER: return order > 0;
    case IS_AT_MOST: return order <= 0;
    case IS_AT_LEAST: return order >= 0;
    case IS_TRUTHY:
    case IS_EQUAL:
    case IS_NOT_EQUAL:
    case IS_CONTAINING: break; /* answered above */
    }
    return false;
}

/* Liquid joins from the right: a and b or c is a and (b or c). So the answer is known at the first term that decides.
 */
static bool holds(struct liquid_run *run, const struct condition *condition)
{
    for (;; condition = condition->next) {
        bool is_true = compare(run, condition);
        if (condition->join == JOIN_END || (condition->join == JOIN_AND && !is_true) ||
            (condition->join == JOIN_OR && is_true))
            return is_true;
    }
}

/* --- nodes --- */

static bool render_nodes(struct liquid_run *run, const struct node *node);

static bool give(struct liquid_run *run, size_t len)
{
    run->output += len;
    return run->output <= LIQUID_OUTPUT_MAX ||
           liquid_fault(run, FAULT_LIMIT, "the template makes more than %d MB of output", LIQUID_OUTPUT_MAX >> 20);
}

static bool render_output(struct liquid_run *run, const struct node *node)
{
    struct liquid_value value;
    struct slice text;
    if (!evaluate_expression(run, &node->expression, &value) || !liquid_text_of(run, &value, &text))
        return false;
    if (run->liquid->is_html && !value.is_safe && value.kind != LIQUID_INT) {
        size_t len = html_escaped_len(text);
        if (len != text.len) {
            char *room = liquid_room(run, len);
            if (!room)
                return false;
            struct buf escaped = {room, 0, len, len, false}; /* on the arena: never grows, never released */
            html_escape(&escaped, text);
            text = buf_slice(&escaped);
        }
    }
    if (!give(run, text.len))
        return false;
    if (text.len)
        run->sink->value(run->sink, text);
    return true;
}

static bool render_if(struct liquid_run *run, const struct node *node)
{
    for (const struct branch *branch = node->branches; branch; branch = branch->next)
        if (!branch->condition || holds(run, branch->condition) != branch->is_negated)
            return render_nodes(run, branch->body);
    return true;
}

static bool render_case(struct liquid_run *run, const struct node *node)
{
    for (const struct branch *branch = node->branches; branch; branch = branch->next) {
        bool is_chosen = !branch->values;
        for (size_t i = 0; i < branch->value_count && !is_chosen; i++)
            is_chosen = operands_equal(run, &node->expression.operand, &branch->values[i]);
        if (is_chosen)
            return render_nodes(run, branch->body);
    }
    return true;
}

/* What a for walks over: a list, or the numbers of a range. */
struct walked {
    struct liquid_value list;
    int64_t first; /* of a range */
    bool is_range;
    size_t from, count;
};

static int64_t whole_number(struct liquid_run *run, const struct operand *operand)
{
    struct liquid_value value, number;
    evaluate(run, operand, &value);
    if (!liquid_number_of(&value, &number))
        return 0;
    if (number.kind == LIQUID_REAL)
        return number.real > 1e15 ? (int64_t)1e15 : number.real < -1e15 ? -(int64_t)1e15 : (int64_t)number.real;
    return number.integer;
}

static void walked_init(struct liquid_run *run, const struct node *node, struct walked *walked)
{
    const struct operand *operand = &node->expression.operand;
    *walked = (struct walked){.is_range = operand->kind == OPERAND_RANGE};
    if (walked->is_range) {
        int64_t last = whole_number(run, &operand->bounds[1]), span;
        walked->first = whole_number(run, &operand->bounds[0]);
        if (!__builtin_sub_overflow(last, walked->first, &span) && span >= 0)
            walked->count = span > LIQUID_ROUNDS_MAX ? LIQUID_ROUNDS_MAX + 1 : (size_t)span + 1;
    } else {
        evaluate(run, operand, &walked->list);
        walked->count = walked->list.kind == LIQUID_LIST ? liquid_size(&walked->list) : 0;
        if (walked->list.kind == LIQUID_STRING && walked->list.string.len)
            walked->count = 1;
    }
    if (node->offset) {
        int64_t offset = whole_number(run, node->offset);
        walked->from = offset < 0 ? 0 : (size_t)offset < walked->count ? (size_t)offset : walked->count;
        walked->count -= walked->from;
    }
    if (node->limit) {
        int64_t limit = whole_number(run, node->limit);
        if (limit < (int64_t)walked->count)
            walked->count = limit < 0 ? 0 : (size_t)limit;
    }
}

static void walked_item(const struct walked *walked, size_t index, struct liquid_value *value)
{
    if (walked->is_range)
        *value = liquid_int(walked->first + (int64_t)(walked->from + index));
    else if (walked->list.kind == LIQUID_STRING)
        *value = walked->list;
    else
        liquid_item(&walked->list, walked->from + index, value);
}

static bool render_for(struct liquid_run *run, const struct node *node)
{
    struct walked walked;
    walked_init(run, node, &walked);
    if (!walked.count)
        return !node->branches->next || render_nodes(run, node->branches->next->body);
    struct for_state loop = {.length = walked.count, .parent = run->loop};
    struct local item = {.name = node->text,
                         .next = run->locals}; /* what the body assigns hangs behind it, and stays */
    bool is_done = true;
    run->loop = &loop;
    run->locals = &item;
    for (; loop.index < loop.length && is_done; loop.index++) {
        run->at = node->at;
        if (++run->rounds > LIQUID_ROUNDS_MAX) {
            is_done = liquid_fault(run, FAULT_LIMIT, "more than %d rounds of loops", LIQUID_ROUNDS_MAX);
            break;
        }
        walked_item(&walked, node->is_reversed ? loop.length - 1 - loop.index : loop.index, &item.value);
        is_done = render_nodes(run, node->branches->body);
        enum liquid_signal signal = run->signal;
        run->signal = SIGNAL_NONE;
        if (signal == SIGNAL_BREAK)
            break;
    }
    run->locals = item.next;
    run->loop = loop.parent;
    return is_done;
}

static void assign(struct liquid_run *run, struct local **space, struct slice name, struct liquid_value value)
{
    for (struct local *local = *space; local; local = local->next) {
        if (slice_equal(local->name, name)) {
            local->value = value;
            return;
        }
    }
    struct local *local = ARENA_NEW(run->context->arena, struct local);
    *local = (struct local){name, value, NULL};
    while (*space) /* at the far end: inner loops' variables stand in front and go away */
        space = &(*space)->next;
    *space = local;
}

struct capture {
    struct liquid_sink sink;
    struct buf bytes;
};

static void capture_text(struct liquid_sink *sink, size_t index, struct slice text)
{
    buf_append(&((struct capture *)sink)->bytes, text);
}

static void capture_value(struct liquid_sink *sink, struct slice value)
{
    buf_append(&((struct capture *)sink)->bytes, value);
}

static bool render_capture(struct liquid_run *run, const struct node *node)
{
    struct capture capture = {.sink = {capture_text, capture_value}, .bytes = BUF(LIQUID_OUTPUT_MAX)};
    struct liquid_sink *outer = run->sink;
    run->sink = &capture.sink;
    bool is_done = render_nodes(run, node->body);
    run->sink = outer;
    char *room = is_done ? liquid_room(run, capture.bytes.len) : NULL;
    if (room) {
        if (capture.bytes.len)
            memcpy(room, capture.bytes.ptr, capture.bytes.len);
        struct liquid_value value = liquid_string(slice_of(room, capture.bytes.len));
        value.is_safe = run->liquid->is_html;
        assign(run, &run->locals, node->text, value);
    }
    buf_release(&capture.bytes);
    return room != NULL;
}

static bool render_count(struct liquid_run *run, const struct node *node)
{
    int64_t count = 0;
    for (struct local *local = run->counters; local; local = local->next)
        if (slice_equal(local->name, node->text))
            count = local->value.integer;
    struct liquid_value shown = liquid_int(node->kind == NODE_COUNT_UP ? count : count - 1);
    struct slice text;
    assign(run, &run->counters, node->text, liquid_int(node->kind == NODE_COUNT_UP ? count + 1 : count - 1));
    if (!liquid_text_of(run, &shown, &text) || !give(run, text.len))
        return false;
    run->sink->value(run->sink, text);
    return true;
}

static bool render_assign(struct liquid_run *run, const struct node *node)
{
    struct liquid_value value;
    if (!evaluate_expression(run, &node->expression, &value))
        return false;
    assign(run, &run->locals, node->text, value);
    return true;
}

static bool render_node(struct liquid_run *run, const struct node *node)
{
    run->at = node->at;
    if (++run->steps > LIQUID_STEPS_MAX)
        return liquid_fault(run, FAULT_LIMIT, "more than %d steps", LIQUID_STEPS_MAX);
    switch (node->kind) {
    case NODE_TEXT:
        if (!give(run, node->text.len))
            return false;
        run->sink->text(run->sink, node->text_index, node->text);
        return true;
    case NODE_OUTPUT: return render_output(run, node);
    case NODE_IF: return render_if(run, node);
    case NODE_CASE: return render_case(run, node);
    case NODE_FOR: return render_for(run, node);
    case NODE_BREAK: run->signal = SIGNAL_BREAK; return true;
    case NODE_CONTINUE: run->signal = SIGNAL_CONTINUE; return true;
    case NODE_ASSIGN: return render_assign(run, node);
    case NODE_CAPTURE: return render_capture(run, node);
    case NODE_COUNT_UP:
    case NODE_COUNT_DOWN: return render_count(run, node);
    }
    return true;
}

static bool render_nodes(struct liquid_run *run, const struct node *node)
{
    for (; node && run->signal == SIGNAL_NONE; node = node->next)
        if (!render_node(run, node))
            return false;
    return true;
}

bool liquid_render_to(const struct liquid *liquid, const struct liquid_context *context, struct liquid_sink *sink,
                      struct fault *why)
{
    struct liquid_run run = {.liquid = liquid, .context = context, .sink = sink, .why = why};
    return render_nodes(&run, liquid->body);
}

struct plain_sink {
    struct liquid_sink sink;
    struct buf *out;
};

static void plain_text(struct liquid_sink *sink, size_t index, struct slice text)
{
    buf_append(((struct plain_sink *)sink)->out, text);
}

static void plain_value(struct liquid_sink *sink, struct slice value)
{
    buf_append(((struct plain_sink *)sink)->out, value);
}

bool liquid_render(const struct liquid *liquid, const struct liquid_context *context, struct buf *out,
                   struct fault *why)
{
    struct plain_sink sink = {{plain_text, plain_value}, out};
    if (!liquid_render_to(liquid, context, &sink.sink, why))
        return false;
    return buf_ok(out) || fault_set(why, FAULT_LIMIT, "line 1, column 1: the output is larger than allowed");
}
