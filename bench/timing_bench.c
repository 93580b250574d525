/* timing_bench.c - does how long a check takes tell what it compared? (RELIABILITY X7)
 *
 *     timing_bench [MEASUREMENTS]     default 1000000 for each check
 *
 * Each check is asked with inputs of two classes, in an order drawn for each measurement, and Welch's t-test compares
 * their times in cycles: over all of them, and over those below certain percentiles, since interrupts and neighbours
 * only make times longer; the greatest |t| counts. Inputs are made before the clock runs and copied into the same
 * place, so that the caches and the predictor see no difference but the bytes. Two classes: what was shown is wrong at
 * its front, or only at its end: a check that stops at the first difference is slower for the second.
 *
 * The controls are checks that do stop there (memcmp, and a loop): where they are not found, the measurement was no
 * good. Status 1: a check of ours was found (|t| >= 4.5), or a control was not. */
#include "access/key.h"
#include "api/sign_in.h"
#include "base/random.h"
#include "mailauth/token.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

enum { BATCH = 2000, INPUT_MAX = 512, CROPS = 8, LEAST = 100000 };
static const time_ms NOW = 1795321800000;
static const double FOUND = 4.5; /* what dudect calls a leak at least probable */

static struct random chance;
static volatile int sink;

static uint64_t ticks(void)
{
#ifdef __x86_64__
    unsigned core;
    _mm_lfence();
    uint64_t now = __rdtscp(&core);
    _mm_lfence();
    return now;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

/* ── the checks ── */

struct bench {
    struct token_ring ring;
    struct sessions *sessions;
    struct world world;
    struct db *db;
    struct arena arena;
    unsigned char secret[INPUT_MAX]; /* of the row that is measured */
};

struct row {
    const char *name;
    size_t len;
    /* An input of the class (0: wrong at the front, 1: at the end). */
    void (*make)(struct bench *bench, const struct row *row, int class, unsigned char *input);
    int (*check)(struct bench *bench, const struct row *row, const unsigned char *input);
    enum token_kind kind;
    bool is_control;
};

static void octets_make(struct bench *bench, const struct row *row, int class, unsigned char *input)
{
    memcpy(input, bench->secret, row->len);
    input[class ? row->len - 1 : 0] ^= (unsigned char)(1 + random_below(&chance, 255));
}

static int ours_check(struct bench *bench, const struct row *row, const unsigned char *input)
{
    return slice_equal_constant_time(slice_of(input, row->len), slice_of(bench->secret, row->len));
}

static int memcmp_check(struct bench *bench, const struct row *row, const unsigned char *input)
{
    return memcmp(input, bench->secret, row->len);
}

static int loop_check(struct bench *bench, const struct row *row, const unsigned char *input)
{
    size_t i = 0;
    while (i < row->len && input[i] == bench->secret[i])
        i++;
    return i == row->len;
}

/* Another token each time, so that both classes have the same characters; its MAC is wrong at the front or the end.
 * The last octet's lower bits stand in no character of their own, so one of the upper ones is changed. */
static void token_input(struct bench *bench, const struct row *row, int class, unsigned char *input)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    size_t mac_chars = ((row->kind == TOKEN_RETURN_PATH ? 12 : 16) * 8 + 4) / 5;
    struct token token = {random_next(&chance), row->kind == TOKEN_CLICK  ? random_below(&chance, 1000)
                                                : row->kind == TOKEN_FILE ? random_next(&chance)
                                                                          : 0};
    SCOPED(buf) text = BUF(128);
    token_make(&bench->ring, row->kind, &token, NOW + DAYS_MS(30), &text);
    /* the character before the last holds octets of the MAC alone; so does the second of the MAC */
    size_t at = class ? text.len - 2 : text.len - mac_chars + 1;
    size_t value = (size_t)(strchr(alphabet, text.ptr[at]) - alphabet);
    text.ptr[at] = alphabet[(value + 1 + random_below(&chance, 31)) % 32];
    memcpy(input, text.ptr, row->len);
}

static int token_ask(struct bench *bench, const struct row *row, const unsigned char *input)
{
    struct token token;
    return token_check(&bench->ring, row->kind, slice_of(input, row->len), NOW, &token);
}

/* Secrets and ids of sessions are hashed first: nothing of them is compared but the digest. Wrong from the front, or
 * right in their first half; many digests in either class, as the way through an index depends on the digest. */
