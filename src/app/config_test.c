#include "app/config.h"
#include "base/test.h"
#include <unistd.h>

static void a_file_is_read_or_says_where_it_is_wrong(void **state)
{
    static const struct {
        const char *text, *says; /* NULL: good */
    } rows[] = {
        {"http:\n  listen: 127.0.0.1:9000\nstore: /tmp/x.db\n", NULL},
        {"", NULL},
        {"# only a comment\n", NULL},
        {"http:\n  lisen: 127.0.0.1:9000\n",
         "line 2: there is no setting \"http.lisen\"; did you mean \"http.listen\"?"},
        {"quux: 1\n", "line 1: there is no setting \"quux\"; docs/settings.md lists them"},
        {"store: x\nhttp:\n  listen: nowhere\n", "line 3: http.listen: "},
        {"in_doubt:\n  wait: 5 weeks\n", "line 2: in_doubt.wait: \"5 weeks\" is no duration"},
        {"log:\n  level: loud\n", "line 2: log.level: \"loud\" is none of [debug|info|warn|error]"},
        {"node: many\n", "line 1: node: \"many\" is no number"},
        {"store: [a, b]\n", "line 1: store: one value is wanted here"},
        {"- a\n", "line 1: settings are written as"},
        {"store: \"a\nb: c\n", "line"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char path[] = "/tmp/todoke-config-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, rows[i].text, strlen(rows[i].text)) == (ssize_t)strlen(rows[i].text));
        close(fd);
        struct config config;
        struct fault why = {0};
        config_init(&config);
        bool ok = config_load(&config, path, &why);
        unlink(path);
        if (ok != (rows[i].says == NULL) || (!ok && !strstr(why.text, rows[i].says)))
            fail_msg("%s: %s", rows[i].text, why.text);
        assert_row(rows[i].text, ok || (why.kind == FAULT_INPUT && strstr(why.text, path)));
        if (i == 0)
            assert_int_equal(config.http_listen.endpoint.port, 9000);
        config_release(&config);
    }
}

static void defaults(void **state)
{
    struct config config;
    config_init(&config);
    assert_string_equal(config.store.text, "todoke.db");
    assert_true(config.in_doubt_wait.duration == MINUTES_MS(60) && config.expires_after.duration == DAYS_MS(5));
    config_release(&config);
}

/* A "|" of [on|off] would end the table's cell. */
static void every_row_of_the_page_has_three_cells(void **state)
{
    SCOPED(buf) page = BUF(65536);
    config_reference(&page);
    struct slice rest = buf_slice(&page), line;
    unsigned rows = 0;
    while (slice_line(&rest, &line)) {
        if (!slice_starts(line, SLICE("|")))
            continue;
        unsigned bars = 0;
        for (size_t i = 0; i < line.len; i++)
            bars += line.ptr[i] == '|' && (!i || line.ptr[i - 1] != '\\');
        if (bars != 4 || slice_find(line, SLICE("``")) >= 0)
            fail_msg("%.*s", SLICE_ARG(line));
        rows++;
    }
    assert_true(rows > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_file_is_read_or_says_where_it_is_wrong),
                                       cmocka_unit_test(defaults),
                                       cmocka_unit_test(every_row_of_the_page_has_three_cells)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
