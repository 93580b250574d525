/* Error mail meets our records: S1-S5, S7, S9, L4, M24, M25, U3, U5, U14, on both stores. */
#include "receive/join_test.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_genuine_bounce_days_later_ends_the_delivery),
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
        ON_BOTH(found_by_its_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
