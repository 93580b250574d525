/* ourselves.h - which MX hosts are we? (R15, M8; RFC 5321 5.1: a host that is the sender itself, and every one of equal
 * or worse preference, gets no mail, for it would come back)
 *
 * By name: smtp.ehlo_name, and the EHLO name of every source of every node, usable or not. Whoever bears the name that
 * one of us says of himself is one of us, wherever the name leads.
 *
 * By address, under whatever name: only where this process itself answers at SMTP's port (engine_options.listens_at).
 * An address is not a program: on a machine where Todoke only sends, port 25 may be another mail server's, the
 * company's own, and mail to it must arrive; a hard failure there would be worse than a loop, which ends at the other
 * listener's door (no return path: 550) or by its Received fields (M19). So:
 *
 *     listens at 192.0.2.1   that address, and the public_ip of a source that has it
 *     listens at 0.0.0.0     this machine's IPv4 addresses; ip and public_ip of this node's sources; likewise "::"
 *     listens nowhere        none
 *
 * public_ip is what a translator of addresses shows to others, and taken as leading back to the listener; where its
 * port 25 is another machine's, the listener is closed, or bound to another address (docs/tls.md). Where other nodes
 * listen only their own settings know.
 *
 * The dispatcher's, as routes are; made anew when sources change, nothing of it is looked at for each mail. */
#ifndef TODOKE_DELIVER_OURSELVES_H
#define TODOKE_DELIVER_OURSELVES_H

#include "base/arena.h"
#include "deliver/engine.h"
#include "dns/route.h"
#include "shape/source.h"

struct ourselves {
    struct arena arena;
    uint64_t mark;
};

/* Who we are with these sources, into `route`, whose texts then live in `ourselves`. True: somebody else than before.
 */
bool ourselves_are(struct ourselves *ourselves, const struct engine_options *options, const struct source *list,
                   size_t count, struct route_options *route);
void ourselves_release(struct ourselves *ourselves);

#endif
