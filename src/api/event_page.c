#include "api/event_page.h"

bool event_wish_read(struct api *api, struct http_request *request, struct event_wish *wish)
{
    struct slice text, word;
    struct fault why = {0};
    *wish = (struct event_wish){0};
    if (http_query(request, "campaign", &text) && text.len && !id_parse(text, &wish->campaign_id)) {
        answer_problem(request, 400, "campaign", "campaign is a campaign's id");
        return false;
    }
    if (http_query(request, "kinds", &text) && text.len) {
        while (slice_split(&text, ',', &word)) {
            enum event_kind kind;
            if (!event_of(word, &kind)) {
                answer_problem(request, 400, "kinds", "kinds are words like delivered,bounced with commas between");
                return false;
            }
            wish->kinds |= EVENT_BIT(kind);
        }
    }
    struct slice last = http_header(request, "Last-Event-ID");
    if (last.len ? !event_place_parse(last, &wish->place)
                 : http_query(request, "cursor", &text) && text.len && !event_place_parse(text, &wish->place)) {
        answer_bad_cursor(request);
        return false;
    }
    if (http_query(request, "start", &text) && text.len && !slice_equal(text, SLICE("now"))) {
        answer_problem(request, 400, "start", "start is now, or left out");
        return false;
    }
    if (http_query(request, "start", &text) && text.len && !last.len && !event_place_now(api->db, &wish->place, &why)) {
        answer_fault(request, &why, 400);
        return false;
    }
    return true;
}
