#include "app/names.h"

#include "app/file.h"
#include "base/buf.h"
#include "dns/unbound.h"
#include "dns/zone.h"
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

static enum dns_type type_of(enum question_type type)
{
    switch (type) {
    case QUESTION_A: return DNS_A;
    case QUESTION_AAAA: return DNS_AAAA;
    case QUESTION_MX: return DNS_MX;
    case QUESTION_PTR: return DNS_PTR;
    case QUESTION_TXT: break;
    }
    return DNS_TXT;
}

static enum answer_state state_of(enum dns_status status)
{
    switch (status) {
    case DNS_FOUND: return ANSWER_FOUND;
    case DNS_NO_NAME: return ANSWER_NO_NAME;
    case DNS_NO_DATA: return ANSWER_NO_RECORD;
    case DNS_TRY_LATER:
    case DNS_BOGUS: break;
    }
    return ANSWER_TRY_LATER;
}

static struct slice record_of(enum question_type type, const struct dns_record *record)
{
    switch (type) {
    case QUESTION_A:
    case QUESTION_AAAA: return slice_of(record->ip.bytes, record->ip.family == 4 ? 4 : 16);
    case QUESTION_MX:
    case QUESTION_PTR: return record->name;
    case QUESTION_TXT: break;
    }
    return record->text;
}

void names_answer(struct names *names, struct lookup *lookup)
{
    for (struct question *question; (question = lookup_next(lookup));) {
        struct dns_answer answer;
        dns_ask_and_wait(names->client, question->name, type_of(question->type), lookup->arena, &answer);
        struct slice *records = ARENA_ARRAY(lookup->arena, struct slice, answer.count + 1);
        for (size_t i = 0; i < answer.count; i++)
            records[i] = record_of(question->type, &answer.records[i]);
        lookup_answer(lookup, question, state_of(answer.status), records, answer.count);
    }
}

int64_t names_now(const struct names *names)
{
    return world_wall(&names->world) / 1000;
}
