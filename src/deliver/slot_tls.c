/* slot_tls.c - a conversation's TLS, as policy wants it (security.h), and how it counts for reports (RFC 8460)
 *
 * Always true: where policy forbids clear text, the client is told that TLS must be, so it never says MAIL without it;
 * READY asserts that once more. */
#include "deliver/engine_inside.h"
#include "deliver/slot.h"
#include "deliver/tls_seen.h"

#include <assert.h>
#include <stdio.h>

static const struct route_host *host_of(const struct slot *slot)
{
    return &slot->kept->route.hosts[slot->host];
}

enum { PORT_TLS = 465, HANDSHAKE_TIMEOUT_MS = 60000, CLEAR_MS = 600000 };

static enum smtp_tls_wish tls_wish(const struct slot *slot)
{
    if (slot->security.level != TLS_LEVEL_MAY)
        return SMTP_TLS_MUST;
    return slot->is_in_clear || slot->kept->policy.avoids_tls ? SMTP_TLS_NEVER : SMTP_TLS_MAY;
}

uint16_t slot_port(const struct slot *slot)
{
    const struct relay *relay = slot->kept->policy.relay;
    return relay ? relay->port : 25;
}

bool slot_begins_with_tls(const struct slot *slot)
{
    return slot->kept->policy.relay && slot_port(slot) == PORT_TLS;
}

struct smtp_client *slot_client_new(const struct slot *slot)
{
    const struct relay *relay = slot->kept->policy.relay;
    unsigned char random[12];
    SCOPED(buf) nonce = BUF(64);
    struct smtp_client_settings settings = {
        .ehlo_name = slot->egress->ehlo_name.len ? slot->egress->ehlo_name : slot->worker->engine->options.ehlo_name,
        .tls = tls_wish(slot),
        .is_tls_already = slot->tls_info != NULL,
        .is_tls_verified = slot->tls_info && slot->tls_info->is_verified,
    };
    if (relay) { /* the client sends no password but over TLS that was verified (R31) */
        settings.user = relay->user;
        settings.password = relay->password;
        world_secret(slot->worker->engine->options.world, random, sizeof(random));
        for (size_t i = 0; i < sizeof(random); i++)
            buf_printf(&nonce, "%02x", random[i]);
        settings.scram_nonce = buf_slice(&nonce);
    }
    return smtp_client_new(&settings);
}

static enum tls_verify verify_of(enum tls_level level)
{
    switch (level) {
    case TLS_LEVEL_MAY:
    case TLS_LEVEL_ENCRYPT: return TLS_VERIFY_NONE;
    case TLS_LEVEL_DANE: return TLS_VERIFY_DANE;
    case TLS_LEVEL_NAME:
    case TLS_LEVEL_REFUSED: break;
    }
    return TLS_VERIFY_NAME;
}

void slot_start_tls(struct slot *slot)
{
    const struct route_host *host = host_of(slot);
    struct arena arena = {0};
    const struct tls_want want = {
        .client = slot->worker->tls,
        .name = arena_str(&arena, host->name),
        .verify = verify_of(slot->security.level),
        .tlsa = host->tlsa,
        .tlsa_count = host->tlsa_count,
        .dane_base = host->dane_base.len ? arena_str(&arena, host->dane_base) : NULL,
        .also_name = slot->kept->policy.domain.len ? arena_str(&arena, slot->kept->policy.domain) : NULL,
    };
    stream_deadline(slot->stream, slot_scaled(slot, HANDSHAKE_TIMEOUT_MS), "TLS handshake");
    if (slot->client) /* the conversation has no deadline of its own meanwhile: it must not clear this one */
        slot->step = smtp_client_step(slot->client);
    stream_start_tls_client(slot->stream, &want);
    arena_release(&arena);
}

void slot_has_tls(struct slot *slot, const struct tls_info *info)
{
    free(slot->tls_info);
    slot->tls_info = NEW(struct tls_info);
    *slot->tls_info = *info;
}

/* ── counting ── */

/* Whose session it is: the policy's domain, or that of a recipient who waits for it. */
static struct slice session_domain(const struct slot *slot)
{
    const struct destination *destination = slot->destination;
    if (slot->kept->policy.domain.len)
        return slot->kept->policy.domain;
    if (destination->ready.first)
        return destination->ready.first->domain;
    if (slot->under_way_count)
        return slot->under_way[0]->domain;
    return slice_str(slot->opened_for);
}

static void tlsa_text(const struct route_host *host, struct buf *text)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < host->tlsa_count; i++) {
        const struct tlsa *tlsa = &host->tlsa[i];
        buf_printf(text, "%u %u %u ", tlsa->usage, tlsa->selector, tlsa->matching);
        for (size_t b = 0; b < tlsa->data.len; b++) {
            buf_byte(text, hex[(unsigned char)tlsa->data.ptr[b] >> 4]);
            buf_byte(text, hex[(unsigned char)tlsa->data.ptr[b] & 15]);
        }
        buf_byte(text, '\n');
    }
}

static void sts_text(const struct sts_policy *policy, struct buf *text)
{
    buf_printf(text, "version: STSv1\nmode: %.*s\n", SLICE_ARG(sts_mode_word(policy->mode)));
    for (size_t i = 0; i < policy->mx_count; i++)
        buf_printf(text, "mx: %.*s\n", SLICE_ARG(policy->mx[i]));
    buf_printf(text, "max_age: %u\n", policy->max_age_s);
}

