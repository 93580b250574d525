/* R31: SCRAM-SHA-256 by the example of RFC 7677 3 */
#include "base/test.h"
#include "smtp/scram_client.h"

#define NONCE  "rOprNGfwEbeRWgbNEkqO"
#define SERVER "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

static void the_example(void **state)
{
    struct scram_client scram = {0};
    struct fault why = {0};
    SCOPED(buf) out = BUF(SCRAM_CLIENT_TEXT_MAX);
    scram_client_begin(&scram, SLICE("user"), SLICE(NONCE), &out);
    assert_slice("first", buf_slice(&out), SLICE("n,,n=user,r=" NONCE));
    buf_reset(&out);
    assert_true(scram_client_prove(&scram, SLICE(NONCE), SLICE("pencil"), SLICE(SERVER), &out, &why));
    assert_slice("final", buf_slice(&out),
                 SLICE("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="
                       "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
    assert_true(scram_client_check(&scram, SLICE("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &why));
    assert_false(scram_client_check(&scram, SLICE("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &why));
    assert_false(scram_client_check(&scram, SLICE("e=other-error"), &why));
    assert_false(scram_client_check(&scram, SLICE(""), &why));
    scram_client_release(&scram);
}

static void servers_that_make_no_sense(void **state)
{
    static const char *const rows[] = {"",
                                       "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                                       "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                                       "r=" NONCE "x,s=,i=4096",
                                       "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
                                       "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==",
                                       "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999",
                                       "m=x,r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                                       "s=W22ZaJ0SNY7soEsUEjb6gQ==,r=" NONCE "x,i=4096"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scram_client scram = {0};
        struct fault why = {0};
        SCOPED(buf) out = BUF(SCRAM_CLIENT_TEXT_MAX);
        scram_client_begin(&scram, SLICE("a=b,c"), SLICE(NONCE), &out);
        assert_slice("escaped", buf_slice(&out), SLICE("n,,n=a=3Db=2Cc,r=" NONCE));
        assert_row(rows[i], !scram_client_prove(&scram, SLICE(NONCE), SLICE("x"), slice_str(rows[i]), &out, &why));
        scram_client_release(&scram);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_example), cmocka_unit_test(servers_that_make_no_sense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
