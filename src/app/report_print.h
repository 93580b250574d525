/* report_print.h - a campaign's report for the terminal, in Japanese or English: the same numbers as the console's */
#ifndef TODOKE_APP_REPORT_PRINT_H
#define TODOKE_APP_REPORT_PRINT_H

#include "bounce/words.h"
#include "campaign/campaign.h"
#include "report/report.h"

/* label: a receiver's name for people, or empty; may be NULL. */
NODISCARD bool report_print(struct db *db, struct fault *why, const struct rules *rules,
                            const struct campaign *campaign, enum lang lang, struct slice (*label)(struct slice domain),
                            struct buf *out);
/* The same as one JSON object. */
NODISCARD bool report_json(struct db *db, struct fault *why, const struct rules *rules, const struct campaign *campaign,
                           struct buf *out);

/* Pad to this many columns on the right (left = false) or left; wide characters count two. */
void print_padded(struct buf *out, struct slice text, size_t columns, bool is_right);
/* "12,345" */
struct slice print_number(struct arena *arena, int64_t number);

#endif
