/* Error mail meets our records: S1-S5, S7, S9, S12, L4, M24, M25, U3, U5, U14, on both stores. */
#include "mailauth/testing.h"
#include "receive/join.h"
#include "store/testing.h"
#include "submit/message.h"

#include "mail/address.h"
#include "mail/message_id.h"
#include <time.h>

#define NOW    ((time_ms)1795321800000)
#define DOMAIN "bounce.shop.example"
enum { BRAND = 77, CAMPAIGN = 5, NODE = 2 };

struct fixture {
    struct test_store store;
    struct rules *rules;
    struct rules_scratch *scratch;
    struct token_ring ring;
    struct leases leases;
    struct ledger ledger;
    struct arena arena;
};

static bool set_up(struct db *db, struct fault *why, void *context)
{
    struct fixture *fixture = context;
    return leases_keep(db, why, &fixture->leases, 1) &&
           db_do(db, why, "INSERT INTO lane (id, priority, brand_id, campaign_id, domain) VALUES (1, 1, $1, $2, 'x')",
                 VALUES(V_INT(BRAND), V_INT(CAMPAIGN)), NULL);
}
#define FIXTURE(fixture, state)                                                                                        \
    struct fixture fixture = {.leases = {.node = NODE}};                                                               \
    if (!test_store_url(&fixture.store, state))                                                                        \
        skip();                                                                                                        \
    test_store_reopen(&fixture.store);                                                                                 \
    fixture.ledger = (struct ledger){.leases = &fixture.leases, .node = NODE};                                         \
    begin(&fixture)
static void begin(struct fixture *fixture)
{
    struct fault why;
    test_ring(&fixture->ring, 1);
    if (!rules_open(&fixture->rules, &why))
        fail_msg("%s", why.text);
    fixture->scratch = rules_scratch_new(fixture->rules);
    test_write(fixture->store.store, set_up, fixture);
}
static void end(struct fixture *fixture)
{
    rules_scratch_free(fixture->scratch);
    rules_free(fixture->rules);
    arena_release(&fixture->arena);
    token_ring_release(&fixture->ring);
    test_store_end(&fixture->store);
}

/* A delivery in this state, once on the wire unless it waits. */
struct subject {
    const char *address;
    enum delivery_state state;
    uint64_t id;
};
static bool subject_run(struct db *db, struct fault *why, void *context)
{
    struct subject *subject = context;
    unsigned bucket = address_bucket(slice_str(subject->address));
    subject->id = id_make(db_ids(db), NOW, bucket);
    return db_do(
        db, why,
        "INSERT INTO delivery (bucket, id, lane_id, brand_id, campaign_id, contact_id, address, written, state, "
        "due_ms, accepted_ms, expires_ms, changed_ms, date_ms) VALUES ($1, $2, 1, $3, $4, 9, $5, $5, $6, 1, "
        "1, $7, 1, $8)",
        VALUES(V_INT(bucket), V_INT((int64_t)subject->id), V_INT(BRAND), V_INT(CAMPAIGN), V_STR(subject->address),
               V_INT(subject->state), V_INT(NOW * 2), V_INT(subject->state == DELIVERY_WAITING ? 0 : NOW)),
        NULL);
}
static struct subject sent(struct fixture *fixture, const char *address, enum delivery_state state)
{
    struct subject subject = {address, state, 0};
    test_write(fixture->store.store, subject_run, &subject);
    return subject;
}

/* ── mails ── */

static struct slice return_path(struct fixture *fixture, uint64_t id, time_ms expires)
{
    SCOPED(buf) out = BUF(200);
    return_path_make(&fixture->ring, id, expires, SLICE(DOMAIN), &out);
    return arena_copy(&fixture->arena, buf_slice(&out));
}
static struct slice shared_path(struct fixture *fixture, uint64_t message_id, const char *domain)
{
    SCOPED(buf) out = BUF(200);
    shared_path_make(&fixture->ring, message_id, slice_str(domain), NOW + DAYS_MS(30), SLICE(DOMAIN), &out);
    return arena_copy(&fixture->arena, buf_slice(&out));
}
static struct slice unsubscribe_address(struct fixture *fixture, uint64_t id)
{
    SCOPED(buf) out = BUF(200);
    buf_append(&out, SLICE("u-"));
    token_make(&fixture->ring, TOKEN_UNSUBSCRIBE, &(struct token){.id = id}, NOW + DAYS_MS(30), &out);
    buf_append(&out, SLICE("@" DOMAIN));
    return arena_copy(&fixture->arena, buf_slice(&out));
}

