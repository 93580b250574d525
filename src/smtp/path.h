/* path.h - the path of MAIL FROM and RCPT TO (RFC 5321 4.1.2, RFC 6531), as slices into the command line
 *
 * Knows syntax and limits only (local part 64, domain 255, path 256 octets: M4); whether the address exists or may be
 * written to is somebody else's question. */
#ifndef TODOKE_SMTP_PATH_H
#define TODOKE_SMTP_PATH_H

#include "base/slice.h"

struct smtp_path {
    struct slice address; /* local@domain as written; empty for <> */
    struct slice local;   /* as written, with its quotes */
    struct slice domain;  /* as written; empty for <> and <postmaster>; with brackets when a literal */
    bool is_quoted;       /* the local part is a quoted string */
    bool is_literal;      /* the domain is an address literal */
    bool has_route;       /* a source route stood in front; it is ignored, as 5321 4.1.1.3 wants */
    bool is_utf8;         /* octets above 127 in it: only with SMTPUTF8 */
};

enum smtp_path_rule {
    SMTP_PATH_LENIENT_DOTS = 1, /* a..b@, a.@, .a@ pass (R12); without it: refused unless quoted */
    SMTP_PATH_NO_ROUTE = 2,     /* a source route is an error */
    SMTP_PATH_NO_BRACKETS = 4,  /* a@b without <> passes */
};

enum smtp_path_fault {
    SMTP_PATH_OK,
    SMTP_PATH_SYNTAX,      /* 501 5.1.3 (RCPT) or 5.1.7 (MAIL) */
    SMTP_PATH_LOCAL_LONG,  /* 553 */
    SMTP_PATH_DOMAIN_LONG, /* 553 */
    SMTP_PATH_ROUTE,       /* 553 */
};

/* Read a path at the front of *text and cut it off; what follows must be a space or the end. */
enum smtp_path_fault smtp_path_read(struct slice *text, unsigned rules, struct smtp_path *path);

#endif
