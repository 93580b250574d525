/* policy.h - what follows from each reason: a preset of data/policy, or a file of an operator of the same shape
 *
 * A policy says for each reason whether an error of it excludes the address (now, at so many points, never, or as the
 * rule that read it says), and may name another retry schedule, whether the pace is slowed, and whose to-do it is. It
 * also holds the limits of the site guard (guard.h). docs/policy.md explains every key.
 *
 * `struct policies` is a shelf: the presets that the binary carries, the files of one folder, and which of them is the
 * installation's choice. Immutable once open; shared by all threads. Faults INPUT name file, line and key. */
#ifndef TODOKE_SUPPRESS_POLICY_H
#define TODOKE_SUPPRESS_POLICY_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/time.h"
#include "mail/verdict.h"

#define POLICY_EXCLUDES(X)                                                                                             \
    X(RULE, rule)   /* as the rule that read the words says: its verdict's action */                                   \
    X(NOW, now)     /* at once */                                                                                      \
    X(COUNT, count) /* adds points; at the threshold */                                                                \
    X(NEVER, never)
#define POLICY_SLOWS(X)                 X(RULE, rule) X(NONE, none) X(SITE, site) X(SOURCE, source)
#define POLICY_EXCLUDE_ENUM(NAME, word) POLICY_EXCLUDE_##NAME,
#define POLICY_SLOW_ENUM(NAME, word)    POLICY_SLOW_##NAME,
enum policy_exclude { POLICY_EXCLUDES(POLICY_EXCLUDE_ENUM) POLICY_EXCLUDE_COUNT_OF };
enum policy_slow { POLICY_SLOWS(POLICY_SLOW_ENUM) POLICY_SLOW_COUNT_OF };
struct slice policy_exclude_word(enum policy_exclude exclude);
struct slice policy_slow_word(enum policy_slow slow);

struct policy_row {
    enum policy_exclude exclude;
    int points; /* what one error adds, 1 if not said */
    int after;  /* excluded when the points reach this; 0: the policy's threshold */
    bool has_retry, has_whose;
    enum retry retry;
    enum whose_fault whose;
    enum policy_slow slow;
    struct slice class_key; /* one of the policy's classes, or empty */
};

enum { POLICY_CLASSES_MAX = 16, POLICY_SITES_MAX = 32 };
struct policy_class {
    struct slice key, ja, en;
};
struct policy_site {
    struct slice site;
    int share_percent;
};
struct policy_guard {
    int share_percent, normal_percent, times, least, probes; /* share_percent 0: there is no guard */
    time_ms window, probe_after, believe_after;
    struct policy_site sites[POLICY_SITES_MAX];
    unsigned site_count;
};
struct policy {
    struct slice name, title_ja, title_en;
    struct slice origin; /* "preset", or the file */
    int threshold;
    time_ms within; /* errors further apart do not add up; 0: no limit */
    struct policy_row reasons[REASON_COUNT];
    struct policy_class classes[POLICY_CLASSES_MAX];
    unsigned class_count;
    struct policy_guard guard;
};

/* Where nobody chose: every reason as its rule says, threshold 5, no guard. */
extern const struct policy policy_plain;

/* Read one policy's YAML; path is for messages; slices live in the arena. */
NODISCARD bool policy_read(struct slice yaml, const char *path, struct arena *arena, struct policy *policy,
                           struct fault *why);

struct policies;
/* The presets, every file .yaml of `folder` (NULL or "": none; a folder that does not exist is empty), and `chosen`: a
 * name of either, or the path of a file (it holds a '/' or ends in .yaml). */
NODISCARD bool policies_open(const char *chosen, const char *folder, struct policies **policies, struct fault *why);
void policies_free(struct policies *policies);
/* NULL: there is none of this name. */
const struct policy *policies_find(const struct policies *policies, struct slice name);
/* NULL policies: policy_plain. */
const struct policy *policies_chosen(const struct policies *policies);
size_t policies_count(const struct policies *policies);
const struct policy *policies_at(const struct policies *policies, size_t index);

/* What an error with this verdict does to its address: POLICY_EXCLUDE_NOW, _COUNT (then *points and *after are set) or
 * _NEVER. */
enum policy_exclude policy_decide(const struct policy *policy, const struct verdict *verdict, int *points, int *after);
/* Retry schedule, pace and whose to-do, as the policy wants them. */
void policy_adjust(const struct policy *policy, struct verdict *verdict);
/* May this refusal slow the pace of its site? */
static inline bool policy_slows(const struct policy *policy, enum reason reason)
{
    return policy->reasons[reason].slow != POLICY_SLOW_NONE;
}
/* The ceiling of a site's share of unknown users, in percent; 0: no guard. */
int policy_site_share(const struct policy_guard *guard, struct slice site);

#endif
