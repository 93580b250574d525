/* inside.h - the two halves of submit_rows, for the files of submit/ only: whatever else a job writes goes between */
#ifndef TODOKE_SUBMIT_INSIDE_H
#define TODOKE_SUBMIT_INSIDE_H

#include "submit/submit.h"

NODISCARD bool submit_insert(struct db *db, struct fault *why, const struct submit_order *order,
                             struct submit_row *rows, size_t count, struct arena *arena, struct submit_news **news,
                             size_t *news_count);
NODISCARD bool submit_announce(struct db *db, struct fault *why, const struct submit_order *order,
                               const struct submit_news *news, size_t news_count, struct arena *arena);

#endif
