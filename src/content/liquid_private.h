/* liquid_private.h - the inside of a compiled template: shared by liquid_*.c only */
#ifndef TODOKE_CONTENT_LIQUID_PRIVATE_H
#define TODOKE_CONTENT_LIQUID_PRIVATE_H

#include "content/liquid.h"

enum {
    LIQUID_SOURCE_MAX = 2 * 1024 * 1024,
    LIQUID_TAG_MAX = 16 * 1024,
    LIQUID_DEPTH_MAX = 64,
    LIQUID_NODES_MAX = 10000,
    LIQUID_ROUNDS_MAX = 100000,
    LIQUID_STEPS_MAX = 2000000,
    LIQUID_STEP_SIZE = 64, /* octets of a string or items of a list that are looked at for one step */
    LIQUID_OUTPUT_MAX = 4 * 1024 * 1024,
    LIQUID_MEMORY_MAX = 32 * 1024 * 1024, /* what filters may make in one rendering */
    LIQUID_ARGS_MAX = 3,
};

struct liquid_run;
struct liquid_filter {
    struct slice name;
    unsigned args_min, args_max;
    bool (*run)(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args, size_t count);
};
/* NULL: no such filter. */
const struct liquid_filter *liquid_filter_find(struct slice name);

enum operand_kind { OPERAND_LITERAL, OPERAND_PATH, OPERAND_RANGE, OPERAND_EMPTY, OPERAND_BLANK };
struct operand {
    enum operand_kind kind;
    size_t at; /* in the source */
    struct liquid_value literal;
    struct slice name;      /* PATH: the first name */
    struct step *steps;     /* .name and [operand] behind it */
    struct operand *bounds; /* RANGE: two */
};
struct step {
    struct slice name;     /* .name */
    struct operand *index; /* [operand]; NULL: name */
    struct step *next;
};
struct filter_call {
    const struct liquid_filter *filter;
    struct operand args[LIQUID_ARGS_MAX];
    size_t arg_count, at;
    struct filter_call *next;
};
struct expression {
    struct operand operand;
    struct filter_call *filters;
};

enum comparison { IS_TRUTHY, IS_EQUAL, IS_NOT_EQUAL, IS_LESS, IS_GREATER, IS_AT_MOST, IS_AT_LEAST, IS_CONTAINING };
enum join { JOIN_END, JOIN_AND, JOIN_OR };
struct condition {
    struct operand left, right;
    enum comparison comparison;
    enum join join; /* with next: right to left */
    struct condition *next;
};

struct branch {                  /* of if, unless, case; for keeps body and else in two */
    struct condition *condition; /* NULL: else (if), or see values (case) */
    bool is_negated;
    struct operand *values; /* case: any of them equal */
    size_t value_count;
    struct node *body;
    struct branch *next;
};

enum node_kind {
    NODE_TEXT,
    NODE_OUTPUT,
    NODE_IF,
    NODE_CASE,
    NODE_FOR,
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_ASSIGN,
    NODE_CAPTURE,
    NODE_COUNT_UP,
    NODE_COUNT_DOWN,
};
struct node {
    enum node_kind kind;
    size_t at;
    struct node *next;
    struct slice text;              /* TEXT; the variable's name of FOR, ASSIGN, CAPTURE, COUNT_* */
    size_t text_index;              /* TEXT */
    struct expression expression;   /* OUTPUT, ASSIGN; FOR: the list; CASE: what is compared */
    struct branch *branches;        /* IF, CASE; FOR: the body, then the else */
    struct operand *limit, *offset; /* FOR; NULL: none */
    bool is_reversed;               /* FOR */
    struct node *body;              /* CAPTURE */
};

struct liquid {
    struct arena arena;
    struct slice source;
    bool is_html;
    struct node *body;
    struct slice *texts;
    size_t text_count, text_room;
    struct slice files[LIQUID_FILES_MAX]; /* the first literal behind `file` */
    size_t file_count;
    bool has_own_file; /* a local of that name */
};

struct local {
    struct slice name;
    struct liquid_value value;
    struct local *next;
};
enum liquid_signal { SIGNAL_NONE, SIGNAL_BREAK, SIGNAL_CONTINUE };
struct liquid_run {
    const struct liquid *liquid;
    const struct liquid_context *context;
    struct liquid_sink *sink;
    struct fault *why;
    struct local *locals;   /* the newest first */
    struct local *counters; /* of increment and decrement: a space of their own */
    const struct for_state *loop;
    enum liquid_signal signal;
    size_t at; /* of what is being rendered, for faults */
    size_t rounds, steps, output;
};

struct liquid_place liquid_place_of(struct slice source, size_t at);
/* "line 3, column 9: ..." false always */
bool liquid_fault(struct liquid_run *run, enum fault_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);
/* Memory of the rendering; NULL and a fault when it asks too much. */
char *liquid_room(struct liquid_run *run, size_t len);

/* Nothing but text: the rendering is the same for everybody. */
bool liquid_is_static(const struct liquid *liquid);

/* --- values --- */
bool liquid_is_truthy(const struct liquid_value *value);
/* What {{ }} prints, unescaped. False: a fault was set. */
bool liquid_text_of(struct liquid_run *run, const struct liquid_value *value, struct slice *text);
/* INT or REAL for numbers and for strings that are one; false: neither. */
bool liquid_number_of(const struct liquid_value *value, struct liquid_value *number);
double liquid_real(const struct liquid_value *number);
bool liquid_equal(const struct liquid_value *a, const struct liquid_value *b);
/* -1, 0, 1; false: they have no order. */
bool liquid_order(const struct liquid_value *a, const struct liquid_value *b, int *order);
bool liquid_contains(const struct liquid_value *whole, const struct liquid_value *part);
bool liquid_is_empty(const struct liquid_value *value);
bool liquid_is_blank(const struct liquid_value *value);
size_t liquid_size(const struct liquid_value *value);
void liquid_item(const struct liquid_value *list, size_t index, struct liquid_value *value);
/* A list over an array that lives as long as the rendering. */
struct liquid_value liquid_list(struct liquid_run *run, const struct liquid_value *values, size_t count);

void html_escape(struct buf *out, struct slice text);
size_t html_escaped_len(struct slice text);

/* strftime's letters; see liquid.h. `text` may be "now", seconds, or a written date; false: no date. */
bool liquid_date(struct liquid_run *run, const struct liquid_value *when, struct slice format, struct buf *out);

#endif
