/* rules.h - what a refusal means: rules are data, compiled at build time, embedded in the binary
 *
 * data/bounce/<provider>.yaml hold rules in order of priority. The file of the provider that speaks (by its hosts: the
 * remote MTA, the reporting MTA, the recipient's domain; or by its marks in the text) comes before general.yaml, then
 * fallback.yaml looks at status, then at code and stage, and reasons.yaml says what follows from a reason. Words that
 * are looked for: caseless; one space for any run of white space; `*` 0 to 60 characters, `#` digits, `{#}` the sign
 * itself, `{ip}`, `{addr}`, `{domain}`; `^` the beginning of the text once code and status are gone.
 *
 * `struct rules` is immutable and shared by all threads; each thread has its own scratch. Matching is linear in the
 * text, and looks at the first RULES_TEXT_MAX bytes only. Everything a verdict points to lives as long as the rules. */
#ifndef TODOKE_BOUNCE_RULES_H
#define TODOKE_BOUNCE_RULES_H

#include "base/arena.h"
#include "base/fault.h"
#include "mail/reply.h"
#include "mail/verdict.h"

enum { RULES_TEXT_MAX = 4096 };

struct rules;
struct rules_scratch;

/* The rules that the binary carries. Fault WORLD: this machine cannot run the matcher at all. */
NODISCARD bool rules_open(struct rules **rules, struct fault *why);
/* An operator's own rules: one provider file of the same shape (path is for messages). They are asked first. Before any
 * scratch is made; at most one such file. Fault INPUT names its line. */
NODISCARD bool rules_add(struct rules *rules, const char *path, struct slice yaml, struct fault *why);
void rules_free(struct rules *rules);

struct rules_scratch *rules_scratch_new(const struct rules *rules);
void rules_scratch_free(struct rules_scratch *scratch);

/* A refusal as it was said, live or in an error mail. Absent things are empty or 0. */
struct refusal {
    enum stage stage;
    int code;              /* 200..599 */
    uint16_t status[3];    /* as said with the text; when an error mail's Status differs, the one nearer to the text */
    bool is_final;         /* an error mail that says the delivery was given up: counts where there is no code */
    struct slice text;     /* the diagnostic without code and status, UTF-8 */
    struct slice receiver; /* the recipient's domain */
    struct slice remote_mta;    /* the host that said so */
    struct slice reporting_mta; /* the host that wrote the error mail */
};

/* Never fails: what no rule knows is judged by status and code, and at last REASON_UNDEFINED. mark_from and mark_to are
 * bytes of refusal->text. */
void rules_judge(const struct rules *rules, struct rules_scratch *scratch, const struct refusal *refusal,
                 struct verdict *verdict);

/* The same for the text of a live reply: fills code, status and text of the refusal from it. */
static inline struct refusal refusal_of_reply(const struct reply *reply, enum stage stage, struct slice receiver,
                                              struct slice remote_mta)
{
    struct refusal refusal = {.stage = stage, .code = reply->code, .text = reply->text};
    memcpy(refusal.status, reply->status, sizeof(refusal.status));
    refusal.receiver = receiver;
    refusal.remote_mta = remote_mta;
    return refusal;
}

/* What follows from a reason when no rule says otherwise: complaints, auto-replies, "connection refused", timeouts.
 * is_5xx matters for not_accept. */
void rules_verdict_of_reason(const struct rules *rules, enum reason reason, bool is_5xx, struct verdict *verdict);

#endif
