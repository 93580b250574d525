#include "mailauth/dmarc.h"

#include <libpsl.h>

enum { WALK_MAX = 8, LABELS_KEPT = 7, NAME_MAX_OCTETS = 253 };

struct slice dmarc_result_word(enum dmarc_result result)
{
    switch (result) {
    case DMARC_NONE: break;
    case DMARC_PASS: return SLICE("pass");
    case DMARC_FAIL: return SLICE("fail");
    case DMARC_TEMPERROR: return SLICE("temperror");
    case DMARC_PERMERROR: return SLICE("permerror");
    }
    return SLICE("none");
}

struct slice dmarc_policy_word(enum dmarc_policy policy)
{
    switch (policy) {
    case DMARC_POLICY_NONE: break;
    case DMARC_POLICY_QUARANTINE: return SLICE("quarantine");
    case DMARC_POLICY_REJECT: return SLICE("reject");
    }
    return SLICE("none");
}

/* --- the record --- */

/* A tag of the record; lenient, as 4.8 wants it: what cannot be read is as if it were not there. The first one counts.
 */
static struct slice record_tag(struct slice text, const char *name)
{
    struct slice piece;
    while (slice_split(&text, ';', &piece)) {
        ptrdiff_t equals = slice_find_byte(piece, '=');
        if (equals != SLICE_NPOS &&
            slice_equal_caseless(slice_trim(slice_head(piece, (size_t)equals)), slice_str(name)))
            return slice_trim(slice_from(piece, (size_t)equals + 1));
    }
    return slice_of("", 0);
}

/* False: the tag is there and is no policy. */
static bool record_policy(struct slice text, const char *name, enum dmarc_policy otherwise, enum dmarc_policy *policy)
{
    struct slice word = record_tag(text, name);
    *policy = otherwise;
    if (slice_equal_caseless(word, SLICE("none")))
        *policy = DMARC_POLICY_NONE;
    else if (slice_equal_caseless(word, SLICE("quarantine")))
        *policy = DMARC_POLICY_QUARANTINE;
    else if (slice_equal_caseless(word, SLICE("reject")))
        *policy = DMARC_POLICY_REJECT;
    else
        return word.len == 0;
    return true;
}

/* One URI with a scheme at least. */
static bool has_uri(struct slice list)
{
    struct slice uri;
    while (slice_split(&list, ',', &uri)) {
        ptrdiff_t colon = slice_find_byte(slice_trim(uri), ':');
        if (colon > 0 && (size_t)colon + 1 < slice_trim(uri).len)
            return true;
    }
    return false;
}

bool dmarc_record_parse(struct slice text, struct dmarc_record *record)
{
    text = slice_head(text, DMARC_RECORD_MAX);
    struct slice rest = text, first;
    if (!slice_split(&rest, ';', &first))
        return false;
    ptrdiff_t equals = slice_find_byte(first, '=');
    bool is_dmarc = equals != SLICE_NPOS && slice_equal(slice_trim(slice_head(first, (size_t)equals)), SLICE("v")) &&
                    slice_equal(slice_trim(slice_from(first, (size_t)equals + 1)), SLICE("DMARC1"));
    if (!is_dmarc)
        return false;
    *record = (struct dmarc_record){.rua = record_tag(text, "rua"), .ruf = record_tag(text, "ruf"), .psd = 'u'};
    bool is_good = record_tag(text, "p").len && record_policy(text, "p", DMARC_POLICY_NONE, &record->p);
    is_good = record_policy(text, "sp", record->p, &record->sp) && is_good;
    is_good = record_policy(text, "np", record->sp, &record->np) && is_good;
    if (!is_good) { /* 4.10.1: with reports asked for it counts as p=none, without it is no record */
        record->p = record->sp = record->np = DMARC_POLICY_NONE;
        if (!has_uri(record->rua))
            return false;
    }
    record->is_strict_dkim = slice_equal_caseless(record_tag(text, "adkim"), SLICE("s"));
    record->is_strict_spf = slice_equal_caseless(record_tag(text, "aspf"), SLICE("s"));
    record->is_testing = slice_equal_caseless(record_tag(text, "t"), SLICE("y"));
    struct slice psd = record_tag(text, "psd");
    if (psd.len == 1 && (ascii_lower(psd.ptr[0]) == 'y' || ascii_lower(psd.ptr[0]) == 'n'))
        record->psd = ascii_lower(psd.ptr[0]);
    return true;
}

