#include "app/explain_address.h"

#include "api/mail_story.h"
#include "app/explain_site.h"
#include "base/json.h"
#include "mail/address.h"
#include "suppress/suppress.h"
#include <stdio.h>

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

enum { EXCLUSIONS_SHOWN = 50 };

struct person {
    struct slice identity;
    bool has_more;
    struct suppression *exclusions; /* by everybody first, then by single brands and about single topics */
    size_t exclusion_count;
    struct mail_story stories[EXPLAIN_ADDRESS_SHOWN];
    struct slice whose[EXPLAIN_ADDRESS_SHOWN];
    size_t count;
};

static bool ids_read(struct desk *desk, struct person *person, uint64_t *ids, struct fault *why)
{
    SCOPED(rows) rows = {0};
    if (!db_query(desk->reader, why, &rows,
                  "SELECT id FROM delivery WHERE bucket = $1 AND address = $2 ORDER BY id DESC LIMIT $3",
                  VALUES(V_INT(address_bucket(person->identity)), V_TEXT(person->identity),
                         V_INT(EXPLAIN_ADDRESS_SHOWN + 1))))
        return false;
    while (rows_next(&rows)) {
        if (person->count == EXPLAIN_ADDRESS_SHOWN)
            person->has_more = true;
        else
            ids[person->count++] = (uint64_t)rows_int(&rows, 0);
    }
    return rows_end(&rows);
}

/* What binds at the receiver: asked once, for all that are due. */
static bool paces_read(struct desk *desk, struct person *person, struct fault *why)
{
    struct board board;
    bool is_asked = false;
    for (size_t i = 0; i < person->count; i++) {
        struct mail_story *story = &person->stories[i];
        if (!mail_story_asks(story))
            continue;
        if (!is_asked && !desk_board(desk, &story->domain, 1, &board, why))
            return false;
        is_asked = true;
        if (!mail_story_at(desk->reader, why, &board, &desk->arena, story))
            return false;
    }
    return true;
}

static bool person_read(struct desk *desk, const char *address, enum lang lang, struct person *person,
                        struct fault *why)
{
    uint64_t ids[EXPLAIN_ADDRESS_SHOWN];
    time_ms now = world_wall(&desk->world);
    if (!desk_identity(desk, address, &person->identity, why) ||
        !suppress_of_address(desk->reader, why, person->identity, now, EXCLUSIONS_SHOWN, &desk->arena,
                             &person->exclusions, &person->exclusion_count) ||
        !ids_read(desk, person, ids, why))
        return false;
    for (size_t i = 0; i < person->count; i++) {
        bool found;
        struct mail_story *story = &person->stories[i];
        if (!mail_story_read(desk->reader, why, ids[i], now, &desk->arena, story, &found))
            return false;
        struct lane_wait lane = {.id = story->lane_id, .brand_id = story->brand_id, .campaign_id = story->campaign_id};
        if (!lane_wait_fill(desk->reader, why, SLICE(""), now, &desk->arena, &lane))
            return false;
        person->whose[i] = lane_wait_whose(&lane, lang, &desk->arena);
    }
    return paces_read(desk, person, why);
}

/* By all brands and about everything. */
static bool is_whole(const struct suppression *row)
{
    return !row->brand_id && !row->topic.len;
}

/* The row's name, or its number when it is there no more. */
static struct slice name_of(struct desk *desk, const char *sql, uint64_t id)
{
    SCOPED(rows) rows = {0};
    struct fault ignored;
    if (db_query(desk->reader, &ignored, &rows, sql, VALUES(V_INT((int64_t)id))) && rows_next(&rows))
        return arena_copy(&desk->arena, rows_text(&rows, 0));
    return arena_printf(&desk->arena, "%llu", (unsigned long long)id);
}

/* "the brand Shop", "the brand Shop (the list Autumn)": from whose mail, and about what. */
static struct slice excluded_from(struct desk *desk, const struct suppression *row, enum lang lang)
{
    struct slice brand = SAY(lang, SLICE("すべてのブランド"), SLICE("all brands"));
    uint64_t list_id;
    if (row->brand_id)
        brand = arena_printf(&desk->arena, SAY(lang, "ブランド %.*s", "the brand %.*s"),
                             SLICE_ARG(name_of(desk, "SELECT name FROM brand WHERE id = $1", row->brand_id)));
    if (!row->topic.len)
        return brand;
    if (slice_starts(row->topic, SLICE("list:")) && slice_to_u64(slice_from(row->topic, 5), &list_id))
        return arena_printf(&desk->arena, SAY(lang, "%.*s(リスト %.*s)", "%.*s (the list %.*s)"), SLICE_ARG(brand),
                            SLICE_ARG(name_of(desk, "SELECT name FROM list WHERE id = $1", list_id)));
    return arena_printf(&desk->arena, SAY(lang, "%.*s(キャンペーン)", "%.*s (campaigns)"), SLICE_ARG(brand));
}

