/* check_host() as a pure function of the answers known: where one is missing it unwinds with is_pending, and is run
 * again from the start. At most 10 terms ask, so that stays cheap. */
#include "mailauth/spf_private.h"

#include <arpa/inet.h>
#include <assert.h>

struct slice spf_result_word(enum spf_result result)
{
    switch (result) {
    case SPF_NONE: break;
    case SPF_NEUTRAL: return SLICE("neutral");
    case SPF_PASS: return SLICE("pass");
    case SPF_FAIL: return SLICE("fail");
    case SPF_SOFTFAIL: return SLICE("softfail");
    case SPF_TEMPERROR: return SLICE("temperror");
    case SPF_PERMERROR: return SLICE("permerror");
    }
    return SLICE("none");
}

bool spf_ip_parse(struct slice text, struct arena *arena, struct slice *ip)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char octets[16];
    if (!text.len || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    bool is_v4 = inet_pton(AF_INET, copy, octets) == 1;
    if (!is_v4 && inet_pton(AF_INET6, copy, octets) != 1)
        return false;
    *ip = arena_copy(arena, slice_of(octets, is_v4 ? 4 : 16));
    return true;
}

/* --- names and addresses --- */

/* Labels of 1 to 63 octets, 253 together. */
static bool is_askable(struct slice name)
{
    struct slice rest = name, label;
    if (!name.len || name.len > SPF_NAME_MAX)
        return false;
    while (slice_split(&rest, '.', &label))
        if (!label.len || label.len > 63)
            return false;
    return true;
}

const struct question *spf_ask(struct spf_check *check, enum question_type type, struct slice name)
{
    static const struct question no_such_name = {.state = ANSWER_NO_NAME};
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!is_askable(name))
        return &no_such_name;
    const struct question *answer = lookup_ask(check->lookup, type, name);
    check->is_pending |= !answer;
    return answer;
}

