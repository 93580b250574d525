/* sites.h - asking the nodes what goes on (deliver/board.h) for a request */
#ifndef TODOKE_API_SITES_H
#define TODOKE_API_SITES_H

#include "api/inside.h"

/* The nodes are asked about these names (domains or sites, a space between; "": whatever is busy); when all have told,
 * or after some seconds, `tell` answers on the reading thread (aside.h), where board_read has what they said. */
void site_ask_begin(struct api *api, struct http_request *request, struct slice names, api_handler *tell);

#endif
