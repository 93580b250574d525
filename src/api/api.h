/* api.h - the HTTP API and the console's files, exactly as data/api/openapi.yaml says
 *
 * One thread with one loop, one HTTP server and one reading connection to the store. Reading happens on that thread, so
 * queries are bounded; writing goes through store_write with the request suspended: this thread never waits for a
 * commit. There are no business rules in here.
 *
 * Signing in: POST /session takes the secret of an access key (access/key.h) and gives a session cookie, which lives
 * in memory for 12 hours; programs send the secret itself as `Authorization: Bearer`. Ten wrong secrets from one
 * address and it has to wait (X16). What changes something is refused when its Origin is not
 * this server's own, and by a session also when there is none (and no `Sec-Fetch-Site: same-origin`): the cookie alone
 * only looks (X7). */
#ifndef TODOKE_API_API_H
#define TODOKE_API_API_H

#include "api/robots.h"
#include "base/arena.h"
#include "bounce/rules.h"
#include "mailauth/return_path.h"
#include "net/ip.h"
#include "net/world.h"
#include "report/report.h"
#include "store/seal.h"
#include "store/store.h"
#include "submit/submit.h"

/* The playground's inbox, when there is one. Called on the api's thread; slices go into the arena. */
struct api_inbox_row {
    uint64_t id; /* from 1 */
    time_ms at;
    struct slice from, to, subject; /* decoded */
    bool is_error;                  /* error mail that came to us, not mail that a receiver took */
    size_t size_bytes;
};
struct api_inbox {
    /* Newest first, those before `before` (0: from the newest); `q` is part of from, to or subject, any ASCII case.
     * *next: `before` of the next page, 0 at the end; *total: all that match. */
    void (*list)(void *owner, struct slice q, uint64_t before, unsigned limit, struct arena *arena,
                 struct api_inbox_row **rows, size_t *count, uint64_t *next, uint64_t *total);
    /* False: not there (any more). */
    bool (*get)(void *owner, uint64_t id, struct arena *arena, struct api_inbox_row *row, struct slice *mail);
    void *owner;
};

/* A setting as it is now, for GET /settings. */
struct api_setting {
    const char *key, *value, *fallback, *doc;
};

enum { API_METRICS_SITES_MOST = 300 };
/* What the parts outside the api count, for GET /metrics. */
struct api_metrics {
    uint64_t delivered, refused, deferred, in_doubt, connections; /* since the start */
    int64_t open_connections, claimed;
    int64_t suspended_by_words, suspended_by_guard, suspended_by_order, breakers_open; /* ways, now */
    uint64_t inbound_sessions, inbound_mails, inbound_octets;
    uint64_t jail_read, jail_deaths, jail_started;
    int64_t wal_bytes; /* -1: not known */
    bool is_event_file_waiting;
    size_t site_count;
    struct api_site_metrics { /* outcomes by the rule of data/sites, since the start */
        struct slice rule;
        uint64_t delivered, refused, deferred;
    } sites[API_METRICS_SITES_MOST];
};

struct api_options {
    struct store *store;
    struct world *world;
    const struct rules *rules;
    const struct sites *sites;     /* for the names that people give; NULL: they are not looked at */
    const struct report *report;   /* whose rates are shown */
    struct tls_server *tls;        /* HTTPS; NULL: clear text */
    const struct proxies *proxies; /* as in http/server.h; NULL: none */
    bool has_proxy_head;           /* as there */
    struct endpoint listen;        /* port 0: the kernel chooses, see api_endpoint */
    const struct token_ring *ring; /* of public links; NULL: there are none */
    const struct robots *robots;   /* who clicks; wanted where there are links */
    unsigned optins_of_network;    /* requests to be on a list an hour, of one network; 0: no limit */
    struct join_reader *reader;    /* reads mails that are pasted, in the jail; NULL: they are read here (tests) */
    bool takes_null_mx;            /* mail from domains that take none, too (RFC 7505 4.2) */
    bool is_playground;
    struct api_inbox inbox;              /* list NULL: there is none (404) */
    struct slice brand_name, brand_from; /* whom GET /session names; empty: the first brand of the store */
    /* A receiver's name for people, of a recipient domain ("Gmail-like"); "" or NULL: the domain itself. */
    struct slice (*receiver_label)(void *owner, struct slice domain);
    /* How many are on the wire: counters show these as what they were before (queue/ledger.h). NULL: 0. */
    int64_t (*on_wire)(void *owner, uint64_t campaign_id);
    /* After a commit that made deliveries, on the writer's thread: engine_submitted. May be NULL. */
    void (*submitted)(void *owner, const struct submit_news *news, size_t count);
    uint64_t file_size_max;     /* octets of a file for download */
    time_ms file_expires_after; /* so long it can be downloaded, unless the request says otherwise */
    uint64_t attachment_link;   /* a larger attachment goes as a link, unless the request says otherwise; 0: none */
    time_ms expires_after; /* a delivery is given up this long after its due time, unless the request says otherwise */
    /* After a commit that paused or resumed, on the writer's thread: engine_holds_changed. May be NULL. */
    void (*holds_changed)(void *owner);
    /* Somebody asks what goes on now (deliver/board.h): engine_board_asked. From any thread. May be NULL. */
    void (*board_asked)(void *owner);
    /* From the api's thread. NULL: nothing is known. */
    void (*metrics)(void *owner, struct api_metrics *metrics);
    void *owner;
    const struct seal_key *seal; /* seals webhooks' secrets; NULL: none can be made here */
    const struct api_setting *settings;
    size_t setting_count;
    const char *cure_setting; /* the setting to name when the port is in use */
};

struct api;
/* Listens when it returns. NULL: why, WORLD (port in use, store) or INPUT. */
struct api *api_start(const struct api_options *options, struct fault *why);
/* Ends streams, lets answers under way end, ends the thread: from here on nothing of the options is touched, and
 * api_changed does nothing. Then stop who calls api_changed (report_stop), then api_free, then store_close. NULL is
 * fine to both. */
void api_stop(struct api *api);
void api_free(struct api *api);
struct endpoint api_endpoint(const struct api *api);
/* The counters have moved: live pages hear of it, each at most every 500 ms. From any thread, cheap. */
void api_changed(struct api *api);

#endif
