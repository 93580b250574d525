/* policy_print.h - policies, and what they would have done, for people and programs */
#ifndef TODOKE_APP_POLICY_PRINT_H
#define TODOKE_APP_POLICY_PRINT_H

#include "bounce/words.h"
#include "suppress/rehearsal.h"

void policy_print_line(const struct policy *policy, bool is_json, enum lang lang);
void policy_print(const struct policy *policy, bool is_json, enum lang lang);
void policy_print_rehearsal(const struct policy *policy, const struct rehearsal_options *options,
                            const struct rehearsal *rehearsal, int64_t days, enum lang lang);
void policy_print_rehearsal_json(const struct policy *policy, const struct rehearsal_options *options,
                                 const struct rehearsal *rehearsal);

#endif
