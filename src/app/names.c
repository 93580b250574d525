#include "app/names.h"

#include "base/buf.h"
#include "base/file.h"
#include "dns/unbound.h"
#include "dns/zone.h"
#include "mailauth/lookup_dns.h"
#include <jansson.h>

struct names {
    struct world world;
    struct loop *loop;
    struct dns_client *client;
    struct resolver *data;    /* of the present data, or */
    struct resolver *network; /* the real one, kept once started */
};

struct names *names_new(void)
{
    struct names *names = NEW(struct names);
    world_init(&names->world, NETWORK_PUBLIC);
    names->loop = loop_new(&names->world);
    return names;
}

/* Forget whom we ask, and what was answered. */
static void source_clear(struct names *names)
{
    dns_client_free(names->client);
    names->client = NULL;
    if (names->data)
        resolver_free(names->data);
    names->data = NULL;
    names->world.resolver = NULL;
}

void names_free(struct names *names)
{
    if (!names)
        return;
    source_clear(names);
    if (names->network)
        resolver_free(names->network);
    loop_free(names->loop);
    free(names);
}

bool names_from(struct names *names, const struct json_t *object, struct fault *why)
{
    const struct unbound_options options = {.resolv_conf = "/etc/resolv.conf"};
    source_clear(names);
    if (object) {
        names->data = zone_resolver_of_object(object, why);
        names->world.resolver = names->data;
    } else {
        if (!names->network)
            names->network = unbound_resolver_new(&names->world, &options, why);
        names->world.resolver = names->network;
    }
    if (!names->world.resolver)
        return fault_prefix(why, "dns: ");
    names->client = dns_client_new(names->loop);
    return true;
}

bool names_from_file(struct names *names, const char *path, struct fault *why)
{
    SCOPED(buf) text = {0};
    json_error_t error;
    if (!file_read(path, 64 << 20, &text, why))
        return false;
    json_t *object = json_loadb(text.ptr, text.len, 0, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        return fault_set(why, FAULT_INPUT, "%s line %d: %s", path, error.line,
                         object ? "not a JSON object" : error.text);
    }
    bool is_done = names_from(names, object, why);
    json_decref(object);
    return is_done || fault_prefix(why, "%s: ", path);
}

void names_answer(struct names *names, struct lookup *lookup)
{
    for (struct question *question; (question = lookup_next(lookup));) {
        struct dns_answer answer;
        dns_ask_and_wait(names->client, question->name, question_dns_type(question), lookup->arena, &answer);
        lookup_answer_dns(lookup, question, &answer);
    }
}

int64_t names_now(const struct names *names)
{
    return world_wall(&names->world) / 1000;
}
