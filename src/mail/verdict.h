/* verdict.h - what one refusal or error mail means
 *
 * A verdict is data, not a fault. Its vocabulary is fixed (the command line and the API print these words); the tables
 * below are the only place where an enum meets its word. `permanent` means that this address can never work, and is
 * only ever true for user_unknown, host_unknown, has_moved, and not_accept with a 5xx. */
#ifndef TODOKE_MAIL_VERDICT_H
#define TODOKE_MAIL_VERDICT_H

#include "base/slice.h"

#define REASONS(X)                                                                                                     \
    X(UNDEFINED, undefined)                                                                                            \
    X(USER_UNKNOWN, user_unknown)                                                                                      \
    X(HOST_UNKNOWN, host_unknown)                                                                                      \
    X(HAS_MOVED, has_moved)                                                                                            \
    X(NOT_ACCEPT, not_accept)                                                                                          \
    X(FILTERED, filtered)                                                                                              \
    X(REJECTED, rejected)                                                                                              \
    X(MAILBOX_FULL, mailbox_full)                                                                                      \
    X(SUSPENDED, suspended)                                                                                            \
    X(SUPPRESSED, suppressed)                                                                                          \
    X(MESSAGE_TOO_BIG, message_too_big)                                                                                \
    X(CONTENT_ERROR, content_error)                                                                                    \
    X(LINE_TOO_LONG, line_too_long)                                                                                    \
    X(NOT_RFC_COMPLIANT, not_rfc_compliant)                                                                            \
    X(POLICY_VIOLATION, policy_violation)                                                                              \
    X(SECURITY_ERROR, security_error)                                                                                  \
    X(VIRUS, virus)                                                                                                    \
    X(SPAM, spam)                                                                                                      \
    X(URL_BLOCKED, url_blocked)                                                                                        \
    X(AUTH_FAILURE, auth_failure)                                                                                      \
    X(COMPLAINT, complaint)                                                                                            \
    X(BLOCKED, blocked)                                                                                                \
    X(BAD_REPUTATION, bad_reputation)                                                                                  \
    X(PTR_REQUIRED, ptr_required)                                                                                      \
    X(RATE_LIMITED, rate_limited)                                                                                      \
    X(RECIPIENT_FLOODED, recipient_flooded)                                                                            \
    X(GREYLISTED, greylisted)                                                                                          \
    X(EXPIRED, expired)                                                                                                \
    X(NETWORK_ERROR, network_error)                                                                                    \
    X(RELAY_DENIED, relay_denied)                                                                                      \
    X(SYSTEM_ERROR, system_error)                                                                                      \
    X(SYSTEM_FULL, system_full)                                                                                        \
    X(MAILER_ERROR, mailer_error)                                                                                      \
    X(STARTTLS_FAILED, starttls_failed)                                                                                \
    X(TLS_REQUIRED, tls_required)                                                                                      \
    X(SENDER_DOMAIN_UNRESOLVABLE, sender_domain_unresolvable)                                                          \
    X(DNSBL_MISCONFIGURED, dnsbl_misconfigured)                                                                        \
    X(SYNTAX_ERROR, syntax_error)                                                                                      \
    X(ON_HOLD, on_hold)                                                                                                \
    X(DELIVERED, delivered)                                                                                            \
    X(VACATION, vacation)                                                                                              \
    X(CHALLENGE, challenge)

#define ACTIONS(X)                                                                                                     \
    X(NONE, none)                                                                                                      \
    X(SUPPRESS_NOW, suppress_now)                                                                                      \
    X(SUPPRESS_AFTER_N, suppress_after_n)                                                                              \
    X(RETRY_LATER, retry_later)                                                                                        \
    X(SLOW_DOWN, slow_down)                                                                                            \
    X(FIX_AUTH, fix_auth)                                                                                              \
    X(FIX_CONTENT, fix_content)                                                                                        \
    X(FIX_CONFIG, fix_config)                                                                                          \
    X(DELIST, delist)                                                                                                  \
    X(CONTACT_RECIPIENT, contact_recipient)

#define SCOPES(X)                                                                                                      \
    X(ADDRESS, address) X(DOMAIN, domain) X(MESSAGE, message) X(SENDER, sender) X(SOURCE, source) X(SITE, site)