/* An RFC 3464 report. */
static struct slice report(struct fixture *fixture, const char *action, const char *status, const char *text,
                           const char *recipient, uint64_t message)
{
    SCOPED(buf) id = BUF(200);
    if (message)
        message_id_make(&id, message, SLICE("shop.example"));
    return arena_printf(&fixture->arena,
                        "From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example.jp>\r\n"
                        "To: b-x@" DOMAIN "\r\nSubject: Returned mail: see transcript for details\r\n"
                        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"B\"\r\n\r\n"
                        "--B\r\nContent-Type: text/plain\r\n\r\nYour mail had a problem.\r\n"
                        "--B\r\nContent-Type: message/delivery-status\r\n\r\n"
                        "Reporting-MTA: dns; mx.example.jp\r\n\r\n"
                        "Final-Recipient: rfc822; %s\r\nAction: %s\r\nStatus: %s\r\n"
                        "Diagnostic-Code: smtp; %s\r\n\r\n"
                        "--B\r\nContent-Type: text/rfc822-headers\r\n\r\n"
                        "From: Shop <news@shop.example>\r\nTo: %s\r\nSubject: hello\r\n%s%.*s%s\r\n--B--\r\n",
                        recipient, action, status, text, recipient, message ? "Message-ID: <" : "", (int)id.len,
                        id.ptr ? id.ptr : "", message ? ">\r\n" : "");
}
static struct slice unknown_user(struct fixture *fixture, const char *recipient, uint64_t message)
{
    return report(fixture, "failed", "5.1.1", "550 5.1.1 <x>: Recipient address rejected: User unknown", recipient,
                  message);
}
static struct slice complaint(struct fixture *fixture, const char *recipient)
{
    return arena_printf(&fixture->arena,
                        "From: fbl@isp.example\r\nTo: fbl@shop.example\r\nSubject: FW: hello\r\nMIME-Version: 1.0\r\n"
                        "Content-Type: multipart/report; report-type=feedback-report; boundary=\"B\"\r\n\r\n"
                        "--B\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n"
                        "--B\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n"
                        "User-Agent: ISP/1.0\r\nVersion: 1\r\nOriginal-Rcpt-To: %s\r\n\r\n"
                        "--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: news@shop.example\r\nTo: %s\r\n"
                        "Subject: hello\r\n\r\nx\r\n--B--\r\n",
                        recipient, recipient);
}
static struct slice vacation(struct fixture *fixture, const char *sender)
{
    return arena_printf(&fixture->arena,
                        "From: %s\r\nTo: b-x@" DOMAIN "\r\nSubject: Out of office: hello\r\n"
                        "Auto-Submitted: auto-replied\r\n\r\nI am on holiday until Monday.\r\n",
                        sender);
}

/* ── reading and writing ── */

struct mail_job {
    struct fixture *fixture;
    struct inbound_row mail;
    struct join join;
    bool must_fail;
};
static bool save_run(struct db *db, struct fault *why, void *context)
{
    struct mail_job *job = context;
    return inbound_save(db, why, &job->mail, NOW);
}
static bool write_run(struct db *db, struct fault *why, void *context)
{
    struct mail_job *job = context;
    return join_write(&job->fixture->ledger, db, why, &job->join) &&
           (!job->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it"));
}
static void save(struct mail_job *job, struct fixture *fixture, struct slice to, struct slice raw)
{
    *job = (struct mail_job){.fixture = fixture,
                             .mail = {.mail_from = SLICE(""), .rcpt_to = to, .peer = SLICE("192.0.2.1"), .raw = raw}};
    test_write(fixture->store.store, save_run, job);
}
static void read_it(struct mail_job *job)
{
    struct fixture *fixture = job->fixture;
    const struct joiner joiner = {fixture->rules, fixture->scratch, &fixture->ring, fixture->store.reader};
    struct fault why;
    if (!join_read(&joiner, &job->mail, NOW, &fixture->arena, &job->join, &why))
        fail_msg("%s", why.text);
}
static void receive(struct fixture *fixture, struct slice to, struct slice raw)
{
    struct mail_job job;
    save(&job, fixture, to, raw);
    read_it(&job);
    test_write(fixture->store.store, write_run, &job);
}

static int64_t number(struct fixture *fixture, const char *sql)
{
    return test_number(fixture->store.reader, sql);
}
static int64_t events(struct fixture *fixture, enum event_kind kind)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d", kind);
    return number(fixture, sql);
}
static int64_t state_of(struct fixture *fixture, const struct subject *subject)
{
    char sql[120];
    snprintf(sql, sizeof(sql), "SELECT state FROM delivery WHERE address = '%s'", subject->address);
    return number(fixture, sql);
}
static int64_t exclusions(struct fixture *fixture)
{
    return number(fixture, "SELECT COUNT(*) FROM suppression");
}

static bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

/* ── what is genuine ── */

/* U3, S1-S4 */
static void a_genuine_bounce_days_later_ends_the_delivery(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    receive(&fixture, return_path(&fixture, ann.id, NOW + DAYS_MS(30)), unknown_user(&fixture, ann.address, 0));
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_BOUNCED);
    assert_int_equal(number(&fixture,
                            "SELECT COUNT(*) FROM event WHERE kind = 5 AND state_before = 5 AND state_after = "
                            "6 AND campaign_id = 5 AND contact_id = 9 AND brand_id = 77"),
                     1);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM suppression s JOIN event e ON e.id = s.event_id WHERE "
                                      "s.address = 'ann@example.jp' AND e.kind = 5"),
                     1);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 1"), 1);
    end(&fixture);
}

/* ── by a return path that recipients share (R20) ── */

struct party {
    uint64_t id;
    const char *addresses[4];
    size_t count;
};
static bool party_run(struct db *db, struct fault *why, void *context)
{
    struct party *party = context;
    SCOPED(arena) arena = {0};
    struct submit_row rows[4] = {0};
    struct submit_news *news;
    size_t news_count;
    party->id = id_make_anywhere(db_ids(db), NOW);
    for (size_t i = 0; i < party->count; i++)
        rows[i].address = rows[i].written = slice_str(party->addresses[i]);
    const struct message message = {.id = party->id,
                                    .brand_id = BRAND,
                                    .mail_from = SLICE("app@shop.example"),
                                    .from_domain = SLICE("shop.example"),
                                    .body = SLICE("Subject: x\r\n\r\nx\r\n"),
                                    .now = NOW,
                                    .due = NOW,
                                    .expires = NOW + DAYS_MS(5)};
    return message_submit(db, why, &message, rows, party->count, &arena, &news, &news_count) &&
           db_do(db, why,
                 "UPDATE delivery SET state = 5, date_ms = 1 WHERE message_id = $1 AND address <> 'not-yet@a.example'",
                 VALUES(V_INT((int64_t)party->id)), NULL);
}
static int64_t bounced(struct fixture *fixture)
{
    return number(fixture, "SELECT COUNT(*) FROM delivery WHERE state = 6");
}

/* R20, S12, M24: whom the report names, and nobody else; who was not in that mail, or is of another domain than those
 * who share the path, or has not gone yet, is nobody; what names nobody is unverified. */
static void a_shared_return_path_speaks_of_whom_it_names(void **state)
{
    static const struct {
        const char *what, *path_of, *names, *bounces; /* NULL: nobody */
    } rows[] = {
        {"a stranger to the mail", "a.example", "eve@a.example", NULL},
        {"somebody of another mail", "a.example", "other@a.example", NULL},
        {"another domain's", "a.example", "cyd@b.example", NULL},
        {"by the other domain's path", "b.example", "ann@a.example", NULL},
        {"one that has not gone", "a.example", "not-yet@a.example", NULL},
        {"nobody", "a.example", "", NULL},
        {"no address", "a.example", "<>", NULL},
        {"one of them", "a.example", "Ann@A.Example", "ann@a.example"},
        {"the same again", "a.example", "ann@a.example", "ann@a.example"},
        {"of the other domain", "b.example", "cyd@b.example", "cyd@b.example"},
    };
    FIXTURE(fixture, state);
    struct party party = {0, {"ann@a.example", "bob@a.example", "cyd@b.example", "not-yet@a.example"}, 4};
    struct party others = {0, {"other@a.example"}, 1};
    test_write(fixture.store.store, party_run, &party);
    test_write(fixture.store.store, party_run, &others);
    int64_t unverified = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        receive(&fixture, shared_path(&fixture, party.id, rows[i].path_of), unknown_user(&fixture, rows[i].names, 0));
        unverified += rows[i].bounces == NULL;
        assert_int_row(rows[i].what, events(&fixture, EVENT_UNVERIFIED), unverified);
        if (!rows[i].bounces)
            assert_int_row(rows[i].what, bounced(&fixture) + exclusions(&fixture), 0);
        else
            assert_int_row(rows[i].what, state_of(&fixture, &(struct subject){rows[i].bounces, 0, 0}),
                           DELIVERY_BOUNCED);
    }
    assert_int_equal(bounced(&fixture), 2);
    assert_int_equal(exclusions(&fixture), 2);
    assert_int_equal(events(&fixture, EVENT_BOUNCED), 2);
    assert_int_equal(state_of(&fixture, &(struct subject){"bob@a.example", 0, 0}), DELIVERY_DELIVERED);
    end(&fixture);
}

