#include "mail/address_look.h"

#include "base/data_files.h"
#include "base/map.h"
#include "base/tree.h"
#include "base/utf8.h"

enum { FILE_MOST = 4 << 20, SLIP_LONGEST_PART = 5, NAMES_FIRST_ROOM = 256 };

struct address_book {
    struct arena arena;
    struct map known, slips, endings, disposable, roles; /* values: the text that was meant (struct slice), or any */
    struct slice *names;                                 /* the known ones */
    size_t count, room;
};

/* ── reading ── */

static bool name_add(struct address_book *book, struct map *into, struct slice name, bool is_known)
{
    struct slice kept = arena_copy(&book->arena, name);
    char *text = (char *)(uintptr_t)kept.ptr;
    for (size_t i = 0; i < kept.len; i++)
        text[i] = ascii_lower(text[i]);
    if (!kept.len || !slice_is_ascii(kept))
        return false;
    if (is_known && !map_get(into, kept)) {
        if (book->count == book->room) {
            book->room = book->room ? book->room * 2 : NAMES_FIRST_ROOM;
            book->names = memory_resize(book->names, book->room, sizeof(*book->names));
        }
        book->names[book->count++] = kept;
    }
    map_set(into, kept, book);
    return true;
}

static bool list_read(struct address_book *book, const struct tree *tree, const char *key, struct map *into)
{
    const yaml_node_t *list = tree_member(tree, tree_root(tree), key), *item;
    for (size_t i = 0; list && (item = tree_item(tree, list, i)); i++)
        if (!name_add(book, into, tree_text(item), into == &book->known))
            return tree_complain(tree, item, "%s: want a name", key);
    return true;
}

static bool pairs_read(struct address_book *book, const struct tree *tree, const char *name, struct map *into)
{
    const yaml_node_t *pairs = tree_member(tree, tree_root(tree), name), *key, *value;
    for (size_t i = 0; pairs && tree_pair(tree, pairs, i, &key, &value); i++) {
        if (!tree_text(key).len || !tree_text(value).len)
            return tree_complain(tree, key, "%s: want what is written: what was meant", name);
        struct slice *meant = ARENA_ARRAY(&book->arena, struct slice, 1);
        *meant = arena_copy(&book->arena, tree_text(value));
        map_set(into, tree_text(key), meant);
    }
    return true;
}

static bool keys_are_known(const struct tree *tree)
{
    static const char *const keys[] = {"known", "slips", "endings", "disposable", "roles"};
    const yaml_node_t *key, *value;
    for (size_t i = 0; tree_pair(tree, tree_root(tree), i, &key, &value); i++) {
        bool found = false;
        for (size_t k = 0; k < COUNT_OF(keys); k++)
            found |= slice_equal(tree_text(key), slice_str(keys[k]));
        if (!found)
            return tree_complain(tree, key, "\"%.*s\" is no key of such a file", SLICE_ARG(tree_text(key)));
    }
    return true;
}

static bool file_take(void *owner, const char *path, struct slice text, bool is_operators, struct fault *why)
{
    struct address_book *book = owner;
    struct tree tree = {.path = path, .why = why};
    bool ok = tree_read(&tree, path, text, why) && keys_are_known(&tree) &&
              list_read(book, &tree, "known", &book->known) && pairs_read(book, &tree, "slips", &book->slips) &&
              pairs_read(book, &tree, "endings", &book->endings) &&
              list_read(book, &tree, "disposable", &book->disposable) && list_read(book, &tree, "roles", &book->roles);
    (void)is_operators;
    tree_release(&tree);
    return ok;
}

bool address_book_open(const char *folder, struct address_book **book, struct fault *why)
{
    struct arena paths = {0};
    *book = NEW(struct address_book);
    const struct data_files files = {.carried = SLICE_INIT("data/addresses/"),
                                     .folder = folder,
                                     .what = "knowledge of addresses",
                                     .most_bytes = FILE_MOST,
                                     .arena = &paths,
                                     .read = file_take,
                                     .owner = *book};
    bool ok = data_files_read(&files, why);
    arena_release(&paths);
    if (ok)
        return true;
    address_book_free(*book);
    *book = NULL;
    return false;
}

