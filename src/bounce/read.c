/* The order of asking: a complaint has its own form; a delivery status is structure and wins over words; a notification
 * in JSON; then free text, if the mail behaves like an error mail at all; then automatic answers; then reports. The
 * rest is ordinary mail.
 */
#include "bounce/read.h"

#include "base/buf.h"
#include "bounce/dsn.h"
#include "bounce/narrative.h"
#include "bounce/phrase.h"
#include "bounce/read_private.h"
#include "bounce/said.h"
#include "bounce/scan.h"

/* ---- rows and the original mail ---- */

struct bounce_row *row_add(struct reading *r, enum kind kind)
{
    struct bounce *b = r->bounce;
    if (b->row_count == BOUNCE_ROWS_MAX) {
        b->is_cut = true;
        return NULL;
    }
    if (b->row_count == r->row_room) {
        unsigned wider = r->row_room ? r->row_room * 4 : 1;
        struct bounce_row *fresh = arena_alloc(r->arena, wider * sizeof(*fresh));
        if (b->row_count)
            memcpy(fresh, b->rows, b->row_count * sizeof(*fresh));
        b->rows = fresh;
        r->row_room = wider;
    }
    struct bounce_row *row = &b->rows[b->row_count++];
    memset(row, 0, offsetof(struct bounce_row, facts));
    row->facts.count = 0;
    row->kind = kind;
    return row;
}

struct slice original_header(const struct reading *r, struct slice name)
{
    return r->original_part >= 0 ? mime_header(r->original, (unsigned)r->original_part, name) : (struct slice){0};
}

void original_take(struct reading *r, struct slice text)
{
    while (text.len && (ascii_is_space(text.ptr[0]) || text.ptr[0] == '-')) { /* blank lines and rules before it */
        size_t end = 0;                                                       /* of the line, whatever ends it */
        while (end < text.len && text.ptr[end] != '\n' && text.ptr[end] != '\r')
            end++;
        struct slice line = slice_head(text, end);
        bool is_filler = true;
        for (size_t i = 0; i < line.len && is_filler; i++)
            is_filler = ascii_is_space(line.ptr[i]) || line.ptr[i] == '-';
        if (!is_filler)
            break;
        text = slice_from(text, line.len + 1);
    }
    if (!text.len)
        return;
    struct mime_mail *mail = ARENA_NEW(r->arena, struct mime_mail);
    mime_read_head(slice_head(text, MIME_HEADER_BYTES_MAX), r->arena, mail);
    if (mail->header_count) {
        r->original = mail;
        r->original_part = 0;
    }
}

static void original_find(struct reading *r)
{
    const struct survey *s = &r->survey;
    r->original_part = PART_NONE;
    if (s->message_part != PART_NONE && r->mail->parts[s->message_part].header_count) {
        r->original = r->mail;
        r->original_part = s->message_part;
    } else if (s->headers_part != PART_NONE) {
        original_take(r, mime_body(&r->mail->parts[s->headers_part], MIME_HEADER_BYTES_MAX, r->arena));
    }
}

struct slice original_recipient(const struct reading *r)
{
    static const struct slice names[] = {SLICE_INIT("X-HmXmrOriginalRecipient"), SLICE_INIT("X-Failed-Recipients"),
                                         SLICE_INIT("To"), SLICE_INIT("X-Apparently-To"), SLICE_INIT("Delivered-To")};
    struct slice address[1];
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (mime_addresses(original_header(r, names[i]), address, 1))
            return address[0];
    return SLICE("");
}

static void original_tell(struct reading *r)
{
    struct bounce *b = r->bounce;
    if (!b->message_id.len)
        b->message_id = mime_angle(original_header(r, SLICE("Message-ID")));
    b->original_from = original_header(r, SLICE("From"));
    b->original_subject = original_header(r, SLICE("Subject"));
    b->original_token = original_header(r, SLICE("X-Todoke-Token"));
    if (!b->original_token.ptr)
        b->original_token = original_header(r, SLICE("Feedback-ID"));
}

