#include "mailauth/lookup.h"

#include <assert.h>

const struct question *lookup_ask(struct lookup *lookup, enum question_type type, struct slice name)
{
    char lower[256];
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    assert(name.len < sizeof(lower) && "checks ask for names only");
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    name = slice_of(lower, name.len);
    for (struct question *q = lookup->first; q; q = q->next)
        if (q->type == type && slice_equal(q->name, name))
            return q->state == ANSWER_OPEN ? NULL : q;
    struct question *made = ARENA_NEW(lookup->arena, struct question);
    *made = (struct question){.type = type, .name = arena_copy(lookup->arena, name), .next = lookup->first};
    lookup->first = made;
    lookup->count++;
    return NULL;
}

struct question *lookup_next(struct lookup *lookup)
{
    for (struct question *q = lookup->first; q; q = q->next)
        if (q->state == ANSWER_OPEN)
            return q;
    return NULL;
}

void lookup_answer(struct lookup *lookup, struct question *question, enum answer_state state,
                   const struct slice *records, size_t count)
{
    assert(state != ANSWER_OPEN);
    question->state = state == ANSWER_FOUND && !count ? ANSWER_NO_RECORD : state;
    if (question->state != ANSWER_FOUND)
        return;
    question->records = ARENA_ARRAY(lookup->arena, struct slice, count);
    question->count = count;
    for (size_t i = 0; i < count; i++)
        question->records[i] = arena_copy(lookup->arena, records[i]);
}
