/* X13: what happens in the jail stays there, and costs nobody else anything */
#include "receive/jail.h"

#include "base/test.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A reader that does what the mail says. */
static void *prepare(struct fault *why)
{
    static int nothing;
    return &nothing;
}
static void obey(void *prepared, struct slice mail, int64_t now, struct buf *record)
{
    if (slice_equal(mail, SLICE("open"))) {
        int fd = open("/etc/passwd", O_RDONLY);
        buf_printf(record, fd >= 0 ? "opened" : "not opened");
    } else if (slice_equal(mail, SLICE("exec"))) {
        char *none[] = {NULL};
        syscall(SYS_execve, "/bin/true", none, none);
    } else if (slice_equal(mail, SLICE("fork"))) {
        fork();
    } else if (slice_equal(mail, SLICE("socket"))) {
        socket(AF_INET, SOCK_STREAM, 0);
    } else if (slice_equal(mail, SLICE("unlink"))) {
        unlink("/nowhere");
    } else if (slice_equal(mail, SLICE("kill"))) {
        kill(getppid(), 0);
    } else if (slice_equal(mail, SLICE("code"))) {
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else if (slice_equal(mail, SLICE("crash"))) {
        abort();
    } else if (slice_equal(mail, SLICE("memory"))) {
        for (;;)
            memset(memory_alloc(64 << 20), 1, 64 << 20);
    } else if (slice_equal(mail, SLICE("talk"))) {
        char *much = memory_zero(1, JAIL_RECORD_MAX + 1);
        buf_append(record, slice_of(much, JAIL_RECORD_MAX + 1));
        free(much);
        return;
    } else if (slice_equal(mail, SLICE("lie"))) {
        uint32_t nonsense[2] = {1 << 30, 77};
        if (write(3, nonsense, sizeof(nonsense)) < 0)
            abort();
    } else if (slice_equal(mail, SLICE("begin"))) {
        uint32_t begun[2] = {0, 1};
        while (write(3, begun, sizeof(begun)) > 0) {
        }
    } else {
        buf_printf(record, "read %zu at %lld", mail.len, (long long)now);
    }
}
static const struct jail_work work = {prepare, obey};

static struct jail *started(unsigned readers)
{
    struct fault why;
    struct jail *jail = jail_start(&work, readers, &why);
    if (!jail)
        fail_msg("%s", why.text);
    return jail;
}

static void read_all(struct jail *jail, struct jail_item *items, size_t count, struct arena *arena)
{
    struct fault why;
    if (!jail_read(jail, items, count, 42, arena, &why))
        fail_msg("%s", why.text);
}

static void forbidden(void **state)
{
    static const struct {
        const char *what, *said;
    } rows[] = {
        {"exec", "may not"},
        {"fork", "may not"},
        {"socket", "may not"},
        {"unlink", "may not"},
        {"kill", "may not"},
        {"code", "may not"},
        {"crash", "memory or failed"},
#if !defined(__SANITIZE_ADDRESS__)
        {"memory", "memory or failed"},
#endif
        {"talk", "more in it"},
        {"lie", "nonsense"},
        {"begin", "nonsense"}, /* for ever: it would never be late */
    };
    struct jail *jail = started(1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(arena) arena = {0};
        struct jail_item items[5] = {{.bytes = SLICE("before")},
                                     {.bytes = SLICE("just before")},
                                     {.bytes = slice_str(rows[i].what)},
                                     {.bytes = SLICE("behind")},
                                     {.bytes = SLICE("open")}};
        read_all(jail, items, COUNT_OF(items), &arena);
        assert_slice(rows[i].what, items[0].record, SLICE("read 6 at 42"));
        assert_slice(rows[i].what, items[1].record, SLICE("read 11 at 42"));
        assert_slice(rows[i].what, items[3].record, SLICE("read 6 at 42"));
        assert_slice(rows[i].what, items[4].record, SLICE("not opened"));
        assert_row(rows[i].what, !items[2].is_read);
        if (!strstr(items[2].why, rows[i].said))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].what, items[2].why, rows[i].said);
    }
    jail_stop(jail);
}

static void sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 5 << 20, 79 << 20, JAIL_INPUT_MAX, JAIL_INPUT_MAX + 1};
    struct jail *jail = started(2);
    SCOPED(arena) arena = {0};
    char *bytes = memory_zero(1, JAIL_INPUT_MAX + 1);
    struct jail_item items[COUNT_OF(sizes)];
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        items[i].bytes = slice_of(bytes, sizes[i]);
    read_all(jail, items, COUNT_OF(items), &arena);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char want[64];
        snprintf(want, sizeof(want), "read %zu at 42", sizes[i]);
        assert_row("read", items[i].is_read == (sizes[i] <= JAIL_INPUT_MAX));
        if (items[i].is_read)
            assert_slice("size", items[i].record, slice_str(want));
    }
    free(bytes);
    jail_stop(jail);
}

