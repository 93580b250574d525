/* explain_site.h - `todoke explain site`: what binds at a receiver now; asks the running servers through the store */
#ifndef TODOKE_APP_EXPLAIN_SITE_H
#define TODOKE_APP_EXPLAIN_SITE_H

#include "app/desk.h"
#include "bounce/words.h"
#include "deliver/board.h"

/* Ask the nodes about some names ("": whatever is busy) and read what they say. Those that live are waited for, for 10
 * s at most (board->is_late then), and behind the first two of them stderr says so; what there is comes in any case. */
NODISCARD bool desk_board(struct desk *desk, const struct slice *names, size_t count, struct board *board,
                          struct fault *why);
/* The same for a screen: whatever is busy, 4 s at most, nothing said. */
NODISCARD bool desk_board_glance(struct desk *desk, struct board *board, struct fault *why);
/* WORLD: nobody has told whether there is such a receiver, or which one a domain's is. False. */
bool desk_board_late(struct slice name, struct fault *why);

/* A receiver's domain that somebody names as a site: the nodes know where its mail goes. What they do not know stays
 * as it is. WORLD: they have not answered. */
NODISCARD bool desk_site_of(struct desk *desk, struct slice *site, struct fault *why);

/* name: a domain, or a site. */
NODISCARD bool explain_site(struct desk *desk, const struct rules *rules, const char *given, enum lang lang,
                            bool is_json, struct fault *why);

#endif
