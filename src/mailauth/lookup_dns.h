/* lookup_dns.h - the questions of lookup.h, asked of and answered by dns/ */
#ifndef TODOKE_MAILAUTH_LOOKUP_DNS_H
#define TODOKE_MAILAUTH_LOOKUP_DNS_H

#include "dns/resolver.h"
#include "mailauth/lookup.h"

enum dns_type question_dns_type(const struct question *question);
/* What the DNS said, bogus as "try later"; records are copied. */
void lookup_answer_dns(struct lookup *lookup, struct question *question, const struct dns_answer *answer);

#endif
