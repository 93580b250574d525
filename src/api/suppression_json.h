/* suppression_json.h - why an address is excluded, as the contract says it */
#ifndef TODOKE_API_SUPPRESSION_JSON_H
#define TODOKE_API_SUPPRESSION_JSON_H

#include "suppress/suppress.h"

/* A reason of the contract, or complaint, unsubscribed, manual, cleaned. */
struct slice suppression_reason(const struct suppression *row);

#endif
