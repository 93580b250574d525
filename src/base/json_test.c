#include "base/json.h"
#include "base/test.h"

static void nested(void **state)
{
    SCOPED(buf) out = BUF(4096);
    struct json json = {&out};
    json_object_begin(&json);
    json_put_string(&json, "a", SLICE("x\"\\\n\x01"));
    json_key(&json, "list");
    json_array_begin(&json);
    json_int(&json, -1);
    json_bool(&json, true);
    json_nothing(&json);
    json_object_begin(&json);
    json_end(&json);
    json_end(&json);
    json_put_int(&json, "n", 5);
    json_key(&json, "d");
    json_double(&json, 0.25);
    json_end(&json);
    assert_slice("nested", buf_slice(&out),
                 SLICE("{\"a\":\"x\\\"\\\\\\n\\u0001\",\"list\":[-1,true,null,{}],\"n\":5,\"d\":0.25}"));
}

static void bad_bytes_are_repaired(void **state)
{
    SCOPED(buf) out = BUF(4096);
    struct json json = {&out};
    json_text(&json, SLICE("宛先\xff\xe3\x81"));
    assert_slice("repaired", buf_slice(&out), SLICE("\"宛先\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nested), cmocka_unit_test(bad_bytes_are_repaired)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
