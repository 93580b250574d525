#include "app/change.h"

struct change_job {
    struct write_job job;
    store_changer *change;
    void *context;
};

static bool change_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct change_job *change = (struct change_job *)job;
    return change->change(db, why, change->context);
}

bool store_change(struct store *store, store_changer *change, void *context, struct fault *why)
{
    struct change_job job = {.job = {.run = change_run, .fails_fast = true}, .change = change, .context = context};
    return store_write_wait(store, &job.job, why);
}
