#include "base/thread.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TURN_NS = 200000 };

/* Of sched_setattr(2), for which there is no function in the C library. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period; /* runtime: of a SCHED_OTHER thread, its turn in nanoseconds */
};

void thread_takes_short_turns(void)
{
    if (sched_getscheduler(0) != SCHED_OTHER)
        return;
    struct attributes wanted = {
        .size = sizeof(wanted),
        .policy = SCHED_OTHER,
        .nice = getpriority(PRIO_PROCESS, (id_t)gettid()),
        .runtime = TURN_NS,
    };
    syscall(SYS_sched_setattr, 0, &wanted, 0);
}
