#include "app/demo_check.h"

#include "app/report_print.h"
#include "mail/event.h"
#include "report/report.h"
#include <stdio.h>

bool demo_progress_read(struct db *db, struct fault *why, uint64_t campaign_id, struct demo_progress *progress)
{
    *progress = (struct demo_progress){0};
    int64_t expanded = 0;
    if (!db_query_ints(db, why, "SELECT expanded_ms FROM campaign WHERE id = $1", VALUES(V_INT((int64_t)campaign_id)),
                       &expanded, 1, NULL) ||
        !db_query_ints(db, why, "SELECT COUNT(*) FROM event WHERE campaign_id = $1",
                       VALUES(V_INT((int64_t)campaign_id)), &progress->events, 1, NULL))
        return false;
    progress->is_expanded = expanded > 0;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT address, state, attempts FROM delivery WHERE campaign_id = $1",
                  VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows)) {
        const struct fate_row *fate = &fate_table[playground_fate(rows_text(&rows, 0))];
        enum delivery_state state = (enum delivery_state)rows_int(&rows, 1);
        progress->deliveries++;
        progress->settled += state == fate->ends || (fate->ends == DELIVERY_DEFERRED && rows_int(&rows, 2) > 0) ||
                             state == DELIVERY_SUPPRESSED || state == DELIVERY_EXPIRED;
    }
    progress->is_settled = progress->is_expanded && progress->settled == progress->deliveries;
    return rows_end(&rows);
}

/* What the table says of one fate. */
struct fate_tally {
    int64_t people, ended_right, read_right, unheard;
    enum reason wrong_reason;
    int64_t wrong_reasons;
};

/* The first problem that was told of each delivery: reason + 1 as the value. */
static bool first_reasons(struct db *db, struct fault *why, uint64_t campaign_id, struct id_map *reasons)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows,
                  "SELECT delivery_id, reason FROM event WHERE campaign_id = $1 AND kind IN (4, 5, 6, 12, 13, 14) "
                  "ORDER BY id",
                  VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows)) {
        uint64_t id = (uint64_t)rows_int(&rows, 0);
        if (id && !id_map_get(reasons, id))
            id_map_set(reasons, id, (void *)(uintptr_t)(rows_int(&rows, 1) + 1));
    }
    return rows_end(&rows);
}

static bool tally_fates(struct db *db, struct fault *why, uint64_t campaign_id, struct fate_tally *tally)
{
    SCOPED(id_map) reasons = {0};
    SCOPED(rows) rows = {0};
    if (!first_reasons(db, why, campaign_id, &reasons) ||
        !db_query(db, why, &rows, "SELECT id, address, state, attempts FROM delivery WHERE campaign_id = $1",
                  VALUES(V_INT((int64_t)campaign_id))))
        return false;
    while (rows_next(&rows)) {
        enum fate fate = playground_fate(rows_text(&rows, 1));
        const struct fate_row *row = &fate_table[fate];
        enum delivery_state state = (enum delivery_state)rows_int(&rows, 2);
        uintptr_t told = (uintptr_t)id_map_get(&reasons, (uint64_t)rows_int(&rows, 0));
        enum reason reason = told ? (enum reason)(told - 1) : REASON_DELIVERED;
        tally[fate].people++;
        bool has_ended = row->ends == DELIVERY_DEFERRED ? state == DELIVERY_DEFERRED || state == DELIVERY_EXPIRED
                                                        : state == row->ends;
        tally[fate].ended_right += has_ended;
        /* who comes while the rate is kept, or when the busy site has time again, is not turned away */
        if (reason == row->reason || ((fate == FATE_THROTTLE || fate == FATE_BUSY) && !told)) {
            tally[fate].read_right++;
        } else if (fate == FATE_GREYLIST && !told) {
            tally[fate].unheard++;
        } else {
            tally[fate].wrong_reason = reason;
            tally[fate].wrong_reasons++;
        }
    }
    return rows_end(&rows);
}

