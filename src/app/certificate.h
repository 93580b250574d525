/* certificate.h - the certificates that our listeners show, taken anew when their files change
 *
 * Settings tls.cert and tls.key: one pair of files, or several with commas between, in the same order; who names a host
 * (SNI) gets the pair for it. Without them there is one of our own making, which is good enough for mail between
 * servers. One tls_server for all listeners, so that a new certificate is everybody's at the same moment.
 *
 * A thread looks at the files every two seconds, and at certificates_reload: when they changed (and have rested since)
 * they are read again; a pair that does not hold together changes nothing and is said once. Certificates that end
 * within 21 days are an alarm (alarm/alarm.h) until they do not any more. */
#ifndef TODOKE_APP_CERTIFICATE_H
#define TODOKE_APP_CERTIFICATE_H

#include "app/config.h"
#include "net/tls.h"
#include "net/world.h"
#include "store/store.h"

struct certificates;
/* `name`: whose the certificate of our own making is. INPUT: names the setting. A key that others may read is warned
 * of. */
NODISCARD bool certificates_open(const struct config *config, const char *name, struct certificates **out,
                                 struct fault *why);
/* The listeners' contexts; belongs to `certificates`. */
struct tls_server *certificates_server(struct certificates *certificates);
/* Begin to watch the files; nothing to do where none are given. */
void certificates_watch(struct certificates *certificates, struct store *store, struct world *world);
/* Look at the files now (SIGHUP). From any thread. */
void certificates_reload(struct certificates *certificates);
/* Stop watching: before store_close. NULL is fine here and below. */
void certificates_stop(struct certificates *certificates);
/* When no listener is left. */
void certificates_free(struct certificates *certificates);

#endif
