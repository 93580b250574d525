/* packet.h - a DNS response as it came over the wire, read into an answer (RFC 1035 4.1)
 *
 * Strangers' bytes: linear, bounded, compression pointers only backwards (X18). Follows CNAMEs within the packet. */
#ifndef TODOKE_DNS_PACKET_H
#define TODOKE_DNS_PACKET_H

#include "dns/resolver.h"

/* The answer to (name, type); DNS_TRY_LATER with `why` when the packet makes no sense. is_secure is left alone. */
void dns_packet_read(struct slice packet, const char *name, enum dns_type type, struct arena *arena,
                     struct dns_answer *answer);

#endif
