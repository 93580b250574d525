/* cmd_event.c - `todoke event`: what happened, in order, for people and programs (event/place.h) */
#include "app/arguments.h"
#include "app/command.h"
#include "app/desk.h"
#include "app/usage.h"

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "campaign/campaign.h"
#include "event/place.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: todoke event tail [--follow] [--last N] [--cursor FILE] [--type KIND,...] [--campaign NAME-OR-ID] [--brand "
    "NAME] [--json]\n"
    "\n"
    "The newest events (default 20, at most 200), oldest of them first: accepted, delivered, deferred, bounced, opened "
    "... as GET\n"
    "/api/v1/events and the webhooks have them; with --json one object a line. --follow goes on with what happens from "
    "then on, until\n"
    "it is ended by ctrl-c. Nothing is missed, and what happened to one recipient's mail comes in its order.\n"
    "\n"
    "  --cursor FILE   go on behind what was printed last time, and write down there how far it is: every event at "
    "least once.\n"
    "                  A FILE that is not there yet begins with the first event of all\n"
    "  --type KIND     only these: bounced, or delivered,opened,clicked\n"
    "  --last 0        only what happens from now on\n"
    "  --store URL     the store; default $TODOKE_STORE, the server's settings, ./todoke.db\n";

enum { LAST_USUAL = 20, LAST_MOST = 200, PAGE = 500, FOLLOW_MS = 500, LINE_MAX_BYTES = 64 * 1024 };

struct given {
    const char *store, *last, *cursor, *types, *campaign, *brand;
    bool follows, is_json;
};

/* ── one event, as a line ── */

static void line_table(struct buf *line, const struct event *event)
{
    SCOPED(buf) address = BUF(1024);
    SCOPED(buf) at = BUF(64);
    struct slice word = event_word(event->kind);
    time_rfc3339(&at, event->at);
    utf8_append_inert(&address, event->address.len ? event->address : event->domain);
    buf_printf(line, "%.*sZ  %-13.*s %-40.*s", (int)(at.len < 19 ? at.len : 19), at.ptr, SLICE_ARG(word),
               SLICE_ARG(buf_slice(&address)));
    if (event->kind == EVENT_ACCEPTED && event->n > 1)
        buf_printf(line, " %u deliveries", event->n);
    SCOPED(buf) code = BUF(64); /* a reply says it itself, error mail may not */
    if (event->code)
        buf_printf(&code, "%d", event->code);
    bool is_said = code.len && slice_starts(event->diagnostic, buf_slice(&code));
    if (event->code && !is_said)
        buf_printf(line, " %d", event->code);
    if (event->status[0] && !is_said)
        buf_printf(line, " %u.%u.%u", event->status[0], event->status[1], event->status[2]);
    buf_byte(line, ' ');
    utf8_append_inert(line, event->diagnostic.len ? event->diagnostic : event->note);
    while (line->len && line->ptr[line->len - 1] == ' ')
        line->len--;
}

static void line_write(const struct given *given, struct buf *line, const struct event *event)
{
    struct json json = {line};
    if (given->is_json)
        event_write(&json, event);
    else
        line_table(line, event);
    buf_byte(line, '\n');
}

static void print_event(void *context, const struct event *event)
{
    SCOPED(buf) line = BUF(LINE_MAX_BYTES);
    line_write(context, &line, event);
    fwrite(line.ptr, 1, line.len, stdout);
}

/* ── the newest ── */

struct newest {
    const struct given *given;
    struct arena *arena;
    struct newest_line {
        time_ms at;
        uint64_t id;
        struct slice text;
    } * lines;
    size_t count, room;
};

static void newest_take(void *context, const struct event *event)
{
    struct newest *newest = context;
    SCOPED(buf) line = BUF(LINE_MAX_BYTES);
    if (newest->count == newest->room)
        return;
    line_write(newest->given, &line, event);
    newest->lines[newest->count++] =
        (struct newest_line){event->at, event->id, arena_copy(newest->arena, buf_slice(&line))};
}

static int by_time(const void *one, const void *other)
{
    const struct newest_line *a = one, *b = other;
    return a->at != b->at ? (a->at > b->at) - (a->at < b->at) : (a->id > b->id) - (a->id < b->id);
}

/* Each bucket's newest `last`, of which the newest of all are among; the wish then stands behind them. */
static bool newest_print(struct desk *desk, const struct given *given, const struct brands *brands, uint64_t last,
                         struct event_wish *wish, struct fault *why)
{
    struct event_place now;
    struct newest newest = {.given = given, .arena = &desk->arena, .room = (size_t)last * ID_BUCKETS};
    bool has_more = last > 0;
    if (!event_place_now(desk->reader, &now, why))
        return false;
    for (size_t i = 0; i < ID_BUCKETS; i++)
        wish->place.seq[i] = now.seq[i] > last ? now.seq[i] - last : 0;
    newest.lines = ARENA_ARRAY(&desk->arena, struct newest_line, newest.room + 1);
    while (has_more) {
        size_t count;
        if (!event_page_next(desk->reader, wish, brands, &now, PAGE, newest_take, &newest, &count, &has_more, why))
            return false;
    }
    wish->place = now;
    qsort(newest.lines, newest.count, sizeof(*newest.lines), by_time);
    for (size_t i = newest.count > last ? newest.count - last : 0; i < newest.count; i++)
        fwrite(newest.lines[i].text.ptr, 1, newest.lines[i].text.len, stdout);
    return true;
}

