/* files.h - does a campaign's content name files for download that the brand has not? */
#ifndef TODOKE_CAMPAIGN_FILES_H
#define TODOKE_CAMPAIGN_FILES_H

#include "base/time.h"
#include "store/db.h"

/* INPUT: names the first that is not there; a name out of a field (file[contact.plan]) shows only when it is rendered.
 */
NODISCARD bool campaign_files_are_there(struct db *db, struct fault *why, uint64_t campaign_id, time_ms now);

#endif
