/* Filters of numbers and dates. */
#include "content/liquid_filter.h"

#include <math.h>

enum operation { PLUS, MINUS, TIMES, DIVIDED, MODULO };

static bool operate_int(struct liquid_run *run, int64_t a, int64_t b, enum operation operation, int64_t *result)
{
    bool is_over = false;
    if ((operation == DIVIDED || operation == MODULO) && b == 0)
        return liquid_fault(run, FAULT_INPUT, "division by zero");
    if ((operation == DIVIDED || operation == MODULO) && b == -1) {
        *result = operation == MODULO ? 0 : a == INT64_MIN ? INT64_MAX : -a;
        return true;
    }
    switch (operation) {
    case PLUS: is_over = __builtin_add_overflow(a, b, result); break;
    case MINUS: is_over = __builtin_sub_overflow(a, b, result); break;
    case TIMES: is_over = __builtin_mul_overflow(a, b, result); break;
    case DIVIDED: *result = a / b - (a % b != 0 && (a < 0) != (b < 0)); break; /* rounds down, as Liquid does */
    case MODULO: *result = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); break;
    }
    return !is_over || liquid_fault(run, FAULT_INPUT, "a number became too big");
}

static bool operate(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *with,
                    enum operation operation)
{
    struct liquid_value a, b, zero = liquid_int(0);
    if (!liquid_number_of(value, &a)) /* as Liquid does: what is no number counts 0 */
        a = zero;
    if (!liquid_number_of(with, &b))
        return liquid_fault(run, FAULT_INPUT, "this filter needs a number");
    if (a.kind == LIQUID_INT && b.kind == LIQUID_INT) {
        *value = zero;
        return operate_int(run, a.integer, b.integer, operation, &value->integer);
    }
    double x = liquid_real(&a), y = liquid_real(&b), result = 0;
    if ((operation == DIVIDED || operation == MODULO) && y == 0)
        return liquid_fault(run, FAULT_INPUT, "division by zero");
    switch (operation) {
    case PLUS: result = x + y; break;
    case MINUS: result = x - y; break;
    case TIMES: result = x * y; break;
    case DIVIDED: result = x / y; break;
    case MODULO: result = x - y * floor(x / y); break;
    }
    *value = (struct liquid_value){.kind = LIQUID_REAL, .real = result};
    return isfinite(result) || liquid_fault(run, FAULT_INPUT, "a number became too big");
}

bool filter_plus(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return operate(run, value, args, PLUS);
}

bool filter_minus(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return operate(run, value, args, MINUS);
}

bool filter_times(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return operate(run, value, args, TIMES);
}

bool filter_divided_by(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,
                       size_t count)
{
    return operate(run, value, args, DIVIDED);
}

bool filter_modulo(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return operate(run, value, args, MODULO);
}

static void number_or_zero(struct liquid_value *value)
{
    struct liquid_value number = liquid_int(0);
    if (liquid_number_of(value, &number))
        *value = number;
    else
        *value = liquid_int(0);
}

bool filter_abs(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    number_or_zero(value);
    if (value->kind == LIQUID_REAL)
        value->real = fabs(value->real);
    else if (value->integer < 0)
        value->integer = value->integer == INT64_MIN ? INT64_MAX : -value->integer;
    return true;
}

static void to_whole(struct liquid_value *value, double (*rounding)(double))
{
    number_or_zero(value);
    if (value->kind == LIQUID_REAL && fabs(value->real) < 9e15)
        *value = liquid_int((int64_t)rounding(value->real));
}

bool filter_ceil(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    to_whole(value, ceil);
    return true;
}

bool filter_floor(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    to_whole(value, floor);
    return true;
}

bool filter_round(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    int64_t places = 0;
    if (count && !filter_number_of(run, &args[0], &places))
        return false;
    if (places <= 0) {
        to_whole(value, round);
        return true;
    }
    number_or_zero(value);
    double scale = pow(10, (double)(places < 12 ? places : 12));
    if (value->kind == LIQUID_REAL)
        value->real = round(value->real * scale) / scale;
    return true;
}

static bool pick(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *with, int sign)
{
    struct liquid_value bound;
    int order = 0;
    number_or_zero(value);
    if (!liquid_number_of(with, &bound))
        return liquid_fault(run, FAULT_INPUT, "this filter needs a number");
    if (liquid_order(value, &bound, &order) && order * sign < 0)
        *value = bound;
    return true;
}

bool filter_at_least(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return pick(run, value, args, 1);
}

bool filter_at_most(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    return pick(run, value, args, -1);
}

/* 1234567.5 -> 1,234,567.5 */
bool filter_number(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice text;
    struct liquid_value number;
    SCOPED(buf) out = BUF(256);
    if (!liquid_number_of(value, &number))
        return true;
    if (!liquid_text_of(run, &number, &text))
        return false;
    bool is_negative = slice_starts(text, SLICE("-"));
    ptrdiff_t dot = slice_find_byte(text, '.');
    size_t whole = dot == SLICE_NPOS ? text.len : (size_t)dot;
    for (size_t i = 0; i < whole; i++) {
        if (i > is_negative && (whole - i) % 3 == 0)
            buf_byte(&out, ',');
        buf_byte(&out, text.ptr[i]);
    }
    buf_append(&out, slice_from(text, whole));
    return filter_keep(run, value, &out);
}

bool filter_date(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count)
{
    struct slice format;
    SCOPED(buf) out = BUF(4096);
    if (!liquid_text_of(run, &args[0], &format))
        return false;
    if (!liquid_date(run, value, format, &out))
        return true; /* no date: left as it is */
    return filter_keep(run, value, &out);
}
