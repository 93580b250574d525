/* explain_address.h - what became of mail to an address: is it excluded, and its newest deliveries with what comes next
 */
#ifndef TODOKE_APP_EXPLAIN_ADDRESS_H
#define TODOKE_APP_EXPLAIN_ADDRESS_H

#include "app/desk.h"
#include "bounce/words.h"

enum { EXPLAIN_ADDRESS_SHOWN = 20 };

/* INPUT: it is no address. One that nothing ever went to is told so. */
NODISCARD bool explain_address(struct desk *desk, const char *address, enum lang lang, bool is_json, struct fault *why);

#endif
