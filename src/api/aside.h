/* aside.h - requests that only read, and may have to read much, are answered on a thread of their own
 *
 *     copied --mailbox--> handled on the reading thread, with its own connection to the store --http_resume--> answered
 *
 * So a search through a million contacts keeps nobody's send waiting. The handler runs with an api of the reading
 * thread's (struct api, only options, db, senders and clocks of it) and a copy of the request; it must be a handler
 * that uses no more than these. Only `may_read_aside` says which are. */
#ifndef TODOKE_API_ASIDE_H
#define TODOKE_API_ASIDE_H

#include "api/inside.h"

struct aside;
/* WORLD: the store cannot be opened. */
struct aside *aside_start(struct api *api, struct fault *why);
/* When nothing is under way. NULL is fine. */
void aside_stop(struct aside *aside);

bool may_read_aside(api_handler *handler);
/* The request is suspended; `handler` answers it there. */
void aside_handle(struct aside *aside, struct http_request *request, api_handler *handler);

/* A handler there that has not answered: `then` goes on with the request on the api's thread, with this text (copied).
 * It answers, or suspends the request again. */
typedef void aside_then(struct api *api, struct http_request *request, struct slice text);
void aside_go_on(struct http_request *copy, aside_then *then, struct slice text);

#endif
