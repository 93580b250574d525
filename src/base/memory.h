/* memory.h - allocation that succeeds or stops the program
 *
 * Whatever comes from outside has a limit before it is stored, so running out of memory is never a thing to handle.
 * SCOPED(buf) name = ...: a local that cleans up after itself by calling buf_release(&name). */
#ifndef TODOKE_BASE_MEMORY_H
#define TODOKE_BASE_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

/* The one end that want of memory has; `what` is who found no more of it ("libcurl", "iconv"). */
_Noreturn void memory_gone(const char *what);

void *memory_alloc(size_t size);                           /* uninitialised */
void *memory_zero(size_t count, size_t size);              /* zeroed; stops on overflow */
void *memory_resize(void *old, size_t count, size_t size); /* stops on overflow */

#define NEW(type)              ((type *)memory_zero(1, sizeof(type)))
#define NEW_ARRAY(type, count) ((type *)memory_zero((count), sizeof(type)))

#define SCOPED(noun) __attribute__((cleanup(noun##_release))) struct noun

#endif
