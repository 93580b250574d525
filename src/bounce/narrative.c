#include "bounce/narrative.h"

#include "base/buf.h"
#include "base/map.h"
#include "bounce/dsn.h"
#include "bounce/phrase.h"
#include "bounce/said.h"
#include "bounce/scan.h"

struct teller {
    struct arena *arena;
    struct narrative *to;
    struct slice own, to_address;
    unsigned room;
    struct map by_address; /* only once there are many */
    int current;           /* entry whose lines we are in, -1: none yet */
    int sentence;          /* entry of the first sentence that named one, -1: none */
    int transcript;        /* entry that the last RCPT TO of a transcript named, -1: none */
    enum stage stage;      /* the last command of a transcript */
    size_t indent;         /* of the line that opened the current entry */
    bool has_deeper;       /* lines below it are indented deeper than it */
    bool has_session;      /* somewhere in the text stands "transcript of session" */
    bool is_session;       /* behind "Transcript of session follows" */
    bool is_told;          /* the current entry was told before, better: its lines are passed over */
};

static size_t indent_of(struct slice line)
{
    size_t indent = 0;
    for (size_t i = 0; i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t'); i++)
        indent += line.ptr[i] == '\t' ? 8 : 1;
    return indent;
}

/* ---- entries ---- */

static int entry_find(struct teller *t, struct slice recipient, uint64_t hash)
{
    struct narrative *n = t->to;
    if (t->by_address.count) {
        void *known = map_get(&t->by_address, recipient);
        return known ? (int)((uintptr_t)known - 1) : -1;
    }
    for (unsigned i = 0; i < n->count; i++)
        if (n->entries[i].hash == hash && slice_equal_caseless(n->entries[i].recipient, recipient))
            return (int)i;
    return -1;
}

static uint64_t hash_of(struct slice s)
{
    uint64_t hash = s.len;
    for (size_t i = 0; i < s.len; i++)
        hash = hash * 31 + (unsigned char)ascii_lower(s.ptr[i]);
    return hash;
}

/* The entry of this recipient, new or old; -1 where there are too many. */
static int entry_take(struct teller *t, struct slice recipient, int strength)
{
    enum { MANY = 64 };
    struct narrative *n = t->to;
    uint64_t hash = hash_of(recipient);
    int known = entry_find(t, recipient, hash);
    if (known >= 0) {
        if (n->entries[known].strength < strength)
            n->entries[known].strength = strength;
        return known;
    }
    if (n->count == NARRATIVE_ENTRIES_MAX) {
        n->is_cut = true;
        return -1;
    }
    if (n->count == t->room) {
        t->room = t->room ? t->room * 4 : 8;
        struct narrative_entry *fresh = ARENA_ARRAY(t->arena, struct narrative_entry, t->room);
        if (n->count)
            memcpy(fresh, n->entries, n->count * sizeof(*fresh));
        n->entries = fresh;
    }
    n->entries[n->count] = (struct narrative_entry){.recipient = recipient, .strength = strength, .hash = hash};
    n->count++;
    if (n->count == MANY)
        for (unsigned i = 0; i < n->count; i++)
            map_set(&t->by_address, n->entries[i].recipient, (void *)(uintptr_t)(i + 1));
    else if (n->count > MANY)
        map_set(&t->by_address, recipient, (void *)(uintptr_t)n->count);
    return (int)n->count - 1;
}

/* ---- lines ---- */

static struct slice without_bullet(struct slice line)
{
    line = slice_trim(line);
    size_t at = 0;
    while (at < line.len &&
           (line.ptr[at] == '>' || (narrative_is_rule(line.ptr[at]) && line.ptr[at] != '=' && line.ptr[at] != '_')))
        at++;
    if (at && at < line.len && (line.ptr[at] == ' ' || line.ptr[at] == '\t' || line.ptr[at] == '<'))
        return slice_trim(slice_from(line, at));
    return line;
}

/* The address with which the line begins: "<a@b>", "a@b", "Name <a@b>" and nothing else; the rest goes to *rest. */
static bool line_begins(struct slice line, struct slice *address, struct slice *rest)
{
    if (!line.len || !memchr(line.ptr, '@', line.len))
        return false;
    size_t at = 0;
    if (!scan_address(line, &at, address))
        return false;
    const char *from = address->ptr, *end = line.ptr + line.len;
    *rest = slice_from(line, at);
    bool is_bracketed = from > line.ptr && (from[-1] == '<' || from[-1] == '(' || from[-1] == '[');
    if (is_bracketed && rest->len)
        *rest = slice_from(*rest, 1);
    if (from - is_bracketed != line.ptr && !(from == line.ptr + 1 && (line.ptr[0] == '"' || line.ptr[0] == '\''))) {
        /* a display name before it: then nothing else may be on the line */
        struct slice name = slice_of(line.ptr, (size_t)(from - line.ptr));
        struct slice left = slice_trim(*rest);
        bool is_alone = !left.len || (left.len == 1 && left.ptr[0] == ':') || left.ptr[0] == '<';
        unsigned words = 0;
        for (size_t i = 0; i < name.len; i++)
            words += !ascii_is_space(name.ptr[i]) && (i == 0 || ascii_is_space(name.ptr[i - 1]));
        if (!is_bracketed || !is_alone || name.len > 40 || words > 4 || memchr(name.ptr, ':', name.len) ||
            slice_find_caseless(name, SLICE("contact")) >= 0)
            return false;
    }
    while (rest->ptr < end && memchr("\"'>)", *rest->ptr, 4))
        *rest = slice_from(*rest, 1);
    if (slice_starts_caseless(*rest, SLICE("<mailto:"))) {
        ptrdiff_t close = slice_find_byte(*rest, '>');
        *rest = slice_from(*rest, close >= 0 ? (size_t)close + 1 : rest->len);
    }
    *rest = slice_trim(*rest);
    struct slice second;
    size_t inner = 0;
    if (!is_bracketed && rest->len && rest->ptr[0] == '<' && scan_address(*rest, &inner, &second) &&
        second.ptr == rest->ptr + 1) { /* "name@a <b@c>": the second one is meant */
        *address = second;
        *rest = slice_trim(slice_from(*rest, inner + 1));
    }
    while (rest->len && memchr(":.,", rest->ptr[0], 3))
        *rest = slice_from(*rest, 1);
    return true;
}

enum key { KEY_NONE, KEY_OTHER, KEY_TO, KEY_RECIPIENT };

/* "Recipient: <a@b>", "宛先：a@b": how telling the key is. */
static enum key line_key(struct slice line, struct slice *value)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("sender"), KEY_OTHER},         {SLICE_INIT("from"), KEY_OTHER},
        {SLICE_INIT("reply-to"), KEY_OTHER},       {SLICE_INIT("message-id"), KEY_OTHER},
        {SLICE_INIT("message id"), KEY_OTHER},     {SLICE_INIT("return-path"), KEY_OTHER},
        {SLICE_INIT("contact"), KEY_OTHER},        {SLICE_INIT("cc"), KEY_OTHER},
        {SLICE_INIT("subject"), KEY_OTHER},        {SLICE_INIT("postmaster"), KEY_OTHER},
        {SLICE_INIT("mail from"), KEY_OTHER},      {SLICE_INIT("envelope"), KEY_OTHER},
        {SLICE_INIT("help"), KEY_OTHER},           {SLICE_INIT("support"), KEY_OTHER},
        {SLICE_INIT("recipient"), KEY_RECIPIENT},  {SLICE_INIT("rcpt to"), KEY_RECIPIENT},
        {SLICE_INIT("address"), KEY_RECIPIENT},    {SLICE_INIT("delivered to"), KEY_RECIPIENT},
        {SLICE_INIT("message to"), KEY_RECIPIENT}, {SLICE_INIT("user"), KEY_RECIPIENT},
        {SLICE_INIT("mailbox"), KEY_RECIPIENT},    {SLICE_INIT("attempts"), KEY_RECIPIENT},
        {SLICE_INIT("size"), KEY_RECIPIENT},       {SLICE_INIT("to"), KEY_TO},
        {SLICE_INIT("宛先"), KEY_RECIPIENT},       {SLICE_INIT("送信先"), KEY_RECIPIENT},
        {SLICE_INIT("destinat"), KEY_RECIPIENT},   {SLICE_INIT("empfänger"), KEY_RECIPIENT},
        {SLICE_INIT("получател"), KEY_RECIPIENT},  {SLICE_INIT("收件"), KEY_RECIPIENT},
    };
    static struct phrases set = PHRASES(rows);
    struct slice head = slice_head(line, 80);
    ptrdiff_t colon = slice_find_byte(head, ':');
    ptrdiff_t wide = slice_find(head, SLICE("：")); /* the full-width one */
    size_t skip = 1;
    if (colon < 0 && wide > 0) {
        colon = wide;
        skip = 3;
    }
    if (colon <= 0)
        return KEY_NONE;
    struct slice name = slice_head(line, (size_t)colon);
    *value = slice_trim(slice_from(line, (size_t)colon + skip));
    if (!memchr(value->len ? value->ptr : "", '@', value->len) || memchr(name.ptr, '@', name.len))
        return KEY_NONE;
    enum key key = (enum key)scan_phrase(name, &set, KEY_NONE);
    return key == KEY_TO && slice_trim(name).len > 12 ? KEY_RECIPIENT : key;
}

