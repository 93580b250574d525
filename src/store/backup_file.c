#include "store/backup_file.h"
#include "base/memory.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { HEAD = 64, TAG = 16, NONCE = 12, LENGTH = 4, CHUNK = 256 * 1024 };
static const char magic[16] = "todoke-backup-1\n";
static const uint32_t LAST = (uint32_t)1 << 31;

/* What both directions keep. */
struct chunks {
    int file;
    unsigned char head[HEAD];
    EVP_CIPHER_CTX *cipher; /* NULL: in the clear */
    EVP_MD_CTX *digest;
    uint64_t number; /* of the next chunk */
    uint64_t octets;
    unsigned char bytes[LENGTH + CHUNK + TAG];
    unsigned char opened[CHUNK];
};

static void number_put(unsigned char *to, uint64_t number, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        to[i] = (unsigned char)(number >> 8 * (width - 1 - i));
}

static uint64_t number_get(const unsigned char *from, unsigned width)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < width; i++)
        number = number << 8 | from[i];
    return number;
}

/* A key of this file's own: whoever has one file's key, by whatever mistake, has no other's. */
static void cipher_begin(struct chunks *chunks, const struct seal_key *key, bool seals)
{
    static const char label[] = "todoke backup 1";
    unsigned char text[sizeof(label) - 1 + HEAD], own[32];
    unsigned len = sizeof(own);
    memcpy(text, label, sizeof(label) - 1);
    memcpy(text + sizeof(label) - 1, chunks->head, HEAD);
    const unsigned char *made = HMAC(EVP_sha256(), key->key, sizeof(key->key), text, sizeof(text), own, &len);
    assert(made && len == sizeof(own));
    chunks->cipher = EVP_CIPHER_CTX_new();
    int ok = seals ? EVP_EncryptInit_ex(chunks->cipher, EVP_aes_256_gcm(), NULL, own, NULL)
                   : EVP_DecryptInit_ex(chunks->cipher, EVP_aes_256_gcm(), NULL, own, NULL);
    assert(ok == 1);
    OPENSSL_cleanse(own, sizeof(own));
}

static void nonce_of(const struct chunks *chunks, unsigned char nonce[NONCE])
{
    memset(nonce, 0, NONCE);
    number_put(nonce + NONCE - 8, chunks->number, 8);
}

static void clear_tag(struct chunks *chunks, const unsigned char *bytes, size_t len, unsigned char tag[TAG])
{
    unsigned char number[8], sum[EVP_MAX_MD_SIZE];
    number_put(number, chunks->number, 8);
    int ok = EVP_DigestInit_ex(chunks->digest, EVP_sha256(), NULL) &&
             EVP_DigestUpdate(chunks->digest, chunks->head, HEAD) &&
             EVP_DigestUpdate(chunks->digest, number, sizeof(number)) && EVP_DigestUpdate(chunks->digest, bytes, len) &&
             EVP_DigestFinal_ex(chunks->digest, sum, NULL);
    assert(ok == 1);
    memcpy(tag, sum, TAG);
}

static void chunks_release(struct chunks *chunks)
{
    EVP_CIPHER_CTX_free(chunks->cipher);
    EVP_MD_CTX_free(chunks->digest);
    OPENSSL_cleanse(chunks->opened, sizeof(chunks->opened));
}

/* ── writing ── */

struct backup_out {
    struct chunks chunks;
    z_stream zip;
    bool has_head;
};

