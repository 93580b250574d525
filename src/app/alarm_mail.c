#include "app/alarm_mail.h"

#include "base/log.h"
#include "campaign/brand.h"
#include "mail/address.h"
#include "submit/message.h"
#include "submit/prepare.h"

enum { KEPT_DAYS = 3, EXPIRES_DAYS = 2, JST_OFFSET_MIN = 540 };

static bool sender_find(struct db *db, struct fault *why, struct arena *arena, struct brand *brand, bool *found)
{
    int64_t id = 0;
    if (!db_query_ints(db, why, "SELECT id FROM brand ORDER BY id LIMIT 1", NO_VALUES, &id, 1, found))
        return false;
    return !*found || brand_find(db, why, arena_printf(arena, "%lld", (long long)id), arena, brand);
}

static struct slice letter(const struct alarm_row *row, const struct brand *brand, const char *mail_to,
                           struct arena *arena)
{
    struct alarm_words ja = alarm_words_ja(row, arena), en = alarm_words_en(row, arena);
    SCOPED(buf) since = BUF(64);
    time_rfc3339(&since, row->since);
    return arena_printf(
        arena,
        "From: Todoke <%.*s>\r\nTo: <%s>\r\nSubject: [Todoke] %.*s\r\nAuto-Submitted: "
        "auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n%.*s\r\n\r\n%.*s\r\n\r\n%.*s\r\n\r\n%.*s\r\n\r\n%.*s\r\n"
        "todoke alarm list / todoke alarm ack %llu\r\n",
        SLICE_ARG(brand->from_address), mail_to, SLICE_ARG(ja.title), SLICE_ARG(ja.title), SLICE_ARG(ja.text),
        SLICE_ARG(en.title), SLICE_ARG(en.text), SLICE_ARG(buf_slice(&since)), (unsigned long long)row->id);
}

bool alarm_mail_send(struct db *db, struct fault *why, const struct alarm_row *row, const char *mail_to, time_ms now,
                     struct arena *arena, struct submit_news **news, size_t *news_count, bool *is_sent)
{
    struct brand brand;
    struct address address;
    struct fault problem = {0};
    bool found;
    *is_sent = false;
    *news_count = 0;
    if (!mail_to[0])
        return true;
    if (!sender_find(db, why, arena, &brand, &found))
        return false;
    if (!found || !address_parse(slice_str(mail_to), arena, &address, &problem)) {
        log_error("alarm", "no mail about alarm %llu: %s", (unsigned long long)row->id,
                  found ? problem.text : "there is no brand to send it as");
        *is_sent = true; /* it will not be better the next time */
        return true;
    }
    uint64_t id = id_make_anywhere(db_ids(db), now);
    const struct prepare_options options = {
        .message_id = id, .now = now, .date_offset_minutes = JST_OFFSET_MIN, .encodes_long_lines = true};
    struct prepared prepared;
    if (!message_prepare(letter(row, &brand, mail_to, arena), &options, arena, &prepared, &problem)) {
        log_error("alarm", "no mail about alarm %llu: %s", (unsigned long long)row->id, problem.text);
        *is_sent = true;
        return true;
    }
    const struct message message = {
        .id = id,
        .brand_id = brand.id,
        .mail_from = brand.from_address,
        .from_domain = prepared.from_domain,
        .message_id = prepared.message_id,
        .subject = prepared.subject,
        .tags = SLICE("alarm"),
        .flags = prepared.flags,
        .body = prepared.bytes,
        .now = now,
        .due = now,
        .expires = now + DAYS_MS(EXPIRES_DAYS),
        .keep_until = now + DAYS_MS(KEPT_DAYS),
    };
    struct submit_row recipient = {.address = address.identity, .written = slice_str(mail_to)};
    *is_sent = true;
    return message_submit(db, why, &message, &recipient, 1, arena, news, news_count);
}