static bool print_fates(struct buf *out, struct arena *arena, const struct fate_tally *tally, enum lang lang)
{
    bool agrees = true;
    buf_str(out, lang == LANG_JA ? "受信側の筋書きと、Todoke の読み取りの照らし合わせ\n"
                                 : "What the receivers meant, and what Todoke understood\n");
    for (int fate = 0; fate < FATE_COUNT; fate++) {
        const struct fate_tally *row = &tally[fate];
        if (!row->people)
            continue;
        /* on a busy machine a connection may break before the first answer is heard: the next one is taken (R25) */
        bool is_right = row->ended_right == row->people && row->read_right + row->unheard == row->people &&
                        row->unheard * 10 <= row->people;
        agrees &= is_right;
        buf_text(out, "  ");
        print_padded(out, fate_table[fate].word, 20, false);
        print_padded(out, print_number(arena, row->people), 8, true);
        buf_printf(out, "   %.*s / %.*s", SLICE_ARG(delivery_word(fate_table[fate].ends)),
                   SLICE_ARG(reason_word(fate_table[fate].reason)));
        if (is_right) {
            buf_text(out, "  ✓\n");
            continue;
        }
        buf_printf(out, "  ✗ (%lld %s, %lld %s", (long long)(row->people - row->ended_right),
                   lang == LANG_JA ? "件が別の結果" : "ended otherwise", (long long)(row->wrong_reasons + row->unheard),
                   lang == LANG_JA ? "件が別の理由" : "read otherwise");
        if (row->wrong_reasons)
            buf_printf(out, ": %.*s", SLICE_ARG(reason_word(row->wrong_reason)));
        buf_text(out, ")\n");
    }
    return agrees;
}

static bool line(struct buf *out, bool is_right, const char *text)
{
    buf_printf(out, "  %s %s\n", is_right ? "✓" : "✗", text);
    return is_right;
}

bool demo_check(struct db *db, struct fault *why, uint64_t first_campaign, uint64_t second_campaign,
                const struct playground_counts *counts, enum lang lang, struct buf *out, bool *agrees)
{
    SCOPED(arena) arena = {0};
    struct fate_tally tally[FATE_COUNT] = {0};
    struct report_audit audit;
    int64_t written_to_excluded = 0, unverified = 0;
    bool is_ja = lang == LANG_JA;
    if (!tally_fates(db, why, first_campaign, tally) || !report_audit(db, why, 0, &audit) ||
        !db_query_ints(
            db, why,
            "SELECT COUNT(*) FROM delivery d JOIN suppression s ON s.bucket = d.bucket AND s.address = d.address WHERE "
            "d.campaign_id = $1 AND s.campaign_id = $2 AND d.state <> 8",
            VALUES(V_INT((int64_t)second_campaign), V_INT((int64_t)first_campaign)), &written_to_excluded, 1, NULL) ||
        !db_query_ints(db, why, "SELECT COUNT(*) FROM event WHERE kind = 19", NO_VALUES, &unverified, 1, NULL))
        return false;
    *agrees = print_fates(out, &arena, tally, lang);
    char text[256];
    buf_byte(out, '\n');
    snprintf(text, sizeof(text),
             is_ja ? "帳簿が合います: 受け付けた %lld 通 = 10 の状態の合計 %lld 通、はじめから外した %lld 人"
                   : "The books balance: %lld accepted = %lld in the ten states, %lld left out from the start",
             (long long)audit.accepted, (long long)audit.rows_sum, (long long)audit.left_out);
    *agrees &= line(out, audit.agrees, text);
    snprintf(text, sizeof(text),
             is_ja ? "2 回めの配信で、配信停止の宛先に送ったもの: %lld 通"
                   : "Mails of the second campaign to excluded addresses: %lld",
             (long long)written_to_excluded);
    *agrees &= line(out, written_to_excluded == 0, text);
    snprintf(text, sizeof(text),
             is_ja ? "にせのエラーメール %llu 通を見分けました(%lld 通を未確認と数え、連絡先は変えていません)"
                   : "%llu forged error mails came; %lld were counted as unverified and changed no contact",
             (unsigned long long)counts->notices_sent[FATE_FORGED], (long long)unverified);
    *agrees &= line(out, (int64_t)counts->notices_sent[FATE_FORGED] == unverified, text);
    snprintf(text, sizeof(text),
             is_ja ? "受信側が確かめた署名: DKIM %llu、SPF %llu、DMARC %llu / %llu 通"
                   : "Checked by receivers: DKIM %llu, SPF %llu, DMARC %llu of %llu mails passed",
             (unsigned long long)counts->dkim_pass, (unsigned long long)counts->spf_pass,
             (unsigned long long)counts->dmarc_pass, (unsigned long long)counts->auth_checked);
    *agrees &= line(out, counts->auth_checked == 0 || counts->dmarc_pass > 0, text);
    return true;
}
