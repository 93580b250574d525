/* M34: verification by the letters of RFC 6376, 8301, 8463; the examples are those RFCs' own */
#include "base/test.h"
#include "mailauth/dkim_sign.h"
#include "mailauth/dkim_verify.h"

static const char joe[] = "From: Joe SixPack <joe@football.example.com>\r\n"
                          "To: Suzie Q <suzie@shopping.example.net>\r\n"
                          "Subject: Is dinner ready?\r\n"
                          "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
                          "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
                          "\r\n"
                          "Hi.\r\n"
                          "\r\n"
                          "We lost the game. Are you hungry yet?\r\n"
                          "\r\n"
                          "Joe.\r\n";
/* RFC 6376 A.2 */
static const char simple_signature[] = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
                                       "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
                                       "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
                                       "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                                       "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
                                       "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
                                       "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
                                       "      4bmp/YzhwvcubU4=;\r\n"
                                       "Received: from client1.football.example.com  [192.0.2.1]\r\n"
                                       "      by submitserver.example.com with SUBMISSION;\r\n"
                                       "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n";
static const char simple_key[] =
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
    "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
    "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";
/* RFC 8463 A.3 */
static const char both_signatures[] = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                                      " d=football.example.com; i=@football.example.com;\r\n"
                                      " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
                                      " subject : date : message-id : from : subject : date;\r\n"
                                      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                                      " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
                                      " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
                                      "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
                                      " d=football.example.com; i=@football.example.com;\r\n"
                                      " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
                                      " date : message-id : from : subject : date;\r\n"
                                      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                                      " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
                                      " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
                                      " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n";
static const char ed25519_key[] = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
static const char rsa_key[] =
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5"
    "bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9Pz"
    "oxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

struct record {
    const char *name, *text; /* text NULL: try later */
};

static size_t verify(struct slice mail, const struct record *records, size_t count, int64_t now,
                     struct dkim_claims *claims, struct dkim_outcome *outcomes)
{
    SCOPED(arena) arena = {0};
    struct lookup lookup = {.arena = &arena};
    dkim_claims_read(mail, now, claims);
    while (!dkim_verify(&lookup, claims, outcomes)) {
        for (struct question *question; (question = lookup_next(&lookup));) {
            enum answer_state state = ANSWER_NO_NAME;
            struct slice text = SLICE("");
            for (size_t i = 0; i < count; i++) {
                if (slice_equal(question->name, slice_str(records[i].name))) {
                    state = records[i].text ? ANSWER_FOUND : ANSWER_TRY_LATER;
                    text = slice_str(records[i].text);
                }
            }
            lookup_answer(&lookup, question, state, &text, 1);
        }
    }
    return claims->count;
}

static void examples_of_the_rfcs(void **state)
{
    static const struct record records[] = {{"brisbane._domainkey.example.com", simple_key},
                                            {"brisbane._domainkey.football.example.com", ed25519_key},
                                            {"test._domainkey.football.example.com", rsa_key}};
    struct dkim_claims claims;
    struct dkim_outcome outcomes[DKIM_CLAIMS_MAX];
    SCOPED(buf) mail = BUF(8192);
    buf_str(&mail, both_signatures);
    buf_str(&mail, joe);
    assert_int_equal(verify(buf_slice(&mail), records, 3, 1528637910, &claims, outcomes), 2);
    assert_string_equal(outcomes[0].reason, "good");
    assert_string_equal(outcomes[1].reason, "good");
    assert_int_equal(outcomes[1].key_bits, 1024);
    buf_reset(&mail);
    buf_str(&mail, simple_signature);
    buf_str(&mail, joe);
    assert_int_equal(verify(buf_slice(&mail), records, 3, 1528637910, &claims, outcomes), 1);
    assert_string_equal(outcomes[0].reason, "good");
    assert_string_equal(claims.claim[0].header_b, "AuUoFEfD");
    assert_string_equal(claims.claim[0].agent_domain, "football.example.com");
}