/* Sentences in which an address is one that could not be reached. */
static bool tells_failure(struct slice line)
{
    static const struct phrase rows[] = {
        {SLICE_INIT("deliver"), 1},   {SLICE_INIT("undeliver"), 1},  {SLICE_INIT("reach"), 1},
        {SLICE_INIT("mailbox"), 1},   {SLICE_INIT("unknown"), 1},    {SLICE_INIT("returned"), 1},
        {SLICE_INIT("failed"), 1},    {SLICE_INIT("no such"), 1},    {SLICE_INIT("not found"), 1},
        {SLICE_INIT("not known"), 1}, {SLICE_INIT("bezorgd"), 1},    {SLICE_INIT("recapitat"), 1},
        {SLICE_INIT("distribué"), 1}, {SLICE_INIT("rejected"), 1},   {SLICE_INIT("quota"), 1},
        {SLICE_INIT("full"), 1},      {SLICE_INIT("address"), 1},    {SLICE_INIT("could not be"), 1},
        {SLICE_INIT("member"), 1},    {SLICE_INIT("duplicated"), 1}, {SLICE_INIT("zugestellt"), 1},
        {SLICE_INIT("remis"), 1},     {SLICE_INIT("entreg"), 1},     {SLICE_INIT("доставлен"), 1},
    };
    static struct phrases set = PHRASES(rows);
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] >= 0xe0) /* Chinese, Japanese, Korean: no words to begin with */
            return true;
    return scan_any(line, &set);
}

