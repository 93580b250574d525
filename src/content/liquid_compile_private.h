/* liquid_compile_private.h - the compiler's three files: words, expressions, tags */
#ifndef TODOKE_CONTENT_LIQUID_COMPILE_PRIVATE_H
#define TODOKE_CONTENT_LIQUID_COMPILE_PRIVATE_H

#include "content/liquid_private.h"

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

#define ALLOC(c, type) ARENA_NEW(&(c)->liquid->arena, type)

/* False always: "line 3, column 9: ...". */
bool compile_fault(struct compiler *c, size_t at, const char *format, ...) PRINTF_LIKE(3, 4);

/* --- words of a tag (liquid_words.c) --- */
enum word_kind { WORD_END, WORD_NAME, WORD_STRING, WORD_NUMBER, WORD_MARK };
struct word {
    enum word_kind kind;
    size_t at;
    struct slice text; /* STRING: without quotes */
};

bool word_is(struct word word, const char *text);
/* What is left of the tag. */
struct slice word_rest(const struct compiler *c);
void word_skip_space(struct compiler *c);
/* The word at the reading place, without moving on. False, here and below: a fault was set. */
bool word_peek(struct compiler *c, struct word *word, size_t *next);
bool word_next(struct compiler *c, struct word *word);
/* Move past the word when it is `text`. */
bool word_take(struct compiler *c, const char *text, bool *is_taken);
bool word_expect(struct compiler *c, const char *text, const char *after);
/* Nothing more in this tag. */
bool word_end(struct compiler *c);

/* --- expressions (liquid_expression.c) --- */
bool parse_operand(struct compiler *c, struct operand *operand);
bool parse_expression(struct compiler *c, struct expression *expression);
/* To the end of the tag. */
bool parse_condition(struct compiler *c, struct condition **to);

#endif
