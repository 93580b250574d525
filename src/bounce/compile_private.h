/* compile_private.h - what the files of the rule compiler share: compile.c collects, compile_read.c reads YAML into it,
 * compile_blob.c lays it out (private to bounce/) */
#ifndef TODOKE_BOUNCE_COMPILE_PRIVATE_H
#define TODOKE_BOUNCE_COMPILE_PRIVATE_H

#include "bounce/compile.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/tree.h"
#include "bounce/blob.h"

/* Rows of one size, one after another. */
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
    struct tree *tree; /* the file being read */
    struct fault *why;
};

void compile_array_init(struct array *array, size_t size);
uint32_t compile_array_count(const struct array *array);
/* Its number. */
uint32_t compile_array_add(struct array *array, const void *item);
/* Equal texts are kept once. */
struct blob_text compile_text_add(struct compiler *c, struct slice s);

enum file_kind { FILE_REASONS, FILE_FALLBACK, FILE_JA, FILE_EN, FILE_GENERAL, FILE_PROVIDER };
enum file_kind compile_kind_of(const char *path);
/* One file into the arrays; the kinds in their order. Fault INPUT with file and line. */
NODISCARD bool compile_file_read(struct compiler *c, const struct compile_file *file, enum file_kind kind);

/* Everything that was collected as one blob. */
NODISCARD bool compile_blob_make(struct compiler *c, struct buf *out);
/* The vectorscan database of the keys, serialised: for any machine (is_generic), or for this very one. */
NODISCARD bool compile_database_make(struct compiler *c, bool is_generic, struct buf *bytes);

#endif
