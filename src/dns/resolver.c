/* What every kind of resolver shares: names, requests on their way home, copies of answers. */
#include "dns/resolver.h"

#include "dns/request.h"

struct slice dns_status_word(enum dns_status status)
{
    switch (status) {
    case DNS_FOUND: return SLICE("found");
    case DNS_NO_NAME: return SLICE("no_name");
    case DNS_NO_DATA: return SLICE("no_data");
    case DNS_TRY_LATER: return SLICE("try_later");
    case DNS_BOGUS: return SLICE("bogus");
    }
    return SLICE("");
}

struct slice dns_type_word(enum dns_type type)
{
    switch (type) {
    case DNS_A: return SLICE("A");
    case DNS_CNAME: return SLICE("CNAME");
    case DNS_PTR: return SLICE("PTR");
    case DNS_MX: return SLICE("MX");
    case DNS_TXT: return SLICE("TXT");
    case DNS_AAAA: return SLICE("AAAA");
    case DNS_TLSA: return SLICE("TLSA");
    }
    return SLICE("");
}

bool dns_name_normalise(struct slice text, char to[DNS_NAME_ROOM])
{
    size_t label = 0;
    if (text.len && text.ptr[text.len - 1] == '.')
        text.len--;
    if (text.len > 253)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c < ' ' || c >= 0x7f || c == '\\')
            return false;
        if (c == '.' && label == 0)
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
        to[i] = ascii_lower(c);
    }
    to[text.len] = '\0';
    return text.len == 0 || label > 0;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver)
        resolver->free(resolver);
}

void dns_request_free(struct dns_request *request)
{
    arena_release(&request->arena);
    free(request);
}

void dns_request_answered(struct dns_request *request)
{
    int waiting = REQUEST_WAITING;
    if (atomic_compare_exchange_strong(&request->state, &waiting, REQUEST_ANSWERED))
        mailbox_post(request->home, &request->item); /* the client waits for those that are answered but not yet here */
    else
        dns_request_free(request);
}

void dns_request_failed(struct dns_request *request, enum dns_status status, const char *why)
{
    request->answer = (struct dns_answer){
        .status = status, .why = arena_copy(&request->arena, slice_str(why)), .ttl_seconds = DNS_FAILURE_TTL_MS / 1000};
    dns_request_answered(request);
}

/* --- copies in one piece of memory: records, then their bytes --- */

size_t dns_answer_bytes(const struct dns_answer *answer)
{
    size_t bytes = answer->count * sizeof(struct dns_record) + answer->canonical.len + answer->why.len;
    for (size_t i = 0; i < answer->count; i++) {
        const struct dns_record *record = &answer->records[i];
        bytes += record->name.len + record->text.len + record->tlsa.data.len;
    }
    return bytes;
}

static struct slice pack(char **to, struct slice bytes)
{
    struct slice packed = slice_of(*to, bytes.len);
    if (bytes.len)
        memcpy(*to, bytes.ptr, bytes.len);
    *to += bytes.len;
    return packed;
}

void dns_answer_pack(const struct dns_answer *from, void *memory, struct dns_answer *to)
{
    struct dns_record *records = memory;
    char *bytes = (char *)(records + from->count);
    struct dns_answer copy = *from;
    for (size_t i = 0; i < from->count; i++) {
        records[i] = from->records[i];
        records[i].name = pack(&bytes, from->records[i].name);
        records[i].text = pack(&bytes, from->records[i].text);
        records[i].tlsa.data = pack(&bytes, from->records[i].tlsa.data);
    }
    copy.records = records;
    copy.canonical = pack(&bytes, from->canonical);
    copy.why = pack(&bytes, from->why);
    *to = copy;
}

void dns_answer_copy(struct arena *arena, const struct dns_answer *from, struct dns_answer *to)
{
    dns_answer_pack(from, arena_alloc(arena, dns_answer_bytes(from) + 1), to);
}
