/* optins.c - programs ask for people who want to be on a list, and look at the proofs (S53, L2) */
#include "api/body.h"
#include "api/change.h"
#include "api/people.h"
#include "audience/optin.h"
#include "campaign/optin_mail.h"
#include "mail/address.h"

static bool ask_run(struct change *change, struct db *db, struct fault *why)
{
    struct optin asked = *(const struct optin *)change->data;
    struct list list;
    bool found, wants_mail;
    if (!list_is_seen(db, change_brands(change), asked.list_id, &change->work, &list, &found, why))
        return false;
    if (!found)
        return change_refuse(change, 404, "", "there is no such list");
    if (!optin_ask(db, why, &asked, change->now, &change->work, &wants_mail))
        return false;
    change->status = 202; /* whatever is known of the address: the same answer */
    json_object_begin(&change->json);
    json_put_string(&change->json, "state", SLICE("asked"));
    json_end(&change->json);
    return !wants_mail || optin_mail_send(db, why, &asked, change->api->options.ring, change->now, &change->work,
                                          &change->news, &change->news_count);
}

void api_optin_ask(struct api *api, struct http_request *request)
{
    SCOPED(body) body = {0};
    struct fault why = {0};
    struct address address = {0};
    struct optin asked = {0};
    struct ip ip;
    if (!body_begin(&body, request))
        return;
    struct slice email = body_line_required(&body, "email", 1000);
    if (email.len && !address_of_person(email, &request->arena, &address, &why))
        body_wrong(&body, "email", "email: %s", why.text);
    asked.name = body_line(&body, "name", CONTACT_NAME_MAX);
    asked.lang = body_line(&body, "lang", 10);
    if (asked.lang.len && !slice_equal(asked.lang, SLICE("ja")) && !slice_equal(asked.lang, SLICE("en")))
        body_wrong(&body, "lang", "lang is ja or en");
    asked.notice = body_text(&body, "notice", OPTIN_NOTICE_MAX);
    asked.asked_from.ip = body_line(&body, "ip", 60);
    if (asked.asked_from.ip.len && !ip_parse(asked.asked_from.ip, &ip))
        body_wrong(&body, "ip", "ip is the IPv4 or IPv6 address of the person's browser");
    asked.asked_from.agent = body_line(&body, "user_agent", OPTIN_AGENT_MAX);
    if (!body_end(&body))
        return;
    if (!id_parse(http_param(request, "id"), &asked.list_id)) {
        answer_no_such(request, "list");
        return;
    }
    struct change *change = change_new(api, request, struct optin, ask_run);
    struct optin *own = change->data;
    *own = asked;
    struct slice *const texts[] = {&own->name, &own->notice, &own->asked_from.ip, &own->asked_from.agent};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = arena_copy(&change->arena, *texts[i]);
    own->address = arena_copy(&change->arena, address.identity);
    own->written = arena_copy(&change->arena, address.written);
    own->lang = slice_equal(asked.lang, SLICE("en")) ? SLICE("en") : SLICE("ja");
    own->source = SLICE("api");
    change_begin(change, request);
}

static void optin_write(struct json *json, const struct optin *optin)
{
    json_object_begin(json);
    json_put_id(json, "id", optin->id);
    json_put_id(json, "list_id", optin->list_id);
    json_put_string(json, "email", optin->written);
    json_put_string(json, "source", optin->source);
    json_put_string(json, "title", optin->title);
    json_put_string(json, "notice", optin->notice);
    json_put_time(json, "asked_at", optin->asked);
    json_put_string(json, "asked_ip", optin->asked_from.ip);
    json_put_string(json, "asked_user_agent", optin->asked_from.agent);
    json_put_time(json, "expires_at", optin->expires);
    if (optin->confirmed)
        json_put_time(json, "confirmed_at", optin->confirmed);
    else
        json_put_null(json, "confirmed_at");
    json_put_string(json, "confirmed_ip", optin->confirmed_from.ip);
    json_put_string(json, "confirmed_user_agent", optin->confirmed_from.agent);
    json_end(json);
}

void api_optin_list(struct api *api, struct http_request *request)
{
    uint64_t id;
    struct contact contact;
    struct fault why = {0};
    struct brands brands = caller_brands(api_caller(request));
    struct optin *optins;
    size_t count;
    bool found = false, is_seen = false;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (id_parse(http_param(request, "id"), &id) &&
        (!contact_by_id(api->db, &why, id, &request->arena, &contact, &found) ||
         (found && !contact_is_seen(api->db, brands, &contact, &is_seen, &why)))) {
        answer_fault(request, &why, 400);
        return;
    }
    if (!found || !is_seen) {
        answer_no_such(request, "contact");
        return;
    }
    if (!optin_list(api->db, &why, contact.address, &request->arena, &optins, &count)) {
        answer_fault(request, &why, 400);
        return;
    }
    json_object_begin(&json);
    json_put_array(&json, "items");
    for (size_t i = 0; i < count; i++)
        if (brands_have(&brands, optins[i].brand_id))
            optin_write(&json, &optins[i]);
    json_end(&json);
    json_put_null(&json, "next_cursor");
    json_end(&json);
    answer_json(request, &out);
}
