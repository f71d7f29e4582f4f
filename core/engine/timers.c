/* The strand's timers: a binary heap by time, each node at most once in it. */
#include "engine/strand.h"

static void place(rmi_strand *strand, uint32_t index, rmi_node *node)
{
    strand->timers[index] = node;
    node->heap_index = index;
}

static void sift_up(rmi_strand *strand, uint32_t index, rmi_node *node)
{
    while (index > 1 && strand->timers[index / 2]->wake_ns > node->wake_ns) {
        place(strand, index, strand->timers[index / 2]);
        index /= 2;
    }
    place(strand, index, node);
}

static void sift_down(rmi_strand *strand, uint32_t index, rmi_node *node)
{
    for (;;) {
        uint32_t child = 2 * index;
        if (child > strand->timer_count) {
            break;
        }
        if (child < strand->timer_count &&
            strand->timers[child + 1]->wake_ns < strand->timers[child]->wake_ns) {
            child++;
        }
        if (strand->timers[child]->wake_ns >= node->wake_ns) {
            break;
        }
        place(strand, index, strand->timers[child]);
        index = child;
    }
    place(strand, index, node);
}

void rmi_strand_clear_timer(rmi_strand *strand, rmi_node *node)
{
    uint32_t index = node->heap_index;
    if (index == 0) {
        return;
    }
    node->heap_index = 0;
    rmi_node *last = strand->timers[strand->timer_count--];
    if (last == node) {
        return;
    }
    if (index > 1 && strand->timers[index / 2]->wake_ns > last->wake_ns) {
        sift_up(strand, index, last);
    } else {
        sift_down(strand, index, last);
    }
}

void rmi_strand_set_timer(rmi_strand *strand, rmi_node *node, int64_t when_ns)
{
    rmi_strand_clear_timer(strand, node);
    node->wake_ns = when_ns;
    sift_up(strand, ++strand->timer_count, node);
}

void rmi_strand_arm_timer(rmi_strand *strand, rmi_node *node)
{
    int64_t when_ns = node->asked_ns;
    if (node->set_waits && node->set_until_ns < when_ns) {
        when_ns = node->set_until_ns;
    }
    if (when_ns != INT64_MAX && (node->heap_index == 0 || when_ns < node->wake_ns)) {
        rmi_strand_set_timer(strand, node, when_ns);
    }
}
