/* conversation.h - one accepted connection run through the SMTP server machine (smtp/server.h) on a stream
 *
 * The owner gets the machine's events and answers them, at once or later (then conversation_go_on). It may also end the
 * connection in any impolite way. After on_end the conversation is gone. */
#ifndef TODOKE_APP_PLAYGROUND_CONVERSATION_H
#define TODOKE_APP_PLAYGROUND_CONVERSATION_H

#include "net/stream.h"
#include "smtp/server.h"

struct conversation;
struct conversation_events {
    /* Questions may be answered in here or later. CLOSE and TLS_BEGIN are handled already. */
    void (*on_event)(void *owner, struct conversation *conversation, const struct smtp_server_event *event);
    /* The connection is over, whoever ended it (not after conversation_reset). */
    void (*on_end)(void *owner, struct conversation *conversation);
};

/* Takes the descriptor. tls may be NULL when settings->has_tls is false. The first event (CONNECT) comes before this
 * returns; the connection may be over then already. */
void conversation_start(struct loop *loop, int fd, const struct endpoint *peer,
                        const struct smtp_server_settings *settings, struct tls_server *tls,
                        const struct conversation_events *events, void *owner);
struct smtp_server *conversation_server(struct conversation *conversation);
/* An answer was given outside on_event: go on with what has arrived meanwhile. May end the conversation. */
void conversation_go_on(struct conversation *conversation);
/* Let it hang: nothing is read or said any more until the peer goes away. */
void conversation_freeze(struct conversation *conversation);
/* End it with a TCP reset and no word. From inside on_event: takes effect when that returns. on_end is called. */
void conversation_reset(struct conversation *conversation);

#endif