/* Processes whose parent is `parent`; ended by pid, one of them or all. */
static unsigned kill_children(pid_t parent, bool only_one)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    struct slice rest = slice_of(text, got), word;
    unsigned killed = 0;
    while (slice_split(&rest, ' ', &word)) {
        uint64_t pid;
        if (slice_to_u64(slice_trim(word), &pid) && !(only_one && killed))
            killed += kill((pid_t)pid, SIGKILL) == 0;
    }
    return killed;
}

/* Our children are the spawners, theirs the readers. */
static unsigned kill_readers(void)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    struct slice rest = slice_of(text, got), word;
    unsigned killed = 0;
    while (slice_split(&rest, ' ', &word)) {
        uint64_t pid;
        if (slice_to_u64(slice_trim(word), &pid))
            killed += kill_children((pid_t)pid, false);
    }
    return killed;
}

static void a_round(struct jail *jail, size_t count)
{
    SCOPED(arena) arena = {0};
    struct jail_item *items = ARENA_ARRAY(&arena, struct jail_item, count);
    for (size_t i = 0; i < count; i++)
        items[i].bytes = arena_printf(&arena, "%*d", (int)(i % 500 + 1), 1);
    read_all(jail, items, count, &arena);
    for (size_t i = 0; i < count; i++) {
        struct slice want = arena_printf(&arena, "read %zu at 42", i % 500 + 1);
        assert_row("read", items[i].is_read);
        assert_slice("record", items[i].record, want);
    }
}

static void killed_between_rounds(void **state)
{
    struct jail *jail = started(2);
    unsigned killed = 0;
    for (int i = 0; i < 30; i++) {
        a_round(jail, 40);
        killed += kill_readers();
    }
    assert_true(killed >= 30);
    a_round(jail, 1000);
    jail_stop(jail);
}

static void killed_while_reading(void **state)
{
    struct jail *jail = started(2);
    pid_t parent = getpid(), killer = fork();
    if (killer == 0) {
        /* ever more seldom: where reading is slow every reader of a mail would die, and a mail of six deaths is put
         * aside */
        for (long ms = 20; getppid() == parent; ms += ms < 900 ? 5 : 0) {
            const struct timespec pause = {.tv_nsec = ms * 1000000};
            char path[64], text[4096];
            snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
            FILE *file = fopen(path, "r");
            size_t got = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
            if (file)
                fclose(file);
            struct slice rest = slice_of(text, got), word;
            while (slice_split(&rest, ' ', &word)) {
                uint64_t pid;
                if (slice_to_u64(slice_trim(word), &pid) && (pid_t)pid != getpid())
                    kill_children((pid_t)pid, true);
            }
            nanosleep(&pause, NULL);
        }
        _exit(0);
    }
    for (int i = 0; i < 20; i++)
        a_round(jail, 2000);
    kill(killer, SIGKILL);
    waitpid(killer, NULL, 0);
    assert_true(jail_figures(jail).deaths > 0);
    assert_int_equal(jail_figures(jail).refused, 0);
    jail_stop(jail);
}

/* A spawner is made anew by the other; the new one by the one that it made. */
static void spawners_die_one_by_one(void **state)
{
    struct jail *jail = started(2);
    for (int i = 0; i < 4; i++) {
        a_round(jail, 50);
        kill_children(getpid(), true);
        a_round(jail, 50);
    }
    jail_stop(jail);
}

static void back_in_under_a_second(void **state)
{
    struct jail *jail = started(1);
    double best = 99;
    for (int i = 0; i < 5 && best > 1; i++) { /* on a busy machine the best of five */
        a_round(jail, 4);
        kill_readers();
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        a_round(jail, 4);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
        best = seconds < best ? seconds : best;
    }
    if (best > 1)
        fail_msg("a new reader took %.2f s", best);
    jail_stop(jail);
}

static void *prepare_in_vain(struct fault *why)
{
    fault_set(why, FAULT_WORLD, "no rules");
    return NULL;
}
static void said_why_not(void **state)
{
    const struct jail_work broken = {prepare_in_vain, obey};
    struct fault why = {0};
    assert_null(jail_start(&broken, 1, &why));
    assert_non_null(strstr(why.text, "no rules"));
}

/* The server's own filter: threads, too, and whatever it forks. */
static void *try_exec(void *result)
{
    char *none[] = {NULL};
    syscall(SYS_execve, "/bin/true", none, none);
    *(int *)result = errno;
    return NULL;
}
static void no_program_is_started(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct fault why;
        pthread_t thread;
        int here = 0, there = 0;
        if (!jail_no_exec(&why) || pthread_create(&thread, NULL, try_exec, &there) != 0)
            _exit(2);
        pthread_join(thread, NULL);
        try_exec(&here);
        _exit(here == EPERM && there == EPERM ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(name) cmocka_unit_test(name)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forbidden),
        TEST(sizes),
        TEST(killed_between_rounds),
        TEST(killed_while_reading),
        TEST(spawners_die_one_by_one),
        TEST(back_in_under_a_second),
        TEST(said_why_not),
        TEST(no_program_is_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