/* ── on from a place ── */

static bool cursor_read(const char *path, struct event_place *place, struct fault *why)
{
    SCOPED(buf) text = {0};
    if (access(path, F_OK) != 0)
        return true;
    return file_read(path, EVENT_CURSOR_MAX, &text, why) &&
           (event_place_parse(slice_trim(buf_slice(&text)), place) ||
            fault_set(why, FAULT_INPUT, "%s: no cursor of `todoke event tail`", path));
}

/* Beside it and renamed, so that there is always one of the two. What is printed has gone out before. */
static bool cursor_write(const char *path, const struct event_place *place, struct fault *why)
{
    SCOPED(buf) text = BUF(EVENT_CURSOR_MAX + 1);
    char beside[4200];
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return fault_set(why, FAULT_INPUT, "--cursor: path too long");
    event_place_print(place, &text);
    buf_byte(&text, '\n');
    return file_write(beside, buf_slice(&text), why) && (rename(beside, path) == 0 || fault_errno(why, "%s", path));
}

static bool flushed(struct fault *why)
{
    return (fflush(stdout) == 0 && !ferror(stdout)) || fault_errno(why, "writing the events");
}

static bool go_on(struct desk *desk, const struct given *given, const struct brands *brands, struct event_wish *wish,
                  struct fault *why)
{
    for (;;) {
        size_t count;
        bool has_more;
        struct event_place before = wish->place;
        union {
            const struct given *given;
            void *context;
        } to = {given};
        if (!event_page_next(desk->reader, wish, brands, NULL, PAGE, print_event, to.context, &count, &has_more, why) ||
            !flushed(why))
            return false;
        bool has_moved = memcmp(&before, &wish->place, sizeof(before)) != 0;
        if (given->cursor && has_moved && !cursor_write(given->cursor, &wish->place, why))
            return false;
        if (!has_more && !given->follows)
            return true;
        if (!has_more)
            world_pause(&desk->world, FOLLOW_MS);
    }
}

static bool types_read(const char *text, uint64_t *kinds, struct fault *why)
{
    struct slice rest = slice_str(text), word;
    while (text && slice_split(&rest, ',', &word)) {
        enum event_kind kind;
        if (!event_of(slice_trim(word), &kind))
            return fault_set(why, FAULT_INPUT, "--type %.*s: no kind of event; bounced and delivered are some",
                             SLICE_ARG(word));
        *kinds |= EVENT_BIT(kind);
    }
    return true;
}

static bool tail(struct desk *desk, const struct given *given, struct fault *why)
{
    struct event_wish wish = {0};
    uint64_t last = LAST_USUAL, brand = 0;
    struct brands brands = {0};
    if (given->last && (!slice_to_u64(slice_str(given->last), &last) || last > LAST_MOST))
        return fault_set(why, FAULT_INPUT, "--last %s: a number from 0 to %d", given->last, LAST_MOST);
    if (!types_read(given->types, &wish.kinds, why))
        return false;
    if (given->campaign) {
        struct campaign campaign;
        if (!campaign_find(desk->reader, why, slice_str(given->campaign), &desk->arena, &campaign))
            return false;
        wish.campaign_id = campaign.id;
    }
    if (given->brand) {
        if (!desk_brand(desk, given->brand, &brand, why))
            return false;
        brands = (struct brands){&brand, 1};
    }
    if (!(given->cursor ? cursor_read(given->cursor, &wish.place, why)
                        : newest_print(desk, given, &brands, last, &wish, why)) ||
        !flushed(why))
        return false;
    return (!given->cursor && !given->follows) || go_on(desk, given, &brands, &wish, why);
}

int cmd_event(int argc, char **argv)
{
    struct given given = {0};
    const struct argument table[] = {
        {"--store", &given.store, NULL},  {"--last", &given.last, NULL},         {"--cursor", &given.cursor, NULL},
        {"--type", &given.types, NULL},   {"--campaign", &given.campaign, NULL}, {"--brand", &given.brand, NULL},
        {"--json", NULL, &given.is_json}, {"--follow", NULL, &given.follows},    {NULL, NULL, NULL},
    };
    struct arguments words;
    struct fault why = {0};
    if (!arguments_read(argc, argv, table, &words, &why))
        return command_fail("event", &why);
    if (words.wants_help || words.word_count != 1 || strcmp(words.words[0], "tail") != 0)
        return usage_tell("event", usage, &words);
    SCOPED(desk) desk;
    return desk_look(&desk, given.store, &why) && tail(&desk, &given, &why) ? 0 : command_fail("event", &why);
}
