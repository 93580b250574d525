#include "app/tls_reporter.h"

#include "app/change.h"
#include "base/log.h"
#include "base/memory.h"
#include "deliver/tls_count.h"
#include "dns/resolver.h"
#include "mail/address.h"
#include "net/curl.h"
#include "report/tls_report.h"
#include "submit/message.h"
#include "submit/prepare.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    LOOK_MS = 5000, /* between two looks at what is due */
    PAUSE_MS = 100, /* how soon it hears that it is to end */
    AT_ONCE = 100,
    PACKED_MAX = 16 << 20,
    POST_TIMEOUT_MS = 60000,
    AGAIN_MS = 3600000,
    KEPT_DAYS = 3,
    EXPIRES_DAYS = 2,
};

struct tls_reporter {
    struct tls_reporter_options options;
    struct db *reader;
    struct loop *loop; /* of the questions to DNS */
    struct dns_client *dns;
    pthread_t thread;
    struct arena arena; /* of one report */
    _Atomic bool is_stopping;
};

static time_ms now_of(const struct tls_reporter *reporter)
{
    return world_wall(reporter->options.world);
}

/* ── what is written down ── */

struct outcome {
    struct tls_reporter *reporter;
    struct tls_report_row row;
    const struct tls_report_uri *uris; /* is_found */
    size_t uri_count;
    bool is_found;
    const struct message *message; /* NULL: none is sent */
    struct submit_row recipient;
    struct submit_news *news;
    size_t news_count;
};

static bool outcome_run(struct db *db, struct fault *why, void *context)
{
    struct outcome *outcome = context;
    time_ms now = now_of(outcome->reporter);
    struct submit_row recipient = outcome->recipient;
    outcome->news_count = 0;
    if (outcome->is_found)
        return tls_report_found(db, why, &outcome->row, outcome->uris, outcome->uri_count, now);
    return tls_report_set(db, why, &outcome->row, now) &&
           (!outcome->message || message_submit(db, why, outcome->message, &recipient, 1, &outcome->reporter->arena,
                                                &outcome->news, &outcome->news_count));
}

static void outcome_write(struct outcome *outcome)
{
    const struct tls_reporter_options *options = &outcome->reporter->options;
    struct fault why;
    if (!store_change(options->store, outcome_run, outcome, &why)) {
        log_warn("tlsrpt", "what became of the report to %.*s cannot be written down: %s",
                 SLICE_ARG(outcome->row.domain), why.text);
        return;
    }
    if (outcome->news_count)
        options->submitted(options->owner, outcome->news, outcome->news_count);
}

/* Again in an hour, or never. */
static void not_sent(struct tls_reporter *reporter, const struct tls_report_row *row, const char *state,
                     struct slice why)
{
    struct outcome outcome = {.reporter = reporter, .row = *row};
    outcome.row.state = slice_str(state);
    outcome.row.why = why;
    outcome.row.next = now_of(reporter) + (time_ms)(AGAIN_MS * reporter->options.scale) + 1;
    log_info("tlsrpt", "the report about %.*s on %.*s is not sent%s%.*s: %.*s", SLICE_ARG(row->domain),
             SLICE_ARG(row->day), row->rua.len ? " to " : "", SLICE_ARG(row->rua), SLICE_ARG(why));
    outcome_write(&outcome);
}

/* ── where to ── */

static void ask_where(struct tls_reporter *reporter, const struct tls_report_row *row)
{
    struct dns_answer answer;
    struct tls_report_uri uris[TLS_REPORT_URIS_MOST];
    size_t count = 0;
    struct slice name = arena_printf(&reporter->arena, "_smtp._tls.%.*s", SLICE_ARG(row->domain));
    dns_ask_and_wait(reporter->dns, name, DNS_TXT, &reporter->arena, &answer);
    switch (answer.status) {
    case DNS_TRY_LATER:
    case DNS_BOGUS: not_sent(reporter, row, "waiting", answer.why); return;
    case DNS_FOUND: {
        struct slice *texts = ARENA_ARRAY(&reporter->arena, struct slice, answer.count);
        for (size_t i = 0; i < answer.count; i++)
            texts[i] = answer.records[i].text;
        if (!tls_report_uris(texts, answer.count, &reporter->arena, uris, &count))
            count = 0;
        break;
    }
    case DNS_NO_NAME:
    case DNS_NO_DATA: break;
    }
    struct outcome outcome = {.reporter = reporter, .row = *row, .uris = uris, .uri_count = count, .is_found = true};
    outcome_write(&outcome);
}

