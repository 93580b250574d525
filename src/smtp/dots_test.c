/* R19, M1, M2: dots doubled and taken away, at every edge of every buffer */
#include "base/test.h"
#include "smtp/dots.h"

#include <time.h>

static const struct {
    const char *name;
    struct slice body, wire;
    bool has_bare;
} rows[] = {
    {"empty", SLICE_INIT(""), SLICE_INIT("")},
    {"one line", SLICE_INIT("a\r\n"), SLICE_INIT("a\r\n")},
    {"no end of line", SLICE_INIT("a"), SLICE_INIT("a\r\n")},
    {"only a dot", SLICE_INIT("."), SLICE_INIT("..\r\n")},
    {"dot lines", SLICE_INIT(".\r\n..\r\n...x\r\n"), SLICE_INIT("..\r\n...\r\n....x\r\n")},
    {"dots inside", SLICE_INIT("a.b.\r\nc.\r\n"), SLICE_INIT("a.b.\r\nc.\r\n")},
    {"empty lines", SLICE_INIT("\r\n\r\n.\r\n"), SLICE_INIT("\r\n\r\n..\r\n")},
    {"bare LF", SLICE_INIT("a\n.b\n"), SLICE_INIT("a\r\n..b\r\n"), true},
    {"bare CR", SLICE_INIT("a\r.b\r"), SLICE_INIT("a\r\n..b\r\n"), true},
    {"CR CR LF", SLICE_INIT("a\r\r\n.b"), SLICE_INIT("a\r\n\r\n..b\r\n"), true},
    {"LF CR", SLICE_INIT("a\n\rb"), SLICE_INIT("a\r\n\r\nb\r\n"), true},
    {"NUL", SLICE_INIT("a\0\r\n\0.\r\n"), SLICE_INIT("a\0\r\n\0.\r\n")},
};

static void written(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t cut = 0; cut <= rows[i].body.len; cut++)
            for (size_t at_most = 1; at_most < 4; at_most++) {
                struct dot_writer writer = {0};
                SCOPED(buf) out = BUF(1000);
                struct slice halves[] = {slice_head(rows[i].body, cut), slice_from(rows[i].body, cut)};
                for (int h = 0; h < 2; h++)
                    while (halves[h].len)
                        dots_write(&writer, &halves[h], at_most == 3 ? 1000 : at_most, &out);
                dots_write_end(&writer, &out);
                assert_slice(rows[i].name, buf_slice(&out), rows[i].wire);
            }
}

static void read_back(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) wire = BUF(1000);
        buf_append(&wire, rows[i].wire);
        buf_text(&wire, ".\r\nMORE");
        for (size_t cut = 0; cut < wire.len; cut++) {
            struct dot_reader reader = {0};
            SCOPED(buf) got = BUF(1000);
            struct slice all = buf_slice(&wire), pieces[] = {slice_head(all, cut), slice_from(all, cut)}, bytes;
            enum dots_found found = DOTS_MORE;
            for (int p = 0; p < 2 && found != DOTS_END; p++)
                while ((found = dots_read(&reader, &pieces[p], &bytes)) == DOTS_BYTES)
                    buf_append(&got, bytes);
            assert_int_row(rows[i].name, found, DOTS_END);
            struct dot_writer writer = {0};
            SCOPED(buf) again = BUF(1000);
            struct slice body = buf_slice(&got);
            while (body.len)
                dots_write(&writer, &body, 1000, &again);
            dots_write_end(&writer, &again);
            assert_slice(rows[i].name, buf_slice(&again), rows[i].wire);
            if (!rows[i].has_bare && slice_ends(rows[i].body, SLICE("\r\n")))
                assert_slice(rows[i].name, buf_slice(&got), rows[i].body);
            assert_false(reader.has_bare_eol);
        }
    }
}

/* The writer may not overrun the ceiling, however many dots there are. */
static void ceilings(void **state)
{
    for (size_t limit = 10; limit < 60; limit++) {
        struct dot_writer writer = {0};
        SCOPED(buf) out = BUF(limit);
        SCOPED(buf) all = BUF(1000);
        struct slice body = SLICE("\n.\n.\n.\n.\n.\n.\n.\n.\n.\n.\n.\n.\n.\n.");
        while (body.len) {
            dots_write(&writer, &body, 1000, &out);
            assert_true(buf_ok(&out) && out.len);
            buf_append(&all, buf_slice(&out));
            buf_reset(&out);
        }
        dots_write_end(&writer, &all);
        assert_int_equal(all.len, 2 + 14 * 4);
    }
}

