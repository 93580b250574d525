/* scan.h - find addresses, hosts and stages in a line of free text (private to bounce/) */
#ifndef TODOKE_BOUNCE_SCAN_H
#define TODOKE_BOUNCE_SCAN_H

#include "base/arena.h"
#include "base/slice.h"
#include "mail/verdict.h"

/* The next "local@domain" in text from *at on; moves *at behind it. False when there is none. Linear over all calls. */
bool scan_address(struct slice text, size_t *at, struct slice *address);

/* Only "rfc822; <a@b>" and kin: the address, or the text after the type where there is none (an X.400 name, a user). */
struct slice scan_typed_address(struct slice value);

/* "dns; mx.example.com (192.0.2.1)", "mx.example.com[192.0.2.1]:25": the name, or the IP address when that is all. */
struct slice scan_host(struct slice value);

/* The host that said something: "host mx.example.com[192.0.2.1] said", "while talking to mx.example.com.:",
 * "Remote host said" has none. Empty when the text names none. */
struct slice scan_speaker(struct slice text);

/* The command that was refused, from words like "in reply to RCPT TO command", "after MAIL FROM:", ">>> DATA". */
enum stage scan_stage(struct slice text);

/* Runs of white space become one space; the ends are trimmed. A slice of the text where nothing changes. */
struct slice scan_squeeze(struct slice text, struct arena *arena);

/* An HTML body as plain text, good enough to read an error in: tags gone, blocks on lines of their own, the common
 * entities decoded. At most as long as the HTML. */
struct slice scan_html(struct slice html, struct arena *arena);

#endif
