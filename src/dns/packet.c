#include "dns/packet.h"

enum {
    TYPE_SOA = 6,
    CLASS_IN = 1,
    RCODE_NXDOMAIN = 3,
    CNAME_HOPS_MOST = 16,
    NEGATIVE_TTL_DEFAULT = 60,
    NAME_TEXT_MOST = 1024, /* escapes make a name longer than its wire form */
};

struct packet_record {
    size_t name_at;
    unsigned type, class;
    uint32_t ttl;
    size_t at, len; /* of the data */
};

static bool take_u16(struct slice packet, size_t *at, unsigned *number)
{
    if (packet.len - *at < 2)
        return false;
    const unsigned char *bytes = (const unsigned char *)packet.ptr + *at;
    *number = (unsigned)(bytes[0] << 8 | bytes[1]);
    *at += 2;
    return true;
}

static bool take_u32(struct slice packet, size_t *at, uint32_t *number)
{
    unsigned high, low;
    if (!take_u16(packet, at, &high) || !take_u16(packet, at, &low))
        return false;
    *number = (uint32_t)high << 16 | low;
    return true;
}

static void name_label(struct buf *text, const unsigned char *label, size_t len)
{
    if (text->len)
        buf_byte(text, '.');
    for (size_t i = 0; i < len; i++) {
        if (label[i] <= 0x20 || label[i] >= 0x7f)
            buf_printf(text, "\\%03u", label[i]);
        else if (label[i] == '.' || label[i] == '\\')
            buf_printf(text, "\\%c", label[i]);
        else
            buf_byte(text, ascii_lower((char)label[i]));
    }
}

/* Move *at behind the name; append its text when `text` is given. Pointers must point before where they stand, so the
 * way ends. */
static bool take_name(struct slice packet, size_t *at, struct buf *text)
{
    const unsigned char *bytes = (const unsigned char *)packet.ptr;
    size_t here = *at, wire_len = 0, before = *at;
    bool has_jumped = false;
    for (;;) {
        if (here >= packet.len)
            return false;
        unsigned len = bytes[here];
        if (len >= 0xc0) {
            if (here + 1 >= packet.len)
                return false;
            size_t target = (size_t)(len & 0x3f) << 8 | bytes[here + 1];
            if (target >= before)
                return false;
            if (!has_jumped)
                *at = here + 2;
            has_jumped = true;
            here = before = target;
            continue;
        }
        if (len > 63 || len > packet.len - here - 1 || (wire_len += len + 1) > 255)
            return false;
        here++;
        if (len == 0)
            break;
        if (text)
            name_label(text, bytes + here, len);
        here += len;
    }
    if (!has_jumped)
        *at = here;
    return true;
}

static bool take_record(struct slice packet, size_t *at, struct packet_record *record)
{
    unsigned len;
    record->name_at = *at;
    if (!take_name(packet, at, NULL) || !take_u16(packet, at, &record->type) || !take_u16(packet, at, &record->class) ||
        !take_u32(packet, at, &record->ttl) || !take_u16(packet, at, &len))
        return false;
    record->at = *at;
    record->len = len;
    if (len > packet.len - *at)
        return false;
    *at += len;
    if (record->ttl > DNS_TTL_MOST_S) /* also what has the top bit set (RFC 2181 8) */
        record->ttl = record->ttl > INT32_MAX ? 0 : DNS_TTL_MOST_S;
    return true;
}

static bool name_equals(struct slice packet, size_t at, struct slice name)
{
    SCOPED(buf) text = BUF(NAME_TEXT_MOST);
    return take_name(packet, &at, &text) && slice_equal(buf_slice(&text), name);
}

static bool name_copy(struct slice packet, size_t at, size_t end, struct arena *arena, struct slice *name)
{
    SCOPED(buf) text = BUF(NAME_TEXT_MOST);
    if (!take_name(packet, &at, &text) || at > end)
        return false;
    *name = arena_copy(arena, buf_slice(&text));
    return true;
}

static bool text_copy(struct slice data, struct arena *arena, struct slice *text)
{
    char *to = arena_alloc(arena, data.len + 1);
    size_t len = 0;
    for (size_t at = 0; at < data.len;) {
        size_t piece = (unsigned char)data.ptr[at++];
        if (piece > data.len - at)
            return false;
        memcpy(to + len, data.ptr + at, piece);
        len += piece;
        at += piece;
    }
    *text = slice_of(to, len);
    return true;
}

static bool record_value(struct slice packet, const struct packet_record *from, struct arena *arena,
                         struct dns_record *to)
{
    struct slice data = slice_of(packet.ptr + from->at, from->len);
    size_t at = from->at, end = from->at + from->len;
    unsigned preference;
    *to = (struct dns_record){0};
    switch ((enum dns_type)from->type) {
    case DNS_A:
    case DNS_AAAA:
        to->ip.family = from->type == DNS_A ? 4 : 6;
        if (data.len != (from->type == DNS_A ? 4u : 16u))
            return false;
        memcpy(to->ip.bytes, data.ptr, data.len);
        return true;
    case DNS_MX:
        if (data.len < 3 || !take_u16(packet, &at, &preference))
            return false;
        to->preference = (uint16_t)preference;
        return name_copy(packet, at, end, arena, &to->name);
    case DNS_PTR:
    case DNS_CNAME: return name_copy(packet, at, end, arena, &to->name);
    case DNS_TXT: return text_copy(data, arena, &to->text);
    case DNS_TLSA:
        if (data.len < 4)
            return false;
        to->tlsa.usage = (uint8_t)data.ptr[0];
        to->tlsa.selector = (uint8_t)data.ptr[1];
        to->tlsa.matching = (uint8_t)data.ptr[2];
        to->tlsa.data = arena_copy(arena, slice_from(data, 3));
        return true;
    }
    return false;
}

