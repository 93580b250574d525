/* read_fuzz.c - libFuzzer entry: any bytes as an error mail; the same bytes give the same rows */
#include "bounce/read.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rules *rules;
    static struct rules_scratch *scratch;
    struct fault why;
    if (!rules) {
        if (!rules_open(&rules, &why))
            abort();
        scratch = rules_scratch_new(rules);
    }
    struct arena arena = {0};
    struct mime_mail mail;
    struct bounce first, second;
    mime_read(slice_of(data, size), &arena, &mail);
    bounce_read(&mail, rules, scratch, &arena, &first);
    bounce_read(&mail, rules, scratch, &arena, &second);
    assert(first.row_count == second.row_count && first.kind == second.kind && first.row_count <= BOUNCE_ROWS_MAX);
    assert((first.kind == KIND_NONE) == (first.row_count == 0));
    for (unsigned i = 0; i < first.row_count; i++) {
        const struct bounce_row *a = &first.rows[i], *b = &second.rows[i];
        assert(a->verdict.reason == b->verdict.reason && slice_equal(a->recipient, b->recipient));
        assert(a->diagnostic.len <= BOUNCE_DIAGNOSTIC_MAX && a->facts.count <= FACTS_MAX);
        assert(!a->verdict.is_permanent || a->kind == KIND_BOUNCE);
    }
    arena_release(&arena);
    return 0;
}