static void line_lengths(void **state)
{
    static const struct {
        const char *wire;
        size_t longest;
    } lengths[] = {{"a\r\nabcde\r\nab\r\n.\r\n", 5}, {"..abc\r\n.\r\n", 4}, {".\r\n", 0}, {"\r\nabc\r\n.\r\n", 3}};
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        for (size_t step = 1; step < 8; step++) {
            struct dot_reader reader = {0};
            struct slice rest = slice_str(lengths[i].wire), bytes;
            while (rest.len) {
                struct slice piece = slice_head(rest, step);
                rest = slice_from(rest, piece.len);
                while (dots_read(&reader, &piece, &bytes) == DOTS_BYTES)
                    ;
            }
            assert_int_row(lengths[i].wire, reader.line_longest, lengths[i].longest);
        }
}

/* A line longer than a piece, with its CRLF, CR or LF at every place around the piece's edge. */
static void long_lines(void **state)
{
    for (size_t len = 1020; len < 1030; len++)
        for (int kind = 0; kind < 3; kind++) {
            SCOPED(buf) body = BUF(10000);
            SCOPED(buf) want = BUF(10000);
            for (size_t i = 0; i < len; i++)
                buf_byte(&body, 'x');
            buf_append(&want, buf_slice(&body));
            buf_append(&body, kind == 0 ? SLICE("\r\n") : kind == 1 ? SLICE("\r") : SLICE("\n"));
            buf_text(&body, ".y\r\n");
            buf_text(&want, "\r\n..y\r\n");
            struct dot_writer writer = {0};
            SCOPED(buf) wire = BUF(10000);
            struct slice rest = buf_slice(&body), bytes;
            while (rest.len)
                dots_write(&writer, &rest, 10000, &wire);
            dots_write_end(&writer, &wire);
            assert_slice("written", buf_slice(&wire), buf_slice(&want));
            buf_text(&body, ".\r\n");
            struct dot_reader reader = {0};
            SCOPED(buf) got = BUF(10000);
            rest = buf_slice(&body);
            enum dots_found found;
            while ((found = dots_read(&reader, &rest, &bytes)) == DOTS_BYTES)
                buf_append(&got, bytes);
            assert_int_equal(found, DOTS_END);
            assert_int_equal(reader.has_bare_eol, kind > 0);
            assert_int_equal(reader.line_longest, len);
            buf_reset(&want);
            buf_append(&want, slice_head(buf_slice(&body), len));
            buf_text(&want, "\r\n");
            if (kind > 0)
                buf_byte(&want, '.'); /* no true line start: the dot is no stuffing */
            buf_text(&want, "y\r\n");
            assert_slice("read", buf_slice(&got), buf_slice(&want));
        }
}

/* X11: a megabyte of lone CRs; a search for the far LF at each of them would take minutes. */
static void linear(void **state)
{
    enum { SIZE = 1 << 20 };
    SCOPED(buf) body = BUF(SIZE + 10), out = BUF(4 * SIZE);
    memset(buf_reserve(&body, SIZE), '\r', SIZE);
    buf_advance(&body, SIZE);
    clock_t from = clock();
    struct dot_reader reader = {0};
    struct dot_writer writer = {0};
    struct slice rest = buf_slice(&body), bytes;
    size_t pieces = 0;
    while (dots_read(&reader, &rest, &bytes) == DOTS_BYTES)
        pieces++;
    rest = buf_slice(&body);
    while (rest.len) {
        dots_write(&writer, &rest, SIZE, &out);
        buf_reset(&out);
    }
    assert_true(pieces >= SIZE - 1);
    assert_true(clock() - from < 5 * CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(written),    cmocka_unit_test(read_back),
                                       cmocka_unit_test(ceilings),   cmocka_unit_test(line_lengths),
                                       cmocka_unit_test(long_lines), cmocka_unit_test(linear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