/* ── the report ── */

static bool take_report(void *context, struct slice domain, struct slice json, struct fault *why)
{
    buf_append(context, json);
    return true;
}

static bool report_pack(struct tls_reporter *reporter, const struct tls_report_row *row, struct buf *packed,
                        struct fault *why)
{
    SCOPED(buf) json = BUF(PACKED_MAX);
    const struct tls_report_from from = {
        .organization = slice_from(reporter->options.from, (size_t)slice_find_byte(reporter->options.from, '@') + 1),
        .contact = reporter->options.from,
        .day = row->day};
    if (!tls_report_json(reporter->reader, why, &from, row->domain, take_report, &json))
        return false;
    if (!json.len || !buf_ok(&json))
        return fault_set(why, FAULT_INPUT, "its counts are gone");
    tls_report_pack(buf_slice(&json), packed);
    return buf_ok(packed) || fault_set(why, FAULT_INPUT, "it is too large");
}

/* ── by mail ── */

/* The brand whose key signs for the address's domain. */
static bool brand_of(struct tls_reporter *reporter, struct slice domain, uint64_t *brand_id, struct fault *why)
{
    int64_t id;
    bool found;
    if (!db_query_ints(reporter->reader, why,
                       "SELECT brand_id FROM dkim_key WHERE domain = $1 AND is_active = 1 ORDER BY id LIMIT 1",
                       VALUES(V_TEXT(domain)), &id, 1, &found))
        return false;
    *brand_id = found ? (uint64_t)id : 0;
    return found || fault_set(why, FAULT_INPUT, "no brand signs for the domain of tlsrpt.from");
}

static bool mail_make(struct tls_reporter *reporter, const struct tls_report_row *row, const struct tls_report_uri *uri,
                      struct slice packed, struct message *message, struct fault *why)
{
    time_ms now = now_of(reporter);
    uint64_t id = id_make_anywhere(store_ids(reporter->options.store), now), brand_id;
    struct prepared prepared;
    SCOPED(buf) text = BUF(PACKED_MAX * 2);
    const struct tls_report_letter letter = {
        .from = reporter->options.from,
        .to = uri->address,
        .domain = row->domain,
        .day = row->day,
        .report_id = arena_printf(&reporter->arena, "%.*sT00:00:00Z_%.*s", SLICE_ARG(row->day), SLICE_ARG(row->domain)),
        .packed = packed};
    const struct prepare_options options = {.message_id = id, .now = now, .encodes_long_lines = true};
    if (!tls_report_mail(&letter, &text, why) ||
        !message_prepare(arena_copy(&reporter->arena, buf_slice(&text)), &options, &reporter->arena, &prepared, why) ||
        !brand_of(reporter, prepared.from_domain, &brand_id, why))
        return false;
    *message = (struct message){
        .id = id,
        .brand_id = brand_id,
        .mail_from = reporter->options.from,
        .from_domain = prepared.from_domain,
        .message_id = prepared.message_id,
        .subject = prepared.subject,
        .tags = SLICE("tlsrpt"),
        .flags = prepared.flags,
        .body = prepared.bytes,
        .priority = 1,
        .now = now,
        .due = now,
        .expires = now + DAYS_MS(EXPIRES_DAYS),
        .keep_until = now + DAYS_MS(KEPT_DAYS),
    };
    return true;
}

