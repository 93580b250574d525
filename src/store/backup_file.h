/* backup_file.h - the file that a backup is: a stream of bytes, compressed, in chunks that are sealed one by one
 *
 * head (64 octets): "todoke-backup-1\n", flags (bit 0: sealed), 3 zeros, key id (4), schema (4), created in ms (8),
 * salt (16), 12 zeros. Numbers begin with the most significant octet. chunk: length (4; the top bit marks the last
 * one), that many octets, a tag of 16.
 *
 * Sealed: AES-256-GCM by a key of this file's own, HMAC-SHA-256(key file, "todoke backup 1" head); the nonce is the
 * chunk's number, the length is authenticated. Clear: the tag is the beginning of SHA-256(head, number, length,
 * octets). So a file that was cut, put together anew or changed anywhere is refused; in the clear that guards against
 * accidents only. What the chunks carry is one zlib stream (RFC 1950), read and written with some hundred KB of memory.
 */
#ifndef TODOKE_STORE_BACKUP_FILE_H
#define TODOKE_STORE_BACKUP_FILE_H

#include "base/time.h"
#include "store/seal.h"

struct backup_head {
    bool is_sealed;
    uint32_t key_id; /* of the key that sealed it; in the clear: of the key file that was there, 0: none */
    int schema;      /* data/schema/ up to this number */
    time_ms created;
};

/* Writing. The file is the caller's: fsync and close are too. key NULL: in the clear. */
struct backup_out;
struct backup_out *backup_out_new(int file, const struct backup_head *head, const struct seal_key *key);
NODISCARD bool backup_out_put(struct backup_out *out, struct slice bytes, struct fault *why); /* WORLD */
NODISCARD bool backup_out_end(struct backup_out *out, struct fault *why);
uint64_t backup_out_octets(const struct backup_out *out); /* in the file so far */
void backup_out_free(struct backup_out *out);

/* Reading, from the file's beginning. INPUT: no backup, another key's, cut or changed (where). key may be NULL for one
 * in the clear. */
struct backup_in;
struct backup_in *backup_in_new(int file, const struct seal_key *key, struct backup_head *head, struct fault *why);
/* Exactly `len` octets. INPUT: it ends before, or is damaged. */
NODISCARD bool backup_in_take(struct backup_in *in, void *to, size_t len, struct fault *why);
/* Nothing may follow. */
NODISCARD bool backup_in_end(struct backup_in *in, struct fault *why);
uint64_t backup_in_octets(const struct backup_in *in);
void backup_in_free(struct backup_in *in);

#endif
