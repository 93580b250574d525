#include "bounce/check.h"

#include "base/buf.h"

#include "bounce/rules_private.h"
#include "bounce/said.h"
#include "bounce/words.h"

struct check {
    const struct rules *rules;
    struct rules_check result;
    void (*tell)(void *context, struct slice sentence);
    void *context;
    struct arena arena;
};

static void fail(struct check *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void fail(struct check *c, const char *format, ...)
{
    SCOPED(buf) text = BUF(4096);
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    c->result.failures++;
    if (c->tell)
        c->tell(c->context, buf_slice(&text));
}

static void example_check(struct check *c, const struct blob *blob, struct rules_scratch *scratch,
                          const struct blob_example *example)
{
    const struct blob_rule *rule = &BLOB_AT(blob, struct blob_rule, blob->rules)[example->rule];
    struct said said;
    struct slice line = blob_slice(blob, example->line);
    said_parse(line, &c->arena, &said);
    struct refusal refusal = {.code = said.code, .text = said.text};
    memcpy(refusal.status, said.status, sizeof(refusal.status));
    for (int stage = STAGE_COUNT - 1; stage > 0; stage--)
        if (rule->stages & 1u << stage)
            refusal.stage = (enum stage)stage;
    struct verdict verdict;
    rules_judge_as(c->rules, blob, scratch, &refusal, rule->provider, &verdict);
    struct slice id = blob_slice(blob, rule->id);
    bool is_met = slice_equal(verdict.rule, id);
    c->result.lines++;
    if (!example->is_not && !is_met)
        fail(c, "%.*s: its example meets \"%.*s\": %.*s", SLICE_ARG(id), SLICE_ARG(verdict.rule), SLICE_ARG(line));
    if (example->is_not && is_met)
        fail(c, "%.*s: meets its `not` line: %.*s", SLICE_ARG(id), SLICE_ARG(line));
}

static void words_check(struct check *c, const struct verdict *verdict, struct slice name)
{
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        struct explanation words = words_for(c->rules, verdict, (enum lang)lang);
        if (words.label.len && words.cause.len && words.remedy.len)
            continue;
        c->result.reasons_without_words++;
        fail(c, "%.*s: no label, cause or remedy in %s", SLICE_ARG(name), lang == LANG_JA ? "ja" : "en");
    }
}

struct rules_check rules_check(const struct rules *rules, void (*tell)(void *context, struct slice sentence),
                               void *context)
{
    struct check c = {.rules = rules, .tell = tell, .context = context};
    struct rules_scratch *scratch = rules_scratch_new(rules);
    bool has_words = rules->parts[0].blob->words.count > 0;
    for (unsigned part = 0; part < rules->part_count; part++) {
        const struct blob *blob = rules->parts[part].blob;
        const struct blob_rule *all = BLOB_AT(blob, struct blob_rule, blob->rules);
        const struct blob_example *examples = BLOB_AT(blob, struct blob_example, blob->examples);
        c.result.rules += blob->rules.count;
        for (uint32_t i = 0; i < blob->examples.count; i++) {
            example_check(&c, blob, scratch, &examples[i]);
            arena_reset(&c.arena);
        }
        for (uint32_t i = 0; i < blob->rules.count; i++) {
            struct verdict verdict = {.reason = all[i].reason, .words = blob_slice(blob, all[i].words)};
            if (verdict.words.len && has_words && !words_has(rules, verdict.words))
                fail(&c, "%.*s: there are no words \"%.*s\"", SLICE_ARG(blob_slice(blob, all[i].id)),
                     SLICE_ARG(verdict.words));
        }
    }
    for (int reason = 0; has_words && reason < REASON_COUNT; reason++) {
        struct verdict verdict = {.reason = (enum reason)reason, .words = SLICE("")};
        words_check(&c, &verdict, reason_word((enum reason)reason));
    }
    rules_scratch_free(scratch);
    arena_release(&c.arena);
    return c.result;
}