static void text_make(struct bench *bench, const struct row *row, int class, unsigned char *input)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t front = row->len - SESSION_ID_TEXT; /* "todoke_" of a key */
    memcpy(input, bench->secret, row->len);
    for (size_t i = class ? row->len - 20 : front; i < row->len; i++)
        input[i] = (unsigned char)alphabet[random_below(&chance, 64)];
}

static int key_check(struct bench *bench, const struct row *row, const unsigned char *input)
{
    struct key key;
    struct fault why = {0};
    bool found;
    if (!key_find(bench->db, &why, slice_of(input, row->len), NOW, &bench->arena, &key, &found) || found)
        abort();
    return found;
}

static int session_check(struct bench *bench, const struct row *row, const unsigned char *input)
{
    return session_is_open(bench->sessions, slice_of(input, row->len), NOW, NULL);
}

/* ── Welch's t ── */

struct mean { /* Welford's */
    double count, mean, square;
};
static void mean_add(struct mean *mean, double x)
{
    double from = x - mean->mean;
    mean->count++;
    mean->mean += from / mean->count;
    mean->square += from * (x - mean->mean);
}

static double welch(const struct mean classes[2])
{
    double spread = 0;
    for (int i = 0; i < 2; i++) {
        if (classes[i].count < 1000)
            return 0;
        spread += classes[i].square / (classes[i].count - 1) / classes[i].count;
    }
    return spread > 0 ? (classes[0].mean - classes[1].mean) / sqrt(spread) : 0;
}

struct result {
    struct mean all[2], cropped[CROPS][2];
    uint64_t limits[CROPS]; /* cycles */
};

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The percentiles are those of the first batch, which is not counted. */
static void limits_set(struct result *result, const uint64_t *took)
{
    uint64_t sorted[BATCH];
    memcpy(sorted, took, sizeof(sorted));
    qsort(sorted, BATCH, sizeof(*sorted), by_size);
    for (int i = 0; i < CROPS; i++)
        result->limits[i] = sorted[(size_t)((double)BATCH * (1 - pow(0.5, (i + 1) * 0.8)))];
}

static void count(struct result *result, int class, uint64_t took)
{
    mean_add(&result->all[class], (double)took);
    for (int i = 0; i < CROPS; i++)
        if (took < result->limits[i])
            mean_add(&result->cropped[i][class], (double)took);
}

static double greatest(const struct result *result)
{
    double most = welch(result->all);
    for (int i = 0; i < CROPS; i++) {
        double t = welch(result->cropped[i]);
        most = fabs(t) > fabs(most) ? t : most;
    }
    return most;
}

static double measure(struct bench *bench, const struct row *row, uint64_t wanted, struct result *result)
{
    static unsigned char inputs[BATCH][INPUT_MAX], shown[INPUT_MAX];
    static unsigned char classes[BATCH];
    static uint64_t took[BATCH];
    for (uint64_t done = 0, batch = 0; done < wanted; batch++) {
        for (int i = 0; i < BATCH; i++) {
            classes[i] = (unsigned char)random_below(&chance, 2);
            row->make(bench, row, classes[i], inputs[i]);
        }
        for (int i = 0; i < BATCH; i++) {
            memcpy(shown, inputs[i], INPUT_MAX);
            uint64_t begun = ticks();
            sink = row->check(bench, row, shown);
            took[i] = ticks() - begun;
        }
        arena_reset(&bench->arena);
        if (batch == 0) {
            limits_set(result, took);
            continue;
        }
        for (int i = 0; i < BATCH; i++)
            count(result, classes[i], took[i]);
        done += BATCH;
    }
    return greatest(result);
}

/* ── what is needed around them ── */

struct making {
    struct write_job job;
    struct buf secret;
};
static bool making_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct making *making = (struct making *)job;
    struct buf other = BUF(128);
    bool ok = true;
    for (int i = 0; ok && i < 20; i++) { /* an index with something in it */
        buf_reset(&other);
        ok = key_create(db, why, SLICE("other"), NOW, 0, NULL, &other, NULL);
    }
    buf_release(&other);
    buf_reset(&making->secret);
    return ok && key_create(db, why, SLICE("bench"), NOW, 0, NULL, &making->secret, NULL);
}

static void keys_set(struct bench *bench)
{
    for (int kind = 0; kind < TOKEN_KIND_COUNT; kind++) {
        struct token_keys keys = {.count = 1, .keys[0].id = 1};
        random_bytes(keys.keys[0].bytes, TOKEN_KEY_BYTES);
        token_ring_set(&bench->ring, (enum token_kind)kind, &keys);
    }
}

