/* identity.h - a server that was started as root is root no longer once its ports are bound (X13)
 *
 *     settings read --ports below 1024 bound (listener_prepare)--> identity_take --> keys, store, certificates opened,
 *     threads started: all of it as the user of setting `user`
 *
 * What the user cannot read the server never has: key file, store and tls.key must be its own. There is no way back:
 * saved ids go too, and no set-uid program helps (no new privileges). */
#ifndef TODOKE_APP_IDENTITY_H
#define TODOKE_APP_IDENTITY_H

#include "app/config.h"
#include "net/world.h"

/* As root with setting `user`: bind the configured ports below 1024, then become that user. Without the setting:
 * nothing. As anybody else: nothing, unless `user` names another (INPUT). Before any thread and any key. INPUT: no such
 * user. WORLD: a port, or the kernel. */
NODISCARD bool identity_take(const struct config *config, struct world *world, struct fault *why);

#endif
