/* test_script.h - conversations as text, for the tests: every line is a step, every input is cut at every offset
 *
 * The script's lines, all in order:
 *   C: bytes   said by the client, S: bytes   said by the server; CRLF is added unless the line ends in a backslash.
 *              Escapes: \r \n \0 \\ and \xHH. Lines that are input are put together to one piece, until a line of
 *              another kind comes. An expected line matches when it is the front of what was said; "S: 250-" and more
 *              lines of one reply need not be written out: the next line of the script is looked for.
 *   E: words   the next event, as the harness prints it
 * For the client machine also: M: from|to,to|body hands a message over, D: releases the dot, W: withholds it ("yes": it
 *   was released and not written), Q: quits, T: TLS is up, F: TLS failed, X: the stream is closed. For the server
 * machine: A: reply answers the open question (questions wait for it when `waits` is set), T: TLS is up. */
#ifndef TODOKE_SMTP_TEST_SCRIPT_H
#define TODOKE_SMTP_TEST_SCRIPT_H

#include "base/buf.h"
#include "base/test.h"

struct script_line {
    char kind;
    struct buf bytes;
};

struct script {
    const char *rest;
    char kind;       /* of the current line; 0 at the end */
    struct buf text; /* its bytes, unescaped, without CRLF */
    bool has_crlf;
};

static inline void script_next(struct script *script)
{
    while (*script->rest == ' ' || *script->rest == '\n')
        script->rest++;
    script->kind = *script->rest;
    buf_reset(&script->text);
    script->has_crlf = true;
    if (!script->kind)
        return;
    assert_true(script->rest[1] == ':');
    const char *at = script->rest + 2;
    at += *at == ' ';
    for (; *at && *at != '\n'; at++) {
        if (*at != '\\') {
            buf_byte(&script->text, *at);
        } else if (at[1] == '\n' || !at[1]) {
            script->has_crlf = false;
        } else if (*++at == 'x') {
            buf_byte(&script->text, (char)(ascii_hex_value(at[1]) * 16 + ascii_hex_value(at[2])));
            at += 2;
        } else {
            buf_byte(&script->text, *at == 'r' ? '\r' : *at == 'n' ? '\n' : *at == '0' ? '\0' : *at);
        }
    }
    script->rest = at;
}

/* All lines of one kind from here on, as bytes. */
static inline void script_gather(struct script *script, char kind, struct buf *bytes)
{
    buf_reset(bytes);
    while (script->kind == kind) {
        buf_append(bytes, buf_slice(&script->text));
        if (script->has_crlf)
            buf_text(bytes, "\r\n");
        script_next(script);
    }
}

/* The expected lines of this kind from here on, against everything that was said. */
static inline void script_expect(struct script *script, const char *row, char kind, struct slice said)
{
    struct slice line = {0};
    while (script->kind == kind) {
        struct slice want = buf_slice(&script->text);
        bool is_found = false;
        while (!is_found) {
            if (!slice_line(&said, &line))
                fail_msg("%s: nothing said where \"%.*s\" is wanted", row, SLICE_ARG(want));
            is_found = slice_starts(line, want);
            bool may_skip = line.len > 3 && line.ptr[3] == '-' && kind == 'S';
            if (!is_found && !may_skip)
                fail_msg("%s: said \"%.*s\", want \"%.*s\"", row, SLICE_ARG(line), SLICE_ARG(want));
        }
        script_next(script);
    }
    while (kind == 'S' && line.len > 3 && line.ptr[3] == '-' && slice_line(&said, &line))
        ; /* the rest of the reply */
    if (said.len)
        fail_msg("%s: said too much: \"%.*s\"", row, SLICE_ARG(said));
}

/* How an input is cut: not at all, at every byte, or in two at `at`. */
struct cut {
    enum { CUT_NONE, CUT_BYTES, CUT_AT } how;
    size_t at;
};

static inline struct slice cut_take(struct slice *rest, struct cut cut, size_t taken)
{
    size_t len = rest->len;
    if (cut.how == CUT_BYTES)
        len = 1;
    if (cut.how == CUT_AT && taken < cut.at && taken + len > cut.at)
        len = cut.at - taken;
    struct slice piece = slice_head(*rest, len);
    *rest = slice_from(*rest, piece.len);
    return piece;
}

#endif