/* Each row changes one thing of the RFC 8463 mail (its RSA signature alone) or of its key. */
static void one_thing_changed(void **state)
{
    static const struct {
        const char *row, *from, *to; /* in the mail */
        const char *key;             /* NULL: the right one; "": none; "later": no answer */
        enum dkim_result want;
    } rows[] = {
        {"untouched", "", "", NULL, DKIM_PASS},
        {"header space is free in relaxed", "Subject: Is dinner", "Subject:   Is\r\n  dinner", NULL, DKIM_PASS},
        {"body space is free in relaxed", "lost the", "lost  \tthe ", NULL, DKIM_PASS},
        {"body space at line ends", "hungry yet?\r\n", "hungry yet? \t\r\n", NULL, DKIM_PASS},
        {"empty lines at the end", "Joe.\r\n", "Joe.\r\n\r\n\r\n", NULL, DKIM_PASS},
        {"bare LF counts as a line end", "Hi.\r\n", "Hi.\n", NULL, DKIM_PASS},
        {"body changed", "hungry", "thirsty", NULL, DKIM_FAIL},
        {"subject changed", "dinner", "supper", NULL, DKIM_FAIL},
        {"a second From in front breaks the oversigning", "From: Joe", "From: Eve <eve@example.com>\r\nFrom: Joe", NULL,
         DKIM_FAIL},
        {"an unsigned header is free", "From: Joe", "X-Other: 1\r\nFrom: Joe", NULL, DKIM_PASS},
        {"no key", "", "", "", DKIM_PERMERROR},
        {"no answer", "", "", "later", DKIM_TEMPERROR},
        {"revoked", "", "", "v=DKIM1; p=", DKIM_PERMERROR},
        {"another key's kind", "", "", ed25519_key, DKIM_PERMERROR},
        {"not a key record", "", "", "v=spf1 -all", DKIM_PERMERROR},
        {"a tag twice in the key", "", "", "v=DKIM1; k=rsa; k=rsa; p=AAAA", DKIM_PERMERROR},
        {"v= not first", "", "", "k=rsa; v=DKIM1; p=AAAA", DKIM_PERMERROR},
        {"only SHA-1 allowed", "", "", "v=DKIM1; h=sha1; p=AAAA", DKIM_PERMERROR},
        {"another service", "", "", "v=DKIM1; s=tls; p=AAAA", DKIM_PERMERROR},
        {"rubbish key", "", "", "v=DKIM1; p=AAAA", DKIM_PERMERROR},
        {"p= no base64", "", "", "v=DKIM1; p=!", DKIM_PERMERROR},
        {"a 512-bit key (RFC 8301)", "", "",
         "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALv/P8Zt0ZCP7dfLvCyRLhCiNL6BEl2lf7ksZ9FTXsUl"
         "rsgTTNyLr7dj2hYvQmJrQCgpKXkPbIEQXe1XSBWNcwECAwEAAQ==",
         DKIM_POLICY},
        {"rsa-sha1", "a=rsa-sha256", "a=rsa-sha1", NULL, DKIM_PERMERROR},
        {"unknown algorithm", "a=rsa-sha256", "a=dsa-sha256", NULL, DKIM_PERMERROR},
        {"a tag twice", "q=dns/txt;", "q=dns/txt; q=dns/txt;", NULL, DKIM_PERMERROR},
        {"version 2", "v=1;", "v=2;", NULL, DKIM_PERMERROR},
        {"no v=", "v=1; ", "", NULL, DKIM_PERMERROR},
        {"i= of another domain", "i=@football.example.com", "i=@example.com", NULL, DKIM_PERMERROR},
        {"i= below, with t=s", "i=@football", "i=@a.football", "v=DKIM1; t=s; p=AAAA", DKIM_PERMERROR},
        {"From not signed", "h=from : to : subject :\r\n date : message-id : from :", "h=to :", NULL, DKIM_PERMERROR},
        {"expired", "t=1528637909;", "t=1528637909; x=1528637910;", NULL, DKIM_FAIL},
        {"expires before it was made", "t=1528637909;", "t=1528637909; x=5;", NULL, DKIM_PERMERROR},
        {"no d=", "d=football.example.com; ", "", NULL, DKIM_PERMERROR},
        {"a space in d=", "d=football.example.com", "d=football .example.com", NULL, DKIM_PERMERROR},
        {"l= longer than the body", "q=dns/txt;", "q=dns/txt; l=9999;", NULL, DKIM_FAIL},
        {"l= no number", "q=dns/txt;", "q=dns/txt; l=-1;", NULL, DKIM_PERMERROR},
        {"b= empty", "b=F45d", "b=;x=F45d", NULL, DKIM_PERMERROR},
        {"b= no base64", "b=F45d", "b=!F45d", NULL, DKIM_PERMERROR},
        {"unknown tags are free, but signed", "q=dns/txt;", "q=dns/txt; zz=1;", NULL, DKIM_FAIL},
        {"unknown canonicalisation", "c=relaxed/relaxed", "c=loose/relaxed", NULL, DKIM_PERMERROR},
        {"other query", "q=dns/txt", "q=http", NULL, DKIM_PERMERROR},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *rsa_only = strstr(both_signatures + 10, "DKIM-Signature");
        SCOPED(buf) plain = BUF(8192);
        SCOPED(buf) mail = BUF(8192);
        buf_str(&plain, rsa_only);
        buf_str(&plain, joe);
        ptrdiff_t at = slice_find(buf_slice(&plain), slice_str(rows[i].from));
        assert_row(rows[i].row, at >= 0);
        buf_append(&mail, slice_head(buf_slice(&plain), (size_t)at));
        buf_str(&mail, rows[i].to);
        buf_append(&mail, slice_from(buf_slice(&plain), (size_t)at + strlen(rows[i].from)));
        bool is_later = rows[i].key && !strcmp(rows[i].key, "later"), is_none = rows[i].key && !*rows[i].key;
        const struct record record = {is_none ? "x" : "test._domainkey.football.example.com", is_later ? NULL
                                                                                              : rows[i].key
                                                                                                  ? rows[i].key
                                                                                                  : rsa_key};
        struct dkim_claims claims;
        struct dkim_outcome outcomes[DKIM_CLAIMS_MAX];
        assert_int_row(rows[i].row, verify(buf_slice(&mail), &record, 1, 1600000000, &claims, outcomes), 1);
        if (outcomes[0].result != rows[i].want)
            fail_msg("%s: %.*s (%s)", rows[i].row, SLICE_ARG(dkim_result_word(outcomes[0].result)), outcomes[0].reason);
        assert_row(rows[i].row, outcomes[0].reason[0]);
        assert_int_row(rows[i].row, dkim_best(outcomes, 1), rows[i].want);
    }
}

