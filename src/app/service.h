/* service.h - everything that runs in one process, put together: store, engine, expansion, error mail, counters, API
 *
 *     service_open: store, keys, rules     (brands, lists and campaigns can be made now)
 *     service_run:  threads                (mail moves)
 *     service_stop: in the opposite order; conversations under way may end first
 *
 * `serve` and `demo` are this with different worlds. */
#ifndef TODOKE_APP_SERVICE_H
#define TODOKE_APP_SERVICE_H

#include "api/api.h"
#include "app/change.h"
#include "app/config.h"
#include "app/mailer.h"
#include "campaign/expander.h"
#include "deliver/engine.h"
#include "receive/jail.h"
#include "receive/join.h"
#include "receive/mail_in.h"
#include "report/report.h"

struct service_options {
    const struct config *config;
    struct world *world;    /* its network mode set; its resolver set before service_run */
    bool has_dnssec;        /* the resolver validates: DANE may be believed */
    double retry_scale;     /* 0: 1.0; less where a demonstration has no days to wait */
    double timeout_factor;  /* of the waits for another's answer, SMTP's and webhooks'; 0: 1.0 */
    struct api_options api; /* store, world, rules, report and listen are filled in here */
    bool has_no_api;
    struct jail *jail; /* reads strangers' mail; made by jail_start before anything else, not owned */
};

struct service;
/* Faults name the setting or the file and the cure. */
NODISCARD bool service_open(const struct service_options *options, struct service **service, struct fault *why);
NODISCARD bool service_run(struct service *service, struct fault *why);
/* Look at the files of the certificates again, as SIGHUP asks. */
void service_reload(struct service *service);
/* NULL is fine. */
void service_stop(struct service *service, time_ms drain_ms);

struct store *service_store(struct service *service);
const struct rules *service_rules(struct service *service);
const struct seal_key *service_seal(struct service *service);
struct report *service_report(struct service *service);
struct endpoint service_http(struct service *service);

#endif
