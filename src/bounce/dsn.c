#include "bounce/dsn.h"

#include "base/buf.h"
#include "bounce/read.h"
#include "bounce/said.h"
#include "bounce/scan.h"

enum field { FIELD_NONE, FINAL, ORIGINAL, ACTION, STATUS, DIAGNOSTIC, REMOTE, REPORTING, SENDER, ENVELOPE, ACTUAL };

static enum field field_of(struct slice name)
{
    static const struct {
        struct slice name;
        enum field field;
    } rows[] = {
        {SLICE_INIT("final-recipient"), FINAL},
        {SLICE_INIT("original-recipient"), ORIGINAL},
        {SLICE_INIT("action"), ACTION},
        {SLICE_INIT("status"), STATUS},
        {SLICE_INIT("diagnostic-code"), DIAGNOSTIC},
        {SLICE_INIT("remote-mta"), REMOTE},
        {SLICE_INIT("reporting-mta"), REPORTING},
        {SLICE_INIT("x-postfix-sender"), SENDER},
        {SLICE_INIT("original-envelope-id"), ENVELOPE},
        {SLICE_INIT("x-actual-recipient"), ACTUAL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (name.len == rows[i].name.len && slice_equal_caseless(name, rows[i].name))
            return rows[i].field;
    return FIELD_NONE;
}

/* "smtp; 550 5.1.1 ..." -> type and text. A type is one word before the first ";". */
static void diagnostic_take(struct slice value, struct dsn_recipient *to, struct arena *arena)
{
    ptrdiff_t semicolon = slice_find_byte(slice_head(value, 32), ';');
    bool has_type = semicolon > 0;
    for (ptrdiff_t i = 0; i < semicolon; i++)
        has_type = has_type && !ascii_is_space(value.ptr[i]);
    struct slice text = slice_trim(has_type ? slice_from(value, (size_t)semicolon + 1) : value);
    if (has_type && !to->diagnostic_type.len)
        to->diagnostic_type = slice_head(value, (size_t)semicolon);
    text = scan_squeeze(slice_head(text, BOUNCE_DIAGNOSTIC_MAX), arena);
    if (!to->diagnostic.len) {
        to->diagnostic = text;
        return;
    }
    if (text.len && to->diagnostic.len + text.len < BOUNCE_DIAGNOSTIC_MAX)
        to->diagnostic = arena_printf(arena, "%.*s %.*s", SLICE_ARG(to->diagnostic), SLICE_ARG(text));
}

static bool has_dotted_domain(struct slice address)
{
    ptrdiff_t at = slice_find_last_byte(address, '@');
    return at > 0 && slice_find_byte(slice_from(address, (size_t)at), '.') > 0;
}

static struct dsn_recipient *recipient_add(struct dsn *dsn, unsigned *room, struct arena *arena)
{
    if (dsn->count == *room) {
        unsigned wider = *room ? *room * 4 : 4;
        struct dsn_recipient *fresh = ARENA_ARRAY(arena, struct dsn_recipient, wider);
        if (dsn->count)
            memcpy(fresh, dsn->recipients, dsn->count * sizeof(*fresh));
        dsn->recipients = fresh;
        *room = wider;
    }
    return &dsn->recipients[dsn->count++];
}

bool dsn_read(struct slice body, struct arena *arena, struct dsn *dsn)
{
    *dsn = (struct dsn){0};
    struct dsn_recipient now = {0};
    unsigned room = 0, seen = 0; /* bits of fields in `now` */
    struct slice rest = body, line;
    bool is_over = false;
    while (!is_over) {
        is_over = !slice_line(&rest, &line);
        if (is_over)
            line = SLICE("");
        struct slice trimmed = slice_trim(line);
        ptrdiff_t colon = trimmed.len ? slice_find_byte(line, ':') : SLICE_NPOS;
        enum field field = colon > 0 ? field_of(slice_trim(slice_head(line, (size_t)colon))) : FIELD_NONE;
        bool is_new = !trimmed.len || (field && seen & 1u << FINAL && seen & 1u << field && field != DIAGNOSTIC);
        if (is_new && seen & (1u << FINAL | 1u << ORIGINAL)) {
            if (dsn->count == BOUNCE_ROWS_MAX) {
                dsn->is_cut = true;
                break;
            }
            if (!now.final.len || (!has_dotted_domain(now.final) && has_dotted_domain(now.original)))
                now.final = now.original;
            if (!now.diagnostic.len)
                now.diagnostic = now.comment;
            *recipient_add(dsn, &room, arena) = now;
            now = (struct dsn_recipient){0};
            seen = 0;
        }
        if (field == FIELD_NONE)
            continue;
        /* the value with its folded lines */
        struct slice value = slice_from(line, (size_t)colon + 1);
        while (rest.len && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t')) {
            struct slice more, saved = rest;
            slice_line(&rest, &more);
            if (!slice_trim(more).len) {
                rest = saved;
                break;
            }
            value.len = (size_t)(more.ptr + more.len - value.ptr);
        }
        value = slice_trim(value);
        seen |= 1u << field;
        switch (field) {
        case FINAL: now.final = scan_typed_address(value); break;
        case ORIGINAL: now.original = scan_typed_address(value); break;
        case ACTION: now.action = value; break;
        case STATUS:
            if (!said_find_status(value, now.status))
                memset(now.status, 0, sizeof(now.status));
            ptrdiff_t open = slice_find_byte(value, '(');
            if (open > 0 && value.ptr[value.len - 1] == ')') /* "5.0.0 (host name lookup failure)" */
                now.comment = scan_squeeze(slice_of(value.ptr + open + 1, value.len - (size_t)open - 2), arena);
            break;
        case DIAGNOSTIC: diagnostic_take(value, &now, arena); break;
        case REMOTE: now.remote_mta = scan_host(value); break;
        case REPORTING: dsn->reporting_mta = scan_host(value); break;
        case SENDER: dsn->sender = scan_typed_address(value); break;
        case ENVELOPE: dsn->original_envelope_id = value; break;
        case ACTUAL:
        case FIELD_NONE: break;
        }
    }
    return dsn->count > 0;
}

bool dsn_begins(struct slice line)
{
    static const struct slice starts[] = {SLICE_INIT("Reporting-MTA:"), SLICE_INIT("Final-Recipient:"),
                                          SLICE_INIT("Original-Recipient:"), SLICE_INIT("Original-Envelope-Id:")};
    char first = line.len ? line.ptr[0] | 0x20 : 0;
    if (first != 'r' && first != 'f' && first != 'o')
        return false;
    for (size_t i = 0; i < COUNT_OF(starts); i++)
        if (slice_starts_caseless(line, starts[i]))
            return true;
    return false;
}