/* --- asking --- */

enum found { FOUND_PENDING, FOUND_RECORD, FOUND_NOTHING, FOUND_ERROR };

static bool is_askable(struct slice name)
{
    struct slice rest = name, label;
    if (!name.len || name.len > NAME_MAX_OCTETS - (sizeof("_dmarc.") - 1))
        return false;
    while (slice_split(&rest, '.', &label))
        if (!label.len || label.len > 63)
            return false;
    return true;
}

/* The one DMARC record at a domain; several count as none (M40). */
static enum found find_record(struct lookup *lookup, struct slice domain, struct dmarc_record *record)
{
    size_t found = 0;
    if (!is_askable(domain))
        return FOUND_NOTHING;
    const struct question *answer =
        lookup_ask(lookup, QUESTION_TXT, arena_printf(lookup->arena, "_dmarc.%.*s", SLICE_ARG(domain)));
    if (!answer)
        return FOUND_PENDING;
    if (answer->state == ANSWER_TRY_LATER)
        return FOUND_ERROR;
    for (size_t i = 0; i < answer->count; i++) {
        struct dmarc_record here;
        if (dmarc_record_parse(answer->records[i], &here)) {
            *record = here;
            found++;
        }
    }
    return found == 1 ? FOUND_RECORD : FOUND_NOTHING;
}

/* --- the tree walk (RFC 9989 4.10) --- */

struct walk {
    struct {
        struct slice domain;
        struct dmarc_record record;
        bool has_record;
    } step[WALK_MAX];
    size_t count;
};

static unsigned label_count(struct slice domain)
{
    unsigned count = 1;
    for (size_t i = 0; i < domain.len; i++)
        count += domain.ptr[i] == '.';
    return count;
}

static struct slice parent_of(struct slice domain)
{
    ptrdiff_t dot = slice_find_byte(domain, '.');
    return slice_from(domain, dot == SLICE_NPOS ? domain.len : (size_t)dot + 1);
}

/* FOUND_RECORD or FOUND_NOTHING when the walk is complete. */
static enum found tree_walk(struct lookup *lookup, struct slice domain, struct walk *walk)
{
    enum found any = FOUND_NOTHING;
    walk->count = 0;
    while (domain.len && walk->count < WALK_MAX) {
        size_t at = walk->count++;
        walk->step[at].domain = domain;
        enum found found = find_record(lookup, domain, &walk->step[at].record);
        if (found == FOUND_PENDING || found == FOUND_ERROR)
            return found;
        walk->step[at].has_record = found == FOUND_RECORD;
        if (found == FOUND_RECORD) {
            any = FOUND_RECORD;
            if (walk->step[at].record.psd != 'u')
                break;
        }
        domain = parent_of(domain);
        while (at == 0 && label_count(domain) > LABELS_KEPT)
            domain = parent_of(domain);
    }
    return any;
}

/* 4.10.2; without any record the domain stands for itself. */
static struct slice org_of_walk(const struct walk *walk)
{
    struct slice org = walk->step[0].domain;
    for (size_t i = 0; i < walk->count; i++) {
        if (!walk->step[i].has_record)
            continue;
        if (walk->step[i].record.psd == 'n')
            return walk->step[i].domain;
        if (walk->step[i].record.psd == 'y' && i > 0) { /* one label below it */
            struct slice below = walk->step[0].domain;
            while (!slice_equal(parent_of(below), walk->step[i].domain))
                below = parent_of(below);
            return below;
        }
        org = walk->step[i].domain; /* the fewest labels so far */
    }
    return org;
}

struct slice org_domain_classic(struct slice domain, struct arena *arena)
{
    if (!domain.len)
        return domain;
    const psl_ctx_t *list = psl_builtin();
    const char *org = list ? psl_registrable_domain(list, arena_str(arena, domain)) : NULL;
    return org ? arena_copy(arena, slice_str(org)) : slice_of("", 0);
}

/* --- alignment --- */

