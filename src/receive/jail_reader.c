/* jail_reader.c - inside: bytes in, a record out, for as long as somebody asks */
#include "receive/jail_inside.h"

#include <errno.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void write_all(int socket, const void *from, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t more = write(socket, (const char *)from + done, len - done);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            _exit(0);
        done += (size_t)more;
    }
}

/* So much CPU for the next mail; then SIGPROF, whose default is death. */
static void cpu_allow(int seconds)
{
    struct itimerval timer = {.it_value = {.tv_sec = seconds}};
    setitimer(ITIMER_PROF, &timer, NULL);
}

/* What has come and what is to be said. Answers wait while more questions are here already: one write, one wake-up of
 * the parent for several mails. */
struct talk {
    int socket;
    char *in;
    size_t room, got, used;
    struct buf out;
};

enum { FLUSH_OCTETS = 256 << 10, FLUSH_NS = 20000000, KEEP_OCTETS = 4 << 20 };

static void talk_flush(struct talk *talk)
{
    write_all(talk->socket, talk->out.ptr, talk->out.len);
    if (talk->out.room > KEEP_OCTETS) { /* a giant's memory is not kept */
        buf_release(&talk->out);
        buf_init(&talk->out, (size_t)JAIL_RECORD_MAX + FLUSH_OCTETS);
    }
    buf_reset(&talk->out);
}

/* Until `len` octets are here; then they are at talk->in + talk->used. */
static void talk_need(struct talk *talk, size_t len)
{
    if (talk->got - talk->used >= len)
        return;
    talk_flush(talk);
    if (talk->room - talk->used < len) {
        size_t rest = talk->got - talk->used, room = len < 65536 ? 65536 : len;
        char *wider = memory_alloc(room);
        if (rest)
            memcpy(wider, talk->in + talk->used, rest);
        free(talk->in);
        talk->in = wider;
        talk->room = room;
        talk->got = rest;
        talk->used = 0;
    }
    while (talk->got - talk->used < len) {
        ssize_t more = read(talk->socket, talk->in + talk->got, talk->room - talk->got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            _exit(0); /* nobody asks any more */
        talk->got += (size_t)more;
    }
}

static int64_t nanoseconds(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

void reader_main(const struct jail_work *work, void *prepared, int socket)
{
    struct talk talk = {.socket = socket};
    buf_init(&talk.out, (size_t)JAIL_RECORD_MAX + FLUSH_OCTETS);
    for (;;) {
        struct reader_question question;
        talk_need(&talk, sizeof(question));
        memcpy(&question, talk.in + talk.used, sizeof(question));
        if (question.size > JAIL_INPUT_MAX)
            _exit(1);
        talk_need(&talk, sizeof(question) + question.size);
        struct slice bytes = slice_of(talk.in + talk.used + sizeof(question), question.size);
        if (question.is_alone) {
            struct reader_answer begun = {.what = READER_BEGUN};
            buf_append(&talk.out, slice_of(&begun, sizeof(begun)));
            talk_flush(&talk);
        }
        int64_t began = nanoseconds();
        cpu_allow(JAIL_CPU_S);
        size_t at = talk.out.len;
        struct reader_answer answer = {0};
        buf_append(&talk.out, slice_of(&answer, sizeof(answer)));
        work->read(prepared, bytes, question.now, &talk.out);
        cpu_allow(0);
        size_t size = talk.out.len - at - sizeof(answer);
        bool is_good = buf_ok(&talk.out) && size <= JAIL_RECORD_MAX;
        answer.what = is_good ? READER_RECORD : READER_NO_RECORD;
        answer.size = is_good ? (uint32_t)size : 0;
        memcpy(talk.out.ptr + at, &answer, sizeof(answer));
        if (!is_good) {
            talk.out.len = at + sizeof(answer);
            talk.out.is_over = false;
        }
        talk.used += sizeof(question) + question.size;
        if (talk.out.len > FLUSH_OCTETS || nanoseconds() - began > FLUSH_NS)
            talk_flush(&talk);
        if (talk.used == talk.got && talk.room > KEEP_OCTETS) {
            free(talk.in);
            talk.in = NULL;
            talk.room = talk.got = talk.used = 0;
        }
    }
}
