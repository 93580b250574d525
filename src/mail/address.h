/* address.h - an email address: as written, and as identity (RFC 5321 4.1.2, RFC 6531, UTS 46)
 *
 * The domain is kept as a lower-case A-label without a trailing dot; the local part is kept as written for sending and
 * lower-cased (ASCII) for identity only. Normalisation is versioned (ADDRESS_NORMAL_VERSION): buckets and unique keys
 * depend on it, so it never changes silently. */
#ifndef TODOKE_MAIL_ADDRESS_H
#define TODOKE_MAIL_ADDRESS_H

#include "base/arena.h"
#include "base/fault.h"

enum {
    ADDRESS_NORMAL_VERSION = 1,
    ADDRESS_LOCAL_MAX = 64,   /* octets (RFC 5321 4.5.3.1.1) */
    ADDRESS_DOMAIN_MAX = 255, /* octets as A-label */
    ADDRESS_MAX = 254,        /* octets of local@domain: a path is 256 with its brackets */
    BUCKETS = 256,
};

struct address {
    struct slice local;     /* as written, quotes removed */
    struct slice domain;    /* A-label, lower-case */
    struct slice written;   /* local@domain for RCPT TO, local part quoted where the RFC wants it */
    struct slice identity;  /* lower-cased local@domain: what "the same address" means */
    bool has_rfc_violation; /* a dot where none may be (docomo, ezweb of old): kept, flagged, sent quoted (D17, U27) */
    bool needs_smtputf8;    /* the local part is not ASCII */
};

/* Parse one bare address ("a@b", no display name, no brackets), copying into the arena. INPUT: what is wrong with it,
 * in words. */
NODISCARD bool address_parse(struct slice text, struct arena *arena, struct address *address, struct fault *why);

/* The same, for somebody who is put on a list: a dot where none may be, not in quotes, is a slip of the pen, and INPUT,
 * except at the carriers that really gave out such addresses (docomo.ne.jp, ezweb.ne.jp, au.com and below; D17). */
NODISCARD bool address_of_person(struct slice text, struct arena *arena, struct address *address, struct fault *why);

/* The address inside "Name <a@b>", "<a@b>", "a@b (comment)" or "a@b": a slice of text, unparsed; empty when there is
 * none. */
struct slice address_find(struct slice text);

/* A domain as lower-case A-label in the arena. INPUT: not a domain name. */
NODISCARD bool domain_normalise(struct slice text, struct arena *arena, struct slice *domain, struct fault *why);

/* Where the rows of this identity live, 0..BUCKETS-1. */
unsigned address_bucket(struct slice identity);

#endif
