/* event_file.h - all events, as JSON lines in a file that rotates
 *
 * Each line is the object that GET /api/v1/events gives (event/place.h). What is written next is settled durably before
 * it is written, together with the file's inode and length:
 *
 *     place --events came--> (place, batch_end], inode, length committed --> lines appended, fdatasync --> place =
 * batch_end (with the next commit)
 *
 * After a crash the same lines are made again, those that stand behind the length are passed over, a torn one is
 * completed: each event is in the file once, also for whoever follows it, unless the file was moved where we do not
 * find it, or cut, between the crash and the start; then its last lines come again. A full disk: said once in the log,
 * and to `waits`, and it waits; nothing is lost, the events stay in the store. */
#ifndef TODOKE_HOOK_EVENT_FILE_H
#define TODOKE_HOOK_EVENT_FILE_H

#include "event/event.h"

struct event_file_options {
    struct store *store; /* lives longer */
    const char *path;
    uint64_t size_most; /* it makes room for a new one at this many octets; 0: never */
    unsigned keep;      /* so many old ones stay: PATH.1 is the newest */
    /* On its thread. why: it cannot be written, asked before each new try; NULL: it is written again (also once at the
     * start). False: could not be taken, ask again. NULL: nobody wants to know. */
    bool (*waits)(void *owner, const char *why);
    void *owner;
    /* for tests */
    ssize_t (*write)(int fd, const void *bytes, size_t len);
    size_t batch;    /* events at once; 0: 1,000 */
    time_ms wait_ms; /* before it tries again; 0: 1 s */
};
struct event_file;
/* Starts its thread; the first time with what happens from now on. NULL: why, the file cannot be opened, or the store.
 */
struct event_file *event_file_start(const struct event_file_options *options, struct fault *why);
/* Does it wait for a disk, or the store? From any thread; NULL: no. */
bool event_file_is_waiting(const struct event_file *file);
/* Open the path anew, after what is under way: others have moved the file. NULL is fine. */
void event_file_reopen(struct event_file *file);
/* What is under way is completed by the next one. NULL is fine. */
void event_file_stop(struct event_file *file);

#endif
