#include "mailauth/return_path.h"

#include "base/map.h"

static void address_end(struct buf *out, struct slice domain)
{
    buf_byte(out, '@');
    buf_append(out, domain);
}

void return_path_make(const struct token_ring *ring, uint64_t delivery_id, time_ms expires, struct slice domain,
                      struct buf *out)
{
    buf_text(out, "b-");
    token_make(ring, TOKEN_RETURN_PATH, &(struct token){.id = delivery_id}, expires, out);
    address_end(out, domain);
}

/* The same on every machine, for ever: it is signed, and stands in mails that were sent. */
static uint16_t domain_hash(struct slice domain)
{
    return (uint16_t)hash_bytes(domain, 0x7368617265640000);
}

void shared_path_make(const struct token_ring *ring, uint64_t message_id, struct slice recipients, time_ms expires,
                      struct slice domain, struct buf *out)
{
    const struct token token = {.id = message_id, .number = domain_hash(recipients)};
    buf_text(out, "b-");
    token_make(ring, TOKEN_SHARED_PATH, &token, expires, out);
    address_end(out, domain);
}

bool return_path_is_of(const struct return_path *path, struct slice domain)
{
    return path->message_id && path->domain_hash == domain_hash(domain);
}

enum token_result return_path_check(const struct token_ring *ring, struct slice address, time_ms now,
                                    struct return_path *path)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    struct slice local = at == SLICE_NPOS ? address : slice_head(address, (size_t)at);
    struct token token = {0};
    *path = (struct return_path){0};
    if (!slice_starts_caseless(local, SLICE("b-")))
        return TOKEN_NONE;
    struct slice text = slice_from(local, 2);
    bool is_shared = text.len == TOKEN_LEN;
    enum token_result result = token_check(ring, is_shared ? TOKEN_SHARED_PATH : TOKEN_RETURN_PATH, text, now, &token);
    if (result == TOKEN_NONE)
        return TOKEN_FORGED; /* nobody but us has business with b- */
    if (is_shared)
        *path = (struct return_path){.message_id = token.id, .domain_hash = (uint16_t)token.number};
    else
        path->delivery_id = token.id;
    return result;
}
