/* The inbox keeps the newest, within its bounds, and finds them */
#include "app/playground/inbox.h"
#include "base/test.h"

#include <unistd.h>

static void add(struct inbox *inbox, int number, const char *from, const char *subject, size_t body)
{
    SCOPED(buf) mail = BUF(64 << 20);
    buf_printf(&mail, "From: %s\r\nSubject: %s\r\n\r\nFrom here on %d\r\n", from, subject, number);
    for (size_t i = 0; i < body; i++)
        buf_byte(&mail, 'x');
    SCOPED(buf) to = BUF(100);
    buf_printf(&to, "to%d@example.jp", number);
    inbox_add(inbox, &(struct inbox_mail){.at = 1795354200000 + number,
                                          .envelope_from = SLICE("b-1@bounce.shop.example"),
                                          .to = buf_slice(&to),
                                          .top = SLICE("Return-Path: <b-1@bounce.shop.example>\r\n"),
                                          .mail = buf_slice(&mail),
                                          .is_error = number % 2 == 0,
                                          .label = SLICE("Gmail-like")});
}

static void the_newest_come_first_page_by_page(void **state)
{
    struct inbox inbox;
    struct fault why;
    struct arena arena = {NULL};
    struct inbox_row *rows;
    size_t count;
    uint64_t next, total, before = 0;
    assert_true(inbox_open(&inbox, NULL, &why));
    inbox_list(&inbox, SLICE(""), 0, 10, &arena, &rows, &count, &next, &total);
    assert_int_equal(count + next + total, 0);
    for (int i = 1; i <= 25; i++)
        add(&inbox, i, "=?utf-8?B?44GK5bqX?= <news@shop.example>",
            i % 5 ? "hello" : "=?utf-8?B?44GK55+l44KJ44Gb?=", 10);

    unsigned seen = 0, pages = 0;
    do {
        inbox_list(&inbox, SLICE(""), before, 10, &arena, &rows, &count, &next, &total);
        assert_int_equal(total, 25);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(rows[i].id, 25 - seen++);
        before = next;
        pages++;
    } while (next);
    assert_int_equal(seen, 25);
    assert_int_equal(pages, 3);
    assert_slice("decoded", rows[0].from, SLICE("お店 <news@shop.example>"));

    inbox_list(&inbox, SLICE("お知らせ"), 0, 3, &arena, &rows, &count, &next, &total);
    assert_int_equal(total, 5);
    assert_int_equal(count, 3);
    inbox_list(&inbox, SLICE("お知らせ"), next, 3, &arena, &rows, &count, &next, &total);
    assert_int_equal(count, 2);
    assert_int_equal(next, 0);
    inbox_list(&inbox, SLICE("TO7@"), 0, 3, &arena, &rows, &count, &next, &total);
    assert_int_equal(total, 1);
    assert_int_equal(rows[0].id, 7);
    arena_release(&arena);
    inbox_release(&inbox);
}

static void what_is_too_much_goes_from_the_old_end(void **state)
{
    struct inbox inbox;
    struct fault why;
    struct arena arena = {NULL};
    struct inbox_row row;
    struct slice mail;
    assert_true(inbox_open(&inbox, NULL, &why));
    for (int i = 1; i <= PLAYGROUND_INBOX_MOST + 500; i++)
        add(&inbox, i, "a@b.example", "x", 0);
    assert_int_equal(inbox.newest - inbox.oldest + 1, PLAYGROUND_INBOX_MOST);
    assert_false(inbox_get(&inbox, 500, &arena, &row, &mail));
    assert_true(inbox_get(&inbox, 501, &arena, &row, &mail));
    assert_false(inbox_get(&inbox, 0, &arena, &row, &mail));
    assert_false(inbox_get(&inbox, inbox.newest + 1, &arena, &row, &mail));
    assert_true(slice_starts(mail, SLICE("Return-Path: <b-1@bounce.shop.example>\r\nFrom: a@b.example\r\n")));

    size_t big = 10 << 20;
    for (int i = 0; i < PLAYGROUND_INBOX_BYTES_MOST / (10 << 20) + 2; i++)
        add(&inbox, i, "a@b.example", "big", big);
    assert_true(inbox.bytes <= PLAYGROUND_INBOX_BYTES_MOST);
    assert_true(inbox.newest - inbox.oldest + 1 < 20);
    arena_release(&arena);
    inbox_release(&inbox);
}

static void the_file_is_an_mbox_that_quotes_from(void **state)
{
    struct inbox inbox;
    struct fault why;
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/tmp/inbox_test.%d", (int)getpid());
    assert_true(inbox_open(&inbox, path, &why));
    add(&inbox, 1, "a@b.example", "x", 0);
    inbox_release(&inbox);
    FILE *file = fopen(path, "re");
    size_t len = fread(text, 1, sizeof(text), file);
    fclose(file);
    unlink(path);
    assert_true(slice_starts(slice_of(text, len), SLICE("From b-1@bounce.shop.example Sun Nov 22 ")));
    assert_true(slice_find(slice_of(text, len), SLICE("\n\n>From here on 1\n")) > 0);
    assert_true(slice_find(slice_of(text, len), SLICE("\r")) < 0);

    assert_false(inbox_open(&inbox, "/nowhere/inbox", &why));
    assert_int_equal(why.kind, FAULT_WORLD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_come_first_page_by_page),
        cmocka_unit_test(what_is_too_much_goes_from_the_old_end),
        cmocka_unit_test(the_file_is_an_mbox_that_quotes_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
