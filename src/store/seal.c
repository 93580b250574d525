#include "store/seal.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEAL_VERSION = 1, NONCE = 12, TAG = 16, HEAD = 1 + 4 + NONCE };
enum { KEY_FILE_MAX = 256 };

/* ── the key file: "todoke-key-1 <id, 8 hex digits> <key, 64 hex digits>\n" ── */

static bool key_parse(struct seal_key *key, struct slice text, const char *path, struct fault *why)
{
    struct slice rest = slice_trim(text), magic = {0}, id = {0}, secret = {0};
    SCOPED(buf) id_bytes = BUF(4);
    SCOPED(buf) secret_bytes = BUF(sizeof(key->key));
    bool ok = slice_split(&rest, ' ', &magic) && slice_split(&rest, ' ', &id) && slice_split(&rest, ' ', &secret) &&
              slice_equal(magic, SLICE("todoke-key-1")) && hex_decode(&id_bytes, id) &&
              hex_decode(&secret_bytes, secret) && id_bytes.len == 4 && secret_bytes.len == sizeof(key->key);
    if (ok) {
        const unsigned char *b = (const unsigned char *)id_bytes.ptr;
        key->id = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        memcpy(key->key, secret_bytes.ptr, sizeof(key->key));
    }
    if (secret_bytes.ptr)
        OPENSSL_cleanse(secret_bytes.ptr, secret_bytes.len);
    return ok || fault_set(why, FAULT_INPUT, "key file %s: this is no key file of todoke", path);
}

static bool key_read(struct seal_key *key, int file, const char *path, struct fault *why)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return fault_errno(why, "key file %s", path);
    if (info.st_mode & 077)
        return fault_set(why, FAULT_INPUT,
                         "key file %s: others can read it (mode %03o): chmod 600, and think about who has", path,
                         (unsigned)info.st_mode & 0777);
    char text[KEY_FILE_MAX];
    ssize_t len = read(file, text, sizeof(text));
    if (len < 0)
        return fault_errno(why, "key file %s", path);
    bool ok = key_parse(key, slice_of(text, (size_t)len), path, why);
    OPENSSL_cleanse(text, sizeof(text));
    return ok;
}

/* Written beside and linked into place, so that nobody ever reads half a key; who comes second uses the first one's. */
static bool key_create(const char *path, struct fault *why)
{
    char beside[4096];
    if (snprintf(beside, sizeof(beside), "%s.%ld", path, (long)getpid()) >= (int)sizeof(beside))
        return fault_set(why, FAULT_INPUT, "key file: path too long");
    unsigned char bytes[4 + sizeof(((struct seal_key *)0)->key)];
    random_bytes(bytes, sizeof(bytes));
    SCOPED(buf) text = BUF(KEY_FILE_MAX);
    buf_text(&text, "todoke-key-1 ");
    hex_encode(&text, slice_of(bytes, 4));
    buf_byte(&text, ' ');
    hex_encode(&text, slice_of(bytes + 4, sizeof(bytes) - 4));
    buf_byte(&text, '\n');
    OPENSSL_cleanse(bytes, sizeof(bytes));
    int file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return fault_errno(why, "key file %s", beside);
    bool ok = write(file, text.ptr, text.len) == (ssize_t)text.len && fsync(file) == 0;
    OPENSSL_cleanse(text.ptr, text.len);
    if (!ok)
        fault_errno(why, "key file %s", beside);
    close(file);
    if (ok && link(beside, path) != 0 && errno != EEXIST)
        ok = fault_errno(why, "key file %s", path);
    unlink(beside);
    return ok && file_folder_sync(path, why); /* before anything is sealed by it */
}

bool seal_key_load(struct seal_key *key, const char *path, struct fault *why)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        if (!key_create(path, why))
            return false;
        file = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (file < 0)
        return fault_errno(why, "key file %s", path);
    bool ok = key_read(key, file, path, why);
    close(file);
    return ok;
}

void seal_key_release(struct seal_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

/* ── AES-256-GCM (NIST SP 800-38D) ── */

static void context_use(EVP_CIPHER_CTX *cipher, struct slice head, struct slice context)
{
    int len;
    int ok = EVP_CipherUpdate(cipher, NULL, &len, (const unsigned char *)head.ptr, (int)head.len) &&
             EVP_CipherUpdate(cipher, NULL, &len, (const unsigned char *)context.ptr, (int)context.len);
    assert(ok == 1);
}

void seal(const struct seal_key *key, struct slice context, struct slice secret, struct buf *out)
{
    unsigned char *to = (unsigned char *)buf_reserve(out, secret.len + SEAL_OVERHEAD);
    if (!to)
        return;
    to[0] = SEAL_VERSION;
    for (int i = 0; i < 4; i++)
        to[1 + i] = (unsigned char)(key->id >> (24 - 8 * i));
    random_bytes(to + 5, NONCE);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int len = 0, ok = EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->key, to + 5);
    context_use(cipher, slice_of(to, 5), context);
    ok &= EVP_EncryptUpdate(cipher, to + HEAD, &len, (const unsigned char *)secret.ptr, (int)secret.len);
    ok &= EVP_EncryptFinal_ex(cipher, to + HEAD + len, &len);
    ok &= EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG, to + HEAD + secret.len);
    assert(ok == 1);
    EVP_CIPHER_CTX_free(cipher);
    buf_advance(out, secret.len + SEAL_OVERHEAD);
}

