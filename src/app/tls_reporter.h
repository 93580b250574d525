/* tls_reporter.h - sends a day's TLS-RPT reports to the domains that ask for them (RFC 8460, report/tls_report.h)
 *
 * A thread of its own, since it waits for DNS and for strangers' web servers. With several nodes the one that owns
 * bucket 0 does it. A mail is submitted in the transaction that says it was sent; a POST whose success is not written
 * down is made again. */
#ifndef TODOKE_APP_TLS_REPORTER_H
#define TODOKE_APP_TLS_REPORTER_H

#include "net/tls.h"
#include "net/world.h"
#include "submit/submit.h"

struct tls_reporter_options {
    struct store *store;
    struct world *world; /* with its resolver */
    const struct tls_roots *roots;
    unsigned node;
    struct slice
        from;     /* an address at a brand's domain: reports are sent as it, signed by its key; "": none are sent */
    double scale; /* of hours */
    /* After the commit, on this thread. */
    void (*submitted)(void *owner, const struct submit_news *news, size_t count);
    void *owner;
};
struct tls_reporter;
/* NULL when `from` is empty. WORLD: the store cannot be read. */
NODISCARD bool tls_reporter_start(const struct tls_reporter_options *options, struct tls_reporter **reporter,
                                  struct fault *why);
/* Before the engine, the resolver and the store. NULL is fine. */
void tls_reporter_stop(struct tls_reporter *reporter);

#endif