/* ">>> RCPT To:<a@b>", "<<< 550 ...", " In:  DATA", " Out: 550 ...". True: the line was a transcript's. */
static bool transcript_take(struct teller *t, struct slice line)
{
    size_t indent = 0;
    while (indent < line.len && ascii_is_space(line.ptr[indent]))
        indent++;
    char first = indent < line.len ? line.ptr[indent] : 0;
    if (first != '>' && first != '<' && first != '-' && first != 'I' && first != 'O')
        return false;
    struct slice trimmed = slice_trim(line);
    if (trimmed.len < 4)
        return false;
    bool is_command = slice_starts(trimmed, SLICE(">>> ")) || slice_starts(trimmed, SLICE("In: ")) ||
                      slice_starts(trimmed, SLICE("--> "));
    bool is_reply = slice_starts(trimmed, SLICE("<<< ")) || slice_starts(trimmed, SLICE("Out: ")) ||
                    slice_starts(trimmed, SLICE("<-- "));
    if (!is_command && !is_reply)
        return false;
    struct slice rest = slice_trim(slice_from(trimmed, 4));
    if (is_command) {
        static const struct phrase rows[] = {
            {SLICE_INIT("rcpt to"), STAGE_RCPT}, {SLICE_INIT("mail from"), STAGE_MAIL},
            {SLICE_INIT("data"), STAGE_DATA},    {SLICE_INIT("helo"), STAGE_EHLO},
            {SLICE_INIT("ehlo"), STAGE_EHLO},    {SLICE_INIT("starttls"), STAGE_STARTTLS},
            {SLICE_INIT("mail"), STAGE_MAIL},    {SLICE_INIT("rcpt"), STAGE_RCPT},
            {SLICE_INIT("auth"), STAGE_AUTH},    {SLICE_INIT("quit"), STAGE_UNKNOWN},
        };
        static struct phrases set = PHRASES(rows);
        enum stage stage = (enum stage)scan_phrase(slice_head(rest, 16), &set, STAGE_COUNT);
        if (stage == STAGE_COUNT)
            return false;
        t->stage = stage;
        struct slice address;
        size_t at = 0;
        t->transcript = stage == STAGE_RCPT && scan_address(rest, &at, &address) ? entry_take(t, address, 2) : -1;
        return true;
    }
    struct said said;
    said_parse(rest, t->arena, &said);
    if (said.code < 400 || said.code == 503) /* "Need RCPT" only follows from what was refused before */
        return true;
    struct slice *reply = t->transcript >= 0 ? &t->to->entries[t->transcript].reply : &t->to->reply;
    enum stage *stage = t->transcript >= 0 ? &t->to->entries[t->transcript].stage : &t->to->stage;
    enum { REPLY_MAX = 2048 };
    if (!reply->len)
        *reply = rest;
    else if (reply->len + rest.len < REPLY_MAX && *stage == t->stage)
        *reply = arena_printf(t->arena, "%.*s %.*s", SLICE_ARG(*reply), SLICE_ARG(rest));
    *stage = t->stage;
    return true;
}

