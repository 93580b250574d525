/* sending.h - POST /messages under way: read, written with its answer in one transaction, answered (private to api/)
 *
 *     read (messages_read.c) --suspended, store_write--> written: letter, deliveries, merge data, the answer under its
 *     Idempotency-Key --after the commit, on the api's thread--> answered 202, or with what was answered before
 *
 * Everything it needs lives in its own arenas: the request may go away meanwhile. */
#ifndef TODOKE_API_SENDING_H
#define TODOKE_API_SENDING_H

#include "api/body.h"
#include "api/inside.h"
#include "api/repeat.h"
#include "content/letter.h"
#include "hosted/hosted.h"
#include "submit/message.h"

enum {
    SENDING_RECIPIENTS_MAX = 1000,
    SENDING_DATA_MAX = 65536, /* octets of one recipient's data, what is common included */
    SENDING_AHEAD_DAYS = 366,
};

struct sending_person {
    struct slice email;             /* as given */
    struct slice identity, written; /* of the address */
    struct slice name, data;        /* data: a JSON object, or empty */
};

/* An attachment that goes as a link for download. */
struct sending_link {
    struct hosted_file file; /* its body is made in the transaction */
    struct slice bytes;
    bool is_stored; /* it was there before */
};

struct sending {
    struct write_job job;
    struct http_later later;
    struct api *api;
    struct arena arena; /* what was read */
    struct arena work;  /* of the last run */
    uint64_t key_id;
    struct message message; /* body: the letter */
    struct sending_person *people;
    size_t count;
    struct sending_link *links;
    size_t link_count;
    bool is_scheduled;
    struct repeat repeat;
    bool is_from_nowhere; /* the domain of From takes no mail */
    /* of the last run */
    struct submit_news *news;
    size_t news_count;
    struct buf answer;
    int status;
    enum repeat_state repeated;
    struct fault why;
};

/* Read it from the request. NULL: something is wrong; answered. */
struct sending *sending_read(struct api *api, struct http_request *request);
void sending_free(struct sending *sending);

/* sending_files.c: the member attachments, into source->files, source->links and sending->links. When due is read. */
void sending_files_read(struct api *api, struct body *body, const struct sender *sender, struct sending *sending,
                        struct content_source *source);
/* Inside the write job: the files of links. */
NODISCARD bool sending_files_keep(struct sending *sending, struct db *db, struct fault *why);

#endif