/* ---- words ---- */

static struct slice entry_words_from(struct slice text, bool may_skip)
{
    text = slice_head(text, RULES_TEXT_MAX);
    ptrdiff_t reply = said_find(text);
    struct slice words = reply >= 0 ? slice_from(text, (size_t)reply) : slice_trim(text);
    char quote = reply > 0 ? text.ptr[reply - 1] : ' ';
    if (quote == '\'' || quote == '"') { /* Remote Server returned '550 5.1.1 ...' */
        ptrdiff_t close = slice_find_last_byte(words, quote);
        words = close > 0 ? slice_head(words, (size_t)close) : words;
    }
    for (size_t i = 0; i + 1 < words.len; i++) {
        if (words.ptr[i] != '\n')
            continue;
        struct slice line = slice_from(words, i + 1);
        if (reply >= 0 && line.len > 4 && ascii_is_digit(line.ptr[0]) && ascii_is_digit(line.ptr[1]) &&
            ascii_is_digit(line.ptr[2]) && line.ptr[3] == ' ' && memcmp(line.ptr, words.ptr, 3) != 0)
            return slice_head(words, i); /* another reply */
        size_t next = i + 1;
        while (next < words.len && (words.ptr[next] == ' ' || words.ptr[next] == '\t' || words.ptr[next] == '\r'))
            next++;
        if (next < words.len && words.ptr[next] == '\n') {
            struct slice paragraph = slice_trim(slice_head(words, i));
            bool is_title =
                may_skip && reply < 0 && paragraph.len < 40 && paragraph.len && paragraph.ptr[paragraph.len - 1] == ':';
            if (is_title && slice_trim(slice_from(words, next)).len) /* "because:" */
                return entry_words_from(slice_from(words, next), false);
            return slice_head(words, i);
        }
    }
    return words;
}

struct slice entry_words(struct slice text)
{
    return entry_words_from(text, true);
}

/* The words behind titles and rules: "------- Failure Reasons -------", "##########". */
static struct slice without_titles(struct slice text)
{
    text = slice_trim(text);
    while (text.len > 1 && memchr("-=#*_", text.ptr[0], 5) && text.ptr[1] == text.ptr[0]) {
        ptrdiff_t end = slice_find_byte(text, '\n');
        text = end >= 0 ? slice_trim(slice_from(text, (size_t)end)) : SLICE("");
    }
    return text;
}

/* ---- free text ---- */

static enum kind narrative_kind(const struct reading *r, const struct narrative *n)
{
    return survey_tells_delay(slice_head(n->text, 1024)) || survey_tells_delay(r->survey.subject) ? KIND_DELAY
                                                                                                  : KIND_BOUNCE;
}

