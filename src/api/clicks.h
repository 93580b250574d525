/* clicks.h - the counted links of mails */
#ifndef TODOKE_API_CLICKS_H
#define TODOKE_API_CLICKS_H

#include "api/inside.h"

/* After the loop is there. */
void clicks_routes(struct api *api);

#endif
