/* read_dsn.c - rows from a delivery status (RFC 3464), with what the text beside it says of each recipient */
#include "bounce/dsn.h"
#include "bounce/narrative.h"
#include "bounce/phrase.h"
#include "bounce/read_private.h"
#include "bounce/said.h"
#include "bounce/scan.h"

static enum kind kind_of_action(struct slice action)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("failed"), KIND_BOUNCE},     {SLICE_INIT("failure"), KIND_BOUNCE},
        {SLICE_INIT("delayed"), KIND_DELAY},     {SLICE_INIT("delivered"), KIND_DELIVERED},
        {SLICE_INIT("relayed"), KIND_DELIVERED}, {SLICE_INIT("expanded"), KIND_DELIVERED},
        {SLICE_INIT("expired"), KIND_BOUNCE},
    };
    static struct phrases set = PHRASES(rows);
    return (enum kind)scan_phrase(slice_head(action, 32), &set, KIND_NONE);
}

/* Without an Action: by the class of its status (RFC 3463). */
static enum kind kind_of_recipient(const struct dsn_recipient *recipient)
{
    enum kind kind = kind_of_action(recipient->action);
    if (kind != KIND_NONE)
        return kind;
    return recipient->status[0] == 2 ? KIND_DELIVERED : KIND_BOUNCE;
}

static const struct narrative_entry *entry_of(const struct narrative *n, struct slice recipient, struct slice original)
{
    for (unsigned i = 0; i < n->count && i < 64; i++)
        if (slice_equal_caseless(n->entries[i].recipient, recipient) ||
            (original.len && slice_equal_caseless(n->entries[i].recipient, original)))
            return &n->entries[i];
    return n->count == 1 ? &n->entries[0] : NULL;
}

static bool has_address(struct slice recipient)
{
    return memchr(recipient.len ? recipient.ptr : "", '@', recipient.len) != NULL;
}

static void dsn_row(struct reading *r, const struct dsn *dsn, const struct dsn_recipient *recipient,
                    const struct narrative *n)
{
    struct bounce_row *row = row_add(r, kind_of_recipient(recipient));
    if (!row)
        return;
    row->recipient = has_address(recipient->final) || !recipient->original.len ? recipient->final : recipient->original;
    row->original = slice_equal_caseless(recipient->original, row->recipient) ? SLICE("") : recipient->original;
    row->action = recipient->action;
    row->reporting_mta = dsn->reporting_mta;
    row->remote_mta = recipient->remote_mta;
    row->diagnostic = recipient->diagnostic;
    const struct narrative_entry *entry =
        r->bounce->row_count <= CROWD ? entry_of(n, row->recipient, row->original) : NULL;
    struct evidence evidence = {.whole = slice_head(n->text, RULES_TEXT_MAX), .comment = recipient->comment};
    if (entry) {
        evidence.chunk = entry_words(entry->text);
        if (!row->diagnostic.len || (said_find(row->diagnostic) < 0 && entry->reply.len))
            row->diagnostic = entry->reply.len ? entry->reply : row->diagnostic;
        if (!row->diagnostic.len)
            row->diagnostic = slice_head(scan_squeeze(evidence.chunk, r->arena), BOUNCE_DIAGNOSTIC_MAX);
        row->stage = entry->stage;
        if (!row->stage)
            row->stage = scan_stage(slice_head(entry->text, 1024));
        if (!row->remote_mta.len)
            row->remote_mta = scan_speaker(entry->text);
    }
    if (!row->stage)
        row->stage = scan_stage(row->diagnostic);
    if (!row->stage && n->stage)
        row->stage = n->stage;
    if (!row->diagnostic.len)
        row->diagnostic = n->reply;
    bool is_exit_status = slice_equal_caseless(recipient->diagnostic_type, SLICE("x-unix"));
    struct slice said_by_program = row->diagnostic;
    if (is_exit_status && n->reply.len) /* "255": what the transcript says has a code */
        row->diagnostic = n->reply;
    struct slice text = diagnostic_read(r, row, recipient->status);
    if (is_exit_status) {
        row->code = n->reply.len ? row->code : 0;
        text = arena_printf(r->arena, "x-unix; %.*s", SLICE_ARG(said_by_program));
    }
    row_judge(r, row, text, &evidence);
}

bool dsn_rows(struct reading *r, struct slice fields, const struct narrative *n)
{
    struct dsn dsn;
    if (!dsn_read(fields, r->arena, &dsn))
        return false;
    for (unsigned i = 0; i < dsn.count; i++)
        dsn_row(r, &dsn, &dsn.recipients[i], n);
    r->bounce->is_cut = r->bounce->is_cut || dsn.is_cut;
    return r->bounce->row_count > 0;
}