bool seal_open(const struct seal_key *key, struct slice context, struct slice sealed, struct buf *out,
               struct fault *why)
{
    const unsigned char *from = (const unsigned char *)sealed.ptr;
    if (sealed.len < SEAL_OVERHEAD || from[0] != SEAL_VERSION)
        return fault_set(why, FAULT_INPUT, "sealed %.*s: not a sealed secret", SLICE_ARG(context));
    uint32_t id = (uint32_t)from[1] << 24 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 8 | from[4];
    if (id != key->id)
        return fault_set(why, FAULT_INPUT, "sealed %.*s: sealed by key %08x, but the key file holds %08x",
                         SLICE_ARG(context), id, key->id);
    size_t secret_len = sealed.len - SEAL_OVERHEAD;
    unsigned char *to = (unsigned char *)buf_reserve(out, secret_len + 1);
    if (!to)
        return fault_set(why, FAULT_INPUT, "sealed %.*s: too long", SLICE_ARG(context));
    unsigned char tag[TAG];
    memcpy(tag, from + HEAD + secret_len, TAG);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int len = 0, ok = EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->key, from + 5);
    context_use(cipher, slice_of(from, 5), context);
    ok &= EVP_DecryptUpdate(cipher, to, &len, from + HEAD, (int)secret_len);
    ok &= EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG, tag);
    ok = ok && EVP_DecryptFinal_ex(cipher, to + len, &len) > 0;
    EVP_CIPHER_CTX_free(cipher);
    if (!ok) {
        OPENSSL_cleanse(to, secret_len);
        return fault_set(why, FAULT_INPUT, "sealed %.*s: damaged, or sealed for another place", SLICE_ARG(context));
    }
    buf_advance(out, secret_len);
    return true;
}

/* ── named keys ── */

static struct slice secret_context(char text[160], const char *name, int64_t id)
{
    int len = snprintf(text, 160, "secret/%.100s/%lld", name, (long long)id);
    return slice_of(text, (size_t)len);
}

static bool secret_insert(struct db *db, struct fault *why, const struct seal_key *key, const char *name, int64_t id,
                          time_ms now)
{
    unsigned char bytes[SECRET_BYTES];
    char context[160];
    random_bytes(bytes, sizeof(bytes));
    SCOPED(buf) sealed = BUF(SECRET_BYTES + SEAL_OVERHEAD);
    seal(key, secret_context(context, name, id), slice_of(bytes, sizeof(bytes)), &sealed);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return db_do(db, why,
                 "INSERT INTO secret (name, key_id, sealed, created_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (name, "
                 "key_id) DO NOTHING",
                 VALUES(V_STR(name), V_INT(id), V_BYTES(buf_slice(&sealed)), V_INT(now)), NULL);
}

static bool secret_read(struct db *db, struct fault *why, const struct seal_key *key, const char *name,
                        struct secret *secret)
{
    memset(secret, 0, sizeof(*secret));
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT key_id, sealed, created_ms FROM secret WHERE name = $1 ORDER BY key_id DESC LIMIT 8",
                  VALUES(V_STR(name))))
        return false;
    while (rows_next(&rows)) {
        char context[160];
        SCOPED(buf) bytes = BUF(SECRET_BYTES + 1);
        int64_t id = rows_int(&rows, 0);
        if (!seal_open(key, secret_context(context, name, id), rows_bytes(&rows, 1), &bytes, why))
            return false;
        if (bytes.len != SECRET_BYTES)
            return fault_set(why, FAULT_INPUT, "secret %s: wrong length", name);
        secret->keys[secret->count].id = (unsigned)id;
        secret->keys[secret->count].created = rows_int(&rows, 2);
        memcpy(secret->keys[secret->count++].bytes, bytes.ptr, SECRET_BYTES);
        OPENSSL_cleanse(bytes.ptr, bytes.len);
    }
    return rows_end(&rows);
}

bool secret_get(struct db *db, struct fault *why, const struct seal_key *key, const char *name, time_ms now,
                struct secret *secret)
{
    if (!secret_read(db, why, key, name, secret))
        return false;
    if (secret->count)
        return true;
    return secret_insert(db, why, key, name, 0, now) && secret_read(db, why, key, name, secret);
}

bool secret_sealed_by(struct db *db, struct fault *why, uint32_t *key_id)
{
    SCOPED(rows) rows = {0};
    *key_id = 0;
    if (!db_query(db, why, &rows, "SELECT sealed FROM secret ORDER BY created_ms DESC LIMIT 1", NO_VALUES))
        return false;
    if (rows_next(&rows)) {
        struct slice sealed = rows_bytes(&rows, 0);
        for (size_t i = 1; i < 5 && sealed.len >= SEAL_OVERHEAD; i++)
            *key_id = *key_id << 8 | (unsigned char)sealed.ptr[i];
    }
    return rows_end(&rows);
}

bool secret_rotate(struct db *db, struct fault *why, const struct seal_key *key, const char *name, time_ms now)
{
    int64_t newest = -1;
    return db_query_ints(db, why, "SELECT COALESCE(MAX(key_id), -1) FROM secret WHERE name = $1", VALUES(V_STR(name)),
                         &newest, 1, NULL) &&
           secret_insert(db, why, key, name, newest + 1, now);
}
