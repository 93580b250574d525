/* several.h - identical mail for several recipients in one transaction (R20), for slot.c; several.c has the picture */
#ifndef TODOKE_DELIVER_SEVERAL_H
#define TODOKE_DELIVER_SEVERAL_H

#include "deliver/slot.h"

/* Most recipients that may go together with this one now; 1: it goes alone. */
unsigned several_most(const struct destination *destination, const struct recipient *first);
/* The first that waits could go with others, and not now: another mail is under way, or they are being composed. */
bool several_is_awaited(const struct slot *slot);
/* Those that may go with `first`, which the slot has taken, leave the queue with it and are marked. False: nobody may.
 */
bool several_gather(struct slot *slot, struct recipient *first);
void several_marked(struct slot *slot, struct recipient *recipient, enum ledger_marked result);
void several_told(struct slot *slot, const struct smtp_client_event *event);
/* Every recipient was told. Who had no room goes now. */
void several_over(struct slot *slot);
/* The connection ends, and the client does not know of them. */
void several_dissolve(struct slot *slot);
/* Recipients under way; slot->several may be NULL. */
size_t several_count(const struct slot *slot);

#endif
