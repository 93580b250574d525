/* liquid_filter.h - what the files of filters share; liquid_filter.def lists the filters */
#ifndef TODOKE_CONTENT_LIQUID_FILTER_H
#define TODOKE_CONTENT_LIQUID_FILTER_H

#include "content/liquid_private.h"

#define FILTER(word, fewest, most)                                                                                     \
    bool filter_##word(struct liquid_run *run, struct liquid_value *value, const struct liquid_value *args,            \
                       size_t count);
#include "content/liquid_filter.def"
#undef FILTER

/* Move what was made onto the rendering's memory and into the value. False: a fault was set. */
bool filter_keep(struct liquid_run *run, struct liquid_value *value, struct buf *made);
/* The same, as HTML that is not escaped again. */
bool filter_keep_safe(struct liquid_run *run, struct liquid_value *value, struct buf *made);
/* An argument that must be a whole number. False: a fault was set. */
bool filter_number_of(struct liquid_run *run, const struct liquid_value *value, int64_t *number);
/* The first `count` characters. */
struct slice filter_head(struct slice text, int64_t count);

#endif
