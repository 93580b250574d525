#include "app/certificate.h"

struct tls_server *certificate_open_given(const struct config *config, struct fault *why)
{
    if (!config->tls_cert.text[0] || !config->tls_key.text[0]) {
        fault_set(why, FAULT_INPUT, "%s: is empty; http.tls needs a certificate and its key",
                  config->tls_cert.text[0] ? "tls.key" : "tls.cert");
        return NULL;
    }
    struct tls_server *server = tls_server_from_files(config->tls_cert.text, config->tls_key.text, why);
    if (!server)
        fault_prefix(why, "tls.cert, tls.key: ");
    return server;
}

struct tls_server *certificate_open(const struct config *config, const char *name, struct fault *why)
{
    if (config->tls_cert.text[0] || config->tls_key.text[0])
        return certificate_open_given(config, why);
    return tls_server_self_signed(&name, 1, why);
}
