#include "base/base64.h"
#include "dns/zone_inside.h"

#include <jansson.h>

/* Where we are in the data, for faults: "example.com MX". */
struct place {
    struct zone *zone;
    struct zone_name *name;
    const char *owner;
    const char *key;
    struct fault *why;
};

static bool wrong(const struct place *place, const char *want)
{
    return fault_set(place->why, FAULT_INPUT, "dns: %.200s %s: want %s", place->owner, place->key, want);
}

static struct slice string_of(const json_t *value)
{
    return slice_of(json_string_value(value), json_string_length(value));
}

static bool add_address(struct place *place, enum dns_type type, const json_t *value)
{
    struct dns_record record = {0};
    if (!json_is_string(value) || !ip_parse(string_of(value), &record.ip) ||
        record.ip.family != (type == DNS_A ? 4 : 6))
        return wrong(place, type == DNS_A ? "IPv4 addresses" : "IPv6 addresses");
    zone_record_add(place->zone, place->name, type, &record);
    return true;
}

static bool add_host(struct place *place, enum dns_type type, const json_t *value, uint16_t preference)
{
    char normal[DNS_NAME_ROOM];
    struct dns_record record = {.preference = preference};
    if (!json_is_string(value) || !dns_name_normalise(string_of(value), normal))
        return wrong(place, "a domain name");
    record.name = slice_str(normal);
    zone_record_add(place->zone, place->name, type, &record);
    return true;
}

static bool add_mx(struct place *place, const json_t *value)
{
    const json_t *preference = json_array_get(value, 0);
    if (json_array_size(value) != 2 || !json_is_integer(preference) || json_integer_value(preference) < 0 ||
        json_integer_value(preference) > UINT16_MAX)
        return wrong(place, "[preference, \"host\"]");
    return add_host(place, DNS_MX, json_array_get(value, 1), (uint16_t)json_integer_value(preference));
}

static bool add_txt(struct place *place, const json_t *value)
{
    SCOPED(buf) text = BUF(65535);
    if (json_is_string(value)) {
        buf_append(&text, string_of(value));
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (!json_is_string(json_array_get(value, i)))
                return wrong(place, "strings, or lists of the pieces of one");
            buf_append(&text, string_of(json_array_get(value, i)));
        }
    } else {
        return wrong(place, "strings, or lists of the pieces of one");
    }
    if (!buf_ok(&text))
        return wrong(place, "at most 65,535 octets");
    struct dns_record record = {.text = buf_slice(&text)};
    zone_record_add(place->zone, place->name, DNS_TXT, &record);
    return true;
}

static bool add_tlsa(struct place *place, const json_t *value)
{
    SCOPED(buf) data = BUF(65535);
    uint8_t numbers[3];
    for (size_t i = 0; i < 3; i++) {
        const json_t *number = json_array_get(value, i);
        if (!json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) > 255)
            return wrong(place, "[usage, selector, matching, \"hex\"]");
        numbers[i] = (uint8_t)json_integer_value(number);
    }
    const json_t *hex = json_array_get(value, 3);
    if (!json_is_string(hex) || !hex_decode(&data, string_of(hex)))
        return wrong(place, "[usage, selector, matching, \"hex\"]");
    struct dns_record record = {.tlsa = {numbers[0], numbers[1], numbers[2], buf_slice(&data)}};
    zone_record_add(place->zone, place->name, DNS_TLSA, &record);
    return true;
}

static bool add_value(struct place *place, enum dns_type type, const json_t *value)
{
    switch (type) {
    case DNS_A:
    case DNS_AAAA: return add_address(place, type, value);
    case DNS_MX: return add_mx(place, value);
    case DNS_TXT: return add_txt(place, value);
    case DNS_PTR:
    case DNS_CNAME: return add_host(place, type, value, 0);
    case DNS_TLSA: return add_tlsa(place, value);
    }
    return false;
}

/* One value may stand without its list; [10, "mx"] and [3, 1, 1, "hex"] are one value. */
static bool is_list(enum dns_type type, const json_t *value)
{
    if (!json_is_array(value))
        return false;
    return (type != DNS_MX && type != DNS_TLSA) || !json_is_integer(json_array_get(value, 0));
}

static bool add_error(struct place *place, const json_t *value)
{
    if (json_is_string(value) && slice_equal_caseless(string_of(value), SLICE("timeout")))
        place->name->error = ZONE_TIMEOUT;
    else if (json_is_string(value) && slice_equal_caseless(string_of(value), SLICE("servfail")))
        place->name->error = ZONE_SERVFAIL;
    else if (json_is_string(value) && slice_equal_caseless(string_of(value), SLICE("bogus")))
        place->name->error = ZONE_BOGUS;
    else if (!json_is_null(value))
        return wrong(place, "timeout, servfail or bogus");
    return true;
}

static bool add_key(struct place *place, const json_t *value)
{
    static const enum dns_type types[] = {DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};
    struct slice key = slice_str(place->key);
    if (slice_equal_caseless(key, SLICE("error")))
        return add_error(place, value);
    if (slice_equal_caseless(key, SLICE("secure"))) {
        place->name->is_secure = json_is_true(value);
        return json_is_boolean(value) || wrong(place, "true or false");
    }
    if (slice_equal_caseless(key, SLICE("ttl"))) {
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > DNS_TTL_MOST_S)
            return wrong(place, "seconds, 86400 at most");
        place->name->ttl_seconds = (uint32_t)json_integer_value(value);
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (!slice_equal_caseless(key, dns_type_word(types[i])))
            continue;
        if (!is_list(types[i], value))
            return add_value(place, types[i], value);
        for (size_t v = 0; v < json_array_size(value); v++)
            if (!add_value(place, types[i], json_array_get(value, v)))
                return false;
        return true;
    }
    return true; /* a type that we never ask for */
}

static bool fill(struct zone *zone, json_t *object, struct fault *why)
{
    const char *owner, *key;
    json_t *types, *value;
    if (!json_is_object(object))
        return fault_set(why, FAULT_INPUT, "dns: want an object of names");
    json_object_foreach(object, owner, types)
    {
        char normal[DNS_NAME_ROOM];
        if (!json_is_object(types))
            return fault_set(why, FAULT_INPUT, "dns: %.200s: want an object of types", owner);
        if (!dns_name_normalise(slice_str(owner), normal))
            continue; /* nobody can ask for it */
        struct place place = {zone, zone_name_add(zone, normal), owner, NULL, why};
        json_object_foreach(types, key, value)
        {
            place.key = key;
            if (!add_key(&place, value))
                return false;
        }
    }
    return true;
}

struct resolver *zone_resolver_of_object(const struct json_t *object, struct fault *why)
{
    struct zone *zone = zone_new();
    if (fill(zone, (json_t *)(uintptr_t)object, why)) /* json_object_foreach does not write, but wants it so */
        return zone_resolver(zone);
    zone_free(zone);
    return NULL;
}

struct resolver *zone_resolver_of_json(struct slice json, struct fault *why)
{
    json_error_t error;
    json_t *object = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!object) {
        fault_set(why, FAULT_INPUT, "dns: line %d, column %d: %s", error.line, error.column, error.text);
        return NULL;
    }
    struct resolver *resolver = zone_resolver_of_object(object, why);
    json_decref(object);
    return resolver;
}
