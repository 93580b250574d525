/* replay.h - a fuzz target on its seeds and on what chance makes of them, for ten seconds (for *_test.c only)
 *
 * `./run fuzz` searches with libFuzzer; this keeps what it found found, in every test run, with the sanitizers that are
 * on anyway and without clang. Each seed as it is, then mutants: bytes changed, cut out, doubled, two seeds spliced.
 * The chance is seeded: the same run each time, as far as it comes. */
#ifndef TODOKE_BASE_REPLAY_H
#define TODOKE_BASE_REPLAY_H

#include "base/buf.h"
#include "base/random.h"
#include "base/test.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPLAY_SEEDS_MAX = 512, REPLAY_SEED_BYTES = 64 << 10, REPLAY_SECONDS = 10 };

struct replay {
    struct buf seeds[REPLAY_SEEDS_MAX];
    size_t count;
};

/* Every file of a folder below the source's root; a folder that does not exist is empty. */
static inline void replay_read(struct replay *replay, const char *folder)
{
    const char *root = getenv("TODOKE_SOURCE_ROOT");
    char path[4096];
    struct dirent **names;
    snprintf(path, sizeof(path), "%s/%s", root ? root : ".", folder);
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s/%s", root ? root : ".", folder, names[i]->d_name);
        FILE *file = names[i]->d_name[0] == '.' || replay->count == REPLAY_SEEDS_MAX ? NULL : fopen(path, "rb");
        if (file) {
            struct buf *seed = &replay->seeds[replay->count++];
            buf_init(seed, REPLAY_SEED_BYTES);
            char *to = buf_reserve(seed, REPLAY_SEED_BYTES);
            buf_advance(seed, fread(to, 1, REPLAY_SEED_BYTES, file));
            fclose(file);
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static inline size_t replay_below(struct random *random, size_t most)
{
    return most ? (size_t)random_below(random, most) : 0;
}

/* One change: of a byte, a piece taken out or doubled, or the end of another seed put in place of ours. */
static inline void replay_mutate(const struct replay *replay, struct random *random, struct buf *mail,
                                 struct buf *spare)
{
    static const char *const bytes = "\r\n \t:;=-<>@\"\\\0\xff\x80"
                                     "%9A";
    size_t at = replay_below(random, mail->len), len = replay_below(random, mail->len - at < 64 ? mail->len - at : 64);
    struct slice whole = buf_slice(mail);
    if (!mail->len)
        return;
    buf_reset(spare);
    switch (replay_below(random, 4)) {
    case 0: mail->ptr[at] = bytes[replay_below(random, 19)]; return;
    case 1:
        buf_append(spare, slice_head(whole, at));
        buf_append(spare, slice_from(whole, at + len));
        break;
    case 2:
        buf_append(spare, slice_head(whole, at + len));
        buf_append(spare, slice_from(whole, at));
        break;
    default: {
        struct slice other = buf_slice(&replay->seeds[replay_below(random, replay->count)]);
        buf_append(spare, slice_head(whole, at));
        buf_append(spare, slice_from(other, replay_below(random, other.len)));
    }
    }
    if (!buf_ok(spare))
        return;
    struct buf swap = *mail;
    *mail = *spare;
    *spare = swap;
}

static inline void replay_run(struct replay *replay, int (*target)(const uint8_t *, size_t))
{
    struct random random;
    SCOPED(buf) mail = BUF(2 * REPLAY_SEED_BYTES);
    SCOPED(buf) spare = BUF(2 * REPLAY_SEED_BYTES);
    size_t runs = 0;
    assert_true(replay->count > 0);
    random_seed(&random, 1);
    for (size_t i = 0; i < replay->count; i++)
        target((const uint8_t *)replay->seeds[i].ptr, replay->seeds[i].len);
    for (time_t end = time(NULL) + REPLAY_SECONDS; time(NULL) < end; runs++) {
        buf_reset(&mail);
        buf_append(&mail, buf_slice(&replay->seeds[replay_below(&random, replay->count)]));
        for (size_t changes = 1 + replay_below(&random, 6); changes--;)
            replay_mutate(replay, &random, &mail, &spare);
        target((const uint8_t *)mail.ptr, mail.len);
    }
    print_message("# %zu seeds, %zu mutants\n", replay->count, runs);
    for (size_t i = 0; i < replay->count; i++)
        buf_release(&replay->seeds[i]);
}

#endif
