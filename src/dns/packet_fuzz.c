/* Whatever comes over the wire: no crash, no endless loop, nothing but slices into the arena */
#include "dns/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};
    struct arena arena = {0};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct dns_answer answer = {0};
        dns_packet_read(slice_of(data, size), "example.com", types[i], &arena, &answer);
        arena_reset(&arena);
    }
    arena_release(&arena);
    return 0;
}
