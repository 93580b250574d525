/* auth.c - DKIM, SPF and DMARC of one mail, really checked: run, ask what is open, run again, until all three are done
 */
#include "app/playground/inside.h"

#include "base/memory.h"
#include "mailauth/dkim_verify.h"
#include "mailauth/dmarc.h"
#include "mailauth/spf.h"
#include "mime/read.h"

enum { QUESTIONS_MOST = 64 }; /* of one mail; the checks' own limits are below it */

struct asked {
    struct auth_check *check;
    struct question *question;
    struct dns_query *query; /* NULL: answered */
};

struct auth_check {
    struct playground *playground;
    void (*on_answer)(void *owner, const struct auth_answer *answer);
    void *owner;
    struct arena arena;
    struct lookup lookup;
    struct deferred run;
    struct asked asked[QUESTIONS_MOST];
    size_t asked_count, open_count;
    struct spf_input spf_input;
    struct spf_outcome spf;
    struct dkim_claims claims;
    struct dkim_outcome dkim[DKIM_CLAIMS_MAX];
    struct slice author_domain;
};

static void answer_and_free(struct auth_check *check, const struct dmarc_outcome *dmarc)
{
    struct auth_answer answer = {
        .spf = spf_result_word(check->spf.result).ptr,
        .dkim = dkim_result_word(dkim_best(check->dkim, check->claims.count)).ptr,
        .dmarc = dmarc_result_word(dmarc->result).ptr,
        .spf_passes = check->spf.result == SPF_PASS,
        .is_spf_exact = check->spf.result == SPF_PASS && slice_equal_caseless(check->spf.domain, check->author_domain),
        .dmarc_passes = dmarc->result == DMARC_PASS,
        .dmarc_refuses = dmarc->result == DMARC_FAIL && dmarc->policy == DMARC_POLICY_REJECT,
    };
    for (size_t i = 0; i < check->claims.count; i++) {
        if (check->dkim[i].result != DKIM_PASS)
            continue;
        answer.dkim_passes = true;
        if (slice_equal_caseless(slice_str(check->claims.claim[i].domain), check->author_domain))
            answer.is_dkim_exact = true;
    }
    snprintf(answer.author_domain, sizeof(answer.author_domain), "%.*s", SLICE_ARG(check->author_domain));
    struct playground_tally *tally = &check->playground->tally;
    tally_add(&tally->auth_checked);
    if (answer.dkim_passes)
        tally_add(&tally->dkim_pass);
    if (answer.spf_passes)
        tally_add(&tally->spf_pass);
    if (answer.dmarc_passes)
        tally_add(&tally->dmarc_pass);
    check->on_answer(check->owner, &answer);
    arena_release(&check->arena);
    free(check);
}

static void on_dns(void *owner, const struct dns_answer *found)
{
    static const enum answer_state states[] = {
        [DNS_FOUND] = ANSWER_FOUND,         [DNS_NO_NAME] = ANSWER_NO_NAME, [DNS_NO_DATA] = ANSWER_NO_RECORD,
        [DNS_TRY_LATER] = ANSWER_TRY_LATER, [DNS_BOGUS] = ANSWER_TRY_LATER,
    };
    struct asked *asked = owner;
    struct auth_check *check = asked->check;
    struct slice *records = ARENA_ARRAY(&check->arena, struct slice, found->count + 1);
    for (size_t i = 0; i < found->count; i++) {
        const struct dns_record *record = &found->records[i];
        switch (asked->question->type) {
        case QUESTION_A: records[i] = slice_of(record->ip.bytes, 4); break;
        case QUESTION_AAAA: records[i] = slice_of(record->ip.bytes, 16); break;
        case QUESTION_TXT: records[i] = record->text; break;
        case QUESTION_MX:
        case QUESTION_PTR: records[i] = record->name; break;
        }
    }
    asked->query = NULL;
    lookup_answer(&check->lookup, asked->question, states[found->status], records, found->count);
    if (--check->open_count == 0)
        deferred_ask(&check->run);
}

