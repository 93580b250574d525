/* R25, R28, S76, D06, D13-D16 and the roll-up of RECEIVERS.md ("only if all its MX hosts match"); every sample of
 * data/sites is proven by loading it */
#include "base/test.h"
#include "shape/site.h"

static struct sites *opened(void)
{
    struct sites *sites = NULL;
    struct fault why;
    if (!sites_open(NULL, &sites, &why))
        fail_msg("%s", why.text);
    return sites;
}

static void rolled_up_by_all_hosts(void **state)
{
    static const struct {
        const char *hosts[2];
        size_t count;
        const char *site;
    } rows[] = {
        {{"aspmx.l.google.com", "alt1.aspmx.l.GOOGLE.com"}, 2, "google"},
        {{"aspmx.l.google.com", "mx.example.jp"}, 2, "default"},
        {{"a-com.mail.protection.outlook.com"}, 1, "microsoft365"},
        {{"outlook-com.olc.protection.outlook.com"}, 1, "outlook"},
        {{"mx.yahoo.co.jp"}, 1, "yahoojp"}, /* D16: Yahoo! JAPAN is not Yahoo Inc */
        {{"mta5.am0.yahoodns.net"}, 1, "yahooinc"},
        {{"mx.yahoo.co.jp", "mta5.am0.yahoodns.net"}, 2, "default"},
        {{"mfsmax.docomo.ne.jp."}, 1, "docomo"},
        {{"lsean.ezweb.ne.jp", "msmx.au.com"}, 2, "au"},
        {{"mx.i.softbank.jp"}, 1, "softbank"},
        {{"mx00.mail.com"}, 1, "mailcom"},
        {{"notgoogle.com"}, 1, "default"},
        {{"google.com"}, 1, "google"},
        {{"com"}, 1, "default"},
        {{NULL}, 0, "default"},
    };
    struct sites *sites = opened();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice hosts[2] = {slice_str(rows[i].hosts[0]), slice_str(rows[i].hosts[1])};
        assert_slice(rows[i].hosts[0] ? rows[i].hosts[0] : "none", sites_rule_for(sites, hosts, rows[i].count)->name,
                     slice_str(rows[i].site));
    }
    sites_free(sites);
}

/* The table of RECEIVERS.md, and where a figure is written. */
static void figures_of_the_table(void **state)
{
    static const struct {
        const char *name;
        unsigned connections, messages;
        struct site_rate rate;
        enum site_tls tls;
    } rows[] = {
        {"default", 10, 100, {100, 1000}, SITE_TLS_MAY},
        {"google", 5, 50, {100, 1000}, SITE_TLS_REQUIRED}, /* D06 */
        {"yahoojp", 2, 20, {10, 1000}, SITE_TLS_MAY},
        {"outlook", 5, 50, {100, 1000}, SITE_TLS_MAY},
        {"microsoft365", 5, 50, {100, 1000}, SITE_TLS_MAY},
        {"icloud", 10, 5, {100, 1000}, SITE_TLS_MAY},
        {"comcast", 25, 1000, {100, 1000}, SITE_TLS_REQUIRED},
        {"gmx", 4, 20, {100, 1000}, SITE_TLS_REQUIRED},
        {"orange", 2, 100, {100, 1000}, SITE_TLS_REQUIRED},
        {"mimecast", 10, 100, {100, 1000}, SITE_TLS_MAY},
        {"barracuda", 10, 15, {100, 1000}, SITE_TLS_MAY},
        {"netvigator", 10, 10, {100, 1000}, SITE_TLS_MAY},
        {"kpn", 10, 10, {100, 1000}, SITE_TLS_MAY},
        {"qq", 4, 8, {100, 1000}, SITE_TLS_MAY},
        {"netease", 4, 7, {100, 1000}, SITE_TLS_MAY},
        {"docomo", 4, 100, {20, 1000}, SITE_TLS_MAY},  /* D13: 100 recipients a session: one recipient a message */
        {"au", 3, 20, {10, 1000}, SITE_TLS_MAY},       /* D14: spread over time, no long sessions */
        {"softbank", 3, 100, {5, 1000}, SITE_TLS_MAY}, /* D15 */
    };
    struct sites *sites = opened();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct site_rule *rule = sites_rule_named(sites, slice_str(rows[i].name));
        assert_row(rows[i].name, rule != NULL);
        assert_int_row(rows[i].name, rule->connections, rows[i].connections);
        assert_int_row(rows[i].name, rule->messages_per_connection, rows[i].messages);
        assert_int_row(rows[i].name, rule->rate.count, rows[i].rate.count);
        assert_int_row(rows[i].name, rule->rate.per, rows[i].rate.per);
        assert_int_row(rows[i].name, rule->tls, rows[i].tls);
    }
    const struct site_rule *google = sites_rule_named(sites, SLICE("google"));
    assert_string_equal(google->at[SITE_LIMIT_CONNECTIONS].file, "data/sites/google.yaml");
    assert_int_equal(google->at[SITE_LIMIT_CONNECTIONS].line, 5);
    assert_string_equal(google->at[SITE_LIMIT_RATE].file, "data/sites/default.yaml");
    assert_string_equal(google->place.file, "data/sites/google.yaml");
    static const char *const carriers[] = {"docomo", "au", "softbank"};
    for (size_t i = 0; i < COUNT_OF(carriers); i++)
        assert_true(sites_rule_named(sites, slice_str(carriers[i]))->to_verify);
    assert_int_equal(sites_rule_named(sites, SLICE("docomo"))->guard.percent, 40); /* D13: blocks of networks */
    sites_free(sites);

    const struct sites_options loopback = {.is_loopback = true};
    struct fault why;
    assert_true(sites_open(&loopback, &sites, &why));
    assert_slice("loopback", sites_default(sites)->name, SLICE("loopback"));
    assert_int_equal(sites_default(sites)->rate.count, 0);
    assert_int_equal(sites_rule_named(sites, SLICE("google"))->rate.count, 0);
    sites_free(sites);
}

