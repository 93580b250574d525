#include "mailauth/return_path.h"

void return_path_make(const struct token_ring *ring, uint64_t delivery_id, time_ms expires, struct slice domain,
                      struct buf *out)
{
    buf_text(out, "b-");
    token_make(ring, TOKEN_RETURN_PATH, &(struct token){.id = delivery_id}, expires, out);
    buf_byte(out, '@');
    buf_append(out, domain);
}

enum token_result return_path_check(const struct token_ring *ring, struct slice address, time_ms now,
                                    uint64_t *delivery_id)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    struct slice local = at == SLICE_NPOS ? address : slice_head(address, (size_t)at);
    struct token token = {0};
    if (!slice_starts_caseless(local, SLICE("b-")))
        return TOKEN_NONE;
    enum token_result result = token_check(ring, TOKEN_RETURN_PATH, slice_from(local, 2), now, &token);
    *delivery_id = token.id;
    return result == TOKEN_NONE ? TOKEN_FORGED : result; /* nobody but us has business with b- */
}
