/* M41, X13 and issue 5: what is kept of reports and of fetched mail, on both stores */
#include "receive/box.h"
#include "receive/kept_report.h"
#include "store/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define NOW ((time_ms)1795321800000)

/* ── reports ── */

static struct report_source sources[] = {
    {SLICE_INIT("192.0.2.1"), SLICE_INIT("shop.example"), SLICE_INIT("none"), SLICE_INIT("pass"), SLICE_INIT("fail"),
     SLICE_INIT("dkim=pass"), 12, true},
    {SLICE_INIT("198.51.100.9"), SLICE_INIT("shop.example"), SLICE_INIT("reject"), SLICE_INIT("fail"),
     SLICE_INIT("fail"), SLICE_INIT(""), 30, false},
};
struct keeping {
    struct report_record report;
    uint64_t mail_id;
};
static bool keep_run(struct db *db, struct fault *why, void *context)
{
    struct keeping *keeping = context;
    return kept_report_add(db, why, &keeping->report, keeping->mail_id, NOW);
}
static void keep(struct test_store *store, const char *org, const char *id, enum feedback_kind kind)
{
    struct keeping keeping = {.report = {.kind = kind,
                                         .org = slice_str(org),
                                         .report_id = slice_str(id),
                                         .domain = SLICE("shop.example"),
                                         .begin = 100,
                                         .end = 200,
                                         .sources = sources,
                                         .source_count = COUNT_OF(sources)},
                              .mail_id = 4711};
    test_write(store->store, keep_run, &keeping);
}
struct seen {
    unsigned count;
    uint64_t ids[8], counts[8];
    char first[64];
};
static bool report_seen(void *context, const struct kept_report *report)
{
    struct seen *seen = context;
    seen->ids[seen->count++] = report->id;
    assert_int_equal(report->good, 12);
    assert_int_equal(report->bad, 30);
    assert_int_equal(report->begin, 100000);
    return true;
}
static bool source_seen(void *context, const struct report_source *source)
{
    struct seen *seen = context;
    if (!seen->count)
        snprintf(seen->first, sizeof(seen->first), "%.*s", SLICE_ARG(source->ip));
    seen->counts[seen->count++] = source->count;
    return true;
}

static void reports_are_kept_once(void **state)
{
    TEST_STORE(store, state);
    struct fault why;
    keep(&store, "google.com", "1", FEEDBACK_DMARC);
    keep(&store, "google.com", "1", FEEDBACK_DMARC); /* again */
    keep(&store, "google.com", "1", FEEDBACK_TLS);   /* another kind */
    keep(&store, "yahoo.com", "1", FEEDBACK_DMARC);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM feedback_report"), 3);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM feedback_source"), 6);
    struct seen seen = {0};
    assert_true(kept_report_list(store.reader, &why, &(struct report_filter){.limit = 2}, report_seen, &seen));
    assert_int_equal(seen.count, 2);
    const struct report_filter older = {.limit = 10, .before_id = seen.ids[1]};
    assert_true(kept_report_list(store.reader, &why, &older, report_seen, &seen));
    assert_int_equal(seen.count, 3);
    assert_true(seen.ids[0] > seen.ids[1] && seen.ids[1] > seen.ids[2]);
    const struct report_filter tls = {.limit = 10, .kind = FEEDBACK_TLS, .domain = SLICE("shop.example")};
    seen.count = 0;
    assert_true(kept_report_list(store.reader, &why, &tls, report_seen, &seen));
    assert_int_equal(seen.count, 1);
    uint64_t tls_id = seen.ids[0];
    struct kept_report one;
    SCOPED(arena) arena = {0};
    bool found;
    assert_true(kept_report_find(store.reader, &why, seen.ids[0], &arena, &one, &found));
    assert_true(found);
    assert_slice("org", one.org, SLICE("google.com"));
    assert_slice("the mail is not there", one.sender, SLICE(""));
    assert_true(kept_report_find(store.reader, &why, 12, &arena, &one, &found));
    assert_false(found);
    /* two DMARC reports together, the largest first */
    seen = (struct seen){0};
    const struct source_filter all = {.kind = FEEDBACK_DMARC, .domain = SLICE("shop.example"), .limit = 10};
    assert_true(kept_report_sources(store.reader, &why, &all, source_seen, &seen));
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.counts[0], 60);
    assert_string_equal(seen.first, "198.51.100.9");
    seen = (struct seen){0};
    const struct source_filter of_one = {.report = tls_id, .limit = 10};
    assert_true(kept_report_sources(store.reader, &why, &of_one, source_seen, &seen));
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.counts[0], 30);
    seen = (struct seen){0};
    const struct source_filter later = {.kind = FEEDBACK_DMARC, .since = NOW + 1, .limit = 10};
    assert_true(kept_report_sources(store.reader, &why, &later, source_seen, &seen));
    assert_int_equal(seen.count, 0);
    test_store_end(&store);
}