static void send_mail(struct tls_reporter *reporter, const struct tls_report_row *row, const struct tls_report_uri *uri,
                      struct slice packed)
{
    struct message message;
    struct address address;
    struct fault why = {0};
    if (!address_parse(uri->address, &reporter->arena, &address, &why) ||
        !mail_make(reporter, row, uri, packed, &message, &why)) {
        not_sent(reporter, row, why.kind == FAULT_WORLD ? "waiting" : "failed", slice_str(why.text));
        return;
    }
    struct outcome outcome = {.reporter = reporter,
                              .row = *row,
                              .message = &message,
                              .recipient = {.address = address.identity, .written = uri->address}};
    outcome.row.state = SLICE("sent");
    outcome_write(&outcome);
}

/* ── by HTTPS ── */

static bool may_connect(const void *owner, const struct ip *address, struct fault *why)
{
    return network_permits(&((const struct tls_reporter *)owner)->options.world->network, address, why);
}

static int is_it_over(void *owner, curl_off_t down_most, curl_off_t down, curl_off_t up_most, curl_off_t up)
{
    return atomic_load(&((struct tls_reporter *)owner)->is_stopping);
}

static size_t drop_body(char *bytes, size_t size, size_t count, void *owner)
{
    return size * count;
}

static size_t addresses_of(struct tls_reporter *reporter, struct slice host, struct ip *addresses, size_t most)
{
    size_t count = 0;
    struct dns_answer answer;
    dns_ask_and_wait(reporter->dns, host, DNS_A, &reporter->arena, &answer);
    for (size_t i = 0; answer.status == DNS_FOUND && i < answer.count && count < most; i++)
        addresses[count++] = answer.records[i].ip;
    return count;
}

/* *status 0: no answer, and `why` says it. */
static void post(struct tls_reporter *reporter, const struct tls_report_uri *uri, struct slice packed, long *status,
                 struct fault *why)
{
    enum { ADDRESSES_MOST = 8 };
    struct ip addresses[ADDRESSES_MOST];
    size_t count = addresses_of(reporter, uri->host, addresses, ADDRESSES_MOST);
    const char *host = arena_str(&reporter->arena, uri->host);
    struct curl_guard guard = {.roots = reporter->options.roots, .permits = may_connect, .owner = reporter};
    *status = 0;
    if (!count) {
        fault_set(why, FAULT_WORLD, "%s has no address now", host);
        return;
    }
    struct curl_slist *resolved = curl_resolved(host, 443, addresses, count), *heads = NULL;
    CURL *curl = curl_guarded_http(&guard, "https", resolved);
    heads = curl_list_add(heads, "Content-Type: application/tlsrpt+gzip");
    heads = curl_list_add(heads, "Expect:");
    curl_easy_setopt(
        curl, CURLOPT_URL,
        arena_str(&reporter->arena, arena_printf(&reporter->arena, "https://%s%.*s", host, SLICE_ARG(uri->path))));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, heads);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, packed.ptr);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)packed.len);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)POST_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_it_over);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, reporter);
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    else
        fault_set(why, FAULT_WORLD, "%.200s", guard.was_refused ? guard.why.text : curl_easy_strerror(code));
    curl_easy_cleanup(curl);
    curl_slist_free_all(heads);
    curl_slist_free_all(resolved);
}

static void send_post(struct tls_reporter *reporter, const struct tls_report_row *row, const struct tls_report_uri *uri,
                      struct slice packed)
{
    struct fault why = {0};
    long status;
    post(reporter, uri, packed, &status, &why);
    if (atomic_load(&reporter->is_stopping) && !status) /* as if it had not been tried */
        return;
    if (status / 100 == 2) {
        struct outcome outcome = {.reporter = reporter, .row = *row};
        outcome.row.state = SLICE("sent");
        outcome_write(&outcome);
    } else {
        not_sent(reporter, row, "waiting",
                 status ? arena_printf(&reporter->arena, "HTTP status %ld", status) : slice_str(why.text));
    }
}

/* ── the thread ── */

