/* words.h - a verdict in words for people, Japanese and English (data/words/{ja,en}.yaml, embedded in the binary) */
#ifndef TODOKE_BOUNCE_WORDS_H
#define TODOKE_BOUNCE_WORDS_H

#include "bounce/rules.h"

enum lang { LANG_JA, LANG_EN, LANG_COUNT };

/* Empty where there is nothing to say. The slices live as long as the rules. */
struct explanation {
    struct slice label;    /* a few words: 宛先不明, "Unknown user" */
    struct slice cause;    /* what happened */
    struct slice remedy;   /* what to do with this person or this mail */
    struct slice operator; /* what to change where, for who runs the server */
    struct slice did;      /* what Todoke did by itself */
};

struct explanation words_for(const struct rules *rules, const struct verdict *verdict, enum lang lang);

/* What is still to come decides what a remedy may promise. */
enum standing {
    STANDING_OPEN,     /* a reply, whatever follows from it; or mails of which some are over and some are not */
    STANDING_RETRYING, /* put off by us: it will be tried again, and nobody need do anything for that */
    STANDING_RETURNED, /* over, refused or given up: nobody tries it again by himself */
    STANDING_UNDERWAY, /* a notice of delay: a server on the way still tries, and an outcome will come */
};
struct explanation words_standing(const struct rules *rules, const struct verdict *verdict, enum standing standing,
                                  enum lang lang);
/* Of a row that was read from a mail. */
enum standing standing_of_mail(enum kind kind);
/* Of n mails of which so many will be tried again. */
enum standing standing_of_mails(int64_t n, int64_t retrying);

#endif
