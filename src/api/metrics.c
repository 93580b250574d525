/* metrics.c - GET /metrics in the text format of Prometheus (version 0.0.4)
 *
 * A name is told once: HELP, TYPE, then its samples. Counters count since the start of this process and end in _total;
 * what deliveries are in is a gauge, since an error mail takes a 250 back. Labels are bounded: states, outcomes, rules
 * of data/sites, our own sources (the first SOURCES_TOLD); never a domain or an address. docs/metrics.md has them all.
 */
#include "api/inside.h"
#include "event/reader.h"
#include "shape/allowance.h"
#include "shape/source.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { METRICS_MAX = 1 << 20, SOURCES_TOLD = 500 };

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

/* A label's value: \\, " and line breaks are escaped. */
static void label(struct buf *out, struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '\\' || c == '"')
            buf_byte(out, '\\');
        if (c == '\n')
            buf_text(out, "\\n");
        else
            buf_byte(out, c);
    }
}

/* ── the process: the names that Prometheus' own libraries have ── */

static void process_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP process_%s %s\n# TYPE process_%s %s\n", name, help, name, type);
}

/* Those that are open now; one of them reads the folder. */
static int64_t open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = -1;
    for (; folder && readdir(folder); count++)
        ;
    if (folder)
        closedir(folder);
    return folder ? count - 2 : -1; /* . and .. */
}