static void count(struct slot *slot, enum tls_result result, struct slice detail)
{
    const struct route_host *host = host_of(slot);
    struct slice domain = session_domain(slot);
    SCOPED(buf) policy = BUF(STS_POLICY_MAX);
    if (slot->kept->policy.relay || slot->kept->policy.is_waived || !domain.len)
        return; /* a smart host is our own business; TLS-Required: No says nothing about a policy */
    if (slot->security.policy == TLS_POLICY_TLSA)
        tlsa_text(host, &policy);
    if (slot->security.policy == TLS_POLICY_STS)
        sts_text(&slot->kept->policy.sts, &policy);
    struct tls_note note = {
        .policy = slot->security.policy,
        .result = result,
        .domain = domain,
        .mx = host->name,
        .detail = detail,
        .policy_text = buf_slice(&policy),
    };
    if (slot->stream)
        note.from = stream_local(slot->stream).ip;
    if (slot->security.level != TLS_LEVEL_REFUSED && slot->address < host->address_count)
        note.to = *slot_address(slot, host, slot->address);
    mailbox_post(&slot->worker->engine->dispatcher.notes, &tls_note_copy(&note)->item);
}

void slot_tls_settled(struct slot *slot)
{
    bool has_tls = smtp_client_has_tls(slot->client);
    assert(slot->security.level == TLS_LEVEL_MAY || has_tls);
    if (has_tls)
        tls_seen_note(slot);
    enum tls_result result = security_result(&slot->security, has_tls ? slot->tls_info : NULL);
    count(slot, result, slice_str(has_tls && result != TLS_RESULT_SUCCESS ? slot->tls_info->error : ""));
}

/* "why: what was said", without a code: whatever the host said about TLS, the mail waits. */
static void say_why(struct slot *slot, const char *why, struct slice said)
{
    SCOPED(buf) text = BUF(4096);
    buf_append(&text, said);
    if (why[0])
        buf_printf(&text, " (%s)", why);
    const struct reply reply = {.text = buf_slice(&text)};
    slot_keep_last_words(slot, &reply, STAGE_STARTTLS);
}

bool slot_tls_failed(struct slot *slot)
{
    bool was_refused = slot->tls_fault == TLS_FAULT_NONE; /* no handshake: not offered, or the reply was no 220 */
    SCOPED(buf) said = BUF(4096);
    if (slot->last_words.code)
        buf_printf(&said, "STARTTLS: %d ", slot->last_words.code);
    buf_append(&said, buf_slice(&slot->last_words.text));
    count(slot, was_refused ? TLS_RESULT_STARTTLS_NOT_SUPPORTED : tls_result_of_fault(slot->tls_fault),
          buf_slice(&said));
    if (slot->security.level == TLS_LEVEL_MAY)
        return true;
    if (was_refused)
        tls_seen_vanished(slot);
    say_why(slot, slot->security.why, buf_slice(&said));
    return false;
}

void slot_clear(struct slot *slot)
{
    assert(slot->security.level == TLS_LEVEL_MAY);
    route_clear(slot->kept, slot->host, loop_now(slot->worker->loop) + CLEAR_MS);
}

void slot_tls_refused(struct slot *slot)
{
    const struct route_host *host = host_of(slot);
    SCOPED(buf) said = BUF(1024);
    buf_reset(&slot->remote);
    buf_append(&slot->remote, host->name);
    if (host->dane == ROUTE_DANE_BROKEN)
        buf_append(&said, host->dane_why);
    else
        buf_printf(&said, "%.*s is not used", SLICE_ARG(host->name));
    count(slot, slot->security.result, buf_slice(&said));
    say_why(slot, slot->security.why, buf_slice(&said));
    slot->was_tls_failure = true;
}

bool slot_relay_failed(struct slot *slot)
{
    const struct relay *relay = slot->kept->policy.relay;
    SCOPED(buf) said = BUF(4096);
    if (!relay)
        return false;
    buf_printf(&said, "smart host %.*s: ", SLICE_ARG(relay->host));
    if (slot->last_words.code)
        buf_printf(&said, "%d ", slot->last_words.code);
    buf_append(&said, buf_slice(&slot->last_words.text));
    const struct reply reply = {.text = buf_slice(&said)};
    slot_keep_last_words(slot, &reply, slot->last_words.stage ? slot->last_words.stage : STAGE_CONNECT);
    return true;
}

static bool has_same_tlsa(const struct route_host *one, const struct route_host *other)
{
    if (one->tlsa_count != other->tlsa_count)
        return false;
    for (size_t i = 0; i < one->tlsa_count; i++) {
        const struct tlsa *tlsa = &one->tlsa[i];
        bool found = false;
        for (size_t k = 0; k < other->tlsa_count && !found; k++)
            found = tlsa->usage == other->tlsa[k].usage && tlsa->selector == other->tlsa[k].selector &&
                    tlsa->matching == other->tlsa[k].matching && slice_equal(tlsa->data, other->tlsa[k].data);
        if (!found)
            return false;
    }
    return true;
}

bool slot_is_outdated(const struct slot *slot)
{
    const struct route_kept *fresh = slot->destination->kept;
    const struct route *route = &slot->kept->route;
    if (fresh == slot->kept || slot->host >= route->host_count)
        return false;
    const struct route_host *host = &route->hosts[slot->host];
    for (size_t i = 0; i < fresh->route.host_count; i++) {
        const struct route_host *now = &fresh->route.hosts[i];
        if (!slice_equal(now->name, host->name))
            continue;
        bool was_seen = tls_was_seen(fresh, i, world_wall(slot->worker->engine->options.world));
        enum tls_level level = security_of(&fresh->policy, now, was_seen).level;
        return level != TLS_LEVEL_MAY &&
               (level != slot->security.level || (level == TLS_LEVEL_DANE && !has_same_tlsa(now, host)));
    }
    return true; /* no host of it any more */
}