static void our_own_signatures_verify(void **state)
{
    struct dkim_key *rsa = dkim_key_generate(DKIM_RSA_SHA256), *ed = dkim_key_generate(DKIM_ED25519_SHA256);
    const struct dkim_identity identities[] = {{SLICE("example.com"), SLICE("r"), rsa},
                                               {SLICE("example.com"), SLICE("e"), ed}};
    struct dkim_signer *signer;
    struct fault why;
    SCOPED(buf) mail = BUF(1 << 16);
    SCOPED(buf) rsa_text = BUF(4096);
    SCOPED(buf) ed_text = BUF(4096);
    assert_true(dkim_signer_new(identities, 2, &signer, &why));
    assert_true(dkim_sign(signer, slice_str(joe), 1528637909, &mail, &why));
    buf_str(&mail, joe);
    dkim_key_record(rsa, &rsa_text);
    dkim_key_record(ed, &ed_text);
    const struct record records[] = {{"r._domainkey.example.com", buf_cstr(&rsa_text)},
                                     {"e._domainkey.example.com", buf_cstr(&ed_text)}};
    struct dkim_claims claims;
    struct dkim_outcome outcomes[DKIM_CLAIMS_MAX];
    assert_int_equal(verify(buf_slice(&mail), records, 2, 1528637910, &claims, outcomes), 2);
    assert_string_equal(outcomes[0].reason, "good");
    assert_string_equal(outcomes[1].reason, "good");
    assert_int_equal(outcomes[0].key_bits, 2048);
    dkim_signer_free(signer);
    dkim_key_free(rsa);
    dkim_key_free(ed);
}

static void odd_mails(void **state)
{
    struct dkim_claims claims;
    struct dkim_outcome outcomes[DKIM_CLAIMS_MAX];
    assert_int_equal(verify(SLICE(""), NULL, 0, 0, &claims, outcomes), 0);
    assert_int_equal(dkim_best(outcomes, 0), DKIM_NONE);
    assert_int_equal(verify(SLICE("no header at all"), NULL, 0, 0, &claims, outcomes), 0);
    assert_int_equal(verify(SLICE("DKIM-Signature:"), NULL, 0, 0, &claims, outcomes), 1);
    assert_int_equal(outcomes[0].result, DKIM_PERMERROR);
    SCOPED(buf) many = BUF(1 << 20);
    for (int i = 0; i < 100; i++)
        buf_text(&many, "DKIM-Signature: x\r\n");
    buf_text(&many, "\r\n");
    assert_int_equal(verify(buf_slice(&many), NULL, 0, 0, &claims, outcomes), DKIM_CLAIMS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfcs),
        cmocka_unit_test(one_thing_changed),
        cmocka_unit_test(our_own_signatures_verify),
        cmocka_unit_test(odd_mails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