static void narrative_row(struct reading *r, const struct narrative *n, struct slice recipient,
                          const struct narrative_entry *entry, enum kind kind)
{
    struct bounce_row *row = row_add(r, kind);
    if (!row)
        return;
    struct evidence evidence = {.session = entry ? n->reply : SLICE(""), .whole = slice_head(n->text, RULES_TEXT_MAX)};
    static const uint16_t none[3];
    row->recipient = recipient;
    row->reporting_mta = domain_of(r->survey.from_address);
    struct slice around = entry && entry->text.len ? entry->text : n->text;
    if (entry) {
        struct slice raw = entry_words(without_titles(entry->text));
        struct slice words = scan_squeeze(raw, r->arena);
        evidence.chunk = slice_head(entry->text, RULES_TEXT_MAX);
        row->diagnostic = entry->reply.len ? entry->reply : words;
        row->stage = entry->stage;
        bool is_refused_whole = n->reply.len && (n->stage == STAGE_MAIL || n->stage == STAGE_EHLO);
        if (is_refused_whole &&
            !entry->reply.len) { /* the sender was refused: what stands beside each recipient only follows */
            row->diagnostic = n->reply;
            row->stage = n->stage;
        }
        ptrdiff_t before = n->count == 1 && said_find(words) < 0 ? said_find(n->preamble) : SLICE_NPOS;
        if (before >= 0 && !entry->reply.len && !is_refused_whole) /* the reply is told first, the recipient after it */
            row->diagnostic = scan_squeeze(entry_words(slice_from(n->preamble, (size_t)before)), r->arena);
    }
    if (!row->diagnostic.len)
        row->diagnostic = n->reply;
    if (!row->diagnostic.len) {
        ptrdiff_t reply = said_find(n->text);
        struct slice before = without_titles(slice_head(n->preamble, RULES_TEXT_MAX));
        struct slice words = reply >= 0   ? entry_words(slice_from(n->text, (size_t)reply))
                             : before.len ? before
                                          : evidence.whole;
        row->diagnostic = scan_squeeze(words, r->arena);
    }
    row->diagnostic = slice_head(row->diagnostic, BOUNCE_DIAGNOSTIC_MAX);
    if (!row->stage)
        row->stage = scan_stage(slice_head(around, 1024));
    if (!row->stage)
        row->stage = n->stage;
    row->remote_mta = scan_speaker(around);
    struct slice text = diagnostic_read(r, row, none);
    if (!row->status[0] && entry && !said_find_status(slice_head(entry->text, RULES_TEXT_MAX), row->status))
        memset(row->status, 0, sizeof(row->status));
    evidence.is_own = entry && slice_equal_caseless(domain_of(r->survey.from_address), domain_of(recipient));
    row_judge(r, row, text, &evidence);
}

/* The one address in the text that is neither the mail's own nor the reporting host's, in words of whatever language;
 * empty where there are two, or none. */
static struct slice only_stranger(const struct reading *r, struct slice text)
{
    enum { LOOK_BYTES = 4096 };
    const struct survey *s = &r->survey;
    struct slice found = SLICE(""), address, sender[1] = {SLICE("")};
    size_t at = 0;
    mime_addresses(original_header(r, SLICE("From")), sender, 1);
    text = slice_head(text, LOOK_BYTES);
    while (scan_address(text, &at, &address)) {
        if (slice_equal_caseless(address, s->to_address) || slice_equal_caseless(address, s->from_address) ||
            slice_equal_caseless(address, sender[0]) || slice_equal_caseless(address, found) ||
            narrative_is_role(address))
            continue;
        if (found.len)
            return SLICE("");
        found = address;
    }
    return found;
}

/* X-Failed-Recipients is certain; the text may only greet somebody. */
static bool names_one_of(const struct narrative *n, const struct slice *addresses, size_t count)
{
    for (unsigned i = 0; i < n->count && i < 64; i++)
        for (size_t k = 0; k < count; k++)
            if (slice_equal_caseless(n->entries[i].recipient, addresses[k]))
                return true;
    return false;
}

static bool narrative_rows(struct reading *r, const struct narrative *n)
{
    enum kind kind = narrative_kind(r, n);
    struct slice addresses[32];
    struct slice failed = mime_header(r->mail, 0, SLICE("X-Failed-Recipients"));
    size_t count = mime_addresses(failed, addresses, COUNT_OF(addresses));
    bool is_named =
        !count || names_one_of(n, addresses, count) ||
        (n->count && n->entries[0].text.len > 40 && n->entries[0].strength == 3 && said_find(n->entries[0].text) >= 0);
    for (unsigned i = 0; i < n->count && is_named; i++)
        narrative_row(r, n, n->entries[i].recipient, &n->entries[i], kind);
    if (n->count && is_named)
        return true;
    for (size_t i = 0; i < count; i++)
        narrative_row(r, n, addresses[i], NULL, kind);
    if (count)
        return true;
    struct slice recipient = original_recipient(r);
    size_t at = 0;
    if (!recipient.len && !scan_address(r->survey.subject, &at, &recipient))
        recipient = only_stranger(r, n->text);
    narrative_row(r, n, recipient, NULL, kind);
    return true;
}

