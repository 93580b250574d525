#include "api/repeat.h"

#include <openssl/evp.h>

static void part_hash(EVP_MD_CTX *context, struct slice part)
{
    uint64_t len = part.len; /* so that no two splits of the same bytes are the same request */
    EVP_DigestUpdate(context, &len, sizeof(len));
    EVP_DigestUpdate(context, part.ptr, part.len);
}

bool repeat_read(struct http_request *request, uint64_t key_id, struct arena *arena, struct repeat *repeat)
{
    struct slice token = http_header(request, "Idempotency-Key");
    *repeat = (struct repeat){.key_id = key_id};
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] <= ' ' || token.ptr[i] > '~' || token.len > REPEAT_TOKEN_MAX) {
            answer_problem(request, 400, "Idempotency-Key", "an Idempotency-Key has 1 to %d printable characters",
                           REPEAT_TOKEN_MAX);
            return false;
        }
    }
    if (!token.len)
        return true;
    repeat->token = arena_copy(arena, token);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    part_hash(context, request->head.method);
    part_hash(context, request->head.target);
    part_hash(context, request->body);
    EVP_DigestFinal_ex(context, repeat->request, NULL);
    EVP_MD_CTX_free(context);
    return true;
}

bool repeat_find(const struct repeat *repeat, struct db *db, time_ms now, enum repeat_state *state, int *status,
                 struct buf *answer, struct fault *why)
{
    *state = REPEAT_NEW;
    if (!repeat->token.len)
        return true;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT request_sha256, status, answer FROM idempotency WHERE key_id = $1 AND token = $2 AND "
                  "created_ms > $3",
                  VALUES(V_INT((int64_t)repeat->key_id), V_TEXT(repeat->token), V_INT(now - REPEAT_MS))))
        return false;
    if (rows_next(&rows)) {
        bool is_same = slice_equal(rows_bytes(&rows, 0), slice_of(repeat->request, sizeof(repeat->request)));
        *state = is_same ? REPEAT_KNOWN : REPEAT_OTHER;
        *status = (int)rows_int(&rows, 1);
        buf_append(answer, rows_bytes(&rows, 2));
    }
    return rows_end(&rows);
}

bool repeat_keep(const struct repeat *repeat, struct db *db, time_ms now, int status, struct slice answer,
                 struct fault *why)
{
    if (!repeat->token.len)
        return true;
    return db_do(db, why, "DELETE FROM idempotency WHERE created_ms <= $1", VALUES(V_INT(now - REPEAT_MS)), NULL) &&
           db_do(db, why,
                 "INSERT INTO idempotency (key_id, token, request_sha256, status, answer, created_ms) VALUES ($1, $2, "
                 "$3, $4, $5, $6)",
                 VALUES(V_INT((int64_t)repeat->key_id), V_TEXT(repeat->token),
                        V_BYTES(slice_of(repeat->request, sizeof(repeat->request))), V_INT(status), V_BYTES(answer),
                        V_INT(now)),
                 NULL);
}
