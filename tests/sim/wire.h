/* wire.h - a simulated network beneath net/stream.h: pairs of streams with latency between them, on the simulation's
 * clock
 *
 *     stream_connect (the engine's) --latency--> asked: refuse, say nothing, or wire_accept --latency--> on_open
 *     what one end writes comes to the other after the latency, in order; at a slow wire byte by byte
 *     an end that closes sends its EOF, or with wire_reset a reset; bytes for an end that is gone are answered by a
 * reset
 *
 * Both ends are streams of the same loop. No kernel, no descriptor, no thread. */
#ifndef TODOKE_SIM_WIRE_H
#define TODOKE_SIM_WIRE_H

#include "net/stream.h"

struct wire;
struct wire_house {
    void *self;
    /* Somebody connects: at the host's end, after the latency. Answer with wire_accept or wire_refuse, or never. */
    void (*asked)(void *self, struct wire *wire, const struct endpoint *to);
    /* One way, for connections to this address. */
    time_ms (*latency)(void *self, const struct endpoint *to);
};

/* The world's streams go over wires from now on. `house` must live as long as the world. */
void wire_network(struct world *world, const struct wire_house *house);

/* The host's end. */
struct stream *wire_accept(struct wire *wire, const struct stream_events *events, void *owner);
void wire_refuse(struct wire *wire);
struct loop *wire_loop(const struct wire *wire);
/* What the host's end writes from now on comes one byte in so many ms. */
void wire_slow(struct stream *host_end, time_ms each_byte_ms);
/* End the host's end with a reset. */
void wire_reset(struct stream *host_end);

#endif
