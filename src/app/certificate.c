/* certificate.c - the thread that watches the files
 *
 *     resting --files differ--> changed --the same for one look--> read --good--> resting (new contexts)
 *        ^                                                           '---bad---> resting (old ones, said once)
 *        '-- certificates_reload reads at once
 *
 * `read_of` is what the files were when they were last read, good or bad; only the thread moves it. */
#include "app/certificate.h"

#include "alarm/alarm.h"
#include "app/change.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAIRS_MOST = 64, LOOK_MS = 2000, ALARM_DAYS = 21, ALARM_EACH_MS = 3600000, DAY_MS = 86400000 };
enum { ROWS_MOST = 1000 };

struct stamp {
    ino_t file;
    off_t size;
    struct timespec changed;
};

struct certificates {
    const struct config *config;
    struct arena arena;
    struct tls_files pairs[PAIRS_MOST];
    size_t count; /* 0: of our own making */
    struct tls_server *server;
    struct stamp read_of[2 * PAIRS_MOST], seen[2 * PAIRS_MOST];
    struct store *store;
    struct world *world;
    time_ms alarm_at; /* monotonic */
    pthread_t thread;
    bool is_watching;
    int wake; /* eventfd: ends the thread's wait */
    _Atomic bool is_asked, is_stopping;
};

/* ── files ── */

static void stamps_read(const struct certificates *certificates, struct stamp *stamps)
{
    memset(stamps, 0, sizeof(certificates->seen));
    for (size_t i = 0; i < 2 * certificates->count; i++) {
        const struct tls_files *pair = &certificates->pairs[i / 2];
        struct stat now;
        if (stat(i % 2 ? pair->key : pair->chain, &now) == 0) {
            stamps[i].file = now.st_ino;
            stamps[i].size = now.st_size;
            stamps[i].changed = now.st_mtim;
        }
    }
}

static bool stamps_equal(const struct certificates *certificates, const struct stamp *a, const struct stamp *b)
{
    for (size_t i = 0; i < 2 * certificates->count; i++)
        if (a[i].file != b[i].file || a[i].size != b[i].size || a[i].changed.tv_sec != b[i].changed.tv_sec ||
            a[i].changed.tv_nsec != b[i].changed.tv_nsec)
            return false;
    return true;
}

/* The owner, and a group that only reads (Debian's ssl-cert), may have it. */
static void warn_of_keys(const struct certificates *certificates)
{
    for (size_t i = 0; i < certificates->count; i++) {
        const char *key = certificates->pairs[i].key;
        struct stat now;
        if (stat(key, &now) == 0 && (now.st_mode & (S_IWGRP | S_IRWXO)))
            log_warn("tls", "tls.key %s: others than its owner may use it (mode %04o); chmod 600 it", key,
                     (unsigned)now.st_mode & 07777);
    }
}

static void say_pairs(struct certificates *certificates, const char *what)
{
    struct tls_pair pair;
    for (size_t i = 0; tls_server_pair(certificates->server, i, &pair); i++) {
        SCOPED(buf) until = BUF(64);
        time_rfc3339(&until, pair.expires);
        log_info("tls", "%s name=%s expires=%s", what, pair.name, buf_cstr(&until));
    }
}

static bool lists_read(struct certificates *certificates, struct fault *why)
{
    struct slice chains = slice_str(certificates->config->tls_cert.text), chain;
    struct slice keys = slice_str(certificates->config->tls_key.text), key;
    if (!chains.len != !keys.len)
        return fault_set(why, FAULT_INPUT, "%s: is empty; a certificate needs its key",
                         chains.len ? "tls.key" : "tls.cert");
    while (slice_split(&chains, ',', &chain)) {
        if (certificates->count == PAIRS_MOST)
            return fault_set(why, FAULT_INPUT, "tls.cert: more than %d certificates", PAIRS_MOST);
        if (!slice_split(&keys, ',', &key))
            return fault_set(why, FAULT_INPUT, "tls.key: fewer files than in tls.cert");
        certificates->pairs[certificates->count++] = (struct tls_files){
            arena_str(&certificates->arena, slice_trim(chain)), arena_str(&certificates->arena, slice_trim(key))};
    }
    return !slice_split(&keys, ',', &key) || fault_set(why, FAULT_INPUT, "tls.key: more files than in tls.cert");
}

