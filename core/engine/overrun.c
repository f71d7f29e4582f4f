#include "engine/overrun.h"

#include "engine/arrivals.h"

static bool is_live_source(const rmi_node *node)
{
    return node->is_source && node->pub.type->flags & RM_NODE_LIVE;
}

static bool waits_for_room(const rmi_node *node)
{
    return node->state == RMI_NODE_HOLDING ||
           (node->state == RMI_NODE_IDLE && !node->stalled && !rmi_node_is_runnable(node));
}

void rmi_overrun_count_sources(rmi_strand *strand)
{
    strand->live_source_count = 0;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        strand->live_source_count += is_live_source(strand->nodes[i]);
    }
}

void rmi_overrun_look(rmi_strand *strand)
{
    for (uint16_t i = 0; i < strand->node_count; i++) {
        rmi_node *node = strand->nodes[i];
        bool is_news = node->overruns == 0 || node->overrun_calls != node->calls;
        if (is_live_source(node) && waits_for_room(node) && is_news) {
            node->overruns++;
            node->overrun_calls = node->calls;
            rmi_arrivals_deliver(strand, node, &(rm_control){.op = RM_CONTROL_OVERRUN});
        }
    }
}
