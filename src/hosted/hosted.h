/* hosted.h - files that people download by a link in a mail (S27): kept in the store, until they expire
 *
 * A file has a name, a type, a brand and an expiry; its bytes are a body, kept once for all files with the same bytes
 * (SHA-256 and size), in pieces of HOSTED_PIECE octets. They are in the store and not in a folder beside it: every node
 * has them at once, a backup of the store has them too, and a file and its bytes are one transaction's matter.
 *
 *     body:  ARRIVING --the last piece is there: hosted_add--> WHOLE --no file uses it, HOSTED_SPARE_MS: sweep--> GOING
 *               | nobody writes to it, HOSTED_SPARE_MS: sweep --------------------------------------------------> GOING
 *            GOING --sweep, some pieces at a time--> gone
 *     file:  THERE --hosted_remove--> REMOVED   --HOSTED_TOLD_MS: sweep--> gone
 *            THERE --sweep: expired--> EXPIRED  --likewise
 *
 * Always true: a file that is THERE has a WHOLE body, and `uses` of a body is how many such files it has. So what a
 * crash leaves of an upload is a body that nobody uses: nobody sees it, and it is swept. A file that has ended is still
 * known, so that its link can say what happened. */
#ifndef TODOKE_HOSTED_HOSTED_H
#define TODOKE_HOSTED_HOSTED_H

#include "base/arena.h"
#include "base/buf.h"
#include "mail/brands.h"
#include "store/db.h"

enum {
    HOSTED_PIECE = 128 << 10, /* octets */
    HOSTED_SHA256 = 32,
    HOSTED_NAME_MAX = 255,     /* octets */
    HOSTED_TYPE_MAX = 127,     /* octets */
    HOSTED_SPARE_MS = 600000,  /* who reads a file while it ends has so long */
    HOSTED_ETAG_LEN = 64 + 2,  /* with its quotes */
    HOSTED_PIECES_MAX = 65536, /* of one file: 8 GiB */
    HOSTED_DAYS_MOST = 399,    /* a file is there */
};
#define HOSTED_SIZE_MAX ((uint64_t)HOSTED_PIECE * HOSTED_PIECES_MAX)
#define HOSTED_TOLD_MS  DAYS_MS(400)

/* numbers in the store: never change */
enum hosted_body_state { HOSTED_ARRIVING, HOSTED_WHOLE, HOSTED_GOING };
enum hosted_state { HOSTED_THERE, HOSTED_REMOVED, HOSTED_EXPIRED };

struct hosted_body {
    uint64_t id;
    uint64_t size_bytes;
    unsigned char sha256[HOSTED_SHA256];
};
struct hosted_file {
    uint64_t id, brand_id, key_id;
    uint64_t message_id; /* it came as an attachment of this mail, and templates do not find it; 0: by itself */
    struct slice name;   /* as hosted_name_clean gives it */
    struct slice type;   /* as hosted_type_of gives it */
    struct hosted_body body;
    time_ms created, expires;
    enum hosted_state state; /* by the time it was read at */
    time_ms ended;
    uint64_t downloads; /* by people */
};
/* "there", "removed", "expired" */
struct slice hosted_state_word(enum hosted_state state);

/* --- inside write jobs --- */
/* Bytes in memory: found again, or written, at most 32 MB. */
NODISCARD bool hosted_body_put(struct db *db, struct fault *why, struct slice bytes, time_ms now,
                               struct hosted_body *body);
/* A WHOLE one with these bytes into body->id; 0: there is none. */
NODISCARD bool hosted_body_find(struct db *db, struct fault *why, struct hosted_body *body);
/* A new one that is ARRIVING, into body->id. */
NODISCARD bool hosted_body_begin(struct db *db, struct fault *why, struct hosted_body *body, time_ms now);
/* The piece at this place, from 0. WORLD: the body has been swept meanwhile. */
NODISCARD bool hosted_piece_put(struct db *db, struct fault *why, uint64_t body_id, unsigned place, struct slice bytes,
                                time_ms now);
/* The file is there from this commit on. All pieces of its body are. WORLD: the body has been swept meanwhile: put it
 * again. */
NODISCARD bool hosted_add(struct db *db, struct fault *why, const struct hosted_file *file);
/* *was_there: it was there until now. */
NODISCARD bool hosted_remove(struct db *db, struct fault *why, uint64_t id, time_ms now, bool *was_there);
/* Until when it can be downloaded, later or sooner; links that were sent hold as long as it does. *was_there: as above,
 * and it had not expired. */
NODISCARD bool hosted_extend(struct db *db, struct fault *why, uint64_t id, time_ms expires, time_ms now,
                             bool *was_there);
/* A person has used a link of it. */
NODISCARD bool hosted_downloaded(struct db *db, struct fault *why, uint64_t id);

struct hosted_swept {
    size_t expired, bodies;
    uint64_t bytes;
    bool has_more; /* come again soon */
};
/* Some of what is due: files that expire, bodies that nobody uses, what ended long ago. */
NODISCARD bool hosted_sweep(struct db *db, struct fault *why, time_ms now, struct hosted_swept *swept);

/* --- looking; texts live in the arena --- */
NODISCARD bool hosted_find(struct db *db, struct fault *why, uint64_t id, time_ms now, struct arena *arena,
                           struct hosted_file *file, bool *found);
/* The newest of that name which is there; not those that came with a mail. */
NODISCARD bool hosted_find_name(struct db *db, struct fault *why, uint64_t brand_id, struct slice name, time_ms now,
                                struct arena *arena, struct hosted_file *file, bool *found);
/* Newest first, below `before` (0: from the newest); has_ended: those that have ended too. */
NODISCARD bool hosted_list(struct db *db, struct fault *why, const struct brands *brands, uint64_t before,
                           unsigned limit, bool has_ended, time_ms now, struct arena *arena, struct hosted_file **files,
                           size_t *count);
/* Append one piece. INPUT: it is not there (any more). */
NODISCARD bool hosted_piece_read(struct db *db, struct fault *why, uint64_t body_id, unsigned place, struct buf *out);

/* "\"<SHA-256 in hex>\"": a strong entity tag (RFC 9110 8.8.3). */
void hosted_etag(const struct hosted_body *body, struct buf *out);

#endif