void address_book_free(struct address_book *book)
{
    if (!book)
        return;
    map_release(&book->known);
    map_release(&book->slips);
    map_release(&book->endings);
    map_release(&book->disposable);
    map_release(&book->roles);
    free(book->names);
    arena_release(&book->arena);
    free(book);
}

/* ── domains ── */

/* Itself, or a domain above it. */
static bool is_at_or_below(const struct map *names, struct slice domain)
{
    while (domain.len) {
        if (map_get(names, domain))
            return true;
        ptrdiff_t dot = slice_find_byte(domain, '.');
        domain = dot == SLICE_NPOS ? SLICE("") : slice_from(domain, (size_t)dot + 1);
    }
    return false;
}

/* One letter wrong, missing, too many, or two neighbours swapped; not equal. */
static bool is_one_slip(struct slice a, struct slice b)
{
    if (a.len < b.len) {
        struct slice swap = a;
        a = b;
        b = swap;
    }
    if (a.len - b.len > 1)
        return false;
    size_t at = 0;
    while (at < b.len && a.ptr[at] == b.ptr[at])
        at++;
    if (a.len > b.len)
        return slice_equal(slice_from(a, at + 1), slice_from(b, at));
    if (at == a.len)
        return false;
    if (slice_equal(slice_from(a, at + 1), slice_from(b, at + 1)))
        return true;
    return at + 1 < a.len && a.ptr[at] == b.ptr[at + 1] && a.ptr[at + 1] == b.ptr[at] &&
           slice_equal(slice_from(a, at + 2), slice_from(b, at + 2));
}

/* Short names are one slip from too much. */
static bool is_long_enough(struct slice name)
{
    struct slice part;
    size_t longest = 0;
    while (slice_find_byte(name, '.') != SLICE_NPOS && slice_split(&name, '.', &part))
        longest = part.len > longest ? part.len : longest;
    return longest >= SLIP_LONGEST_PART;
}

static struct slice ending_of(struct slice domain)
{
    return slice_from(domain, (size_t)(slice_find_last_byte(domain, '.') + 1));
}

/* Of the same ending: hotmail.dk is no hotmail.de misspelt. */
static struct slice nearest(const struct address_book *book, struct slice domain)
{
    struct slice found = {0};
    for (size_t i = 0; i < book->count; i++) {
        if (!slice_equal(ending_of(book->names[i]), ending_of(domain)) || !is_long_enough(book->names[i]) ||
            !is_one_slip(domain, book->names[i]))
            continue;
        if (found.len)
            return SLICE(""); /* two could be meant: nobody is told a wrong one */
        found = book->names[i];
    }
    return found;
}

static struct slice meant_by(const struct map *slips, struct slice text)
{
    const struct slice *meant = map_get(slips, text);
    return meant ? *meant : SLICE("");
}

/* What was probably meant; "" : this. */
static struct slice domain_meant(const struct address_book *book, struct slice domain, struct arena *arena)
{
    struct slice meant, ended = {0};
    if ((meant = meant_by(&book->slips, domain)).len || is_at_or_below(&book->known, domain))
        return meant;
    struct slice last = ending_of(domain), two = last;
    if (last.len < domain.len) /* the last two parts, too: ne.jo */
        two = slice_from(domain,
                         domain.len - last.len - 1 - ending_of(slice_head(domain, domain.len - last.len - 1)).len);
    struct slice wrong = meant_by(&book->endings, two).len ? two : last;
    if ((meant = meant_by(&book->endings, wrong)).len) {
        ended = arena_printf(arena, "%.*s%.*s", (int)(domain.len - wrong.len), domain.ptr, SLICE_ARG(meant));
        if (is_at_or_below(&book->known, ended))
            return ended;
        if ((meant = meant_by(&book->slips, ended)).len || (meant = nearest(book, ended)).len)
            return meant;
    }
    meant = nearest(book, domain);
    return meant.len ? meant : ended;
}

/* ── what could not be read ── */

/* What people type in Japanese mode, into a mail program, or one key beside: letters of full width, a comma for the
 * dot, spaces, mailto:. */
