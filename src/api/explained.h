/* explained.h - what one answer means for one recipient: the `explanation` and `error` objects of the contract */
#ifndef TODOKE_API_EXPLAINED_H
#define TODOKE_API_EXPLAINED_H

#include "api/answer.h"
#include "bounce/read.h"
#include "bounce/words.h"
#include "event/event.h"
#include "mail/event.h"
#include <stddef.h>

struct explained {
    enum kind kind;
    bool is_mail; /* came as a mail, not in the conversation */
    enum authenticity authenticity;
    struct slice recipient, diagnostic, remote_mta;
    int code;
    uint16_t status[3];
    enum stage stage;
    struct verdict verdict; /* marks are bytes of diagnostic */
    enum standing standing;
    struct text did;
};

struct explained explained_of_event(const struct rules *rules, const struct event *event);
/* Of a mail that was pasted: nothing was done. row NULL: it is no error mail. */
struct explained explained_of_row(const struct bounce *bounce, const struct bounce_row *row);

/* The words that decided: sets the verdict's marks to where they stand in the diagnostic. */
void explained_mark(struct explained *explained, struct slice words);

/* The members of an explanation, into an object that is open. */
void explained_write(struct json *json, const struct rules *rules, const struct explained *explained);

/* The words of a reason when no rule says otherwise. */
struct verdict verdict_of_reason(const struct rules *rules, enum reason reason);
struct text reason_label(const struct rules *rules, enum reason reason);
/* One of the members of struct explanation, in both languages. */
struct text words_both(const struct rules *rules, const struct verdict *verdict, enum standing standing,
                       size_t member_offset);
#define WORDS_BOTH(rules, verdict, member)                                                                             \
    words_both((rules), (verdict), STANDING_OPEN, offsetof(struct explanation, member))
/* What to do where `retrying` of the `n` mails of that reason are tried again. */
#define REMEDY_BOTH(rules, verdict, n, retrying)                                                                       \
    words_both((rules), (verdict), standing_of_mails((n), (retrying)), offsetof(struct explanation, remedy))

/* One line of a delivery's timeline. */
struct text timeline_text(const struct rules *rules, const struct event *event, struct arena *arena);
/* "timeline": [...], with a line for each event of the page. */
void timeline_put(struct json *json, const struct rules *rules, const struct event_page *page, struct arena *arena);

#endif
