#include "api/campaign_json.h"

#include "api/explained.h"
#include "audience/audience.h"
#include <math.h>
#include <stdio.h>

enum { RECEIVERS_SHOWN = 50, MEMBERS_AGE_MS = 10000, RATE_SECONDS = 5 };

bool campaign_is_over(const struct campaign *campaign)
{
    return campaign->state == CAMPAIGN_FINISHED || campaign->state == CAMPAIGN_CANCELLED;
}

bool campaign_is_under_way(const struct campaign *campaign)
{
    return campaign->state == CAMPAIGN_EXPANDING || campaign->state == CAMPAIGN_SENDING ||
           campaign->state == CAMPAIGN_PAUSED;
}

struct slice receiver_label(const struct api *api, struct slice domain)
{
    struct slice label = {0};
    if (api->options.receiver_label)
        label = api->options.receiver_label(api->options.owner, domain);
    return label.len ? label : domain;
}

bool campaign_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct campaign *campaign)
{
    bool found = false;
    *why = (struct fault){0};
    return campaign_get(db, why, id, arena, campaign, &found) && found;
}

bool campaign_of_request(struct api *api, struct http_request *request, struct campaign *campaign)
{
    uint64_t id;
    struct fault why = {0};
    if (id_parse(http_param(request, "id"), &id) && campaign_by_id(api->db, &why, id, &request->arena, campaign) &&
        key_may_brand(&api_caller(request)->key.rights, campaign->brand_id))
        return true;
    if (why.kind != FAULT_NONE)
        answer_fault(request, &why, 400);
    else
        answer_no_such(request, "campaign");
    return false;
}

/* ── named elsewhere ── */

bool campaign_ref_write(struct api *api, struct json *json, struct campaign_names *names, uint64_t id,
                        struct arena *arena, struct fault *why)
{
    struct campaign_name *name = NULL;
    for (size_t i = 0; i < names->count && !name; i++)
        if (names->list[i].id == id)
            name = &names->list[i];
    if (!name && id) {
        struct campaign campaign;
        name = &names->list[names->count < COUNT_OF(names->list) ? names->count++ : COUNT_OF(names->list) - 1];
        *name = (struct campaign_name){.id = id, .is_there = campaign_by_id(api->db, why, id, arena, &campaign)};
        if (!name->is_there && why->kind != FAULT_NONE)
            return false;
        if (name->is_there)
            name->name = campaign.name;
    }
    json_key(json, "campaign");
    if (!name || !name->is_there) {
        json_nothing(json);
        return true;
    }
    json_object_begin(json);
    json_put_id(json, "id", name->id);
    json_put_string(json, "name", name->name);
    json_end(json);
    return true;
}

/* ── parts ── */

static void counts_write(struct json *json, const int64_t states[DELIVERY_STATE_COUNT], int64_t on_wire)
{
    /* what is on the wire counts as waiting or deferred until its outcome is known */
    int64_t waiting = states[DELIVERY_WAITING], deferred = states[DELIVERY_DEFERRED];
    int64_t from_waiting = on_wire < waiting ? on_wire : waiting;
    int64_t from_deferred = on_wire - from_waiting < deferred ? on_wire - from_waiting : deferred;
    json_put_object(json, "counts");
    for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++) {
        int64_t n = states[state];
        if (state == DELIVERY_WAITING)
            n -= from_waiting;
        if (state == DELIVERY_DEFERRED)
            n -= from_deferred;
        if (state == DELIVERY_ON_WIRE)
            n += from_waiting + from_deferred;
        json_key_slice(json, delivery_word((enum delivery_state)state));
        json_int(json, n);
    }
    json_end(json);
}

static void faults_write(struct json *json, const struct counted_faults *faults)
{
    json_put_object(json, "faults");
    json_put_int(json, "address", faults->n[WHOSE_ADDRESS]);
    json_put_int(json, "message", faults->n[WHOSE_MESSAGE]);
    json_put_int(json, "sender", faults->n[WHOSE_SENDER]);
    json_put_int(json, "receiver", faults->n[WHOSE_RECEIVER]);
    json_end(json);
}

