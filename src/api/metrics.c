/* metrics.c - GET /metrics in the text format of Prometheus (version 0.0.4)
 *
 * A name is told once: HELP, TYPE, then its samples. Counters count since the start of this process and end in _total;
 * what deliveries are in is a gauge, since an error mail takes a 250 back. */
#include "api/inside.h"
#include "event/reader.h"
#include <inttypes.h>

enum { METRICS_MAX = 65536 };

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP todoke_%s %s\n# TYPE todoke_%s %s\n", name, help, name, type);
}

static void counter(struct buf *out, const char *name, uint64_t value, const char *help)
{
    head(out, name, "counter", help);
    buf_printf(out, "todoke_%s %" PRIu64 "\n", name, value);
}

static void gauge(struct buf *out, const char *name, int64_t value, const char *help)
{
    head(out, name, "gauge", help);
    buf_printf(out, "todoke_%s %" PRId64 "\n", name, value);
}

static void engine_write(struct buf *out, const struct api_metrics *now)
{
    head(out, "outcomes_total", "counter", "Conversations that ended for a recipient, since the start.");
    buf_printf(out, "todoke_outcomes_total{outcome=\"delivered\"} %" PRIu64 "\n", now->delivered);
    buf_printf(out, "todoke_outcomes_total{outcome=\"refused\"} %" PRIu64 "\n", now->refused);
    buf_printf(out, "todoke_outcomes_total{outcome=\"deferred\"} %" PRIu64 "\n", now->deferred);
    buf_printf(out, "todoke_outcomes_total{outcome=\"in_doubt\"} %" PRIu64 "\n", now->in_doubt);
    counter(out, "connections_total", now->connections, "Connections to receivers, since the start.");
    gauge(out, "connections_open", now->open_connections, "Connections to receivers now.");
    gauge(out, "claimed", now->claimed, "Deliveries in memory, claimed from the store.");
    counter(out, "inbound_sessions_total", now->inbound_sessions, "SMTP sessions of strangers, since the start.");
    counter(out, "inbound_mails_total", now->inbound_mails, "Mails of strangers that were kept, since the start.");
    counter(out, "inbound_octets_total", now->inbound_octets, "Octets of these mails.");
    counter(out, "jail_mails_total", now->jail_read, "Mails that the jailed readers read, since the start.");
    counter(out, "jail_deaths_total", now->jail_deaths, "Jailed readers that died of a mail, since the start.");
    counter(out, "jail_starts_total", now->jail_started, "Jailed readers that were started, since the start.");
    gauge(out, "event_file_waits", now->is_event_file_waiting, "1 while events.file cannot be written.");
    if (now->wal_bytes >= 0)
        gauge(out, "store_wal_bytes", now->wal_bytes, "Size of SQLite's write-ahead log.");
}

static void store_write_figures(struct buf *out, const struct store_figures *figures)
{
    counter(out, "store_commits_total", figures->groups,
            "Groups of writes committed, since the start; each waited for the disk once.");
    counter(out, "store_jobs_total", figures->jobs, "Writes in these groups.");
    counter(out, "store_rows_total", figures->rows, "Rows that these writes said to write.");
    counter(out, "store_failed_total", figures->failed, "Writes that were refused.");
    counter(out, "store_retried_total", figures->retried, "Writes that ran again.");
    gauge(out, "store_queued", (int64_t)figures->queued, "Writes that wait now.");
    gauge(out, "store_is_lost", figures->is_lost, "1 while the store cannot be written.");
}

static bool deliveries_write_gauges(struct api *api, struct buf *out, struct fault *why)
{
    struct report_totals totals;
    uint64_t lag;
    if (!report_totals(api->db, why, 0, &totals) || !event_reader_lag(api->db, why, REPORT_READER, &lag))
        return false;
    head(out, "deliveries", "gauge", "Deliveries by state; one on the wire counts as what it was before.");
    for (int state = 0; state < DELIVERY_STATE_COUNT; state++)
        buf_printf(out, "todoke_deliveries{state=\"%.*s\"} %" PRId64 "\n",
                   SLICE_ARG(delivery_word((enum delivery_state)state)), totals.states[state]);
    gauge(out, "left_out", totals.left_out, "People whom campaigns left out.");
    gauge(out, "reader_lag_events", (int64_t)lag, "Events that the counters have not seen yet.");
    return true;
}

/* On this machine nobody needs a key; but what a proxy passes on comes from elsewhere. */
static bool is_local(const struct http_request *request)
{
    return ip_is_loopback(&request->peer.ip) && !http_header(request, "X-Forwarded-For").len &&
           !http_header(request, "Forwarded").len;
}

static void metrics(struct http_request *request, void *user)
{
    struct api *api = user;
    struct fault why = {0};
    struct api_metrics now = {.wal_bytes = -1};
    struct store_figures figures;
    SCOPED(buf) out = BUF(METRICS_MAX);
    if (!is_local(request) && (!api_admits(api, request, NEEDS_QUEUE_READ) || !api_sees_all(request)))
        return;
    http_set(request, "Cache-Control", SLICE("no-store"));
    if (api->options.metrics)
        api->options.metrics(api->options.owner, &now);
    store_figures(api->options.store, &figures);
    head(&out, "build_info", "gauge", "1; which program this is.");
    buf_text(&out, "todoke_build_info{version=\"" TODOKE_VERSION "\"} 1\n");
    engine_write(&out, &now);
    store_write_figures(&out, &figures);
    if (deliveries_write_gauges(api, &out, &why))
        http_respond(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&out));
    else
        answer_fault(request, &why, 400);
}

void metrics_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/metrics", metrics, api, 0});
}
