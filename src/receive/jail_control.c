/* jail_control.c - the parent's word with its spawners: readers are made and ended, and each spawner can replace the
 * other
 *
 * One question, one answer, on a control socket; a spawner that does not answer is dropped, and the other makes a new
 * one. */
#include "receive/jail_parent.h"

#include "base/log.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SPAWNER_PATIENCE_S = 10 };

/* ── spawners ── */

void spawner_drop(struct jail *jail, unsigned which)
{
    struct spawner *spawner = &jail->spawners[which];
    if (!spawner->pid)
        return;
    close(spawner->control);
    if (spawner->is_our_child) {
        kill(spawner->pid, SIGKILL);
        waitpid(spawner->pid, NULL, 0);
    }
    *spawner = (struct spawner){0};
}

/* One question, one answer. False: it is gone, and dropped. */
static bool spawner_ask(struct jail *jail, unsigned which, enum spawner_op op, pid_t pid,
                        struct spawner_message *answer, int *fd)
{
    struct spawner *spawner = &jail->spawners[which];
    struct spawner_message question = {.op = op, .pid = pid};
    *fd = -1;
    if (!spawner->pid)
        return false;
    if (message_send(spawner->control, &question, -1) && message_take(spawner->control, answer, fd) && answer->op == op)
        return true;
    if (*fd >= 0)
        close(*fd);
    log_error("receive", "the spawner of readers (process %d) is gone", (int)spawner->pid);
    spawner_drop(jail, which);
    return false;
}

static void control_adopt(struct spawner *spawner, pid_t pid, int control, bool is_our_child)
{
    struct timeval patience = {.tv_sec = SPAWNER_PATIENCE_S};
    setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    *spawner = (struct spawner){pid, control, is_our_child};
}

/* Both spawners are there again, if one is left to make the other. */
static void spawners_mend(struct jail *jail)
{
    for (unsigned i = 0; i < SPAWNERS; i++) {
        struct spawner_message answer;
        int fd;
        if (jail->spawners[i].pid || !jail->spawners[1 - i].pid)
            continue;
        if (spawner_ask(jail, 1 - i, SPAWNER_SPAWNER, 0, &answer, &fd) && fd >= 0) {
            control_adopt(&jail->spawners[i], answer.pid, fd, false);
            log_warn("receive", "a new spawner of readers, process %d", (int)answer.pid);
        }
    }
}

void spawners_check(struct jail *jail)
{
    for (unsigned i = 0; i < SPAWNERS; i++) {
        struct pollfd control = {.fd = jail->spawners[i].control, .events = POLLIN};
        if (!jail->spawners[i].pid || poll(&control, 1, 0) <= 0)
            continue;
        log_error("receive", "the spawner of readers (process %d) is gone", (int)jail->spawners[i].pid);
        spawner_drop(jail, i);
    }
    spawners_mend(jail);
}

bool spawner_start(struct jail *jail, unsigned which, struct fault *why)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fault_errno(why, "the jail's socket");
    fflush(NULL);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        if (!dies_with(self))
            _exit(0);
        spawner_main(&jail->work, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return fault_errno(why, "the jail's process");
    }
    control_adopt(&jail->spawners[which], pid, ends[0], true);
    struct spawner_message ready;
    int fd;
    bool is_ready = message_take(ends[0], &ready, &fd) && ready.op == SPAWNER_READY;
    if (is_ready && ready.value)
        return true;
    spawner_drop(jail, which);
    return fault_set(why, FAULT_WORLD, "the jail for strangers' mail cannot be made: %s",
                     is_ready ? ready.text : "its process ended");
}

/* ── readers ── */

static const char *end_text(int status, bool is_known, enum loss loss)
{
    if (loss == LOSS_LATE)
        return "took longer than it may";
    if (loss == LOSS_NONSENSE)
        return "answered nonsense";
    if (!is_known)
        return "ended";
    if (WIFEXITED(status))
        return "ended by itself";
    switch (WTERMSIG(status)) {
    case SIGSYS: return "tried what it may not";
    case SIGPROF:
    case SIGXCPU: return "used more CPU than it may";
    case SIGABRT: return "ran out of memory or failed a check of its own";
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE: return "crashed";
    case SIGKILL: return "was killed";
    default: return "ended by a signal";
    }
}

const char *reader_end(struct jail *jail, struct reader *reader, enum loss loss, bool *was_killed)
{
    struct spawner_message answer = {0};
    int fd;
    close(reader->fd);
    bool is_known = spawner_ask(jail, reader->spawner, SPAWNER_END, reader->pid, &answer, &fd);
    if (fd >= 0)
        close(fd);
    *was_killed = loss == LOSS_GONE && (!is_known || (WIFSIGNALED(answer.value) && WTERMSIG(answer.value) == SIGKILL));
    buf_release(&reader->in);
    *reader = (struct reader){0};
    reader_listen(reader);
    __atomic_fetch_sub(&jail->figures.readers, 1, __ATOMIC_RELAXED);
    spawners_mend(jail);
    return end_text(answer.value, is_known, loss);
}

bool reader_start(struct jail *jail, struct reader *reader, struct fault *why)
{
    struct spawner_message answer;
    int fd;
    fault_set(why, FAULT_WORLD, "both spawners of readers are gone; restart the server");
    for (unsigned i = 0; i < SPAWNERS; i++) {
        if (!spawner_ask(jail, i, SPAWNER_READER, 0, &answer, &fd))
            continue;
        if (fd < 0) {
            fault_set(why, FAULT_WORLD, "no reader can be made: %s", answer.text);
            continue;
        }
        reader->pid = answer.pid;
        reader->fd = fd;
        reader->spawner = i;
        __atomic_fetch_add(&jail->figures.started, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&jail->figures.readers, 1, __ATOMIC_RELAXED);
        spawners_mend(jail);
        return true;
    }
    return false;
}