/* ── boxes ── */

struct boxing {
    struct seal_key seal;
    struct box box;
    struct box_mail mail;
    const struct slice *uids;
    size_t count;
    bool is_new;
};
static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct boxing *boxing = context;
    return box_add(db, why, &boxing->seal, &boxing->box, SLICE("p\"w"), NOW);
}
static bool box_keep_run(struct db *db, struct fault *why, void *context)
{
    struct boxing *boxing = context;
    return box_keep(db, why, &boxing->box, &boxing->mail, NOW, &boxing->is_new);
}
static bool forget_run(struct db *db, struct fault *why, void *context)
{
    struct boxing *boxing = context;
    return box_forget(db, why, &boxing->box, boxing->uids, boxing->count);
}
static bool checked_run(struct db *db, struct fault *why, void *context)
{
    struct boxing *boxing = context;
    char fault[BOX_TEXT_MAX + 3];
    memset(fault, 'x', sizeof(fault));
    memcpy(fault + BOX_TEXT_MAX - 1, "\xe3\x81\x82", 4); /* would be cut in the middle */
    return box_checked(db, why, boxing->box.id, NOW, fault);
}
static bool kept_new(struct test_store *store, struct boxing *boxing, struct box_mail mail)
{
    boxing->mail = mail;
    boxing->mail.bytes = SLICE("Subject: x\r\n\r\ny\r\n");
    test_write(store->store, box_keep_run, boxing);
    return boxing->is_new;
}
static struct boxing made(struct test_store *store, enum box_kind kind, const char *name)
{
    struct boxing boxing = {.seal = {.id = 7}, .box = {.kind = kind, .poll_s = 60}};
    struct fault why;
    snprintf(boxing.box.name, sizeof(boxing.box.name), "%s", name);
    snprintf(boxing.box.host, sizeof(boxing.box.host), "mail.example");
    snprintf(boxing.box.user, sizeof(boxing.box.user), "u");
    if (kind == BOX_MAILDIR)
        snprintf(boxing.box.folder, sizeof(boxing.box.folder), "/nowhere");
    if (!box_check(&boxing.box, &why))
        fail_msg("%s", why.text);
    test_write(store->store, add_run, &boxing);
    return boxing;
}