bool certificates_open(const struct config *config, const char *name, struct certificates **out, struct fault *why)
{
    struct certificates *certificates = NEW(struct certificates);
    certificates->config = config;
    certificates->wake = eventfd(0, EFD_CLOEXEC);
    if (certificates->wake < 0)
        abort(); /* out of descriptors at the start */
    *out = certificates;
    if ((config->tls_cert.text[0] || config->tls_key.text[0]) && !lists_read(certificates, why))
        return false;
    if (!certificates->count && strcmp(config->http_tls.text, "on") == 0)
        return fault_set(why, FAULT_INPUT, "tls.cert: is empty; http.tls needs a certificate and its key");
    stamps_read(certificates, certificates->read_of);
    memcpy(certificates->seen, certificates->read_of, sizeof(certificates->seen));
    warn_of_keys(certificates);
    certificates->server = certificates->count ? tls_server_from_pairs(certificates->pairs, certificates->count, why)
                                               : tls_server_self_signed(&name, 1, why);
    if (!certificates->server)
        return certificates->count && fault_prefix(why, "tls.cert, tls.key: ");
    if (certificates->count)
        say_pairs(certificates, "certificate");
    return true;
}

struct tls_server *certificates_server(struct certificates *certificates)
{
    return certificates->server;
}

static void read_again(struct certificates *certificates)
{
    struct fault why;
    memcpy(certificates->read_of, certificates->seen, sizeof(certificates->seen));
    warn_of_keys(certificates);
    struct tls_server *fresh = tls_server_from_pairs(certificates->pairs, certificates->count, &why);
    if (!fresh) {
        log_error("tls", "tls.cert, tls.key: %s; the certificates of before are kept", why.text);
        return;
    }
    tls_server_replace(certificates->server, fresh);
    certificates->alarm_at = 0;
    say_pairs(certificates, "new certificate");
}

/* ── the alarm ── */

/* With several machines on one store each has its own: the first needs no number. */
static struct slice alarm_about(const struct certificates *certificates, const char *name, struct arena *arena)
{
    unsigned node = store_node(certificates->store);
    return node > 1 ? arena_printf(arena, "%s (node %u)", name, node) : arena_printf(arena, "%s", name);
}

static bool is_of_us(const struct certificates *certificates, struct slice about)
{
    SCOPED(arena) arena = {0};
    struct slice tail = alarm_about(certificates, "", &arena);
    bool has_node = slice_find(about, SLICE(" (node ")) >= 0;
    return tail.len ? slice_ends(about, tail) : !has_node;
}

static bool ends_soon(time_ms expires, time_ms now)
{
    return expires - now < (time_ms)ALARM_DAYS * DAY_MS;
}

static bool raise_one(struct certificates *certificates, struct db *db, struct fault *why, const struct tls_pair *pair,
                      struct arena *arena, time_ms now)
{
    SCOPED(buf) detail = BUF(2048);
    SCOPED(buf) until = BUF(64);
    struct json json = {&detail};
    int64_t days = pair->expires < now ? -1 : (pair->expires - now) / DAY_MS;
    time_rfc3339(&until, pair->expires);
    json_object_begin(&json);
    json_put_string(&json, "name", slice_str(pair->name));
    json_put_string(&json, "expires", buf_slice(&until));
    json_end(&json);
    log_warn("tls", "certificate expires soon name=%s expires=%s", pair->name, buf_cstr(&until));
    return alarm_raise(db, why, ALARM_CERTIFICATE, alarm_about(certificates, pair->name, arena), days, 0,
                       buf_slice(&detail), now);
}

