#include "app/check_address.h"

bool check_address_write(const struct address_book *book, struct slice text, struct arena *arena, struct json *json)
{
    struct address_look look;
    address_look_at(book, text, arena, &look);
    json_put_bool(json, "valid", look.is_valid);
    json_put_string(json, "normalised", look.normalised);
    json_put_string(json, "local", look.address.local);
    json_put_string(json, "domain", look.address.domain);
    json_put_bool(json, "rfc_violation", look.has_rfc_violation);
    json_put_bool(json, "disposable", look.is_disposable);
    json_put_bool(json, "role", look.is_role);
    json_put_string(json, "suggestion", look.suggestion);
    json_put_string(json, "reason", look.reason);
    return look.is_valid;
}
