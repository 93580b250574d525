/* jail_bench.c - what the jail costs: error mails read in place, and through it
 *
 *     jail_bench [MAILS [READERS]] < MAIL        default 100000, one reader for each core; the mail from stdin
 *
 * Prints mails a second by the wall, and the CPU time of this process for each mail (the readers' comes on top). */
#include "receive/record.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 100, MAIL_MAX = 1 << 20 };

static double seconds(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void in_place(struct slice mail, int mails)
{
    struct fault why;
    struct rules *rules;
    struct arena arena = {0};
    if (!rules_open(&rules, &why))
        abort();
    struct rules_scratch *scratch = rules_scratch_new(rules);
    struct mail_record *record = NEW(struct mail_record);
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < mails; i++) {
        record_read(mail, rules, scratch, 0, &arena, record);
        arena_reset(&arena);
    }
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("in place    %9.0f mails/s   %6.2f us CPU each\n", mails / wall, cpu * 1e6 / mails);
    free(record);
    arena_release(&arena);
    rules_scratch_free(scratch);
    rules_free(rules);
}

static void through(struct jail *jail, struct slice mail, int mails)
{
    struct fault why;
    struct arena arena = {0};
    struct jail_item items[BATCH];
    struct mail_record *record = NEW(struct mail_record);
    double wall = 0, cpu = 0;
    for (int done = -BATCH * 10; done < mails; done += BATCH) { /* the first ones start the readers */
        if (done == 0) {
            wall = seconds(CLOCK_MONOTONIC);
            cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        }
        for (int i = 0; i < BATCH; i++)
            items[i].bytes = mail;
        if (!jail_read(jail, items, BATCH, 0, &arena, &why))
            abort();
        for (int i = 0; i < BATCH; i++)
            if (!items[i].is_read || !record_parse(items[i].record, &arena, record, &why))
                abort();
        arena_reset(&arena);
    }
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("in the jail %9.0f mails/s   %6.2f us CPU each here, %u readers\n", mails / wall, cpu * 1e6 / mails,
           jail_figures(jail).readers);
    free(record);
    arena_release(&arena);
}

int main(int argc, char **argv)
{
    int64_t mails = 100000, readers = 0;
    struct fault why;
    if ((argc > 1 && !slice_to_i64(slice_str(argv[1]), &mails)) ||
        (argc > 2 && !slice_to_i64(slice_str(argv[2]), &readers)))
        return 2;
    struct jail *jail = jail_start(&record_work, (unsigned)readers, &why);
    if (!jail) {
        fprintf(stderr, "%s\n", why.text);
        return 3;
    }
    static char mail[MAIL_MAX];
    ssize_t len = read(STDIN_FILENO, mail, sizeof(mail));
    if (len <= 0)
        return 2;
    in_place(slice_of(mail, (size_t)len), (int)mails);
    through(jail, slice_of(mail, (size_t)len), (int)mails);
    jail_stop(jail);
    return 0;
}
