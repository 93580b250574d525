/* log.h - one line for one thing that happened, on stderr: "time level folder: sentence key=value ..."
 *
 * The only global of the program. Lines are written with one write(2), so threads do not mix them. Control bytes of
 * strangers' text are escaped. `log_json` makes each line a JSON object instead. */
#ifndef TODOKE_BASE_LOG_H
#define TODOKE_BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_setup(enum log_level least, bool is_json);
bool log_is_on(enum log_level level);
void log_line(enum log_level level, const char *folder, const char *format, ...) PRINTF_LIKE(3, 4);

#define log_debug(folder, ...) (log_is_on(LOG_DEBUG) ? log_line(LOG_DEBUG, folder, __VA_ARGS__) : (void)0)
#define log_info(folder, ...)  log_line(LOG_INFO, folder, __VA_ARGS__)
#define log_warn(folder, ...)  log_line(LOG_WARN, folder, __VA_ARGS__)
#define log_error(folder, ...) log_line(LOG_ERROR, folder, __VA_ARGS__)

#endif
