/* dmarc_xml.c - DMARC aggregate reports: XML events into rows
 *
 * libxml2's SAX parser is fed in pieces that were made harmless before it sees them: UTF-8 whatever they were, no
 * control characters, no "&" that begins nothing. A DTD ends it; so entities cannot be declared, and an undeclared one
 * is a fault. Element names are matched by their local part in any case, so any namespace, or none, will do. */
#include "base/memory.h"
#include "base/utf8.h"
#include "feedback/private.h"
#include "mime/charset.h"
#include "net/ip.h"
#include <libxml/parser.h>

enum { PIECE = 64 << 10, DEPTH_MAX = 64, SKIPPED_MAX = 1000, ATTRIBUTES_MAX = 256 };

/* Where in the report we are; what is not known is skipped with all that is in it. */
enum place {
    PLACE_OUTSIDE,
    PLACE_FEEDBACK,
    PLACE_METADATA,
    PLACE_RANGE,
    PLACE_POLICY,
    PLACE_RECORD,
    PLACE_ROW,
    PLACE_EVALUATED,
    PLACE_REASON,
    PLACE_IDENTIFIERS,
    PLACE_AUTH,
    PLACE_DKIM,
    PLACE_SPF,
    PLACE_OTHER,
};
static const struct {
    enum place outer;
    struct slice name;
    enum place inner;
} containers[] = {
    {PLACE_OUTSIDE, SLICE_INIT("feedback"), PLACE_FEEDBACK},
    {PLACE_FEEDBACK, SLICE_INIT("report_metadata"), PLACE_METADATA},
    {PLACE_METADATA, SLICE_INIT("date_range"), PLACE_RANGE},
    {PLACE_FEEDBACK, SLICE_INIT("policy_published"), PLACE_POLICY},
    {PLACE_FEEDBACK, SLICE_INIT("record"), PLACE_RECORD},
    {PLACE_RECORD, SLICE_INIT("row"), PLACE_ROW},
    {PLACE_ROW, SLICE_INIT("policy_evaluated"), PLACE_EVALUATED},
    {PLACE_EVALUATED, SLICE_INIT("reason"), PLACE_REASON},
    {PLACE_RECORD, SLICE_INIT("identifiers"), PLACE_IDENTIFIERS},
    {PLACE_RECORD, SLICE_INIT("identities"), PLACE_IDENTIFIERS}, /* as drafts before RFC 7489 called them */
    {PLACE_RECORD, SLICE_INIT("auth_results"), PLACE_AUTH},
    {PLACE_AUTH, SLICE_INIT("dkim"), PLACE_DKIM},
    {PLACE_AUTH, SLICE_INIT("spf"), PLACE_SPF},
};

/* One record while it is read. */
struct record {
    struct dmarc_row row;
    struct dmarc_override overrides[FEEDBACK_AUTH_MAX];
    struct dmarc_auth dkim[FEEDBACK_AUTH_MAX], spf[FEEDBACK_AUTH_MAX];
    struct slice count;
};
struct xml_reading {
    struct arena *arena;
    struct feedback *feedback;
    struct fault *why;
    xmlParserCtxtPtr parser;
    enum place places[DEPTH_MAX];
    unsigned depth, skipped; /* elements deeper than DEPTH_MAX */
    bool has_root, has_failed;
    bool is_in_tag; /* of the bytes that were fed */
    char quote;     /* in a tag: the quotation mark that is open, or 0 */
    unsigned attributes;
    char text[FEEDBACK_TEXT_MAX];
    size_t text_len;
    struct record record;
    unsigned room;
    struct slice begin, end;
};

static void stop(struct xml_reading *r, enum fault_kind kind, const char *what)
{
    if (!r->has_failed)
        fault_set(r->why, kind, "line %d: %s", xmlSAX2GetLineNumber(r->parser), what);
    r->has_failed = true;
    xmlStopParser(r->parser);
}

static enum place place_of(const struct xml_reading *r)
{
    return r->depth ? r->places[r->depth - 1] : PLACE_OUTSIDE;
}

/* ── where a value belongs ── */

