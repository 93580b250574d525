/* null_mx.h - does a sender's domain say that it takes no mail (RFC 7505 4.2)? Then nothing could ever be answered to
 *
 * What was heard is remembered here for its TTL (a minute at least, an hour at most; bounded: NULL_MX_MOST domains), so
 * that who is known costs one look into a map. A domain that does not exist, cannot be asked about now (remembered for
 * a minute), or is no name in ASCII takes mail as far as we are concerned: only a null MX that was really heard refuses
 * anybody. One belongs to one loop. */
#ifndef TODOKE_DNS_NULL_MX_H
#define TODOKE_DNS_NULL_MX_H

#include "dns/resolver.h"

enum { NULL_MX_MOST = 20000, NULL_MX_ASK_MS = 2000 /* so long an answer is waited for */ };

struct null_mx;
struct null_mx *null_mx_new(struct loop *loop);
/* Open questions are forgotten without a callback. NULL is fine. */
void null_mx_free(struct null_mx *null_mx);

enum null_mx_said { NULL_MX_NOT_KNOWN, NULL_MX_TAKES_MAIL, NULL_MX_PUBLISHED };
enum null_mx_said null_mx_known(struct null_mx *null_mx, struct slice domain);

/* Never called back from inside null_mx_ask. */
typedef void null_mx_told(void *owner, bool is_published);
struct null_mx_question;
struct null_mx_question *null_mx_ask(struct null_mx *null_mx, struct slice domain, null_mx_told *told, void *owner);
/* No callback any more. NULL is fine; not after the callback has begun. */
void null_mx_cancel(struct null_mx_question *question);

#endif
