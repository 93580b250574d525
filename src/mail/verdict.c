#include "mail/verdict.h"

#define WORD(NAME, word) SLICE_INIT(#word),

/* A table and its look-ups, by value and by word; the tables are short and looked through in order. */
#define WORDS(noun, enum_type, LIST)                                                                                   \
    static const struct slice noun##_words[] = {LIST(WORD)};                                                           \
    struct slice noun##_word(enum_type value)                                                                          \
    {                                                                                                                  \
        return (size_t)value < COUNT_OF(noun##_words) ? noun##_words[value] : SLICE("");                               \
    }
#define TABLE(noun, enum_type, LIST)                                                                                   \
    WORDS(noun, enum_type, LIST)                                                                                       \
    bool noun##_of(struct slice word, enum_type *value)                                                                \
    {                                                                                                                  \
        for (size_t i = 0; i < COUNT_OF(noun##_words); i++) {                                                          \
            if (slice_equal(noun##_words[i], word)) {                                                                  \
                *value = (enum_type)i;                                                                                 \
                return true;                                                                                           \
            }                                                                                                          \
        }                                                                                                              \
        return false;                                                                                                  \
    }

TABLE(reason, enum reason, REASONS)
TABLE(action, enum action, ACTIONS)
TABLE(scope, enum scope, SCOPES)
TABLE(whose, enum whose_fault, WHOSE_FAULTS)
WORDS(kind, enum kind, KINDS)
WORDS(authenticity, enum authenticity, AUTHENTICITIES)
TABLE(retry, enum retry, RETRIES)
TABLE(stage, enum stage, STAGES)
