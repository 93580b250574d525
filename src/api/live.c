#include "api/live.h"

#include "base/map.h"

double pace_seen_rate(struct pace_seen *seen, int64_t done, time_ms now)
{
    bool is_stale = now - seen->last.at > 2 * LIVE_WINDOW_MS; /* nobody has looked for long */
    if (!seen->last.at || is_stale || done < seen->last.done) {
        seen->before.at = seen->last.at = now;
        seen->before.done = seen->last.done = done;
        return -1;
    }
    if (now - seen->last.at >= LIVE_WINDOW_MS) {
        seen->before = seen->last;
        seen->last.at = now;
        seen->last.done = done;
    }
    time_ms passed = now - seen->before.at;
    return passed < LIVE_LEAST_MS ? -1 : (double)(done - seen->before.done) * 1000.0 / (double)passed;
}

struct live_campaign *live_of(struct live *live, uint64_t campaign_id, time_ms now)
{
    struct live_campaign *oldest = live->campaigns;
    for (unsigned i = 0; i < LIVE_CAMPAIGNS; i++) {
        struct live_campaign *campaign = &live->campaigns[i];
        if (campaign->id == campaign_id) {
            campaign->looked = now;
            return campaign;
        }
        if (oldest->id && (!campaign->id || campaign->looked < oldest->looked))
            oldest = campaign;
    }
    *oldest = (struct live_campaign){.id = campaign_id, .looked = now};
    return oldest;
}

struct pace_seen *live_receiver(struct live_campaign *campaign, struct slice domain)
{
    uint64_t hash = hash_bytes(domain, 0) | 1;
    for (unsigned i = 0; i < LIVE_RECEIVERS; i++) {
        if (!campaign->receivers[i].domain)
            campaign->receivers[i].domain = hash;
        if (campaign->receivers[i].domain == hash)
            return &campaign->receivers[i].pace;
    }
    return NULL;
}
