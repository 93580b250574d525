/* address_look.h - what can be said of an address by looking at it: could it work, is it misspelt, whose is it
 *
 * Knowledge is data (data/addresses/, YAML, carried by the binary; files of the operator's folder add to it): domains
 * where people are and slips of the pen (S22), services that give out mailboxes for minutes, local parts that are a
 * task. Nothing is asked of anybody: whether the domain has a mail server is dns/'s, whether the mailbox is there only
 * its receiver knows. Linear in the length of the text times the number of known domains, which are some hundreds. */
#ifndef TODOKE_MAIL_ADDRESS_LOOK_H
#define TODOKE_MAIL_ADDRESS_LOOK_H

#include "mail/address.h"

struct address_book;
/* folder: the operator's; NULL: none; need not be there. INPUT: "domains.yaml line 3: ...". */
NODISCARD bool address_book_open(const char *folder, struct address_book **book, struct fault *why);
void address_book_free(struct address_book *book);

struct address_look {
    struct address address; /* what could be read of it; empty where nothing could */
    bool is_valid;
    bool has_rfc_violation; /* as written: a dot where none may be; valid only where carriers gave out such (D17) */
    bool is_disposable, is_role;
    struct slice normalised; /* as written before the @, the domain as lower-case A-label; "": not valid */
    struct slice suggestion; /* the whole address as it was probably meant; "" : as it is */
    struct slice reason;     /* why it is not valid; "" : it is */
};
/* Texts in the arena. */
void address_look_at(const struct address_book *book, struct slice text, struct arena *arena,
                     struct address_look *look);

#endif