static void a_fetched_mail_is_kept_once(void **state)
{
    TEST_STORE(store, state);
    struct fault why;
    struct boxing imap = made(&store, BOX_IMAP, "one"), pop3 = made(&store, BOX_POP3, "two");
    imap.box.uid_validity = 1;
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 5}));
    assert_false(kept_new(&store, &imap, (struct box_mail){.number = 5})); /* a crash, and again */
    assert_false(kept_new(&store, &imap, (struct box_mail){.number = 4}));
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 6}));
    imap.box.uid_validity = 2;                                             /* the server counts anew */
    assert_false(kept_new(&store, &imap, (struct box_mail){.number = 1})); /* both copies are known */
    assert_false(kept_new(&store, &imap, (struct box_mail){.number = 2}));
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 3})); /* a third one is new */
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 7, .uid = SLICE("2.7"), .is_too_large = true}));
    assert_false(kept_new(&store, &imap, (struct box_mail){.number = 7}));
    assert_true(kept_new(&store, &pop3, (struct box_mail){.uid = SLICE("large"), .is_too_large = true}));
    assert_true(kept_new(&store, &pop3, (struct box_mail){.uid = SLICE("a")}));
    assert_false(kept_new(&store, &pop3, (struct box_mail){.uid = SLICE("a")}));
    assert_true(kept_new(&store, &pop3, (struct box_mail){.uid = SLICE("b")}));
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM inbound WHERE peer = 'mailbox:one'"), 3);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM inbound WHERE peer = 'mailbox:two'"), 2);

    const struct slice there[] = {SLICE("b"), SLICE("c"), SLICE("large")}, left[] = {SLICE("2.6"), SLICE("2.7")};
    enum box_mark marks[3];
    pop3.uids = there;
    pop3.count = 3;
    assert_true(box_known(store.reader, &why, &pop3.box, there, 3, marks));
    assert_true(marks[0] == BOX_KEPT && marks[1] == BOX_NEW && marks[2] == BOX_LEFT);
    assert_true(box_known(store.reader, &why, &imap.box, left, 2, marks));
    assert_true(marks[0] == BOX_NEW && marks[1] == BOX_LEFT);
    test_write(store.store, forget_run, &pop3); /* "a" is gone from the server, and from here */
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM mailbox_seen"), 3);

    test_write(store.store, checked_run, &imap);
    struct box *boxes;
    size_t count;
    SCOPED(buf) password = BUF(100);
    assert_true(box_list(store.reader, &why, SLICE(""), &boxes, &count));
    assert_int_equal(count, 2);
    assert_int_equal(boxes[0].uid_validity, 2);
    assert_int_equal(boxes[0].last_uid, 7);
    assert_int_equal(boxes[0].port, 993);
    assert_true(boxes[0].checked == NOW && strlen(boxes[0].fault) == BOX_TEXT_MAX - 1);
    assert_int_equal(boxes[1].fetched, 3);
    assert_true(box_password(store.reader, &why, &imap.seal, &boxes[0], &password));
    assert_slice("password", buf_slice(&password), SLICE("p\"w"));
    free(boxes);
    struct fault again = {0};
    assert_false(test_write_try(store.store, add_run, &imap, &again));
    assert_non_null(strstr(again.text, "already"));
    test_store_end(&store);
}

static bool forget_contents_run(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "DELETE FROM mailbox_content", NO_VALUES, NULL);
}

/* What was kept by a version that remembered no contents is known all the same when the server counts anew. */
static void kept_before_contents_were(void **state)
{
    TEST_STORE(store, state);
    struct boxing imap = made(&store, BOX_IMAP, "old"), other = made(&store, BOX_IMAP, "other");
    imap.box.uid_validity = other.box.uid_validity = 1;
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 1}));
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 2}));
    assert_true(kept_new(&store, &other, (struct box_mail){.number = 1}));
    test_write(store.store, forget_contents_run, NULL);
    imap.box.uid_validity = other.box.uid_validity = 2;
    assert_false(kept_new(&store, &imap, (struct box_mail){.number = 1})); /* both copies */
    assert_false(kept_new(&store, &imap, (struct box_mail){.number = 2}));
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 3}));
    assert_false(kept_new(&store, &other, (struct box_mail){.number = 1}));
    assert_true(kept_new(&store, &other, (struct box_mail){.number = 2}));
    imap.box.uid_validity = 3; /* and once more, with some of both kinds */
    for (unsigned number = 1; number <= 3; number++)
        assert_false(kept_new(&store, &imap, (struct box_mail){.number = number}));
    assert_true(kept_new(&store, &imap, (struct box_mail){.number = 4}));
    test_store_end(&store);
}

static void when_a_box_is_looked_at(void **state)
{
    struct box box = {.poll_s = 60};
    assert_true(box_is_due(&box, NOW)); /* never yet */
    box.checked = NOW;
    assert_false(box_is_due(&box, NOW + 59999));
    assert_true(box_is_due(&box, NOW + 60000));
    assert_true(box_is_due(&box, NOW - DAYS_MS(1))); /* F8: the clock was set back */
}