static void print_json(struct desk *desk, const struct person *person, enum lang lang)
{
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    bool is_excluded = person->exclusion_count && is_whole(&person->exclusions[0]);
    json_object_begin(&json);
    json_put_string(&json, "address", person->identity);
    json_put_string(&json, "excluded", is_excluded ? suppress_word(person->exclusions[0].why) : SLICE(""));
    json_put_array(&json, "exclusions");
    for (size_t i = 0; i < person->exclusion_count; i++) {
        const struct suppression *row = &person->exclusions[i];
        json_object_begin(&json);
        json_put_string(&json, "from", excluded_from(desk, row, lang));
        json_put_string(&json, "brand",
                        row->brand_id ? arena_printf(&desk->arena, "%llu", (unsigned long long)row->brand_id)
                                      : SLICE(""));
        json_put_string(&json, "topic", row->topic);
        json_put_string(&json, "why", suppress_word(row->why));
        json_put_string(&json, "reason", row->why == SUPPRESS_ERROR ? reason_word(row->reason) : SLICE(""));
        json_put_time(&json, "since_at", row->since);
        json_end(&json);
    }
    json_end(&json);
    json_put_array(&json, "deliveries");
    for (size_t i = 0; i < person->count; i++) {
        const struct mail_story *story = &person->stories[i];
        json_object_begin(&json);
        json_put_string(&json, "delivery", arena_printf(&desk->arena, "%llu", (unsigned long long)story->id));
        json_put_string(&json, "state", delivery_word(story->state));
        json_put_int(&json, "attempts", story->attempts);
        json_put_string(&json, "whose", person->whose[i]);
        json_put_time(&json, "accepted_at", story->accepted);
        json_put_string(&json, "next", mail_story_next(story, lang, &desk->arena));
        json_end(&json);
    }
    json_end(&json);
    json_put_bool(&json, "has_more", person->has_more);
    json_end(&json);
    printf("%.*s\n", (int)out.len, out.ptr);
}

static void print_exclusion(struct desk *desk, const struct suppression *row, enum lang lang)
{
    struct slice why = suppress_word(row->why), from = excluded_from(desk, row, lang);
    if (row->why == SUPPRESS_ERROR)
        why = arena_printf(&desk->arena, "%.*s %.*s", SLICE_ARG(why), SLICE_ARG(reason_word(row->reason)));
    printf(SAY(lang, "%.*s: %.*s から除外中(%.*s、%.*s", "%.*s: excluded since %.*s (%.*s; %.*s"),
           SLICE_ARG(row->address), SLICE_ARG(minute_text(&desk->arena, row->since)), SLICE_ARG(from), SLICE_ARG(why));
    if (row->topic.len)
        puts(")");
    else if (row->brand_id)
        printf(SAY(lang, "、todoke suppress remove --brand '%.*s' で解除)\n",
                   "; todoke suppress remove --brand '%.*s' takes that back)\n"),
               SLICE_ARG(name_of(desk, "SELECT name FROM brand WHERE id = $1", row->brand_id)));
    else
        puts(SAY(lang, "、todoke suppress remove で解除)", "; todoke suppress remove takes that back)"));
}

static void print_text(struct desk *desk, const struct person *person, enum lang lang)
{
    for (size_t i = 0; i < person->exclusion_count; i++)
        print_exclusion(desk, &person->exclusions[i], lang);
    if (!person->exclusion_count)
        printf(SAY(lang, "%.*s: 除外されていません\n", "%.*s: not excluded\n"), SLICE_ARG(person->identity));
    if (!person->count)
        puts(SAY(lang, "このアドレスへのメールはありません", "no mail to this address is known"));
    for (size_t i = 0; i < person->count; i++) {
        const struct mail_story *story = &person->stories[i];
        printf("%llu  %.*s  %.*s  %.*s\n    %.*s\n", (unsigned long long)story->id,
               SLICE_ARG(minute_text(&desk->arena, story->accepted)), SLICE_ARG(state_label(story->state, lang)),
               SLICE_ARG(person->whose[i]), SLICE_ARG(mail_story_next(story, lang, &desk->arena)));
    }
    if (person->has_more)
        puts(SAY(lang, "これより古いものもあります", "and older ones"));
}

bool explain_address(struct desk *desk, const char *address, enum lang lang, bool is_json, struct fault *why)
{
    struct person *person = ARENA_ARRAY(&desk->arena, struct person, 1);
    *person = (struct person){0};
    if (!person_read(desk, address, lang, person, why))
        return false;
    if (is_json)
        print_json(desk, person, lang);
    else
        print_text(desk, person, lang);
    return true;
}
