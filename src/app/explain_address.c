#include "app/explain_address.h"

#include "api/mail_story.h"
#include "app/explain_site.h"
#include "base/json.h"
#include "mail/address.h"
#include "suppress/suppress.h"
#include <stdio.h>

#define SAY(lang, ja, en) ((lang) == LANG_JA ? (ja) : (en))

struct person {
    struct slice identity;
    bool is_excluded, has_more;
    struct suppression exclusion;
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
        !suppress_check(desk->reader, why, person->identity, 0, SLICE(""), now, &person->is_excluded, &desk->arena,
                        &person->exclusion) ||
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

static void print_json(struct desk *desk, const struct person *person, enum lang lang)
{
    SCOPED(buf) out = BUF(1 << 20);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "address", person->identity);
    json_put_string(&json, "excluded", person->is_excluded ? suppress_word(person->exclusion.why) : SLICE(""));
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

static void print_text(struct desk *desk, const struct person *person, enum lang lang)
{
    if (person->is_excluded)
        printf(SAY(lang, "%.*s: %.*s から除外中(%.*s %.*s、todoke suppress remove で解除)\n",
                   "%.*s: excluded since %.*s (%.*s %.*s; todoke suppress remove takes that back)\n"),
               SLICE_ARG(person->identity), SLICE_ARG(minute_text(&desk->arena, person->exclusion.since)),
               SLICE_ARG(suppress_word(person->exclusion.why)),
               SLICE_ARG(person->exclusion.why == SUPPRESS_ERROR ? reason_word(person->exclusion.reason) : SLICE("")));
    else
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