static bool rows_measure(struct bench *bench, struct slice key, struct slice session, uint64_t wanted)
{
    static const struct row rows[] = {
        {"control: memcmp, 256 octets", 256, octets_make, memcmp_check, .is_control = true},
        {"control: a loop, 16 octets", 16, octets_make, loop_check, .is_control = true},
        {"compare, 12 octets", 12, octets_make, ours_check},
        {"compare, 16 octets", 16, octets_make, ours_check},
        {"compare, 32 octets", 32, octets_make, ours_check},
        {"compare, 256 octets", 256, octets_make, ours_check},
        {"token of a return path", TOKEN_V1_LEN, token_input, token_ask, TOKEN_RETURN_PATH},
        {"token of an unsubscribe link", TOKEN_LEN, token_input, token_ask, TOKEN_UNSUBSCRIBE},
        {"token of a click", TOKEN_LEN, token_input, token_ask, TOKEN_CLICK},
        {"token of an open", TOKEN_LEN, token_input, token_ask, TOKEN_OPEN},
        {"token of preferences", TOKEN_LEN, token_input, token_ask, TOKEN_PREFERENCES},
        {"token of a confirmation", TOKEN_LEN, token_input, token_ask, TOKEN_CONFIRM},
        {"token of a file", TOKEN_FILE_LEN, token_input, token_ask, TOKEN_FILE},
        {"session of a browser", SESSION_ID_TEXT, text_make, session_check},
        {"API key, in the store", 50, text_make, key_check},
    };
    bool is_good = true;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct result *result = NEW(struct result);
        const struct row *row = &rows[i];
        struct slice secret = row->check == key_check ? key : session;
        if (row->make == text_make)
            memcpy(bench->secret, secret.ptr, secret.len);
        else
            random_bytes(bench->secret, sizeof(bench->secret));
        double t = measure(bench, row, wanted, result);
        bool is_found = fabs(t) >= FOUND, is_right = is_found == row->is_control;
        printf("%-6s %-32s |t| = %8.2f   %8.0f and %8.0f cycles, %.0f measurements\n", is_right ? "ok" : "NOT OK",
               row->name, fabs(t), result->all[0].mean, result->all[1].mean,
               result->all[0].count + result->all[1].count);
        fflush(stdout);
        is_good = is_good && is_right;
        free(result);
    }
    return is_good;
}

int main(int argc, char **argv)
{
    uint64_t wanted = 1000000, seed;
    struct fault why = {0};
    char dir[] = "/tmp/todoke-timing-XXXXXX", url[200], id[SESSION_ID_TEXT];
    if (argc > 1 && (!slice_to_u64(slice_str(argv[1]), &wanted) || wanted < LEAST)) {
        fprintf(stderr, "usage: timing_bench [MEASUREMENTS (from %d)]\n", LEAST);
        return 2;
    }
    random_bytes(&seed, sizeof(seed));
    random_seed(&chance, seed);
    struct bench bench = {.ring = {.kept = NULL}, .sessions = NEW(struct sessions)};
    struct making making = {.job.run = making_run, .secret = BUF(128)};
    world_init_manual(&bench.world, NOW, seed);
    session_begin(bench.sessions, &bench.world, 7, id);
    bench.sessions->list[0].until = NOW + DAYS_MS(1);
    keys_set(&bench);
    struct store *store = NULL;
    bool is_good = false;
    if (!mkdtemp(dir))
        return 2;
    snprintf(url, sizeof(url), "sqlite:%s/store.db", dir);
    if ((store = store_open(url, NULL, &why)) && store_write_wait(store, &making.job, &why) &&
        (bench.db = store_reader_open(store, &why)))
        is_good = rows_measure(&bench, buf_slice(&making.secret), slice_of(id, sizeof(id)), wanted);
    else
        fprintf(stderr, "timing_bench: %s\n", why.text);
    db_free(bench.db);
    store_close(store);
    arena_release(&bench.arena);
    token_ring_release(&bench.ring);
    buf_release(&making.secret);
    free(bench.sessions);
    static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm", "store.lock"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(url, sizeof(url), "%s/%s", dir, files[i]);
        unlink(url);
    }
    rmdir(dir);
    return is_good ? 0 : 1;
}
