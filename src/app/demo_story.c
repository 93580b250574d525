/* demo_story.c - the story that the demo tells
 *
 *     import 10,000 contacts -> campaign 1 -> refusals, deferrals, error mail -> exclusions
 *                            -> campaign 2 leaves them out -> the check against what the receivers did
 *
 * A demo that was killed goes on where it was: what is there already is found, not made again. */
#include "app/change.h"
#include "app/demo.h"
#include "app/demo_check.h"
#include "app/report_print.h"

#include "audience/import.h"
#include "base/embedded.h"
#include "base/file.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    STORY_MS = 80000, /* for one campaign, */
    MOVED_MS = 5000,  /* and longer while something has moved within this */
    QUIET_MS = 1500,  /* nothing more comes back */
    LOOK_MS = 200,
};

struct campaign_plan {
    const char *name, *subject, *file;
};
static const struct campaign_plan plans[DEMO_CAMPAIGNS] = {
    {"冬の感謝祭のご案内", "{{ contact.name | default: \"お客様\" }} 様、冬の感謝祭のご案内です",
     "data/playground/campaign-1.html"},
    {"初売りのお知らせ", "年末年始のお休みと初売りのお知らせ", "data/playground/campaign-2.html"},
};

static void pause_ms(time_ms ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static bool import_contacts(struct demo *demo, struct fault *why)
{
    struct slice csv;
    if (!embedded_find(SLICE("data/playground/contacts.csv"), &csv))
        return fault_set(why, FAULT_WORLD, "the sample contacts are not in this binary: build it again");
    const char *path = demo_file(demo, "contacts.csv").ptr;
    if (!file_write(path, csv, why))
        return false;
    const struct import_options options = {
        .path = path,
        .list_name = SLICE("お客様"),
        .brand_id = demo->brand_id,
        .consent = SLICE("店頭での申し込み(見本)"),
        .now = world_wall(&demo->world),
    };
    struct import_result result;
    if (!import_file(service_store(demo->service), &options, &demo->arena, &result, why))
        return false;
    demo->list_id = result.list_id;
    demo_tell(demo, "連絡先 %llu 件を取り込みました(文字コード %.*s、断った行 %llu)\n",
              "Imported %llu contacts (encoding %.*s, %llu rows rejected)\n",
              (unsigned long long)(result.progress.fresh + result.progress.updated), SLICE_ARG(result.encoding),
              (unsigned long long)result.progress.rejected);
    return true;
}

struct plan_job {
    struct demo *demo;
    size_t which;
};

static bool campaign_ready(struct db *db, struct fault *why, void *context)
{
    struct plan_job *job = context;
    struct demo *demo = job->demo;
    const struct campaign_plan *plan = &plans[job->which];
    time_ms now = world_wall(&demo->world);
    int64_t id = 0;
    bool found;
    if (!db_query_ints(db, why, "SELECT id FROM campaign WHERE name = $1", VALUES(V_STR(plan->name)), &id, 1, &found))
        return false;
    if (found) {
        demo->campaigns[job->which] = (uint64_t)id;
        return true;
    }
    struct slice html;
    if (!embedded_find(slice_str(plan->file), &html))
        return fault_set(why, FAULT_WORLD, "%s is not in this binary: build it again", plan->file);
    struct content_version version = {
        .brand_id = demo->brand_id, .name = slice_str(plan->name), .subject = slice_str(plan->subject), .html = html};
    if (!content_version_create(db, why, &version, now))
        return false;
    struct campaign campaign = {.brand_id = demo->brand_id,
                                .content_version_id = version.id,
                                .list_id = demo->list_id,
                                .name = slice_str(plan->name),
                                .priority = 1,
                                .expires_after = demo->config.expires_after.duration};
    if (!campaign_create(db, why, &campaign, now) || !campaign_send(db, why, campaign.id, now))
        return false;
    demo->campaigns[job->which] = campaign.id;
    return true;
}

static void show_progress(struct demo *demo, const struct report_totals *totals, bool is_last)
{
    if (!demo->is_tty && !is_last)
        return;
    int64_t errors = totals->states[DELIVERY_BOUNCED] + totals->states[DELIVERY_EXPIRED];
    demo_tell(demo, "%s  届いた %lld ・ 保留 %lld ・ エラー %lld ・ 待ち %lld%s",
              "%s  delivered %lld, deferred %lld, errors %lld, waiting %lld%s", demo->is_tty ? "\r\033[K" : "",
              (long long)totals->states[DELIVERY_DELIVERED],
              (long long)(totals->states[DELIVERY_DEFERRED] + totals->states[DELIVERY_IN_DOUBT]), (long long)errors,
              (long long)totals->states[DELIVERY_WAITING], is_last ? "\n" : "");
}

/* A busy machine may take longer, as long as something moves. */
static bool has_time(time_ms since, time_ms moved_at, time_ms now)
{
    return now - since < STORY_MS || (now - moved_at < MOVED_MS && now - since < 4 * STORY_MS);
}

/* Wait until every delivery of the campaign is where its receiver means it to end, and nothing more comes back. */
static bool wait_for_outcomes(struct demo *demo, uint64_t campaign_id, bool *is_done, struct fault *why)
{
    time_ms begin = world_monotonic(&demo->world), now = begin, moved_at = begin, quiet_since = 0;
    struct demo_progress progress = {0}, last = {0};
    *is_done = false;
    while (!*is_done && has_time(begin, moved_at, now) && !demo_is_stopped()) {
        struct report_totals totals;
        struct playground_counts counts;
        pause_ms(LOOK_MS);
        if (!report_totals(demo->reader, why, campaign_id, &totals) ||
            !demo_progress_read(demo->reader, why, campaign_id, &progress))
            return false;
        playground_counts(demo->playground, &counts);
        show_progress(demo, &totals, false);
        bool has_changed = memcmp(&progress, &last, sizeof(progress)) != 0;
        last = progress;
        now = world_monotonic(&demo->world);
        if (has_changed)
            moved_at = now;
        if (has_changed || !progress.is_settled || counts.notices_waiting)
            quiet_since = now;
        *is_done = progress.is_settled && now - quiet_since >= QUIET_MS;
    }
    struct report_totals totals;
    if (!report_catch_up(service_report(demo->service), why) || !report_totals(demo->reader, why, campaign_id, &totals))
        return false;
    show_progress(demo, &totals, true);
    return true;
}

static bool print_report(struct demo *demo, uint64_t campaign_id, enum lang lang, struct fault *why)
{
    char number[24];
    struct campaign campaign;
    SCOPED(buf) out = BUF(4 << 20);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)campaign_id);
    if (!campaign_find(demo->reader, why, slice_str(number), &demo->arena, &campaign) ||
        !report_print(demo->reader, why, service_rules(demo->service), &campaign, lang, demo_provider_label, &out))
        return false;
    printf("\n%.*s", (int)out.len, out.ptr);
    return true;
}

