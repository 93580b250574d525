/* Strangers' mail and strangers' DNS records through DKIM, SPF and DMARC: no crash, bounded questions */
#include "mailauth/dkim_verify.h"
#include "mailauth/dmarc.h"
#include "mailauth/spf.h"
#include <assert.h>

/* Every question gets the same bytes: as a text, as names, as addresses. */
static void answer_all(struct lookup *lookup, struct slice bytes)
{
    struct slice host = slice_head(bytes, 200);
    for (struct question *question; (question = lookup_next(lookup));) {
        const struct slice record = question->type == QUESTION_A      ? SLICE("\x7f\0\0\1")
                                    : question->type == QUESTION_AAAA ? SLICE("0123456789abcdef")
                                    : question->type == QUESTION_TXT  ? bytes
                                                                      : host;
        lookup_answer(lookup, question, bytes.len % 7 ? ANSWER_FOUND : ANSWER_TRY_LATER, &record, 1);
    }
    assert(lookup->count < 400);
}

static void fuzz_dkim(struct slice bytes)
{
    struct dkim_claims claims;
    struct dkim_outcome outcomes[DKIM_CLAIMS_MAX];
    struct arena arena = {0};
    struct lookup lookup = {.arena = &arena};
    dkim_claims_read(bytes, 1, &claims);
    for (size_t i = 0; i < claims.count; i++)
        claims.claim[i].settled = DKIM_NONE;
    for (size_t i = 0; i < claims.count; i++) /* the second step takes claims from the jail: only names must be sound */
        if (!claims.claim[i].selector[0] || !claims.claim[i].domain[0])
            claims.claim[i].settled = DKIM_PERMERROR;
    while (!dkim_verify(&lookup, &claims, outcomes))
        answer_all(&lookup, bytes);
    arena_release(&arena);
}

static void fuzz_spf(struct slice bytes)
{
    struct spf_outcome outcome;
    struct arena arena = {0};
    struct lookup lookup = {.arena = &arena};
    const struct spf_input input = {.ip = bytes.len & 1 ? SLICE("\xc0\0\2\1") : SLICE("0123456789abcdef"),
                                    .mail_from = bytes.len & 2 ? SLICE("a.b@example.com") : bytes,
                                    .helo = bytes};
    while (!spf_check(&lookup, &input, &outcome))
        answer_all(&lookup, bytes);
    arena_release(&arena);
}

static void fuzz_dmarc(struct slice bytes)
{
    struct dmarc_outcome outcome;
    struct arena arena = {0};
    struct lookup lookup = {.arena = &arena};
    const struct slice domain = bytes;
    const struct dmarc_input input = {bytes.len & 1 ? SLICE("a.b.example.com") : bytes, &domain, 1, &domain, 1};
    while (!dmarc_check(&lookup, &input, &outcome))
        answer_all(&lookup, bytes);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_from(slice_of(data, size), 1);
    if (!size)
        return 0;
    switch (data[0] % 3) {
    case 0: fuzz_dkim(bytes); break;
    case 1: fuzz_spf(bytes); break;
    default: fuzz_dmarc(bytes);
    }
    return 0;
}
