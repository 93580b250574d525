#include "mailauth/sts.h"

struct slice sts_mode_word(enum sts_mode mode)
{
    switch (mode) {
    case STS_NONE: return SLICE("none");
    case STS_TESTING: return SLICE("testing");
    case STS_ENFORCE: return SLICE("enforce");
    }
    return SLICE("");
}

bool sts_mode_of(struct slice word, enum sts_mode *mode)
{
    static const enum sts_mode modes[] = {STS_NONE, STS_TESTING, STS_ENFORCE};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (slice_equal(word, sts_mode_word(modes[i]))) {
            *mode = modes[i];
            return true;
        }
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim_blanks(struct slice text)
{
    while (text.len && is_blank(text.ptr[0]))
        text = slice_from(text, 1);
    while (text.len && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* A field's name: a letter or digit, then at most 31 of letters, digits, "_", "-", "." */
static bool is_field_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) &&
            (i == 0 || (name.ptr[i] != '_' && name.ptr[i] != '-' && name.ptr[i] != '.')))
            return false;
    return name.len >= 1 && name.len <= 32;
}

/* ── records in DNS: "v=STSv1; field=value; ..." ── */

/* The one text that begins with the version; false: none or several. */
static bool one_record(const struct slice *texts, size_t count, struct slice *fields)
{
    const struct slice version = SLICE("v=STSv1");
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (!slice_starts(texts[i], version))
            continue;
        struct slice rest = trim_blanks(slice_from(texts[i], version.len));
        if (!rest.len || rest.ptr[0] != ';')
            continue; /* another version, or not a record of ours at all */
        *fields = slice_from(rest, 1);
        found++;
    }
    return found == 1;
}

/* The next "name=value" of a record. False: the end, or (*is_bad) a piece that is none. */
static bool next_field(struct slice *fields, struct slice *name, struct slice *value, bool *is_bad)
{
    struct slice piece;
    while (slice_split(fields, ';', &piece)) {
        piece = trim_blanks(piece);
        if (!piece.len && !trim_blanks(*fields).len)
            return false; /* what stands behind the last ";" */
        *value = piece;
        *is_bad = !slice_split(value, '=', name) || !value->ptr || !is_field_name(*name) || !value->len;
        for (size_t i = 0; i < value->len && !*is_bad; i++) /* %x21-3A / %x3C / %x3E-7E */
            *is_bad = value->ptr[i] <= ' ' || value->ptr[i] > '~' || value->ptr[i] == '=';
        return !*is_bad;
    }
    return false;
}

bool sts_record_id(const struct slice *texts, size_t count, struct slice *id)
{
    struct slice fields = {0}, name, value;
    bool is_bad = false, has_id = false;
    if (!one_record(texts, count, &fields))
        return false;
    while (next_field(&fields, &name, &value, &is_bad)) {
        if (!slice_equal(name, SLICE("id")))
            continue;
        for (size_t i = 0; i < value.len; i++)
            is_bad |= !ascii_is_alnum(value.ptr[i]);
        if (has_id || is_bad || value.len > STS_ID_MAX)
            return false;
        has_id = true;
        *id = value;
    }
    return has_id && !is_bad;
}

/* ── the policy ── */

/* A domain of letters, digits and hyphens, in labels of 1 to 63. */
static bool is_domain(struct slice name)
{
    size_t label = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '.') {
            if (!label || name.ptr[i - 1] == '-')
                return false;
            label = 0;
        } else if (ascii_is_alnum(name.ptr[i]) || (name.ptr[i] == '-' && label) || name.ptr[i] == '_') {
            if (++label > 63)
                return false;
        } else {
            return false;
        }
    }
    return label && name.ptr[name.len - 1] != '-' && name.len <= 253;
}

struct policy_reader {
    struct arena *arena;
    struct sts_policy *policy;
    struct slice *mx;
    size_t room;
    bool has_version, has_mode, has_max_age;
};

