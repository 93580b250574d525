/* testing.h - what the tests of counters share (for *_test.c only) */
#ifndef TODOKE_REPORT_TESTING_H
#define TODOKE_REPORT_TESTING_H

#include "store/testing.h"

/* count_total says what count_state and count_reason add up to, of every campaign, state and reason. */
static inline void assert_totals_agree(struct test_store *test)
{
    assert_int_equal(
        test_number(
            test->reader,
            "SELECT COUNT(*) FROM (SELECT 1 AS one FROM (SELECT campaign_id, state, -1 AS reason, 0 AS whose, n "
            "FROM count_state UNION ALL SELECT campaign_id, state, reason, whose, n FROM count_reason UNION ALL "
            "SELECT campaign_id, state, reason, whose, -n FROM count_total) AS each_one GROUP BY campaign_id, "
            "state, reason, whose HAVING SUM(n) <> 0) AS wrong"),
        0);
}

#endif
