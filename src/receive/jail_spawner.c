/* jail_spawner.c - the process that forks readers
 *
 *     forked from main: nothing but its control socket is open; prepare(); locked; READY
 *       question READER  -> fork -> reader_main, its socket goes to the parent
 *       question SPAWNER -> fork -> spawner_main's loop with a control socket of its own
 *       question END     -> kill, wait, how it ended
 *       end of the control socket, or of main -> gone, and all readers with it
 *
 * Single-threaded; it never sees a byte of mail. */
#include "receive/jail_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534, OPEN_FILES_OF_SPAWNER = 16 };

bool message_send(int control, const struct spawner_message *message, int fd)
{
    struct iovec part = {(void *)(uintptr_t)message, sizeof(*message)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } room = {0};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        head.msg_control = room.bytes;
        head.msg_controllen = sizeof(room.bytes);
        struct cmsghdr *with = CMSG_FIRSTHDR(&head);
        with->cmsg_level = SOL_SOCKET;
        with->cmsg_type = SCM_RIGHTS;
        with->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(with), &fd, sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(control, &head, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof(*message);
}

bool message_take(int control, struct spawner_message *message, int *fd)
{
    struct iovec part = {message, sizeof(*message)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } room = {0};
    struct msghdr head = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    ssize_t got;
    do
        got = recvmsg(control, &head, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    *fd = -1;
    const struct cmsghdr *with = got > 0 ? CMSG_FIRSTHDR(&head) : NULL;
    if (with && with->cmsg_level == SOL_SOCKET && with->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(with), sizeof(int));
    message->text[sizeof(message->text) - 1] = 0;
    return got == (ssize_t)sizeof(*message);
}

bool dies_with(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

static void limit(int what, rlim_t most)
{
    struct rlimit now, both = {most, most};
    if (getrlimit(what, &now) == 0 && now.rlim_max < most)
        both.rlim_cur = both.rlim_max = now.rlim_max;
    setrlimit(what, &both);
}

/* Root's rights are of no use in here. */
static bool rights_shed(void)
{
    return geteuid() != 0 || (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
                              setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

/* Everything a reader gives away before it is locked in. False: not safe to go on. */
static bool reader_shed(pid_t parent)
{
    if (!rights_shed())
        return false;
    limit(RLIMIT_CORE, 0); /* a mail does not belong into a core file */
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_CPU, 600);
    if (!JAIL_IS_SANITIZED) /* whose shadow memory is terabytes of addresses */
        limit(RLIMIT_AS, JAIL_MEMORY_MAX);
    limit(RLIMIT_NOFILE, 0);
    prctl(PR_SET_NAME, "todoke-reader");
    prctl(PR_SET_DUMPABLE, 0);
    return dies_with(parent) && lock_reader();
}

/* Only `socket` stays open, as descriptor 3. */
static void close_others(int socket)
{
    if (socket != 3)
        dup2(socket, 3);
    close_range(4, ~0u, 0);
}

static _Noreturn void spawner_serve(const struct jail_work *work, void *prepared, int control);

/* A child with a socket to whoever asked. */
static void child_make(const struct jail_work *work, void *prepared, int control, enum spawner_op op)
{
    struct spawner_message answer = {.op = op};
    int ends[2];
    int kind = op == SPAWNER_READER ? SOCK_STREAM : SOCK_SEQPACKET;
    pid_t self = getpid();
    if (socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends) != 0) {
        snprintf(answer.text, sizeof(answer.text), "socketpair: %s", strerror(errno));
        if (!message_send(control, &answer, -1))
            _exit(0);
        return;
    }
    answer.pid = fork();
    if (answer.pid == 0) {
        close_others(ends[1]);
        if (op == SPAWNER_SPAWNER) {
            prctl(PR_SET_PDEATHSIG, 0); /* it is to outlive us; main's end closes its control socket */
            spawner_serve(work, prepared, 3);
        } else if (reader_shed(self)) {
            reader_main(work, prepared, 3);
        }
        _exit(1);
    }
    close(ends[1]);
    if (answer.pid < 0)
        snprintf(answer.text, sizeof(answer.text), "fork: %s", strerror(errno));
    bool is_heard = message_send(control, &answer, answer.pid > 0 ? ends[0] : -1);
    close(ends[0]);
    if (!is_heard)
        _exit(0);
}

static void child_end(int control, pid_t pid)
{
    struct spawner_message answer = {.op = SPAWNER_END, .pid = pid};
    if (waitpid(pid, &answer.value, WNOHANG) == 0) {
        kill(pid, SIGKILL); /* ours: it was not waited for yet */
        waitpid(pid, &answer.value, 0);
    }
    if (!message_send(control, &answer, -1))
        _exit(0);
}

static _Noreturn void spawner_serve(const struct jail_work *work, void *prepared, int control)
{
    struct spawner_message question;
    int fd;
    while (message_take(control, &question, &fd)) {
        if (fd >= 0)
            close(fd);
        switch (question.op) {
        case SPAWNER_READER:
        case SPAWNER_SPAWNER: child_make(work, prepared, control, question.op); break;
        case SPAWNER_END: child_end(control, question.pid); break;
        case SPAWNER_READY: break;
        }
    }
    _exit(0);
}

void spawner_main(const struct jail_work *work, int control)
{
    struct spawner_message ready = {.op = SPAWNER_READY, .pid = getpid(), .value = 1};
    struct fault why = {0};
    signal(SIGINT, SIG_IGN); /* the terminal's Ctrl-C is for main, which tells us by its end */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NAME, "todoke-spawner");
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; nothing >= 0 && fd <= (JAIL_IS_SANITIZED ? 1 : 2); fd++)
        dup2(nothing, fd);
    close_others(control);
    void *prepared = work->prepare(&why);
    if (!prepared) {
        ready.value = 0;
        snprintf(ready.text, sizeof(ready.text), "%.300s", why.text);
    } else if (!rights_shed() || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 /* another user: it is to be said again */) {
        ready.value = 0;
        snprintf(ready.text, sizeof(ready.text), "the rights of root do not go: %s", strerror(errno));
    } else if (!lock_spawner()) {
        ready.value = 0;
        snprintf(ready.text, sizeof(ready.text), "seccomp: %s", strerror(errno));
    }
    limit(RLIMIT_NOFILE, OPEN_FILES_OF_SPAWNER);
    if (!message_send(3, &ready, -1) || !ready.value)
        _exit(1);
    spawner_serve(work, prepared, 3);
}
