/* test.h - what every *_test.c needs: cmocka, and a few checks that print what they saw */
#ifndef TODOKE_BASE_TEST_H
#define TODOKE_BASE_TEST_H

#include "base/slice.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

#endif