struct value_slot {
    const char *name;
    size_t offset;
    bool is_word; /* kept in lower case */
};
#define SLOT(type, member, is_word)                                                                                    \
    {                                                                                                                  \
#member, offsetof(type, member), is_word                                                                       \
    }
static const struct value_slot policy_slots[] = {
    SLOT(struct dmarc_policy_said, domain, true), SLOT(struct dmarc_policy_said, discovery_method, true),
    SLOT(struct dmarc_policy_said, adkim, true),  SLOT(struct dmarc_policy_said, aspf, true),
    SLOT(struct dmarc_policy_said, p, true),      SLOT(struct dmarc_policy_said, sp, true),
    SLOT(struct dmarc_policy_said, np, true),     SLOT(struct dmarc_policy_said, pct, true),
    SLOT(struct dmarc_policy_said, fo, false),    SLOT(struct dmarc_policy_said, testing, true),
};
static const struct value_slot row_slots[] = {
    SLOT(struct dmarc_row, disposition, true),
    SLOT(struct dmarc_row, dkim, true),
    SLOT(struct dmarc_row, spf, true),
};
static const struct value_slot identifier_slots[] = {
    SLOT(struct dmarc_row, header_from, true),
    SLOT(struct dmarc_row, envelope_from, true),
    SLOT(struct dmarc_row, envelope_to, true),
};
static const struct value_slot override_slots[] = {
    SLOT(struct dmarc_override, type, true),
    SLOT(struct dmarc_override, comment, false),
};
static const struct value_slot auth_slots[] = {
    SLOT(struct dmarc_auth, domain, true),
    SLOT(struct dmarc_auth, selector, true),
    SLOT(struct dmarc_auth, scope, true),
    SLOT(struct dmarc_auth, result, true),
    {"human_result", offsetof(struct dmarc_auth, human), false},
};

static void slot_set(struct xml_reading *r, void *to, const struct value_slot *slots, size_t count, struct slice name,
                     struct slice text)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_caseless(name, slice_str(slots[i].name)))
            *(struct slice *)(void *)((char *)to + slots[i].offset) =
                slots[i].is_word ? feedback_lower(text, r->arena) : arena_copy(r->arena, text);
}
#define SLOT_SET(r, to, slots, name, text) slot_set((r), (to), (slots), COUNT_OF(slots), (name), (text))

static void metadata_set(struct xml_reading *r, struct slice name, struct slice text)
{
    struct feedback *f = r->feedback;
    struct slice copy = arena_copy(r->arena, text);
    if (slice_equal_caseless(name, SLICE("org_name")))
        f->org = copy;
    else if (slice_equal_caseless(name, SLICE("email")))
        f->email = copy;
    else if (slice_equal_caseless(name, SLICE("extra_contact_info")))
        f->contact = copy;
    else if (slice_equal_caseless(name, SLICE("report_id")))
        f->report_id = copy;
    else if (slice_equal_caseless(name, SLICE("generator")))
        f->generator = copy;
    else if (slice_equal_caseless(name, SLICE("error")) && f->error_count < FEEDBACK_ERRORS_MAX)
        f->errors[f->error_count++] = copy;
}

static struct slice address_normal(struct xml_reading *r, struct slice text)
{
    struct ip ip;
    char normal[IP_TEXT_ROOM];
    return arena_copy(r->arena, ip_parse(text, &ip) ? slice_str(ip_text(&ip, normal)) : text);
}

