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

enum word { LABEL, CAUSE, REMEDY, OPERATOR, DID, RETURNED };

/* The first row that says it: a rule's own words, then its reason's. */
static struct slice said_by(const struct blob *blob, const struct blob_words *const rows[2], enum lang lang,
                            enum word word)
{
    struct slice said = SLICE("");
    for (int row = 0; row < 2 && !said.len; row++)
        if (rows[row])
            said = blob_slice(blob, rows[row]->text[lang][word]);
    return said;
}

struct explanation words_standing(const struct rules *rules, const struct verdict *verdict, enum standing standing,
                                  enum lang lang)
{
    const struct blob *blob = rules->parts[0].blob;
    const struct blob_words *rows[2] = {NULL, row_of(blob, reason_word(verdict->reason))};
    char key[128] = "/";
    if (verdict->words.len && verdict->words.len < sizeof(key) - 1) {
        memcpy(key + 1, verdict->words.ptr, verdict->words.len);
        rows[0] = row_of(blob, slice_of(key, verdict->words.len + 1));
    }
    struct slice said[BLOB_WORDS];
    for (int i = 0; i < BLOB_WORDS; i++)
        said[i] = said_by(blob, rows, lang, (enum word)i);
    struct explanation words = {said[LABEL], said[CAUSE], said[REMEDY], said[OPERATOR], said[DID]};
    /* a row with `returned` has a remedy for mails that are still tried; any other one's is for what is over */
    bool is_rules = rows[0] && rows[0]->text[lang][REMEDY].len;
    const struct blob_words *row = is_rules ? rows[0] : rows[1];
    bool has_returned = row && row->text[lang][RETURNED].len;
    if (standing == STANDING_RETURNED && has_returned)
        words.remedy = blob_slice(blob, row->text[lang][RETURNED]);
    bool is_pace = verdict->action == ACTION_RETRY_LATER || verdict->action == ACTION_SLOW_DOWN;
    bool is_theirs = verdict->whose == WHOSE_RECEIVER && (is_pace || verdict->action == ACTION_SUPPRESS_AFTER_N);
    const struct blob_words *retrying = row_of(blob, SLICE("//retrying")),
                            *underway = row_of(blob, SLICE("//underway"));
    if (standing == STANDING_RETRYING && is_theirs && !has_returned && retrying)
        words.remedy = blob_slice(blob, retrying->text[lang][REMEDY]);
    if (standing == STANDING_UNDERWAY && is_pace && underway) {
        words.remedy = blob_slice(blob, underway->text[lang][REMEDY]);
        if (verdict->reason == REASON_EXPIRED) { /* its own words say that time has run out */
            words.label = blob_slice(blob, underway->text[lang][LABEL]);
            words.cause = blob_slice(blob, underway->text[lang][CAUSE]);
            words.operator= blob_slice(blob, underway->text[lang][OPERATOR]);
        }
    }
    return words;
}

struct explanation words_for(const struct rules *rules, const struct verdict *verdict, enum lang lang)
{
    return words_standing(rules, verdict, STANDING_OPEN, lang);
}

enum standing standing_of_mail(enum kind kind)
{
    return kind == KIND_DELAY ? STANDING_UNDERWAY : STANDING_RETURNED;
}

enum standing standing_of_mails(int64_t n, int64_t retrying)
{
    return retrying == 0 ? STANDING_RETURNED : retrying < n ? STANDING_OPEN : STANDING_RETRYING;
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