static void a_box_that_is_no_good(void **state)
{
    static const struct {
        const char *thought;
        struct box box;
        const char *said;
    } rows[] = {
        {"no name", {.kind = BOX_IMAP, .host = "h", .user = "u", .poll_s = 1}, "name"},
        {"no host", {.name = "n", .user = "u", .poll_s = 1}, "--host"},
        {"no user", {.name = "n", .host = "h", .poll_s = 1}, "--user"},
        {"a host that would be a URL", {.name = "n", .host = "h/x", .user = "u", .poll_s = 1}, "--host"},
        {"a user with a line end", {.name = "n", .host = "h", .user = "u\r\nDELETE", .poll_s = 1}, "control"},
        {"a folder with a line end", {.name = "n", .host = "h", .user = "u", .folder = "a\nb", .poll_s = 1}, "control"},
        {"never", {.name = "n", .host = "h", .user = "u"}, "--every"},
        {"a Maildir without a path", {.name = "n", .kind = BOX_MAILDIR, .poll_s = 1}, "--folder"},
        {"a port", {.name = "n", .host = "h", .user = "u", .port = 70000, .poll_s = 1}, "--port"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct box box = rows[i].box;
        struct fault why = {0};
        assert_row(rows[i].thought, !box_check(&box, &why));
        if (!strstr(why.text, rows[i].said))
            fail_msg("%s: %s", rows[i].thought, why.text);
    }
}

/* ── a Maildir, by an owner that fails where it is told to ── */

struct owner {
    struct box_owner is;
    _Atomic bool is_stopping;
    char kept[8][32];
    unsigned kept_count, fails_at;
};
static bool owner_listed(void *self, const struct slice *uids, size_t count, enum box_mark *marks, struct fault *why)
{
    struct owner *owner = self;
    for (size_t i = 0; i < count; i++) {
        marks[i] = BOX_NEW;
        for (unsigned k = 0; k < owner->kept_count; k++)
            if (slice_equal(uids[i], slice_str(owner->kept[k])))
                marks[i] = BOX_KEPT;
    }
    return true;
}
static bool owner_keep(void *self, struct box *box, const struct box_mail *mail, struct fault *why)
{
    struct owner *owner = self;
    if (owner->kept_count == owner->fails_at)
        return fault_set(why, FAULT_WORLD, "the store is away");
    snprintf(owner->kept[owner->kept_count++], sizeof(owner->kept[0]), "%.*s", SLICE_ARG(mail->uid));
    return true;
}
static void file_make(const char *dir, const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "Subject: x\n\ny\n", 14), 14);
    close(fd);
}
static bool file_is_there(const char *dir, const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void a_maildir(void **state)
{
    char dir[] = "/tmp/todoke-maildir-XXXXXX", path[100];
    static const char *const names[] = {"new", "cur", "tmp"};
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        mkdir(path, 0700);
    }
    file_make(dir, "new/1.a");
    file_make(dir, "new/2.b");
    file_make(dir, "new/3.c");
    struct box box = {.kind = BOX_MAILDIR, .name = "m"};
    snprintf(box.folder, sizeof(box.folder), "%s", dir);
    struct owner owner = {.fails_at = 2};
    owner.is = (struct box_owner){&owner, owner_listed, owner_keep, &owner.is_stopping};
    uint64_t count;
    struct fault why;
    assert_true(box_collect(&box, "", NULL, NULL, &count, &why)); /* only a look */
    assert_int_equal(count, 3);
    assert_false(box_collect(&box, "", NULL, &owner.is, &count, &why)); /* the store goes away in the middle */
    assert_int_equal(owner.kept_count, 2);
    owner.fails_at = 99;
    char first[64]; /* as if it had gone down between keeping and moving */
    snprintf(first, sizeof(first), "new/%s", owner.kept[0]);
    file_make(dir, first);
    assert_true(box_collect(&box, "", NULL, &owner.is, &count, &why));
    assert_int_equal(count, 1);
    assert_int_equal(owner.kept_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "cur/%s:2,S", owner.kept[i]);
        assert_true(file_is_there(dir, path));
        snprintf(path, sizeof(path), "%s/cur/%s:2,S", dir, owner.kept[i]);
        unlink(path);
    }
    box.deletes = true;
    file_make(dir, "new/4.d");
    assert_true(box_collect(&box, "", NULL, &owner.is, &count, &why));
    assert_false(file_is_there(dir, "new/4.d") || file_is_there(dir, "cur/4.d:2,S"));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        rmdir(path);
    }
    assert_false(box_collect(&box, "", NULL, &owner.is, &count, &why));
    rmdir(dir);
}

#define TEST(name) cmocka_unit_test(name)
int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(reports_are_kept_once), ON_BOTH(a_fetched_mail_is_kept_once), ON_BOTH(kept_before_contents_were),
        TEST(when_a_box_is_looked_at),  TEST(a_box_that_is_no_good),          TEST(a_maildir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