/* Whose fault: the spine of every report, one colour each in the console. */
#define WHOSE_FAULTS(X) X(NONE, none) X(ADDRESS, address) X(MESSAGE, message) X(SENDER, sender) X(RECEIVER, receiver)

#define KINDS(X)                                                                                                       \
    X(NONE, none)                                                                                                      \
    X(BOUNCE, bounce)                                                                                                  \
    X(DELAY, delay)                                                                                                    \
    X(DELIVERED, delivered)                                                                                            \
    X(COMPLAINT, complaint)                                                                                            \
    X(AUTOREPLY, autoreply)                                                                                            \
    X(REPORT, report)

#define AUTHENTICITIES(X) X(UNVERIFIED, unverified) X(GENUINE, genuine) X(BACKSCATTER, backscatter) X(FORGED, forged)

/* When a deferred delivery is tried again (the hours are settings). */
#define RETRIES(X) X(NONE, none) X(GREYLIST, greylist) X(BUSY, busy) X(FULL, full) X(NETWORK, network) X(LANE, lane)

/* The stage of the SMTP conversation that an answer belongs to. */
#define STAGES(X)                                                                                                      \
    X(UNKNOWN, unknown)                                                                                                \
    X(DNS, dns)                                                                                                        \
    X(CONNECT, connect)                                                                                                \
    X(EHLO, ehlo)                                                                                                      \
    X(STARTTLS, starttls)                                                                                              \
    X(AUTH, auth)                                                                                                      \
    X(MAIL, mail)                                                                                                      \
    X(RCPT, rcpt)                                                                                                      \
    X(DATA, data)                                                                                                      \
    X(DOT, dot)                                                                                                        \
    X(QUEUE, queue)

#define REASON_ENUM(NAME, word)       REASON_##NAME,
#define ACTION_ENUM(NAME, word)       ACTION_##NAME,
#define SCOPE_ENUM(NAME, word)        SCOPE_##NAME,
#define WHOSE_ENUM(NAME, word)        WHOSE_##NAME,
#define KIND_ENUM(NAME, word)         KIND_##NAME,
#define AUTHENTICITY_ENUM(NAME, word) AUTHENTICITY_##NAME,
#define RETRY_ENUM(NAME, word)        RETRY_##NAME,
#define STAGE_ENUM(NAME, word)        STAGE_##NAME,
enum reason { REASONS(REASON_ENUM) REASON_COUNT };
enum action { ACTIONS(ACTION_ENUM) ACTION_COUNT };
enum scope { SCOPES(SCOPE_ENUM) SCOPE_COUNT };
enum whose_fault { WHOSE_FAULTS(WHOSE_ENUM) WHOSE_COUNT };
enum kind { KINDS(KIND_ENUM) KIND_COUNT };
enum authenticity { AUTHENTICITIES(AUTHENTICITY_ENUM) AUTHENTICITY_COUNT };
enum retry { RETRIES(RETRY_ENUM) RETRY_COUNT };
enum stage { STAGES(STAGE_ENUM) STAGE_COUNT };

/* The words, and their inverses, which are false for a word that is not in the table. */
struct slice reason_word(enum reason reason);
struct slice action_word(enum action action);
struct slice scope_word(enum scope scope);
struct slice whose_word(enum whose_fault whose);
struct slice kind_word(enum kind kind);
struct slice authenticity_word(enum authenticity authenticity);
struct slice retry_word(enum retry retry);
struct slice stage_word(enum stage stage);
NODISCARD bool reason_of(struct slice word, enum reason *reason);
NODISCARD bool action_of(struct slice word, enum action *action);
NODISCARD bool scope_of(struct slice word, enum scope *scope);
NODISCARD bool whose_of(struct slice word, enum whose_fault *whose);
NODISCARD bool retry_of(struct slice word, enum retry *retry);
NODISCARD bool stage_of(struct slice word, enum stage *stage);

struct verdict {
    enum reason reason;
    enum action action;
    enum scope scope;
    enum whose_fault whose;
    enum retry retry;
    bool is_permanent;         /* this address can never work */
    struct slice rule;         /* id of the rule that decided, "" for none; lives as long as the rule set */
    struct slice words;        /* key in data/words: rules.<key>, "" for the reason's own words; likewise */
    size_t mark_from, mark_to; /* bytes of the diagnostic that matched; equal when none */
};

#endif