static void value_set(struct xml_reading *r, struct slice name, struct slice text)
{
    struct record *record = &r->record;
    struct dmarc_row *row = &record->row;
    switch (place_of(r)) {
    case PLACE_FEEDBACK:
        if (slice_equal_caseless(name, SLICE("version")))
            r->feedback->version = arena_copy(r->arena, text);
        return;
    case PLACE_METADATA: metadata_set(r, name, text); return;
    case PLACE_RANGE:
        if (slice_equal_caseless(name, SLICE("begin")))
            r->begin = arena_copy(r->arena, text);
        else if (slice_equal_caseless(name, SLICE("end")))
            r->end = arena_copy(r->arena, text);
        return;
    case PLACE_POLICY: SLOT_SET(r, &r->feedback->policy, policy_slots, name, text); return;
    case PLACE_ROW:
        if (slice_equal_caseless(name, SLICE("source_ip")))
            row->source_ip = address_normal(r, text);
        else if (slice_equal_caseless(name, SLICE("count")))
            row->count = feedback_count(text);
        return;
    case PLACE_EVALUATED: SLOT_SET(r, row, row_slots, name, text); return;
    case PLACE_IDENTIFIERS: SLOT_SET(r, row, identifier_slots, name, text); return;
    case PLACE_REASON:
        if (row->override_count < FEEDBACK_AUTH_MAX)
            SLOT_SET(r, &record->overrides[row->override_count], override_slots, name, text);
        return;
    case PLACE_DKIM:
        if (row->dkim_count < FEEDBACK_AUTH_MAX)
            SLOT_SET(r, &record->dkim[row->dkim_count], auth_slots, name, text);
        return;
    case PLACE_SPF:
        if (row->spf_count < FEEDBACK_AUTH_MAX)
            SLOT_SET(r, &record->spf[row->spf_count], auth_slots, name, text);
        return;
    case PLACE_OUTSIDE:
    case PLACE_RECORD:
    case PLACE_AUTH:
    case PLACE_OTHER: return;
    }
}

/* ── elements ── */

static void *kept(struct xml_reading *r, const void *from, unsigned count, size_t size)
{
    if (!count)
        return NULL;
    void *copy = arena_alloc(r->arena, count * size);
    memcpy(copy, from, count * size);
    return copy;
}

static void record_end(struct xml_reading *r)
{
    struct feedback *f = r->feedback;
    struct record *record = &r->record;
    if (f->row_count == FEEDBACK_ROWS_MAX) {
        f->is_cut = true;
        return;
    }
    if (f->row_count == r->room) {
        unsigned wider = r->room ? r->room * 2 : 16;
        struct dmarc_row *rows = ARENA_ARRAY(r->arena, struct dmarc_row, wider);
        if (f->row_count)
            memcpy(rows, f->rows, f->row_count * sizeof(*rows));
        f->rows = rows;
        r->room = wider;
    }
    struct dmarc_row *row = &f->rows[f->row_count++];
    *row = record->row;
    row->overrides = kept(r, record->overrides, row->override_count, sizeof(*row->overrides));
    row->dkim_results = kept(r, record->dkim, row->dkim_count, sizeof(*row->dkim_results));
    row->spf_results = kept(r, record->spf, row->spf_count, sizeof(*row->spf_results));
}

static void container_end(struct xml_reading *r, enum place place)
{
    struct dmarc_row *row = &r->record.row;
    if (place == PLACE_RECORD)
        record_end(r);
    row->override_count += place == PLACE_REASON && row->override_count < FEEDBACK_AUTH_MAX;
    row->dkim_count += place == PLACE_DKIM && row->dkim_count < FEEDBACK_AUTH_MAX;
    row->spf_count += place == PLACE_SPF && row->spf_count < FEEDBACK_AUTH_MAX;
}

static void on_start(void *self, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri, int spaces,
                     const xmlChar **space, int attributes, int defaulted, const xmlChar **attribute)
{
    struct xml_reading *r = self;
    struct slice name = slice_str((const char *)local);
    enum place outer = place_of(r), inner = PLACE_OTHER;
    r->text_len = 0;
    for (size_t i = 0; i < COUNT_OF(containers); i++)
        if (containers[i].outer == outer && slice_equal_caseless(name, containers[i].name))
            inner = containers[i].inner;
    if (r->depth == 0 && inner != PLACE_FEEDBACK) {
        stop(r, FAULT_INPUT, "this XML is no DMARC report: its first element is not <feedback>");
        return;
    }
    if (r->depth == DEPTH_MAX) {
        if (r->skipped++ == SKIPPED_MAX) /* libxml2 takes longer the deeper it is */
            stop(r, FAULT_INPUT, "more than 1,000 elements inside each other");
        return;
    }
    if (inner == PLACE_FEEDBACK && uri)
        r->feedback->space = arena_copy(r->arena, slice_head(slice_str((const char *)uri), FEEDBACK_TEXT_MAX));
    if (inner == PLACE_RECORD)
        r->record = (struct record){0};
    r->has_root = true;
    r->places[r->depth++] = inner;
}