static void entry_open(struct teller *t, struct slice address, struct slice rest, struct slice line, int strength)
{
    int entry = entry_take(t, address, strength);
    if (entry < 0)
        return;
    struct narrative_entry *e = &t->to->entries[entry];
    struct slice from = slice_of(rest.ptr, (size_t)(line.ptr + line.len - rest.ptr));
    bool is_back = entry != t->current && e->text.ptr;
    t->is_told = false;
    if (!e->text.ptr || (entry != t->current && !slice_trim(e->text).len))
        e->text = from;
    else if (entry == t->current)
        e->text.len = (size_t)(line.ptr + line.len - e->text.ptr);
    else if (is_back && said_find(e->text) < 0) /* told twice, and the first time without the reply */
        e->text = from;
    else
        t->is_told = true;
    t->current = entry;
    t->indent = indent_of(line);
    t->has_deeper = false;
}

/* The line and the next one, unless a blank one parts them: where a sentence is wrapped says nothing. */
static struct slice sentence_of(const struct teller *t, struct slice line)
{
    enum { LOOK_BYTES = 240 };
    const char *end = t->to->text.ptr + t->to->text.len;
    struct slice rest = slice_head(slice_of(line.ptr, (size_t)(end - line.ptr)), line.len + LOOK_BYTES);
    size_t at = line.len, newlines = 0;
    for (; at < rest.len && newlines < 2; at++) {
        bool is_newline =
            rest.ptr[at] == '\n' || (rest.ptr[at] == '\r' && (at + 1 == rest.len || rest.ptr[at + 1] != '\n'));
        bool is_blank = is_newline && at + 1 < rest.len && (rest.ptr[at + 1] == '\n' || rest.ptr[at + 1] == '\r');
        newlines += is_newline;
        if (is_blank)
            break;
    }
    return slice_head(rest, at);
}

static void line_take(struct teller *t, struct slice line)
{
    struct slice address, rest, value, bare = without_bullet(line);
    struct narrative *n = t->to;
    if (transcript_take(t, line))
        return;
    t->is_session = t->is_session ||
                    (t->has_session && slice_find_caseless(slice_head(bare, 80), SLICE("transcript of session")) >= 0);
    /* "550 5.1.1 <a@b>... User unknown", "554 <a@b>... 550 Host unknown" */
    struct said said = {0};
    if (bare.len > 8 && ascii_is_digit(bare.ptr[0])) {
        said_parse(bare, t->arena, &said);
        struct slice text = said.text;
        if (said.code >= 400 && text.len && text.ptr >= bare.ptr && text.ptr < bare.ptr + bare.len &&
            (text.ptr[0] == '<' || text.ptr[0] == '(') && line_begins(text, &address, &rest)) {
            entry_open(t, address, bare, line, 3);
            return;
        }
    }
    /* a line indented deeper goes on with what was said */
    bool is_wrapped = t->current >= 0 && indent_of(line) > t->indent && slice_trim(n->entries[t->current].text).len;
    if (!is_wrapped && line_begins(bare, &address, &rest)) {
        entry_open(t, address, rest, line, 3);
        return;
    }
    enum key key = memchr(line.len ? line.ptr : "", '@', line.len) ? line_key(bare, &value) : KEY_NONE;
    size_t at = 0;
    if ((key == KEY_RECIPIENT || key == KEY_TO) && scan_address(slice_head(value, 320), &at, &address) &&
        address.ptr - value.ptr <= 40 && !(t->current >= 0 && is_wrapped && key == KEY_TO)) {
        at += at < value.len && value.ptr[at] == '>';
        entry_open(t, address, slice_from(value, at), line, key == KEY_RECIPIENT ? 3 : 2);
        return;
    }
    if (t->current < 0 && key == KEY_NONE && memchr(line.len ? line.ptr : "", '@', line.len) &&
        tells_failure(sentence_of(t, bare)) && scan_address(bare, &at, &address)) {
        int entry = entry_take(t, address, 1); /* the sentence itself says what happened, and what follows */
        if (entry >= 0 && !n->entries[entry].text.ptr)
            n->entries[entry].text = line;
        t->sentence = t->sentence < 0 ? entry : t->sentence;
        return;
    }
    if (t->is_session && said.code >= 400 && !n->reply.len && (said.status[0] || said.text.len > 3)) {
        n->reply = bare; /* "554 5.3.0 unknown mailer error 255" */
        n->stage = t->stage;
    }
    if (t->current >= 0 && bare.len && t->indent) {
        size_t indent = indent_of(line);
        if (indent == t->indent && t->has_deeper)
            t->is_told = true; /* something that failed too, but is no address: "pipe to |/usr/bin/x" */
        t->has_deeper = t->has_deeper || indent > t->indent;
    }
    int owner = t->current >= 0 ? t->current : t->sentence;
    if (owner >= 0 && !t->is_told) {
        struct slice *text = &n->entries[owner].text;
        text->len = (size_t)(line.ptr + line.len - text->ptr);
    }
}

