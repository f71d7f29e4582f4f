#include "engine/latency.h"

#include "engine/clock.h"
#include "engine/events.h"

/* Of a node of another strand too. */
static uint64_t worked_ticks(const rmi_node *node)
{
    return __atomic_load_n(&node->told_ticks, __ATOMIC_RELAXED) +
           __atomic_load_n(&node->pending_ticks, __ATOMIC_RELAXED);
}

static bool is_reached(const uint64_t *reached, uint16_t rank)
{
    return reached[rank / 64] >> rank % 64 & 1;
}

static void reach(uint64_t *reached, const rmi_node *node)
{
    for (uint16_t p = 0; p < node->n_out; p++) {
        for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
            const rmi_edge *edge = node->out[p].edges[e];
            if (!edge->link) {
                reached[edge->to->rank / 64] |= 1ull << edge->to->rank % 64;
            }
        }
    }
}

const rmi_node *rmi_latency_guilty(const rmi_edge *edge)
{
    const rmi_node *guilty = edge->to;
    const rmi_strand *strand = guilty->strand;
    uint64_t reached[RMI_STRAND_NODES_MAX / 64 + 1] = {0}, most = 0;
    reached[guilty->rank / 64] |= 1ull << guilty->rank % 64;
    for (uint16_t rank = guilty->rank; rank < strand->node_count; rank++) {
        const rmi_node *node = strand->nodes[rank];
        if (!is_reached(reached, rank)) {
            continue;
        }
        reach(reached, node);
        uint64_t worked = worked_ticks(node);
        if (worked > most) {
            most = worked;
            guilty = node;
        }
    }
    return guilty;
}

void rmi_latency_note(rmi_edge *edge, uint64_t ticks)
{
    const rm_session *session = edge->to->strand->session;
    uint64_t elapsed_ticks = rmi_clock_ticks() - session->begin_ticks;
    int64_t elapsed_ns = rmi_clock_ns() - session->begin_ns;
    double waited_ns =
        elapsed_ticks ? (double)ticks / (double)elapsed_ticks * (double)elapsed_ns : 0;
    if (waited_ns > (double)edge->latency_ns_max) {
        rmi_event_over_budget(edge);
    }
}

/* ---- from the source to a sink */

const rmi_node *rmi_latency_guilty_of_path(const rmi_node *sink)
{
    const rm_session *session = sink->strand->session;
    uint64_t reached[RMI_PLAN_NODES_MAX / 64 + 1] = {0}, most = 0;
    const rmi_node *guilty = sink;
    reached[sink->index / 64] |= 1ull << sink->index % 64;
    for (uint32_t i = sink->index + 1; i-- > 0;) {
        const rmi_node *node = session->nodes[i];
        if (!is_reached(reached, (uint16_t)i)) {
            continue;
        }
        for (uint16_t k = 0; k < node->n_in; k++) {
            const rmi_edge *edge = node->in[k];
            uint32_t from = (edge->link ? edge->link->sending : edge)->from->index;
            reached[from / 64] |= 1ull << from % 64;
        }
        if (worked_ticks(node) > most) {
            most = worked_ticks(node);
            guilty = node;
        }
    }
    return guilty;
}

void rmi_latency_note_age(rmi_node *sink, int64_t age_ns)
{
    int64_t most_ns = sink->strand->session->latency_ns_max;
    if (most_ns && age_ns > most_ns) {
        rmi_event_path_over_budget(sink);
    }
}
