#include "mailauth/lookup_dns.h"

enum dns_type question_dns_type(const struct question *question)
{
    switch (question->type) {
    case QUESTION_A: return DNS_A;
    case QUESTION_AAAA: return DNS_AAAA;
    case QUESTION_MX: return DNS_MX;
    case QUESTION_PTR: return DNS_PTR;
    case QUESTION_TXT: break;
    }
    return DNS_TXT;
}

static enum answer_state state_of(enum dns_status status)
{
    switch (status) {
    case DNS_FOUND: return ANSWER_FOUND;
    case DNS_NO_NAME: return ANSWER_NO_NAME;
    case DNS_NO_DATA: return ANSWER_NO_RECORD;
    case DNS_TRY_LATER:
    case DNS_BOGUS: break;
    }
    return ANSWER_TRY_LATER;
}

static struct slice record_of(enum question_type type, const struct dns_record *record)
{
    switch (type) {
    case QUESTION_A:
    case QUESTION_AAAA: return slice_of(record->ip.bytes, record->ip.family == 4 ? 4 : 16);
    case QUESTION_MX:
    case QUESTION_PTR: return record->name;
    case QUESTION_TXT: break;
    }
    return record->text;
}

void lookup_answer_dns(struct lookup *lookup, struct question *question, const struct dns_answer *answer)
{
    struct slice *records = ARENA_ARRAY(lookup->arena, struct slice, answer->count + 1);
    for (size_t i = 0; i < answer->count; i++)
        records[i] = record_of(question->type, &answer->records[i]);
    lookup_answer(lookup, question, state_of(answer->status), records, answer->count);
}
