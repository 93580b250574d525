/* jail_lock.c - what the kernel lets a spawner and a reader do: seccomp filters, by libseccomp
 *
 * Lists of what is allowed; the rest ends the process. Opening files is answered EACCES rather than by death: the C
 * library tries it by itself (a charset's module, the time zone), and goes on without. */
#include "receive/jail_inside.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

static const int computing[] = {
    SCMP_SYS(read),         SCMP_SYS(write),        SCMP_SYS(munmap),
    SCMP_SYS(mremap),       SCMP_SYS(brk),          SCMP_SYS(madvise),
    SCMP_SYS(futex),        SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigaltstack),  SCMP_SYS(getpid),       SCMP_SYS(gettid),
    SCMP_SYS(exit),         SCMP_SYS(exit_group),   SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),
    SCMP_SYS(setitimer),    SCMP_SYS(close),        SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),  SCMP_SYS(getrusage),
};
static const int refused[] = {
    SCMP_SYS(open),       SCMP_SYS(openat),
    SCMP_SYS(stat),       SCMP_SYS(lstat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(access),     SCMP_SYS(faccessat),
    SCMP_SYS(fstat),      SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
    SCMP_SYS(ioctl),      SCMP_SYS(sched_getaffinity),
};
/* What forking and handing over sockets needs besides. */
static const int spawning[] = {
    SCMP_SYS(clone),      SCMP_SYS(fork),      SCMP_SYS(vfork),        SCMP_SYS(wait4),           SCMP_SYS(kill),
    SCMP_SYS(socketpair), SCMP_SYS(sendmsg),   SCMP_SYS(recvmsg),      SCMP_SYS(close_range),     SCMP_SYS(dup2),
    SCMP_SYS(getppid),    SCMP_SYS(setgroups), SCMP_SYS(setresuid),    SCMP_SYS(setresgid),       SCMP_SYS(geteuid),
    SCMP_SYS(prlimit64),  SCMP_SYS(getrlimit), SCMP_SYS(setrlimit),    SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(prctl),      SCMP_SYS(seccomp),   SCMP_SYS(rt_sigaction), SCMP_SYS(set_tid_address), SCMP_SYS(clone3),
    SCMP_SYS(getuid),     SCMP_SYS(getgid),    SCMP_SYS(getegid),
};

static bool add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seccomp_rule_add(filter, action, calls[i], 0) != 0)
            return false;
    return true;
}
#define ADD_ALL(filter, action, calls) add_all((filter), (action), (calls), COUNT_OF(calls))

/* Memory yes, code no. */
static bool add_common(scmp_filter_ctx filter)
{
    struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    return ADD_ALL(filter, SCMP_ACT_ALLOW, computing) &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code) == 0;
}

bool lock_spawner(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return false;
    bool ok = add_common(filter) && ADD_ALL(filter, SCMP_ACT_ALLOW, spawning) &&
              ADD_ALL(filter, SCMP_ACT_ERRNO(EACCES), refused) &&
              seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 0) == 0 &&
              seccomp_load(filter) == 0; /* sets no_new_privs too */
    seccomp_release(filter);
    return ok;
}

bool lock_reader(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return false;
    bool ok = add_common(filter) && ADD_ALL(filter, SCMP_ACT_ERRNO(EACCES), refused) &&
              seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                               SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0 &&
              seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok;
}

bool jail_no_exec(struct fault *why)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int failed = filter ? 0 : ENOMEM;
    const int calls[] = {SCMP_SYS(execve), SCMP_SYS(execveat)};
    for (size_t i = 0; !failed && i < COUNT_OF(calls); i++)
        failed = -seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
    failed = failed ? failed : -seccomp_load(filter);
    seccomp_release(filter);
    errno = failed;
    return !failed || fault_errno(why, "the filter that forbids starting programs");
}
