/* One look through the text finds the keys (the longest fixed text of each pattern); each hit is then confirmed against
 * the whole pattern, and the rule with the best place wins:
 *
 *     tier of its provider (0 remote host or recipient's domain, 1 marks in the text, 2 reporting host, 3 general),
 *     then the order in the files.
 *
 * An operator's own rules are a second blob, asked first. */
#include "bounce/rules.h"

#include "base/log.h"
#include "base/memory.h"
#include "bounce/blob.h"
#include "bounce/compile.h"
#include "bounce/pattern.h"
#include "bounce/rules_private.h"
#include <assert.h>
#include <hs/hs.h>

enum {
    HITS_MAX = 2048,
    TIER_NONE = 255,
    TIER_GENERAL = 3,
};

struct hit {
    uint32_t key, to;
};

struct rules_scratch {
    hs_scratch_t *hs;
    struct hit hits[HITS_MAX];
    uint32_t hit_count;
    uint8_t tier[BLOB_PROVIDERS_MAX];
    size_t len;
    bool is_collapsed;
    char text[RULES_TEXT_MAX + 16]; /* lower-case, runs of white space are one space */
};

/* ---- opening ---- */

static void hosts_index(struct rules_part *part);

static bool database_open(struct rules_part *part, struct fault *why)
{
    const struct blob *blob = part->blob;
    if (!blob->database.len)
        return true;
    struct slice bytes = blob_slice(blob, blob->database);
    if (hs_deserialize_database(bytes.ptr, bytes.len, &part->database) == HS_SUCCESS)
        return true;
    SCOPED(buf) fresh = BUF(COMPILE_BLOB_MAX);
    log_info("bounce", "the rules' built-in matcher is for another CPU or library; compiling it for this one");
    if (!rules_database(blob, &fresh, why))
        return false;
    if (hs_deserialize_database(fresh.ptr, fresh.len, &part->database) != HS_SUCCESS)
        return fault_set(why, FAULT_WORLD, "vectorscan does not run on this machine");
    return true;
}

static bool part_open(struct rules *rules, const struct blob *blob, char *owned, struct fault *why)
{
    struct rules_part *part = &rules->parts[rules->part_count++];
    *part = (struct rules_part){.blob = blob, .owned = owned};
    if (blob->magic != BLOB_MAGIC)
        return fault_set(why, FAULT_INPUT, "these bounce rules are of another version");
    hosts_index(part);
    return database_open(part, why);
}

bool rules_open_blob(struct slice bytes, struct rules **rules, struct fault *why)
{
    *rules = NEW(struct rules);
    if (part_open(*rules, (const struct blob *)(const void *)bytes.ptr, NULL, why))
        return true;
    rules_free(*rules);
    *rules = NULL;
    return false;
}

bool rules_open(struct rules **rules, struct fault *why)
{
    return rules_open_blob(rules_embedded(), rules, why);
}

bool rules_add(struct rules *rules, const char *path, struct slice yaml, struct fault *why)
{
    assert(rules->part_count < RULES_PARTS_MAX);
    SCOPED(buf) bytes = BUF(COMPILE_BLOB_MAX);
    struct compile_file file = {path, yaml};
    if (!rules_compile(&file, 1, rules->parts[0].blob, &bytes, why))
        return false;
    char *owned = bytes.ptr;
    bytes = (struct buf)BUF(0);
    return part_open(rules, (const struct blob *)(const void *)owned, owned, why);
}

void rules_free(struct rules *rules)
{
    if (!rules)
        return;
    for (unsigned i = 0; i < rules->part_count; i++) {
        hs_free_database(rules->parts[i].database);
        free(rules->parts[i].owned);
    }
    free(rules);
}

struct rules_scratch *rules_scratch_new(const struct rules *rules)
{
    struct rules_scratch *scratch = NEW(struct rules_scratch);
    for (unsigned i = 0; i < rules->part_count; i++) {
        if (rules->parts[i].database && hs_alloc_scratch(rules->parts[i].database, &scratch->hs) != HS_SUCCESS)
            memory_gone("vectorscan");
    }
    return scratch;
}

