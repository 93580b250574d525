/* test.h - what every *_test.c needs: cmocka, and a few checks that print what they saw */
#ifndef TODOKE_BASE_TEST_H
#define TODOKE_BASE_TEST_H

#include "base/slice.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

/* Both slices hold the same bytes; `row` names the table's row in the message. */
#define assert_slice(row, got, want)                                                                                   \
    do {                                                                                                               \
        struct slice got_ = (got), want_ = (want);                                                                     \
        if (!slice_equal(got_, want_))                                                                                 \
            fail_msg("%s: got \"%.*s\", want \"%.*s\"", (row), SLICE_ARG(got_), SLICE_ARG(want_));                     \
    } while (0)
#define assert_row(row, condition)                                                                                     \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_msg("%s: not so: %s", (row), #condition);                                                             \
    } while (0)
#define assert_int_row(row, got, want)                                                                                 \
    do {                                                                                                               \
        long long got_ = (long long)(got), want_ = (long long)(want);                                                  \
        if (got_ != want_)                                                                                             \
            fail_msg("%s: got %lld, want %lld (%s)", (row), got_, want_, #got);                                        \
    } while (0)

/* ── how a cost grows (X11) ──
 *
 * By the clock of this thread's own work, the best of many tries: a busy machine makes some of them slow, and what is
 * not linear makes all of them slow. */
static inline double test_cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Seconds of work for so much. */
typedef double (*test_cost)(const void *context, size_t size);

/* So many times what `size` costs does `times * size` cost; no more than `most` as soon as a try shows it. */
static inline double test_cost_growth(test_cost cost, const void *context, size_t size, unsigned times, double most)
{
    enum { TRIES = 40 };
    const double moment = 0.0005; /* what is over so soon is not measured */
    double small = 1e9, large = 1e9;
    for (int i = 0; i < TRIES && (i == 0 || large > small * most + moment); i++) {
        double one = cost(context, size), more = cost(context, size * times);
        small = one < small ? one : small;
        large = more < large ? more : large;
    }
    return large <= moment ? 0 : (large - moment) / small;
}

#endif
