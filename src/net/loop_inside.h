/* loop_inside.h - the loop's own parts, for loop.c, mailbox.c and streams */
#ifndef TODOKE_NET_LOOP_INSIDE_H
#define TODOKE_NET_LOOP_INSIDE_H

#include "net/mailbox.h"

struct event;
struct stream;

enum {
    LOOP_SCRATCH_BYTES = 65536, /* what one read takes at most */
    LOOP_SPARES_MOST = 16,
    LOOP_SPARE_BYTES = 16384,
    LOOP_LENT_MANY = 128, /* write buffers: with more of them lent, stream_written sends at once */
};

struct loop {
    struct world *world;
    struct event_base *base;
    time_ms now;
    bool is_now_stale;
    struct random random;
    struct timer **heap; /* from index 1 */
    size_t heap_count, heap_room;
    struct event *tick;       /* ends a wait when the next timer is due */
    struct deferred deferred; /* ring's head */
    struct stream *leaving;   /* streams that have no owner any more: stream_leave */
    struct mailbox *mailboxes;
    struct mailbox *walking; /* the next one while batches are delivered */
    bool mailboxes_due;
    struct watch wake;
    int wake_fd;
    atomic_bool is_woken;
    atomic_bool is_stopping;
    /* Read buffer shared by all streams of the loop: used only inside one callback from a descriptor. */
    char *scratch;
    /* Write buffers of LOOP_SPARE_BYTES + 1 that idle streams have given back. */
    char *spares[LOOP_SPARES_MOST];
    size_t spare_count;
    size_t lent; /* that streams hold now */
};

/* For schedule.c: would a turn do anything now; when is its next timer due (INT64_MAX: never)? */
bool loop_has_work(struct loop *loop);
time_ms loop_next_due(const struct loop *loop);

char *loop_scratch(struct loop *loop);
/* A queue about to be filled, or emptied: its memory comes from, and goes back to, the loop's spares. */
void loop_buf_lend(struct loop *loop, struct buf *buf);
void loop_buf_return(struct loop *loop, struct buf *buf);

#endif