static bool prefix_matches(const char *a, const char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return !rest || ((unsigned char)(a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool spf_address_matches(const struct spf_check *check, const struct question *answer, unsigned bits)
{
    for (size_t i = 0; i < answer->count; i++)
        if (answer->records[i].len == check->ip.len && prefix_matches(answer->records[i].ptr, check->ip.ptr, bits))
            return true;
    return false;
}

bool spf_is_below(struct slice name, struct slice domain)
{
    return name.len > domain.len && name.ptr[name.len - domain.len - 1] == '.' && slice_ends_caseless(name, domain);
}

static const struct question *ask_address(struct spf_check *check, struct slice name)
{
    return spf_ask(check, check->ip.len == 4 ? QUESTION_A : QUESTION_AAAA, name);
}

static struct slice reverse_name(const struct spf_check *check)
{
    static const char hex[] = "0123456789abcdef";
    SCOPED(buf) name = BUF(128);
    for (size_t i = check->ip.len; i--;) {
        unsigned char octet = (unsigned char)check->ip.ptr[i];
        if (check->ip.len == 4)
            buf_printf(&name, "%u.", octet);
        else
            buf_printf(&name, "%c.%c.", hex[octet & 15], hex[octet >> 4]);
    }
    buf_append(&name, check->ip.len == 4 ? SLICE("in-addr.arpa") : SLICE("ip6.arpa"));
    return arena_copy(check->lookup->arena, buf_slice(&name));
}

bool spf_validated_names(struct spf_check *check, struct slice names[SPF_NAMES_MAX], size_t *count)
{
    *count = 0;
    const struct question *answer = spf_ask(check, QUESTION_PTR, reverse_name(check));
    if (!answer)
        return false;
    for (size_t i = 0; i < answer->count && i < SPF_NAMES_MAX; i++) {
        const struct question *address = ask_address(check, answer->records[i]);
        if (address && spf_address_matches(check, address, (unsigned)check->ip.len * 8))
            names[(*count)++] = answer->records[i];
    }
    return !check->is_pending;
}

/* --- evaluating --- */

static enum spf_result check_host(struct spf_check *check, struct slice domain, bool is_included);

static enum spf_result say(struct spf_check *check, enum spf_result result, const char *format, struct slice what)
{
    SCOPED(buf) text = BUF(1024);
    for (const char *c = format; *c; c++) { /* one %s, for a slice */
        if (*c == '%') {
            buf_append(&text, slice_head(what, 300));
            c++;
        } else {
            buf_byte(&text, *c);
        }
    }
    check->outcome->reason = arena_copy(check->lookup->arena, buf_slice(&text));
    return result;
}

/* What one mechanism says: it matches, it does not, or the whole check ends with `error`. */
struct verdict {
    bool is_match, is_over;
    enum spf_result error;
};
static const struct verdict is_match = {.is_match = true}, no_match = {0};

static struct verdict over(enum spf_result error)
{
    return (struct verdict){.is_over = true, .error = error};
}

/* Count an answer that holds nothing; false when there were too many (4.6.4). */
static bool void_is_bearable(struct spf_check *check, const struct question *answer)
{
    if (answer->state == ANSWER_NO_NAME || answer->state == ANSWER_NO_RECORD)
        check->outcome->void_lookups++;
    return check->outcome->void_lookups <= SPF_VOID_MAX;
}

static struct verdict temporary(struct spf_check *check, struct slice name)
{
    return over(say(check, SPF_TEMPERROR, "the DNS did not answer for %s", name));
}

static struct verdict too_many_voids(struct spf_check *check, struct slice name)
{
    return over(say(check, SPF_PERMERROR, "more than 2 names in the record do not exist (the last: %s)", name));
}

/* The common beginning of a, mx's own question, and exists: ask, and leave with the errors. NULL: *verdict is the end.
 */
static const struct question *ask_counted(struct spf_check *check, enum question_type type, struct slice name,
                                          struct verdict *verdict)
{
    const struct question *answer = spf_ask(check, type, name);
    *verdict = no_match;
    if (!answer)
        return NULL;
    if (answer->state == ANSWER_TRY_LATER) {
        *verdict = temporary(check, name);
        return NULL;
    }
    if (!void_is_bearable(check, answer)) {
        *verdict = too_many_voids(check, name);
        return NULL;
    }
    return answer;
}

static unsigned bits_of(const struct spf_check *check, const struct spf_term *term)
{
    return check->ip.len == 4 ? term->cidr4 : term->cidr6;
}

static struct verdict match_a(struct spf_check *check, const struct spf_term *term, struct slice name)
{
    struct verdict verdict;
    const struct question *answer = ask_counted(check, check->ip.len == 4 ? QUESTION_A : QUESTION_AAAA, name, &verdict);
    return !answer ? verdict : spf_address_matches(check, answer, bits_of(check, term)) ? is_match : no_match;
}

static struct verdict match_mx(struct spf_check *check, const struct spf_term *term, struct slice name)
{
    struct verdict verdict;
    const struct question *hosts = ask_counted(check, QUESTION_MX, name, &verdict);
    if (!hosts)
        return verdict;
    if (hosts->count > SPF_NAMES_MAX)
        return over(say(check, SPF_PERMERROR, "%s has more than 10 MX hosts", name));
    for (size_t i = 0; i < hosts->count; i++) {
        const struct question *address = ask_address(check, hosts->records[i]);
        if (!address)
            continue; /* note the others' questions too: fewer rounds */
        if (address->state == ANSWER_TRY_LATER)
            return temporary(check, hosts->records[i]);
        if (!check->is_pending && spf_address_matches(check, address, bits_of(check, term)))
            return is_match;
    }
    return no_match;
}

static struct verdict match_ptr(struct spf_check *check, struct slice name)
{
    struct slice names[SPF_NAMES_MAX];
    size_t count;
    if (!spf_validated_names(check, names, &count))
        return no_match;
    for (size_t i = 0; i < count; i++)
        if (slice_equal_caseless(names[i], name) || spf_is_below(names[i], name))
            return is_match;
    return no_match;
}

static struct verdict match_exists(struct spf_check *check, struct slice name)
{
    struct verdict verdict;
    const struct question *answer = ask_counted(check, QUESTION_A, name, &verdict); /* A even for IPv6 (5.7) */
    return !answer ? verdict : answer->state == ANSWER_FOUND ? is_match : no_match;
}

static struct verdict match_include(struct spf_check *check, struct slice name)
{
    enum spf_result result = check_host(check, name, true);
    switch (result) {
    case SPF_PASS: return is_match;
    case SPF_NEUTRAL:
    case SPF_FAIL:
    case SPF_SOFTFAIL: return no_match;
    case SPF_TEMPERROR:
    case SPF_PERMERROR: return over(result);
    case SPF_NONE: break;
    }
    return check->is_pending ? no_match : over(say(check, SPF_PERMERROR, "include:%s has no SPF record", name));
}

static struct verdict match_network(const struct spf_check *check, const struct spf_term *term)
{
    size_t len = term->mechanism == SPF_IP4 ? 4 : 16;
    return check->ip.len == len && prefix_matches((const char *)term->network, check->ip.ptr, bits_of(check, term))
               ? is_match
               : no_match;
}

static bool count_term(struct spf_check *check)
{
    return ++check->outcome->lookups <= SPF_DNS_TERMS_MAX;
}

static struct verdict match(struct spf_check *check, const struct spf_term *term, struct slice domain)
{
    struct slice name = domain;
    bool does_ask = term->mechanism != SPF_ALL && term->mechanism != SPF_IP4 && term->mechanism != SPF_IP6;
    if (does_ask && !count_term(check))
        return over(say(check, SPF_PERMERROR, "more than 10 terms need the DNS (the last: %s)", term->written));
    if (term->domain_spec.len && !spf_macro_expand(check, term->domain_spec, domain, false, &name))
        return no_match;
    switch (term->mechanism) {
    case SPF_ALL: return is_match;
    case SPF_INCLUDE: return match_include(check, name);
    case SPF_A: return match_a(check, term, name);
    case SPF_MX: return match_mx(check, term, name);
    case SPF_PTR: return match_ptr(check, name);
    case SPF_EXISTS: return match_exists(check, name);
    case SPF_IP4:
    case SPF_IP6: break;
    }
    return match_network(check, term);
}

/* exp= (6.2): one TXT record, ASCII; anything wrong with it means no explanation. */
static void explain(struct spf_check *check, struct slice spec, struct slice domain)
{
    struct slice name, text;
    if (!spf_macro_expand(check, spec, domain, false, &name))
        return;
    const struct question *answer = spf_ask(check, QUESTION_TXT, name);
    if (!answer || answer->state != ANSWER_FOUND || answer->count != 1 || !spf_macro_is_good(answer->records[0], false))
        return;
    if (!spf_macro_expand(check, answer->records[0], domain, true, &text))
        return;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7e)
            return;
    check->outcome->explanation = text;
}

static enum spf_result redirect(struct spf_check *check, struct slice spec, struct slice domain, bool is_included)
{
    struct slice name;
    if (!count_term(check))
        return say(check, SPF_PERMERROR, "more than 10 terms need the DNS (the last: redirect=%s)", spec);
    if (!spf_macro_expand(check, spec, domain, false, &name))
        return SPF_NONE;
    enum spf_result result = check_host(check, name, is_included);
    if (result == SPF_NONE && !check->is_pending)
        return say(check, SPF_PERMERROR, "redirect=%s has no SPF record", name);
    return result;
}

static enum spf_result evaluate(struct spf_check *check, const struct spf_record *record, struct slice domain,
                                bool is_included)
{
    bool has_all = false;
    for (size_t i = 0; i < record->count; i++) {
        const struct spf_term *term = &record->term[i];
        has_all |= term->mechanism == SPF_ALL;
        struct verdict verdict = match(check, term, domain);
        if (check->is_pending)
            return SPF_NONE;
        if (verdict.is_over)
            return verdict.error;
        if (!verdict.is_match)
            continue;
        check->outcome->mechanism = arena_copy(check->lookup->arena, term->written);
        if (!is_included && term->qualifier == SPF_FAIL && record->exp.len)
            explain(check, record->exp, domain);
        return say(check, term->qualifier, "the address matches \"%s\"", term->written);
    }
    if (record->redirect.len && !has_all)
        return redirect(check, record->redirect, domain, is_included);
    return say(check, SPF_NEUTRAL, "nothing in the record of %s matches the address", domain);
}

/* The one text that begins with v=spf1; false: *result says why there is none. */
static bool find_record(struct spf_check *check, struct slice domain, struct slice *text, enum spf_result *result)
{
    const struct question *answer = spf_ask(check, QUESTION_TXT, domain);
    size_t found = 0;
    *result = SPF_NONE;
    if (!answer)
        return false;
    if (answer->state == ANSWER_TRY_LATER) {
        *result = say(check, SPF_TEMPERROR, "the DNS did not answer for %s", domain);
        return false;
    }
    for (size_t i = 0; i < answer->count; i++) {
        struct slice record = answer->records[i];
        if (slice_starts_caseless(record, SLICE("v=spf1")) && (record.len == 6 || record.ptr[6] == ' ')) {
            *text = record;
            found++;
        }
    }
    if (found > 1)
        *result = say(check, SPF_PERMERROR, "%s has more than one SPF record", domain);
    else if (!found)
        say(check, SPF_NONE, answer->state == ANSWER_NO_NAME ? "%s does not exist" : "%s has no SPF record", domain);
    return found == 1;
}

static enum spf_result check_host(struct spf_check *check, struct slice domain, bool is_included)
{
    struct slice text;
    enum spf_result result;
    if (domain.len && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    if (!is_askable(domain) || slice_find_byte(domain, '.') == SLICE_NPOS) /* 4.3 */
        return say(check, SPF_NONE, "\"%s\" is no domain that can have a record", domain);
    if (!find_record(check, domain, &text, &result))
        return result;
    struct spf_record *record = ARENA_NEW(check->lookup->arena, struct spf_record);
    if (!spf_record_parse(text, record, check->lookup->arena, &check->outcome->reason))
        return SPF_PERMERROR;
    return evaluate(check, record, domain, is_included);
}

/* Who is checked: the sender's domain, or postmaster at the HELO name for the null sender (2.4). */
static struct slice identity(struct spf_check *check, const struct spf_input *input)
{
    struct slice sender = input->mail_from;
    if (slice_starts(sender, SLICE("<")) && slice_ends(sender, SLICE(">")))
        sender = slice_of(sender.ptr + 1, sender.len - 2);
    ptrdiff_t at = slice_find_last_byte(sender, '@');
    check->local = slice_head(sender, at == SLICE_NPOS ? 0 : (size_t)at);
    check->sender_domain = sender.len ? slice_from(sender, (size_t)(at + 1)) : input->helo;
    if (!check->local.len)
        check->local = SLICE("postmaster");
    return check->sender_domain;
}

bool spf_check(struct lookup *lookup, const struct spf_input *input, struct spf_outcome *outcome)
{
    static const char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (char)0xff, (char)0xff};
    struct spf_check check = {.lookup = lookup, .input = input, .outcome = outcome, .ip = input->ip};
    assert(input->ip.len == 4 || input->ip.len == 16);
    if (check.ip.len == 16 && memcmp(check.ip.ptr, mapped, sizeof(mapped)) == 0)
        check.ip = slice_from(check.ip, sizeof(mapped));
    *outcome = (struct spf_outcome){0};
    outcome->domain = identity(&check, input);
    outcome->result = check_host(&check, outcome->domain, false);
    return !check.is_pending;
}
