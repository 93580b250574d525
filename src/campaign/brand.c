#include "campaign/brand.h"

#include "base/utf8.h"
#include "content/compose.h"
#include "mail/address.h"

static bool check_address(struct slice text, const char *what, struct fault *why)
{
    SCOPED(arena) arena = {0};
    struct address address;
    bool ok = address_parse(text, &arena, &address, why);
    if (ok && address.needs_smtputf8) /* D28: each of its mails would need SMTPUTF8 of each receiver */
        ok = fault_set(why, FAULT_INPUT, "before the @ of a sender only ASCII may stand");
    if (ok && address.has_rfc_violation)
        ok = fault_set(why, FAULT_INPUT, "a dot stands first, last or twice before the @");
    return ok || fault_prefix(why, "%s \"%.*s\": ", what, SLICE_ARG(text));
}

/* What public links begin with: scheme and host, nothing that would end a link early; the last slash goes. */
static bool check_links(struct slice *base, struct fault *why)
{
    struct slice rest = *base;
    if (slice_starts(rest, SLICE("https://")))
        rest = slice_from(rest, 8);
    else if (slice_starts(rest, SLICE("http://")))
        rest = slice_from(rest, 7);
    else
        rest = SLICE("");
    bool ok = rest.len && rest.ptr[0] != '/';
    for (size_t i = 0; ok && i < rest.len; i++)
        ok = rest.ptr[i] > ' ' && rest.ptr[i] < 0x7f && !strchr("\"<>\\?#", rest.ptr[i]);
    if (!ok)
        return fault_set(why, FAULT_INPUT, "links \"%.*s\": https://HOST is wanted", SLICE_ARG(slice_head(*base, 100)));
    while (slice_ends(*base, SLICE("/")))
        base->len--;
    return true;
}

static bool check(struct brand *brand, struct arena *arena, struct slice *return_path, struct fault *why)
{
    if (!brand->name.len)
        return fault_set(why, FAULT_INPUT, "a brand has a name");
    if (!utf8_is_line(brand->name) || !utf8_is_line(brand->from_name))
        return fault_set(why, FAULT_INPUT, "the name of a brand, and of whom its mail is from, is one line of text");
    if (!check_address(brand->from_address, "from address", why) ||
        (brand->reply_to.len && !check_address(brand->reply_to, "reply-to address", why)) ||
        !check_links(&brand->link_base, why))
        return false;
    return domain_normalise(brand->return_path_domain, arena, return_path, why) || fault_prefix(why, "return path: ");
}

bool brand_check(struct brand *brand, struct fault *why)
{
    SCOPED(arena) arena = {0};
    struct slice return_path;
    return check(brand, &arena, &return_path, why);
}

bool brand_create(struct db *db, struct fault *why, struct brand *brand, time_ms now)
{
    SCOPED(arena) arena = {0};
    struct slice return_path;
    if (!check(brand, &arena, &return_path, why))
        return false;
    brand->id = id_make_anywhere(db_ids(db), now);
    brand->created = now;
    int64_t made = 0;
    if (!db_do(db, why,
               "INSERT INTO brand (id, name, from_name, from_address, reply_to, return_path_domain, link_base, footer, "
               "in_doubt, "
               "created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
               VALUES(V_INT((int64_t)brand->id), V_TEXT(brand->name), V_TEXT(brand->from_name),
                      V_TEXT(brand->from_address), V_TEXT(brand->reply_to), V_TEXT(return_path),
                      V_TEXT(brand->link_base), V_TEXT(brand->footer), V_STR(brand->holds_doubtful ? "hold" : "retry"),
                      V_INT(now)),
               &made))
        return false;
    return made ? true : fault_set(why, FAULT_INPUT, "there is a brand \"%.*s\" already", SLICE_ARG(brand->name));
}

