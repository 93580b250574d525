/* jail_inside.h - what the parent, the spawner and the readers say to each other (private to receive/jail*.c) */
#ifndef TODOKE_RECEIVE_JAIL_INSIDE_H
#define TODOKE_RECEIVE_JAIL_INSIDE_H

#include "receive/jail.h"
#include <sys/types.h>

/* On a spawner's control socket (SOCK_SEQPACKET): one question, one answer. */
enum spawner_op {
    SPAWNER_READER,  /* a new reader: pid, and the socket to it */
    SPAWNER_SPAWNER, /* a new spawner: pid, and its control socket */
    SPAWNER_END,     /* end this process of yours, and say how it ended */
    SPAWNER_READY,   /* the first word of a new one; value 0: `prepare` failed, text says why */
};
struct spawner_message {
    enum spawner_op op;
    pid_t pid;
    int value; /* END: the wait status */
    char text[400];
};

/* On a reader's socket (SOCK_STREAM), before the bytes. */
struct reader_question {
    uint32_t size;
    uint32_t is_alone; /* say READER_BEGUN first, so that a death is counted against the right mail */
    int64_t now;
};
/* And before each record. */
enum { READER_BEGUN = 1, READER_RECORD = 2, READER_NO_RECORD = 3 };
struct reader_answer {
    uint32_t size;
    uint32_t what;
};

/* The spawner's life; does not return. */
_Noreturn void spawner_main(const struct jail_work *work, int control);
/* The reader's life (jail_reader.c); does not return. */
_Noreturn void reader_main(const struct jail_work *work, void *prepared, int socket);

/* Seccomp filters; false: the kernel said no. */
bool lock_spawner(void);
bool lock_reader(void);
/* This process goes when its parent goes. False: it has gone already. */
bool dies_with(pid_t parent);

NODISCARD bool message_send(int control, const struct spawner_message *message, int fd);
/* *fd is -1 when none came with it. False: the other end is gone. */
NODISCARD bool message_take(int control, struct spawner_message *message, int *fd);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JAIL_IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define JAIL_IS_SANITIZED 1
#endif
#endif
#ifndef JAIL_IS_SANITIZED
#define JAIL_IS_SANITIZED 0
#endif

#endif