/* Pages of memory that are in use; 0: not known. */
static int64_t resident_bytes(void)
{
    long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%lld %lld", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

/* Seconds since 1970 at which it began: the kernel says it in ticks since the machine did. 0: not known. */
static double began_at(void)
{
    unsigned long long ticks = 0, boot = 0;
    char line[4096];
    FILE *file = fopen("/proc/self/stat", "re");
    if (file && fgets(line, sizeof(line), file)) {
        char *rest = strrchr(line, ')'); /* behind the name, which may hold anything, 20 fields: the last is meant */
        for (int field = 0; rest && field < 20; field++)
            rest = strchr(rest + 1, ' ');
        ticks = rest ? strtoull(rest, NULL, 10) : 0;
    }
    if (file)
        fclose(file);
    file = fopen("/proc/stat", "re");
    while (file && !boot && fgets(line, sizeof(line), file))
        if (slice_starts(slice_str(line), SLICE("btime ")))
            boot = strtoull(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return ticks && boot ? (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK) : 0;
}

static void process_write(struct buf *out)
{
    struct rusage use;
    struct rlimit files;
    int64_t resident = resident_bytes(), open = open_files();
    double began = began_at();
    if (getrusage(RUSAGE_SELF, &use) == 0) {
        process_head(out, "cpu_seconds_total", "counter", "CPU time of this process, user and system.");
        buf_printf(out, "process_cpu_seconds_total %.6f\n",
                   (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    }
    if (began > 0) {
        process_head(out, "start_time_seconds", "gauge", "When this process began, in seconds since 1970.");
        buf_printf(out, "process_start_time_seconds %.2f\n", began);
    }
    if (resident) {
        process_head(out, "resident_memory_bytes", "gauge", "Resident memory of this process.");
        buf_printf(out, "process_resident_memory_bytes %" PRId64 "\n", resident);
    }
    if (open >= 0) {
        process_head(out, "open_fds", "gauge", "File descriptors that are open.");
        buf_printf(out, "process_open_fds %" PRId64 "\n", open);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY) {
        process_head(out, "max_fds", "gauge", "File descriptors that may be open.");
        buf_printf(out, "process_max_fds %" PRIu64 "\n", (uint64_t)files.rlim_cur);
    }
}

/* ── receivers, by the rule that they fall under ── */

static void sites_write(struct buf *out, const struct api_metrics *now)
{
    if (!now->site_count)
        return;
    head(out, "site_outcomes_total", "counter",
         "Conversations that ended for a recipient, by the rule of data/sites that its receiver falls under, since the "
         "start.");
    for (size_t i = 0; i < now->site_count; i++) {
        const struct api_site_metrics *site = &now->sites[i];
        const struct {
            const char *outcome;
            uint64_t count;
        } rows[] = {{"delivered", site->delivered}, {"refused", site->refused}, {"deferred", site->deferred}};
        for (size_t r = 0; r < COUNT_OF(rows); r++) {
            buf_text(out, "todoke_site_outcomes_total{rule=\"");
            label(out, site->rule);
            buf_printf(out, "\",outcome=\"%s\"} %" PRIu64 "\n", rows[r].outcome, rows[r].count);
        }
    }
}

/* ── what is decided and found, of the whole store ── */

static bool sources_write(struct api *api, struct buf *out, struct arena *arena, struct fault *why)
{
    struct source *sources;
    size_t count, found;
    if (!source_list(api->db, why, arena, &sources, &count))
        return false;
    count = count < SOURCES_TOLD ? count : SOURCES_TOLD;
    SCOPED(buf) caps = BUF(METRICS_MAX);
    SCOPED(buf) uses = BUF(METRICS_MAX);
    if (count)
        head(out, "source_usable", "gauge", "1: mail may leave by this source; 0: it drains or is in trouble.");
    for (size_t i = 0; i < count; i++) {
        struct warm_up *plans;
        char ip[IP_TEXT_ROOM];
        const char *text = ip_text(&sources[i].ip, ip);
        buf_printf(out, "todoke_source_usable{source=\"%s\",pool=\"", text);
        label(out, sources[i].pool);
        buf_printf(out, "\"} %d\n", source_is_usable(&sources[i]));
        if (!warm_up_list(api->db, why, sources[i].id, api_now(api), arena, &plans, &found))
            return false;
        for (size_t p = 0; p < found; p++) {
            if (plans[p].cap < 0)
                continue;
            buf_printf(&caps, "todoke_warm_up_cap{source=\"%s\",site=\"", text);
            label(&caps, plans[p].group);
            buf_printf(&caps, "\"} %" PRId64 "\n", plans[p].cap);
            buf_printf(&uses, "todoke_warm_up_reserved{source=\"%s\",site=\"", text);
            label(&uses, plans[p].group);
            buf_printf(&uses, "\"} %" PRId64 "\n", plans[p].reserved);
        }
    }
    if (caps.len) {
        head(out, "warm_up_cap", "gauge", "Mails that a warm-up allows today; site * is all sites together.");
        buf_append(out, buf_slice(&caps));
        head(out, "warm_up_reserved", "gauge", "Of them, those given out.");
        buf_append(out, buf_slice(&uses));
    }
    return true;
}

static bool decided_write(struct api *api, struct buf *out, struct fault *why)
{
    int64_t found[6];
    if (!db_query_ints(api->db, why,
                       "SELECT (SELECT COUNT(*) FROM hold WHERE kind = 'brand'), (SELECT COUNT(*) FROM hold WHERE kind "
                       "= 'campaign'), (SELECT COUNT(*) FROM hold WHERE kind = 'domain'), (SELECT COUNT(*) FROM "
                       "queue_order WHERE done_ms = 0), (SELECT COUNT(*) FROM alarm WHERE acked_ms = 0 AND ended_ms = "
                       "0), (SELECT COUNT(*) FROM node WHERE until_ms > $1)",
                       VALUES(V_INT(api_now(api))), found, COUNT_OF(found), NULL))
        return false;
    head(out, "holds", "gauge", "Standing holds of people, by what they hold.");
    buf_printf(out,
               "todoke_holds{kind=\"brand\"} %" PRId64 "\ntodoke_holds{kind=\"campaign\"} %" PRId64
               "\ntodoke_holds{kind=\"domain\"} %" PRId64 "\n",
               found[0], found[1], found[2]);
    gauge(out, "queue_orders_open", found[3], "Orders to the queue that are under way.");
    gauge(out, "alarms_open", found[4], "Alarms that last and that nobody has acknowledged.");
    gauge(out, "nodes_alive", found[5], "Servers of this store that live.");
    return true;
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
    head(out, "ways_suspended", "gauge",
         "Ways (a source's to a site) on which nothing goes now, by what suspends them.");
    buf_printf(out,
               "todoke_ways_suspended{by=\"reaction\"} %" PRId64
               "\ntodoke_ways_suspended{by=\"unknown_users\"} %" PRId64 "\ntodoke_ways_suspended{by=\"order\"} %" PRId64
               "\n",
               now->suspended_by_words, now->suspended_by_guard, now->suspended_by_order);
    gauge(out, "breakers_open", now->breakers_open, "Ways whose breaker is open or probes.");
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
    process_write(&out);
    engine_write(&out, &now);
    sites_write(&out, &now);
    store_write_figures(&out, &figures);
    if (deliveries_write_gauges(api, &out, &why) && sources_write(api, &out, &request->arena, &why) &&
        decided_write(api, &out, &why))
        http_respond(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&out));
    else
        answer_fault(request, &why, 400);
}

void metrics_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/metrics", metrics, api, 0});
}