static struct text left_out_label(struct slice why)
{
    enum suppress_why word;
    if (slice_equal(why, SLICE("unconfirmed")))
        return TEXT("登録の確認がまだ", "Not confirmed yet");
    if (!suppress_of(why, &word))
        return (struct text){why, why};
    switch (word) {
    case SUPPRESS_ERROR: return TEXT("エラーで配信停止リストに入っている", "Suppressed after errors");
    case SUPPRESS_COMPLAINT: return TEXT("迷惑メールとして報告された", "Complained of spam");
    case SUPPRESS_UNSUBSCRIBED: return TEXT("配信を解除している", "Unsubscribed");
    case SUPPRESS_BY_HAND: return TEXT("担当者が配信停止にした", "Excluded by hand");
    case SUPPRESS_CLEANING: return TEXT("名簿の点検で外した", "Excluded by list cleaning");
    case SUPPRESS_WHY_COUNT: break;
    }
    return (struct text){why, why};
}

static bool left_out_write(struct api *api, struct json *json, const struct campaign *campaign,
                           const struct counted *counted, struct arena *arena, struct fault *why)
{
    json_put_array(json, "left_out");
    if (counted->totals.left_out) {
        SCOPED(rows) rows = {0};
        if (!db_query(api->db, why, &rows,
                      "SELECT note, COUNT(*) FROM event WHERE kind = 2 AND campaign_id = $1 GROUP BY note ORDER BY 2 "
                      "DESC, 1 LIMIT 64",
                      VALUES(V_INT((int64_t)campaign->id))))
            return false;
        while (rows_next(&rows)) {
            struct slice word = arena_copy(arena, rows_text(&rows, 0));
            enum suppress_why known;
            json_object_begin(json);
            json_put_string(json, "why",
                            suppress_of(word, &known) ? arena_printf(arena, "suppressed:%.*s", SLICE_ARG(word)) : word);
            json_put_both(json, "label", left_out_label(word));
            json_put_int(json, "count", rows_int(&rows, 1));
            json_end(json);
        }
        if (!rows_end(&rows))
            return false;
    }
    json_end(json);
    return true;
}

/* Everything that has had an answer, and what was never tried because it must not be. */
static int64_t done_of(const struct report_totals *totals)
{
    return totals->accepted - totals->states[DELIVERY_WAITING] - totals->states[DELIVERY_ON_WIRE] -
           totals->states[DELIVERY_HELD];
}

static double rate_of(struct api *api, const struct campaign *campaign, struct live_campaign *live, int64_t done)
{
    double rate = pace_seen_rate(&live->pace, done, world_monotonic(api->options.world));
    if (campaign->state != CAMPAIGN_SENDING && campaign->state != CAMPAIGN_EXPANDING)
        return 0;
    if (rate >= 0 || !api->options.report)
        return rate >= 0 ? rate : 0;
    static const enum event_kind outcomes[] = {EVENT_DELIVERED, EVENT_BOUNCED, EVENT_DEFERRED, EVENT_EXPIRED};
    double all = 0; /* nobody has looked at this one lately: the server's pace */
    for (size_t i = 0; i < COUNT_OF(outcomes); i++)
        all += report_rate(api->options.report, outcomes[i], RATE_SECONDS, api_now(api));
    return all;
}

/* People in the audience. The list is counted while it can still change what is sent. */
static bool total_of(struct api *api, const struct campaign *campaign, struct live_campaign *live,
                     const struct report_totals *totals, int64_t *total, struct fault *why)
{
    time_ms now = world_monotonic(api->options.world);
    int64_t reached = totals->accepted + totals->left_out;
    *total = reached;
    if (campaign->expanded || campaign_is_over(campaign))
        return true;
    if (!live->members_at || now - live->members_at > MEMBERS_AGE_MS) {
        if (!db_query_ints(api->db, why, "SELECT COUNT(*) FROM list_member WHERE list_id = $1",
                           VALUES(V_INT((int64_t)campaign->list_id)), &live->members, 1, NULL))
            return false;
        live->members_at = now;
    }
    if (live->members > reached)
        *total = live->members;
    return true;
}