/* One report of several recipients of the transaction (RFC 3464 2.1): each has his own fate, once. */
static void one_report_for_several_who_share(void **state)
{
    FIXTURE(fixture, state);
    struct party party = {0, {"ann@a.example", "bob@a.example", "cyd@a.example", "dan@a.example"}, 4};
    test_write(fixture.store.store, party_run, &party);
    static const char report[] =
        "From: MAILER-DAEMON@mx.a.example\r\nTo: b-x@" DOMAIN "\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"B\"\r\n\r\n"
        "--B\r\nContent-Type: text/plain\r\n\r\nx\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.a.example\r\n\r\n"
        "Final-Recipient: rfc822; ann@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n"
        "Final-Recipient: rfc822; bob@a.example\r\nAction: delayed\r\nStatus: 4.2.2\r\n"
        "Diagnostic-Code: smtp; 452 4.2.2 Mailbox full\r\n\r\n"
        "Final-Recipient: rfc822; alias@a.example\r\nOriginal-Recipient: rfc822; cyd@a.example\r\nAction: failed\r\n"
        "Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n"
        "Final-Recipient: rfc822; ann@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n"
        "Final-Recipient: rfc822; eve@a.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n--B--\r\n";
    receive(&fixture, shared_path(&fixture, party.id, "a.example"), slice_str(report));
    assert_int_equal(bounced(&fixture), 2);
    assert_int_equal(exclusions(&fixture), 2);
    assert_int_equal(events(&fixture, EVENT_BOUNCED), 2);
    assert_int_equal(events(&fixture, EVENT_DELAY_NOTICE), 1);
    assert_int_equal(events(&fixture, EVENT_UNVERIFIED), 0);
    assert_int_equal(state_of(&fixture, &(struct subject){"cyd@a.example", 0, 0}), DELIVERY_BOUNCED);
    assert_int_equal(state_of(&fixture, &(struct subject){"dan@a.example", 0, 0}), DELIVERY_DELIVERED);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 1"), 1);
    end(&fixture);
}

/* S5: error mail is never taken for spam, whatever it quotes (GTUBE, on which every spam filter strikes) */
static void no_error_mail_is_spam(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    receive(&fixture, return_path(&fixture, ann.id, NOW + DAYS_MS(30)),
            report(&fixture, "failed", "5.7.1",
                   "550 5.7.1 spam: XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X", ann.address,
                   0));
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_BOUNCED);
    assert_int_equal(exclusions(&fixture), 0); /* and what the receiver took for spam excludes nobody (S33) */
    end(&fixture);
}

/* a quick receiver: its error mail is here before our 250 is written down; and the one that we had given up on */
static void a_bounce_finds_its_delivery_in_any_state(void **state)
{
    static const struct {
        enum delivery_state before, after;
    } rows[] = {
        {DELIVERY_ON_WIRE, DELIVERY_BOUNCED},     {DELIVERY_IN_DOUBT, DELIVERY_BOUNCED},
        {DELIVERY_DEFERRED, DELIVERY_BOUNCED},    {DELIVERY_DELIVERED, DELIVERY_BOUNCED},
        {DELIVERY_BOUNCED, DELIVERY_BOUNCED},     {DELIVERY_EXPIRED, DELIVERY_EXPIRED},
        {DELIVERY_CANCELLED, DELIVERY_CANCELLED},
    };
    FIXTURE(fixture, state);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char address[40];
        snprintf(address, sizeof(address), "row%zu@example.jp", i);
        struct subject one = sent(&fixture, address, rows[i].before);
        receive(&fixture, return_path(&fixture, one.id, NOW + DAYS_MS(30)), unknown_user(&fixture, address, 0));
        assert_int_row(delivery_word(rows[i].before).ptr, state_of(&fixture, &one), rows[i].after);
    }
    assert_int_equal(events(&fixture, EVENT_BOUNCED), 4);
    end(&fixture);
}