struct aligning {
    struct lookup *lookup;
    struct slice from, org;
    bool is_classic;
};

static bool is_at_or_below(struct slice name, struct slice domain)
{
    return slice_equal(name, domain) ||
           (name.len > domain.len && slice_ends(name, domain) && name.ptr[name.len - domain.len - 1] == '.');
}

/* FOUND_RECORD: aligned. */
static enum found is_aligned(const struct aligning *aligning, struct slice domain, bool is_strict)
{
    if (slice_equal(domain, aligning->from))
        return FOUND_RECORD;
    if (is_strict || !aligning->org.len || !is_at_or_below(domain, aligning->org))
        return FOUND_NOTHING;
    if (aligning->is_classic)
        return slice_equal(org_domain_classic(domain, aligning->lookup->arena), aligning->org) ? FOUND_RECORD
                                                                                               : FOUND_NOTHING;
    struct walk walk;
    enum found found = tree_walk(aligning->lookup, domain, &walk);
    if (found == FOUND_PENDING || found == FOUND_ERROR)
        return found;
    return slice_equal(org_of_walk(&walk), aligning->org) ? FOUND_RECORD : FOUND_NOTHING;
}

static struct slice lower(struct arena *arena, struct slice domain)
{
    if (domain.len && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    char *copy = arena_str(arena, domain);
    for (size_t i = 0; i < domain.len; i++)
        copy[i] = ascii_lower(copy[i]);
    return slice_of(copy, domain.len);
}

/* The best of several: aligned, else pending, else an error. */
static enum found any_aligned(const struct aligning *aligning, const struct slice *domains, size_t count,
                              bool is_strict)
{
    enum found best = FOUND_NOTHING;
    for (size_t i = 0; i < count; i++) {
        enum found found = is_aligned(aligning, lower(aligning->lookup->arena, domains[i]), is_strict);
        if (found == FOUND_RECORD)
            return found;
        if (found == FOUND_PENDING || (found == FOUND_ERROR && best == FOUND_NOTHING))
            best = found;
    }
    return best;
}

/* --- the check --- */

static bool conclude(struct dmarc_outcome *outcome, enum dmarc_result result, struct slice reason)
{
    outcome->result = result;
    outcome->reason = reason;
    return true;
}

/* Does the From domain exist at all (A, AAAA or MX)? For np=. */
static enum found domain_exists(struct lookup *lookup, struct slice domain)
{
    static const enum question_type types[] = {QUESTION_A, QUESTION_AAAA, QUESTION_MX};
    enum found found = FOUND_NOTHING;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        const struct question *answer = lookup_ask(lookup, types[i], domain);
        if (!answer)
            found = FOUND_PENDING;
        else if (answer->state == ANSWER_FOUND)
            return FOUND_RECORD;
        else if (answer->state == ANSWER_TRY_LATER && found == FOUND_NOTHING)
            found = FOUND_ERROR;
    }
    return found;
}

/* Which of p, sp and np applies; one step milder while testing. False: pending. */
static bool choose_policy(struct lookup *lookup, struct slice from, struct dmarc_outcome *outcome)
{
    const struct dmarc_record *record = &outcome->record;
    outcome->policy = record->p;
    if (!slice_equal(from, outcome->record_domain)) {
        outcome->policy = record->sp;
        if (record->np != record->sp) {
            enum found exists = domain_exists(lookup, from);
            if (exists == FOUND_PENDING)
                return false;
            if (exists == FOUND_NOTHING)
                outcome->policy = record->np;
        }
    }
    if (record->is_testing && outcome->policy != DMARC_POLICY_NONE)
        outcome->policy--;
    return true;
}

/* The record that applies: at the From domain, else at its organisational domain, else at the public suffix above
 * (4.10.1). */
static bool choose_record(const struct walk *walk, struct dmarc_outcome *outcome)
{
    size_t chosen = walk->count;
    for (size_t i = 0; i < walk->count; i++) {
        if (!walk->step[i].has_record)
            continue;
        bool is_org = slice_equal(walk->step[i].domain, outcome->org_domain);
        if (i == 0 || is_org || walk->step[i].record.psd == 'y') {
            chosen = i;
            break;
        }
    }
    if (chosen == walk->count)
        return false;
    outcome->record = walk->step[chosen].record;
    outcome->record_domain = walk->step[chosen].domain;
    return true;
}

