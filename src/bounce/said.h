/* said.h - take what a server said apart, as it is quoted in error mail: code, status, and the words
 *
 * "smtp; 550-5.1.1 The account 550 5.1.1 does not exist" -> 550, 5.1.1, "The account does not exist". Unlike
 * mail/reply.h, which reads the lines of a live reply, this reads one line in which everything was joined. */
#ifndef TODOKE_BOUNCE_SAID_H
#define TODOKE_BOUNCE_SAID_H

#include "base/arena.h"
#include "base/slice.h"

struct said {
    int code;           /* 0: none */
    uint16_t status[3]; /* 0.0.0: none */
    struct slice text;  /* a slice of the diagnostic where nothing had to be taken out of its middle */
};

/* Code and status are looked for at the front (after "smtp;"), and a status also as "(#5.1.1)" anywhere. Linear. */
void said_parse(struct slice diagnostic, struct arena *arena, struct said *said);

/* The first place in a longer text where a reply begins: "host mx said: >550 5.1.1 ...", "<<< >550 ...". A code counts
 * where a status or words follow it and it is no part of a number or a name. SLICE_NPOS when there is none. */
ptrdiff_t said_find(struct slice text);

/* A status ("5.1.1") anywhere in the text, standing alone: not part of an IP address or a version. */
bool said_find_status(struct slice text, uint16_t status[3]);

#endif
