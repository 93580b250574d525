/* zone.h - DNS answers from data: CLI.md's `dns` option, tests, the playground
 *
 * JSON: {"example.com": {"TXT": ["v=spf1 -all"], "MX": [[10,"mx.example.com"]], "A": [...], "AAAA": [...],
 * "PTR": [...], "CNAME": "...", "TLSA": [[3,1,1,"hex"]], "error": "timeout|servfail|bogus", "secure": true,
 * "ttl": 300}}. Case-insensitive. A TXT value may be a list of strings (the pieces of one record). [0,"."] or [0,""]
 * is a null MX. A name that is absent does not exist. "*.example.com" answers for the names below example.com that are
 * absent (RFC 4592). A single value may stand without its list. Types that we never ask for, and names that nobody can
 * ask for ("a..b"), are passed over. Where a name has records and an error, the error answers for the other types.
 * Immutable once made. */
#ifndef TODOKE_DNS_ZONE_H
#define TODOKE_DNS_ZONE_H

#include "dns/resolver.h"

/* INPUT: name, type and what is wrong. */
struct resolver *zone_resolver_of_json(struct slice json, struct fault *why);
/* An object that jansson has read already (json_t *); not kept. */
struct json_t;
struct resolver *zone_resolver_of_object(const struct json_t *object, struct fault *why);

#endif