/* As RFC 7489 would have judged: the public suffix list decides the organisational domain. False: pending. */
static bool check_classic(struct lookup *lookup, const struct dmarc_input *input, struct slice from,
                          struct dmarc_outcome *outcome)
{
    struct dmarc_record record;
    struct slice org = org_domain_classic(from, lookup->arena);
    outcome->classic_org_domain = org;
    outcome->classic_result = DMARC_NONE;
    enum found found = find_record(lookup, from, &record);
    if (found == FOUND_NOTHING && org.len && !slice_equal(org, from))
        found = find_record(lookup, org, &record);
    if (found != FOUND_RECORD) {
        outcome->classic_result = found == FOUND_ERROR ? DMARC_TEMPERROR : DMARC_NONE;
        return found != FOUND_PENDING;
    }
    const struct aligning aligning = {lookup, from, org, true};
    bool is_good =
        any_aligned(&aligning, input->spf_domains, input->spf_count, record.is_strict_spf) == FOUND_RECORD ||
        any_aligned(&aligning, input->dkim_domains, input->dkim_count, record.is_strict_dkim) == FOUND_RECORD;
    outcome->classic_result = is_good ? DMARC_PASS : DMARC_FAIL;
    return true;
}

static bool judge(struct lookup *lookup, const struct dmarc_input *input, struct slice from,
                  struct dmarc_outcome *outcome)
{
    const struct aligning aligning = {lookup, from, outcome->org_domain, false};
    enum found spf = any_aligned(&aligning, input->spf_domains, input->spf_count, outcome->record.is_strict_spf);
    enum found dkim = any_aligned(&aligning, input->dkim_domains, input->dkim_count, outcome->record.is_strict_dkim);
    if (spf == FOUND_PENDING || dkim == FOUND_PENDING)
        return false;
    outcome->is_spf_aligned = spf == FOUND_RECORD;
    outcome->is_dkim_aligned = dkim == FOUND_RECORD;
    if (outcome->is_spf_aligned || outcome->is_dkim_aligned)
        return conclude(outcome, DMARC_PASS,
                        !outcome->is_spf_aligned    ? SLICE("DKIM passed for an aligned domain")
                        : !outcome->is_dkim_aligned ? SLICE("SPF passed for an aligned domain")
                                                    : SLICE("SPF and DKIM passed for aligned domains"));
    if (spf == FOUND_ERROR || dkim == FOUND_ERROR)
        return conclude(outcome, DMARC_TEMPERROR,
                        SLICE("the DNS did not answer while looking for the organisational domain"));
    if (!input->spf_count && !input->dkim_count)
        return conclude(outcome, DMARC_FAIL, SLICE("neither SPF nor DKIM passed"));
    return conclude(
        outcome, DMARC_FAIL,
        arena_printf(lookup->arena, "nothing that passed belongs to the From domain %.*s", SLICE_ARG(from)));
}

bool dmarc_check(struct lookup *lookup, const struct dmarc_input *input, struct dmarc_outcome *outcome)
{
    struct walk walk;
    *outcome = (struct dmarc_outcome){0};
    struct slice from = lower(lookup->arena, input->from_domain);
    if (!is_askable(from))
        return conclude(outcome, DMARC_PERMERROR, SLICE("the From domain is no domain name"));
    bool is_classic_done = check_classic(lookup, input, from, outcome);
    enum found found = tree_walk(lookup, from, &walk);
    if (found == FOUND_PENDING || !is_classic_done)
        return false;
    if (found == FOUND_ERROR)
        return conclude(outcome, DMARC_TEMPERROR, SLICE("the DNS did not answer for the DMARC record"));
    outcome->org_domain = org_of_walk(&walk);
    if (!choose_record(&walk, outcome))
        return conclude(outcome, DMARC_NONE,
                        arena_printf(lookup->arena, "there is no DMARC record for %.*s", SLICE_ARG(from)));
    return choose_policy(lookup, from, outcome) && judge(lookup, input, from, outcome);
}