/* How much the mail behaves like an error mail; what an honest person's mail can reach stays below the threshold. */
static bool is_error_mail(const struct reading *r, const struct narrative *n)
{
    const struct survey *s = &r->survey;
    struct slice opening = slice_head(n->text, 3000);
    bool tells = survey_tells_failure(opening) || survey_tells_delay(opening);
    bool has_list =
        mime_header(r->mail, 0, SLICE("List-Unsubscribe")).ptr || mime_header(r->mail, 0, SLICE("List-Id")).ptr;
    bool is_title = s->is_bounce_title && !s->is_answer;
    /* an address that failed, a reply, or the mail itself: a parcel that could not be delivered has none of them */
    bool is_about_mail =
        s->has_failed_recipients || n->reply.len || n->fields.len || n->original.len || r->original_part != PART_NONE;
    if (!is_about_mail && !n->count && !(s->is_daemon && is_title) && said_find(opening) < 0 &&
        !only_stranger(r, opening).len)
        return false;
    int score = 0;
    score += s->is_daemon ? 3 : 0;
    score += s->has_null_path ? 2 : 0;
    score += is_title ? 3 : 0;
    score += s->has_failed_recipients ? 4 : 0;
    bool is_list_software =
        mime_header(r->mail, 0, SLICE("X-MLServer")).ptr || mime_header(r->mail, 0, SLICE("X-List-Administrivia")).ptr;
    score += is_list_software ? 2 : 0; /* it answers for the list */
    score += tells ? 2 : 0;
    score += s->is_auto ? 1 : 0;
    score += n->reply.len ? 1 : 0;
    score -= s->is_auto_title ? 3 : 0;
    score -= s->is_answer && !s->is_daemon ? 3 : 0;
    bool is_program = s->is_daemon || s->has_null_path || s->is_auto || is_list_software || is_about_mail;
    score -= is_program ? 0 : 2; /* a person who asks why a mail came back uses the same words */
    score -= has_list ? 6 : 0;   /* no program puts that on its error mail */
    score -= !s->has_null_path && mime_header(r->mail, 0, SLICE("User-Agent")).ptr ? 2 : 0;
    return score >= 5 || (score >= 4 && (tells || n->count));
}

/* ---- forgery ---- */

/* A phish dressed as an error mail: it asks to click, and has none of the structure that a program gives (S12, S16). */
static bool is_phish(const struct reading *r, struct slice text)
{
    const struct survey *s = &r->survey;
    if (s->status_part != PART_NONE || s->has_failed_recipients || s->has_null_path || s->html_part == PART_NONE ||
        r->original_part != PART_NONE)
        return false;
    struct slice html = mime_body(&r->mail->parts[s->html_part], 65536, r->arena);
    bool has_link = slice_find(html, SLICE("http")) >= 0;
    return has_link && survey_tells_lure(text) && said_find(slice_head(text, 4096)) < 0;
}

/* ---- all together ---- */

static bool bounce_rows(struct reading *r, struct slice text);

static bool is_dsn_mail(const struct reading *r)
{
    const struct survey *s = &r->survey;
    if (s->status_part == PART_NONE)
        return false;
    const struct mime_part *parent = &r->mail->parts[r->mail->parts[s->status_part].parent];
    if (mime_is(parent, "multipart", "report") || mime_is(&r->mail->parts[0], "message", "delivery-status"))
        return !s->is_answer || s->is_daemon || s->has_null_path;
    return s->is_daemon || s->has_null_path || (s->is_bounce_title && !s->is_answer);
}

/* An error mail around another one (a filter that wraps what it passes on, a list that forwards): the inner one knows
 * more. Only where the outer names nobody; one level deep. */
