/* A letter is read back as it was written. */
#include "base/test.h"
#include "content/letter.h"

static void written_and_read_back(void **state)
{
    static const struct content_header headers[] = {{SLICE_INIT("X-A"), SLICE_INIT("\"b\" \x01")},
                                                    {SLICE_INIT("X-B"), SLICE_INIT("")}};
    static const struct content_file files[] = {
        {SLICE_INIT("請求書.pdf"), SLICE_INIT("application/pdf"), SLICE_INIT("%PDF\0\xff\n"), SLICE_INIT("a@b")},
        {SLICE_INIT(""), SLICE_INIT(""), SLICE_INIT(""), {0}}};
    static const struct content_link links[] = {
        {UINT64_C(1) << 62, SLICE_INIT("図\"面.zip"), UINT64_C(5) << 32, 1795321800000}};
    struct letter letter = {.version_id = UINT64_C(1) << 62,
                            .wants_unsubscribe = true,
                            .source = {.subject = SLICE("件名 \"{{ a }}\"\n"),
                                       .html = SLICE("<p>\\"),
                                       .text = SLICE("t"),
                                       .from_name = SLICE("花丸"),
                                       .from_address = SLICE("a@b"),
                                       .headers = headers,
                                       .header_count = 2,
                                       .files = files,
                                       .file_count = 2,
                                       .links = links,
                                       .link_count = 1}},
                  back;
    SCOPED(buf) text = BUF(10000);
    SCOPED(buf) again = BUF(10000);
    SCOPED(arena) arena = {0};
    struct fault why = {0};
    letter_write(&letter, &text);
    assert_true(letter_read(buf_slice(&text), &arena, &back, &why));
    letter_write(&back, &again);
    assert_slice("the same", buf_slice(&again), buf_slice(&text));
    assert_true(back.version_id == letter.version_id && back.wants_unsubscribe);
    assert_slice("file", back.source.files[0].bytes, files[0].bytes);
    assert_slice("header", back.source.headers[0].value, headers[0].value);
    assert_true(back.source.link_count == 1 && back.source.links[0].file_id == links[0].file_id &&
                back.source.links[0].size_bytes == links[0].size_bytes &&
                back.source.links[0].expires == links[0].expires);
    assert_slice("link", back.source.links[0].name, links[0].name);
    static const char *const wrong[] = {"{\"links\":[{\"id\":\"x\"}]}", "", "[]", "{\"version\":\"x\"}",
                                        "{\"files\":[{\"bytes\":\"*\"}]}"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_row(wrong[i], !letter_read(slice_str(wrong[i]), &arena, &back, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(written_and_read_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
