#include "app/door.h"

#include "access/submit_right.h"
#include "app/change.h"
#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "campaign/brand.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

enum {
    KNOWN_MS = 1000,     /* keys and brands are read again after this */
    KNOWN_MOST = 10000,  /* keys remembered */
    MAKERS_MOST = 100,   /* keys that made each other, in a row */
    NETWORKS_MOST = 256, /* of submission.trusted */
};

/* A key as we know it. */
struct known_key {
    time_ms read_at;
    bool is_good;
    struct arena arena;
    struct key key;
    struct submit_right right;
    uint64_t hour_id; /* the key at the head of those that made each other */
};

struct door {
    struct door_options options;
    struct submission_network networks[NETWORKS_MOST];
    size_t network_count;
    unsigned char secret[SECRET_BYTES]; /* of SCRAM keys for names that are not there */
    struct db *reader;
    struct loop *loop;
    struct submission *submission;
    pthread_t thread;
    bool is_running;
    struct id_map keys; /* -> struct known_key */
    time_ms brands_at;
    struct map domains; /* From domain -> brand id, as a pointer */
    uint64_t only_brand, fallback_brand;
};

static time_ms wall(const struct door *door)
{
    return world_wall(door->options.world);
}

/* ── keys ── */

static void known_free(struct known_key *known)
{
    arena_release(&known->arena);
    free(known);
}

static void keys_forget(struct door *door)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&door->keys, &at));)
        known_free(entry->value);
    id_map_release(&door->keys);
    door->keys = (struct id_map){0};
}

/* What a key makes draws on its hour: else ten keys would have ten times as much (X16). */
static bool hour_find(struct door *door, const struct key *key, uint64_t *hour_id, struct fault *why)
{
    SCOPED(arena) arena = {0};
    struct key maker = *key;
    bool found = true;
    *hour_id = key->id;
    for (int i = 0; i < MAKERS_MOST && found && maker.maker; i++) {
        uint64_t id = maker.maker;
        if (!key_by_id(door->reader, why, id, &arena, &maker, &found))
            return false;
        *hour_id = id;
    }
    return true;
}

static struct known_key *key_get(struct door *door, uint64_t id, struct fault *why)
{
    time_ms now = world_monotonic(door->options.world);
    struct known_key *known = id_map_get(&door->keys, id);
    if (known && now - known->read_at < KNOWN_MS)
        return known;
    if (!known) {
        if (door->keys.count >= KNOWN_MOST)
            keys_forget(door);
        known = NEW(struct known_key);
        id_map_set(&door->keys, id, known);
    }
    bool found;
    arena_reset(&known->arena);
    if (!key_by_id(door->reader, why, id, &known->arena, &known->key, &found) ||
        !submit_right_find(door->reader, why, id, &known->arena, &known->right) ||
        (found && !hour_find(door, &known->key, &known->hour_id, why))) {
        known_free(id_map_remove(&door->keys, id));
        return NULL;
    }
    known->is_good = found && key_may(&known->key.rights, KEY_SUBMIT_WRITE);
    known->read_at = now;
    return known;
}

static bool is_good(const struct door *door, const struct known_key *known)
{
    return known->is_good && key_is_good(&known->key, wall(door));
}

static enum who_found later(const struct fault *why)
{
    log_warn("app", "keys and brands cannot be read: %s", why->text);
    return WHO_LATER;
}

/* ── when it was used last, to the minute ── */

static void key_is_used(const struct door *door, struct known_key *known)
{
    time_ms minute = wall(door) / 60000 * 60000;
    if (known->key.last_used >= minute)
        return;
    known->key.last_used = minute;
    key_use(door->options.store, known->key.id, minute);
}

/* ── struct authenticator ── */

