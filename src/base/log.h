/* log.h - one line for one thing that happened, on stderr: "time level folder: sentence key=value ..."
 *
 * The only global of the program. Lines are written with one write(2), so threads do not mix them. Control bytes of
 * strangers' text are escaped. With is_json each line is a JSON object: at, level, from, text, and the keys that end
 * the sentence as members of their own (strings). Which keys there are says the format, never a stranger's text. */
#ifndef TODOKE_BASE_LOG_H
#define TODOKE_BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_setup(enum log_level least, bool is_json);
bool log_is_on(enum log_level level);
void log_line(enum log_level level, const char *folder, const char *format, ...) PRINTF_LIKE(3, 4);

struct buf;
/* The line without its end, as log_line writes it: `text` is what `format` became. */
void log_compose(struct buf *line, bool is_json, struct slice at, enum log_level level, const char *folder,
                 const char *format, struct slice text);

#define log_debug(folder, ...) (log_is_on(LOG_DEBUG) ? log_line(LOG_DEBUG, folder, __VA_ARGS__) : (void)0)
#define log_info(folder, ...)  log_line(LOG_INFO, folder, __VA_ARGS__)
#define log_warn(folder, ...)  log_line(LOG_WARN, folder, __VA_ARGS__)
#define log_error(folder, ...) log_line(LOG_ERROR, folder, __VA_ARGS__)

#endif
