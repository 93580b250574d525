/* file_alarm.h - the alarm about an events.file that cannot be written (hook/event_file.h) */
#ifndef TODOKE_APP_FILE_ALARM_H
#define TODOKE_APP_FILE_ALARM_H

#include "net/world.h"
#include "store/store.h"

struct file_alarm {
    struct store *store;
    struct world *world;
    const char *path;
};
/* event_file_options.waits, with a struct file_alarm as owner. Waits for the commit. */
bool file_alarm_tell(void *owner, const char *why);

#endif
