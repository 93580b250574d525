/* network.h - which remote addresses may be connected at all, and where destination port 25 really is
 *
 * Asked for each address, after resolution and directly before connect (R15, X8: resolve once, check, pin the IP).
 *
 * NETWORK_PUBLIC, the shipped default, refuses: loopback, 0/8, ::, RFC 1918, carrier-grade NAT (100.64/10), link-local
 * (with the metadata addresses), ULA, multicast, broadcast, documentation and benchmark ranges, and every IPv6 form
 * that carries an IPv4 address which is refused itself (v4-mapped, v4-compatible, NAT64, 6to4, Teredo). `permitted`
 * lifts that for the operator's own relays.
 *
 * NETWORK_LOOPBACK (demo, bench, tests) permits 127/8 and ::1 and refuses EVERYTHING else, whatever `permitted` says;
 * nothing can leave the machine. Destination port 25 becomes `smtp_port` there (2525), since the playground's
 * receivers listen without root. */
#ifndef TODOKE_NET_NETWORK_H
#define TODOKE_NET_NETWORK_H

#include "net/ip.h"

enum network_mode { NETWORK_PUBLIC, NETWORK_LOOPBACK };
enum { NETWORK_PERMITTED_MOST = 16, NETWORK_PLAYGROUND_PORT = 2525 };

struct loop;
struct stream;
struct stream_events;
struct stream_target;

struct network {
    enum network_mode mode;
    uint16_t smtp_port; /* where destination port 25 is: 25, or 2525 in the playground */
    struct {
        struct ip prefix;
        unsigned bits;
    } permitted[NETWORK_PERMITTED_MOST]; /* NETWORK_PUBLIC only: the operator's relays on private addresses */
    unsigned permitted_count;
    /* How a stream is opened: sockets, or a simulated network. Called by stream_connect after the policy check, with
     * the destination already mapped. */
    struct stream *(*connect)(struct network *network, struct loop *loop, const struct stream_target *to,
                              const struct stream_events *events, void *owner);
    void *self; /* the simulated network's own */
};

void network_init(struct network *network, enum network_mode mode);
/* INPUT: not "address/bits", or too many. */
NODISCARD bool network_permit(struct network *network, struct slice prefix, struct fault *why);
/* May we connect to this address? INPUT: names the address and the rule that refuses it. */
NODISCARD bool network_permits(const struct network *network, const struct ip *ip, struct fault *why);
/* The endpoint really connected to: port 25 becomes smtp_port. */
struct endpoint network_map(const struct network *network, struct endpoint to);

#endif
