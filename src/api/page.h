/* page.h - pages of rows that are spread over buckets, newest first by id
 *
 * Ids sort by time whatever their bucket, but the tables' keys begin with the bucket: each bucket is asked for its
 * newest few, and once more for more where that was not enough. */
#ifndef TODOKE_API_PAGE_H
#define TODOKE_API_PAGE_H

#include "api/inside.h"

struct page_ids {
    uint64_t *ids;
    size_t count;
    bool has_more;
};
/* sql: "SELECT id FROM t WHERE bucket = $1 AND id < $2 AND ... $4 ... ORDER BY id DESC LIMIT $3"; the values of $4 on
 * are `more`. before 0: from the newest. */
NODISCARD bool page_ids(struct db *db, const char *sql, const struct value *more, size_t more_count, uint64_t before,
                        size_t limit, struct arena *arena, struct page_ids *page, struct fault *why);
/* Each of them whole: sql "SELECT ... FROM t WHERE bucket = $1 AND id = $2". */
NODISCARD bool page_rows(struct db *db, const struct page_ids *page, const char *sql, db_take take, void *context,
                         struct arena *arena, struct fault *why);
/* "next_cursor" and the end of the object. */
void page_close(struct json *json, uint64_t last_id, bool has_more);
/* limit and a cursor that is an id. False: answered. */
NODISCARD bool page_by_id(struct http_request *request, unsigned *limit, uint64_t *before);

#endif
