/* request.h - inside dns: the states of a request, answers packed into one piece of memory */
#ifndef TODOKE_DNS_REQUEST_H
#define TODOKE_DNS_REQUEST_H

#include "dns/resolver.h"

/* WAITING -> ANSWERED (by the resolver, then posted home) or ABANDONED (by the client, then freed by the resolver). */
enum { REQUEST_WAITING, REQUEST_ANSWERED, REQUEST_ABANDONED };

void dns_request_free(struct dns_request *request);
size_t dns_answer_bytes(const struct dns_answer *answer);
/* memory: dns_answer_bytes(from), aligned for pointers. */
void dns_answer_pack(const struct dns_answer *from, void *memory, struct dns_answer *to);

#endif
