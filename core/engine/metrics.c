/* The numbers of a running session as JSON. */
#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/session.h"

typedef struct metrics_call {
    rmi_strand *strand;
    double ns_per_tick;
    json_t **nodes; /* by index in the session */
    json_t **edges;
} metrics_call;

static const char *const state_names[] = {
    [RMI_NODE_NEW] = "new",
    [RMI_NODE_IDLE] = "idle",
    [RMI_NODE_RUNNING] = "running",
    [RMI_NODE_HOLDING] = "holding",
    [RMI_NODE_PENDING] = "pending",
    [RMI_NODE_BACKOFF] = "backoff",
    [RMI_NODE_ENDED] = "ended",
    [RMI_NODE_FAILED] = "failed",
    [RMI_NODE_ABANDONED] = "abandoned",
    [RMI_NODE_CLOSED] = "closed",
};

/* Fast nodes are timed at each 16th call: the sum is scaled up to all of them. */
static json_t *time_json(const rmi_node *node, double ns_per_tick)
{
    const rmi_histogram *h = node->time;
    double mean = h->count ? (double)h->sum / (double)h->count : 0;
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "timed_calls", (json_int_t)h->count,
                     "sum_ns", mean * (double)node->calls * ns_per_tick, "p50_ns",
                     (double)rmi_histogram_quantile(h, 0.50) * ns_per_tick, "p90_ns",
                     (double)rmi_histogram_quantile(h, 0.90) * ns_per_tick, "p99_ns",
                     (double)rmi_histogram_quantile(h, 0.99) * ns_per_tick, "max_ns",
                     (double)h->max * ns_per_tick);
}

static json_t *node_json(const rmi_node *node, double ns_per_tick)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "id", node->pub.id,
                     "type", node->pub.type->name, "state", state_names[node->state], "strand",
                     (int)node->strand->index, "calls", (json_int_t)node->calls, "items",
                     (json_int_t)node->items, "emitted", (json_int_t)node->emitted, "errors",
                     (json_int_t)node->errors, "skipped", (json_int_t)node->skipped, "retries",
                     (json_int_t)node->retries, "time", time_json(node, ns_per_tick));
}

static json_t *edge_json(const rmi_edge *edge)
{
    const rmi_node *to = edge->link ? edge->link->receiving->to : edge->to;
    uint32_t queued = rmi_edge_length(edge);
    uint64_t drops = edge->drops;
    if (edge->link) {
        queued = atomic_load(&edge->link->tail) - atomic_load(&edge->link->head);
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "from", edge->from->pub.id,
                     "to", to->pub.id, "packets", (json_int_t)edge->packets, "bytes",
                     (json_int_t)edge->packet_bytes, "drops", (json_int_t)drops, "queued",
                     (json_int_t)queued, "peak", (json_int_t)edge->peak, "capacity",
                     (json_int_t)edge->capacity, "link", edge->link != NULL);
}

/* On the strand: its nodes, and the edges that leave them. */
static void collect(void *context)
{
    metrics_call *asked = context;
    rmi_strand *strand = asked->strand;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        const rmi_node *node = strand->nodes[i];
        asked->nodes[node->index] = node_json(node, asked->ns_per_tick);
        for (uint16_t p = 0; p < node->n_out; p++) {
            for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
                const rmi_edge *edge = node->out[p].edges[e];
                asked->edges[edge->index] = edge_json(edge);
            }
        }
    }
}

static json_t *list_of(json_t **items, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        if (items[i]) {
            json_array_append_new(list, items[i]);
        }
    }
    return list;
}

void rm_session_progress(const rm_session *session, int64_t *ret_position_ns, uint64_t *ret_packets)
{
    int64_t position_ns = RM_TIME_NONE;
    uint64_t packets = 0;
    for (uint32_t i = 0; i < session->strand_count; i++) {
        const rmi_strand *strand = session->strands[i];
        int64_t end_ns = atomic_load_explicit(&strand->position_ns, memory_order_relaxed);
        position_ns = end_ns > position_ns ? end_ns : position_ns;
        packets += atomic_load_explicit(&strand->produced, memory_order_relaxed);
    }
    if (ret_position_ns) {
        *ret_position_ns = position_ns;
    }
    if (ret_packets) {
        *ret_packets = packets;
    }
}

rm_status rm_session_metrics(rm_session *session, char **ret_json, rm_error *err)
{
    RMI_AUTO_MEMORY json_t **nodes = rmi_calloc(session->node_count + 1, sizeof *nodes);
    RMI_AUTO_MEMORY json_t **edges = rmi_calloc(session->edge_count + 1, sizeof *edges);
    if (!nodes || !edges) {
        return rm_fail(err, RM_ENOMEM, "no memory for metrics");
    }
    uint64_t ticks = rmi_clock_ticks() - session->begin_ticks;
    int64_t elapsed_ns = rmi_clock_ns() - session->begin_ns;
    metrics_call asked = {.nodes = nodes,
                          .edges = edges,
                          .ns_per_tick = ticks ? (double)elapsed_ns / (double)ticks : 0};
    for (uint32_t i = 0; i < session->strand_count; i++) {
        asked.strand = session->strands[i];
        rmi_session_call(session, asked.strand, collect, &asked);
    }
    json_t *root = json_pack("{s:I, s:o, s:o, s:{s:I, s:I, s:I}}", "elapsed_ns",
                             (json_int_t)elapsed_ns, "nodes", list_of(nodes, session->node_count),
                             "edges", list_of(edges, session->edge_count), "memory", "bytes",
                             (json_int_t)rmi_budget_bytes(session->budget), "bytes_peak",
                             (json_int_t)rmi_budget_bytes_peak(session->budget), "bytes_max",
                             (json_int_t)rmi_budget_bytes_max(session->budget));
    char *dump = root ? json_dumps(root, JSON_COMPACT) : NULL;
    char *copy = dump ? rmi_strdup(dump) : NULL;
    free(dump);
    json_decref(root);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory for metrics");
    }
    *ret_json = copy;
    return RM_OK;
}