static bool nested_rows(struct reading *r, const struct narrative *n)
{
    const struct survey *s = &r->survey;
    struct slice inner = n->original;
    if (s->message_part != PART_NONE) {
        const struct mime_part *part = &r->mail->parts[s->message_part];
        inner = slice_of(part->head.ptr, (size_t)(part->body.ptr + part->body.len - part->head.ptr));
    }
    while (inner.len && (ascii_is_space(inner.ptr[0]) || inner.ptr[0] == '-'))
        inner = slice_from(inner, 1);
    if (!inner.len || r->is_nested)
        return false;
    struct mime_mail *mail = ARENA_NEW(r->arena, struct mime_mail);
    mime_read(inner, r->arena, mail);
    struct reading deeper = {
        .mail = mail, .rules = r->rules, .scratch = r->scratch, .arena = r->arena, .is_nested = true};
    struct bounce found = {0};
    deeper.bounce = &found;
    survey_take(mail, r->arena, &deeper.survey);
    original_find(&deeper);
    if (!deeper.survey.is_daemon || !bounce_rows(&deeper, survey_text(&deeper.survey, NARRATIVE_BYTES_MAX)))
        return false;
    r->bounce->rows = found.rows;
    r->bounce->row_count = found.row_count;
    r->original = deeper.original;
    r->original_part = deeper.original_part;
    return found.row_count > 0;
}

static bool bounce_rows(struct reading *r, struct slice text)
{
    const struct survey *s = &r->survey;
    struct narrative n;
    narrative_read(text, s->from_address, s->to_address, r->arena, &n);
    if (is_dsn_mail(r)) {
        struct slice fields = mime_body_text(&r->mail->parts[s->status_part], 8 << 20, r->arena);
        if (dsn_rows(r, fields, &n))
            return true;
    }
    if (notify_read(r, text))
        return true;
    if (!is_error_mail(r, &n))
        return false;
    if (!n.count && !n.fields.len && !s->has_failed_recipients && nested_rows(r, &n))
        return true;
    if (r->original_part == PART_NONE && n.original.len)
        original_take(r, n.original);
    if (n.fields.len && dsn_rows(r, n.fields, &n))
        return true;
    return narrative_rows(r, &n);
}

static enum kind kind_of_mail(const struct bounce *b)
{
    enum kind kind = b->row_count ? b->rows[0].kind : KIND_NONE;
    for (unsigned i = 1; i < b->row_count; i++)
        if (b->rows[i].kind == KIND_BOUNCE)
            return KIND_BOUNCE;
    return kind;
}

void bounce_read(const struct mime_mail *mail, const struct rules *rules, struct rules_scratch *scratch,
                 struct arena *arena, struct bounce *bounce)
{
    *bounce = (struct bounce){.authenticity = AUTHENTICITY_UNVERIFIED, .is_cut = mail->over != MIME_WHOLE};
    struct reading r = {.mail = mail, .rules = rules, .scratch = scratch, .arena = arena, .bounce = bounce};
    survey_take(mail, arena, &r.survey);
    original_find(&r);
    struct slice text = SLICE("");
    bool is_read = complaint_read(&r);
    if (!is_read) {
        text = survey_text(&r.survey, NARRATIVE_BYTES_MAX);
        is_read = bounce_rows(&r, text) || autoreply_read(&r, text) || report_read(&r);
    }
    if (!is_read)
        return;
    original_tell(&r);
    bounce->kind = kind_of_mail(bounce);
    for (unsigned i = 0; i < bounce->row_count; i++)
        if (bounce->rows[i].diagnostic.len)
            facts_find(bounce->rows[i].diagnostic, arena, &bounce->rows[i].facts);
    if ((bounce->kind == KIND_BOUNCE || bounce->kind == KIND_DELAY) && is_phish(&r, text))
        bounce->authenticity = AUTHENTICITY_FORGED;
}