static void on_end(void *self, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri)
{
    struct xml_reading *r = self;
    if (r->skipped) {
        r->skipped--;
        return;
    }
    enum place place = r->depth ? r->places[--r->depth] : PLACE_OUTSIDE;
    if (place == PLACE_OTHER)
        value_set(r, slice_str((const char *)local), slice_trim(slice_of(r->text, r->text_len)));
    else
        container_end(r, place);
    r->text_len = 0;
}

static void on_text(void *self, const xmlChar *text, int len)
{
    struct xml_reading *r = self;
    size_t room = sizeof(r->text) - r->text_len, take = (size_t)len < room ? (size_t)len : room;
    memcpy(r->text + r->text_len, text, take);
    r->text_len += take;
    if (r->text_len == sizeof(r->text))
        r->text_len = utf8_head(slice_of(r->text, r->text_len), sizeof(r->text) - 1).len;
}

static void on_dtd(void *self, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    stop(self, FAULT_INPUT, "a document type is declared, which is not read: reports have none");
}

static void on_error(void *self, xmlErrorPtr error)
{
    struct xml_reading *r = self;
    if (r->has_failed || error->level != XML_ERR_FATAL)
        return;
    struct slice text = slice_trim(slice_str(error->message));
    r->has_failed = true;
    fault_set(r->why, FAULT_INPUT, "line %d: the XML is broken: %.*s", error->line, SLICE_ARG(slice_head(text, 200)));
}

static xmlEntityPtr no_entity(void *self, const xmlChar *name)
{
    return xmlGetPredefinedEntity(name);
}

/* ── bytes made harmless ── */

/* "&" that begins "&name;" or "&#12;" is left alone. */
static bool begins_reference(struct slice text)
{
    for (size_t i = 1; i < text.len && i < 34; i++) {
        if (text.ptr[i] == ';')
            return i > 1;
        if (!ascii_is_alnum(text.ptr[i]) && !(i == 1 && text.ptr[i] == '#'))
            return false;
    }
    return false;
}

/* libxml2 compares each attribute of an element with every other: so many are refused before it sees them. */
static void tag_follow(struct xml_reading *r, struct slice text)
{
    char c = text.ptr[0];
    if (!r->is_in_tag) {
        r->is_in_tag = c == '<' && text.len > 1 && !memchr("!?/", text.ptr[1], 3);
        r->quote = 0;
        r->attributes = 0;
    } else if (r->quote) {
        r->quote = c == r->quote ? 0 : r->quote;
    } else if (c == '"' || c == '\'') {
        r->quote = c;
    } else if (c == '>') {
        r->is_in_tag = false;
    } else if (c == '=' && ++r->attributes > ATTRIBUTES_MAX) {
        stop(r, FAULT_LIMIT, "an element has more attributes than any report");
    }
}

/* The next bytes of the text, at most about PIECE, as XML may have them. */
static void piece_take(struct xml_reading *r, struct slice *text, struct buf *piece)
{
    buf_reset(piece);
    while (text->len && piece->len < PIECE && !r->has_failed) {
        tag_follow(r, *text);
        unsigned char c = (unsigned char)text->ptr[0];
        if (c == '&' && !begins_reference(*text)) {
            buf_text(piece, "&amp;");
            *text = slice_from(*text, 1);
        } else if (c < 0x80) {
            buf_byte(piece, c >= ' ' || c == '\t' || c == '\n' || c == '\r' ? (char)c : ' ');
            *text = slice_from(*text, 1);
        } else {
            int32_t point = utf8_next(text);
            utf8_append(piece, point == 0xfffe || point == 0xffff ? UTF8_REPLACEMENT : (uint32_t)point);
        }
    }
}