static bool write_all(struct chunks *chunks, const unsigned char *bytes, size_t len, struct fault *why)
{
    for (size_t at = 0; at < len;) {
        ssize_t wrote = write(chunks->file, bytes + at, len - at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fault_errno(why, "writing the backup");
        at += (size_t)wrote;
    }
    chunks->octets += len;
    return true;
}

static void seal_chunk(struct chunks *chunks, size_t len)
{
    unsigned char nonce[NONCE], *body = chunks->bytes + LENGTH;
    int done = 0;
    nonce_of(chunks, nonce);
    int ok = EVP_EncryptInit_ex(chunks->cipher, NULL, NULL, NULL, nonce) &&
             EVP_EncryptUpdate(chunks->cipher, NULL, &done, chunks->bytes, LENGTH) &&
             EVP_EncryptUpdate(chunks->cipher, body, &done, chunks->opened, (int)len) &&
             EVP_EncryptFinal_ex(chunks->cipher, body + done, &done) &&
             EVP_CIPHER_CTX_ctrl(chunks->cipher, EVP_CTRL_GCM_GET_TAG, TAG, body + len);
    assert(ok == 1);
}

static bool chunk_write(struct backup_out *out, bool is_last, struct fault *why)
{
    struct chunks *chunks = &out->chunks;
    size_t len = CHUNK - out->zip.avail_out;
    if (!out->has_head && !write_all(chunks, chunks->head, HEAD, why))
        return false;
    out->has_head = true;
    number_put(chunks->bytes, (uint32_t)len | (is_last ? LAST : 0), LENGTH);
    if (chunks->cipher) {
        seal_chunk(chunks, len);
    } else {
        memcpy(chunks->bytes + LENGTH, chunks->opened, len);
        clear_tag(chunks, chunks->bytes, LENGTH + len, chunks->bytes + LENGTH + len);
    }
    chunks->number++;
    out->zip.next_out = chunks->opened;
    out->zip.avail_out = CHUNK;
    return write_all(chunks, chunks->bytes, LENGTH + len + TAG, why);
}

struct backup_out *backup_out_new(int file, const struct backup_head *head, const struct seal_key *key)
{
    struct backup_out *out = NEW(struct backup_out);
    struct chunks *chunks = &out->chunks;
    chunks->file = file;
    memcpy(chunks->head, magic, sizeof(magic));
    chunks->head[16] = key != NULL;
    number_put(chunks->head + 20, key ? key->id : head->key_id, 4);
    number_put(chunks->head + 24, (uint64_t)head->schema, 4);
    number_put(chunks->head + 28, (uint64_t)head->created, 8);
    random_bytes(chunks->head + 36, 16);
    chunks->digest = EVP_MD_CTX_new();
    if (key)
        cipher_begin(chunks, key, true);
    int code = deflateInit(&out->zip, Z_BEST_SPEED);
    assert(code == Z_OK);
    out->zip.next_out = chunks->opened;
    out->zip.avail_out = CHUNK;
    return out;
}

bool backup_out_put(struct backup_out *out, struct slice bytes, struct fault *why)
{
    out->zip.next_in = (unsigned char *)(uintptr_t)bytes.ptr; /* zlib only reads it */
    out->zip.avail_in = (unsigned)bytes.len;
    while (out->zip.avail_in) {
        int code = deflate(&out->zip, Z_NO_FLUSH);
        assert(code == Z_OK);
        if (!out->zip.avail_out && !chunk_write(out, false, why))
            return false;
    }
    return true;
}

bool backup_out_end(struct backup_out *out, struct fault *why)
{
    for (;;) {
        int code = deflate(&out->zip, Z_FINISH);
        if (code == Z_STREAM_END)
            return chunk_write(out, true, why);
        assert(code == Z_OK && !out->zip.avail_out);
        if (!chunk_write(out, false, why))
            return false;
    }
}

uint64_t backup_out_octets(const struct backup_out *out)
{
    return out->chunks.octets;
}

void backup_out_free(struct backup_out *out)
{
    if (!out)
        return;
    deflateEnd(&out->zip);
    chunks_release(&out->chunks);
    free(out);
}

/* ── reading ── */

enum { OPEN_BYTES = 256 * 1024 };
struct backup_in {
    struct chunks chunks;
    z_stream zip;
    bool saw_last, is_over; /* of the chunks; of the zlib stream */
    unsigned char bytes[OPEN_BYTES];
    size_t at, len;
};

static bool read_all(struct chunks *chunks, unsigned char *to, size_t len, struct fault *why)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = read(chunks->file, to + at, len - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_errno(why, "reading the backup");
        if (!got)
            return fault_set(why, FAULT_INPUT, "the backup is cut off behind octet %llu",
                             (unsigned long long)(chunks->octets + at));
        at += (size_t)got;
    }
    chunks->octets += len;
    return true;
}

static bool open_chunk(struct chunks *chunks, size_t len)
{
    unsigned char nonce[NONCE], tag[TAG], *body = chunks->bytes + LENGTH;
    int done = 0;
    if (!chunks->cipher) {
        memcpy(chunks->opened, body, len);
        clear_tag(chunks, chunks->bytes, LENGTH + len, tag);
        return CRYPTO_memcmp(tag, body + len, TAG) == 0;
    }
    nonce_of(chunks, nonce);
    return EVP_DecryptInit_ex(chunks->cipher, NULL, NULL, NULL, nonce) &&
           EVP_DecryptUpdate(chunks->cipher, NULL, &done, chunks->bytes, LENGTH) &&
           EVP_DecryptUpdate(chunks->cipher, chunks->opened, &done, body, (int)len) &&
           EVP_CIPHER_CTX_ctrl(chunks->cipher, EVP_CTRL_GCM_SET_TAG, TAG, body + len) &&
           EVP_DecryptFinal_ex(chunks->cipher, chunks->opened + done, &done) > 0;
}

