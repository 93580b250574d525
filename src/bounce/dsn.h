/* dsn.h - the fields of a delivery status (RFC 3464, 6533), in a part of their own or in the middle of a text (private)
 */
#ifndef TODOKE_BOUNCE_DSN_H
#define TODOKE_BOUNCE_DSN_H

#include "base/arena.h"
#include "base/slice.h"

struct dsn_recipient {
    struct slice final, original; /* addresses, bare; absent: empty */
    struct slice action;          /* as written */
    struct slice diagnostic;      /* one line, without its type */
    struct slice diagnostic_type; /* smtp, x-unix, X-Postfix ... */
    struct slice comment;         /* behind the status: "5.0.0 (why)" */
    struct slice remote_mta;
    uint16_t status[3];
};

struct dsn {
    struct slice reporting_mta;
    struct slice sender; /* X-Postfix-Sender */
    struct slice original_envelope_id;
    struct dsn_recipient *recipients;
    unsigned count;
    bool is_cut;
};

/* Read a delivery-status body (UTF-8). Groups are parted by blank lines; a group whose Final-Recipient comes a second
 * time without one begins anew, because programs forget the blank line. False when there is no recipient in it. */
bool dsn_read(struct slice body, struct arena *arena, struct dsn *dsn);

/* Such a field, as they begin in the middle of a free text. */
bool dsn_begins(struct slice line);

#endif