static void ask_open_questions(struct auth_check *check)
{
    static const enum dns_type types[] = {
        [QUESTION_A] = DNS_A,     [QUESTION_AAAA] = DNS_AAAA, [QUESTION_MX] = DNS_MX,
        [QUESTION_TXT] = DNS_TXT, [QUESTION_PTR] = DNS_PTR,
    };
    /* lookup_next gives the first open question again and again: so the list is walked here */
    for (struct question *question = check->lookup.first; question; question = question->next) {
        if (question->state != ANSWER_OPEN)
            continue;
        if (check->asked_count == QUESTIONS_MOST) {
            lookup_answer(&check->lookup, question, ANSWER_TRY_LATER, NULL, 0);
            continue;
        }
        struct asked *asked = &check->asked[check->asked_count++];
        check->open_count++;
        *asked = (struct asked){check, question, NULL};
        asked->query = dns_ask(check->playground->dns, question->name, types[question->type], on_dns, asked);
    }
    if (check->open_count == 0)
        deferred_ask(&check->run);
}

static void run(struct deferred *deferred)
{
    struct auth_check *check = deferred->owner;
    bool has_spf = spf_check(&check->lookup, &check->spf_input, &check->spf);
    bool has_dkim = dkim_verify(&check->lookup, &check->claims, check->dkim);
    if (!has_spf || !has_dkim) {
        ask_open_questions(check);
        return;
    }
    struct slice dkim_domains[DKIM_CLAIMS_MAX];
    struct dmarc_input input = {
        .from_domain = check->author_domain,
        .spf_domains = &check->spf.domain,
        .spf_count = check->spf.result == SPF_PASS,
        .dkim_domains = dkim_domains,
    };
    for (size_t i = 0; i < check->claims.count; i++)
        if (check->dkim[i].result == DKIM_PASS)
            dkim_domains[input.dkim_count++] = slice_str(check->claims.claim[i].domain);
    struct dmarc_outcome dmarc = {.result = DMARC_NONE};
    if (!slice_is_empty(check->author_domain) && !dmarc_check(&check->lookup, &input, &dmarc)) {
        ask_open_questions(check);
        return;
    }
    answer_and_free(check, &dmarc);
}

struct auth_check *auth_start(struct playground *playground, const struct auth_input *input,
                              void (*on_answer)(void *owner, const struct auth_answer *answer), void *owner)
{
    struct auth_check *check = NEW(struct auth_check);
    time_ms now = world_wall(playground->world) / 1000;
    check->playground = playground;
    check->on_answer = on_answer;
    check->owner = owner;
    check->lookup.arena = &check->arena;
    check->spf_input = (struct spf_input){
        .ip = arena_copy(&check->arena, slice_of(input->peer.bytes, input->peer.family == 6 ? 16 : 4)),
        .mail_from = input->mail_from,
        .helo = input->helo,
        .now_seconds = now,
    };
    dkim_claims_read(input->mail, now, &check->claims);

    struct mime_mail read;
    struct slice author;
    mime_read_head(input->mail, &check->arena, &read);
    if (mime_addresses(mime_header(&read, 0, SLICE("From")), &author, 1) == 1) {
        ptrdiff_t at = slice_find_last_byte(author, '@');
        check->author_domain = at < 0 ? SLICE("") : slice_from(author, (size_t)at + 1);
    }
    deferred_init(&check->run, playground->loop, run, check);
    deferred_ask(&check->run);
    return check;
}

void auth_cancel(struct auth_check *check)
{
    if (!check)
        return;
    deferred_clear(&check->run);
    for (size_t i = 0; i < check->asked_count; i++)
        if (check->asked[i].query)
            dns_cancel(check->asked[i].query);
    arena_release(&check->arena);
    free(check);
}