/* Until everybody has been tried once; negative: nobody can say. */
static int64_t remaining_of(const struct campaign *campaign, const struct report_totals *totals, int64_t total,
                            double rate)
{
    enum { DAY_S = 86400, DAYS_MOST = 365 };
    if (campaign->state != CAMPAIGN_SENDING && campaign->state != CAMPAIGN_EXPANDING)
        return -1;
    int64_t untried = totals->states[DELIVERY_WAITING] + totals->states[DELIVERY_ON_WIRE];
    if (campaign->state == CAMPAIGN_EXPANDING)
        untried += total - totals->accepted - totals->left_out;
    if (!untried)
        return 0;
    double seconds = rate > 0.01 ? ceil((double)untried / rate) : -1;
    return seconds < 0 || seconds > (double)DAY_S * DAYS_MOST ? -1 : (int64_t)seconds;
}

bool campaign_write(struct api *api, struct json *json, const struct campaign *campaign, const struct counted *counted,
                    struct arena *arena, struct fault *why)
{
    const struct report_totals *totals = &counted->totals;
    struct live_campaign *live = live_of(&api->live, campaign->id, world_monotonic(api->options.world));
    double rate = rate_of(api, campaign, live, done_of(totals));
    int64_t total, on_wire = 0;
    if (!total_of(api, campaign, live, totals, &total, why))
        return false;
    if (api->options.on_wire && campaign_is_under_way(campaign))
        on_wire = api->options.on_wire(api->options.owner, campaign->id);
    int64_t remaining = remaining_of(campaign, totals, total, rate);
    json_object_begin(json);
    json_put_id(json, "id", campaign->id);
    json_put_string(json, "name", campaign->name);
    json_put_string(json, "state", campaign_state_word(campaign->state));
    json_put_string(json, "subject", campaign->subject);
    json_put_string(json, "from",
                    campaign->from_name.len ? arena_printf(arena, "%.*s <%.*s>", SLICE_ARG(campaign->from_name),
                                                           SLICE_ARG(campaign->from_address))
                                            : campaign->from_address);
    json_put_string(json, "audience", campaign->list_name);
    json_put_time(json, "created_at", campaign->created);
    json_put_time(json, "started_at", campaign->started);
    json_put_time(json, "finished_at", campaign->finished);
    json_put_int(json, "total", total);
    json_put_int(json, "accepted", totals->accepted);
    counts_write(json, totals->states, on_wire);
    if (!left_out_write(api, json, campaign, counted, arena, why))
        return false;
    faults_write(json, &counted->faults);
    json_put_double(json, "rate_per_second", rate);
    json_key(json, "remaining_seconds");
    if (remaining < 0)
        json_nothing(json);
    else
        json_int(json, remaining);
    json_end(json);
    return true;
}

bool campaigns_write(struct api *api, struct json *json, const struct campaign *campaigns, size_t count,
                     struct arena *arena, struct fault *why)
{
    struct counted *counted = ARENA_ARRAY(arena, struct counted, count + 1);
    for (size_t i = 0; i < count; i++)
        counted[i].campaign_id = campaigns[i].id;
    if (!counted_load(api->db, why, counted, count))
        return false;
    json_array_begin(json);
    for (size_t i = 0; i < count; i++)
        if (!campaign_write(api, json, &campaigns[i], &counted[i], arena, why))
            return false;
    json_end(json);
    return true;
}

/* ── the report ── */

struct receivers {
    struct report_domain *domains;
    size_t count;
    struct counted_faults *faults; /* one more: of all the others */
};

static void receiver_faults(void *context, struct slice domain, const struct counted_faults *faults)
{
    struct receivers *receivers = context;
    size_t at = 0;
    while (at < receivers->count && !slice_equal(receivers->domains[at].domain, domain))
        at++;
    for (unsigned whose = 0; whose < WHOSE_COUNT; whose++)
        receivers->faults[at].n[whose] += faults->n[whose];
}

static void receiver_write(struct api *api, struct json *json, const struct campaign *campaign, struct slice domain,
                           const struct report_totals *totals, const struct counted_faults *faults)
{
    time_ms now = world_monotonic(api->options.world);
    struct pace_seen *seen = live_receiver(live_of(&api->live, campaign->id, now), domain);
    double rate = seen ? pace_seen_rate(seen, done_of(totals), now) : 0;
    bool is_running = campaign->state == CAMPAIGN_SENDING || campaign->state == CAMPAIGN_EXPANDING;
    json_object_begin(json);
    json_put_string(json, "site", domain);
    json_put_string(json, "label", domain.len ? receiver_label(api, domain) : SLICE(""));
    json_put_int(json, "total", totals->accepted);
    counts_write(json, totals->states, 0);
    faults_write(json, faults);
    json_put_double(json, "rate_per_second", is_running && rate > 0 ? rate : 0);
    json_put_null(json, "binding");
    json_end(json);
}

