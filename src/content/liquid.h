/* liquid.h - templates in the Liquid language: compiled once, rendered many times
 *
 *     Hello {{ contact.name | default: "customer" }}{% if contact.vip %}, our guest{% endif %}
 *
 * Tags: if elsif else unless case when for (limit, offset, reversed, else, forloop) break continue assign capture
 * comment raw increment decrement. Operators: == != < > <= >= contains, and, or (right to left, as Liquid does). White
 * space control {%- -%} {{- -}}. Names may be in any script: {{ contact.姓 }}. A number and a string that reads as one
 * compare as numbers, because contact fields are strings.
 *
 * Filters: default escape escape_once raw upcase downcase capitalize strip lstrip rstrip strip_newlines newline_to_br
 * strip_html truncate truncatewords date replace replace_first remove append prepend size first last join split sort
 * reverse uniq slice plus minus times divided_by modulo abs ceil floor round at_least at_most url_encode number (groups
 * of three: 1,234,567). date takes strftime's letters (%Y %m %-d %H %M %b %A ...), and %Ea 月 and %EA 月曜日.
 *
 * A compiled template is immutable and may be rendered by many threads at once. Bounded: source 2 MB, nesting 64,
 * 10,000 nodes, 100,000 loop rounds, 2,000,000 steps and 4 MB of output for a rendering. Unknown variables are nil and
 * print nothing; unknown tags and filters are errors at compile time. In HTML templates {{ }} escapes & < > " ' unless
 * the last filter is raw. */
#ifndef TODOKE_CONTENT_LIQUID_H
#define TODOKE_CONTENT_LIQUID_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/time.h"

/* Values: what templates compute with. Lists and objects are asked through their type's functions, so that data needs
 * no conversion before rendering. */
enum liquid_kind {
    LIQUID_NIL,
    LIQUID_BOOL,
    LIQUID_INT,
    LIQUID_REAL,
    LIQUID_STRING, /* UTF-8; bytes live as long as the rendering */
    LIQUID_LIST,
    LIQUID_OBJECT,
};
struct liquid_type;
struct liquid_value {
    enum liquid_kind kind;
    bool is_safe; /* STRING: HTML already, not escaped again */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct slice string;
        struct {
            const struct liquid_type *type;
            const void *self;
        } ref; /* LIST, OBJECT */
    };
};
struct liquid_type {
    /* OBJECT: the member of that name into *value; false: there is none. */
    bool (*member)(const void *self, struct slice name, struct liquid_value *value);
    /* LIST: how many, and the one at index < size. */
    size_t (*size)(const void *self);
    void (*item)(const void *self, size_t index, struct liquid_value *value);
};

static inline struct liquid_value liquid_string(struct slice s)
{
    return (struct liquid_value){.kind = LIQUID_STRING, .string = s};
}
static inline struct liquid_value liquid_int(int64_t n)
{
    return (struct liquid_value){.kind = LIQUID_INT, .integer = n};
}
static inline struct liquid_value liquid_object(const struct liquid_type *type, const void *self)
{
    return (struct liquid_value){.kind = LIQUID_OBJECT, .ref = {type, self}};
}
/* A jansson value (borrowed) seen as a Liquid value. `json` is a json_t *. */
struct liquid_value liquid_json(const void *json);

struct liquid;
struct liquid_place {
    unsigned line, column; /* from 1; columns count characters */
};
/* INPUT: plain words with line and column in front ("line 3, column 9: ..."); where (may be NULL) has them as numbers.
 */
NODISCARD bool liquid_compile(struct slice source, bool is_html, struct liquid **liquid, struct liquid_place *where,
                              struct fault *why);
void liquid_free(struct liquid *liquid);

/* What one rendering needs. root is an OBJECT: {{ contact.name }} asks it for "contact" first. now is for
 * {{ "now" | date }}; dates are shown at offset_minutes from UTC. arena holds what filters make; the caller resets it.
 */
struct liquid_context {
    struct liquid_value root;
    time_ms now;
    int offset_minutes;
    struct arena *arena;
};

/* Append the rendering to out. INPUT: "line 3, column 9: division by zero"; LIMIT: a bound was reached. */
NODISCARD bool liquid_render(const struct liquid *liquid, const struct liquid_context *context, struct buf *out,
                             struct fault *why);

/* The same into a sink, for those who treat the template's own text apart from what is put in (compose.c encodes it
 * beforehand). index counts the template's texts, 0..liquid_text_count-1. */
struct liquid_sink {
    void (*text)(struct liquid_sink *sink, size_t index, struct slice text);
    void (*value)(struct liquid_sink *sink, struct slice value); /* escaped already where the template is HTML */
};
NODISCARD bool liquid_render_to(const struct liquid *liquid, const struct liquid_context *context,
                                struct liquid_sink *sink, struct fault *why);
/* The files for download that it names: "a.pdf" of file["a.pdf"], those by a literal name; at most LIQUID_FILES_MAX of
 * them, slices of the source. None where `file` is a name that the template gives itself. */
enum { LIQUID_FILES_MAX = 64 };
size_t liquid_files(const struct liquid *liquid, struct slice names[LIQUID_FILES_MAX]);
size_t liquid_text_count(const struct liquid *liquid);
struct slice liquid_text(const struct liquid *liquid, size_t index);

#endif
