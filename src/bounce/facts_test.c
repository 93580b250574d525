/* S6, D11: facts pulled out of the texts of refusals */
#include "base/test.h"
#include "bounce/facts.h"

static void found_in_texts(void **state)
{
    static const struct {
        const char *text, *name, *value;
    } rows[] = {
        {"550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "ip", "192.0.2.1"},
        {"banned sending IP 2001:db8:0:1::25. See", "ip", "2001:db8:0:1::25"},
        {"at 12:34:56 today", "ip", ""},
        {"version 1.2.3.4567 of", "ip", ""},
        {"Client host [192.0.2.7] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.7", "list",
         "zen.spamhaus.org"},
        {"blocked; see https://www.spamhaus.org/query/ip/192.0.2.7.", "url",
         "https://www.spamhaus.org/query/ip/192.0.2.7"},
        {"552 5.3.4 Message size exceeds fixed limit 10485760", "limit_bytes", "10485760"},
        {"message size exceeds the limit of 25 MB", "limit_bytes", "26214400"},
        {"limit 5 per hour", "limit_bytes", ""},
        {"550 5.7.515 Access denied, sending domain EXAMPLE.JP does not meet the required authentication level. Spf= "
         "Fail , "
         "Dkim= Pass , DMARC= None",
         "spf", "fail"},
        {"Spf= Fail , Dkim= Pass , DMARC= None", "dkim", "pass"},
        {"Spf= Fail , Dkim= Pass , DMARC= None", "dmarc", "none"},
        {"on our block list (S3150).", "code", "S3150"},
        {"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", "code", "TSS04"},
        {"551 User not local; please try <new@example.com>", "moved_to", "new@example.com"},
        {"554 rejected, listed at virus.rbl.jp", "list", "virus.rbl.jp"},
        {"554 5.7.1 listed by SORBS, see dnsbl.sorbs.net", "list", "dnsbl.sorbs.net"},
        {"550 ofr_506 [506]", "code", "ofr_506"},
        {"550 5.2.1 tss04 is no code when it is small", "code", ""},
        {"", "ip", ""},
        {"http://", "url", ""},
        {"...:::...:::", "ip", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena = {0};
        struct facts facts;
        facts_find(slice_str(rows[i].text), &arena, &facts);
        struct slice value = SLICE("");
        for (unsigned k = 0; k < facts.count; k++)
            if (slice_equal(facts.list[k].name, slice_str(rows[i].name)))
                value = facts.list[k].value;
        assert_slice(rows[i].text, value, slice_str(rows[i].value));
        arena_release(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(found_in_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
