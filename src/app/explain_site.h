/* explain_site.h - `todoke explain site`: what binds at a receiver now; asks the running servers through the store */
#ifndef TODOKE_APP_EXPLAIN_SITE_H
#define TODOKE_APP_EXPLAIN_SITE_H

#include "app/desk.h"
#include "bounce/words.h"
#include "deliver/board.h"

/* Ask the nodes about some names ("": whatever is busy) and read what they say. Without a living node, or when one does
 * not answer within ANSWER_MS, what there is. */
NODISCARD bool desk_board(struct desk *desk, const struct slice *names, size_t count, struct board *board,
                          struct fault *why);

/* name: a domain, or a site. */
NODISCARD bool explain_site(struct desk *desk, const struct rules *rules, const char *given, enum lang lang,
                            bool is_json, struct fault *why);

#endif