static void send_one(struct tls_reporter *reporter, const struct tls_report_row *row)
{
    SCOPED(buf) packed = BUF(PACKED_MAX);
    SCOPED(buf) record = BUF(TLS_REPORT_URI_MAX + 100);
    struct tls_report_uri uris[TLS_REPORT_URIS_MOST];
    struct fault why = {0};
    size_t count;
    buf_printf(&record, "v=TLSRPTv1; rua=%.*s", SLICE_ARG(row->rua)); /* as it was read */
    const struct slice text = buf_slice(&record);
    if (!tls_report_uris(&text, 1, &reporter->arena, uris, &count) || count != 1)
        not_sent(reporter, row, "failed", SLICE("it is no address for reports"));
    else if (!report_pack(reporter, row, &packed, &why))
        not_sent(reporter, row, why.kind == FAULT_WORLD ? "waiting" : "failed", slice_str(why.text));
    else if (uris[0].address.len)
        send_mail(reporter, row, &uris[0], buf_slice(&packed));
    else
        send_post(reporter, row, &uris[0], buf_slice(&packed));
}

/* With several nodes one does it. */
static bool is_ours(struct tls_reporter *reporter)
{
    int64_t node;
    bool found;
    struct fault ignored;
    return db_query_ints(reporter->reader, &ignored, "SELECT node FROM lease WHERE bucket = 0", NO_VALUES, &node, 1,
                         &found) &&
           found && (unsigned)node == reporter->options.node;
}

static void look(struct tls_reporter *reporter)
{
    struct arena arena = {0};
    struct tls_report_row *rows;
    size_t count;
    struct fault why;
    if (is_ours(reporter) && !tls_report_due(reporter->reader, &why, now_of(reporter), reporter->options.scale, AT_ONCE,
                                             &arena, &rows, &count))
        log_warn("tlsrpt", "what is to be reported cannot be read: %s", why.text);
    else if (is_ours(reporter))
        for (size_t i = 0; i < count && !atomic_load(&reporter->is_stopping); i++) {
            arena_reset(&reporter->arena);
            if (rows[i].rua.len)
                send_one(reporter, &rows[i]);
            else
                ask_where(reporter, &rows[i]);
        }
    arena_release(&arena);
}

static void *reporter_main(void *context)
{
    struct tls_reporter *reporter = context;
    time_ms next = 0;
    pthread_setname_np(pthread_self(), "tlsrpt");
    while (!atomic_load(&reporter->is_stopping)) {
        if (world_monotonic(reporter->options.world) >= next) {
            look(reporter);
            next = world_monotonic(reporter->options.world) + LOOK_MS;
        }
        world_pause(reporter->options.world, PAUSE_MS);
    }
    return NULL;
}

bool tls_reporter_start(const struct tls_reporter_options *options, struct tls_reporter **reporter_out,
                        struct fault *why)
{
    struct address address;
    struct arena arena = {0};
    *reporter_out = NULL;
    if (!options->from.len)
        return true;
    bool ok = address_parse(options->from, &arena, &address, why);
    arena_release(&arena);
    if (!ok)
        return fault_prefix(why, "tlsrpt.from: ");
    struct tls_reporter *reporter = NEW(struct tls_reporter);
    reporter->options = *options;
    reporter->reader = store_reader_open(options->store, why);
    if (!reporter->reader) {
        free(reporter);
        return false;
    }
    reporter->loop = loop_new(options->world);
    reporter->dns = dns_client_new(reporter->loop);
    if (pthread_create(&reporter->thread, NULL, reporter_main, reporter) != 0)
        memory_gone("a thread");
    *reporter_out = reporter;
    return true;
}

void tls_reporter_stop(struct tls_reporter *reporter)
{
    if (!reporter)
        return;
    atomic_store(&reporter->is_stopping, true);
    pthread_join(reporter->thread, NULL);
    dns_client_free(reporter->dns);
    loop_free(reporter->loop);
    db_free(reporter->reader);
    arena_release(&reporter->arena);
    free(reporter);
}