/* Without a token: the Message-ID of a mail that we really sent, to that very address. */
static void by_message_id_and_address(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct subject bob = sent(&fixture, "bob@example.jp", DELIVERY_DELIVERED);
    struct subject cat = sent(&fixture, "cat@example.jp", DELIVERY_WAITING);
    struct slice postmaster = SLICE("postmaster@" DOMAIN);
    receive(&fixture, postmaster, unknown_user(&fixture, "Ann@Example.JP", ann.id));
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_BOUNCED);

    receive(&fixture, postmaster, unknown_user(&fixture, "cat@example.jp", bob.id));           /* not to that address */
    receive(&fixture, postmaster, unknown_user(&fixture, "dan@example.jp", 0x123456789abc00)); /* no such mail */
    receive(&fixture, postmaster, unknown_user(&fixture, "cat@example.jp", cat.id)); /* guessed: it never left */
    receive(&fixture, postmaster, unknown_user(&fixture, "bob@example.jp", 0));      /* proves nothing */
    assert_int_equal(state_of(&fixture, &bob), DELIVERY_DELIVERED);
    assert_int_equal(state_of(&fixture, &cat), DELIVERY_WAITING);
    assert_int_equal(exclusions(&fixture), 1);
    assert_int_equal(events(&fixture, EVENT_UNVERIFIED), 4);
    char sql[100];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = 19 AND authenticity = %d",
             AUTHENTICITY_BACKSCATTER);
    assert_int_equal(number(&fixture, sql), 3);
    end(&fixture);
}

/* S12, M24: forged, of another's key, expired, of another purpose, of a delivery that is gone: nobody is touched */
static void what_proves_nothing_changes_nobody(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct slice raw = unknown_user(&fixture, ann.address, ann.id);
    struct slice good = return_path(&fixture, ann.id, NOW + DAYS_MS(30));
    char *forged = slice_dup(good);
    forged[10] = forged[10] == 'a' ? 'b' : 'a';
    struct fixture other = {0};
    test_ring(&other.ring, 99);
    struct slice theirs = return_path(&other, ann.id, NOW + DAYS_MS(30));
    struct slice link = unsubscribe_address(&fixture, ann.id);
    struct slice crossed = arena_printf(&fixture.arena, "b-%.*s", SLICE_ARG(slice_from(link, 2)));
    const struct {
        const char *name;
        struct slice to;
        enum authenticity authenticity;
    } rows[] = {
        {"one letter changed", slice_str(forged), AUTHENTICITY_FORGED},
        {"another's key", theirs, AUTHENTICITY_FORGED},
        {"a token for something else", crossed, AUTHENTICITY_FORGED},
        {"expired", return_path(&fixture, ann.id, NOW - DAYS_MS(3)), AUTHENTICITY_UNVERIFIED},
        {"a delivery that is gone", return_path(&fixture, ann.id ^ 0x100000, NOW + DAYS_MS(30)),
         AUTHENTICITY_UNVERIFIED},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        receive(&fixture, rows[i].to, raw);
        assert_int_row(rows[i].name, state_of(&fixture, &ann), DELIVERY_DELIVERED);
        assert_int_row(rows[i].name, exclusions(&fixture), 0);
        assert_int_row(rows[i].name, events(&fixture, EVENT_UNVERIFIED), i + 1);
        assert_int_row(rows[i].name,
                       number(&fixture, "SELECT authenticity FROM event WHERE kind = 19 ORDER BY id DESC LIMIT 1"),
                       rows[i].authenticity);
    }
    /* the claim may say whatever it likes about others: a token is good for its own address only (M24) */
    struct subject bob = sent(&fixture, "bob@example.jp", DELIVERY_DELIVERED);
    receive(&fixture, good, unknown_user(&fixture, bob.address, bob.id));
    assert_int_equal(state_of(&fixture, &bob), DELIVERY_DELIVERED);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM suppression WHERE address = 'bob@example.jp'"), 0);
    free(forged);
    arena_release(&other.arena);
    token_ring_release(&other.ring);
    end(&fixture);
}

/* ── what is no bounce ── */