static bool tell_campaign(struct demo *demo, size_t which, bool *all_is_well, struct fault *why)
{
    struct plan_job job = {demo, which};
    if (!store_change(service_store(demo->service), campaign_ready, &job, why))
        return false;
    demo_tell(demo, "\nキャンペーン %zu「%s」を送ります\n", "\nSending campaign %zu, \"%s\"\n", which + 1,
              plans[which].name);
    bool is_done;
    if (!wait_for_outcomes(demo, demo->campaigns[which], &is_done, why))
        return false;
    *all_is_well &= is_done;
    if (!is_done)
        demo_tell(demo, "  時間内に終わりませんでした\n", "  It did not end in time\n");
    return true;
}

bool demo_story(struct demo *demo, bool *all_is_well, struct fault *why)
{
    if (!import_contacts(demo, why) || !tell_campaign(demo, 0, all_is_well, why))
        return false;
    if (!print_report(demo, demo->campaigns[0], LANG_JA, why) || !print_report(demo, demo->campaigns[0], LANG_EN, why))
        return false;
    if (!tell_campaign(demo, 1, all_is_well, why) || !print_report(demo, demo->campaigns[1], demo->lang, why))
        return false;
    SCOPED(buf) out = BUF(1 << 20);
    struct playground_counts counts;
    playground_counts(demo->playground, &counts);
    bool agrees;
    if (!demo_check(demo->reader, why, demo->campaigns[0], demo->campaigns[1], &counts, demo->lang, &out, &agrees))
        return false;
    *all_is_well &= agrees;
    printf("\n%.*s", (int)out.len, out.ptr);
    return true;
}
