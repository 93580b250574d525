#include "mail/event.h"

#define STATE_CASE(NAME, word, number)                                                                                 \
    case DELIVERY_##NAME:                                                                                              \
        return SLICE(#word);
#define STATE_TEST(NAME, name, number)                                                                                 \
    if (slice_equal(word, SLICE(#name))) {                                                                             \
        *state = DELIVERY_##NAME;                                                                                      \
        return true;                                                                                                   \
    }

struct slice delivery_word(enum delivery_state state)
{
    switch (state) {
        DELIVERY_STATES(STATE_CASE)
    case DELIVERY_STATE_COUNT: break;
    }
    return SLICE("");
}

bool delivery_of(struct slice word, enum delivery_state *state)
{
    DELIVERY_STATES(STATE_TEST)
    return false;
}

#define EVENT_CASE(NAME, word, number)                                                                                 \
    case EVENT_##NAME:                                                                                                 \
        return SLICE(#word);
#define EVENT_TEST(NAME, name, number)                                                                                 \
    if (slice_equal(word, SLICE(#name))) {                                                                             \
        *kind = EVENT_##NAME;                                                                                          \
        return true;                                                                                                   \
    }

struct slice event_word(enum event_kind kind)
{
    switch (kind) {
        EVENT_KINDS(EVENT_CASE)
    case EVENT_KIND_END: break;
    }
    return SLICE("");
}

bool event_of(struct slice word, enum event_kind *kind)
{
    EVENT_KINDS(EVENT_TEST)
    return false;
}