static void delays_and_autoreplies_move_nothing(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct slice to = return_path(&fixture, ann.id, NOW + DAYS_MS(30));
    for (int i = 0; i < 7; i++) { /* more often than strikes would allow */
        receive(&fixture, to,
                report(&fixture, "delayed", "4.4.1", "connect to mx.example.jp: Connection timed out", ann.address, 0));
        receive(&fixture, to, vacation(&fixture, ann.address));
    }
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_DELIVERED);
    assert_int_equal(events(&fixture, EVENT_DELAY_NOTICE), 7);
    assert_int_equal(events(&fixture, EVENT_AUTOREPLY), 7);
    assert_int_equal(exclusions(&fixture), 0);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM strike"), 0);
    receive(&fixture, to, report(&fixture, "delivered", "2.0.0", "250 ok", ann.address, 0));
    receive(&fixture, to, SLICE("From: a@b.example\r\nSubject: a letter\r\n\r\nDear shop\r\n"));
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_DELIVERED);
    end(&fixture);
}

/* S30, U5: full mailboxes that nobody uses count one each, five campaigns in a row exclude */
static void five_full_mailboxes_exclude(void **state)
{
    FIXTURE(fixture, state);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(exclusions(&fixture), 0);
        struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
        receive(&fixture, return_path(&fixture, ann.id, NOW + DAYS_MS(30)),
                report(&fixture, "failed", "5.2.2", "552 5.2.2 https://support.google.com/mail/?p=OverQuotaPerm",
                       ann.address, 0));
        assert_int_equal(state_of(&fixture, &ann), DELIVERY_BOUNCED);
        test_write(fixture.store.store, do_run, (char[]){"UPDATE delivery SET campaign_id = campaign_id * 10"});
        test_write(fixture.store.store, do_run, (char[]){"UPDATE delivery SET address = 'ann' || campaign_id"});
    }
    assert_int_equal(exclusions(&fixture), 1);
    end(&fixture);
}

/* U14 */
static void a_complaint_excludes_at_once(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    receive(&fixture, return_path(&fixture, ann.id, NOW + DAYS_MS(30)), complaint(&fixture, ann.address));
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_DELIVERED);
    assert_int_equal(events(&fixture, EVENT_COMPLAINT), 1);
    assert_int_equal(number(&fixture,
                            "SELECT COUNT(*) FROM suppression s JOIN event e ON e.id = s.event_id WHERE s.why "
                            "= 'complaint' AND s.brand_id = 77"),
                     1);
    end(&fixture);
}

/* L4: a mail to u-<token>@ unsubscribes; a forged one does not */
static void a_mail_unsubscribes(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct slice to = unsubscribe_address(&fixture, ann.id), raw = SLICE("From: ann@example.jp\r\n\r\n");
    struct slice crossed = arena_printf(&fixture.arena, "u-%.*s",
                                        SLICE_ARG(slice_from(return_path(&fixture, ann.id, NOW + DAYS_MS(9)), 2)));
    receive(&fixture, crossed, raw);
    assert_int_equal(exclusions(&fixture), 0);
    assert_int_equal(events(&fixture, EVENT_UNVERIFIED), 1);
    receive(&fixture, to, raw);
    assert_int_equal(events(&fixture, EVENT_UNSUBSCRIBED), 1);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM suppression WHERE why = 'unsubscribed' AND brand_id = 77"),
                     1);
    end(&fixture);
}

/* ── once, whatever crashes ── */

static void a_mail_counts_once(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct mail_job job;
    save(&job, &fixture, return_path(&fixture, ann.id, NOW + DAYS_MS(30)), unknown_user(&fixture, ann.address, 0));
    read_it(&job);
    job.must_fail = true;
    struct fault why;
    assert_false(test_write_try(fixture.store.store, write_run, &job, &why)); /* dies before the commit */
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_DELIVERED);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 0"), 1);
    job.must_fail = false;
    for (int i = 0; i < 3; i++) { /* and is read again and again afterwards */
        read_it(&job);
        test_write(fixture.store.store, write_run, &job);
    }
    assert_int_equal(events(&fixture, EVENT_BOUNCED), 1);
    assert_int_equal(events(&fixture, EVENT_EXCLUDED), 1);

    save(&job, &fixture, SLICE("b-nonsense@" DOMAIN), unknown_user(&fixture, ann.address, 0));
    for (int i = 0; i < 3; i++) {
        read_it(&job);
        test_write(fixture.store.store, write_run, &job);
    }
    assert_int_equal(events(&fixture, EVENT_UNVERIFIED), 1);
    end(&fixture);
}

