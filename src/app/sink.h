/* sink.h - a fast receiving end: takes every mail by SMTP and throws it away; counts, records, misbehaves on request
 *
 * Each thread has its own loop, its own listener on the shared port (SO_REUSEPORT), its own record buffer and its own
 * list of what it took. Totals may be read at any time by any thread. */
#ifndef TODOKE_APP_SINK_H
#define TODOKE_APP_SINK_H

#include "base/fault.h"
#include "net/world.h"
#include <stdatomic.h>

enum { SINK_THREADS_MOST = 16 };

struct sink_options {
    struct endpoint at;
    const char *record;
    uint64_t count, seconds, threads, delay_ms, rate, session_messages, seed;
    uint64_t refuse_percent, defer_percent, drop_percent, reset_percent;
    const char *refuse_text, *defer_text;
    bool has_tls, is_silent, no_pipelining, is_json;
};

struct sink_tally {
    _Atomic uint64_t connections, messages, recipients, bytes, refused, deferred, dropped, reset;
};

struct sink;
/* Texts in options must live as long as the sink. WORLD: port in use, a file that cannot be written, no thread. */
struct sink *sink_start(const struct sink_options *options, struct world *world, struct fault *why);
struct endpoint sink_endpoint(const struct sink *sink);
const struct sink_tally *sink_tally(const struct sink *sink);
/* End the threads and write the record; then what was taken more than once can be told. */
void sink_stop(struct sink *sink);
/* How many recipients were taken more than once, by Message-ID and address. After sink_stop. */
uint64_t sink_duplicates(const struct sink *sink);
void sink_free(struct sink *sink);

#endif