void rules_scratch_free(struct rules_scratch *scratch)
{
    if (!scratch)
        return;
    hs_free_scratch(scratch->hs);
    free(scratch);
}

/* ---- the text ---- */

enum take { TAKE_AS_IS, TAKE_SPACE, TAKE_CAPITAL, TAKE_BEYOND };
static const uint8_t takes[256] = {
    ['\t' ... '\r'] = TAKE_SPACE, [' '] = TAKE_SPACE, ['A' ... 'Z'] = TAKE_CAPITAL, [0x80 ... 0xff] = TAKE_BEYOND};

static void text_take(struct rules_scratch *scratch, struct slice text)
{
    text = slice_head(text, RULES_TEXT_MAX);
    size_t len = 0;
    bool is_space_before = false, has_letters_beyond = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i], how = takes[c];
        bool is_space = how == TAKE_SPACE;
        scratch->text[len] = is_space ? ' ' : (char)(c + (how == TAKE_CAPITAL) * 32);
        len += !(is_space && is_space_before);
        is_space_before = is_space;
        has_letters_beyond = has_letters_beyond || how == TAKE_BEYOND;
    }
    if (has_letters_beyond)
        blob_lower(scratch->text, len);
    scratch->is_collapsed = len != text.len;
    scratch->len = len;
}

/* The byte of the original text that became byte `at` of the collapsed one. */
static size_t original_at(const struct rules_scratch *scratch, struct slice text, size_t at)
{
    if (!scratch->is_collapsed)
        return at;
    size_t len = 0;
    bool is_space_before = false;
    for (size_t i = 0; i < text.len; i++) {
        bool is_space = ascii_is_space(text.ptr[i]);
        if (is_space && is_space_before)
            continue;
        is_space_before = is_space;
        if (len++ == at)
            return i;
    }
    return text.len;
}

/* ---- rules ---- */

static bool status_meets(const struct blob_status *want, const uint16_t status[3])
{
    if (!status[0])
        return false;
    for (int i = 0; i < 3; i++)
        if (want->part[i] != BLOB_ANY && want->part[i] != status[i])
            return false;
    return true;
}

/* Before RCPT no recipient has been named: whoever is unknown, refused or closed is the sender, or a login. */
static bool blames_recipient(unsigned reason)
{
    return reason == REASON_USER_UNKNOWN || reason == REASON_HOST_UNKNOWN || reason == REASON_HAS_MOVED ||
           reason == REASON_FILTERED || reason == REASON_SUSPENDED;
}

static bool is_before_rcpt(enum stage stage)
{
    return stage == STAGE_CONNECT || stage == STAGE_EHLO || stage == STAGE_STARTTLS || stage == STAGE_AUTH ||
           stage == STAGE_MAIL;
}

static bool conditions_meet(const struct blob *blob, const struct blob_rule *rule, const struct refusal *refusal)
{
    if (rule->stages && !(rule->stages & 1u << refusal->stage))
        return false;
    if (is_before_rcpt(refusal->stage) && blames_recipient(rule->reason))
        return false;
    const struct blob_codes *codes = BLOB_AT(blob, struct blob_codes, blob->codes) + rule->codes.at;
    bool ok = rule->codes.count == 0;
    for (uint32_t i = 0; i < rule->codes.count && !ok; i++)
        ok = refusal->code >= codes[i].low && refusal->code <= codes[i].high;
    if (!ok)
        return false;
    const struct blob_status *statuses = BLOB_AT(blob, struct blob_status, blob->statuses) + rule->statuses.at;
    ok = rule->statuses.count == 0;
    for (uint32_t i = 0; i < rule->statuses.count && !ok; i++)
        ok = status_meets(&statuses[i], refusal->status);
    return ok;
}

/* Of a host's name: from the end, so that all domains above a name are met on the way to it. */
static uint32_t hash_step(uint32_t hash, char c)
{
    return (hash ^ (unsigned char)c) * 0x01000193u;
}

