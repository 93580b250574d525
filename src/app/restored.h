/* restored.h - what a store must be made to know when it comes out of a backup: it is not today's
 *
 * Mail that was owed then may have been sent since. So, in the restore's own transaction: waiting, deferred, on_wire
 * and in_doubt -> held, each with its event; campaigns that were still taking in their recipients are paused; orders
 * under way (todoke queue) end where they are. `todoke queue release` and `todoke campaign resume` let go. What was
 * held before stays held and cannot be told from the others afterwards, but for the events' note "restored". */
#ifndef TODOKE_APP_RESTORED_H
#define TODOKE_APP_RESTORED_H

#include "report/report.h"

struct restored {
    bool sends; /* in: all that stays as it was; what was on the wire is in doubt once the server starts */
    time_ms now;
    int64_t held, paused; /* out: deliveries, campaigns */
    struct report_audit audit;
    uint32_t key_id; /* that sealed the secrets; 0: there are none */
};
/* A backup_check (store/backup.h); context: struct restored. */
bool restored_settle(void *context, struct db *db, struct fault *why);

#endif
