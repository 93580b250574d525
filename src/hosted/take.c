#include "hosted/take.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

enum { PIECES_AT_ONCE = 8 };

struct taking {
    struct write_job job;
    struct world *world;
    struct hosted_body *body;
    const char *bytes; /* of the pieces at hand */
    size_t len;
    unsigned place;
    bool is_known; /* of the last run: these bytes are there */
};
#define TAKING_OF(ptr) ((struct taking *)(void *)((char *)(ptr)-offsetof(struct taking, job)))

static bool begin_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct taking *taking = TAKING_OF(job);
    if (!hosted_body_find(db, why, taking->body))
        return false;
    taking->is_known = taking->body->id != 0;
    return taking->is_known || hosted_body_begin(db, why, taking->body, world_wall(taking->world));
}

static bool pieces_run(struct write_job *job, struct db *db, struct fault *why)
{
    const struct taking *taking = TAKING_OF(job);
    struct slice rest = slice_of(taking->bytes, taking->len);
    for (unsigned place = taking->place; rest.len; place++, rest = slice_from(rest, HOSTED_PIECE))
        if (!hosted_piece_put(db, why, taking->body->id, place, slice_head(rest, HOSTED_PIECE),
                              world_wall(taking->world)))
            return false;
    return true;
}

static bool write_by(struct store *store, struct taking *taking,
                     bool (*run)(struct write_job *job, struct db *db, struct fault *why), struct fault *why)
{
    taking->job = (struct write_job){.run = run, .rows = PIECES_AT_ONCE * 8, .fails_fast = true};
    return store_write_wait(store, &taking->job, why);
}

static bool bytes_read(int file, uint64_t at, char *to, size_t len, struct fault *why)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = pread(file, to + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_errno(why, "reading the file");
        if (got == 0)
            return fault_set(why, FAULT_INPUT, "the file became shorter while it was read");
        done += (size_t)got;
    }
    return true;
}

/* Through the whole file, a stretch at a time; its hash. Unless it writes: only that. */
static bool pass(struct store *store, struct taking *taking, int file, uint64_t size, char *room,
                 const struct hosted_watch *watch, bool writes, unsigned char sha256[HOSTED_SHA256], struct fault *why)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;
    for (uint64_t at = 0; ok && at < size; at += taking->len) {
        taking->bytes = room;
        taking->len = size - at < PIECES_AT_ONCE * HOSTED_PIECE ? (size_t)(size - at) : PIECES_AT_ONCE * HOSTED_PIECE;
        taking->place = (unsigned)(at / HOSTED_PIECE);
        if (watch && watch->is_stopping && atomic_load(watch->is_stopping))
            ok = fault_set(why, FAULT_WORLD, "the server is stopping; send the file again");
        ok = ok && bytes_read(file, at, room, taking->len, why) && EVP_DigestUpdate(hash, room, taking->len) == 1 &&
             (!writes || write_by(store, taking, pieces_run, why));
        if (ok && writes && watch && watch->progress)
            watch->progress(watch, at + taking->len);
    }
    ok = ok && EVP_DigestFinal_ex(hash, sha256, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return ok;
}

bool hosted_take(struct store *store, struct world *world, int file, uint64_t size_bytes,
                 const struct hosted_watch *watch, struct hosted_body *body, struct fault *why)
{
    struct taking taking = {.world = world, .body = body};
    unsigned char again[HOSTED_SHA256];
    *body = (struct hosted_body){.size_bytes = size_bytes};
    if (size_bytes > HOSTED_SIZE_MAX)
        return fault_set(why, FAULT_INPUT, "a file has at most %llu octets", (unsigned long long)HOSTED_SIZE_MAX);
    char *room = NEW_ARRAY(char, PIECES_AT_ONCE *HOSTED_PIECE);
    bool ok = pass(store, &taking, file, size_bytes, room, watch, false, body->sha256, why) &&
              write_by(store, &taking, begin_run, why);
    if (ok && !taking.is_known) {
        ok = pass(store, &taking, file, size_bytes, room, watch, true, again, why);
        if (ok && memcmp(again, body->sha256, HOSTED_SHA256) != 0)
            ok = fault_set(why, FAULT_INPUT, "the file changed while it was read");
    }
    free(room);
    return ok;
}
