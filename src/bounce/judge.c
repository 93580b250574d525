/* judge.c - what a row means
 *
 * From the evidence nearest to the refusal to the farthest: the diagnostic, the words that the text gives to this
 * recipient, the whole text, the subject. The first that a rule knows decides; where none does, status and code do. */
#include "bounce/read_private.h"
#include "bounce/said.h"

enum weight { WEIGHT_NONE, WEIGHT_CODE, WEIGHT_STATUS, WEIGHT_RULE };

static enum weight weight_of(const struct verdict *verdict)
{
    if (verdict->reason == REASON_UNDEFINED)
        return WEIGHT_NONE;
    if (slice_equal(verdict->rule, SLICE("fallback.code")))
        return WEIGHT_CODE;
    if (slice_equal(verdict->rule, SLICE("fallback.status")))
        return WEIGHT_STATUS;
    return WEIGHT_RULE;
}

struct judging {
    struct reading *r;
    struct bounce_row *row;
    struct refusal refusal;
    enum weight best;
};

/* One piece of evidence; kept when it says more than what came before. */
static void judge_text(struct judging *j, struct slice text)
{
    struct verdict verdict;
    j->refusal.text = text;
    rules_judge(j->r->rules, j->r->scratch, &j->refusal, &verdict);
    enum weight weight = weight_of(&verdict);
    if (weight <= j->best && j->row->verdict.rule.ptr)
        return;
    j->best = weight;
    j->row->verdict = verdict;
    j->row->mark = verdict.mark_to > verdict.mark_from
                       ? slice_of(text.ptr + verdict.mark_from, verdict.mark_to - verdict.mark_from)
                       : SLICE("");
}

/* "No such user", said as if the person's own filter might be meant (general.unknown-or-filtered): what the reporting
 * host adds behind its Status field may tell which. */
static void judge_comment(struct judging *j, struct slice comment)
{
    if (!comment.len || !slice_equal(j->row->verdict.rule, SLICE("general.unknown-or-filtered")))
        return;
    j->best = WEIGHT_STATUS;
    judge_text(j, comment);
    j->best = WEIGHT_RULE;
}

struct slice diagnostic_read(struct reading *r, struct bounce_row *row, const uint16_t status[3])
{
    struct said said;
    said_parse(row->diagnostic, r->arena, &said);
    struct slice text = said.text;
    ptrdiff_t dots =
        slice_find(text, SLICE("... ")); /* "554 <a@b>... 550 Host unknown": the inner one is what was said */
    ptrdiff_t at = said.code < 400 ? said_find(text) : SLICE_NPOS;
    struct said inner = {0};
    if (at >= 0) /* "host mx said: 550 5.1.1 ...", "220-greeting 421 4.2.1 ..." */
        said_parse(slice_from(text, (size_t)at), r->arena, &inner);
    else if (said.code == 554 && dots > 0)
        said_parse(slice_from(text, (size_t)dots + 4), r->arena, &inner);
    const char *open =
        said.code >= 400 && text.len && text.ptr[text.len - 1] == '>' ? memrchr(text.ptr, '<', text.len) : NULL;
    if (open) {
        struct said last;
        said_parse(slice_of(open + 1, (size_t)(text.ptr + text.len - open - 2)), r->arena, &last);
        if (last.code >= 400 && last.status[0]) {
            said.code = last.code;
            memcpy(said.status, last.status, sizeof(said.status));
        }
    }
    if (inner.code >= 400 && (at >= 0 || inner.text.len)) {
        said.code = inner.code;
        if (inner.status[0])
            memcpy(said.status, inner.status, sizeof(said.status));
        text = inner.text.len > 3 ? inner.text : text;
    }
    row->code = said.code;
    if (!said.status[0] && (!status[0] || (status[1] == 0 && status[2] == 0)) && !said_find_status(text, said.status))
        memset(said.status, 0, sizeof(said.status));
    bool is_vague = !said.status[0] || (status[0] && said.status[1] == 0 && said.status[2] == 0);
    memcpy(row->status, is_vague ? status : said.status, sizeof(row->status));
    return text;
}

void row_judge(struct reading *r, struct bounce_row *row, struct slice text, const struct evidence *evidence)
{
    struct judging j = {.r = r, .row = row};
    if (row->kind == KIND_DELIVERED) {
        rules_verdict_of_reason(r->rules, REASON_DELIVERED, false, &row->verdict);
        return;
    }
    j.refusal = (struct refusal){.is_final = row->kind == KIND_BOUNCE,
                                 .stage = row->stage,
                                 .code = row->code,
                                 .receiver = domain_of(row->recipient),
                                 .remote_mta = row->remote_mta,
                                 .reporting_mta = row->reporting_mta};
    memcpy(j.refusal.status, row->status, sizeof(row->status));
    if (evidence->is_own && !row->code && !row->status[0] && !row->stage)
        j.refusal.stage =
            STAGE_RCPT; /* its own list of users, no filter behind another's gate, is what it looked into */
    judge_text(&j, text);
    if (j.best < WEIGHT_RULE && !slice_equal(text, row->diagnostic))
        judge_text(&j, row->diagnostic);
    judge_comment(&j, evidence->comment);
    if (j.best < WEIGHT_RULE && evidence->session.len) {
        struct said said;
        said_parse(evidence->session, r->arena, &said);
        struct judging before = j;
        j.refusal.code = said.code;
        memcpy(j.refusal.status, said.status, sizeof(said.status));
        judge_text(&j, said.text);
        if (j.best > before.best) { /* it knows more than what was said of the recipient */
            row->diagnostic = evidence->session;
            row->code = said.code;
            if (said.status[0])
                memcpy(row->status, said.status, sizeof(row->status));
        }
        j.refusal.code = row->code;
        memcpy(j.refusal.status, row->status, sizeof(row->status));
    }
    if (j.best < WEIGHT_RULE && evidence->chunk.len)
        judge_text(&j, evidence->chunk);
    /* what is said of nobody in particular; of a crowd it says nothing, and reading it for each would take long */
    bool may_look = j.best < WEIGHT_STATUS && r->look_count < CROWD;
    r->look_count += may_look;
    if (may_look && evidence->whole.len)
        judge_text(&j, evidence->whole);
    if (may_look && j.best < WEIGHT_STATUS && r->survey.subject.len && !r->survey.is_answer)
        judge_text(&j, r->survey.subject);
    if (row->kind == KIND_DELAY)
        row->verdict.is_permanent = false;
}
