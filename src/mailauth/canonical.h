/* canonical.h - header fields and bodies as DKIM hashes them (RFC 6376 3.4)
 *
 * Line ends: CRLF; a bare LF or CR is taken for one, so that mail from a file verifies. Linear. */
#ifndef TODOKE_MAILAUTH_CANONICAL_H
#define TODOKE_MAILAUTH_CANONICAL_H

#include "base/buf.h"
#include <openssl/evp.h>

/* One header field with its folded lines, without its last line end; name and value are looks into it. */
struct field {
    struct slice whole, name, value;
};
enum { FIELDS_MAX = 1000 };
struct fields {
    struct field *field;
    size_t count;
    struct slice body;
};

/* Split a mail into its header fields (at most FIELDS_MAX; the rest is left out) and its body. A line that is no field
 * ends the header, as receivers do it. `field` is malloc'ed: release it. */
void fields_split(struct slice mail, struct fields *fields);
void fields_release(struct fields *fields);

/* "name:value" with the name lower-cased, white space runs as one space, none at the ends; no line end. */
void field_relaxed(struct buf *out, struct field field);
/* As it stands, line ends as CRLF; no last line end. */
void field_simple(struct buf *out, struct field field);

/* Feed the canonical body to a digest; at most `limit` octets of it. Gives how many octets the canonical body has. */
uint64_t body_digest(EVP_MD_CTX *digest, struct slice body, bool is_relaxed, uint64_t limit);

#endif