/* Without byte order mark and XML declaration; what that said of the encoding. */
static struct slice declaration_skip(struct slice xml, struct slice *encoding)
{
    *encoding = SLICE("");
    if (slice_starts(xml, SLICE("\xff\xfe")) || slice_starts(xml, SLICE("\xfe\xff")))
        *encoding = SLICE("utf-16");
    if (slice_starts(xml, SLICE("\xef\xbb\xbf")))
        xml = slice_from(xml, 3);
    xml = slice_trim(xml);
    if (!slice_starts(xml, SLICE("<?xml")))
        return xml;
    ptrdiff_t end = slice_find(slice_head(xml, 1024), SLICE("?>"));
    if (end < 0)
        return xml;
    struct slice said = slice_head(xml, (size_t)end);
    ptrdiff_t at = slice_find_caseless(said, SLICE("encoding"));
    said = at >= 0 ? slice_from(said, (size_t)at + 8) : SLICE("");
    while (said.len && (ascii_is_space(said.ptr[0]) || memchr("=\"'", said.ptr[0], 3)))
        said = slice_from(said, 1);
    while (encoding->len < said.len && !ascii_is_space(said.ptr[encoding->len]) &&
           !memchr("\"'?", said.ptr[encoding->len], 3))
        *encoding = slice_head(said, encoding->len + 1);
    return slice_from(xml, (size_t)end + 2);
}

static struct slice as_utf8(struct slice xml, struct arena *arena)
{
    struct slice encoding, rest = declaration_skip(xml, &encoding);
    if (slice_equal_caseless(encoding, SLICE("utf-16")) && rest.ptr == xml.ptr) {
        struct slice ignored;
        return declaration_skip(charset_to_utf8(xml, SLICE("utf-16"), arena), &ignored);
    }
    bool is_utf8 = !encoding.len || slice_starts_caseless(encoding, SLICE("utf"));
    return is_utf8 ? rest : charset_to_utf8(rest, encoding, arena); /* what is not UTF-8 is repaired piece by piece */
}

static bool feed(struct xml_reading *r, struct slice xml)
{
    SCOPED(buf) piece = BUF(PIECE + 64);
    struct slice rest = as_utf8(xml, r->arena);
    while (rest.len && !r->has_failed) {
        piece_take(r, &rest, &piece);
        if (r->has_failed)
            break;
        if (xmlParseChunk(r->parser, piece.ptr, (int)piece.len, rest.len == 0) != 0 && !r->has_failed &&
            !r->parser->wellFormed)
            stop(r, FAULT_INPUT, "the XML is broken");
    }
    if (!r->has_failed && !r->has_root)
        stop(r, FAULT_INPUT, "the XML is empty");
    return !r->has_failed;
}

bool feedback_read_xml(struct slice xml, struct arena *arena, struct feedback *feedback, struct fault *why)
{
    *feedback = (struct feedback){.kind = FEEDBACK_DMARC};
    struct xml_reading *r = ARENA_NEW(arena, struct xml_reading);
    r->arena = arena;
    r->feedback = feedback;
    r->why = why;
    xmlSAXHandler sax = {
        .initialized = XML_SAX2_MAGIC,
        .startElementNs = on_start,
        .endElementNs = on_end,
        .characters = on_text,
        .cdataBlock = on_text,
        .internalSubset = on_dtd,
        .externalSubset = on_dtd,
        .getEntity = no_entity,
        .serror = on_error,
    };
    r->parser = xmlCreatePushParserCtxt(&sax, r, NULL, 0, NULL);
    if (!r->parser)
        memory_gone("libxml2");
    xmlCtxtUseOptions(r->parser, XML_PARSE_NONET | XML_PARSE_NODICT);
    bool ok = feed(r, xml);
    xmlFreeParserCtxt(r->parser);
    if (!ok)
        return false;
    feedback->begin = (int64_t)feedback_count(r->begin);
    feedback->end = (int64_t)feedback_count(r->end);
    if (!feedback->policy.domain.len && !feedback->row_count)
        return fault_set(why, FAULT_INPUT, "the DMARC report has neither a policy nor a record");
    return true;
}
