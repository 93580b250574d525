/* clicks.h - the counted links of mails */
#ifndef TODOKE_API_CLICKS_H
#define TODOKE_API_CLICKS_H

#include "api/inside.h"

void clicks_routes(struct api *api);
/* Forget what was kept of contents. */
void clicks_release(struct api *api);

#endif