static bool receivers_write(struct api *api, struct json *json, const struct campaign *campaign,
                            const struct report_totals *all, struct arena *arena, struct fault *why)
{
    struct receivers receivers = {.faults = ARENA_ARRAY(arena, struct counted_faults, RECEIVERS_SHOWN + 1)};
    if (!report_by_domain(api->db, why, campaign->id, RECEIVERS_SHOWN, arena, &receivers.domains, &receivers.count) ||
        !counted_by_domain(api->db, why, campaign->id, receiver_faults, &receivers))
        return false;
    struct report_totals rest = *all;
    json_put_array(json, "receivers");
    for (size_t i = 0; i < receivers.count; i++) {
        const struct report_totals *totals = &receivers.domains[i].totals;
        rest.accepted -= totals->accepted;
        for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++)
            rest.states[state] -= totals->states[state];
        if (totals->accepted) /* or everybody there was left out */
            receiver_write(api, json, campaign, receivers.domains[i].domain, totals, &receivers.faults[i]);
    }
    if (rest.accepted > 0)
        receiver_write(api, json, campaign, SLICE(""), &rest, &receivers.faults[receivers.count]);
    json_end(json);
    return true;
}

static void reason_write(struct api *api, struct json *json, enum reason reason, int64_t n, int64_t retrying)
{
    struct verdict verdict = verdict_of_reason(api->options.rules, reason);
    json_object_begin(json);
    json_put_string(json, "reason", reason_word(reason));
    json_put_string(json, "fault", whose_word(verdict.whose));
    json_put_both(json, "label", WORDS_BOTH(api->options.rules, &verdict, label));
    json_put_both(json, "cause", WORDS_BOTH(api->options.rules, &verdict, cause));
    json_put_both(json, "remedy", REMEDY_BOTH(api->options.rules, &verdict, n, retrying));
    json_put_both(json, "did", WORDS_BOTH(api->options.rules, &verdict, did));
    json_put_string(json, "action", action_word(verdict.action));
    json_put_int(json, "count", n);
    json_put_int(json, "retrying", retrying);
    json_end(json);
}

/* Rows come by (reason, whose); the page has one for each reason. */
static bool reasons_write(struct api *api, struct json *json, const struct campaign *campaign, struct arena *arena,
                          struct fault *why)
{
    struct report_reason *rows;
    size_t count;
    int64_t n[REASON_COUNT] = {0}, retrying[REASON_COUNT] = {0};
    if (!report_by_reason(api->db, why, campaign->id, SLICE(""), arena, &rows, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++)
            if (state_is_trouble(state))
                n[rows[i].reason] += rows[i].states[state];
        retrying[rows[i].reason] += rows[i].states[DELIVERY_DEFERRED];
    }
    json_put_array(json, "reasons");
    for (;;) {
        unsigned most = 0;
        for (unsigned reason = 1; reason < REASON_COUNT; reason++)
            if (n[reason] > n[most])
                most = reason;
        if (n[most] <= 0)
            break;
        reason_write(api, json, (enum reason)most, n[most], retrying[most]);
        n[most] = 0;
    }
    json_end(json);
    return true;
}

static bool report_write_inside(struct api *api, struct json *json, const struct campaign *campaign,
                                struct arena *arena, struct counted *counted, struct fault *why)
{
    if (!counted_load(api->db, why, counted, 1))
        return false;
    json_object_begin(json);
    json_key(json, "campaign");
    if (!campaign_write(api, json, campaign, counted, arena, why) ||
        !receivers_write(api, json, campaign, &counted->totals, arena, why) ||
        !reasons_write(api, json, campaign, arena, why))
        return false;
    json_end(json);
    return true;
}

bool report_write(struct api *api, struct json *json, const struct campaign *campaign, struct arena *arena,
                  struct counted *counted, struct fault *why)
{
    struct counted own;
    if (!counted)
        counted = &own;
    counted->campaign_id = campaign->id;
    if (!db_read(api->db, why))
        return false;
    bool ok = report_write_inside(api, json, campaign, arena, counted, why);
    db_rollback(api->db);
    return ok;
}