/* ---- afterwards ---- */

bool narrative_is_role(struct slice address)
{
    static const struct slice roles[] = {
        SLICE_INIT("postmaster@"), SLICE_INIT("support@"),       SLICE_INIT("abuse@"),   SLICE_INIT("helpdesk@"),
        SLICE_INIT("admin@"),      SLICE_INIT("mailer-daemon@"), SLICE_INIT("noreply@"), SLICE_INIT("no-reply@")};
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (slice_starts_caseless(address, roles[i]))
            return true;
    return false;
}

/* Keep the strongest kind of entries; among several drop the mail's own addresses and those one is told to write to. */
static void entries_choose(struct teller *t)
{
    struct narrative *n = t->to;
    int strongest = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        unsigned others = 0, kept = 0;
        for (unsigned i = 0; i < n->count; i++) {
            struct narrative_entry *e = &n->entries[i];
            bool is_ours = slice_equal_caseless(e->recipient, t->own) ||
                           slice_equal_caseless(e->recipient, t->to_address) ||
                           (narrative_is_role(e->recipient) && said_find(e->text) < 0);
            if (pass == 0) {
                if (!is_ours && e->strength > strongest)
                    strongest = e->strength;
                continue;
            }
            others += !is_ours;
        }
        if (pass == 0)
            continue;
        if (!strongest) /* nothing but our own and such as one is told to write to: only what stands out is meant */
            strongest = 3;
        for (unsigned i = 0; i < n->count; i++) {
            struct narrative_entry e = n->entries[i];
            bool is_ours = slice_equal_caseless(e.recipient, t->own) ||
                           slice_equal_caseless(e.recipient, t->to_address) ||
                           (narrative_is_role(e.recipient) && said_find(e.text) < 0);
            bool has_reply = e.reply.len > 0;
            if ((e.strength < strongest && !has_reply) || (others && is_ours && !has_reply))
                continue;
            n->entries[kept++] = e;
        }
        n->count = kept;
    }
}

/* slice_line, for texts whose line end is known. */
static bool line_next(struct slice *rest, char newline, struct slice *line)
{
    if (!rest->len)
        return false;
    const char *end = memchr(rest->ptr, newline, rest->len);
    *line = slice_head(*rest, end ? (size_t)(end - rest->ptr) : rest->len);
    *rest = slice_from(*rest, line->len + 1);
    while (line->len && line->ptr[line->len - 1] == '\r')
        line->len--;
    return true;
}

void narrative_read(struct slice text, struct slice own, struct slice to, struct arena *arena,
                    struct narrative *narrative)
{
    *narrative = (struct narrative){0};
    struct teller t = {
        .arena = arena, .to = narrative, .own = own, .to_address = to, .current = -1, .sentence = -1, .transcript = -1};
    text = slice_head(text, NARRATIVE_BYTES_MAX);
    t.has_session = slice_find(text, SLICE("ranscript of session")) >= 0;
    narrative->text = narrative->preamble = text;
    struct slice rest = text, line;
    char newline = text.len && !memchr(text.ptr, '\n', text.len) ? '\r' : '\n';
    while (line_next(&rest, newline, &line)) {
        size_t at = (size_t)(line.ptr - text.ptr);
        if ((newline == '\n' || !at) && dsn_begins(line)) {
            narrative->fields = slice_from(text, at);
            narrative->text = slice_head(text, at);
            break;
        }
        bool is_title = narrative_announces_original(line);
        if (is_title || narrative_begins_original(line)) {
            narrative->original = is_title ? rest : slice_from(text, at);
            narrative->text = slice_head(text, at);
            break;
        }
        if (line.len && line.ptr[0] == '>' && !slice_starts(line, SLICE(">>>")))
            continue; /* somebody's quotation */
        line_take(&t, line);
        if (t.current >= 0 && narrative->preamble.len == text.len)
            narrative->preamble = slice_head(text, at);
    }
    if (narrative->preamble.len > narrative->text.len)
        narrative->preamble = narrative->text;
    entries_choose(&t);
    map_release(&t.by_address);
}
