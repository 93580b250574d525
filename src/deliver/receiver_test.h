/* receiver_test.h - a receiver that follows a script, for the tests of deliver/: plain blocking sockets, a thread for
 * each connection, on an address of 127.77.0.0/16 and the playground's port */
#ifndef TODOKE_DELIVER_RECEIVER_TEST_H
#define TODOKE_DELIVER_RECEIVER_TEST_H

#include "base/map.h"
#include "base/test.h"
#include "mail/verdict.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVER_PORT = 2525, SCRIPT_MOST = 6, LINE_ROOM = 1024, CONVERSATIONS_MOST = 1500, TOGETHER_MOST = 300 };

/* What is said at a stage instead of yes. Words in capitals: RESET, CLOSE, SILENT (until the peer goes), GARBAGE;
 * TAKE_AND_CLOSE: after the dot, the mail is kept and nobody hears of it. */
struct line {
    enum stage at;
    const char *say;
    int times;      /* so often, then yes; 0: always */
    const char *to; /* only when the recipient begins so; NULL: any */
    int from;       /* not before this message of the connection, from 1 */
    bool hangs_up;  /* behind it; behind 421 and GARBAGE always */
};
struct receiver {
    char ip[16]; /* by receiver_start */
    struct line script[SCRIPT_MOST];
    bool offers_tls, no_pipelining;
    bool refuses_tls;           /* in the script's words: no 220 before them */
    bool is_prompt;             /* no delayed ACK between the two pieces of an answer */
    int slow_ms;                /* before the answer to each dot */
    _Atomic int slow_rcpt_ms;   /* ... to each RCPT */
    int slow_quit_ms;           /* ... to QUIT */
    int recipients;             /* so many a transaction, others hear 452; 0: TOGETHER_MOST */
    int says_rcptmax;           /* LIMITS; 0: nothing */
    int connections;            /* so many at once, others hear 421; 0: any number */
    _Atomic bool waits_at_data; /* no 354 while it is set */
    _Atomic int at_data;        /* so many wait for it */
    _Atomic int rate; /* messages a second, a second's worth at once; others hear 421 at MAIL; 0: any number */

    int fd;
    pthread_t thread, conversations[CONVERSATIONS_MOST];
    _Atomic int said[SCRIPT_MOST];
    _Atomic int open, open_most, seen, accepted, messages_most;
    _Atomic int transactions, together_most; /* that were taken; most recipients of one */
    _Atomic int too_many;                    /* by `recipients` */
    _Atomic int taken_from[256];             /* by the last part of the sender's address */
    _Atomic int strange_ehlo;                /* from 127.88.0.N, and not "outN.example" */
    _Atomic int throttled;                   /* by `rate` */
    _Atomic int cut_short;                   /* mails that the sender began, and hung up before their dot */
    _Atomic bool is_over;
    pthread_mutex_t lock;
    double tokens;
    struct timespec tokens_at;
    struct map taken;        /* recipient -> how often + 1 (as a pointer) */
    struct map place;        /* recipient -> the how-manieth of all mails his last one was */
    struct receiver *beside; /* another one ... */
    _Atomic int beside_then; /* ... and how many that had taken when this one took its first */
    struct map brought;      /* "recipient by N", N the last part of the sender's address -> how often */
};

struct conversation {
    struct receiver *receiver;
    int fd, messages;
    char text[8192];
    size_t len;
    bool has_mail;
    char recipient[256]; /* the last one that was asked for, and accepted */
    char together[TOGETHER_MOST][64];
    int together_count;
    unsigned char from[4]; /* the peer's address */
};