/* Keys that nobody has, the same for the same name each time. */
static void keys_of_chance(const struct door *door, struct slice user, struct scram_keys *keys)
{
    unsigned char salt[SCRAM_KEY_BYTES];
    unsigned len = sizeof(salt);
    HMAC(EVP_sha256(), door->secret, sizeof(door->secret), (const unsigned char *)user.ptr, user.len, salt, &len);
    *keys = (struct scram_keys){.iterations = SCRAM_ITERATIONS, .salt_len = 16};
    memcpy(keys->salt, salt, 16);
    memcpy(keys->stored, door->secret, SCRAM_KEY_BYTES);
    memcpy(keys->server, door->secret, SCRAM_KEY_BYTES);
}

static bool name_is(const struct key *key, struct slice user)
{
    uint64_t number;
    return slice_equal(user, key->name) || (slice_to_u64(user, &number) && number == key->id);
}

static struct submitter submitter_of(const struct known_key *known)
{
    return (struct submitter){.key_id = known->key.id, .hour_id = known->hour_id, .per_hour = known->right.per_hour};
}

/* The secret alone says whose it is; the name must be that key's name or number. */
static enum who_found check(void *self, struct slice user, struct slice secret, struct submitter *who)
{
    struct door *door = self;
    SCOPED(arena) arena = {0};
    struct fault why = {0};
    struct key key;
    bool found;
    if (!key_find(door->reader, &why, secret, wall(door), &arena, &key, &found))
        return later(&why);
    struct known_key *known = found ? key_get(door, key.id, &why) : NULL;
    if (found && !known)
        return later(&why);
    if (!found || !name_is(&key, user) || !is_good(door, known))
        return WHO_NOBODY;
    *who = submitter_of(known);
    return WHO_FOUND;
}

static enum who_found scram(void *self, struct slice user, struct scram_keys *keys, struct submitter *who)
{
    struct door *door = self;
    SCOPED(arena) arena = {0};
    struct fault why = {0};
    struct key key;
    bool found;
    keys_of_chance(door, user, keys);
    if (!submit_key_named(door->reader, &why, user, wall(door), &arena, &key, &found))
        return later(&why);
    struct known_key *known = found ? key_get(door, key.id, &why) : NULL;
    if (found && !known)
        return later(&why);
    if (!found || !is_good(door, known) || !known->right.has_scram)
        return WHO_NOBODY;
    *keys = known->right.scram;
    *who = submitter_of(known);
    return WHO_FOUND;
}

static void domain_add(struct door *door, struct slice domain, uint64_t brand_id)
{
    if (domain.len && !map_get(&door->domains, domain))
        map_set(&door->domains, domain, (void *)(uintptr_t)brand_id);
}

static bool brands_read(struct door *door, struct fault *why)
{
    time_ms now = world_monotonic(door->options.world);
    if (door->brands_at && now - door->brands_at < KNOWN_MS)
        return true;
    map_release(&door->domains);
    door->domains = (struct map){0};
    door->only_brand = door->fallback_brand = 0;
    const char *wanted = door->options.config->submission_brand.text;
    size_t count = 0;
    SCOPED(rows) brands = {0};
    if (!db_query(door->reader, why, &brands, "SELECT id, from_address, name FROM brand ORDER BY id", NO_VALUES))
        return false;
    while (rows_next(&brands)) {
        struct slice address = rows_text(&brands, 1);
        uint64_t id = (uint64_t)rows_int(&brands, 0);
        domain_add(door, slice_from(address, (size_t)(slice_find_last_byte(address, '@') + 1)), id);
        door->only_brand = count++ ? 0 : id;
        if (wanted[0] && slice_equal(rows_text(&brands, 2), slice_str(wanted)))
            door->fallback_brand = id;
    }
    if (!rows_end(&brands))
        return false;
    if (!wanted[0])
        door->fallback_brand = door->only_brand;
    SCOPED(rows) keys = {0};
    if (!db_query(door->reader, why, &keys, "SELECT brand_id, domain FROM dkim_key WHERE is_active = 1 ORDER BY id",
                  NO_VALUES))
        return false;
    while (rows_next(&keys))
        domain_add(door, rows_text(&keys, 1), (uint64_t)rows_int(&keys, 0));
    door->brands_at = now ? now : 1;
    return rows_end(&keys);
}

