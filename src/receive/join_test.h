/* join_test.h - error mail and the records that it meets: deliveries, mails about them, and what was made of it
 *
 * For join_test.c, join_shared_test.c and join_reader_test.c. A test begins with FIXTURE(fixture, state), a fresh store
 * with our rules and keys (it skips without one), and finishes with end(&fixture). */
#ifndef TODOKE_RECEIVE_JOIN_TEST_H
#define TODOKE_RECEIVE_JOIN_TEST_H

#include "mailauth/testing.h"
#include "receive/join.h"
#include "store/testing.h"

#include "mail/address.h"
#include "mail/message_id.h"

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

static inline bool set_up(struct db *db, struct fault *why, void *context)
{
    struct fixture *fixture = context;
    return leases_keep(db, why, &fixture->leases, 1) &&
           db_do(db, why, "INSERT INTO lane (id, priority, brand_id, campaign_id, domain) VALUES (1, 1, $1, $2, 'x')",
                 VALUES(V_INT(BRAND), V_INT(CAMPAIGN)), NULL);
}
/* PLACE and then begin: for what must be there before the store's threads are. */
#define PLACE(fixture, state)                                                                                          \
    struct fixture fixture = {.leases = {.node = NODE}};                                                               \
    if (!test_store_url(&fixture.store, state))                                                                        \
    skip()
#define FIXTURE(fixture, state)                                                                                        \
    PLACE(fixture, state);                                                                                             \
    begin(&fixture)
static inline void begin(struct fixture *fixture)
{
    struct fault why;
    test_store_reopen(&fixture->store);
    fixture->ledger = (struct ledger){.leases = &fixture->leases, .node = NODE};
    test_ring(&fixture->ring, 1);
    if (!rules_open(&fixture->rules, &why))
        fail_msg("%s", why.text);
    fixture->scratch = rules_scratch_new(fixture->rules);
    test_write(fixture->store.store, set_up, fixture);
}
static inline void end(struct fixture *fixture)
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
static inline bool subject_run(struct db *db, struct fault *why, void *context)
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
static inline struct subject sent(struct fixture *fixture, const char *address, enum delivery_state state)
{
    struct subject subject = {address, state, 0};
    test_write(fixture->store.store, subject_run, &subject);
    return subject;
}

/* ── mails ── */

static inline struct slice return_path(struct fixture *fixture, uint64_t id, time_ms expires)
{
    SCOPED(buf) out = BUF(200);
    return_path_make(&fixture->ring, id, expires, SLICE(DOMAIN), &out);
    return arena_copy(&fixture->arena, buf_slice(&out));
}
static inline struct slice shared_path(struct fixture *fixture, uint64_t message_id, const char *domain)
{
    SCOPED(buf) out = BUF(200);
    shared_path_make(&fixture->ring, message_id, slice_str(domain), NOW + DAYS_MS(30), SLICE(DOMAIN), &out);
    return arena_copy(&fixture->arena, buf_slice(&out));
}
static inline struct slice unsubscribe_address(struct fixture *fixture, uint64_t id)
{
    SCOPED(buf) out = BUF(200);
    buf_append(&out, SLICE("u-"));
    token_make(&fixture->ring, TOKEN_UNSUBSCRIBE, &(struct token){.id = id}, NOW + DAYS_MS(30), &out);
    buf_append(&out, SLICE("@" DOMAIN));
    return arena_copy(&fixture->arena, buf_slice(&out));
}

/* An RFC 3464 report. */
static inline struct slice report(struct fixture *fixture, const char *action, const char *status, const char *text,
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
static inline struct slice unknown_user(struct fixture *fixture, const char *recipient, uint64_t message)
{
    return report(fixture, "failed", "5.1.1", "550 5.1.1 <x>: Recipient address rejected: User unknown", recipient,
                  message);
}
static inline struct slice complaint(struct fixture *fixture, const char *recipient)
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
static inline struct slice vacation(struct fixture *fixture, const char *sender)
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
static inline bool save_run(struct db *db, struct fault *why, void *context)
{
    struct mail_job *job = context;
    return inbound_save(db, why, &job->mail, NOW);
}
static inline bool write_run(struct db *db, struct fault *why, void *context)
{
    struct mail_job *job = context;
    return join_write(&job->fixture->ledger, db, why, &job->join) &&
           (!job->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it"));
}
static inline void save(struct mail_job *job, struct fixture *fixture, struct slice to, struct slice raw)
{
    *job = (struct mail_job){.fixture = fixture,
                             .mail = {.mail_from = SLICE(""), .rcpt_to = to, .peer = SLICE("192.0.2.1"), .raw = raw}};
    test_write(fixture->store.store, save_run, job);
}
static inline void read_it(struct mail_job *job)
{
    struct fixture *fixture = job->fixture;
    const struct joiner joiner = {fixture->rules, fixture->scratch, &fixture->ring, fixture->store.reader};
    struct fault why;
    if (!join_read(&joiner, &job->mail, NOW, &fixture->arena, &job->join, &why))
        fail_msg("%s", why.text);
}
static inline void receive(struct fixture *fixture, struct slice to, struct slice raw)
{
    struct mail_job job;
    save(&job, fixture, to, raw);
    read_it(&job);
    test_write(fixture->store.store, write_run, &job);
}

static inline int64_t number(struct fixture *fixture, const char *sql)
{
    return test_number(fixture->store.reader, sql);
}
static inline int64_t events(struct fixture *fixture, enum event_kind kind)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d", kind);
    return number(fixture, sql);
}
static inline int64_t state_of(struct fixture *fixture, const struct subject *subject)
{
    char sql[120];
    snprintf(sql, sizeof(sql), "SELECT state FROM delivery WHERE address = '%s'", subject->address);
    return number(fixture, sql);
}
static inline int64_t exclusions(struct fixture *fixture)
{
    return number(fixture, "SELECT COUNT(*) FROM suppression");
}

static inline bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

#endif
