#include "net/proxy.h"

static bool network_parse(struct slice word, struct ip *prefix, unsigned *bits)
{
    ptrdiff_t slash = slice_find_byte(word, '/');
    if (!ip_parse(slash < 0 ? word : slice_head(word, (size_t)slash), prefix))
        return false;
    uint64_t most = prefix->family == 6 ? 128 : 32, number = most;
    if (slash >= 0 && (!slice_to_u64(slice_from(word, (size_t)slash + 1), &number) || number > most))
        return false;
    *bits = (unsigned)number;
    return true;
}

bool proxies_parse(struct slice text, struct proxies *proxies, struct fault *why)
{
    struct slice word;
    proxies->count = 0;
    if (!slice_trim(text).len)
        return true;
    while (slice_split(&text, ',', &word)) {
        word = slice_trim(word);
        if (proxies->count == PROXIES_MOST)
            return fault_set(why, FAULT_INPUT, "more than %d networks", PROXIES_MOST);
        if (!network_parse(word, &proxies->of[proxies->count].prefix, &proxies->of[proxies->count].bits))
            return fault_set(why, FAULT_INPUT, "\"%.*s\" is no network; write 192.0.2.1 or 192.0.2.0/24",
                             SLICE_ARG(word));
        proxies->count++;
    }
    return true;
}

bool proxies_have(const struct proxies *proxies, const struct ip *ip)
{
    for (size_t i = 0; i < proxies->count; i++)
        if (ip_in_prefix(ip, &proxies->of[i].prefix, proxies->of[i].bits))
            return true;
    return false;
}

static enum proxy_step bad(struct proxy_head *head, const char *wrong)
{
    head->wrong = wrong;
    return PROXY_BAD;
}

/* ── version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n" ── */

static bool port_parse(struct slice text, uint16_t *port)
{
    uint64_t number;
    if (!text.len || text.len > 5 || (text.len > 1 && text.ptr[0] == '0') || !slice_to_u64(text, &number) ||
        number > 65535)
        return false;
    *port = (uint16_t)number;
    return true;
}

static enum proxy_step v1_parse(struct slice line, struct proxy_head *head)
{
    struct slice word[6];
    size_t count = 0;
    struct slice rest = slice_from(line, 6); /* "PROXY " */
    while (count < COUNT_OF(word) && slice_split(&rest, ' ', &word[count]))
        count++;
    if (count && slice_equal(word[0], SLICE("UNKNOWN")))
        return PROXY_DONE; /* whatever follows */
    bool is_v4 = count == 5 && slice_equal(word[0], SLICE("TCP4"));
    bool is_v6 = count == 5 && slice_equal(word[0], SLICE("TCP6"));
    struct ip to;
    uint16_t to_port;
    if ((!is_v4 && !is_v6) || !ip_parse(word[1], &head->client.ip) || !ip_parse(word[2], &to) ||
        !port_parse(word[3], &head->client.port) || !port_parse(word[4], &to_port) ||
        head->client.ip.family != (is_v4 ? 4 : 6) || to.family != head->client.ip.family)
        return bad(head, "a PROXY line that is none");
    head->has_client = true;
    return PROXY_DONE;
}

static enum proxy_step v1_read(struct slice bytes, struct proxy_head *head)
{
    struct slice looked = slice_head(bytes, PROXY_V1_MOST);
    ptrdiff_t end = slice_find(looked, SLICE("\r\n"));
    if (end < 0)
        return bytes.len >= PROXY_V1_MOST ? bad(head, "a PROXY line without end") : PROXY_MORE;
    head->len = (size_t)end + 2;
    return v1_parse(slice_head(bytes, (size_t)end), head);
}

/* ── version 2: signature, version and command, family, length, addresses, TLVs ── */

enum { V2_FIXED = 16, V2_IPV4 = 12, V2_IPV6 = 36, TLV_SSL = 0x20, TLV_HEAD = 3, CLIENT_SSL = 1 };

static unsigned two(struct slice bytes, size_t at)
{
    return (unsigned)(unsigned char)bytes.ptr[at] << 8 | (unsigned char)bytes.ptr[at + 1];
}

/* False: they do not fill their room exactly. */
static bool tlvs_read(struct slice rest, struct proxy_head *head)
{
    while (rest.len) {
        if (rest.len < TLV_HEAD || rest.len - TLV_HEAD < two(rest, 1))
            return false;
        size_t len = two(rest, 1);
        if ((unsigned char)rest.ptr[0] == TLV_SSL && len >= 1)
            head->has_tls = (unsigned char)rest.ptr[TLV_HEAD] & CLIENT_SSL;
        rest = slice_from(rest, TLV_HEAD + len);
    }
    return true;
}

static enum proxy_step v2_read(struct slice bytes, struct proxy_head *head)
{
    if (bytes.len < V2_FIXED)
        return PROXY_MORE;
    unsigned command = (unsigned char)bytes.ptr[12], family = (unsigned char)bytes.ptr[13];
    size_t len = V2_FIXED + two(bytes, 14);
    if (command != 0x20 && command != 0x21)
        return bad(head, "a PROXY header of another version");
    if (len > PROXY_V2_MOST)
        return bad(head, "a PROXY header that is too long");
    if (bytes.len < len)
        return PROXY_MORE;
    head->len = len;
    if (command == 0x20) /* LOCAL: a look of the proxy itself */
        return PROXY_DONE;
    struct slice rest = slice_head(slice_from(bytes, V2_FIXED), len - V2_FIXED);
    bool is_v4 = family == 0x11, is_v6 = family == 0x21;
    size_t need = is_v4 ? V2_IPV4 : is_v6 ? V2_IPV6 : 0, width = is_v4 ? 4 : 16;
    if (!need)
        return PROXY_DONE; /* no TCP over IP: its address says nothing */
    if (rest.len < need || !tlvs_read(slice_from(rest, need), head))
        return bad(head, "a PROXY header that does not fill its length");
    head->has_client = true;
    head->client.ip.family = is_v4 ? 4 : 6;
    memcpy(head->client.ip.bytes, rest.ptr, width);
    head->client.port = (uint16_t)two(rest, 2 * width);
    return PROXY_DONE;
}

static bool begins(struct slice bytes, struct slice with)
{
    size_t len = bytes.len < with.len ? bytes.len : with.len;
    return slice_equal(slice_head(bytes, len), slice_head(with, len));
}

enum proxy_step proxy_head_read(struct slice bytes, struct proxy_head *head)
{
    static const struct slice v1 = SLICE_INIT("PROXY ");
    static const struct slice v2 = SLICE_INIT("\r\n\r\n\0\r\nQUIT\n");
    *head = (struct proxy_head){0};
    if (begins(bytes, v1))
        return bytes.len < v1.len ? PROXY_MORE : v1_read(bytes, head);
    if (begins(bytes, v2))
        return v2_read(bytes, head);
    return bad(head, "no PROXY header");
}
