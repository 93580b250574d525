/* jail_reader.c - inside: bytes in, a record out, for as long as somebody asks */
#include "receive/jail_inside.h"

#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

static void read_exactly(int socket, void *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t more = read(socket, (char *)to + got, len - got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            _exit(0); /* nobody asks any more */
        got += (size_t)more;
    }
}

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

void reader_main(const struct jail_work *work, void *prepared, int socket)
{
    struct buf record;
    buf_init(&record, JAIL_RECORD_MAX);
    char *bytes = NULL;
    size_t room = 0;
    for (;;) {
        struct reader_question question;
        read_exactly(socket, &question, sizeof(question));
        if (question.size > JAIL_INPUT_MAX)
            _exit(1);
        if (question.size > room) {
            free(bytes);
            room = question.size < 65536 ? 65536 : question.size;
            bytes = memory_alloc(room);
        }
        read_exactly(socket, bytes, question.size);
        if (question.is_alone)
            write_all(socket, &(struct reader_answer){.what = READER_BEGUN}, sizeof(struct reader_answer));
        cpu_allow(JAIL_CPU_S);
        buf_reset(&record);
        struct reader_answer answer = {0};
        buf_append(&record, slice_of(&answer, sizeof(answer)));
        work->read(prepared, slice_of(bytes, question.size), question.now, &record);
        cpu_allow(0);
        bool is_good = buf_ok(&record);
        answer.what = is_good ? READER_RECORD : READER_NO_RECORD;
        answer.size = is_good ? (uint32_t)(record.len - sizeof(answer)) : 0;
        if (is_good)
            memcpy(record.ptr, &answer, sizeof(answer));
        write_all(socket, is_good ? (const void *)record.ptr : &answer, is_good ? record.len : sizeof(answer));
        if (room > 4 << 20 || record.room > 4 << 20) { /* a giant's memory is not kept */
            free(bytes);
            bytes = NULL;
            room = 0;
            buf_release(&record);
            buf_init(&record, JAIL_RECORD_MAX);
        }
    }
}
