/* What was handed in last: each mail once, later ones push earlier ones out, nothing grows. */
#include "base/test.h"
#include "submit/recent.h"
#include <stdlib.h>

static struct message mail(uint64_t id, struct slice body)
{
    return (struct message){
        .id = id, .body = body, .from_domain = SLICE("shop.example"), .flags = 3, .now = 7, .due = 7};
}

static bool is_there(struct recent_mails *recent, uint64_t id)
{
    struct recent_mail *found = recent_mails_take(recent, id);
    bool is_found = found && found->id == id;
    recent_mail_free(found);
    return is_found;
}

static void a_mail_is_taken_once(void **state)
{
    struct recent_mails *recent = recent_mails_new();
    struct message one = mail(11, SLICE("From: a@shop.example\r\n\r\none\r\n"));
    recent_mails_keep(recent, &one);
    struct recent_mail *found = recent_mails_take(recent, 11);
    assert_non_null(found);
    assert_true(slice_equal(shared_slice(found->body), one.body));
    assert_true(slice_equal(found->from_domain, one.from_domain));
    assert_int_equal(found->flags, 3);
    assert_int_equal(found->accepted, 7);
    assert_false(is_there(recent, 11));
    recent_mail_free(found);
    assert_false(is_there(recent, 12));
    recent_mails_free(recent);
}

static void what_is_not_kept(void **state)
{
    char *bytes = memory_zero(1, RECENT_LONGEST + 1);
    struct recent_mails *recent = recent_mails_new();
    struct message longest = mail(1, slice_of(bytes, RECENT_LONGEST)), later = mail(3, SLICE("x"));
    struct message longer = mail(2, slice_of(bytes, RECENT_LONGEST + 1)), empty = mail(4, SLICE(""));
    later.due++;
    recent_mails_keep(recent, &longest);
    recent_mails_keep(recent, &longer);
    recent_mails_keep(recent, &later);
    recent_mails_keep(recent, &empty);
    assert_true(is_there(recent, 1));
    for (uint64_t id = 2; id <= 4; id++)
        assert_false(is_there(recent, id));
    recent_mails_keep(NULL, &longest);
    assert_null(recent_mails_take(NULL, 1));
    recent_mails_free(recent);
    free(bytes);
}

/* Each id has one place: the later one has it. */
static void a_later_mail_pushes_an_earlier_one_out(void **state)
{
    enum { MAILS = 3 * RECENT_PLACES };
    struct recent_mails *recent = recent_mails_new();
    size_t kept = 0;
    for (uint64_t id = 1; id <= MAILS; id++) {
        struct message one = mail(id, SLICE("x"));
        recent_mails_keep(recent, &one);
    }
    assert_true(is_there(recent, MAILS));
    for (uint64_t id = 1; id < MAILS; id++)
        kept += is_there(recent, id);
    assert_in_range(kept, RECENT_PLACES / 2, RECENT_PLACES - 1);
    for (uint64_t id = 1; id <= MAILS; id++)
        assert_false(is_there(recent, id));
    recent_mails_free(recent);
}

/* Whoever asks for one that is not there leaves the other in its place. */
static void a_question_moves_nothing(void **state)
{
    struct recent_mails *recent = recent_mails_new();
    struct message one = mail(1, SLICE("x"));
    recent_mails_keep(recent, &one);
    for (uint64_t id = 2; id <= 10 * RECENT_PLACES; id++)
        assert_false(is_there(recent, id));
    assert_true(is_there(recent, 1));
    recent_mails_free(recent);
}

static void no_more_than_so_many_octets(void **state)
{
    char *bytes = memory_zero(1, RECENT_LONGEST);
    enum { FIT = RECENT_OCTETS / RECENT_LONGEST };
    struct recent_mails *recent = recent_mails_new();
    size_t kept = 0;
    for (uint64_t id = 1; id <= 8 * FIT; id++) {
        struct message one = mail(id, slice_of(bytes, RECENT_LONGEST));
        recent_mails_keep(recent, &one);
    }
    for (uint64_t id = 1; id <= 8 * FIT; id++)
        kept += is_there(recent, id);
    assert_in_range(kept, FIT / 2, FIT);
    struct message again = mail(1, slice_of(bytes, RECENT_LONGEST)); /* there is room again */
    recent_mails_keep(recent, &again);
    assert_true(is_there(recent, 1));
    recent_mails_free(recent);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_is_taken_once),
        cmocka_unit_test(what_is_not_kept),
        cmocka_unit_test(a_later_mail_pushes_an_earlier_one_out),
        cmocka_unit_test(a_question_moves_nothing),
        cmocka_unit_test(no_more_than_so_many_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