/* Is it about one that still ends soon? */
static bool holds(struct certificates *certificates, struct slice about, struct arena *arena, time_ms now)
{
    struct tls_pair pair;
    for (size_t i = 0; tls_server_pair(certificates->server, i, &pair); i++)
        if (ends_soon(pair.expires, now) && slice_equal(alarm_about(certificates, pair.name, arena), about))
            return true;
    return false;
}

static bool alarm_run(struct db *db, struct fault *why, void *context)
{
    struct certificates *certificates = context;
    time_ms now = world_wall(certificates->world);
    SCOPED(arena) arena = {0};
    struct alarm_row *rows;
    size_t count;
    struct tls_pair pair;
    for (size_t i = 0; tls_server_pair(certificates->server, i, &pair); i++)
        if (ends_soon(pair.expires, now) && !raise_one(certificates, db, why, &pair, &arena, now))
            return false;
    if (!alarm_list(db, why, false, now, ROWS_MOST, &arena, &rows, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (rows[i].kind == ALARM_CERTIFICATE && !rows[i].ended && is_of_us(certificates, rows[i].about) &&
            !holds(certificates, rows[i].about, &arena, now) &&
            !alarm_end(db, why, ALARM_CERTIFICATE, rows[i].about, now))
            return false;
    return true;
}

static void alarm_look(struct certificates *certificates)
{
    time_ms now = world_monotonic(certificates->world);
    struct fault why = {0};
    if (now < certificates->alarm_at)
        return;
    certificates->alarm_at = now + ALARM_EACH_MS;
    if (store_change(certificates->store, alarm_run, certificates, &why))
        return;
    log_warn("tls", "the alarm of certificates cannot be written now: %s", why.text);
    certificates->alarm_at = now + LOOK_MS;
}

/* ── the thread ── */

/* False: to end. */
static bool wait_for_look(struct certificates *certificates, bool *is_asked)
{
    struct pollfd wake = {.fd = certificates->wake, .events = POLLIN};
    uint64_t times;
    if (poll(&wake, 1, LOOK_MS) > 0 && read(certificates->wake, &times, sizeof(times)) < 0)
        log_warn("tls", "the certificates' eventfd: %s", strerrordesc_np(errno));
    *is_asked = atomic_exchange(&certificates->is_asked, false);
    return !atomic_load(&certificates->is_stopping);
}

static void wake_up(struct certificates *certificates)
{
    const uint64_t once = 1;
    if (write(certificates->wake, &once, sizeof(once)) < 0)
        log_warn("tls", "the certificates' eventfd: %s", strerrordesc_np(errno));
}

static void *certificates_main(void *arg)
{
    struct certificates *certificates = arg;
    struct stamp now[2 * PAIRS_MOST];
    bool is_asked;
    pthread_setname_np(pthread_self(), "certificates");
    alarm_look(certificates);
    while (wait_for_look(certificates, &is_asked)) {
        stamps_read(certificates, now);
        bool rests = stamps_equal(certificates, now, certificates->seen);
        memcpy(certificates->seen, now, sizeof(now));
        if (is_asked || (rests && !stamps_equal(certificates, now, certificates->read_of)))
            read_again(certificates);
        alarm_look(certificates);
    }
    return NULL;
}

void certificates_watch(struct certificates *certificates, struct store *store, struct world *world)
{
    if (!certificates->count)
        return;
    certificates->store = store;
    certificates->world = world;
    if (pthread_create(&certificates->thread, NULL, certificates_main, certificates) != 0)
        memory_gone("a thread");
    certificates->is_watching = true;
}

void certificates_reload(struct certificates *certificates)
{
    atomic_store(&certificates->is_asked, true);
    wake_up(certificates);
}

void certificates_stop(struct certificates *certificates)
{
    if (!certificates || !certificates->is_watching)
        return;
    atomic_store(&certificates->is_stopping, true);
    wake_up(certificates);
    pthread_join(certificates->thread, NULL);
    certificates->is_watching = false;
}

void certificates_free(struct certificates *certificates)
{
    if (!certificates)
        return;
    tls_server_free(certificates->server);
    close(certificates->wake);
    arena_release(&certificates->arena);
    free(certificates);
}