bool brand_find(struct db *db, struct fault *why, struct slice name_or_id, struct arena *arena, struct brand *brand)
{
    int64_t id;
    if (!slice_to_i64(name_or_id, &id))
        id = 0;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT id, name, from_name, from_address, reply_to, return_path_domain, link_base, footer, "
                  "in_doubt, created_ms, recipients_per_transaction FROM "
                  "brand WHERE name = $1 OR id = $2 ORDER BY id LIMIT 1",
                  VALUES(V_TEXT(name_or_id), V_INT(id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) && fault_set(why, FAULT_INPUT, "there is no brand \"%.*s\"", SLICE_ARG(name_or_id));
    *brand = (struct brand){
        .id = (uint64_t)rows_int(&rows, 0),
        .name = arena_copy(arena, rows_text(&rows, 1)),
        .from_name = arena_copy(arena, rows_text(&rows, 2)),
        .from_address = arena_copy(arena, rows_text(&rows, 3)),
        .reply_to = arena_copy(arena, rows_text(&rows, 4)),
        .return_path_domain = arena_copy(arena, rows_text(&rows, 5)),
        .link_base = arena_copy(arena, rows_text(&rows, 6)),
        .footer = arena_copy(arena, rows_text(&rows, 7)),
        .holds_doubtful = slice_equal(rows_text(&rows, 8), SLICE("hold")),
        .created = rows_int(&rows, 9),
        .recipients_per_transaction = (unsigned)rows_int(&rows, 10),
    };
    return rows_end(&rows);
}

struct slice brand_domain(const struct brand *brand)
{
    return slice_from(brand->from_address, (size_t)slice_find_last_byte(brand->from_address, '@') + 1);
}

/* A version never changes, so it is never made with a template that cannot be rendered. */
static bool templates_are_sound(const struct content_version *version, struct fault *why)
{
    const struct content_source source = {
        .subject = version->subject,
        .preheader = version->preheader,
        .html = version->html,
        .text = version->text,
        .counts_clicks = version->counts_clicks,
        .counts_opens = version->counts_opens,
        .from_address = SLICE("sender@shop.example"), /* the brand's own was looked at when it was made */
    };
    struct content *content = NULL;
    bool ok = content_compile(&source, &content, why);
    content_free(content);
    return ok;
}

bool content_version_create(struct db *db, struct fault *why, struct content_version *version, time_ms now)
{
    if (!templates_are_sound(version, why))
        return false;
    version->id = id_make_anywhere(db_ids(db), now);
    version->created = now;
    return db_do(db, why,
                 "INSERT INTO content_version (id, brand_id, name, subject, preheader, html, text, created_ms, "
                 "counts_clicks, counts_opens) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                 VALUES(V_INT((int64_t)version->id), V_INT((int64_t)version->brand_id), V_TEXT(version->name),
                        V_TEXT(version->subject), V_TEXT(version->preheader), V_TEXT(version->html),
                        V_TEXT(version->text), V_INT(now), V_INT(version->counts_clicks), V_INT(version->counts_opens)),
                 NULL);
}

bool content_version_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena,
                          struct content_version *version)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT brand_id, name, subject, preheader, html, text, created_ms, counts_clicks, counts_opens FROM "
                  "content_version WHERE id = $1",
                  VALUES(V_INT((int64_t)id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) &&
               fault_set(why, FAULT_INPUT, "there is no content version %llu", (unsigned long long)id);
    *version = (struct content_version){
        .id = id,
        .brand_id = (uint64_t)rows_int(&rows, 0),
        .name = arena_copy(arena, rows_text(&rows, 1)),
        .subject = arena_copy(arena, rows_text(&rows, 2)),
        .preheader = arena_copy(arena, rows_text(&rows, 3)),
        .html = arena_copy(arena, rows_text(&rows, 4)),
        .text = arena_copy(arena, rows_text(&rows, 5)),
        .created = rows_int(&rows, 6),
        .counts_clicks = rows_int(&rows, 7) != 0,
        .counts_opens = rows_int(&rows, 8) != 0,
    };
    return rows_end(&rows);
}
