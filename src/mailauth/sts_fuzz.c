/* Strangers' MTA-STS policies and records: no crash, and what is taken is sound */
#include "mailauth/sts.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size), id;
    struct arena arena = {0};
    struct sts_policy policy;
    struct fault why;
    if (sts_policy_read(bytes, &arena, &policy, &why)) {
        assert(policy.mx_count || policy.mode == STS_NONE);
        assert(policy.max_age_s <= STS_MAX_AGE_MOST_S);
        for (size_t i = 0; i < policy.mx_count; i++)
            assert(policy.mx[i].len && policy.mx[i].ptr[0] != '.');
        sts_allows(&policy, slice_head(bytes, 250));
    }
    if (sts_record_id(&bytes, 1, &id))
        assert(id.len >= 1 && id.len <= STS_ID_MAX);
    arena_release(&arena);
    return 0;
}