static bool mx_read(struct policy_reader *reader, struct slice value, struct fault *why)
{
    struct slice domain = slice_starts(value, SLICE("*.")) ? slice_from(value, 2) : value;
    struct sts_policy *policy = reader->policy;
    if (domain.len && domain.ptr[domain.len - 1] == '.')
        domain.len--, value.len--;
    if (!is_domain(domain))
        return fault_set(why, FAULT_INPUT, "mx: \"%.*s\" is no host name", SLICE_ARG(slice_head(value, 100)));
    if (policy->mx_count == STS_MX_MAX)
        return fault_set(why, FAULT_INPUT, "more than %d mx", STS_MX_MAX);
    if (policy->mx_count == reader->room) {
        size_t room = reader->room ? reader->room * 2 : 8;
        struct slice *more = ARENA_ARRAY(reader->arena, struct slice, room);
        if (reader->room)
            memcpy(more, reader->mx, reader->room * sizeof(*more));
        reader->mx = more;
        reader->room = room;
    }
    char *lower = arena_str(reader->arena, value);
    for (size_t i = 0; i < value.len; i++)
        lower[i] = ascii_lower(lower[i]);
    reader->mx[policy->mx_count++] = slice_of(lower, value.len);
    return true;
}

static bool max_age_read(struct slice value, uint32_t *seconds, struct fault *why)
{
    uint64_t number;
    if (value.len > 10 || !slice_to_u64(value, &number))
        return fault_set(why, FAULT_INPUT, "max_age: \"%.*s\" is no number of seconds",
                         SLICE_ARG(slice_head(value, 100)));
    *seconds = number > STS_MAX_AGE_MOST_S ? STS_MAX_AGE_MOST_S : (uint32_t)number;
    return true;
}

/* Of what may stand once, the first counts (3.2); what nobody knows is an extension. */
static bool field_read(struct policy_reader *reader, struct slice name, struct slice value, struct fault *why)
{
    if (slice_equal(name, SLICE("mx")))
        return mx_read(reader, value, why);
    if (slice_equal(name, SLICE("version")) && !reader->has_version) {
        reader->has_version = true;
        return slice_equal(value, SLICE("STSv1")) ||
               fault_set(why, FAULT_INPUT, "version: \"%.*s\" is not STSv1", SLICE_ARG(slice_head(value, 100)));
    }
    if (slice_equal(name, SLICE("mode")) && !reader->has_mode) {
        reader->has_mode = true;
        return sts_mode_of(value, &reader->policy->mode) ||
               fault_set(why, FAULT_INPUT, "mode: \"%.*s\" is none of testing, enforce, none",
                         SLICE_ARG(slice_head(value, 100)));
    }
    if (slice_equal(name, SLICE("max_age")) && !reader->has_max_age) {
        reader->has_max_age = true;
        return max_age_read(value, &reader->policy->max_age_s, why);
    }
    return true;
}

bool sts_policy_read(struct slice text, struct arena *arena, struct sts_policy *policy, struct fault *why)
{
    struct policy_reader reader = {.arena = arena, .policy = policy};
    struct slice rest = text, line;
    *policy = (struct sts_policy){0};
    if (text.len > STS_POLICY_MAX)
        return fault_set(why, FAULT_INPUT, "the policy is larger than %d octets", STS_POLICY_MAX);
    for (int number = 1; slice_split(&rest, '\n', &line); number++) {
        if (line.len && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (!trim_blanks(line).len)
            continue;
        struct slice value = line, name;
        if (!slice_split(&value, ':', &name) || !value.ptr || !is_field_name(name) || memchr(line.ptr, '\0', line.len))
            return fault_set(why, FAULT_INPUT, "line %d: not \"name: value\"", number);
        if (!field_read(&reader, name, trim_blanks(value), why))
            return fault_prefix(why, "line %d: ", number);
    }
    policy->mx = reader.mx;
    if (!reader.has_version || !reader.has_mode || !reader.has_max_age)
        return fault_set(why, FAULT_INPUT, "%s is missing",
                         !reader.has_version ? "version"
                         : !reader.has_mode  ? "mode"
                                             : "max_age");
    return policy->mx_count || policy->mode == STS_NONE ||
           fault_set(why, FAULT_INPUT, "mode %.*s without any mx", SLICE_ARG(sts_mode_word(policy->mode)));
}

bool sts_allows(const struct sts_policy *policy, struct slice mx)
{
    ptrdiff_t dot = slice_find_byte(mx, '.');
    for (size_t i = 0; i < policy->mx_count; i++) {
        struct slice allowed = policy->mx[i];
        if (slice_equal_caseless(allowed, mx))
            return true;
        if (dot > 0 && slice_starts(allowed, SLICE("*.")) &&
            slice_equal_caseless(slice_from(allowed, 1), slice_from(mx, (size_t)dot)))
            return true;
    }
    return false;
}
