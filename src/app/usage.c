#include "app/usage.h"

#include <stdio.h>

enum { LINE_MAX = 400 };

/* ── the forms ── */

/* The next form without "todoke COMMAND " in front and without a remark behind ("   as todoke ..."). */
static bool form_next(struct slice *page, struct slice command, struct slice *form)
{
    struct slice line;
    while (slice_line(page, &line) && line.len) {
        struct slice rest = slice_trim(slice_starts(line, SLICE("usage: ")) ? slice_from(line, 7) : line);
        if (!slice_starts(rest, SLICE("todoke ")))
            continue; /* the rest of a long one */
        rest = slice_from(rest, 7);
        if (!slice_starts(rest, command))
            continue;
        ptrdiff_t remark = slice_find(rest, SLICE("  "));
        *form = slice_trim(slice_from(remark == SLICE_NPOS ? rest : slice_head(rest, (size_t)remark), command.len));
        return true;
    }
    return false;
}

/* "hold|release|purge" has "purge". */
static bool has_choice(struct slice choices, struct slice word)
{
    struct slice one;
    while (slice_split(&choices, '|', &one))
        if (slice_equal(one, word))
            return true;
    return false;
}

/* A word that is meant as it stands; FILE and [--json] are not. */
static bool is_verb(struct slice word)
{
    return word.len && word.ptr[0] >= 'a' && word.ptr[0] <= 'z';
}

/* How many of the words, from the first on, are what the form says. */
static int likeness(struct slice form, const struct arguments *words)
{
    struct slice one;
    int count = 0;
    while (count < words->word_count && slice_split(&form, ' ', &one) && is_verb(one) &&
           has_choice(one, slice_str(words->words[count])))
        count++;
    return count;
}

/* ── the line ── */

/* "list, audit, hold, release": each once. */
static bool verbs_write(struct slice page, struct slice command, struct buf *out)
{
    struct slice form, word, one;
    SCOPED(buf) seen = BUF(LINE_MAX);
    buf_byte(&seen, '|');
    bool any = false;
    while (form_next(&page, command, &form)) {
        if (!slice_split(&form, ' ', &word) || !is_verb(word))
            continue;
        while (slice_split(&word, '|', &one)) {
            SCOPED(buf) marked = BUF(LINE_MAX);
            buf_printf(&marked, "|%.*s|", SLICE_ARG(one));
            if (slice_find(buf_slice(&seen), buf_slice(&marked)) != SLICE_NPOS)
                continue;
            buf_append(&seen, slice_from(buf_slice(&marked), 1));
            buf_printf(out, "%s%.*s", any ? ", " : "", SLICE_ARG(one));
            any = true;
        }
    }
    return any;
}

void usage_line(const char *command, const char *page, const struct arguments *words, struct buf *out)
{
    struct slice rest = slice_str(page), name = slice_str(command), form, meant = SLICE("");
    SCOPED(buf) verbs = BUF(LINE_MAX);
    int most = 0;
    bool has_verbs = verbs_write(rest, name, &verbs);
    while (form_next(&rest, name, &form))
        if (likeness(form, words) > most || (!meant.len && !has_verbs)) {
            most = likeness(form, words);
            meant = form;
        }
    buf_printf(out, "todoke %s: ", command);
    if (meant.len)
        buf_printf(out, "it goes: todoke %s %.*s", command, SLICE_ARG(slice_head(meant, LINE_MAX / 2)));
    else if (words->word_count)
        buf_printf(out, "there is no \"%.60s\"; it has %.*s", words->words[0], SLICE_ARG(buf_slice(&verbs)));
    else
        buf_printf(out, "say what to do: %.*s", SLICE_ARG(buf_slice(&verbs)));
    buf_printf(out, " (todoke %s --help)", command);
}

int usage_tell(const char *command, const char *page, const struct arguments *words)
{
    if (words->wants_help) {
        fputs(page, stdout);
        return 0;
    }
    SCOPED(buf) line = BUF(4 * LINE_MAX);
    usage_line(command, page, words, &line);
    fprintf(stderr, "%.*s\n", (int)line.len, line.ptr);
    return 2;
}