static bool lose_leases(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "UPDATE lease SET node = 9, epoch = epoch + 1", NO_VALUES, NULL);
}

/* R37: the mail waits for the node that owns the delivery */
static void another_nodes_delivery_is_left_to_it(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    test_write(fixture.store.store, lose_leases, NULL);
    receive(&fixture, return_path(&fixture, ann.id, NOW + DAYS_MS(30)), unknown_user(&fixture, ann.address, 0));
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_DELIVERED);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 0"), 1);
    end(&fixture);
}

/* ── the thread ── */

static void the_reader_follows_new_mail(void **state)
{
    enum { MAILS = 230 };
    FIXTURE(fixture, state);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct mail_job job;
    for (int i = 0; i < MAILS; i++)
        save(&job, &fixture, SLICE("postmaster@" DOMAIN), SLICE("From: a@b.example\r\nSubject: x\r\n\r\nspam\r\n"));
    struct join_reader_options options = {.store = fixture.store.store,
                                          .world = &world,
                                          .rules = fixture.rules,
                                          .ledger = fixture.ledger,
                                          .ring = &fixture.ring};
    struct fault why;
    struct join_reader *reader = join_reader_start(&options, &why);
    assert_non_null(reader);
    save(&job, &fixture, return_path(&fixture, ann.id, world_wall(&world) + DAYS_MS(30)),
         unknown_user(&fixture, ann.address, 0));
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 15000 && number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 0"); i++)
        nanosleep(&pause, NULL);
    join_reader_stop(reader);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 1"), MAILS + 1);
    assert_int_equal(events(&fixture, EVENT_UNVERIFIED), 0); /* letters to postmaster are no error mail */
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_BOUNCED);
    end(&fixture);
}

/* One mail whose meaning cannot be written is put aside; those beside it are not held up. */
static void one_that_cannot_be_written_stops_nobody(void **state)
{
    FIXTURE(fixture, state);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct subject people[3] = {sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED),
                                sent(&fixture, "poison@example.jp", DELIVERY_DELIVERED),
                                sent(&fixture, "cat@example.jp", DELIVERY_DELIVERED)};
    test_write(fixture.store.store, do_run,
               (char[]){"CREATE TRIGGER poison BEFORE INSERT ON event WHEN NEW.address = 'poison@example.jp' BEGIN "
                        "SELECT RAISE(ABORT, 'poison'); END"});
    struct mail_job job;
    for (int i = 0; i < 3; i++)
        save(&job, &fixture, return_path(&fixture, people[i].id, world_wall(&world) + DAYS_MS(30)),
             unknown_user(&fixture, people[i].address, 0));
    struct join_reader_options options = {.store = fixture.store.store,
                                          .world = &world,
                                          .rules = fixture.rules,
                                          .ledger = fixture.ledger,
                                          .ring = &fixture.ring};
    struct fault why;
    struct join_reader *reader = join_reader_start(&options, &why);
    assert_non_null(reader);
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 15000 && number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 0"); i++)
        nanosleep(&pause, NULL);
    join_reader_stop(reader);
    assert_int_equal(state_of(&fixture, &people[0]), DELIVERY_BOUNCED);
    assert_int_equal(state_of(&fixture, &people[1]), DELIVERY_DELIVERED);
    assert_int_equal(state_of(&fixture, &people[2]), DELIVERY_BOUNCED);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 2"), 1);
    end(&fixture);
}

/* ── without an envelope: what came from a mailbox elsewhere ── */