static inline void receiver_pause(int ms)
{
    const struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

static inline void conversation_say(struct conversation *talk, const char *text)
{
    if (send(talk->fd, text, strlen(text), MSG_NOSIGNAL) >= 0)
        (void)!send(talk->fd, "\r\n", 2, MSG_NOSIGNAL);
}

/* More bytes into text; false: the peer has gone. */
static inline bool conversation_read(struct conversation *talk)
{
    while (!atomic_load(&talk->receiver->is_over)) {
        struct pollfd wait = {.fd = talk->fd, .events = POLLIN};
        if (poll(&wait, 1, 50) <= 0)
            continue;
        ssize_t got = recv(talk->fd, talk->text + talk->len, sizeof(talk->text) - talk->len, 0);
        if (got <= 0)
            return false;
        talk->len += (size_t)got;
        return true;
    }
    return false;
}

static inline bool conversation_line(struct conversation *talk, char line[LINE_ROOM])
{
    for (;;) {
        char *end = memchr(talk->text, '\n', talk->len);
        if (end) {
            size_t len = (size_t)(end - talk->text) + 1, kept = len < LINE_ROOM ? len : LINE_ROOM;
            memcpy(line, talk->text, kept);
            line[kept - 1] = '\0';
            line[strcspn(line, "\r")] = '\0';
            memmove(talk->text, talk->text + len, talk->len - len);
            talk->len -= len;
            return true;
        }
        if (talk->len == sizeof(talk->text))
            talk->len = 0; /* a line of a body that nobody looks at */
        if (!conversation_read(talk))
            return false;
    }
}

static inline void conversation_reset(struct conversation *talk)
{
    const struct linger now = {1, 0};
    setsockopt(talk->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static inline void receiver_takes(struct receiver *receiver, const char *recipient)
{
    pthread_mutex_lock(&receiver->lock);
    uintptr_t before = (uintptr_t)map_get(&receiver->taken, slice_str(recipient));
    map_set(&receiver->taken, slice_str(recipient), (void *)(before ? before + 1 : 2));
    map_set(&receiver->place, slice_str(recipient), (void *)((uintptr_t)atomic_load(&receiver->accepted) + 1));
    pthread_mutex_unlock(&receiver->lock);
    if (receiver->beside && !atomic_load(&receiver->accepted))
        atomic_store(&receiver->beside_then, atomic_load(&receiver->beside->accepted));
    atomic_fetch_add(&receiver->accepted, 1);
}

/* By whom it was brought, too: "ann@r0.example by 3". */
static inline void conversation_takes(struct conversation *talk)
{
    struct receiver *receiver = talk->receiver;
    for (int i = 0; i < talk->together_count; i++) {
        char by[300];
        snprintf(by, sizeof(by), "%s by %d", talk->together[i], talk->from[3]);
        pthread_mutex_lock(&receiver->lock);
        map_set(&receiver->brought, slice_str(by), (void *)((uintptr_t)map_get(&receiver->brought, slice_str(by)) + 1));
        pthread_mutex_unlock(&receiver->lock);
        receiver_takes(receiver, talk->together[i]);
    }
    atomic_fetch_add(&receiver->transactions, 1);
    for (int before = atomic_load(&receiver->together_most);
         talk->together_count > before &&
         !atomic_compare_exchange_weak(&receiver->together_most, &before, talk->together_count);) {
    }
}

enum told { TOLD_YES, TOLD_NO, TOLD_OVER };
/* What the script says at this stage. */
static inline enum told conversation_script(struct conversation *talk, enum stage at)
{
    struct receiver *receiver = talk->receiver;
    for (int i = 0; i < SCRIPT_MOST; i++) {
        const struct line *line = &receiver->script[i];
        if (!line->say || line->at != at || talk->messages + 1 < line->from ||
            (line->to && strncmp(talk->recipient, line->to, strlen(line->to)) != 0))
            continue;
        if (atomic_fetch_add(&receiver->said[i], 1) >= line->times && line->times)
            continue;
        if (strcmp(line->say, "RESET") == 0) {
            conversation_reset(talk);
            return TOLD_OVER;
        }
        if (strcmp(line->say, "TAKE_AND_CLOSE") == 0 || (at == STAGE_DOT && strncmp(line->say, "250", 3) == 0))
            conversation_takes(talk);
        if (strcmp(line->say, "CLOSE") == 0 || strcmp(line->say, "TAKE_AND_CLOSE") == 0)
            return TOLD_OVER;
        if (strcmp(line->say, "SILENT") == 0) {
            while (conversation_read(talk))
                talk->len = 0;
            return TOLD_OVER;
        }
        conversation_say(talk, line->say);
        bool is_end = line->hangs_up || strncmp(line->say, "421", 3) == 0 || strcmp(line->say, "GARBAGE") == 0;
        return is_end ? TOLD_OVER : TOLD_NO;
    }
    return TOLD_YES;
}

static inline int receiver_took(struct receiver *receiver, const char *recipient)
{
    pthread_mutex_lock(&receiver->lock);
    uintptr_t count = (uintptr_t)map_get(&receiver->taken, slice_str(recipient));
    pthread_mutex_unlock(&receiver->lock);
    return count ? (int)count - 1 : 0;
}

/* The how-manieth of all that was taken his last mail was, whenever one asks; 0: he had none. */
static inline int receiver_place(struct receiver *receiver, const char *recipient)
{
    pthread_mutex_lock(&receiver->lock);
    int place = (int)(uintptr_t)map_get(&receiver->place, slice_str(recipient));
    pthread_mutex_unlock(&receiver->lock);
    return place;
}

/* How often 127.88.0.`last` has brought this one's mail. */
static inline int receiver_took_from(struct receiver *receiver, const char *recipient, int last)
{
    char by[300];
    snprintf(by, sizeof(by), "%s by %d", recipient, last);
    pthread_mutex_lock(&receiver->lock);
    int count = (int)(uintptr_t)map_get(&receiver->brought, slice_str(by));
    pthread_mutex_unlock(&receiver->lock);
    return count;
}

static inline bool receiver_has_token(struct receiver *receiver)
{
    double rate = atomic_load(&receiver->rate);
    if (rate <= 0)
        return true;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&receiver->lock);
    receiver->tokens += rate * ((double)(now.tv_sec - receiver->tokens_at.tv_sec) +
                                (double)(now.tv_nsec - receiver->tokens_at.tv_nsec) / 1e9);
    receiver->tokens_at = now;
    if (receiver->tokens > rate)
        receiver->tokens = rate;
    bool has = receiver->tokens >= 1;
    receiver->tokens -= has;
    pthread_mutex_unlock(&receiver->lock);
    return has;
}

static inline bool conversation_data(struct conversation *talk)
{
    char line[LINE_ROOM];
    enum told told = conversation_script(talk, STAGE_DATA);
    if (told != TOLD_YES)
        return told == TOLD_NO;
    atomic_fetch_add(&talk->receiver->at_data, 1);
    while (atomic_load(&talk->receiver->waits_at_data) && !atomic_load(&talk->receiver->is_over))
        receiver_pause(2);
    atomic_fetch_sub(&talk->receiver->at_data, 1);
    conversation_say(talk, "354 go on");
    do {
        if (!conversation_line(talk, line)) {
            atomic_fetch_add(&talk->receiver->cut_short, 1);
            return false;
        }
    } while (strcmp(line, ".") != 0);
    if (talk->receiver->slow_ms)
        receiver_pause(talk->receiver->slow_ms);
    told = conversation_script(talk, STAGE_DOT);
    if (told == TOLD_YES) {
        conversation_takes(talk);
        atomic_fetch_add(&talk->receiver->taken_from[talk->from[3]], talk->together_count);
        conversation_say(talk, "250 2.0.0 queued");
        talk->messages++;
    }
    talk->has_mail = false;
    talk->recipient[0] = '\0';
    talk->together_count = 0;
    return told != TOLD_OVER;
}

static inline bool conversation_command(struct conversation *talk, const char *line)
{
    enum told told;
    if (strncasecmp(line, "EHLO", 4) == 0 || strncasecmp(line, "HELO", 4) == 0) {
        char name[32];
        snprintf(name, sizeof(name), " out%d.example", talk->from[3]);
        if (talk->from[1] == 88 && !strstr(line, name))
            atomic_fetch_add(&talk->receiver->strange_ehlo, 1);
        if ((told = conversation_script(talk, STAGE_EHLO)) == TOLD_YES) {
            conversation_say(talk, "250-mx.example");
            if (talk->receiver->offers_tls)
                conversation_say(talk, "250-STARTTLS");
            if (talk->receiver->says_rcptmax) {
                char limits[64];
                snprintf(limits, sizeof(limits), "250-LIMITS RCPTMAX=%d", talk->receiver->says_rcptmax);
                conversation_say(talk, limits);
            }
            conversation_say(talk, talk->receiver->no_pipelining ? "250 8BITMIME" : "250 PIPELINING");
        }
    } else if (strncasecmp(line, "STARTTLS", 8) == 0) {
        if (!talk->receiver->refuses_tls)
            conversation_say(talk, "220 go on");
        told = conversation_script(talk, STAGE_STARTTLS);
    } else if (strncasecmp(line, "MAIL", 4) == 0) {
        talk->recipient[0] = '\0';
        talk->together_count = 0;
        talk->has_mail = false;
        if (!receiver_has_token(talk->receiver)) {
            atomic_fetch_add(&talk->receiver->throttled, 1);
            conversation_say(talk, "421 4.7.0 too fast, try again later");
            return false;
        }
        if ((told = conversation_script(talk, STAGE_MAIL)) == TOLD_YES) {
            conversation_say(talk, "250 2.1.0 ok");
            talk->has_mail = true;
        }
    } else if (strncasecmp(line, "RCPT", 4) == 0 && !talk->has_mail) {
        conversation_say(talk, "503 5.5.1 MAIL first");
        told = TOLD_NO;
    } else if (strncasecmp(line, "RCPT", 4) == 0) {
        snprintf(talk->recipient, sizeof(talk->recipient), "%s", line + strcspn(line, "<") + 1);
        talk->recipient[strcspn(talk->recipient, ">")] = '\0';
        receiver_pause(atomic_load(&talk->receiver->slow_rcpt_ms));
        int room = talk->receiver->recipients ? talk->receiver->recipients : TOGETHER_MOST;
        if ((told = conversation_script(talk, STAGE_RCPT)) == TOLD_YES && talk->together_count >= room) {
            conversation_say(talk, "452 4.5.3 too many recipients");
            atomic_fetch_add(&talk->receiver->too_many, 1);
        } else if (told == TOLD_YES) {
            snprintf(talk->together[talk->together_count++], sizeof(talk->together[0]), "%.63s", talk->recipient);
            conversation_say(talk, "250 2.1.5 ok");
        } else if (told == TOLD_NO) {
            talk->recipient[0] = '\0';
        }
    } else if (strncasecmp(line, "DATA", 4) == 0) {
        if (!talk->together_count) {
            conversation_say(talk, "554 5.5.1 no valid recipients");
            return true;
        }
        return conversation_data(talk);
    } else if (strncasecmp(line, "QUIT", 4) == 0) {
        receiver_pause(talk->receiver->slow_quit_ms);
        conversation_say(talk, "221 bye");
        return false;
    } else {
        if (strncasecmp(line, "RSET", 4) == 0) {
            talk->has_mail = false;
            talk->together_count = 0;
        }
        conversation_say(talk, "250 2.0.0 ok"); /* RSET, NOOP */
        told = TOLD_YES;
    }
    return told != TOLD_OVER;
}

static inline void raise_most(_Atomic int *most, int now)
{
    for (int before = atomic_load(most); now > before && !atomic_compare_exchange_weak(most, &before, now);) {
    }
}

static inline void *conversation_main(void *arg)
{
    struct conversation *talk = arg;
    struct receiver *receiver = talk->receiver;
    int open = atomic_fetch_add(&receiver->open, 1) + 1;
    raise_most(&receiver->open_most, open);
    char line[LINE_ROOM];
    bool is_full = receiver->connections && open > receiver->connections;
    if (is_full)
        conversation_say(talk, "421 4.7.0 too many connections from you");
    if (!is_full && conversation_script(talk, STAGE_CONNECT) == TOLD_YES) {
        conversation_say(talk, "220 mx.example ESMTP");
        while (conversation_line(talk, line) && conversation_command(talk, line)) {
        }
    }
    raise_most(&receiver->messages_most, talk->messages);
    atomic_fetch_sub(&receiver->open, 1); /* before the peer can know */
    close(talk->fd);
    free(talk);
    return NULL;
}

static inline void *receiver_main(void *arg)
{
    struct receiver *receiver = arg;
    while (!atomic_load(&receiver->is_over)) {
        struct pollfd wait = {.fd = receiver->fd, .events = POLLIN};
        if (poll(&wait, 1, 50) <= 0)
            continue;
        struct sockaddr_in peer = {0};
        socklen_t peer_len = sizeof(peer);
        int fd = accept(receiver->fd, (struct sockaddr *)&peer, &peer_len);
        int seen = atomic_load(&receiver->seen);
        if (fd < 0 || seen == CONVERSATIONS_MOST)
            abort();
        struct conversation *talk = NEW(struct conversation);
        talk->receiver = receiver;
        talk->fd = fd;
        memcpy(talk->from, &peer.sin_addr, 4);
        if (receiver->is_prompt)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (pthread_create(&receiver->conversations[seen], NULL, conversation_main, talk) != 0)
            abort();
        atomic_store(&receiver->seen, seen + 1);
    }
    return NULL;
}

/* Receiver number `place` of this process' house. Houses of several processes stand beside each other: *house is the
 * one to try first, and becomes the one that was free. */
static inline void receiver_start(struct receiver *receiver, size_t place, unsigned *house)
{
    int yes = 1;
    receiver->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(receiver->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(RECEIVER_PORT)};
    for (unsigned tries = 0;; tries++) {
        snprintf(receiver->ip, sizeof(receiver->ip), "127.77.%u.%u", *house % 240, (unsigned)(place % 250) + 1);
        assert_int_equal(inet_pton(AF_INET, receiver->ip, &at.sin_addr), 1);
        if (bind(receiver->fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(receiver->fd, 512) == 0)
            break;
        if (place > 0 || tries == 240)
            fail_msg("%s: cannot listen", receiver->ip);
        ++*house;
    }
    pthread_mutex_init(&receiver->lock, NULL);
    assert_int_equal(pthread_create(&receiver->thread, NULL, receiver_main, receiver), 0);
}
static inline void receiver_stop(struct receiver *receiver)
{
    atomic_store(&receiver->is_over, true);
    pthread_join(receiver->thread, NULL);
    for (int i = 0; i < atomic_load(&receiver->seen); i++)
        pthread_join(receiver->conversations[i], NULL);
    close(receiver->fd);
    pthread_mutex_destroy(&receiver->lock);
    map_release(&receiver->taken);
    map_release(&receiver->place);
    map_release(&receiver->brought);
}

#endif
