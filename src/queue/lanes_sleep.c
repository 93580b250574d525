#include "queue/lanes_inside.h"

static void heap_put(struct lanes *lanes, size_t at, struct lane *lane)
{
    lanes->heap[at] = lane;
    lane->heap_at = at;
}

static void heap_sift(struct lanes *lanes, size_t at)
{
    struct lane *lane = lanes->heap[at];
    for (; at > 1 && lanes->heap[at / 2]->next_due > lane->next_due; at /= 2)
        heap_put(lanes, at, lanes->heap[at / 2]);
    for (size_t child; (child = at * 2) <= lanes->heap_count; at = child) {
        if (child < lanes->heap_count && lanes->heap[child + 1]->next_due < lanes->heap[child]->next_due)
            child++;
        if (lanes->heap[child]->next_due >= lane->next_due)
            break;
        heap_put(lanes, at, lanes->heap[child]);
    }
    heap_put(lanes, at, lane);
}

void lane_stop_sleeping(struct lanes *lanes, struct lane *lane)
{
    size_t at = lane->heap_at;
    if (!at)
        return;
    lane->heap_at = 0;
    struct lane *last = lanes->heap[lanes->heap_count--];
    if (last != lane) {
        heap_put(lanes, at, last);
        heap_sift(lanes, at);
    }
}

void lane_sleep(struct lanes *lanes, struct lane *lane)
{
    if (lane->next_due == INT64_MAX)
        return lane_stop_sleeping(lanes, lane);
    if (!lane->heap_at) {
        if (lanes->heap_count + 2 > lanes->heap_room) {
            lanes->heap_room = lanes->heap_room ? lanes->heap_room * 2 : 64;
            lanes->heap = memory_resize(lanes->heap, lanes->heap_room, sizeof(*lanes->heap));
        }
        heap_put(lanes, ++lanes->heap_count, lane);
    }
    heap_sift(lanes, lane->heap_at);
}
