/* zone.c - the playground's DNS: receivers and the sender, as JSON for dns/zone.h */
#include "app/playground/sites.h"

#include "base/json.h"

static void put_list(struct json *json, const char *type, struct slice value)
{
    json_key_slice(json, slice_str(type));
    json_array_begin(json);
    json_text(json, value);
    json_end(json);
}

static void put_mx(struct json *json, struct slice host)
{
    json_put_array(json, "MX");
    json_array_begin(json);
    json_int(json, slice_is_empty(host) ? 0 : 10);
    json_text(json, host);
    json_end(json);
    json_end(json);
}

static void put_address(struct json *json, const struct ip *ip)
{
    char text[IP_TEXT_ROOM];
    put_list(json, ip->family == 6 ? "AAAA" : "A", slice_str(ip_text(ip, text)));
}

static void put_pointer(struct json *json, const struct ip *ip, const char *name)
{
    SCOPED(buf) reverse = BUF(128);
    ip_reverse_name(ip, &reverse);
    json_key_slice(json, buf_slice(&reverse));
    json_object_begin(json);
    put_list(json, "PTR", slice_str(name));
    json_end(json);
}

static struct ip site_ip(const struct site *site)
{
    return ip_v4(127, 25, site->ip[0], site->ip[1]);
}

static void put_receivers(struct json *json)
{
    for (size_t i = 0; i < site_count; i++) {
        struct ip ip = site_ip(&site_table[i]);
        json_key_slice(json, slice_str(site_table[i].host));
        json_object_begin(json);
        put_address(json, &ip);
        json_end(json);
        put_pointer(json, &ip, site_table[i].host);
    }
    struct slice last_other = SLICE("");
    struct site_domain row;
    for (size_t i = 0; (row = site_domain_at(i)).name.ptr; i++) {
        json_key_slice(json, row.name);
        json_object_begin(json);
        put_mx(json, slice_str(row.host ? row.host : ""));
        put_list(json, "TXT", row.host ? SLICE("v=spf1 mx -all") : SLICE("v=spf1 -all"));
        json_end(json);
        /* an MX that is another name of a site's host; rows with the same one stand together */
        struct slice host = slice_str(row.host);
        if (row.host && strcmp(row.host, row.site->host) != 0 && !slice_equal(host, last_other)) {
            struct ip ip = site_ip(row.site);
            json_key_slice(json, host);
            json_object_begin(json);
            put_address(json, &ip);
            json_end(json);
            last_other = host;
        }
    }
}

static void put_spf(struct json *json, const struct playground_sender *sender)
{
    char ip[IP_TEXT_ROOM];
    SCOPED(buf) spf = BUF(256);
    buf_printf(&spf, "v=spf1 ip%c:%s -all", sender->source.family == 6 ? '6' : '4', ip_text(&sender->source, ip));
    put_list(json, "TXT", buf_slice(&spf));
}

static void put_sender(struct json *json, const struct playground_sender *sender)
{
    /* mail to the From domain itself (replies, complaints) comes in by the same door as error mail */
    SCOPED(buf) name = BUF(600);
    buf_printf(&name, "mx.%s", sender->return_path_domain);
    json_key_slice(json, slice_str(sender->domain));
    json_object_begin(json);
    put_mx(json, buf_slice(&name));
    put_spf(json, sender);
    json_end(json);
    if (strcmp(sender->return_path_domain, sender->domain) != 0) {
        json_key_slice(json, slice_str(sender->return_path_domain));
        json_object_begin(json);
        put_mx(json, buf_slice(&name));
        put_spf(json, sender);
        json_end(json);
    }
    json_key_slice(json, buf_slice(&name));
    json_object_begin(json);
    put_address(json, &sender->mail_in);
    json_end(json);

    /* HELO has SPF of its own (M18, D14) */
    json_key_slice(json, slice_str(sender->ehlo_name));
    json_object_begin(json);
    put_address(json, &sender->source);
    put_mx(json, buf_slice(&name));
    put_spf(json, sender);
    json_end(json);
    put_pointer(json, &sender->source, sender->ehlo_name);

    buf_reset(&name);
    buf_printf(&name, "_dmarc.%s", sender->domain);
    json_key_slice(json, buf_slice(&name));
    json_object_begin(json);
    put_list(json, "TXT", SLICE("v=DMARC1; p=reject"));
    json_end(json);
    if (sender->dkim_selector && sender->dkim_record) {
        buf_reset(&name);
        buf_printf(&name, "%s._domainkey.%s", sender->dkim_selector, sender->domain);
        json_key_slice(json, buf_slice(&name));
        json_object_begin(json);
        put_list(json, "TXT", slice_str(sender->dkim_record));
        json_end(json);
    }
}

void playground_zone(const struct playground_sender *sender, struct buf *out)
{
    struct json json = {out};
    json_object_begin(&json);
    put_receivers(&json);
    put_sender(&json, sender);
    if (sender->zone_more) {
        buf_byte(out, ',');
        buf_str(out, sender->zone_more);
    }
    json_end(&json);
}
