/* policy_fuzz.c - libFuzzer entry: any bytes as an operator's policy: read, or refused with a place */
#include "suppress/policy.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(arena) arena = {0};
    struct policy policy;
    struct fault why = {0};
    if (size > 1 << 16)
        return 0;
    if (!policy_read(slice_of(data, size), "p.yaml", &arena, &policy, &why)) {
        assert(why.kind == FAULT_INPUT && why.text[0]);
        return 0;
    }
    assert(policy.name.len > 0 && policy.threshold > 0);
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        struct verdict verdict = {.reason = (enum reason)reason, .action = ACTION_SUPPRESS_NOW};
        int points, after;
        enum policy_exclude how = policy_decide(&policy, &verdict, &points, &after);
        assert(how != POLICY_EXCLUDE_RULE && points > 0 && after > 0);
        policy_adjust(&policy, &verdict);
    }
    return 0;
}
