/* libraries.h - the libraries' memory is ours
 *
 * What base/memory.h says of our own memory holds for OpenSSL, libevent, Jansson and libxml2, too: they are given what
 * they ask for, or the program stops with "out of memory". So nobody who calls them has to handle a digest without a
 * context or half an answer. SQLite, libpq, libcurl and libunbound are not among them: their "out of memory" is an
 * error of that one job, which is tried again. */
#ifndef TODOKE_APP_LIBRARIES_H
#define TODOKE_APP_LIBRARIES_H

/* At the beginning of main, before any of them is used. */
void libraries_use_our_memory(void);

#endif
