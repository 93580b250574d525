/* SCRAM-SHA-256 (M16): the example of RFC 7677 3, and what must not pass. */
#include "base/test.h"
#include "smtp/scram.h"

#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FINAL                                                                                                          \
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
static const unsigned char salt[] = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e,
                                     0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};

static bool is_proven(const char *first, const char *password, bool is_known, const char *final, struct buf *said)
{
    struct scram_keys keys;
    struct scram scram;
    bool proven = false;
    scram_init(&scram);
    scram_keys_make(slice_str(password), slice_of(salt, sizeof(salt)), 4096, &keys);
    bool ok = scram_client_first(&scram, slice_str(first));
    if (ok) {
        scram_server_first(&scram, &keys, is_known, SLICE(NONCE), said);
        ok = scram_client_final(&scram, slice_str(final), &proven);
    }
    if (proven) {
        buf_byte(said, ' ');
        scram_server_final(&scram, said);
    }
    scram_release(&scram);
    return ok && proven;
}

static void the_example_of_the_rfc(void **state)
{
    SCOPED(buf) said = BUF(4096);
    assert_true(is_proven(FIRST, "pencil", true, FINAL, &said));
    assert_string_equal(buf_cstr(&said), "r=rOprNGfwEbeRWgbNEkqO" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096 "
                                         "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

static void what_must_not_pass(void **state)
{
    static const struct {
        const char *name, *first, *password;
        bool is_known;
        const char *final;
    } rows[] = {
        {"another password", FIRST, "pencils", true, FINAL},
        {"nobody of that name", FIRST, "pencil", false, FINAL},
        {"another proof", FIRST, "pencil", true,
         "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="},
        {"another nonce", FIRST, "pencil", true,
         "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="},
        {"another binding", FIRST, "pencil", true,
         "c=eSws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="},
        {"no proof", FIRST, "pencil", true, "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE},
        {"a short proof", FIRST, "pencil", true, "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=dHzb"},
        {"channel binding", "p=tls-unique,,n=user,r=rOprNGfwEbeRWgbNEkqO", "pencil", true, FINAL},
        {"no name", "n,,n=,r=rOprNGfwEbeRWgbNEkqO", "pencil", true, FINAL},
        {"no nonce", "n,,n=user", "pencil", true, FINAL},
        {"an extension we must know", "n,,m=x,n=user,r=rOprNGfwEbeRWgbNEkqO", "pencil", true, FINAL},
        {"a name that is not coded", "n,,n=a=b,r=rOprNGfwEbeRWgbNEkqO", "pencil", true, FINAL},
        {"nothing", "", "pencil", true, ""},
        {"commas", ",,,,,", "pencil", true, ",,,,"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(buf) said = BUF(4096);
        if (is_proven(rows[i].first, rows[i].password, rows[i].is_known, rows[i].final, &said))
            fail_msg("%s", rows[i].name);
    }
}

static void names_are_decoded(void **state)
{
    struct scram scram;
    scram_init(&scram);
    assert_true(scram_client_first(&scram, SLICE("y,a=z=2C,n=a=3Db=2Cc,r=x,ext=1")));
    assert_string_equal(buf_cstr(&scram.name), "a=b,c");
    assert_string_equal(buf_cstr(&scram.identity), "z,");
    scram_release(&scram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc),
        cmocka_unit_test(what_must_not_pass),
        cmocka_unit_test(names_are_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
