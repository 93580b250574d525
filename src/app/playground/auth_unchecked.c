/* auth_unchecked.c - in place of auth.c as long as mailauth/ cannot verify yet (meson.build chooses): nothing is checked, and
 * nobody is refused for it; spf stays NULL, which says so */
#include "app/playground/inside.h"

#include "base/memory.h"

struct auth_check {
    struct deferred answer;
    void (*on_answer)(void *owner, const struct auth_answer *answer);
    void *owner;
};

static void give_answer(struct deferred *deferred)
{
    struct auth_check *check = deferred->owner;
    struct auth_answer nothing = {NULL};
    check->on_answer(check->owner, &nothing);
    free(check);
}

struct auth_check *auth_start(struct playground *playground, const struct auth_input *input,
                              void (*on_answer)(void *owner, const struct auth_answer *answer), void *owner)
{
    struct auth_check *check = NEW(struct auth_check);
    check->on_answer = on_answer;
    check->owner = owner;
    deferred_init(&check->answer, playground->loop, give_answer, check);
    deferred_ask(&check->answer);
    return check;
}

void auth_cancel(struct auth_check *check)
{
    if (!check)
        return;
    deferred_clear(&check->answer);
    free(check);
}
