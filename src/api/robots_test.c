/* U10: people, robots and privacy proxies are told apart by agent and network; the rows are data, ours and an
 * operator's */
#include "api/robots.h"
#include "base/random.h"
#include "base/test.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHROME                                                                                                         \
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"

static enum event_origin who(const struct robots *robots, const char *agent, const char *address)
{
    struct ip ip = {0};
    assert_true(!address || ip_parse(slice_str(address), &ip));
    return robots_who(robots, slice_str(agent), address ? &ip : NULL);
}

static void those_we_carry(void **state)
{
    static const struct {
        const char *row, *agent, *ip;
        enum event_origin who;
    } table[] = {
        {"a browser", CHROME, "198.51.100.7", EVENT_ORIGIN_PERSON},
        {"a browser by IPv6", CHROME, "2001:db8::7", EVENT_ORIGIN_PERSON},
        {"a browser, whose address is not known", CHROME, NULL, EVENT_ORIGIN_PERSON},
        {"nobody's name", "", "198.51.100.7", EVENT_ORIGIN_ROBOT},
        {"white space for a name", "  \t", NULL, EVENT_ORIGIN_ROBOT},
        {"Apple's proxy", "Mozilla/5.0", "203.0.113.9", EVENT_ORIGIN_PROXY},
        {"Apple's proxy, spaces around it", " Mozilla/5.0 ", NULL, EVENT_ORIGIN_PROXY},
        {"what begins like it", "Mozilla/5.0 (X11)", NULL, EVENT_ORIGIN_PERSON},
        {"Gmail's proxy is a person, from a network of robots too",
         "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "66.249.64.1",
         EVENT_ORIGIN_PERSON},
        {"a bot in capitals", "Some-BOT/1.0", NULL, EVENT_ORIGIN_ROBOT},
        {"a telephone whose maker ends in bot", "Mozilla/5.0 (Linux; Android 12; CUBOT X50) Chrome/119 Mobile", NULL,
         EVENT_ORIGIN_PERSON},
        {"a telephone of that maker that says it is a crawler, longer", "CUBOT x googleother-image", NULL,
         EVENT_ORIGIN_ROBOT},
        {"the first address of a gateway's network", CHROME, "207.211.31.0", EVENT_ORIGIN_ROBOT},
        {"its last", CHROME, "207.211.31.127", EVENT_ORIGIN_ROBOT},
        {"one behind it", CHROME, "207.211.31.128", EVENT_ORIGIN_PERSON},
        {"one before it", CHROME, "207.211.30.255", EVENT_ORIGIN_PERSON},
        {"a network of 15 bits", CHROME, "40.93.255.255", EVENT_ORIGIN_ROBOT},
        {"behind it", CHROME, "40.94.0.0", EVENT_ORIGIN_PERSON},
    };
    struct robots *robots;
    struct fault why = {0};
    if (!robots_open(NULL, &robots, &why))
        fail_msg("%s", why.text);
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_row(table[i].row, who(robots, table[i].agent, table[i].ip), table[i].who);
    robots_free(robots);
}

#define NAMED   "name: x\n"
#define AGENTS  NAMED "agents:\n"
#define EXAMPLE "examples:\n  - {agent: acme probe, who: robot}\n"