/* The name at the end of the chain of CNAMEs; the shortest TTL on the way. False: a loop, or no sense. */
static bool follow_cnames(struct slice packet, const struct packet_record *records, size_t count, struct arena *arena,
                          struct slice *name, uint32_t *ttl)
{
    for (int hops = 0; hops <= CNAME_HOPS_MOST; hops++) {
        const struct packet_record *alias = NULL;
        for (size_t i = 0; i < count && !alias; i++)
            if (records[i].type == DNS_CNAME && name_equals(packet, records[i].name_at, *name))
                alias = &records[i];
        if (!alias)
            return true;
        if (!name_copy(packet, alias->at, alias->at + alias->len, arena, name))
            return false;
        if (alias->ttl < *ttl)
            *ttl = alias->ttl;
    }
    return false;
}

/* RFC 2308 5: the lesser of the SOA's own TTL and its minimum field. */
static uint32_t negative_ttl(struct slice packet, size_t at, unsigned count)
{
    struct packet_record record;
    while (count-- && take_record(packet, &at, &record)) {
        uint32_t minimum;
        size_t end = record.at + record.len, minimum_at = end - 4;
        if (record.type != TYPE_SOA || record.len < 22 || !take_u32(packet, &minimum_at, &minimum))
            continue;
        minimum = minimum < record.ttl ? minimum : record.ttl;
        return minimum < DNS_NEGATIVE_TTL_MOST_S ? minimum : DNS_NEGATIVE_TTL_MOST_S;
    }
    return NEGATIVE_TTL_DEFAULT;
}

static void no_sense(struct dns_answer *answer)
{
    answer->status = DNS_TRY_LATER;
    answer->why = SLICE("malformed answer");
    answer->ttl_seconds = DNS_FAILURE_TTL_MS / 1000;
    answer->count = 0;
}

static bool read_answers(struct slice packet, size_t *at, unsigned count, struct arena *arena,
                         struct packet_record **records, size_t *kept)
{
    size_t room = count < DNS_RECORDS_MOST + CNAME_HOPS_MOST ? count : DNS_RECORDS_MOST + CNAME_HOPS_MOST;
    *records = ARENA_ARRAY(arena, struct packet_record, room + 1);
    *kept = 0;
    for (unsigned i = 0; i < count; i++) {
        struct packet_record record;
        if (!take_record(packet, at, &record))
            return false;
        if (*kept < room && record.class == CLASS_IN)
            (*records)[(*kept)++] = record;
    }
    return true;
}

void dns_packet_read(struct slice packet, const char *name, enum dns_type type, struct arena *arena,
                     struct dns_answer *answer)
{
    struct packet_record *records;
    size_t count, at = 2;
    unsigned flags, questions, answers, authorities, additionals;
    uint32_t ttl = DNS_TTL_MOST_S;
    struct slice end_name = slice_str(name);
    if (packet.len < 12 || !take_u16(packet, &at, &flags) || !take_u16(packet, &at, &questions) ||
        !take_u16(packet, &at, &answers) || !take_u16(packet, &at, &authorities) ||
        !take_u16(packet, &at, &additionals)) {
        no_sense(answer);
        return;
    }
    for (unsigned i = 0; i < questions; i++)
        if (!take_name(packet, &at, NULL) || packet.len - at < 4) {
            no_sense(answer);
            return;
        } else {
            at += 4;
        }
    unsigned rcode = flags & 15;
    if (!read_answers(packet, &at, answers, arena, &records, &count) ||
        (type != DNS_CNAME && !follow_cnames(packet, records, count, arena, &end_name, &ttl)) ||
        (rcode != 0 && rcode != RCODE_NXDOMAIN)) {
        no_sense(answer);
        return;
    }
    answer->records = ARENA_ARRAY(arena, struct dns_record, count + 1);
    answer->count = 0;
    for (size_t i = 0; i < count && answer->count < DNS_RECORDS_MOST; i++) {
        if (records[i].type != (unsigned)type || !name_equals(packet, records[i].name_at, end_name))
            continue;
        if (!record_value(packet, &records[i], arena, &answer->records[answer->count])) {
            no_sense(answer);
            return;
        }
        answer->count++;
        ttl = records[i].ttl < ttl ? records[i].ttl : ttl;
    }
    answer->status = rcode == RCODE_NXDOMAIN ? DNS_NO_NAME : answer->count ? DNS_FOUND : DNS_NO_DATA;
    answer->canonical = answer->status == DNS_FOUND ? end_name : SLICE("");
    answer->ttl_seconds = answer->status == DNS_FOUND ? ttl : negative_ttl(packet, at, authorities);
    if (answer->status != DNS_FOUND)
        answer->count = 0;
}
