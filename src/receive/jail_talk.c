/* jail_talk.c - the parent's word with a reader: mails go out as it takes them, records come back in the same order
 *
 * What a reader says is strangers' bytes: lengths are checked before anything is kept, and nonsense ends it. */
#include "receive/jail_parent.h"

#include "base/arena.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    HEARD_AT_ONCE = 64 << 10,
    ROOM_KEPT = 4 << 20, /* of a buffer that is empty; a record that was larger gives its room back */
};

void reader_listen(struct reader *reader)
{
    buf_init(&reader->in, (size_t)JAIL_RECORD_MAX + HEARD_AT_ONCE);
}

void round_refuse(struct round *round, size_t index, const char *what)
{
    snprintf(round->items[index].why, sizeof(round->items[index].why), "%s", what);
    __atomic_fetch_add(&round->jail->figures.refused, 1, __ATOMIC_RELAXED);
    round->open--;
}

bool reader_feed(struct round *round, struct reader *reader)
{
    while (reader->sending < reader->count) {
        struct reader_question questions[WINDOW];
        struct iovec parts[2 * WINDOW];
        size_t count = 0, skip = reader->sent;
        for (unsigned i = reader->sending; i < reader->count; i++) {
            struct slice bytes = round->items[reader->mine[i]].bytes;
            questions[i] = (struct reader_question){(uint32_t)bytes.len, reader->is_alone, round->now};
            size_t head = skip < sizeof(*questions) ? sizeof(*questions) - skip : 0;
            struct slice rest = slice_from(bytes, head ? 0 : skip - sizeof(*questions));
            if (head)
                parts[count++] = (struct iovec){(char *)&questions[i] + sizeof(*questions) - head, head};
            if (rest.len)
                parts[count++] = (struct iovec){(void *)(uintptr_t)rest.ptr, rest.len};
            skip = 0;
        }
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = count ? sendmsg(reader->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        reader->sent += (size_t)sent;
        while (reader->sending < reader->count) {
            size_t whole = sizeof(*questions) + round->items[reader->mine[reader->sending]].bytes.len;
            if (reader->sent < whole)
                break;
            reader->sent -= whole;
            reader->sending++;
        }
    }
    return true;
}

/* The answers that have come whole. False: nonsense. */
static bool reader_answers(struct round *round, struct reader *reader)
{
    struct reader_answer answer;
    size_t at = 0;
    for (; reader->in.len - at >= sizeof(answer); at += sizeof(answer) + answer.size) {
        memcpy(&answer, reader->in.ptr + at, sizeof(answer));
        if (answer.size > JAIL_RECORD_MAX || reader->sending == 0 || (answer.what != READER_RECORD && answer.size))
            return false;
        if (reader->in.len - at - sizeof(answer) < answer.size)
            break;
        if (answer.what == READER_BEGUN && (!reader->is_alone || reader->has_begun))
            return false; /* again and again it would put off the hour at which it is late */
        reader->moved_at = jail_clock_ms();
        round->jail->in_vain = 0;
        if (answer.what == READER_BEGUN) {
            reader->has_begun = true;
            continue;
        }
        if (answer.what != READER_RECORD && answer.what != READER_NO_RECORD)
            return false;
        size_t index = reader->mine[0];
        struct jail_item *item = &round->items[index];
        if (answer.what == READER_RECORD) {
            item->record = arena_copy(round->arena, slice_of(reader->in.ptr + at + sizeof(answer), answer.size));
            item->is_read = true;
            __atomic_fetch_add(&round->jail->figures.read, 1, __ATOMIC_RELAXED);
            round->open--;
        } else {
            round_refuse(round, index, "there is more in it than a record may hold");
        }
        reader->octets -= item->bytes.len;
        memmove(reader->mine, reader->mine + 1, --reader->count * sizeof(*reader->mine));
        reader->sending--;
    }
    buf_consume(&reader->in, at);
    if (reader->in.room > ROOM_KEPT && !reader->in.len) {
        buf_release(&reader->in);
        reader_listen(reader);
    }
    return true;
}

bool reader_hear(struct round *round, struct reader *reader, enum loss *loss)
{
    for (;;) {
        char *room = buf_reserve(&reader->in, HEARD_AT_ONCE);
        *loss = room ? LOSS_GONE : LOSS_NONSENSE;
        if (!room)
            return false;
        ssize_t got = recv(reader->fd, room, HEARD_AT_ONCE, MSG_DONTWAIT);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0)
            return false;
        buf_advance(&reader->in, (size_t)got);
        *loss = LOSS_NONSENSE;
        if (!reader_answers(round, reader))
            return false;
        if (got < HEARD_AT_ONCE)
            return true;
    }
}
