/* site.h - what is known of receivers: which hosts are one site, its limits, and what its words demand
 *
 * Rules are data: data/sites/NAME.yaml, carried by the binary; a file of the operator's folder with the same `name`
 * takes the place of ours. A domain belongs to a site only if all its MX hosts match; everybody else is a site of
 * `default`'s figures. What a file does not say is taken from default.yaml, whose reactions hold for every site.
 *
 * Each file carries replies that its reactions must match and lines that they must not; loading proves all of them. A
 * rule that can never match, an unknown key, a name that nobody defines: a fault INPUT with file and line.
 *
 * `struct sites` never changes once it is open: all threads share it. docs/pace.md has the form of the files. */
#ifndef TODOKE_SHAPE_SITE_H
#define TODOKE_SHAPE_SITE_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/time.h"
#include "mail/reply.h"
#include "mail/verdict.h"

/* Where a figure is written: for people. */
struct site_place {
    const char *file;
    unsigned line;
};

/* So many in any period of `per`; count 0: no limit. */
struct site_rate {
    unsigned count;
    time_ms per;
};

enum site_tls { SITE_TLS_MAY, SITE_TLS_REQUIRED, SITE_TLS_NEVER };

/* The limits of a site, for one source, and last those over all sources and nodes (total.h). */
#define SITE_LIMITS(X)                                                                                                 \
    X(CONNECTIONS, connections)          /* at once */                                                                 \
    X(MESSAGES, messages_per_connection) /* then QUIT and a new one */                                                 \
    X(RATE, rate)                        /* messages */                                                                \
    X(OPENING, new_connections)          /* connections opened */                                                      \
    X(DAILY, daily)                      /* messages a day (UTC) */                                                    \
    X(TLS, tls)                                                                                                        \
    X(RECIPIENTS, recipients_per_transaction) /* of identical mail (RFC 5321 4.5.3.1.8) */                             \
    X(TOTAL_CONNECTIONS, total_connections)                                                                            \
    X(TOTAL_RATE, total_rate)
enum { SITE_RECIPIENTS = 100 /* what every host takes (RFC 5321 4.5.3.1.8), where the default says nothing */ };
#define SITE_LIMIT_ENUM(NAME, word) SITE_LIMIT_##NAME,
enum site_limit { SITE_LIMITS(SITE_LIMIT_ENUM) SITE_LIMIT_COUNT };

struct site_code {
    uint16_t low, high;
};
enum { SITE_ANY = 0xffff, SITE_REACTION_COUNT_MOST = 16 };

/* Such words, so often within a period: for a while no connection at all, or a slower pace, or fewer connections. */
struct site_reaction {
    struct slice id;
    struct slice *texts; /* any of them in the reply's text: caseless */
    struct site_code *codes;
    uint16_t (*statuses)[3]; /* SITE_ANY: whatever */
    size_t text_count, code_count, status_count;
    unsigned stages; /* bits; 0: any */
    unsigned count;  /* 1..SITE_REACTION_COUNT_MOST */
    time_ms within;  /* 0 with count 1 */
    time_ms duration;
    bool suspends;
    struct site_rate rate; /* count 0: not slowed */
    unsigned connections;  /* 0: not fewer */
    struct site_place at;
};

/* When too many of the latest answers are "no such user", the receiver may be blocking us in these words (docomo). */
struct site_guard {
    unsigned percent, of; /* so many percent of the last `of` recipients; percent 0: no guard */
    time_ms suspend;
    struct site_place at;
};

struct site_rule {
    struct slice name, label; /* "google", "Gmail"; the default's name is "default" */
    struct site_place place;  /* the rule itself; its figures may stand elsewhere */
    bool is_default;
    unsigned connections, messages_per_connection, daily; /* daily 0: no limit */
    unsigned recipients_per_transaction;                  /* where a brand wants more than one */
    unsigned total_connections;                           /* 0: no limit */
    struct site_rate rate, opening, total_rate;
    enum site_tls tls;
    struct site_guard guard;
    struct site_place at[SITE_LIMIT_COUNT]; /* where each is written */
    unsigned to_verify;                     /* bits of enum site_limit: figures of old pages */
    const struct site_reaction **reactions; /* its own, then the default's */
    size_t reaction_count;
};

struct sites;
struct sites_options {
    const char *folder; /* the operator's *.yaml; NULL: none; need not exist */
    bool is_loopback;   /* receivers are our own sinks on this machine: loopback.yaml instead of default.yaml */
};
/* options NULL: what the binary carries. INPUT: "google.yaml line 12: ...". */
NODISCARD bool sites_open(const struct sites_options *options, struct sites **sites, struct fault *why);
void sites_free(struct sites *sites);

/* Never NULL. No hosts: the default. Names are compared without case. */
const struct site_rule *sites_rule_for(const struct sites *sites, const struct slice *hosts, size_t count);
const struct site_rule *sites_default(const struct sites *sites);
/* By name; NULL when there is none. */
const struct site_rule *sites_rule_named(const struct sites *sites, struct slice name);
/* May a person mean this by a site? A rule's name; or the name of a host, since what no file knows is called by its
 * first MX host. INPUT: no such rule and no host's name, and which rule may be meant. */
NODISCARD bool sites_name_check(const struct sites *sites, struct slice name, struct fault *why);
/* All of them in order of name; *count of them. */
const struct site_rule *const *sites_rules(const struct sites *sites, size_t *count);

bool site_reaction_matches(const struct site_reaction *reaction, const struct reply *reply, enum stage stage);
/* Does any of the rule's reactions speak of this reply? */
bool site_rule_reacts(const struct site_rule *rule, const struct reply *reply, enum stage stage);

/* For tests and the loader: one file's text into a set that begins with `default`. `path` must live as long as the
 * set. */
struct sites *sites_new(void);
NODISCARD bool sites_read(struct sites *sites, const char *path, struct slice yaml, bool replaces, struct fault *why);
/* After the last file: what depends on others (default's figures, hosts named twice). */
NODISCARD bool sites_settle(struct sites *sites, bool is_loopback, struct fault *why);

#endif