/* The brand of this domain, or of the nearest above it. */
static uint64_t brand_of_domain(const struct door *door, struct slice domain)
{
    for (;;) {
        void *found = map_get(&door->domains, domain);
        ptrdiff_t dot = slice_find_byte(domain, '.');
        if (found || dot == SLICE_NPOS)
            return (uint64_t)(uintptr_t)found;
        domain = slice_from(domain, (size_t)dot + 1);
    }
}

static enum who_found brand(void *self, const struct submitter *who, struct slice from_domain, uint64_t *brand_id)
{
    struct door *door = self;
    struct fault why = {0};
    if (!brands_read(door, &why)) {
        door->brands_at = 0;
        return later(&why);
    }
    struct known_key *known = who->key_id ? key_get(door, who->key_id, &why) : NULL;
    if (who->key_id && !known)
        return later(&why);
    if (known && (!is_good(door, known) || !submit_right_has_domain(&known->right, from_domain)))
        return WHO_NOBODY;
    if (known)
        key_is_used(door, known);
    const struct key_rights *rights = known ? &known->key.rights : NULL;
    *brand_id = brand_of_domain(door, from_domain);
    if (!*brand_id)
        *brand_id = rights && rights->brand_count == 1 ? rights->brands[0] : door->fallback_brand;
    return *brand_id && (!rights || key_may_brand(rights, *brand_id)) ? WHO_FOUND : WHO_NOBODY;
}

/* ── settings ── */

/* "127.0.0.0/8, ::1" */
static bool networks_read(struct door *door, struct fault *why)
{
    struct slice rest = slice_str(door->options.config->submission_trusted.text), word;
    while (rest.len && slice_split(&rest, ',', &word)) {
        word = slice_trim(word);
        ptrdiff_t slash = slice_find_byte(word, '/');
        struct submission_network network;
        uint64_t bits;
        if (!ip_parse(slash < 0 ? word : slice_head(word, (size_t)slash), &network.ip))
            return fault_set(why, FAULT_INPUT, "submission.trusted: \"%.*s\" is no network", SLICE_ARG(word));
        unsigned most = network.ip.family == 6 ? 128 : 32;
        bits = most;
        if ((slash >= 0 && !slice_to_u64(slice_from(word, (size_t)slash + 1), &bits)) || bits > most)
            return fault_set(why, FAULT_INPUT, "submission.trusted: \"%.*s\" is no network", SLICE_ARG(word));
        if (door->network_count == NETWORKS_MOST)
            return fault_set(why, FAULT_INPUT, "submission.trusted: more than %d networks", NETWORKS_MOST);
        network.bits = (unsigned)bits;
        door->networks[door->network_count++] = network;
    }
    return true;
}

static bool secret_read(struct db *db, struct fault *why, void *context)
{
    struct door *door = context;
    struct secret secret;
    if (!secret_get(db, why, door->options.seal, "scram", wall(door), &secret))
        return false;
    memcpy(door->secret, secret.keys[0].bytes, sizeof(door->secret));
    explicit_bzero(&secret, sizeof(secret));
    return true;
}

/* ── running ── */

static void *door_main(void *arg)
{
    struct door *door = arg;
    loop_run(door->loop);
    bool has_sessions = submission_stop(door->submission);
    while (submission_pending(door->submission)) /* mails that wait for their commit */
        loop_turn(door->loop, 10);
    for (time_ms until = loop_now(door->loop) + SESSION_LAST_WORDS_MS; has_sessions && loop_now(door->loop) < until;)
        loop_turn(door->loop, 10); /* last words are heard */
    return NULL;
}

/* What keys have used of their hour does not end with the process. */
struct usage {
    struct submission *submission;
    struct id_map makers; /* key -> the one that made it, as a pointer */
};

