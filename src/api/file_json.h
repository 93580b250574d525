/* file_json.h - a file for download, as the API shows it (private to api/) */
#ifndef TODOKE_API_FILE_JSON_H
#define TODOKE_API_FILE_JSON_H

#include "api/inside.h"
#include "hosted/hosted.h"

/* link: of nobody's delivery; "": none. */
void hosted_write(struct json *json, const struct hosted_file *file, struct slice link);
/* Append link_base/f/<token> of this delivery (0: nobody's: followed, it is not counted). Ends when the file does. */
void hosted_link(const struct token_ring *ring, struct slice link_base, uint64_t delivery_id,
                 const struct hosted_file *file, struct buf *out);

#endif
