/* transport.h - what the settings say about reaching others: resolver, trusted roots, our own addresses
 *
 * DANE is believed only from a resolver that validates: at the start a signed name is asked (setting dns.probe).
 * Validated: DANE is on. Not signed: DANE is off, said loudly. Bogus: whoever answers us strips signatures, and a
 * validating resolver would then refuse everything, so it is started anew without validation, DANE is off, said loudly
 * (R30). */
#ifndef TODOKE_APP_TRANSPORT_H
#define TODOKE_APP_TRANSPORT_H

#include "app/config.h"
#include "dns/resolver.h"
#include "net/tls.h"

/* Sets *has_dnssec. INPUT: which setting. WORLD. */
struct resolver *transport_resolver(const struct config *config, struct world *world, bool *has_dnssec,
                                    struct fault *why);
/* The system's, and those of tls.ca_file. */
struct tls_roots *transport_roots(const struct config *config, struct fault *why);

enum { TRANSPORT_ADDRESSES_MOST = 64 };
/* This machine's addresses: the interfaces'; with network.mode loopback none. */
size_t transport_own_addresses(const struct config *config, struct ip addresses[TRANSPORT_ADDRESSES_MOST]);
/* Where we answer when somebody connects to SMTP's port, for loops (R15): mail_in.listen and submission.listen, as far
 * as they are there; 0.0.0.0 and :: as they stand. */
enum { TRANSPORT_LISTENERS_MOST = 2 };
size_t transport_listens_at(const struct config *config, uint16_t smtp_port,
                            struct ip addresses[TRANSPORT_LISTENERS_MOST]);

#endif