static void hosts_index(struct rules_part *part)
{
    const struct blob_host *hosts = BLOB_AT(part->blob, struct blob_host, part->blob->hosts);
    for (uint32_t i = 0; i < part->blob->hosts.count; i++) {
        struct slice name = blob_slice(part->blob, hosts[i].suffix);
        uint32_t hash = 0;
        for (size_t k = name.len; k-- > 0;)
            hash = hash_step(hash, name.ptr[k]);
        part->hosts_seen[hash >> 6 & (HOSTS_SEEN - 1)] |= 1ull << (hash & 63);
    }
}

/* Providers whose hosts have this name. */
static void host_meets(const struct blob *blob, struct slice name, uint8_t tier, uint8_t tiers[])
{
    const struct blob_host *hosts = BLOB_AT(blob, struct blob_host, blob->hosts);
    uint32_t low = 0, high = blob->hosts.count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (slice_compare(blob_slice(blob, hosts[middle].suffix), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < blob->hosts.count && slice_equal(blob_slice(blob, hosts[low].suffix), name); low++)
        if (tiers[hosts[low].provider] > tier)
            tiers[hosts[low].provider] = tier;
}

/* Providers whose hosts have this name or a domain above it. */
static void hosts_meet(const struct rules_part *part, struct slice name, uint8_t tier, uint8_t tiers[])
{
    char lower[256];
    if (!name.len || name.len >= sizeof(lower))
        return;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    if (lower[name.len - 1] == '.')
        name.len--;
    uint32_t hash = 0;
    for (size_t i = name.len; i-- > 0;) {
        hash = hash_step(hash, lower[i]);
        bool is_name = i == 0 || lower[i - 1] == '.';
        if (is_name && part->hosts_seen[hash >> 6 & (HOSTS_SEEN - 1)] & 1ull << (hash & 63))
            host_meets(part->blob, slice_of(lower + i, name.len - i), tier, tiers);
    }
}

static int hit_take(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    struct rules_scratch *scratch = context;
    if (scratch->hit_count == HITS_MAX)
        return 1;
    scratch->hits[scratch->hit_count++] = (struct hit){id, (uint32_t)to};
    return 0;
}

struct best {
    const struct blob_rule *rule;
    uint64_t place; /* tier, then order */
    size_t from, to;
};

static void marks_meet(const struct blob *blob, struct rules_scratch *scratch)
{
    const struct blob_key *keys = BLOB_AT(blob, struct blob_key, blob->keys);
    const uint32_t *key_patterns = BLOB_AT(blob, uint32_t, blob->key_patterns);
    const struct blob_pattern *patterns = BLOB_AT(blob, struct blob_pattern, blob->patterns);
    for (uint32_t h = 0; h < scratch->hit_count; h++) {
        const struct blob_key *key = &keys[scratch->hits[h].key];
        for (uint32_t i = 0; i < key->pattern_count; i++) {
            const struct blob_pattern *pattern = &patterns[key_patterns[key->pattern_from + i]];
            size_t from, to;
            if (pattern->is_mark && scratch->tier[pattern->owner] > 1 &&
                pattern_meets(slice_of(scratch->text, scratch->len), blob, pattern, scratch->hits[h].to, &from, &to))
                scratch->tier[pattern->owner] = 1;
        }
    }
}

static void texts_meet(const struct blob *blob, struct rules_scratch *scratch, const struct refusal *refusal,
                       struct best *best)
{
    const struct blob_key *keys = BLOB_AT(blob, struct blob_key, blob->keys);
    const uint32_t *key_patterns = BLOB_AT(blob, uint32_t, blob->key_patterns);
    const struct blob_pattern *patterns = BLOB_AT(blob, struct blob_pattern, blob->patterns);
    const struct blob_rule *rules = BLOB_AT(blob, struct blob_rule, blob->rules);
    for (uint32_t h = 0; h < scratch->hit_count; h++) {
        const struct blob_key *key = &keys[scratch->hits[h].key];
        for (uint32_t i = 0; i < key->pattern_count; i++) {
            const struct blob_pattern *pattern = &patterns[key_patterns[key->pattern_from + i]];
            if (pattern->is_mark)
                continue;
            const struct blob_rule *rule = &rules[pattern->owner];
            uint64_t place = (uint64_t)scratch->tier[rule->provider] << 32 | pattern->owner;
            if (scratch->tier[rule->provider] == TIER_NONE || place >= best->place)
                continue;
            size_t from, to;
            if (conditions_meet(blob, rule, refusal) &&
                pattern_meets(slice_of(scratch->text, scratch->len), blob, pattern, scratch->hits[h].to, &from, &to))
                *best = (struct best){rule, place, from, to};
        }
    }
}

/* Rules that look at code and status only. */
static void bare_meet(const struct blob *blob, struct rules_scratch *scratch, const struct refusal *refusal,
                      struct best *best)
{
    const struct blob_rule *rules = BLOB_AT(blob, struct blob_rule, blob->rules);
    const uint32_t *bare = BLOB_AT(blob, uint32_t, blob->bare_rules);
    for (uint32_t i = 0; i < blob->bare_rules.count; i++) {
        const struct blob_rule *rule = &rules[bare[i]];
        uint64_t place = (uint64_t)scratch->tier[rule->provider] << 32 | bare[i];
        if (scratch->tier[rule->provider] != TIER_NONE && place < best->place && conditions_meet(blob, rule, refusal))
            *best = (struct best){rule, place, 0, 0};
    }
}

/* With scratch->tier set. */
static bool tiers_judge(const struct rules_part *part, struct rules_scratch *scratch, const struct refusal *refusal,
                        bool has_marks, struct best *best)
{
    scratch->hit_count = 0;
    if (part->database && scratch->len)
        hs_scan(part->database, scratch->text, (unsigned)scratch->len, 0, scratch->hs, hit_take, scratch);
    *best = (struct best){.place = UINT64_MAX};
    if (has_marks)
        marks_meet(part->blob, scratch);
    texts_meet(part->blob, scratch, refusal, best);
    bare_meet(part->blob, scratch, refusal, best);
    return best->rule != NULL;
}

static bool part_judge(const struct rules_part *part, struct rules_scratch *scratch, const struct refusal *refusal,
                       struct best *best)
{
    const struct blob *blob = part->blob;
    memset(scratch->tier, TIER_NONE, blob->providers.count);
    scratch->tier[BLOB_GENERAL] = TIER_GENERAL;
    hosts_meet(part, refusal->remote_mta, 0, scratch->tier);
    hosts_meet(part, refusal->receiver, 0, scratch->tier);
    hosts_meet(part, refusal->reporting_mta, 2, scratch->tier);
    return tiers_judge(part, scratch, refusal, true, best);
}

static bool is_5xx(const struct refusal *refusal)
{
    return refusal->code ? refusal->code >= 500 : refusal->status[0] ? refusal->status[0] == 5 : refusal->is_final;
}

static bool permanent_of(uint8_t permanent, bool is_final)
{
    return permanent == PERMANENT_ALWAYS || (permanent == PERMANENT_ON_5XX && is_final);
}

void rules_verdict_of_reason(const struct rules *rules, enum reason reason, bool is_final, struct verdict *verdict)
{
    const struct blob_reason *row = &rules->parts[0].blob->reasons[reason];
    *verdict = (struct verdict){.reason = reason,
                                .action = row->action,
                                .scope = row->scope,
                                .whose = row->whose,
                                .retry = row->retry,
                                .is_permanent = permanent_of(row->permanent, is_final),
                                .rule = SLICE(""),
                                .words = SLICE("")};
}

static bool fallback_meets(const struct blob_fallback *row, const struct refusal *refusal)
{
    return (!row->stages || row->stages & 1u << refusal->stage) &&
           !(is_before_rcpt(refusal->stage) && blames_recipient(row->reason));
}

/* A status that decides nothing gives way to a 5xx: nobody tries that mail again, so nothing will be decided later. */
static enum reason fallback_reason(const struct blob *blob, const struct refusal *refusal, struct slice *rule)
{
    const struct blob_fallback *row = BLOB_AT(blob, struct blob_fallback, blob->fallback_statuses);
    enum reason reason = REASON_UNDEFINED;
    *rule = SLICE("");
    for (uint32_t i = 0; i < blob->fallback_statuses.count && reason == REASON_UNDEFINED; i++)
        if (status_meets(&row[i].status, refusal->status) && fallback_meets(&row[i], refusal)) {
            reason = (enum reason)row[i].reason;
            *rule = SLICE("fallback.status");
        }
    if (reason != REASON_UNDEFINED && (reason != REASON_ON_HOLD || refusal->code < 500))
        return reason;
    row = BLOB_AT(blob, struct blob_fallback, blob->fallback_codes);
    for (uint32_t i = 0; i < blob->fallback_codes.count; i++)
        if (row[i].code == refusal->code && fallback_meets(&row[i], refusal)) {
            *rule = SLICE("fallback.code");
            return (enum reason)row[i].reason;
        }
    *rule = SLICE("");
    return REASON_UNDEFINED;
}

static void verdict_of_best(const struct rules_scratch *scratch, const struct blob *blob, const struct best *best,
                            const struct refusal *refusal, struct verdict *verdict)
{
    const struct blob_rule *rule = best->rule;
    *verdict = (struct verdict){.reason = rule->reason,
                                .action = rule->action,
                                .scope = rule->scope,
                                .whose = rule->whose,
                                .retry = rule->retry,
                                .is_permanent = permanent_of(rule->permanent, is_5xx(refusal)),
                                .rule = blob_slice(blob, rule->id),
                                .words = blob_slice(blob, rule->words)};
    if (best->to > best->from) {
        verdict->mark_from = original_at(scratch, refusal->text, best->from);
        verdict->mark_to = original_at(scratch, refusal->text, best->to - 1) + 1;
    }
}

static void fallback_judge(const struct rules *rules, const struct refusal *refusal, struct verdict *verdict)
{
    struct slice rule;
    enum reason reason = fallback_reason(rules->parts[0].blob, refusal, &rule);
    rules_verdict_of_reason(rules, reason, is_5xx(refusal), verdict);
    verdict->rule = rule;
}

void rules_judge(const struct rules *rules, struct rules_scratch *scratch, const struct refusal *refusal,
                 struct verdict *verdict)
{
    struct best best;
    text_take(scratch, refusal->text);
    for (unsigned i = rules->part_count; i-- > 0;) {
        if (part_judge(&rules->parts[i], scratch, refusal, &best)) {
            if (best.rule->reason == REASON_ON_HOLD) { /* words that decide nothing give way to code and status */
                fallback_judge(rules, refusal, verdict);
                if (verdict->reason != REASON_UNDEFINED)
                    return;
            }
            verdict_of_best(scratch, rules->parts[i].blob, &best, refusal, verdict);
            return;
        }
    }
    fallback_judge(rules, refusal, verdict);
}

void rules_judge_as(const struct rules *rules, const struct blob *blob, struct rules_scratch *scratch,
                    const struct refusal *refusal, unsigned provider, struct verdict *verdict)
{
    struct best best;
    text_take(scratch, refusal->text);
    memset(scratch->tier, TIER_NONE, sizeof(scratch->tier));
    scratch->tier[BLOB_GENERAL] = TIER_GENERAL;
    if (provider != BLOB_GENERAL)
        scratch->tier[provider] = 0;
    for (unsigned i = 0; i < rules->part_count; i++) {
        if (rules->parts[i].blob == blob && tiers_judge(&rules->parts[i], scratch, refusal, false, &best)) {
            verdict_of_best(scratch, blob, &best, refusal, verdict);
            return;
        }
    }
    fallback_judge(rules, refusal, verdict);
}
