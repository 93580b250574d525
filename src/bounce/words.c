#include "bounce/words.h"

#include "bounce/rules_private.h"

static const struct blob_words *row_of(const struct blob *blob, struct slice key)
{
    const struct blob_words *rows = BLOB_AT(blob, struct blob_words, blob->words);
    uint32_t low = 0, high = blob->words.count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = slice_compare(blob_slice(blob, rows[middle].key), key);
        if (order == 0)
            return &rows[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

struct explanation words_for(const struct rules *rules, const struct verdict *verdict, enum lang lang)
{
    const struct blob *blob = rules->parts[0].blob;
    const struct blob_words *rows[2] = {NULL, row_of(blob, reason_word(verdict->reason))};
    char key[128] = "/";
    if (verdict->words.len && verdict->words.len < sizeof(key) - 1) {
        memcpy(key + 1, verdict->words.ptr, verdict->words.len);
        rows[0] = row_of(blob, slice_of(key, verdict->words.len + 1));
    }
    struct slice said[BLOB_WORDS];
    for (int i = 0; i < BLOB_WORDS; i++) {
        said[i] = SLICE("");
        for (int row = 0; row < 2 && !said[i].len; row++)
            if (rows[row])
                said[i] = blob_slice(blob, rows[row]->text[lang][i]);
    }
    return (struct explanation){said[0], said[1], said[2], said[3], said[4]};
}

bool words_has(const struct rules *rules, struct slice key)
{
    char name[128] = "/";
    if (key.len >= sizeof(name) - 1)
        return false;
    memcpy(name + 1, key.ptr, key.len);
    const struct blob_words *row = row_of(rules->parts[0].blob, slice_of(name, key.len + 1));
    for (int lang = 0; row && lang < LANG_COUNT; lang++)
        if (!row->text[lang][1].len)
            return false;
    return row != NULL;
}
