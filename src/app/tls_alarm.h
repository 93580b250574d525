/* tls_alarm.h - the alarm about a host that had TLS lately and offers it no more (R32, deliver/tls_seen.h) */
#ifndef TODOKE_APP_TLS_ALARM_H
#define TODOKE_APP_TLS_ALARM_H

#include "base/slice.h"
#include "net/world.h"
#include "store/store.h"

struct tls_alarm {
    struct store *store;
    struct world *world;
};
/* engine_options.tls_told, with a struct tls_alarm as owner. Does not wait for the commit. */
void tls_alarm_tell(void *owner, struct slice host, bool is_gone);

#endif
