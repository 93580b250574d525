/* certificate.h - the certificate that our listeners show */
#ifndef TODOKE_APP_CERTIFICATE_H
#define TODOKE_APP_CERTIFICATE_H

#include "app/config.h"
#include "net/tls.h"

/* That of tls.cert and tls.key; where they are empty one of our own making for `name`. INPUT: names the setting. */
struct tls_server *certificate_open(const struct config *config, const char *name, struct fault *why);
/* For HTTPS: only a certificate that somebody gave. */
struct tls_server *certificate_open_given(const struct config *config, struct fault *why);

#endif
