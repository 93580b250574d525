/* compose_bench - CPU time of one composed mail of about 10 KB, Japanese (base64) and English (quoted-printable),
 * without and with an RSA-2048 signature. Run: compose_bench [rounds]; compare only within one run. */
#include "content/compose.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static bool member(const void *self, struct slice name, struct liquid_value *value)
{
    static const struct liquid_type contact = {.member = member};
    if (slice_equal(name, SLICE("contact")))
        *value = liquid_object(&contact, NULL);
    else if (slice_equal(name, SLICE("name")))
        *value = liquid_string(SLICE("山田 太郎"));
    else if (slice_equal(name, SLICE("city")))
        *value = liquid_string(SLICE("東京"));
    else
        return false;
    return true;
}

static const struct liquid_type root_type = {.member = member};

static void write_html(struct buf *html, bool is_japanese)
{
    buf_text(html, "<html><body>\n<h1>{{ contact.name | default: \"お客様\" }}様</h1>\n");
    for (int i = 0; html->len < 7000; i++) {
        if (i % 8 == 0)
            buf_text(html,
                     "<p>{{ contact.city }} <a href=\"https://example.jp/shop?item=1&amp;from=mail\">Shop</a></p>\n");
        buf_append(
            html,
            is_japanese
                ? SLICE("  <p>いつもお世話になっております。新しい商品のご案内です。ぜひご覧ください。</p>\n")
                : SLICE("  <p style=\"color:#333\">Thank you for being with us. Here is what is new today.</p>\n"));
    }
    buf_text(html, "<p><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></p>\n</body></html>\n");
}

static double cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static bool run(const char *what, bool is_japanese, struct dkim_signer *signer, int rounds)
{
    SCOPED(buf) html = BUF(1 << 20);
    SCOPED(composed) composed = {0};
    struct content *content;
    struct fault why = {0};
    write_html(&html, is_japanese);
    const struct content_source source = {.subject = SLICE("{{ contact.name }}様へのお知らせ"),
                                          .preheader = SLICE("News"),
                                          .html = buf_slice(&html),
                                          .from_name = SLICE("Example"),
                                          .from_address = SLICE("news@example.jp"),
                                          .list_id = SLICE("news.example.jp")};
    if (!content_compile(&source, &content, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return false;
    }
    struct compose_job job = {.date = SECONDS_MS(1700000000),
                              .date_offset_minutes = 540,
                              .to_address = SLICE("somebody@example.com"),
                              .message_domain = SLICE("example.jp"),
                              .unsubscribe_url = SLICE("https://example.jp/u/abcdefghijklmnopqrstuvwxyz0123456789"),
                              .unsubscribe_mailto = SLICE("mailto:u-abcdefgh@example.jp"),
                              .feedback_id = SLICE("7:example:campaign:todoke"),
                              .data = liquid_object(&root_type, NULL)};
    double start = cpu_us();
    for (int i = 0; i < rounds; i++) {
        job.delivery_id = (uint64_t)i + 1;
        if (!compose_mail(content, &job, signer, &composed, &why)) {
            fprintf(stderr, "%s\n", why.text);
            return false;
        }
    }
    double each = (cpu_us() - start) / rounds;
    printf("%-28s %8.2f us a mail, %zu octets\n", what, each, composed_mail(&composed).len);
    content_free(content);
    return true;
}

int main(int argc, char **argv)
{
    uint64_t rounds = 20000;
    struct fault why;
    if (argc > 1 && !slice_to_u64(slice_str(argv[1]), &rounds))
        return 2;
    struct dkim_key *key = dkim_key_generate(DKIM_RSA_SHA256);
    const struct dkim_identity identity = {SLICE("example.jp"), SLICE("s1"), key};
    struct dkim_signer *signer;
    bool is_done = dkim_signer_new(&identity, 1, &signer, &why);
    is_done = is_done && run("Japanese, base64", true, NULL, (int)rounds) &&
              run("English, quoted-printable", false, NULL, (int)rounds);
    is_done = is_done && run("Japanese, signed", true, signer, (int)(rounds + 19) / 20) &&
              run("English, signed", false, signer, (int)(rounds + 19) / 20);
    dkim_signer_free(signer);
    dkim_key_free(key);
    return !is_done;
}