#define DEFAULT                                                                                                        \
    "name: default\nlabel: all\nconnections: 10\nmessages_per_connection: 100\nrate: 100/s\n"                          \
    "new_connections: 100/min\ndaily: none\ntls: may\n"
#define FILE_HEAD     "name: one\nlabel: One\nhosts: [one.example]\n"
#define REACTION_HEAD FILE_HEAD "reactions:\n  - id: one.slow\n"

/* Whatever could never match, or never do anything, says so with file and line. */
static void what_is_wrong_is_said_with_its_line(void **state)
{
    static const struct {
        const char *name, *file, *says;
    } rows[] = {
        {"not YAML", "name: [one", "one.yaml line 2: "},
        {"nothing", "", "one.yaml line 1: \"key: value\" lines are wanted here"},
        {"no name", "label: x\n", "one.yaml line 1: \"name\" is missing"},
        {"no hosts", "name: one\nlabel: x\n", "line 1: hosts are missing"},
        {"unknown key", FILE_HEAD "conections: 5\n", "one.yaml line 4: unknown key \"conections\""},
        {"a key twice", FILE_HEAD "rate: 1/s\nrate: 2/s\n", "line 5: \"rate\" is written twice"},
        {"a dot in front", "name: one\nlabel: x\nhosts: [.one.example]\n", "line 3: \".one.example\": a dot too many"},
        {"a dot behind", "name: one\nlabel: x\nhosts:\n  - ok.example\n  - one.example.\n", "line 5: \"one.example.\""},
        {"two dots", "name: one\nlabel: x\nhosts: [one..example]\n", "a dot too many"},
        {"a star", "name: one\nlabel: x\nhosts: [\"*.example\"]\n", "no host's name has such a letter"},
        {"one label", "name: one\nlabel: x\nhosts: [com]\n", "two parts at least"},
        {"a rate of nothing", FILE_HEAD "rate: 0/s\n", "line 4: \"0/s\" is not a rate"},
        {"a rate without a unit", FILE_HEAD "rate: 100\n", "line 4: \"100\" is not a rate"},
        {"a rate of years", FILE_HEAD "rate: 5/y\n", "for s, min or h"},
        {"no connection", FILE_HEAD "connections: 0\n", "line 4: \"0\" is not a number"},
        {"tls", FILE_HEAD "tls: yes\n", "line 4: tls is may, required or never"},
        {"verify of what is not there", FILE_HEAD "verify: [rate]\n", "verify names a figure"},
        {"verify of nobody's name", FILE_HEAD "rate: 1/s\nverify: [speed]\n", "line 5: \"speed\" is not the name"},
        {"no example", REACTION_HEAD "    text: [slow]\n    suspend: 1h\n", "line 5: \"examples\" is missing"},
        {"nothing to look for", REACTION_HEAD "    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "line 5: a reaction looks"},
        {"an example that does not match",
         REACTION_HEAD "    text: [sloow]\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "line 8: \"one.slow\" does not match its own example"},
        {"a line that must not",
         REACTION_HEAD "    text: [slow]\n    suspend: 1h\n    examples: [\"421 slow\"]\n    not: [\"550 slowly\"]\n",
         "line 9: \"one.slow\" matches a line that it must not"},
        {"a text that nothing shows",
         REACTION_HEAD "    text: [slow, busy]\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "no example shows the text \"busy\""},
        {"the code in the text",
         REACTION_HEAD "    text: [\"421 slow\"]\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "line 6: \"421 slow\": code and status"},
        {"the status in the text",
         REACTION_HEAD "    text: [\"4.7.0 slow\"]\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "line 6: \"4.7.0 slow\": code and status"},
        {"a space too many",
         REACTION_HEAD "    text: [\"slow  down\"]\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "a space too many"},
        {"a code of success", REACTION_HEAD "    code: [250]\n    suspend: 1h\n    examples: [\"250 slow\"]\n",
         "not the code of a refusal"},
        {"a status with a dot too few",
         REACTION_HEAD "    status: [\"4.7\"]\n    suspend: 1h\n    examples: [\"421 slow\"]\n", "not the status"},
        {"a status with a dot too many",
         REACTION_HEAD "    status: [\"4.7.0.\"]\n    suspend: 1h\n    examples: [\"421 slow\"]\n", "not the status"},
        {"code against status",
         REACTION_HEAD "    code: [5xx]\n    status: [4.7.0]\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "could never match"},
        {"a stage nobody knows",
         REACTION_HEAD "    text: [slow]\n    stage: [greeting]\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "line 7: there is no stage \"greeting\""},
        {"count without within",
         REACTION_HEAD "    text: [slow]\n    count: 2\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "count and within"},
        {"no effect", REACTION_HEAD "    text: [slow]\n    examples: [\"421 slow\"]\n",
         "says suspend, rate or connections"},
        {"slow for how long", REACTION_HEAD "    text: [slow]\n    rate: 1/s\n    examples: [\"421 slow\"]\n",
         "\"for\" a time"},
        {"both",
         REACTION_HEAD "    text: [slow]\n    rate: 1/s\n    for: 1h\n    suspend: 1h\n    examples: [\"421 slow\"]\n",
         "not both"},
        {"not slower", REACTION_HEAD "    text: [slow]\n    rate: 100/s\n    for: 1h\n    examples: [\"421 slow\"]\n",
         "line 5: its rate is no slower"},
        {"not fewer",
         REACTION_HEAD "    text: [slow]\n    connections: 10\n    for: 1h\n    examples: [\"421 slow\"]\n",
         "no fewer connections"},
        {"a time", REACTION_HEAD "    text: [slow]\n    suspend: soon\n    examples: [\"421 slow\"]\n",
         "line 7: \"soon\" is not a time"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sites *sites = sites_new();
        struct fault why = {0};
        assert_true(sites_read(sites, "default.yaml", SLICE(DEFAULT), false, &why));
        bool ok =
            sites_read(sites, "one.yaml", slice_str(rows[i].file), false, &why) && sites_settle(sites, false, &why);
        if (ok || !strstr(why.text, rows[i].says) || why.kind != FAULT_INPUT)
            fail_msg("%s: \"%s\" is not said: \"%s\"", rows[i].name, rows[i].says, ok ? "" : why.text);
        sites_free(sites);
    }
}

static void two_files(void **state)
{
    struct sites *sites = sites_new();
    struct fault why;
    assert_true(sites_read(sites, "default.yaml", SLICE(DEFAULT), false, &why));
    assert_true(sites_read(sites, "one.yaml", SLICE(FILE_HEAD), false, &why));
    assert_false(sites_read(sites, "again.yaml", SLICE(FILE_HEAD), false, &why));
    assert_non_null(strstr(why.text, "again.yaml line 1: the name \"one\" is there already (one.yaml)"));
    assert_true(
        sites_read(sites, "ours/one.yaml", SLICE(FILE_HEAD "connections: 3\n"), true, &why)); /* the operator's */
    assert_true(sites_settle(sites, false, &why));
    const struct slice host = SLICE("mx.one.example");
    assert_int_equal(sites_rule_for(sites, &host, 1)->connections, 3);
    assert_string_equal(sites_rule_for(sites, &host, 1)->at[SITE_LIMIT_CONNECTIONS].file, "ours/one.yaml");
    assert_true(sites_read(sites, "two.yaml", SLICE("name: two\nlabel: x\nhosts: [mx.one.example, one.example]\n"),
                           false, &why));
    assert_false(sites_settle(sites, false, &why));
    assert_non_null(strstr(why.text, "\"one.example\" belongs to \"one\" already"));
    sites_free(sites);
    assert_true(sites_open(&(struct sites_options){.folder = "/nonexistent/sites"}, &sites, &why));
    sites_free(sites);
    assert_false(sites_open(&(struct sites_options){.folder = "/dev/null"}, &sites, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
}

/* R25: what a site's own rule answers is no mere end of a connection there. */
static void what_a_rule_reacts_to(void **state)
{
    static const struct {
        const char *host, *text;
        bool reacts;
    } rows[] = {
        {"mx.yahoo.co.jp", "Timeout waiting for command", true},
        {"mx.yahoo.co.jp", "Too many messages in this session", false},
        {"mx.163.com", "HL:MEP too many messages in one connection", true},
        {"mx.example.jp", "Timeout waiting for command", false},
        {"mx.example.jp", "Too many messages in this session", false},
        {"mx.example.jp", "Messages from 192.0.2.1 temporarily deferred", true}, /* the default's hold for all */
        {"mx.yahoo.co.jp", "Messages from 192.0.2.1 temporarily deferred", true},
    };
    struct sites *sites = opened();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct slice host = slice_str(rows[i].host);
        const struct reply reply = {.code = 421, .text = slice_str(rows[i].text)};
        assert_int_row(rows[i].text, site_rule_reacts(sites_rule_for(sites, &host, 1), &reply, STAGE_MAIL),
                       rows[i].reacts);
    }
    sites_free(sites);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rolled_up_by_all_hosts),
        cmocka_unit_test(figures_of_the_table),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(two_files),
        cmocka_unit_test(what_a_rule_reacts_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