static struct slice mended(struct slice text, struct arena *arena)
{
    SCOPED(buf) out = BUF(ADDRESS_MAX * 4);
    struct slice rest = slice_trim(text);
    if (slice_starts_caseless(rest, SLICE("mailto:")))
        rest = slice_from(rest, 7);
    bool after_at = false;
    if (rest.len > ADDRESS_MAX * 4 || !utf8_is_valid(rest))
        return SLICE("");
    while (rest.len) {
        int32_t c = utf8_next(&rest);
        if (c >= 0xff01 && c <= 0xff5e)
            c -= 0xfee0;
        if (c == 0x3000 || c == ' ' || c == '\t' || c == '<' || c == '>' || c == 0x200b || c == 0xa0)
            continue;
        if (after_at && (c == ',' || c == 0x3002 || c == 0xff0e || c == 0xff61 || c == 0x3001 || c == ';' || c == ':'))
            c = '.';
        if (c == '@' && after_at)
            continue;
        if (after_at && c == '.' && (out.len == 0 || out.ptr[out.len - 1] == '.' || out.ptr[out.len - 1] == '@'))
            continue;
        after_at |= c == '@';
        utf8_append(&out, (uint32_t)c);
    }
    while (out.len && (out.ptr[out.len - 1] == '.' || out.ptr[out.len - 1] == '@'))
        out.len--;
    return buf_ok(&out) ? arena_copy(arena, buf_slice(&out)) : SLICE("");
}

static bool ends_in_number(struct slice domain)
{
    struct slice ending = ending_of(domain);
    for (size_t i = 0; i < ending.len; i++)
        if (!ascii_is_digit(ending.ptr[i]))
            return false;
    return ending.len > 0;
}

static bool is_valid(struct slice text, struct arena *arena, struct address *address, struct fault *why)
{
    return address_of_person(text, arena, address, why) &&
           (!ends_in_number(address->domain) ||
            fault_set(why, FAULT_INPUT, "the domain \"%.*s\" ends in a number: no such name can be",
                      SLICE_ARG(address->domain)));
}

/* What stands before the @ as it was written, quotes and all, at this domain. */
static struct slice at_domain(struct slice text, struct slice domain, struct arena *arena)
{
    return arena_printf(arena, "%.*s@%.*s", (int)slice_find_last_byte(text, '@'), text.ptr, SLICE_ARG(domain));
}

/* The whole address, its domain as it was probably meant. */
static struct slice with_domain(const struct address_book *book, struct slice text, const struct address *address,
                                struct arena *arena)
{
    struct slice domain = domain_meant(book, address->domain, arena);
    return domain.len ? at_domain(text, domain, arena) : SLICE("");
}

/* Of one that is not valid: the same, of what it says when it is mended; only what is valid then. */
static struct slice instead_of(const struct address_book *book, struct slice text, struct arena *arena)
{
    struct address address;
    struct fault why;
    struct slice guess = mended(text, arena);
    if (!guess.len || !address_parse(guess, arena, &address, &why))
        return SLICE("");
    struct slice meant = with_domain(book, guess, &address, arena);
    if (!meant.len)
        meant = at_domain(guess, address.domain, arena);
    return !slice_equal(meant, text) && is_valid(meant, arena, &address, &why) ? meant : SLICE("");
}

static bool is_role(const struct address_book *book, const struct address *address)
{
    struct slice identity = address->identity;
    size_t len = address->local.len;
    ptrdiff_t plus = slice_find_byte(slice_head(identity, len), '+');
    return map_get(&book->roles, slice_head(identity, plus > 0 ? (size_t)plus : len)) != NULL;
}

void address_look_at(const struct address_book *book, struct slice text, struct arena *arena, struct address_look *look)
{
    struct fault why = {0};
    *look = (struct address_look){0};
    struct address *address = &look->address;
    text = slice_trim(text);
    look->is_valid = is_valid(text, arena, address, &why);
    look->has_rfc_violation = address->has_rfc_violation && text.ptr[0] != '"';
    if (look->is_valid) {
        look->is_disposable = is_at_or_below(&book->disposable, address->domain);
        look->is_role = is_role(book, address);
        look->normalised = at_domain(text, address->domain, arena);
        look->suggestion = with_domain(book, text, address, arena);
        return;
    }
    look->reason = arena_copy(arena, slice_str(why.text));
    look->suggestion = instead_of(book, text, arena);
}
