#include "mail/message_id.h"

enum { DIGITS = 16 };
#define PREFIX "todoke."

void message_id_make(struct buf *out, uint64_t id, struct slice domain)
{
    buf_printf(out, "<" PREFIX "%016llx@", (unsigned long long)id);
    for (size_t i = 0; i < domain.len; i++) /* a domain of ours; still nothing but its own alphabet passes (X3) */
        if (ascii_is_alnum(domain.ptr[i]) || domain.ptr[i] == '-' || domain.ptr[i] == '.')
            buf_byte(out, domain.ptr[i]);
    buf_byte(out, '>');
}

bool message_id_delivery(struct slice message_id, uint64_t *delivery_id)
{
    if (message_id.len && message_id.ptr[0] == '<')
        message_id = slice_from(message_id, 1);
    if (!slice_starts_caseless(message_id, SLICE(PREFIX)))
        return false;
    message_id = slice_from(message_id, sizeof(PREFIX) - 1);
    if (message_id.len < DIGITS + 2 || message_id.ptr[DIGITS] != '@')
        return false;
    uint64_t id = 0;
    for (int i = 0; i < DIGITS; i++) {
        int digit = ascii_hex_value(message_id.ptr[i]);
        if (digit < 0)
            return false;
        id = id << 4 | (uint64_t)digit;
    }
    *delivery_id = id;
    return id != 0 && id <= INT64_MAX;
}