static bool makers_read(struct db *db, struct usage *usage, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT id, maker_id FROM access_key WHERE maker_id > 0", NO_VALUES))
        return false;
    while (rows_next(&rows))
        id_map_set(&usage->makers, (uint64_t)rows_int(&rows, 0), (void *)(uintptr_t)rows_int(&rows, 1));
    return rows_end(&rows);
}

static void usage_take(void *context, uint64_t key_id, time_ms at, size_t recipients)
{
    struct usage *usage = context;
    const void *maker;
    for (int i = 0; i < MAKERS_MOST && (maker = id_map_get(&usage->makers, key_id)); i++)
        key_id = (uintptr_t)maker;
    submission_used(usage->submission, key_id, at, recipients);
}

static bool usage_read(struct door *door, struct fault *why)
{
    struct usage usage = {.submission = door->submission};
    bool ok = makers_read(door->reader, &usage, why) &&
              message_usage(door->reader, why, wall(door) - HOURS_MS(1), usage_take, &usage);
    id_map_release(&usage.makers);
    return ok;
}

static bool open_all(struct door *door, struct fault *why)
{
    const struct config *config = door->options.config;
    const char *name = door->options.host_name;
    if (!networks_read(door, why) || !store_change(door->options.store, secret_read, door, why) ||
        !(door->reader = store_reader_open(door->options.store, why)))
        return false;
    door->loop = loop_new(door->options.world);
    const struct submission_options options = {
        .session = {.listener = {.at = config->submission_listen.endpoint, .cure_setting = "submission.listen"},
                    .smtp = {.host_name = slice_str(name), .size_max = (uint64_t)config->submission_size_max.number},
                    .limits = {.sessions = (unsigned)config->submission_sessions.number,
                               .sessions_of_one = (unsigned)config->submission_sessions_of_one.number},
                    .tls = door->options.tls},
        .tls_at = config->submission_tls_listen.endpoint,
        .store = door->options.store,
        .authenticator = {.self = door, .check = check, .scram = scram, .brand = brand},
        .trusted = door->networks,
        .trusted_count = door->network_count,
        .expires_after = config->expires_after.duration,
        .keep_body = config->keep_bodies.duration,
        .date_offset_minutes = door->options.date_offset_minutes,
        .encodes_long_lines = strcmp(config->submission_long_lines.text, "encode") == 0,
        .keeps_8bit = strcmp(config->submission_eight_bit.text, "keep") == 0,
        .delay_after = config->submission_delay_after.duration,
        .no_reports = strcmp(config->submission_reports.text, "off") == 0,
        .takes_null_mx = strcmp(config->null_mx_senders.text, "accept") == 0,
        .recent = door->options.recent,
        .submitted = door->options.submitted,
        .owner = door->options.owner,
    };
    door->submission = submission_new(door->loop, &options, why);
    return door->submission && usage_read(door, why);
}

bool door_start(const struct door_options *options, struct door **door_out, struct fault *why)
{
    *door_out = NULL;
    if (!options->config->submission_listen.endpoint.ip.family &&
        !options->config->submission_tls_listen.endpoint.ip.family)
        return true;
    struct door *door = NEW(struct door);
    door->options = *options;
    *door_out = door;
    if (!open_all(door, why))
        return false;
    if (pthread_create(&door->thread, NULL, door_main, door) != 0)
        memory_gone("a thread");
    door->is_running = true;
    return true;
}

void door_stop(struct door *door)
{
    if (!door)
        return;
    if (door->is_running) {
        loop_stop(door->loop);
        pthread_join(door->thread, NULL);
    }
    submission_free(door->submission);
    if (door->loop)
        loop_free(door->loop);
    keys_forget(door);
    map_release(&door->domains);
    db_free(door->reader);
    explicit_bzero(door->secret, sizeof(door->secret));
    free(door);
}