static void found_by_its_headers(void **state)
{
    FIXTURE(fixture, state);
    struct subject ann = sent(&fixture, "ann@example.jp", DELIVERY_DELIVERED);
    struct subject bob = sent(&fixture, "bob@example.jp", DELIVERY_DELIVERED);
    struct subject cat = sent(&fixture, "cat@example.jp", DELIVERY_DELIVERED);
    struct slice nobody = SLICE("");
    receive(&fixture, nobody,
            arena_printf(&fixture.arena, "Delivered-To: %.*s\r\n%.*s",
                         SLICE_ARG(return_path(&fixture, ann.id, NOW + DAYS_MS(30))),
                         SLICE_ARG(unknown_user(&fixture, ann.address, 0))));
    assert_int_equal(state_of(&fixture, &ann), DELIVERY_BOUNCED);
    receive(&fixture, nobody, unknown_user(&fixture, bob.address, bob.id)); /* by the Message-ID that it quotes */
    assert_int_equal(state_of(&fixture, &bob), DELIVERY_BOUNCED);

    struct fixture other = {0}; /* another's signature in the header, and no other proof */
    test_ring(&other.ring, 99);
    struct slice theirs = return_path(&other, cat.id, NOW + DAYS_MS(30));
    receive(&fixture, nobody,
            arena_printf(&fixture.arena, "X-Original-To: %.*s\r\n%.*s", SLICE_ARG(theirs),
                         SLICE_ARG(unknown_user(&fixture, cat.address, 0))));
    assert_int_equal(state_of(&fixture, &cat), DELIVERY_DELIVERED);
    receive(&fixture, nobody,
            arena_printf(&fixture.arena, "From: cat@example.jp\r\nTo: x@y.example, <%.*s>\r\n\r\nstop\r\n",
                         SLICE_ARG(unsubscribe_address(&fixture, cat.id))));
    assert_int_equal(events(&fixture, EVENT_UNSUBSCRIBED), 1);
    token_ring_release(&other.ring);
    arena_release(&other.arena);
    end(&fixture);
}

/* ── through the jail: a mail that its reader dies of is put aside, the others are read (X13) ── */

static void dies_of_poison(void *prepared, struct slice bytes, int64_t now, struct buf *record)
{
    if (slice_find(bytes, SLICE("poison@")) >= 0)
        abort();
    record_work.read(prepared, bytes, now, record);
}

static void one_that_kills_its_reader_stops_nobody(void **state)
{
    enum { PEOPLE = 40 };
    const struct jail_work work = {record_work.prepare, dies_of_poison};
    struct fault why;
    struct jail *jail = jail_start(&work, 2, &why); /* before the store's threads */
    if (!jail)
        fail_msg("%s", why.text);
    FIXTURE(fixture, state);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct subject people[PEOPLE];
    char addresses[PEOPLE][40];
    struct mail_job job;
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(addresses[i], sizeof(addresses[i]), i == 7 ? "poison@example.jp" : "person%d@example.jp", i);
        people[i] = sent(&fixture, addresses[i], DELIVERY_DELIVERED);
        save(&job, &fixture, return_path(&fixture, people[i].id, world_wall(&world) + DAYS_MS(30)),
             report(&fixture, "failed", "5.2.2", "552 5.2.2 Mailbox full", addresses[i], 0));
    }
    struct join_reader_options options = {.store = fixture.store.store,
                                          .world = &world,
                                          .rules = fixture.rules,
                                          .ledger = fixture.ledger,
                                          .ring = &fixture.ring,
                                          .jail = jail};
    struct join_reader *reader = join_reader_start(&options, &why);
    assert_non_null(reader);
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 15000 && number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 0"); i++)
        nanosleep(&pause, NULL);
    join_reader_stop(reader);
    jail_stop(jail);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 1"), PEOPLE - 1);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM inbound WHERE state = 2 AND why LIKE '%each time%'"), 1);
    for (int i = 0; i < PEOPLE; i++)
        assert_int_row(addresses[i], state_of(&fixture, &people[i]), i == 7 ? DELIVERY_DELIVERED : DELIVERY_BOUNCED);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_genuine_bounce_days_later_ends_the_delivery),
        ON_BOTH(a_shared_return_path_speaks_of_whom_it_names),
        ON_BOTH(one_report_for_several_who_share),
        ON_BOTH(no_error_mail_is_spam),
        ON_BOTH(a_bounce_finds_its_delivery_in_any_state),
        ON_BOTH(by_message_id_and_address),
        ON_BOTH(what_proves_nothing_changes_nobody),
        ON_BOTH(delays_and_autoreplies_move_nothing),
        ON_BOTH(five_full_mailboxes_exclude),
        ON_BOTH(a_complaint_excludes_at_once),
        ON_BOTH(a_mail_unsubscribes),
        ON_BOTH(a_mail_counts_once),
        ON_BOTH(another_nodes_delivery_is_left_to_it),
        ON_BOTH(the_reader_follows_new_mail),
        ON_BOTH(found_by_its_headers),
        ON_BOTH(one_that_kills_its_reader_stops_nobody),
        {"one_that_cannot_be_written_stops_nobody (sqlite)", one_that_cannot_be_written_stops_nobody, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
