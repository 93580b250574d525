/* listener.h - a listening socket on a loop
 *
 * Accepts in small batches; the owner gets the descriptor and either adopts it here (stream_adopt) or hands it to
 * another thread by mailbox. Out of descriptors: waits a second and says so, instead of spinning. */
#ifndef TODOKE_NET_LISTENER_H
#define TODOKE_NET_LISTENER_H

#include "net/loop.h"

struct listener;
struct listener_options {
    struct endpoint at;       /* port 0: the kernel chooses, see listener_endpoint */
    int backlog;              /* 0: 1024 */
    bool is_shared;           /* SO_REUSEPORT: several threads each listen on the same port */
    const char *cure_setting; /* the setting to name when the port is in use ("console.listen"); may be NULL */
};

/* `fd` is non-blocking, close-on-exec, TCP_NODELAY, and the owner's from now on. */
typedef void listener_accepted(void *owner, int fd, const struct endpoint *peer);

/* Bind it now, while this process may, and keep it in the world: listener_new for the same address and port takes it.
 * Before threads. WORLD: as listener_new. */
NODISCARD bool listener_prepare(struct world *world, const struct listener_options *options, struct fault *why);
/* WORLD, one line with address, port and cure: in use, not permitted (below 1024), no such address here. */
struct listener *listener_new(struct loop *loop, const struct listener_options *options, listener_accepted *on_accept,
                              void *owner, struct fault *why);
void listener_free(struct listener *listener);
/* Where it really listens. */
struct endpoint listener_endpoint(const struct listener *listener);
/* Stop and go on accepting (overload); connections wait in the backlog. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);

#endif