static void a_file_that_could_not_mean_it_is_refused(void **state)
{
    static const struct {
        const char *row, *yaml, *why;
    } table[] = {
        {"good", AGENTS "  - {part: acme, who: robot}\n" EXAMPLE, NULL},
        {"good, with networks alone", NAMED "networks:\n  - {network: '192.0.2.0/24', who: robot}\n", NULL},
        {"empty", "", "lines are wanted here"},
        {"no YAML", "name: [", "x.yaml line"},
        {"no name", "agents:\n  - {part: acme, who: robot}\n" EXAMPLE, "\"name\" is missing"},
        {"unknown key", NAMED "agent: x\n", "line 2: unknown key \"agent\""},
        {"no such thing", AGENTS "  - {part: acme, who: human}\n" EXAMPLE, "line 3: who is robot, proxy or person"},
        {"part and is", AGENTS "  - {part: acme, is: acme, who: robot}\n" EXAMPLE, "not both"},
        {"neither", AGENTS "  - {who: robot}\n" EXAMPLE, "\"part\" is missing"},
        {"too short to mean anybody", AGENTS "  - {part: ab, who: robot}\n" EXAMPLE, "3 to 200 octets"},
        {"written twice", AGENTS "  - {part: acme, who: robot, who: proxy}\n" EXAMPLE, "twice"},
        {"no example", AGENTS "  - {part: acme, who: robot}\n", "at least one"},
        {"an example that says otherwise", AGENTS "  - {part: acme, who: person}\n" EXAMPLE,
         "line 5: this is a person"},
        {"an example that no row fits", AGENTS "  - {part: acne, who: robot}\n" EXAMPLE, "this is a person"},
        {"no network", NAMED "networks:\n  - {network: 192.0.2.0, who: robot}\n", "is not a network"},
        {"bits", NAMED "networks:\n  - {network: 192.0.2.0/33, who: robot}\n", "is not a network"},
        {"everybody", NAMED "networks:\n  - {network: 0.0.0.0/0, who: robot}\n", "too large"},
        {"everybody by IPv6", NAMED "networks:\n  - {network: '::/1', who: robot}\n", "too large"},
        {"no list", NAMED "agents: acme\n", "a list is wanted"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct robots *robots = robots_new();
        struct fault why = {0};
        bool ok = robots_read(robots, "x.yaml", slice_str(table[i].yaml), false, &why) && robots_settle(robots, &why);
        assert_int_row(table[i].row, ok, table[i].why == NULL);
        if (!ok && !strstr(why.text, table[i].why))
            fail_msg("%s: %s", table[i].row, why.text);
        robots_free(robots);
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void an_operators_file_adds_and_replaces(void **state)
{
    char folder[] = "/tmp/todoke-robots-XXXXXX", path[200];
    struct robots *robots;
    struct fault why = {0};
    assert_non_null(mkdtemp(folder));
    write_file(folder, "ours.yaml",
               "name: ours\nagents:\n  - {part: acme link probe, who: robot}\n  - {is: Our Own Mail App, who: person}\n"
               "networks:\n  - {network: 10.7.0.0/16, who: robot}\n  - {network: 10.7.9.0/24, who: person}\n"
               "  - {network: '2001:db8:7::/48', who: proxy}\nexamples:\n  - {agent: Acme Link Probe 2, who: robot}\n");
    write_file(folder, "apple.yaml",
               "name: apple\nagents:\n  - {is: Mozilla/5.0, who: person}\nexamples:\n  - "
               "{agent: Mozilla/5.0, who: person}\n");
    write_file(folder, "not.txt", "what is no *.yaml is not looked at");
    assert_true(robots_open(folder, &robots, &why));
    assert_int_equal(who(robots, "Mozilla (ACME link probe)", NULL), EVENT_ORIGIN_ROBOT);
    assert_int_equal(who(robots, CHROME, "10.7.1.1"), EVENT_ORIGIN_ROBOT);
    assert_int_equal(who(robots, CHROME, "10.7.9.1"), EVENT_ORIGIN_PERSON); /* the longer one */
    assert_int_equal(who(robots, "Our Own Mail App", "10.7.1.1"), EVENT_ORIGIN_PERSON);
    assert_int_equal(who(robots, CHROME, "2001:db8:7:1::9"), EVENT_ORIGIN_PROXY);
    assert_int_equal(who(robots, CHROME, "2001:db8:8::9"), EVENT_ORIGIN_PERSON);
    assert_int_equal(who(robots, "Mozilla/5.0", NULL), EVENT_ORIGIN_PERSON); /* instead of ours */
    robots_free(robots);
    write_file(folder, "ours.yaml", "name: ours\nagents: 3\n");
    assert_false(robots_open(folder, &robots, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_non_null(strstr(why.text, "ours.yaml line 2"));
    static const char *const names[] = {"ours.yaml", "apple.yaml", "not.txt"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* What the machine finds is what looking for every part in turn finds. */
static void all_parts_at_once_is_each_in_turn(void **state)
{
    static const char *const parts[] = {"abc", "bcab", "cabca", "aaab", "bbbb", "cacb", "abcabcabc", "caab"};
    struct robots *robots = robots_new();
    struct fault why = {0};
    struct random random;
    SCOPED(buf) yaml = BUF(4000);
    buf_text(&yaml, "name: x\nagents:\n");
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        buf_printf(&yaml, "  - {part: %s, who: %s}\n", parts[i], i % 2 ? "robot" : "proxy");
    buf_text(&yaml, "examples:\n  - {agent: zzz abc, who: proxy}\n");
    assert_true(robots_read(robots, "x.yaml", buf_slice(&yaml), false, &why) && robots_settle(robots, &why));
    random_seed(&random, 7);
    for (int turn = 0; turn < 20000; turn++) {
        char text[16];
        size_t len = 1 + random_below(&random, sizeof(text)), longest = 0;
        enum event_origin want = EVENT_ORIGIN_PERSON;
        for (size_t i = 0; i < len; i++)
            text[i] = "abcABC"[random_below(&random, 6)];
        for (size_t i = 0; i < COUNT_OF(parts); i++)
            if (slice_find_caseless(slice_of(text, len), slice_str(parts[i])) != SLICE_NPOS &&
                strlen(parts[i]) > longest) {
                longest = strlen(parts[i]);
                want = i % 2 ? EVENT_ORIGIN_ROBOT : EVENT_ORIGIN_PROXY;
            }
        enum event_origin got = robots_who(robots, slice_of(text, len), NULL);
        /* two of one length: either */
        bool is_same = got == want || (longest == 4 && got != EVENT_ORIGIN_PERSON);
        if (!is_same)
            fail_msg("\"%.*s\": %d, want %d", (int)len, text, got, want);
    }
    robots_free(robots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_we_carry),
        cmocka_unit_test(a_file_that_could_not_mean_it_is_refused),
        cmocka_unit_test(an_operators_file_adds_and_replaces),
        cmocka_unit_test(all_parts_at_once_is_each_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
