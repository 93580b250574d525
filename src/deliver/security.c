#include "deliver/security.h"

struct slice tls_rule_word(enum tls_rule rule)
{
    switch (rule) {
    case TLS_RULE_OPPORTUNISTIC: return SLICE("opportunistic");
    case TLS_RULE_SEEN: return SLICE("seen");
    case TLS_RULE_REQUIRED: return SLICE("required");
    case TLS_RULE_VERIFIED: return SLICE("verified");
    }
    return SLICE("");
}

bool tls_rule_of(struct slice word, enum tls_rule *rule)
{
    static const enum tls_rule rules[] = {TLS_RULE_OPPORTUNISTIC, TLS_RULE_SEEN, TLS_RULE_REQUIRED, TLS_RULE_VERIFIED};
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (slice_equal(word, tls_rule_word(rules[i]))) {
            *rule = rules[i];
            return true;
        }
    }
    return false;
}

struct slice tls_policy_word(enum tls_policy policy)
{
    switch (policy) {
    case TLS_POLICY_NOT_FOUND: return SLICE("no-policy-found");
    case TLS_POLICY_STS: return SLICE("sts");
    case TLS_POLICY_TLSA: return SLICE("tlsa");
    }
    return SLICE("");
}

struct slice tls_result_word(enum tls_result result)
{
#define TLS_RESULT_WORD(NAME, word) [TLS_RESULT_##NAME] = SLICE_INIT(word),
    static const struct slice words[] = {TLS_RESULTS(TLS_RESULT_WORD)};
    return words[result];
}

enum tls_result tls_result_of_fault(enum tls_fault fault)
{
    switch (fault) {
    case TLS_FAULT_NONE: return TLS_RESULT_SUCCESS;
    case TLS_FAULT_NAME: return TLS_RESULT_HOST_MISMATCH;
    case TLS_FAULT_EXPIRED: return TLS_RESULT_EXPIRED;
    case TLS_FAULT_UNTRUSTED: return TLS_RESULT_NOT_TRUSTED;
    case TLS_FAULT_DANE: /* the records are sound, the certificate is another (RFC 8460 4.3.2.1) */
    case TLS_FAULT_HANDSHAKE: return TLS_RESULT_VALIDATION_FAILURE;
    }
    return TLS_RESULT_VALIDATION_FAILURE;
}

void security_policy_copy(struct arena *arena, const struct security_policy *from, struct security_policy *to)
{
    struct slice *mx = from->sts.mx_count ? ARENA_ARRAY(arena, struct slice, from->sts.mx_count) : NULL;
    *to = *from;
    for (size_t i = 0; i < from->sts.mx_count; i++)
        mx[i] = arena_copy(arena, from->sts.mx[i]);
    to->sts.mx = mx;
    if (from->domain.len)
        to->domain = arena_copy(arena, from->domain);
    if (from->sts_text.len)
        to->sts_text = arena_copy(arena, from->sts_text);
    if (!from->relay)
        return;
    struct relay *relay = ARENA_NEW(arena, struct relay);
    *relay = *from->relay;
    relay->host = arena_copy(arena, from->relay->host);
    relay->user = arena_copy(arena, from->relay->user);
    relay->password = arena_copy(arena, from->relay->password);
    to->relay = relay;
}

bool security_is_single(const struct security_policy *policy, const struct route *route)
{
    if (policy->has_sts && policy->sts.mode != STS_NONE)
        return true;
    for (size_t i = 0; i < route->host_count; i++) /* usage 2 may name the domain in its certificate */
        for (size_t t = 0; t < route->hosts[i].tlsa_count; t++)
            if (route->hosts[i].tlsa[t].usage == 2)
                return true;
    return false;
}

static void rise(struct security *security, enum tls_level level, const char *why)
{
    if (level <= security->level)
        return;
    security->level = level;
    security->why = why;
}

static struct security refused(enum tls_policy policy, enum tls_result result, const char *why)
{
    return (struct security){.level = TLS_LEVEL_REFUSED, .policy = policy, .result = result, .why = why};
}

static void rise_by_rule(struct security *security, enum tls_rule rule, bool was_seen)
{
    switch (rule) {
    case TLS_RULE_OPPORTUNISTIC: break;
    case TLS_RULE_SEEN:
        if (was_seen)
            rise(security, TLS_LEVEL_ENCRYPT, "rule: seen, this host had TLS lately");
        break;
    case TLS_RULE_REQUIRED: rise(security, TLS_LEVEL_ENCRYPT, "rule: required"); break;
    case TLS_RULE_VERIFIED: rise(security, TLS_LEVEL_NAME, "rule: verified"); break;
    }
}

struct security security_of(const struct security_policy *policy, const struct route_host *host, bool was_seen)
{
    struct security security = {.why = ""};
    bool has_sts = policy->has_sts && policy->sts.mode != STS_NONE;
    if (policy->relay) {
        rise(&security, TLS_LEVEL_NAME, "smart host");
        return security;
    }
    if (policy->is_waived) { /* RFC 8689 4.2.2 */
        rise_by_rule(&security, policy->rule, was_seen);
        return security;
    }
    switch (host->dane) {
    case ROUTE_DANE_BROKEN: /* a lookup that failed may hide records: RFC 7672 2.1 */
        return refused(TLS_POLICY_TLSA, TLS_RESULT_DNSSEC_INVALID, "DANE: the TLSA lookup failed");
    case ROUTE_DANE_USABLE:
        security.policy = TLS_POLICY_TLSA;
        rise(&security, TLS_LEVEL_DANE, "DANE");
        return security;
    case ROUTE_DANE_ENCRYPT:
        security.policy = TLS_POLICY_TLSA;
        rise(&security, TLS_LEVEL_ENCRYPT, "DANE");
        break;
    case ROUTE_DANE_NONE: break;
    }
    rise_by_rule(&security, policy->rule, was_seen);
    if (!has_sts)
        return security;
    security.policy = TLS_POLICY_STS;
    if (policy->sts.mode == STS_TESTING) {
        security.is_tested = true;
        security.result = sts_allows(&policy->sts, host->name) ? TLS_RESULT_SUCCESS : TLS_RESULT_VALIDATION_FAILURE;
        return security;
    }
    if (!sts_allows(&policy->sts, host->name))
        return refused(TLS_POLICY_STS, TLS_RESULT_VALIDATION_FAILURE,
                       "MTA-STS: the domain's policy does not name this MX");
    rise(&security, TLS_LEVEL_NAME, "MTA-STS: enforce");
    return security;
}

enum tls_result security_result(const struct security *security, const struct tls_info *info)
{
    if (security->result != TLS_RESULT_SUCCESS)
        return security->result;
    if (!info)
        return TLS_RESULT_STARTTLS_NOT_SUPPORTED;
    if (security->is_tested && !info->is_verified)
        return tls_result_of_fault(info->fault == TLS_FAULT_NONE ? TLS_FAULT_UNTRUSTED : info->fault);
    return TLS_RESULT_SUCCESS;
}
