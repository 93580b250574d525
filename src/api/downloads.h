/* downloads.h - links to files in mails */
#ifndef TODOKE_API_DOWNLOADS_H
#define TODOKE_API_DOWNLOADS_H

#include "api/inside.h"

void downloads_routes(struct api *api);

#endif
