/* service_inside.h - a service from inside, for service.c (the order of things), service_parts.c (each part) and
 * service_api.c (what the API asks of the others) */
#ifndef TODOKE_APP_SERVICE_INSIDE_H
#define TODOKE_APP_SERVICE_INSIDE_H

#include "alarm/alarm.h"
#include "app/certificate.h"
#include "app/door.h"
#include "app/file_alarm.h"
#include "app/finisher.h"
#include "app/keyring.h"
#include "app/log_watch.h"
#include "app/mail_door.h"
#include "app/noticer.h"
#include "app/orders.h"
#include "app/retention.h"
#include "app/service.h"
#include "app/sweeper.h"
#include "app/tls_alarm.h"
#include "app/tls_reporter.h"
#include "app/transport.h"
#include "campaign/canceller.h"
#include "hook/event_file.h"
#include "hook/hook.h"
#include "net/proxy.h"
#include "receive/arrivals.h"
#include "receive/collect.h"

struct service {
    struct service_options options;
    struct store *store;
    struct seal_key seal;
    struct rules *rules;
    struct sites *sites;
    struct robots *robots;
    struct policies *policies;
    struct keyring *keyring;
    struct leases leases;
    struct tls_roots *roots;
    struct ip own_addresses[TRANSPORT_ADDRESSES_MOST];
    size_t own_address_count;
    struct ip listens_at[TRANSPORT_LISTENERS_MOST];
    struct mailer *mailer;
    struct recent_mails *recent;
    struct report *report;
    struct engine *engine;
    struct expander *expander;
    struct arrivals *arrivals;
    struct join_reader *join;
    struct collector *collector;
    struct alarm_watch *alarm;
    struct mail_door *mail_door;
    struct finisher *finisher;
    struct sweeper *sweeper;
    struct log_watch *log_watch; /* NULL: the store has none */
    struct tls_reporter *tls_reporter;
    struct retention *retention;
    struct door *door;
    struct noticer *noticer;
    struct canceller *canceller;
    struct orders *orders;
    struct network hook_guard;
    struct hook_runner *hooks;
    struct event_file *event_file;
    struct file_alarm file_alarm;
    struct tls_alarm tls_alarm;
    struct api *api;
    char ehlo_name[256];
    char store_shown[1024];
    struct certificates *certificates;
    struct proxies proxies;
    struct api_setting settings[200];
};

/* For all who submit: the engine hears of new deliveries. owner: the service. From any thread. */
void service_submitted(void *owner, const struct submit_news *news, size_t count);
struct ledger service_ledger(struct service *service);
/* SQLite's write-ahead log; false: the store has none. */
bool service_log_path(const struct service *service, struct buf *path);

/* service_parts.c: false: why says which setting, or what of the world, is wrong. */
NODISCARD bool service_engine_begin(struct service *service, struct fault *why);
void service_expander_begin(struct service *service);
NODISCARD bool service_join_begin(struct service *service, struct fault *why); /* arrivals, and who reads them */
void service_orders_begin(struct service *service);                            /* canceller and orders */
void service_noticer_begin(struct service *service);
NODISCARD bool service_mail_door_begin(struct service *service, struct fault *why);
NODISCARD bool service_door_begin(struct service *service, struct fault *why);
void service_alarm_begin(struct service *service);
NODISCARD bool service_hooks_begin(struct service *service, struct fault *why);
NODISCARD bool service_event_file_begin(struct service *service, struct fault *why); /* where there is to be one */
NODISCARD bool service_tls_reporter_begin(struct service *service, struct fault *why);
void service_log_watch_begin(struct service *service); /* where the store has a log */
NODISCARD bool service_retention_begin(struct service *service, struct fault *why);

/* service_api.c */
NODISCARD bool service_api_begin(struct service *service, struct fault *why);

#endif
