/* lookup.h - what SPF, DKIM and DMARC ask of the DNS, without touching a network
 *
 * A check is a pure function of its input and of the answers known so far. When it needs an answer that is not there,
 * it notes the question and gives up for now (false); the caller gets the answer from wherever answers come from, puts
 * it in, and runs the check again, until it says true:
 *
 *     struct lookup lookup = {.arena = &arena};
 *     while (!spf_check(&lookup, &input, &result))
 *         while ((question = lookup_next(&lookup)))
 *             lookup_answer(&lookup, question, ...);        - every noted question must get an answer, even "try later"
 *
 * Bounded: the checks themselves limit how many questions they ask (SPF 10 terms, DMARC 8 steps, DKIM 8 signatures). */
#ifndef TODOKE_MAILAUTH_LOOKUP_H
#define TODOKE_MAILAUTH_LOOKUP_H

#include "base/arena.h"

enum question_type { QUESTION_A, QUESTION_AAAA, QUESTION_MX, QUESTION_TXT, QUESTION_PTR };
enum answer_state {
    ANSWER_OPEN,      /* not answered yet */
    ANSWER_FOUND,     /* records */
    ANSWER_NO_NAME,   /* NXDOMAIN */
    ANSWER_NO_RECORD, /* the name exists, such a record does not */
    ANSWER_TRY_LATER, /* time-out, SERVFAIL, bogus */
};

struct question {
    enum question_type type;
    struct slice name; /* lower-case, no trailing dot; PTR: the full in-addr.arpa or ip6.arpa name */
    enum answer_state state;
    /* A: 4 octets each; AAAA: 16 octets each; MX: host names, most preferred first (a null MX is one empty name); TXT:
     * one text for each record, its pieces joined; PTR: names. */
    struct slice *records;
    size_t count;
    struct question *next;
};

struct lookup {
    struct arena *arena; /* the caller's; holds questions and answers */
    struct question *first;
    size_t count;
};

/* For checks: the answered question, or NULL after noting it as open. */
const struct question *lookup_ask(struct lookup *lookup, enum question_type type, struct slice name);

/* For callers: the next open question, NULL when none is open. */
struct question *lookup_next(struct lookup *lookup);
/* Answer it; records are copied. FOUND with no records counts as NO_RECORD. */
void lookup_answer(struct lookup *lookup, struct question *question, enum answer_state state,
                   const struct slice *records, size_t count);

#endif
