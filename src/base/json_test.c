#include "base/json.h"
#include "base/test.h"

static void nested(void **state)
{
    SCOPED(buf) out = BUF(4096);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "a", SLICE("x\"\\\n\x01"));
    json_put_array(&json, "list");
    json_int(&json, -1);
    json_bool(&json, true);
    json_nothing(&json);
    json_object_begin(&json);
    json_end(&json);
    json_end(&json);
    json_put_int(&json, "n", 5);
    json_put_double(&json, "d", 0.25);
    json_put_object(&json, "o");
    json_put_null(&json, "none");
    json_put_words(&json, "said", SLICE("宛先"), SLICE("address"));
    json_end(&json);
    json_end(&json);
    assert_slice(
        "nested", buf_slice(&out),
        SLICE("{\"a\":\"x\\\"\\\\\\n\\u0001\",\"list\":[-1,true,null,{}],\"n\":5,\"d\":0.25,\"o\":{\"none\":null,"
              "\"said\":{\"ja\":\"宛先\",\"en\":\"address\"}}}"));
}

static void bad_bytes_are_repaired(void **state)
{
    SCOPED(buf) out = BUF(4096);
    struct json json = {&out};
    json_text(&json, SLICE("宛先\xff\xe3\x81"));
    assert_slice("repaired", buf_slice(&out), SLICE("\"宛先\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
}

/* Eight bytes at a time must find what one at a time finds: every ASCII byte at every place. */
static void every_byte_at_every_place(void **state)
{
    SCOPED(buf) whole = BUF(4096);
    SCOPED(buf) pieces = BUF(4096);
    for (size_t len = 1; len <= 19; len++)
        for (size_t at = 0; at < len; at++)
            for (int byte = 0; byte < 128; byte++) {
                char text[24];
                memset(text, at % 2 ? '!' : '~', sizeof(text)); /* the neighbours of what needs care */
                text[at] = (char)byte;
                buf_reset(&whole);
                buf_reset(&pieces);
                json_escape(&whole, slice_of(text, len));
                for (size_t i = 0; i < len; i++)
                    json_escape(&pieces, slice_of(text + i, 1));
                assert_true(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nested), cmocka_unit_test(bad_bytes_are_repaired),
                                       cmocka_unit_test(every_byte_at_every_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