static bool chunk_read(struct backup_in *in, struct fault *why)
{
    struct chunks *chunks = &in->chunks;
    uint64_t start = chunks->octets;
    if (!read_all(chunks, chunks->bytes, LENGTH, why))
        return false;
    uint32_t said = (uint32_t)number_get(chunks->bytes, LENGTH), len = said & ~LAST;
    if (len > CHUNK)
        return fault_set(why, FAULT_INPUT, "the backup is damaged at octet %llu", (unsigned long long)start);
    if (!read_all(chunks, chunks->bytes + LENGTH, len + TAG, why))
        return false;
    if (!open_chunk(chunks, len))
        return fault_set(why, FAULT_INPUT, "the backup is damaged or was changed, behind octet %llu",
                         (unsigned long long)start);
    chunks->number++;
    in->saw_last = said & LAST;
    in->zip.next_in = chunks->opened;
    in->zip.avail_in = len;
    return true;
}

/* More of the stream into `bytes`; none when it is over. */
static bool refill(struct backup_in *in, struct fault *why)
{
    in->at = in->len = 0;
    in->zip.next_out = in->bytes;
    in->zip.avail_out = OPEN_BYTES;
    while (in->zip.avail_out == OPEN_BYTES && !in->is_over) {
        if (!in->zip.avail_in && !in->saw_last && !chunk_read(in, why))
            return false;
        int code = inflate(&in->zip, Z_NO_FLUSH);
        in->is_over = code == Z_STREAM_END;
        if (code != Z_OK && code != Z_STREAM_END && !(code == Z_BUF_ERROR && !in->saw_last))
            return fault_set(why, FAULT_INPUT, "the backup is damaged before octet %llu",
                             (unsigned long long)in->chunks.octets);
    }
    in->len = OPEN_BYTES - in->zip.avail_out;
    return true;
}

bool backup_in_take(struct backup_in *in, void *to, size_t len, struct fault *why)
{
    unsigned char *out = to;
    while (len) {
        if (in->at == in->len && !refill(in, why))
            return false;
        size_t some = in->len - in->at < len ? in->len - in->at : len;
        if (!some)
            return fault_set(why, FAULT_INPUT, "the backup ends in the middle of a row");
        memcpy(out, in->bytes + in->at, some);
        in->at += some;
        out += some;
        len -= some;
    }
    return true;
}

bool backup_in_end(struct backup_in *in, struct fault *why)
{
    if (in->at == in->len && !refill(in, why))
        return false;
    char more;
    if (in->at < in->len || !in->is_over || !in->saw_last || in->zip.avail_in || read(in->chunks.file, &more, 1) != 0)
        return fault_set(why, FAULT_INPUT, "the backup goes on behind its end");
    return true;
}

struct backup_in *backup_in_new(int file, const struct seal_key *key, struct backup_head *head, struct fault *why)
{
    struct backup_in *in = NEW(struct backup_in);
    struct chunks *chunks = &in->chunks;
    chunks->file = file;
    if (lseek(file, 0, SEEK_SET) != 0 || !read_all(chunks, chunks->head, HEAD, why) ||
        memcmp(chunks->head, magic, sizeof(magic)) != 0) {
        fault_set(why, FAULT_INPUT, "this is no backup of todoke");
        free(in);
        return NULL;
    }
    *head = (struct backup_head){.is_sealed = chunks->head[16] & 1,
                                 .key_id = (uint32_t)number_get(chunks->head + 20, 4),
                                 .schema = (int)number_get(chunks->head + 24, 4),
                                 .created = (time_ms)number_get(chunks->head + 28, 8)};
    if (head->is_sealed && (!key || key->id != head->key_id)) {
        if (key)
            fault_set(why, FAULT_INPUT, "the backup was sealed by key %08x, but the key file holds %08x", head->key_id,
                      key->id);
        else
            fault_set(why, FAULT_INPUT, "the backup was sealed by key %08x, and there is no key file here",
                      head->key_id);
        free(in);
        return NULL;
    }
    chunks->digest = EVP_MD_CTX_new();
    if (head->is_sealed)
        cipher_begin(chunks, key, false);
    int code = inflateInit(&in->zip);
    assert(code == Z_OK);
    return in;
}

uint64_t backup_in_octets(const struct backup_in *in)
{
    return in->chunks.octets;
}

void backup_in_free(struct backup_in *in)
{
    if (!in)
        return;
    inflateEnd(&in->zip);
    chunks_release(&in->chunks);
    free(in);
}
